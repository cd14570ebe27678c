/* SPDX-License-Identifier: MIT */
/*
 * asynctimer_set_interval. On a real clock what is expected lies between two
 * readings of it; on a virtual one these are one, and the tables below are exact.
 */
#include <errno.h>

#include "probe.h"

#define INTERVAL_MAX (UINT64_C(1) << 62)

static void expect_set_interval(struct asynctimer *timer, uint64_t interval_ns)
{
	uint64_t due_ns = asynctimer_next_due_ns(timer);

	ck_assert_int_eq(asynctimer_set_interval(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_set_interval(timer, INTERVAL_MAX + 1), -EINVAL);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
	ck_assert_int_eq(asynctimer_set_interval(timer, interval_ns), 1);
	due_ns = asynctimer_next_due_ns(timer);
	ck_assert_int_eq(asynctimer_set_interval(timer, interval_ns), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
}

/* On a grid through the last point, or the anchor, the next tick is the first after the call. */
static void expect_regridded(struct probe *probe, uint64_t interval_ns)
{
	uint64_t point_ns =
		asynctimer_next_due_ns(probe->watched.timer) - probe->watched.interval_ns;
	uint64_t before_ns = now_mono(), after_ns, due_ns;

	expect_set_interval(probe->watched.timer, interval_ns);
	due_ns = asynctimer_next_due_ns(probe->watched.timer);
	after_ns = now_mono();
	ck_assert_uint_gt(due_ns, before_ns);
	ck_assert_uint_le(due_ns, after_ns + interval_ns);
	ck_assert_uint_eq((due_ns - point_ns) % interval_ns, 0);
	probe->interval_ns = 0;
	probe->watched.interval_ns = interval_ns;
	probe->watched.restarted = true;
}

/* Two ticks on the grid through due_ns; the first skipped nothing from before that. */
static void expect_ticks_from(struct probe *probe, uint64_t due_ns, uint64_t interval_ns)
{
	uint64_t number = probe->tick.number;

	run_callbacks(probe, probe->watched.callbacks + 1);
	ck_assert_uint_eq(probe->tick.due_ns,
			  due_ns + (probe->tick.number - number - 1) * interval_ns);
	run_callbacks(probe, probe->watched.callbacks + 1);
}

START_TEST(set_interval_while_stopped_counts_from_the_next_start)
{
	FOR_BOTH_POLICIES(policy) {
		struct asynctimer *timer = probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, policy);
		uint64_t anchor_ns;

		expect_set_interval(timer, 4 * MS);
		ck_assert_int_eq(asynctimer_is_started(timer), 0);
		probed.interval_ns = 4 * MS;
		if (policy == SCHEDULE)
			probed.watched.interval_ns = 4 * MS;
		anchor_ns = start(&probed);
		expect_ticks_from(&probed, anchor_ns + 4 * MS, 4 * MS);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(set_interval_before_the_first_tick_keeps_the_anchor)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, HOUR,
			  SCHEDULE);
	uint64_t anchor_ns;

	start(&probed);
	expect_regridded(&probed, 4 * MS);
	expect_ticks_from(&probed, asynctimer_next_due_ns(timer), 4 * MS);

	ck_assert_int_eq(asynctimer_stop(timer), 1);
	anchor_ns = now_mono() + 30 * MS;
	ck_assert_int_eq(asynctimer_start_at(timer, anchor_ns), 1);
	ck_assert_int_eq(asynctimer_set_interval(timer, 5 * MS), 1);
	if (now_mono() < anchor_ns)
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), anchor_ns);
	probed.watched.restarted = true;
	probed.watched.interval_ns = 5 * MS;
	expect_ticks_from(&probed, asynctimer_next_due_ns(timer), 5 * MS);
}
END_TEST

