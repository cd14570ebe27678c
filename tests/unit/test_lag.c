/* SPDX-License-Identifier: MIT */
/* Why a tick is late, and which timer is to blame: arithmetic, in which the times are small. */
#include "internal.h"
#include "util.h"

static struct asynctimer *const a = (struct asynctimer *)"a";
static struct asynctimer *const b = (struct asynctimer *)"b";
static struct asynctimer *const c = (struct asynctimer *)"c";

/* By how much the tick is behind, and behind whom. */
#define assert_behind(lag, timer, due_ns, now_ns, behind_ns, whom)                                 \
	do {                                                                                       \
		struct asynctimer *blamed;                                                         \
                                                                                                   \
		ck_assert_uint_eq(asynctimer__lag_claim(lag, timer, due_ns, now_ns, &blamed),      \
				  behind_ns);                                                      \
		ck_assert_ptr_eq(blamed, whom);                                                    \
	} while (0)

START_TEST(a_wait_explains_the_first_tick_after_it_alone)
{
	struct lag lag = { .begun = true, .waited = true };

	assert_behind(&lag, a, 10, 10, 0, NULL);
	asynctimer__lag_ran(&lag, a, 10, 20);
	assert_behind(&lag, b, 20, 25, 0, NULL);
	asynctimer__lag_ran(&lag, b, 5, 30);
	/* Due while a's callback ran. */
	assert_behind(&lag, c, 15, 30, 15, a);
}
END_TEST

START_TEST(on_another_clock_the_same_timers_are_to_blame)
{
	struct lag lag = { .begun = true };

	asynctimer__lag_ran(&lag, a, 10, 10);
	asynctimer__lag_ran(&lag, b, 8, 18);
	asynctimer__lag_ran(&lag, c, 1, 19);
	asynctimer__lag_shift(&lag, 1, 1000);
	/* Not behind itself, and b took longer than c. */
	assert_behind(&lag, a, 1012, 1019, 7, b);
	assert_behind(&lag, b, 1005, 1019, 14, a);
	assert_behind(&lag, c, 1009, 1019, 9, a);
	assert_behind(&lag, c, 1011, 1019, 7, b);
	assert_behind(&lag, NULL, 1018, 1019, 1, c);
}
END_TEST

START_TEST(a_timer_that_is_freed_is_forgotten_by_every_thread)
{
	struct watched watched = { .callbacks = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, 1, SCHEDULE);
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		reactor->remembered[i].lag.last.timer = watched.timer;
	asynctimer_free(watched.timer);
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		ck_assert_ptr_null(reactor->remembered[i].lag.last.timer);
}
END_TEST

START_TEST(what_threads_remember_moves_with_its_clock_when_that_is_set)
{
	use_virtual_reactor();
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		reactor->remembered[i].lag = (struct lag){ .clock = i % ASYNCTIMER__CLOCKS, .base_ns = 10 };
	must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, SECOND));
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		ck_assert_uint_eq(reactor->remembered[i].lag.base_ns,
				  i % ASYNCTIMER__CLOCKS == asynctimer__clock_index(CLOCK_REALTIME) ?
					  10 + SECOND : 10);
}
END_TEST

int main(void)
{
	return RUN_TESTS("lag", a_wait_explains_the_first_tick_after_it_alone,
			 on_another_clock_the_same_timers_are_to_blame,
			 a_timer_that_is_freed_is_forgotten_by_every_thread,
			 what_threads_remember_moves_with_its_clock_when_that_is_set);
}
