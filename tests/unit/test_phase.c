/* SPDX-License-Identifier: MIT */
/*
 * Phases: asynctimer_splay_ns and asynctimer_spread_ns. Programs of different
 * machines and releases agree on them, so each value below was worked out without
 * the library, in integers of any size.
 */
#include <stdio.h>
#include <string.h>

#include "util.h"

#define INTERVALS 6

static const uint64_t intervals[INTERVALS] = {
	1, 2, 1000, 60 * SECOND, UINT64_C(1) << 62, UINT64_MAX
};

/* 4,096 characters: "0123456789abcdef", 256 times. */
static char long_key[4097];

static const struct splayed {
	const char *key;
	uint64_t phase_ns[INTERVALS];
} splayed[] = {
	{ "",
	  { 0, 1, 936, UINT64_C(56206166903),
	    UINT64_C(4320086567632128585), UINT64_C(17280346270528514341) } },
	{ "a",
	  { 0, 1, 510, UINT64_C(30617671059),
	    UINT64_C(2353318092356957078), UINT64_C(9413272369427828314) } },
	{ "host-17.example.net",
	  { 0, 1, 855, UINT64_C(51320752828),
	    UINT64_C(3944586637908330557), UINT64_C(15778346551633322230) } },
	{ "host-18.example.net",
	  { 0, 1, 688, UINT64_C(41316824062),
	    UINT64_C(3175670330917662751), UINT64_C(12702681323670651005) } },
	{ "gr\303\274n",
	  { 0, 0, 202, UINT64_C(12175355773),
	    UINT64_C(935815299820945196), UINT64_C(3743261199283780783) } },
	{ "\377\200\001",
	  { 0, 0, 448, UINT64_C(26910905934),
	    UINT64_C(2068410810699461540), UINT64_C(8273643242797846160) } },
	{ long_key,
	  { 0, 1, 530, UINT64_C(31845549126),
	    UINT64_C(2447694560922274655), UINT64_C(9790778243689098621) } },
};

static const struct spread {
	uint64_t index;
	uint64_t phase_ns[INTERVALS];
} spread[] = {
	{ 0,
	  { 0, 0, 0, 0,
	    0, 0 } },
	{ 1,
	  { 0, 1, 618, UINT64_C(37082039324),
	    UINT64_C(2850178704830799621), UINT64_C(11400714819323198484) } },
	{ 2,
	  { 0, 0, 236, UINT64_C(14164078649),
	    UINT64_C(1088671391234211338), UINT64_C(4354685564936845353) } },
	{ 3,
	  { 0, 1, 854, UINT64_C(51246117974),
	    UINT64_C(3938850096065010959), UINT64_C(15755400384260043838) } },
	{ 1000,
	  { 0, 0, 33, 2039324993,
	    UINT64_C(156745442673896578), UINT64_C(626981770695586311) } },
	{ 1000000,
	  { 0, 1, 988, UINT64_C(59324993690),
	    UINT64_C(4559804065792777168), UINT64_C(18239216263171108671) } },
	{ UINT64_C(1) << 32,
	  { 0, 0, 497, UINT64_C(29833817775),
	    UINT64_C(2293070005182398464), UINT64_C(9172280020729593855) } },
	{ UINT64_C(1) << 63,
	  { 0, 1, 500, UINT64_C(30000000000),
	    UINT64_C(2305843009213693952), UINT64_C(9223372036854775807) } },
	{ UINT64_MAX,
	  { 0, 0, 381, UINT64_C(22917960675),
	    UINT64_C(1761507313596588282), UINT64_C(7046029254386353130) } },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void fill_long_key(void)
{
	for (unsigned i = 0; i + 1 < sizeof(long_key); i++)
		long_key[i] = "0123456789abcdef"[i % 16];
}

START_TEST(splay_gives_the_listed_phases)
{
	fill_long_key();
	for (unsigned i = 0; i < COUNT(splayed); i++)
		for (unsigned k = 0; k < INTERVALS; k++)
			ck_assert_uint_eq(asynctimer_splay_ns(splayed[i].key, intervals[k]),
					  splayed[i].phase_ns[k]);
}
END_TEST

START_TEST(to_splay_no_key_is_the_empty_key)
{
	for (unsigned k = 0; k < INTERVALS; k++)
		ck_assert_uint_eq(asynctimer_splay_ns(NULL, intervals[k]),
				  asynctimer_splay_ns("", intervals[k]));
}
END_TEST

START_TEST(of_an_interval_of_0_every_phase_is_0)
{
	fill_long_key();
	for (unsigned i = 0; i < COUNT(splayed); i++)
		ck_assert_uint_eq(asynctimer_splay_ns(splayed[i].key, 0), 0);
	ck_assert_uint_eq(asynctimer_splay_ns(NULL, 0), 0);
	for (unsigned i = 0; i < COUNT(spread); i++)
		ck_assert_uint_eq(asynctimer_spread_ns(spread[i].index, 0), 0);
}
END_TEST

/* Counted keys are what hosts are named by: none of sixteen parts of the interval gets far more than its share. */
START_TEST(splay_scatters_keys_that_differ_in_a_digit)
{
	enum { KEYS = 4096, PARTS = 16 };
	unsigned found[PARTS] = { 0 };
	char key[32];

	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "host-%04u", i);
		found[asynctimer_splay_ns(key, PARTS)]++;
	}
	for (unsigned part = 0; part < PARTS; part++) {
		ck_assert_uint_ge(found[part], KEYS / PARTS * 3 / 4);
		ck_assert_uint_le(found[part], KEYS / PARTS * 5 / 4);
	}
}
END_TEST