START_TEST(set_interval_while_armed_anchors_at_the_last_tick)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, SCHEDULE);

	start(&probed);
	run_callbacks(&probed, 2);
	expect_regridded(&probed, 3 * MS);
	expect_ticks_from(&probed, asynctimer_next_due_ns(timer), 3 * MS);
	expect_regridded(&probed, 11 * MS);
	expect_ticks_from(&probed, asynctimer_next_due_ns(timer), 11 * MS);
}
END_TEST

START_TEST(set_interval_while_late_counts_the_missed_as_nothing)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, 4 * MS, SCHEDULE);

	start(&probed);
	run_callbacks(&probed, 1);
	let_pass_until(asynctimer_next_due_ns(timer) + 9 * MS);
	expect_regridded(&probed, 3 * MS);
	expect_ticks_from(&probed, asynctimer_next_due_ns(timer), 3 * MS);
}
END_TEST

static uint64_t regridded_ns;

static int regrid(struct probe *probe)
{
	probe->act = NULL;
	spin_until(CLOCK_MONOTONIC, now_mono() + 9 * MS);
	expect_regridded(probe, 3 * MS);
	regridded_ns = asynctimer_next_due_ns(probe->watched.timer);
	return probe->watched.result;
}

static uint64_t points_in(uint64_t first_ns, uint64_t end_ns, uint64_t interval_ns)
{
	return end_ns < first_ns ? 0 : (end_ns - first_ns) / interval_ns + 1;
}

START_TEST(set_interval_while_open_skips_only_what_comes_due_from_then_on)
{
	const int results[] = { ASYNCTIMER_DONE, ASYNCTIMER_PENDING };

	for (unsigned i = 0; i < 2; i++) {
		struct asynctimer *timer =
			probe_new(&probed, CLOCK_MONOTONIC, 4 * MS, SCHEDULE);
		uint64_t before_ns, after_ns, number;

		probed.act = regrid;
		probed.watched.result = results[i];
		start(&probed);
		run_callbacks(&probed, 1);
		before_ns = probed.ended_ns;
		after_ns = probed.after_ns;
		number = probed.tick.number;
		if (results[i] == ASYNCTIMER_PENDING) {
			dispatch_until(regridded_ns + 5 * MS);
			before_ns = now_mono();
			ck_assert_int_eq(asynctimer_complete(timer, probed.tick.number, 0), 0);
			after_ns = now_mono();
			probed.watched.result = ASYNCTIMER_DONE;
		}
		run_callbacks(&probed, 2);
		ck_assert_uint_eq(probed.tick.due_ns,
				  regridded_ns + (probed.tick.number - number - 1) * 3 * MS);
		ck_assert_uint_ge(probed.busy, points_in(regridded_ns, before_ns, 3 * MS));
		ck_assert_uint_le(probed.busy, points_in(regridded_ns, after_ns, 3 * MS));
		run_callbacks(&probed, 3);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(set_interval_drops_skips_that_were_not_reported)
{
	struct asynctimer *timer = probe_new(&probed, CLOCK_MONOTONIC, 4 * MS, SCHEDULE);
	uint64_t due_ns, number;

	probed.watched.work_ns = 14 * MS;
	start(&probed);
	run_callbacks(&probed, 1);
	probed.watched.work_ns = 0;
	number = probed.tick.number;
	expect_regridded(&probed, 3 * MS);
	due_ns = asynctimer_next_due_ns(timer);
	run_callbacks(&probed, 2);
	/* Three points came due in the callback, before there was this grid. */
	ck_assert_uint_eq(probed.tick.due_ns, due_ns + (probed.tick.number - number - 1) * 3 * MS);
	if (backing == BACKING_VIRTUAL)
		ck_assert_uint_eq(probed.tick.number, number + 1);
}
END_TEST

START_TEST(set_interval_of_a_stopped_timer_with_its_tick_deferred_starts_nothing)
{
	FOR_BOTH_POLICIES(policy) {
		struct asynctimer *timer = probe_new(&probed, CLOCK_MONOTONIC, 4 * MS, policy);

		probed.watched.result = ASYNCTIMER_PENDING;
		start(&probed);
		run_callbacks(&probed, 1);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		expect_set_interval(timer, 3 * MS);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
		ck_assert_int_eq(asynctimer_complete(timer, probed.tick.number, 0), 0);
		ck_assert_int_eq(asynctimer_is_started(timer), 0);
		ck_assert_int_eq(dispatch(10 * MS), 0);
		asynctimer_free(timer);
	}
}
END_TEST

START_TEST(set_interval_of_fixed_delay_counts_from_the_last_completion)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, DELAY);
	uint64_t base_ns = start(&probed);

	expect_set_interval(timer, 20 * MS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), base_ns + 20 * MS);
	run_callbacks(&probed, 1);
	ck_assert_uint_eq(probed.tick.due_ns, base_ns + 20 * MS);
	base_ns = asynctimer_next_due_ns(timer) - 20 * MS;
	ck_assert_uint_ge(base_ns, probed.ended_ns);
	ck_assert_uint_le(base_ns, probed.after_ns);
	expect_set_interval(timer, 7 * MS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), base_ns + 7 * MS);
	probed.interval_ns = 7 * MS;
	run_callbacks(&probed, 2);
	/* Past already: at once. */
	base_ns = asynctimer_next_due_ns(timer) - 7 * MS;
	let_pass_until(base_ns + 3 * MS);
	expect_set_interval(timer, 2 * MS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), base_ns + 2 * MS);
	probed.interval_ns = 2 * MS;
	run_callbacks(&probed, 4);
	ck_assert_uint_eq(probed.tick.number, 4);

	/* A first tick that was asked for stays. */
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	ck_assert_int_eq(asynctimer_start_after(timer, 15 * MS), 1);
	base_ns = asynctimer_next_due_ns(timer);
	expect_set_interval(timer, 3 * MS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), base_ns);
	probed.interval_ns = 0;
	run_callbacks(&probed, 5);
	ck_assert_uint_eq(probed.tick.due_ns, base_ns);
	probed.interval_ns = 3 * MS;
	run_callbacks(&probed, 7);
}
END_TEST

