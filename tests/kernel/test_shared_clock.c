/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_REALTIME set under way, with shared timers. The clock is stepped by
 * ADJ_SETOFFSET, exactly, so the opposite step restores it exactly; main sees
 * to that in any case.
 */
#include "step.h"
#include "util.h"

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

/*
 * Set back between a start's reading of the clock and its arming. A grid has
 * points everywhere, so the next one is an interval away at most.
 */
#define INTERVAL (20 * MS)

static void expect_grid_goes_on(struct watched *watched)
{
	unsigned callbacks = watched->callbacks;
	uint64_t due_ns;

	must(asynctimer_reactor_dispatch(reactor, 0));
	due_ns = asynctimer_next_due_ns(watched->timer);
	ck_assert_uint_le(due_ns, now_on(CLOCK_REALTIME) + INTERVAL);
	dispatch_until_that(watched->callbacks >= callbacks + 3);
	ck_assert_uint_eq(watched->last.due_ns % INTERVAL, 0);
	restore();
	asynctimer_free(watched->timer);
}

static int start_the_other_and_set_back(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;

	(void)tick;
	must(asynctimer_start_at(other->timer, 0));
	step(-1000000);
	return ASYNCTIMER_DONE;
}

START_TEST(the_clock_set_back_after_a_start_in_anothers_callback_the_grid_goes_on)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_REALTIME };

	for (unsigned i = 0; i < 4; i++) {
		struct watched watched = { 0 };
		struct watched starter = { .then = start_the_other_and_set_back, .data = &watched };

		watch_new_shared(&watched, CLOCK_REALTIME, INTERVAL, SCHEDULE, 0);
		if (i < 2)
			watch_new_shared(&starter, clocks[i], HOUR, SCHEDULE, 0);
		else
			watch_new(&starter, clocks[i - 2], HOUR, SCHEDULE);
		must(asynctimer_start_after(starter.timer, 0));
		dispatch_until_that(starter.callbacks);
		asynctimer_free(starter.timer);
		expect_grid_goes_on(&watched);
	}
}
END_TEST

START_TEST(the_clock_set_as_it_is_started_the_grid_goes_on)
{
	const int64_t us[] = { 1, 250000, -1000000 };

	for (unsigned i = 0; i < 6; i++) {
		struct watched watched = { 0 };

		watch_new_shared(&watched, CLOCK_REALTIME, INTERVAL, SCHEDULE, 0);
		if (i >= 3) {
			must(asynctimer_start_at(watched.timer, 0));
			dispatch_until_that(watched.callbacks >= 2);
			must(asynctimer_stop(watched.timer));
			watched.restarted = true;
		}
		/* On a slow machine it may be due before it is armed. */
		do {
			must(asynctimer_stop(watched.timer));
			/* Nothing is armed that would do for it. */
			must(asynctimer_reactor_dispatch(reactor, 3 * INTERVAL));
			step_before_arming_us = us[i % 3];
			must(asynctimer_start_at(watched.timer, 0));
		} while (step_before_arming_us);
		expect_grid_goes_on(&watched);
	}
}
END_TEST

int main(void)
{
	return RUN_STEPPING_TESTS("shared_clock", the_clock_set_forward_makes_one_late_tick,
				  the_clock_set_back_pulls_the_grid_with_it,
				  the_clock_set_back_before_the_first_tick_leaves_the_anchor,
				  the_clock_set_to_what_it_is_changes_nothing,
				  the_clock_set_back_after_a_start_in_anothers_callback_the_grid_goes_on,
				  the_clock_set_as_it_is_started_the_grid_goes_on);
}