START_TEST(spread_gives_the_listed_phases)
{
	for (unsigned i = 0; i < COUNT(spread); i++)
		for (unsigned k = 0; k < INTERVALS; k++)
			ck_assert_uint_eq(asynctimer_spread_ns(spread[i].index, intervals[k]),
					  spread[i].phase_ns[k]);
}
END_TEST

/* The widest distance between neighbours in a circle of interval_ns. */
static uint64_t widest_gap(const uint64_t *sorted, unsigned count, uint64_t interval_ns)
{
	uint64_t widest_ns = sorted[0] + interval_ns - sorted[count - 1];

	for (unsigned i = 1; i < count; i++)
		if (widest_ns < sorted[i] - sorted[i - 1])
			widest_ns = sorted[i] - sorted[i - 1];
	return widest_ns;
}

static void insert(uint64_t *sorted, unsigned count, uint64_t phase_ns)
{
	unsigned at = count;

	while (at && sorted[at - 1] > phase_ns)
		at--;
	memmove(&sorted[at + 1], &sorted[at], (count - at) * sizeof(*sorted));
	sorted[at] = phase_ns;
}

/* The phases of fewer timers are among those of more, as each depends on its index alone. */
START_TEST(of_2_to_10000_timers_no_gap_is_wider_than_19_tenths_of_the_mean)
{
	enum { TIMERS = 10000 };
	static const uint64_t several[] = { 60 * SECOND, SECOND, 999999937 };
	static uint64_t sorted[TIMERS];

	for (unsigned k = 0; k < COUNT(several); k++)
		for (unsigned count = 1; count <= TIMERS; count++) {
			uint64_t interval_ns = several[k];

			insert(sorted, count - 1, asynctimer_spread_ns(count - 1, interval_ns));
			if (count >= 2)
				ck_assert_uint_le(10 * count * widest_gap(sorted, count, interval_ns),
						  19 * interval_ns);
		}
}
END_TEST

int main(void)
{
	return RUN_TESTS("phase", splay_gives_the_listed_phases, to_splay_no_key_is_the_empty_key,
			 of_an_interval_of_0_every_phase_is_0,
			 splay_scatters_keys_that_differ_in_a_digit, spread_gives_the_listed_phases,
			 of_2_to_10000_timers_no_gap_is_wider_than_19_tenths_of_the_mean);
}