static int set_interval_in_callback(struct probe *probe)
{
	uint64_t interval_ns = probe->interval_ns == 5 * MS ? 6 * MS : 5 * MS;

	expect_set_interval(probe->watched.timer, interval_ns);
	ck_assert_uint_eq(asynctimer_next_due_ns(probe->watched.timer), UINT64_MAX);
	probe->interval_ns = interval_ns;
	return ASYNCTIMER_DONE;
}

START_TEST(set_interval_of_fixed_delay_while_open_counts_from_the_completion_to_come)
{
	struct asynctimer *timer = probe_new(&probed, CLOCK_MONOTONIC, 5 * MS, DELAY);
	uint64_t before_ns, after_ns;

	probed.act = set_interval_in_callback;
	start(&probed);
	run_callbacks(&probed, 6);
	/* The same with the tick deferred. */
	probed.act = NULL;
	probed.watched.result = ASYNCTIMER_PENDING;
	run_callbacks(&probed, 7);
	dispatch_until(now_mono() + 8 * MS);
	expect_set_interval(timer, 3 * MS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
	let_pass_until(now_mono() + 2 * MS);
	before_ns = now_mono();
	ck_assert_int_eq(asynctimer_complete(timer, probed.tick.number, 0), 0);
	after_ns = now_mono();
	probed.watched.result = ASYNCTIMER_DONE;
	probed.interval_ns = 0;
	run_callbacks(&probed, 8);
	ck_assert_uint_ge(probed.tick.due_ns, before_ns + 3 * MS);
	ck_assert_uint_le(probed.tick.due_ns, after_ns + 3 * MS);
	ck_assert_uint_eq(probed.tick.number, 8);
}
END_TEST

START_TEST(set_interval_to_an_earlier_tick_wakes_a_thread_that_waits)
{
	struct watched watched = { 0 };
	struct asynctimer *timer = watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE)->timer;
	pthread_t runner;

	watched.interval_ns = 0;
	must(asynctimer_start(timer));
	runner = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < 100; i++) {
		unsigned before = flag_get(&watched.callbacks);

		must(asynctimer_set_interval(timer, MS));
		await(flag_get(&watched.callbacks) != before);
		must(asynctimer_set_interval(timer, HOUR));
	}
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
}
END_TEST

