/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_REALTIME set under way, with shared timers. The clock is stepped by
 * ADJ_SETOFFSET, exactly, so the opposite step restores it exactly; main sees
 * to that in any case.
 */
#include "step.h"
#include "util.h"

#define SCHEDULE ASYNCTIMER_FIXED_SCHEDULE

/* Only a hang ends it early, and then the test fails by Check's timeout. */
#define dispatch_until_that(condition)                                                             \
	do {                                                                                       \
		while (!(condition))                                                               \
			must(asynctimer_reactor_dispatch(reactor, -1));                            \
	} while (0)

START_TEST(the_clock_set_forward_makes_one_late_tick)
{
	struct watched watched = { 0 };

	watch_new_shared(&watched, CLOCK_REALTIME, 500 * MS, SCHEDULE, 0);
	asynctimer_start(watched.timer);
	asynctimer_reactor_dispatch(reactor, 0);
	step(2000000);
	dispatch_until_that(watched.callbacks >= 1);
	restore();
	/* The points at 0.5, 1 and 1.5 s; 2 s was not yet reached, or just so. */
	ck_assert_uint_ge(watched.last.skipped_late, 3);
	ck_assert_uint_eq(watched.last.number, 1 + watched.last.skipped_late);
}
END_TEST

START_TEST(the_clock_set_back_pulls_the_grid_with_it)
{
	struct watched watched = { 0 };
	uint64_t first_ns;

	watch_new_shared(&watched, CLOCK_REALTIME, 20 * MS, SCHEDULE, 0);
	asynctimer_start(watched.timer);
	dispatch_until_that(watched.callbacks >= 1);
	first_ns = watched.last.due_ns;
	step(-1000000);
	watched.restarted = true;
	dispatch_until_that(watched.callbacks >= 2);
	ck_assert_uint_lt(watched.last.due_ns, first_ns - 500 * MS);
	ck_assert_uint_eq((first_ns - watched.last.due_ns) % (20 * MS), 0);
	restore();
	dispatch_until_that(watched.callbacks >= 5);
}
END_TEST

START_TEST(the_clock_set_back_before_the_first_tick_leaves_the_anchor)
{
	struct watched watched = { 0 };
	uint64_t anchor_ns;

	watch_new_shared(&watched, CLOCK_REALTIME, 10 * MS, SCHEDULE, 0);
	anchor_ns = now_on(CLOCK_REALTIME) + 200 * MS;
	asynctimer_start_at(watched.timer, anchor_ns);
	asynctimer_reactor_dispatch(reactor, 0);
	step(-500000);
	dispatch_until_that(watched.callbacks >= 1);
	ck_assert_uint_eq(watched.last.number, 1 + watched.last.skipped_late);
	ck_assert_uint_eq(watched.last.due_ns, anchor_ns + watched.last.skipped_late * 10 * MS);
	restore();
}
END_TEST

START_TEST(the_clock_set_to_what_it_is_changes_nothing)
{
	static struct watched watched[60];

	for (unsigned i = 0; i < 60; i++) {
		watch_new_shared(&watched[i], CLOCK_REALTIME, 5 * MS + i * 13 * US, SCHEDULE,
				 i % 3 * 100 * US);
		asynctimer_start(watched[i].timer);
	}
	for (unsigned i = 0; i < 60; i++)
		while (watched[i].callbacks < 20) {
			step(0);
			must(asynctimer_reactor_dispatch(reactor, MS));
		}
	restore();
}
END_TEST

int main(void)
{
	return RUN_STEPPING_TESTS("shared_clock", the_clock_set_forward_makes_one_late_tick,
				  the_clock_set_back_pulls_the_grid_with_it,
				  the_clock_set_back_before_the_first_tick_leaves_the_anchor,
				  the_clock_set_to_what_it_is_changes_nothing);
}
