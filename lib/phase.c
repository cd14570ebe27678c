/* SPDX-License-Identifier: MIT */
/* Phases: pure functions, whose every value is promised. */
#include "asynctimer.h"

/* The high word of the product; there is no 128-bit type on 32-bit machines. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
	uint64_t middle = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
	uint64_t other = (a & UINT32_MAX) * (b >> 32) + (middle & UINT32_MAX);

	return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
}

static uint64_t fnv_1a(const char *bytes)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *bytes; bytes++) {
		hash ^= (unsigned char)*bytes;
		hash *= UINT64_C(0x100000001b3);
	}
	return hash;
}

/* The end of MurmurHash3: each bit of the result depends on each of x. */
static uint64_t fmix64(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	x ^= x >> 33;
	return x;
}

uint64_t asynctimer_splay_ns(const char *key, uint64_t interval_ns)
{
	return multiply_high(fmix64(fnv_1a(key ? key : "")), interval_ns);
}

uint64_t asynctimer_spread_ns(uint64_t index, uint64_t interval_ns)
{
	/* 2^64 divided by the golden ratio: the next phase always falls into one of the widest gaps. */
	return multiply_high(index * UINT64_C(0x9e3779b97f4a7c15), interval_ns);
}
