/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_REALTIME set under way. The clock is stepped by ADJ_SETOFFSET, exactly,
 * so the opposite step restores it exactly; main sees to that in any case.
 */
#include "step.h"
#include "util.h"

#define INTERVAL (20 * MS)
#define NOTICE 1	/* a step that is felt by CANCEL_ON_SET and nobody else, in us */

static struct watched watched;

static struct asynctimer *realtime_timer(void)
{
	watched = (struct watched){ 0 };
	return watch_new(&watched, CLOCK_REALTIME, INTERVAL, ASYNCTIMER_FIXED_SCHEDULE)->timer;
}

START_TEST(set_forward_past_due_is_one_late_tick)
{
	struct asynctimer *timer = realtime_timer();
	struct asynctimer_tick last;
	uint64_t after_ns;

	ck_assert_int_eq(asynctimer_start(timer), 1);
	dispatch_callbacks(&watched, 2);
	after_ns = now_on(CLOCK_REALTIME);
	last = watched.last;
	step(1000000);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	ck_assert_uint_eq(watched.callbacks, 3);
	ck_assert_uint_ge(watched.last.number, last.number + 50);
	ck_assert_uint_le(watched.last.skipped_busy, (after_ns - last.due_ns) / INTERVAL);
	ck_assert_uint_lt(watched.last.now_ns - watched.last.due_ns, INTERVAL);
	dispatch_callbacks(&watched, 5);
	asynctimer_free(timer);
	restore();
}
END_TEST

START_TEST(set_forward_past_the_first_due_is_one_late_tick)
{
	struct asynctimer *timer = realtime_timer();
	uint64_t anchor_ns;

	ck_assert_int_eq(asynctimer_start(timer), 1);
	anchor_ns = asynctimer_next_due_ns(timer) - INTERVAL;
	step(1000000);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	ck_assert_uint_eq(watched.callbacks, 1);
	ck_assert_uint_eq(watched.last.skipped_busy, 0);
	ck_assert_uint_ge(watched.last.skipped_late, 49);
	ck_assert_uint_eq(watched.last.due_ns, anchor_ns + watched.last.number * INTERVAL);
	ck_assert_uint_lt(watched.last.now_ns - watched.last.due_ns, INTERVAL);
	dispatch_callbacks(&watched, 3);
	asynctimer_free(timer);
	restore();
}
END_TEST

/* Started, its clock is set back before the first tick, which stays where it was. */
static void expect_anchor_holds(struct asynctimer *timer)
{
	uint64_t due_ns = asynctimer_next_due_ns(timer);
	uint64_t due_mono_ns = now_mono();

	due_mono_ns += due_ns - now_on(CLOCK_REALTIME);
	step(-60000);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
	dispatch_callbacks(&watched, 1);
	ck_assert_uint_eq(watched.last.due_ns, due_ns + watched.last.skipped_late * INTERVAL);
	ck_assert_uint_eq(watched.last.number, 1 + watched.last.skipped_late);
	ck_assert_uint_ge(now_mono(), due_mono_ns + 60 * MS);
	dispatch_callbacks(&watched, 3);
	asynctimer_free(timer);
	restore();
}

START_TEST(set_back_before_the_first_tick_leaves_the_anchor)
{
	struct asynctimer *timer = realtime_timer();

	ck_assert_int_eq(asynctimer_start(timer), 1);
	expect_anchor_holds(timer);

	timer = realtime_timer();
	ck_assert_int_eq(asynctimer_start_at(timer, now_on(CLOCK_REALTIME) + 50 * MS), 1);
	expect_anchor_holds(timer);
}
END_TEST

/* What state the timer is in when the clock is set, and what ends that. */

static int64_t step_us;
static uint64_t stepped_ns;	/* what it was set to, or a little less */

static void set_the_clock(void)
{
	stepped_ns = now_on(CLOCK_REALTIME) + (uint64_t)(step_us * 1000);
	step(step_us);
	if (step_us < 0)
		watched.restarted = true;
}

static void while_armed(struct asynctimer *timer)
{
	(void)timer;
	set_the_clock();
}

static void while_due(struct asynctimer *timer)
{
	spin_until(CLOCK_REALTIME, asynctimer_next_due_ns(timer) + MS);
	set_the_clock();
}

static int set_the_clock_then(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	self->then = NULL;
	set_the_clock();
	return ASYNCTIMER_DONE;
}