/* Exactly. Times are from the start of the clock, in nanoseconds. */

static uint64_t origin_ns;

static void expect_due_ns(struct asynctimer *timer, uint64_t due_ns)
{
	ck_assert_uint_eq(asynctimer_next_due_ns(timer) - origin_ns, due_ns);
}

enum how { START, START_AFTER, START_AT };

/* Started so at 0 with an interval of 100, and with another one from now_ns: the next tick. */
static void due_with(enum how how, uint64_t when_ns, uint64_t now_ns, uint64_t interval_ns,
		     int policy, uint64_t due_ns)
{
	struct watched watched = { 0 };
	struct asynctimer *timer = watch_new(&watched, CLOCK_MONOTONIC, 100, policy)->timer;
	uint64_t late_ns = due_ns > now_ns ? due_ns : now_ns;

	origin_ns = now_mono();
	if (how == START)
		must(asynctimer_start(timer));
	else if (how == START_AFTER)
		must(asynctimer_start_after(timer, when_ns));
	else
		must(asynctimer_start_at(timer, origin_ns + when_ns));
	dispatch_until(origin_ns + now_ns);
	ck_assert_int_eq(asynctimer_set_interval(timer, interval_ns), 1);
	expect_due_ns(timer, due_ns);
	watched.restarted = true;
	if (due_ns > now_ns)
		ck_assert_int_eq(dispatch_until(origin_ns + due_ns - 1), 0);
	ck_assert_int_eq(dispatch_until(origin_ns + late_ns), 1);
	ck_assert_uint_eq(watched.last.due_ns - origin_ns, due_ns);
	ck_assert_uint_eq(watched.last.now_ns - origin_ns, late_ns);
	ck_assert_uint_eq(watched.last.skipped_busy + watched.last.skipped_late, 0);
	expect_due_ns(timer, late_ns + interval_ns);
	asynctimer_free(timer);
}

START_TEST(before_the_first_tick_the_new_grid_has_the_anchor_of_the_old)
{
	due_with(START, 0, 50, 30, SCHEDULE, 60);
	due_with(START, 0, 50, 300, SCHEDULE, 300);
	due_with(START, 0, 50, 50, SCHEDULE, 100);	/* 50 itself is not after now */
	due_with(START, 0, 50, 51, SCHEDULE, 51);
	due_with(START_AFTER, 90, 50, 30, SCHEDULE, 90);	/* never before it */
	due_with(START_AFTER, 90, 50, 3000, SCHEDULE, 90);
	due_with(START_AT, 80, 20, 10, SCHEDULE, 80);
}
END_TEST

START_TEST(an_anchor_in_the_past_is_kept_too)
{
	struct watched watched = { 0 };
	struct asynctimer *timer = watch_new(&watched, CLOCK_MONOTONIC, 20, SCHEDULE)->timer;

	origin_ns = now_mono();
	dispatch_until(origin_ns + 55);
	asynctimer_start_at(timer, origin_ns + 10);
	expect_due_ns(timer, 70);
	ck_assert_int_eq(asynctimer_set_interval(timer, 25), 1);
	expect_due_ns(timer, 60);
	ck_assert_int_eq(asynctimer_set_interval(timer, 1000), 1);
	expect_due_ns(timer, 1010);
	ck_assert_int_eq(asynctimer_set_interval(timer, 45), 1);
	expect_due_ns(timer, 100);
}
END_TEST

START_TEST(after_that_the_new_grid_is_anchored_at_the_last_due_point)
{
	due_with(START, 0, 250, 70, SCHEDULE, 270);
	due_with(START, 0, 250, 20, SCHEDULE, 260);
	due_with(START, 0, 260, 20, SCHEDULE, 280);
	due_with(START, 0, 250, 7000, SCHEDULE, 7200);
	due_with(START_AFTER, 30, 100, 7, SCHEDULE, 107);
}
END_TEST

