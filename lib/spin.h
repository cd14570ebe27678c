/* SPDX-License-Identifier: MIT */
/*
 * How far ahead of a due time to wake up, so as to be awake when it comes.
 *
 * A wake-up is late by what the kernel and the processor need to get going. The
 * estimate is a quantile of that: a wake-up that was later raises it by a small
 * part of itself, any other lowers it by a smaller part, and in balance that many
 * wake-ups are not later. How late one was does not matter, only that it was: so no
 * single reading can spoil the estimate, and it follows a machine that changes
 * within some hundred wake-ups.
 */
#ifndef ASYNCTIMER_SPIN_H
#define ASYNCTIMER_SPIN_H

#include <stdint.h>

#define ASYNCTIMER__SPIN_LIMIT_NS UINT64_C(1000000)

struct spin {
	uint64_t limit_ns;	/* 0: none is wanted */
	uint64_t estimate_ns;	/* most of the recent wake-ups were no later */
};

/* Sets the limit. An estimate that is there stays, also while none is wanted. */
void asynctimer__spin_set_limit(struct spin *spin, uint64_t limit_ns);

/* A wake-up was late by so much. */
void asynctimer__spin_note(struct spin *spin, uint64_t late_ns);

/* By so much a wake-up shall come ahead: 0 to limit_ns. */
static inline uint64_t asynctimer__spin_lead_ns(const struct spin *spin)
{
	return spin->estimate_ns < spin->limit_ns ? spin->estimate_ns : spin->limit_ns;
}

#endif