static void while_running(struct asynctimer *timer)
{
	(void)timer;
	watched.then = set_the_clock_then;
	dispatch_callbacks(&watched, watched.callbacks + 1);
}

static void defer(struct asynctimer *timer)
{
	(void)timer;
	watched.result = ASYNCTIMER_PENDING;
	dispatch_callbacks(&watched, watched.callbacks + 1);
	watched.result = ASYNCTIMER_DONE;
}

static void while_deferred(struct asynctimer *timer)
{
	defer(timer);
	set_the_clock();
	ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
}

static void while_overrunning(struct asynctimer *timer)
{
	defer(timer);
	dispatch_until(now_mono() + 2 * INTERVAL);
	set_the_clock();
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
	ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
}

static void (*const states[])(struct asynctimer *) = { while_armed, while_due, while_running,
						       while_deferred, while_overrunning };

static void goes_on(int64_t us)
{
	step_us = us;
	for (unsigned i = 0; i < sizeof(states) / sizeof(*states); i++) {
		struct asynctimer *timer = realtime_timer();
		struct asynctimer_tick last;
		unsigned callbacks;
		uint64_t due_ns;

		ck_assert_int_eq(asynctimer_start(timer), 1);
		dispatch_callbacks(&watched, 2);
		states[i](timer);
		last = watched.last;
		callbacks = watched.callbacks;
		must(asynctimer_reactor_dispatch(reactor, 0));
		/* Never further away than one interval. */
		due_ns = asynctimer_next_due_ns(timer);
		ck_assert_uint_le(due_ns, now_on(CLOCK_REALTIME) + INTERVAL);
		dispatch_callbacks(&watched, callbacks + 1);
		/* The grid stays, also through a clock set back (this difference may be negative). */
		ck_assert_int_eq((int64_t)(watched.last.due_ns - last.due_ns) % (int64_t)INTERVAL,
				 0);
		/* What was past when it was set back is over; but what is so still, and was not delivered. */
		if (us < 0 && watched.last.due_ns <= last.due_ns)
			ck_assert_uint_gt(watched.last.due_ns, stepped_ns);
		dispatch_callbacks(&watched, callbacks + 3);
		asynctimer_free(timer);
		restore();
	}
}

START_TEST(set_to_now_changes_nothing)
{
	goes_on(NOTICE);
}
END_TEST

START_TEST(set_forward_goes_on_on_its_grid)
{
	goes_on(250000);
	goes_on(7000);
}
END_TEST

START_TEST(set_back_goes_on_on_its_grid)
{
	goes_on(-150000);
	goes_on(-7000);
}
END_TEST

/* The notice is pending when the timer is started, or came while nobody was listening. */
START_TEST(set_while_stopped_is_nothing_to_the_next_start)
{
	const int64_t us[] = { NOTICE, 250000, -150000 };

	for (unsigned i = 0; i < 3; i++)
		for (int before = 0; before < 2; before++) {
			struct asynctimer *timer = realtime_timer();
			uint64_t number, before_ns;

			ck_assert_int_eq(asynctimer_start(timer), 1);
			dispatch_callbacks(&watched, 2);
			if (before)
				step(us[i]);
			ck_assert_int_eq(asynctimer_stop(timer), 1);
			if (!before)
				step(us[i]);
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
			number = watched.last.number;
			watched.restarted = true;
			before_ns = now_on(CLOCK_REALTIME);
			ck_assert_int_eq(asynctimer_start(timer), 1);
			ck_assert_uint_ge(asynctimer_next_due_ns(timer), before_ns + INTERVAL);
			ck_assert_uint_le(asynctimer_next_due_ns(timer),
					  now_on(CLOCK_REALTIME) + INTERVAL);
			before_ns = asynctimer_next_due_ns(timer);
			dispatch_callbacks(&watched, 3);
			ck_assert_uint_eq(watched.last.number,
					  number + 1 + watched.last.skipped_late);
			ck_assert_uint_eq(watched.last.due_ns,
					  before_ns + watched.last.skipped_late * INTERVAL);
			dispatch_callbacks(&watched, 4);
			asynctimer_free(timer);
			restore();
		}
}
END_TEST

/*
 * Set back between a start's reading of the clock and its arming. A grid has
 * points everywhere, so the next one is an interval away at most.
 */