/*
 * The rule, in the four situations in which "last" could mean several points: the
 * grid is anchored one old interval before what was the next due time. The timer
 * ticks at 100, and it is 350 when the interval changes from 100 to 70.
 */
static void expect_anchored_at(struct watched *watched, uint64_t anchor_ns)
{
	uint64_t due_ns = anchor_ns + ((350 - anchor_ns) / 70 + 1) * 70;

	expect_due_ns(watched->timer, anchor_ns + 100);
	ck_assert_uint_eq(now_mono() - origin_ns, 350);
	ck_assert_int_eq(asynctimer_set_interval(watched->timer, 70), 1);
	expect_due_ns(watched->timer, due_ns);
	watched->interval_ns = 70;
	watched->restarted = true;
	watched->then = NULL;
	watched->work_ns = 0;
	watched->result = ASYNCTIMER_DONE;
}

static void expect_tick_at(struct watched *watched, uint64_t due_ns)
{
	ck_assert_int_eq(dispatch_until(origin_ns + due_ns), 1);
	ck_assert_uint_eq(watched->last.due_ns - origin_ns, due_ns);
	ck_assert_uint_eq(watched->last.number, 2);
	expect_due_ns(watched->timer, due_ns + 70);
	asynctimer_free(watched->timer);
}

/* Its first tick is due at 100. */
static void begin(struct watched *watched)
{
	watch_new(watched, CLOCK_MONOTONIC, 100, SCHEDULE);
	origin_ns = now_mono();
	must(asynctimer_start(watched->timer));
}

static int set_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	expect_anchored_at(watched, 100);
	return ASYNCTIMER_DONE;
}

START_TEST(in_the_callback_the_new_grid_is_anchored_at_its_tick_not_at_a_point_since)
{
	struct watched watched = { .work_ns = 250, .then = set_in_callback };

	begin(&watched);
	ck_assert_int_eq(dispatch_until(origin_ns + 350), 1);
	expect_tick_at(&watched, 380);
}
END_TEST

START_TEST(with_its_tick_deferred_the_new_grid_is_anchored_there_too)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };

	begin(&watched);
	ck_assert_int_eq(dispatch_until(origin_ns + 350), 1);
	expect_anchored_at(&watched, 100);
	must(asynctimer_complete(watched.timer, 1, 0));
	expect_tick_at(&watched, 380);
}
END_TEST

START_TEST(after_a_completion_the_new_grid_is_anchored_at_the_last_point_skipped)
{
	struct watched watched = { .work_ns = 250 };

	begin(&watched);
	ck_assert_int_eq(dispatch_until(origin_ns + 350), 1);
	expect_anchored_at(&watched, 300);
	expect_tick_at(&watched, 370);
}
END_TEST

START_TEST(overdue_the_new_grid_is_anchored_at_the_tick_before)
{
	struct watched watched = { 0 };

	begin(&watched);
	ck_assert_int_eq(dispatch_until(origin_ns + 150), 1);
	let_pass_until(origin_ns + 350);
	expect_anchored_at(&watched, 100);
	expect_tick_at(&watched, 380);
}
END_TEST

/* The same rule where the clock does not stand still. */
START_TEST(set_interval_while_deferred_anchors_at_the_open_tick)
{
	struct asynctimer *timer = probe_new(&probed, CLOCK_MONOTONIC, 4 * MS, SCHEDULE);
	uint64_t number, due_ns;

	probed.watched.result = ASYNCTIMER_PENDING;
	start(&probed);
	run_callbacks(&probed, 1);
	number = probed.tick.number;
	let_pass_until(probed.tick.due_ns + 9 * MS);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), probed.tick.due_ns + 4 * MS);
	expect_regridded(&probed, 3 * MS);
	due_ns = asynctimer_next_due_ns(timer);
	probed.watched.result = ASYNCTIMER_DONE;
	must(asynctimer_complete(timer, number, 0));
	run_callbacks(&probed, 2);
	ck_assert_uint_eq(probed.tick.due_ns, due_ns + (probed.tick.number - number - 1) * 3 * MS);
}
END_TEST

