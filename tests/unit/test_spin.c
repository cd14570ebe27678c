/* SPDX-License-Identifier: MIT */
/* How late wake-ups are, as spin.c makes it out from one reading after the other. */
#include "spin.h"
#include "util.h"

static struct spin spin;
static uint32_t random_state;

/* From least_ns to most_ns, each as likely. */
static uint64_t noise_ns(uint64_t least_ns, uint64_t most_ns)
{
	random_state = random_state * 1664525 + 1013904223;
	return least_ns + (most_ns - least_ns) * (random_state >> 16) / 65535;
}

static uint64_t lead_ns(void)
{
	return asynctimer__spin_lead_ns(&spin);
}

static void note_noise(unsigned count, uint64_t least_ns, uint64_t most_ns)
{
	while (count--)
		asynctimer__spin_note(&spin, noise_ns(least_ns, most_ns));
}

static void begin(uint64_t limit_ns)
{
	spin = (struct spin){ 0 };
	random_state = 1;
	asynctimer__spin_set_limit(&spin, limit_ns);
}

START_TEST(without_a_limit_nothing_is_ahead)
{
	begin(0);
	ck_assert_uint_eq(lead_ns(), 0);
	note_noise(100, 0, MS);
	ck_assert_uint_eq(lead_ns(), 0);
}
END_TEST

START_TEST(the_lead_is_never_above_the_limit)
{
	static const uint64_t limits_ns[] = { 1, 500, 10 * US, MS };

	for (unsigned i = 0; i < 4; i++) {
		begin(limits_ns[i]);
		for (unsigned n = 0; n < 5000; n++) {
			ck_assert_uint_le(lead_ns(), limits_ns[i]);
			asynctimer__spin_note(&spin, noise_ns(0, n < 2500 ? 2 * MS : 2 * US));
		}
	}
	asynctimer__spin_set_limit(&spin, 5 * US);
	ck_assert_uint_le(lead_ns(), 5 * US);
}
END_TEST

START_TEST(nineteen_of_twenty_wake_ups_come_within_the_lead)
{
	static const uint64_t most_ns[] = { 8 * US, 40 * US, 400 * US };

	for (unsigned i = 0; i < 3; i++) {
		unsigned later = 0;

		begin(MS);
		note_noise(4000, most_ns[i] / 4, most_ns[i]);
		for (unsigned n = 0; n < 20000; n++) {
			uint64_t late_ns = noise_ns(most_ns[i] / 4, most_ns[i]);

			later += late_ns > lead_ns();
			asynctimer__spin_note(&spin, late_ns);
		}
		ck_assert_uint_ge(later, 20000 * 3 / 100);
		ck_assert_uint_le(later, 20000 * 7 / 100);
	}
}
END_TEST

START_TEST(a_single_reading_moves_it_by_a_twentieth_at_most)
{
	static const uint64_t readings_ns[] = { 0, 999 * US, MS + 1, HOUR, UINT64_MAX };

	for (unsigned i = 0; i < 5; i++) {
		uint64_t before_ns;

		begin(MS);
		note_noise(1000, 20 * US, 40 * US);
		before_ns = lead_ns();
		asynctimer__spin_note(&spin, readings_ns[i]);
		ck_assert_uint_ge(lead_ns(), before_ns - before_ns / 20);
		ck_assert_uint_le(lead_ns(), before_ns + before_ns / 20);
	}
}
END_TEST

/* Later than the limit, a wake-up is no reason to spin: it would have been late all the same. */
START_TEST(what_no_lead_would_have_helped_counts_as_nothing)
{
	uint64_t before_ns;

	begin(100 * US);
	note_noise(1000, 20 * US, 40 * US);
	before_ns = lead_ns();
	for (unsigned i = 0; i < 1000; i++)
		asynctimer__spin_note(&spin, 100 * US + 1 + i);
	ck_assert_uint_eq(lead_ns(), before_ns);
	asynctimer__spin_note(&spin, 100 * US);
	ck_assert_uint_gt(lead_ns(), before_ns);
}
END_TEST

START_TEST(rare_outliers_do_not_raise_it)
{
	begin(MS);
	for (unsigned i = 0; i < 200; i++) {
		note_noise(99, 20 * US, 40 * US);
		asynctimer__spin_note(&spin, 900 * US);
		if (i > 20)
			ck_assert_uint_lt(lead_ns(), 44 * US);
	}
}
END_TEST

START_TEST(a_machine_that_slows_down_is_followed_at_once)
{
	begin(MS);
	note_noise(1000, 20 * US, 30 * US);
	ck_assert_uint_lt(lead_ns(), 32 * US);
	note_noise(30, 60 * US, 70 * US);
	ck_assert_uint_ge(lead_ns(), 60 * US);
	note_noise(600, 20 * US, 30 * US);
	ck_assert_uint_lt(lead_ns(), 32 * US);
}
END_TEST

START_TEST(from_the_bottom_it_comes_up_again)
{
	begin(MS);
	for (unsigned i = 0; i < 100000; i++)
		asynctimer__spin_note(&spin, 0);
	ck_assert_uint_ge(lead_ns(), 1);
	ck_assert_uint_le(lead_ns(), US);
	note_noise(150, 50 * US, 60 * US);
	ck_assert_uint_ge(lead_ns(), 50 * US);
}
END_TEST

START_TEST(an_estimate_outlives_a_change_of_the_limit)
{
	begin(MS);
	note_noise(1000, 300 * US, 400 * US);
	asynctimer__spin_set_limit(&spin, 900 * US);
	ck_assert_uint_ge(lead_ns(), 300 * US);
	/* Nor is it lost while there is none, or next to none. */
	asynctimer__spin_set_limit(&spin, 0);
	asynctimer__spin_set_limit(&spin, 1);
	asynctimer__spin_set_limit(&spin, MS);
	ck_assert_uint_ge(lead_ns(), 300 * US);
}
END_TEST

int main(void)
{
	return RUN_TESTS("spin", without_a_limit_nothing_is_ahead, the_lead_is_never_above_the_limit,
			 nineteen_of_twenty_wake_ups_come_within_the_lead,
			 a_single_reading_moves_it_by_a_twentieth_at_most,
			 what_no_lead_would_have_helped_counts_as_nothing,
			 rare_outliers_do_not_raise_it, a_machine_that_slows_down_is_followed_at_once,
			 from_the_bottom_it_comes_up_again, an_estimate_outlives_a_change_of_the_limit);
}