static int restart_and_set_back(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	self->then = NULL;
	self->restarted = true;
	ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	ck_assert_int_eq(asynctimer_start_at(self->timer, 0), 1);
	step(-1000000);
	return ASYNCTIMER_DONE;
}

static void expect_grid_goes_on(struct asynctimer *timer)
{
	unsigned callbacks = watched.callbacks;
	uint64_t due_ns = asynctimer_next_due_ns(timer);

	ck_assert_uint_le(due_ns, now_on(CLOCK_REALTIME) + INTERVAL);
	dispatch_callbacks(&watched, callbacks + 1);
	ck_assert_uint_eq(watched.last.due_ns, due_ns + watched.last.skipped_late * INTERVAL);
	ck_assert_uint_eq(watched.last.due_ns % INTERVAL, 0);
	dispatch_callbacks(&watched, callbacks + 3);
	restore();
	asynctimer_free(timer);
}

START_TEST(set_back_after_a_restart_in_its_callback_the_grid_goes_on)
{
	struct asynctimer *timer = realtime_timer();

	ck_assert_int_eq(asynctimer_start_at(timer, 0), 1);
	dispatch_callbacks(&watched, 1);
	watched.then = restart_and_set_back;
	dispatch_callbacks(&watched, 2);
	expect_grid_goes_on(timer);
}
END_TEST

START_TEST(set_as_it_is_started_the_grid_goes_on)
{
	const int64_t us[] = { NOTICE, 250000, -1000000 };

	for (unsigned i = 0; i < 3; i++)
		for (int again = 0; again < 2; again++) {
			struct asynctimer *timer = realtime_timer();

			if (again) {
				ck_assert_int_eq(asynctimer_start_at(timer, 0), 1);
				dispatch_callbacks(&watched, 1);
				ck_assert_int_eq(asynctimer_stop(timer), 1);
			}
			watched.restarted = true;
			step_before_arming_us = us[i];
			ck_assert_int_eq(asynctimer_start_at(timer, 0), 1);
			ck_assert_int_eq(step_before_arming_us, 0);
			expect_grid_goes_on(timer);
		}
}
END_TEST

START_TEST(set_as_it_gets_another_interval_the_grid_goes_on)
{
	const int64_t us[] = { NOTICE, 250000, -1000000 };

	for (unsigned i = 0; i < 3; i++) {
		struct asynctimer *timer = realtime_timer();

		ck_assert_int_eq(asynctimer_set_interval(timer, 3 * INTERVAL), 1);
		watched.interval_ns = 0;
		ck_assert_int_eq(asynctimer_start_at(timer, 0), 1);
		dispatch_callbacks(&watched, 2);
		step_before_arming_us = us[i];
		ck_assert_int_eq(asynctimer_set_interval(timer, INTERVAL), 1);
		ck_assert_int_eq(step_before_arming_us, 0);
		must(asynctimer_reactor_dispatch(reactor, 0));
		expect_grid_goes_on(timer);
	}
}
END_TEST

START_TEST(other_clocks_do_not_feel_it)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME };

	FOR_BOTH_POLICIES(policy) for (unsigned i = 0; i < 2; i++) {
		struct asynctimer *timer;
		uint64_t begin_ns = now_on(clocks[i]);

		watched = (struct watched){ 0 };
		timer = watch_new(&watched, clocks[i], INTERVAL, policy)->timer;
		ck_assert_int_eq(asynctimer_start(timer), 1);
		dispatch_callbacks(&watched, 1);
		step(1500000);
		dispatch_callbacks(&watched, 3);
		step(-2000000);
		dispatch_callbacks(&watched, 5);
		ck_assert_uint_le(watched.last.number,
				  (now_on(clocks[i]) - begin_ns) / INTERVAL);
		asynctimer_free(timer);
		restore();
	}
}
END_TEST

int main(void)
{
	return RUN_STEPPING_TESTS("clock", set_forward_past_due_is_one_late_tick,
				  set_forward_past_the_first_due_is_one_late_tick,
				  set_back_before_the_first_tick_leaves_the_anchor,
				  set_to_now_changes_nothing, set_forward_goes_on_on_its_grid,
				  set_back_goes_on_on_its_grid,
				  set_while_stopped_is_nothing_to_the_next_start,
				  set_back_after_a_restart_in_its_callback_the_grid_goes_on,
				  set_as_it_is_started_the_grid_goes_on,
				  set_as_it_gets_another_interval_the_grid_goes_on,
				  other_clocks_do_not_feel_it);
}