START_TEST(a_new_delay_counts_from_the_last_completion)
{
	due_with(START, 0, 50, 300, DELAY, 300);
	due_with(START, 0, 50, 60, DELAY, 60);
	due_with(START, 0, 50, 20, DELAY, 20);		/* that is past: at once */
	due_with(START, 0, 250, 70, DELAY, 270);
	due_with(START, 0, 250, 20, DELAY, 220);
	due_with(START_AFTER, 90, 50, 10, DELAY, 90);	/* asked for: it stays */
	due_with(START_AFTER, 90, 50, 1000, DELAY, 90);
	due_with(START_AFTER, 90, 150, 10, DELAY, 100);
}
END_TEST

START_TEST(an_interval_stays_above_the_slack)
{
	struct watched watched = { 0 };
	struct asynctimer *timer =
		watch_new_shared(&watched, CLOCK_MONOTONIC, 100, SCHEDULE, 10)->timer;

	origin_ns = now_mono();
	ck_assert_int_eq(asynctimer_set_interval(timer, 100), 0);
	ck_assert_int_eq(asynctimer_set_interval(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_set_interval(timer, INTERVAL_MAX + 1), -EINVAL);
	ck_assert_int_eq(asynctimer_set_interval(timer, 10), -EINVAL);
	ck_assert_int_eq(asynctimer_set_interval(timer, 11), 1);
	ck_assert_int_eq(asynctimer_set_interval(timer, 30), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
	watched.interval_ns = 30;
	asynctimer_start(timer);
	expect_due_ns(timer, 30);
	for (uint64_t due_ns = 30; due_ns < 100; due_ns += 30) {
		ck_assert_int_eq(dispatch_until(origin_ns + due_ns + 9), 0);
		ck_assert_int_eq(dispatch_until(origin_ns + due_ns + 10), 1);
		ck_assert_uint_eq(watched.last.due_ns - origin_ns, due_ns);
	}
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("interval",
		EVERY(set_interval_while_stopped_counts_from_the_next_start),
		EVERY(set_interval_before_the_first_tick_keeps_the_anchor),
		EVERY(set_interval_while_armed_anchors_at_the_last_tick),
		EVERY(set_interval_while_late_counts_the_missed_as_nothing),
		EVERY(set_interval_while_open_skips_only_what_comes_due_from_then_on),
		EVERY(set_interval_drops_skips_that_were_not_reported),
		EVERY(set_interval_of_a_stopped_timer_with_its_tick_deferred_starts_nothing),
		EVERY(set_interval_of_fixed_delay_counts_from_the_last_completion),
		EVERY(set_interval_of_fixed_delay_while_open_counts_from_the_completion_to_come),
		EVERY(set_interval_while_deferred_anchors_at_the_open_tick),
		REAL(set_interval_to_an_earlier_tick_wakes_a_thread_that_waits),
		VIRTUAL(before_the_first_tick_the_new_grid_has_the_anchor_of_the_old),
		VIRTUAL(an_anchor_in_the_past_is_kept_too),
		VIRTUAL(after_that_the_new_grid_is_anchored_at_the_last_due_point),
		VIRTUAL(in_the_callback_the_new_grid_is_anchored_at_its_tick_not_at_a_point_since),
		VIRTUAL(with_its_tick_deferred_the_new_grid_is_anchored_there_too),
		VIRTUAL(after_a_completion_the_new_grid_is_anchored_at_the_last_point_skipped),
		VIRTUAL(overdue_the_new_grid_is_anchored_at_the_tick_before),
		VIRTUAL(a_new_delay_counts_from_the_last_completion),
		VIRTUAL(an_interval_stays_above_the_slack));
}
