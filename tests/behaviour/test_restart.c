/* SPDX-License-Identifier: MIT */
/*
 * asynctimer_restart_after. What a restart gives lies between two readings of
 * the clock around it; on a virtual clock these are one, so it is exact there.
 */
#include <errno.h>

#include "internal.h"
#include "util.h"
#include "wrap.h"

#define DELAY_MAX (UINT64_C(1) << 62)

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static int answer;
#define library(call) (wrap_inside = true, answer = (call), wrap_inside = false, answer)

static void advance_to(uint64_t until_ns)
{
	must(asynctimer_reactor_advance(reactor, until_ns - now_mono()));
}

/* Restarts it: when its next tick is due. */
static uint64_t restart(struct watched *watched, uint64_t delay_ns)
{
	uint64_t before_ns = now_on(watched->clock);
	uint64_t due_ns;

	ck_assert_int_eq(asynctimer_restart_after(watched->timer, delay_ns), 1);
	due_ns = asynctimer_next_due_ns(watched->timer);
	ck_assert_uint_ge(due_ns, before_ns + delay_ns);
	ck_assert_uint_le(due_ns, now_on(watched->clock) + delay_ns);
	ck_assert_int_eq(asynctimer_is_started(watched->timer), 1);
	watched->restarted = true;
	return due_ns;
}

/* Its last tick: on a real clock that of a grid may be late by whole intervals. */
static void expect_tick(const struct watched *watched, uint64_t number, uint64_t due_ns)
{
	uint64_t late = watched->last.skipped_late;

	if (backing == BACKING_VIRTUAL || !watched->interval_ns)
		ck_assert_uint_eq(late, 0);
	ck_assert_uint_eq(watched->last.number, number + late);
	ck_assert_uint_eq(watched->last.due_ns, due_ns + late * watched->interval_ns);
	ck_assert_uint_eq(watched->last.skipped_busy, 0);
}

/*
 * Stopped, refused, freed.
 */

START_TEST(of_a_stopped_timer_nothing_changes_and_the_answer_is_0)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer =
			watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy)->timer;

		ck_assert_int_eq(asynctimer_restart_after(timer, 0), 0);
		ck_assert_int_eq(asynctimer_is_started(timer), 0);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
		ck_assert_int_eq(dispatch(MS), 0);
		ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
		dispatch_callbacks(&watched, 1);
		asynctimer_stop(timer);
		ck_assert_int_eq(asynctimer_restart_after(timer, 0), 0);
		ck_assert_int_eq(dispatch(MS), 0);
		ck_assert_uint_eq(watched.last.number, 1);
		asynctimer_free(timer);
	}
}
END_TEST

static int restart_itself_in_vain(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	must(asynctimer_stop_nowait(watched->timer));
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, 0), 0);
	return watched->result;
}

START_TEST(stopped_while_its_tick_is_open_it_stays_stopped)
{
	const int results[] = { ASYNCTIMER_DONE, ASYNCTIMER_PENDING };

	FOR_EACH_POLICY(policy) for (unsigned i = 0; i < 2; i++) {
		struct watched watched = { .then = restart_itself_in_vain, .result = results[i] };
		struct asynctimer *timer = watch_new(&watched, CLOCK_MONOTONIC, MS, policy)->timer;

		ck_assert_int_eq(asynctimer_start(timer), 1);
		dispatch_callbacks(&watched, 1);
		ck_assert_int_eq(asynctimer_restart_after(timer, 0), 0);
		if (results[i] == ASYNCTIMER_PENDING)
			ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		ck_assert_int_eq(asynctimer_is_started(timer), 0);
		ck_assert_int_eq(dispatch(3 * MS), 0);
		asynctimer_free(timer);
	}
}
END_TEST

START_TEST(the_longest_delay_is_2_to_the_62nd)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer =
			watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy)->timer;
		const uint64_t refused[] = { DELAY_MAX + 1, INT64_MAX, UINT64_MAX };
		uint64_t due_ns;

		/* Also of a stopped one. */
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(asynctimer_restart_after(timer, refused[i]), -EINVAL);
		ck_assert_int_eq(asynctimer_start(timer), 1);
		due_ns = asynctimer_next_due_ns(timer);
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(asynctimer_restart_after(timer, refused[i]), -EINVAL);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		restart(&watched, DELAY_MAX);
		ck_assert_int_eq(dispatch(0), 0);
		asynctimer_free(timer);
	}
	ck_assert_int_eq(asynctimer_restart_after(NULL, 0), -EINVAL);
}
END_TEST

static int free_and_restart(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	asynctimer_free(watched->timer);
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, HOUR), -EINVAL);
	return ASYNCTIMER_DONE;
}

START_TEST(freed_in_its_callback_it_can_not_be_restarted)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .then = free_and_restart };

		watch_new(&watched, CLOCK_MONOTONIC, MS, policy);
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		dispatch_callbacks(&watched, 1);
		ck_assert_int_eq(dispatch(3 * MS), 0);
	}
}
END_TEST

/* Shut down by another thread while the callback runs. */
static int inside;
static int shut_down;

static int be_refused(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	flag_set(&inside);
	await(flag_get(&shut_down));
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, 0), -ESHUTDOWN);
	return ASYNCTIMER_DONE;
}

static void *shut_down_from_outside(void *data)
{
	await(flag_get(&inside));
	ck_assert_int_eq(asynctimer_reactor_shutdown(data, 0), 1);
	flag_set(&shut_down);
	return NULL;
}

START_TEST(after_a_shutdown_it_answers_that_also_for_a_stopped_timer)
{
	struct watched idle = { .callbacks = 0 };
	struct watched open = { .then = be_refused };
	pthread_t thread = thread_new(shut_down_from_outside, reactor);

	watch_new(&idle, CLOCK_MONOTONIC, MS, SCHEDULE);
	watch_new(&open, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	ck_assert_int_eq(asynctimer_start_after(open.timer, 0), 1);
	dispatch_callbacks(&open, 1);
	thread_join(thread);
	ck_assert_int_eq(asynctimer_restart_after(idle.timer, 0), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_restart_after(open.timer, HOUR), -ESHUTDOWN);
	ck_assert_int_eq(asynctimer_is_started(idle.timer) + asynctimer_is_started(open.timer), 0);
}
END_TEST

/*
 * Moved.
 */

START_TEST(it_moves_the_next_tick_and_the_grid_or_the_delays_that_follow)
{
	for (unsigned i = 0; i < 3; i++) FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns;

		if (policy == DELAY && clocks[i] == CLOCK_REALTIME)
			continue;
		watch_new(&watched, clocks[i], 5 * MS, policy);
		ck_assert_int_eq(asynctimer_start_after(watched.timer, HOUR), 1);
		/* Earlier, later, earlier. */
		restart(&watched, 5 * MS);
		restart(&watched, HOUR);
		due_ns = restart(&watched, 3 * MS);
		dispatch_callbacks(&watched, 1);
		expect_tick(&watched, 1, due_ns);
		if (policy == ONCE) {
			ck_assert_int_eq(dispatch(20 * MS), 0);
		} else {
			dispatch_callbacks(&watched, 3);
			due_ns = restart(&watched, 2 * MS);
			dispatch_callbacks(&watched, 4);
			ck_assert_uint_eq(watched.last.due_ns,
					  due_ns + watched.last.skipped_late * 5 * MS);
			dispatch_callbacks(&watched, 5);
		}
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(with_no_delay_it_runs_at_once)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns;

		watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy);
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		due_ns = restart(&watched, 0);
		ck_assert_int_eq(dispatch(-1), 1);
		expect_tick(&watched, 1, due_ns);
		if (backing == BACKING_VIRTUAL)
			ck_assert_uint_eq(watched.last.now_ns, due_ns);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(what_was_due_already_does_not_run)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns;

		watch_new(&watched, CLOCK_MONOTONIC, 2 * MS, policy);
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		due_ns = asynctimer_next_due_ns(watched.timer);
		let_pass_until(due_ns + 5 * MS);
		if (backing == BACKING_OWN)
			await(expired() == 1);
		restart(&watched, HOUR);
		/* Of its own timerfd nothing is left; that of others may have been said. */
		if (backing == BACKING_OWN)
			ck_assert(!is_readable(reactor));
		ck_assert_int_eq(dispatch(0), 0);
		due_ns = restart(&watched, 0);
		ck_assert_int_eq(dispatch(-1), 1);
		expect_tick(&watched, 1, due_ns);
		asynctimer_free(watched.timer);
		/* On a slow machine it was due again, and the reactor awake for it. */
		ck_assert_int_eq(dispatch(0), 0);
	}
}
END_TEST

START_TEST(an_idle_timeout_that_is_pushed_back_never_comes)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns = 0;

		watch_new(&watched, CLOCK_MONOTONIC, 20 * SECOND, policy);
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		for (unsigned i = 0; i < 300; i++) {
			ck_assert_int_eq(dispatch_until(now_mono() + 10 * US), 0);
			due_ns = restart(&watched, 20 * SECOND);
		}
		if (backing == BACKING_VIRTUAL) {
			advance_to(due_ns - 1);
			ck_assert_uint_eq(watched.callbacks, 0);
			advance_to(due_ns);
			expect_tick(&watched, 1, due_ns);
		}
		ck_assert_uint_eq(watched.callbacks, backing == BACKING_VIRTUAL);
		asynctimer_free(watched.timer);
	}
}
END_TEST

#define MANY 100

static unsigned came;

/* Own timers come in the kernel's order, all others in that of their due times. */
static int come_when_due(struct watched *watched, const struct asynctimer_tick *tick)
{
	static uint64_t last_ns;

	ck_assert_uint_eq(tick->due_ns, *(uint64_t *)watched->data);
	ck_assert_uint_eq(tick->number, 1);
	if (backing != BACKING_OWN)
		ck_assert_uint_ge(tick->due_ns, last_ns);
	last_ns = tick->due_ns;
	came++;
	return ASYNCTIMER_DONE;
}

START_TEST(of_many_each_comes_when_it_was_last_moved_to)
{
	static struct watched many[MANY];
	static uint64_t due_ns[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		many[i].then = come_when_due;
		many[i].data = &due_ns[i];
		watch_new(&many[i], CLOCK_MONOTONIC, HOUR, (int)i % 3);
		must(asynctimer_start_after(many[i].timer, i * 7 % MANY * MS));
	}
	for (unsigned i = 0; i < 3 * MANY; i++)
		due_ns[i % MANY] = restart(&many[i % MANY], i * 37 % MANY * 100 * US);
	while (came < MANY)
		dispatch(-1);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(many[i].callbacks, 1);
}
END_TEST

static int restart_victim(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *victim = watched->data;

	(void)tick;
	ck_assert_int_eq(asynctimer_restart_after(victim->timer, HOUR), 1);
	victim->restarted = true;
	return ASYNCTIMER_DONE;
}

START_TEST(moved_by_another_callback_of_the_same_turn_it_does_not_run)
{
	FOR_EACH_POLICY(policy) {
		struct watched victim = { .callbacks = 0 };
		struct watched mover = { .then = restart_victim, .data = &victim };
		uint64_t due_ns;

		watch_new(&mover, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		watch_new(&victim, CLOCK_MONOTONIC, HOUR, policy);
		must(asynctimer_start_after(mover.timer, US));
		must(asynctimer_start_after(victim.timer, 2 * US));
		due_ns = asynctimer_next_due_ns(victim.timer);
		let_pass_until(due_ns + MS);
		if (backing == BACKING_OWN)
			await(expired() == 2);
		if (backing == BACKING_SHARED)
			await(is_readable(reactor));
		ck_assert_int_eq(dispatch(0), 1);
		ck_assert_uint_eq(victim.callbacks, 0);
		ck_assert_int_eq(dispatch(0), 0);
		ck_assert_uint_ge(asynctimer_next_due_ns(victim.timer), due_ns + HOUR);
		asynctimer_free(mover.timer);
		asynctimer_free(victim.timer);
	}
}
END_TEST

START_TEST(moved_to_an_earlier_tick_it_wakes_a_thread_that_waits)
{
	FOR_BOTH_POLICIES(policy) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer =
			watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy)->timer;
		pthread_t runner;

		watched.interval_ns = 0;
		must(asynctimer_start(timer));
		runner = thread_new(run_reactor, reactor);
		for (unsigned i = 0; i < 100; i++) {
			unsigned before = flag_get(&watched.callbacks);

			/* Anew: while the last tick is open it would come an interval later. */
			ck_assert_int_eq(asynctimer_stop(timer), 1);
			ck_assert_int_eq(asynctimer_start(timer), 1);
			ck_assert_int_eq(asynctimer_restart_after(timer, i % 2 * MS), 1);
			await(flag_get(&watched.callbacks) != before);
		}
		asynctimer_reactor_stop(reactor);
		thread_join(runner);
		must(asynctimer_reactor_restart(reactor));
		asynctimer_free(timer);
	}
}
END_TEST

START_TEST(a_host_is_told_of_an_earlier_tick)
{
	struct watched watched = { .callbacks = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	must(asynctimer_start(watched.timer));
	while (is_readable(reactor))
		ck_assert_int_eq(dispatch(0), 0);
	restart(&watched, 0);
	while (watched.callbacks == 0) {
		await(is_readable(reactor));
		dispatch(0);
	}
}
END_TEST

/*
 * Exactly. Times are from the start of the test.
 */

static uint64_t origin_ns;

static void begin(struct watched *watched, int policy)
{
	watch_new(watched, CLOCK_MONOTONIC, 100, policy);
	origin_ns = now_mono();
	must(asynctimer_start(watched->timer));
}

/* The next one comes then, and is that tick. */
static void expect_next(struct watched *watched, uint64_t at_ns, uint64_t number, uint64_t busy)
{
	unsigned callbacks = watched->callbacks;

	if (now_mono() < origin_ns + at_ns) {
		advance_to(origin_ns + at_ns - 1);
		ck_assert_uint_eq(watched->callbacks, callbacks);
	}
	advance_to(origin_ns + at_ns);
	ck_assert_uint_eq(watched->callbacks, callbacks + 1);
	ck_assert_uint_eq(watched->last.due_ns, origin_ns + at_ns);
	ck_assert_uint_eq(watched->last.now_ns, origin_ns + at_ns);
	ck_assert_uint_eq(watched->last.number, number);
	ck_assert_uint_eq(watched->last.skipped_busy, busy);
	ck_assert_uint_eq(watched->last.skipped_late, 0);
}

START_TEST(the_grid_is_anchored_at_the_new_tick)
{
	FOR_BOTH_POLICIES(policy) {
		struct watched watched = { .callbacks = 0 };

		begin(&watched, policy);
		advance_to(origin_ns + 50);
		restart(&watched, 33);
		expect_next(&watched, 83, 1, 0);
		expect_next(&watched, 183, 2, 0);
		advance_to(origin_ns + 200);
		restart(&watched, 250);		/* beyond the tick that was to come */
		expect_next(&watched, 450, 3, 0);
		expect_next(&watched, 550, 4, 0);
		restart(&watched, 0);		/* again in the same moment */
		expect_next(&watched, 550, 5, 0);
		expect_next(&watched, 650, 6, 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(with_once_there_is_one_tick_wherever_it_is_moved)
{
	struct watched watched = { .callbacks = 0 };

	begin(&watched, ONCE);
	advance_to(origin_ns + 50);
	restart(&watched, 333);
	expect_next(&watched, 383, 1, 0);
	ck_assert_int_eq(asynctimer_restart_after(watched.timer, 0), 0);
	advance_to(origin_ns + 2000);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

START_TEST(with_slack_it_is_moved_too)
{
	struct watched watched = { .callbacks = 0 };

	watch_new_shared(&watched, CLOCK_MONOTONIC, 100, SCHEDULE, 20);
	origin_ns = now_mono();
	must(asynctimer_start(watched.timer));
	advance_to(origin_ns + 110);	/* due, but not yet woken for */
	ck_assert_uint_eq(watched.callbacks, 0);
	restart(&watched, 40);
	advance_to(origin_ns + 169);
	ck_assert_uint_eq(watched.callbacks, 0);
	advance_to(origin_ns + 170);
	expect_tick(&watched, 1, origin_ns + 150);
	ck_assert_uint_eq(watched.last.now_ns, origin_ns + 170);
}
END_TEST

/* Its grid and its counts are those of a start; what came before is not in them. */
START_TEST(ticks_that_were_not_delivered_count_as_nothing)
{
	struct watched watched = { .callbacks = 0 };

	begin(&watched, SCHEDULE);
	expect_next(&watched, 100, 1, 0);
	let_pass_until(origin_ns + 530);	/* 200 to 500 are late */
	restart(&watched, 20);
	expect_next(&watched, 550, 2, 0);
	watched.work_ns = 250;			/* 750 and 850 are busy, of 650 to 900 */
	expect_next(&watched, 650, 3, 0);
	watched.work_ns = 0;
	ck_assert_uint_eq(now_mono(), origin_ns + 900);
	restart(&watched, 20);
	expect_next(&watched, 920, 4, 0);
}
END_TEST

/* For 30 from the moment of the call, in the callback and when it has worked for 50. */
static int restart_midway(struct watched *watched, const struct asynctimer_tick *tick)
{
	uint64_t *more_ns = watched->data;

	(void)tick;
	watched->then = NULL;
	spin_until(CLOCK_MONOTONIC, now_mono() + 50);
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, HOUR), 1);
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, 30), 1);
	watched->restarted = true;
	spin_until(CLOCK_MONOTONIC, now_mono() + *more_ns);
	return watched->result;
}

static void restarted_while_open(int policy, uint64_t more_ns, int result, uint64_t due_ns,
				 uint64_t busy)
{
	struct watched watched = { .then = restart_midway, .data = &more_ns, .result = result };

	begin(&watched, policy);
	expect_next(&watched, 100, 1, 0);
	if (result == ASYNCTIMER_PENDING)
		must(asynctimer_complete(watched.timer, 1, 0));
	watched.result = ASYNCTIMER_DONE;
	expect_next(&watched, due_ns, 2 + busy, busy);
	expect_next(&watched, due_ns + 100, 3 + busy, 0);
	asynctimer_free(watched.timer);
}

START_TEST(in_its_callback_it_takes_effect_at_the_completion_as_a_start_does)
{
	restarted_while_open(SCHEDULE, 0, ASYNCTIMER_DONE, 180, 0);
	restarted_while_open(SCHEDULE, 29, ASYNCTIMER_DONE, 180, 0);
	restarted_while_open(SCHEDULE, 30, ASYNCTIMER_DONE, 280, 1);
	restarted_while_open(SCHEDULE, 200, ASYNCTIMER_DONE, 380, 2);
	restarted_while_open(DELAY, 0, ASYNCTIMER_DONE, 250, 0);
	restarted_while_open(DELAY, 200, ASYNCTIMER_DONE, 450, 0);
}
END_TEST

START_TEST(in_its_callback_with_its_work_deferred_too)
{
	restarted_while_open(SCHEDULE, 0, ASYNCTIMER_PENDING, 180, 0);
	restarted_while_open(SCHEDULE, 30, ASYNCTIMER_PENDING, 280, 1);
	restarted_while_open(DELAY, 200, ASYNCTIMER_PENDING, 450, 0);
}
END_TEST

/* Deferred at 100, restarted for 30 at 150, completed then. */
static void restarted_while_deferred(int policy, uint64_t completed_ns, uint64_t due_ns,
				     uint64_t busy)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };

	begin(&watched, policy);
	expect_next(&watched, 100, 1, 0);
	advance_to(origin_ns + 150);
	ck_assert_int_eq(asynctimer_restart_after(watched.timer, 1000), 1);
	ck_assert_int_eq(asynctimer_restart_after(watched.timer, 30), 1);
	watched.restarted = true;
	advance_to(origin_ns + completed_ns);
	ck_assert_uint_eq(watched.callbacks, 1);
	must(asynctimer_complete(watched.timer, 1, 0));
	watched.result = ASYNCTIMER_DONE;
	expect_next(&watched, due_ns, 2 + busy, busy);
	expect_next(&watched, due_ns + 100, 3 + busy, 0);
	asynctimer_free(watched.timer);
}

START_TEST(while_its_tick_is_deferred_it_takes_effect_at_the_completion_as_a_start_does)
{
	restarted_while_deferred(SCHEDULE, 150, 180, 0);
	restarted_while_deferred(SCHEDULE, 179, 180, 0);
	restarted_while_deferred(SCHEDULE, 180, 280, 1);
	restarted_while_deferred(SCHEDULE, 400, 480, 3);
	restarted_while_deferred(DELAY, 150, 250, 0);
	restarted_while_deferred(DELAY, 400, 500, 0);
}
END_TEST

START_TEST(while_open_a_delay_moved_further_than_one_interval_is_due_then)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };

	begin(&watched, DELAY);
	expect_next(&watched, 100, 1, 0);
	advance_to(origin_ns + 150);
	ck_assert_int_eq(asynctimer_restart_after(watched.timer, 1000), 1);
	must(asynctimer_complete(watched.timer, 1, 0));
	watched.result = ASYNCTIMER_DONE;
	ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), origin_ns + 1150);
	expect_next(&watched, 1150, 2, 0);
}
END_TEST

/* Stopped by its claim, it is there to be moved only once it was started again. */
static int move_the_new_start(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (watched->callbacks > 1)
		return ASYNCTIMER_DONE;
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, 0), 0);
	ck_assert_int_eq(asynctimer_start(watched->timer), 1);
	ck_assert_int_eq(asynctimer_restart_after(watched->timer, 30), 1);
	spin_until(CLOCK_MONOTONIC, now_mono() + 50);
	return watched->result;
}

START_TEST(in_a_once_timers_callback_it_moves_what_was_started_there)
{
	const int results[] = { ASYNCTIMER_DONE, ASYNCTIMER_PENDING };

	for (unsigned i = 0; i < 2; i++) {
		struct watched watched = { .then = move_the_new_start, .result = results[i] };

		begin(&watched, ONCE);
		advance_to(origin_ns + 100);
		if (results[i] == ASYNCTIMER_PENDING)
			must(asynctimer_complete(watched.timer, 1, 0));
		advance_to(origin_ns + 150);
		/* Due at 130, when the callback ran: not skipped. */
		expect_tick(&watched, 2, origin_ns + 130);
		ck_assert_uint_eq(watched.last.now_ns, origin_ns + 150);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(another_interval_keeps_the_tick_that_it_was_moved_to)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };

		begin(&watched, policy);
		advance_to(origin_ns + 50);
		restart(&watched, 90);
		ck_assert_int_eq(asynctimer_set_interval(watched.timer, 30), 1);
		watched.restarted = true;
		expect_next(&watched, 140, 1, 0);
		watched.interval_ns = policy == SCHEDULE ? 30 : 0;
		if (policy != ONCE)
			expect_next(&watched, 170, 2, 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(on_a_clock_that_is_set_it_stays_where_it_was_moved_to)
{
	const int policies[] = { SCHEDULE, ONCE };

	for (unsigned i = 0; i < 2; i++) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns;

		watch_new(&watched, CLOCK_REALTIME, 100, policies[i]);
		must(asynctimer_start_after(watched.timer, 0));
		must(asynctimer_reactor_advance(reactor, 0));
		if (policies[i] == ONCE)
			must(asynctimer_start(watched.timer));
		due_ns = restart(&watched, 70);
		must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, due_ns - 570));
		ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), due_ns);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 569), 0);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), 1);
		expect_tick(&watched, 2, due_ns);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/*
 * What the kernel refuses.
 */

static void refuse_settime(unsigned times)
{
	wrap_fail((struct wrap_fault){ WRAP_SETTIME, 1, times, EPERM, false });
}

/* However often it asks. */
static void be_refused_by_the_kernel(struct watched *watched, uint64_t delay_ns)
{
	refuse_settime(UINT32_MAX);
	ck_assert_int_eq(library(asynctimer_restart_after(watched->timer, delay_ns)), -EPERM);
	ck_assert_uint_ge(wrap_end(), 1);
	ck_assert_int_eq(asynctimer_is_started(watched->timer), 1);
}

START_TEST(where_its_timerfd_can_not_be_armed_the_old_tick_stays)
{
	for (unsigned i = 0; i < 3; i++) FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns;

		if (policy == DELAY && clocks[i] == CLOCK_REALTIME)
			continue;
		watch_new(&watched, clocks[i], 5 * MS, policy);
		must(asynctimer_start(watched.timer));
		if (policy != ONCE)
			dispatch_callbacks(&watched, 1);
		due_ns = asynctimer_next_due_ns(watched.timer);
		for (unsigned later = 0; later < 2; later++) {
			be_refused_by_the_kernel(&watched, later * HOUR);
			ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), due_ns);
		}
		/* It ticks as if nothing had been asked: number and due as they were to be. */
		dispatch_callbacks(&watched, watched.callbacks + 1);
		if (policy != SCHEDULE)
			ck_assert_uint_eq(watched.last.due_ns, due_ns);
		if (policy != ONCE)
			dispatch_callbacks(&watched, watched.callbacks + 1);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(where_it_was_due_already_and_can_not_be_moved_it_still_runs)
{
	FOR_EACH_POLICY(policy) {
		struct watched watched = { .callbacks = 0 };
		uint64_t due_ns;

		watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy);
		must(asynctimer_start_after(watched.timer, 0));
		due_ns = asynctimer_next_due_ns(watched.timer);
		await(expired() == 1);
		be_refused_by_the_kernel(&watched, HOUR);
		/* Its edge has been reported by the kernel, or comes yet. */
		ck_assert_int_eq(dispatch(-1), 1);
		expect_tick(&watched, 1, due_ns);
		asynctimer_free(watched.timer);
	}
}
END_TEST

static int move_in_vain(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	be_refused_by_the_kernel(watched->data, HOUR);
	return ASYNCTIMER_DONE;
}

START_TEST(where_its_edge_was_taken_and_it_can_not_be_moved_it_still_runs)
{
	FOR_EACH_POLICY(policy) {
		struct watched victim = { .callbacks = 0 };
		struct watched mover = { .then = move_in_vain, .data = &victim };
		uint64_t due_ns;

		watch_new(&mover, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		watch_new(&victim, CLOCK_MONOTONIC, HOUR, policy);
		must(asynctimer_start_after(mover.timer, 0));
		await(expired() == 1);
		must(asynctimer_start_after(victim.timer, 0));
		due_ns = asynctimer_next_due_ns(victim.timer);
		await(expired() == 2);
		/* In one harvest both, of which the first acts on the second. */
		dispatch_callbacks(&victim, 1);
		expect_tick(&victim, 1, due_ns);
		asynctimer_free(mover.timer);
		asynctimer_free(victim.timer);
	}
}
END_TEST

START_TEST(while_its_tick_is_open_the_kernel_is_not_asked)
{
	FOR_BOTH_POLICIES(policy) {
		struct watched watched = { .result = ASYNCTIMER_PENDING };

		watch_new(&watched, CLOCK_MONOTONIC, HOUR, policy);
		must(asynctimer_start_after(watched.timer, 0));
		dispatch_callbacks(&watched, 1);
		refuse_settime(UINT32_MAX);
		ck_assert_int_eq(library(asynctimer_restart_after(watched.timer, 0)), 1);
		ck_assert_uint_eq(wrap_end(), 0);
		must(asynctimer_complete(watched.timer, 1, 0));
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(where_the_shared_ones_can_not_be_armed_it_is_moved_all_the_same)
{
	struct watched watched = { .callbacks = 0 };
	uint64_t due_ns;
	int r;
	uint64_t delay_ns = MS;
	unsigned refused;

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	/* On a slow machine it may be due before it is to be armed. */
	do {
		delay_ns *= 2;
		watched.callbacks = 0;
		watched.restarted = true;
		asynctimer_stop(watched.timer);
		must(asynctimer_start(watched.timer));
		ck_assert_int_eq(dispatch(0), 0);
		refuse_settime(3);
		wrap_inside = true;
		r = asynctimer_restart_after(watched.timer, delay_ns);
		due_ns = asynctimer_next_due_ns(watched.timer);
		while (watched.callbacks == 0)
			must(asynctimer_reactor_dispatch(reactor, -1));
		wrap_inside = false;
		refused = wrap_end();
		ck_assert_int_eq(r, 1);
		ck_assert_uint_eq(watched.last.due_ns, due_ns);
	} while (!refused);
}
END_TEST

START_TEST(nothing_is_acquired_by_it)
{
	for (enum wrap_call call = WRAP_NONE; call < WRAP_CALLS; call++) {
		struct watched watched = { .callbacks = 0 };

		if (!wrap_acquires(call))
			continue;
		watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
		must(asynctimer_start(watched.timer));
		wrap_fail((struct wrap_fault){ call, 1, UINT32_MAX, ENOMEM, false });
		ck_assert_int_eq(library(asynctimer_restart_after(watched.timer, 0)), 1);
		ck_assert_int_eq(library(asynctimer_restart_after(watched.timer, HOUR)), 1);
		ck_assert_uint_eq(wrap_end(), 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

int main(void)
{
	/* OWN, SHARED: what the kernel refuses. REAL: threads and hosts that wait. */
	return RUN_WITH_BACKINGS("restart",
		EVERY(of_a_stopped_timer_nothing_changes_and_the_answer_is_0),
		EVERY(stopped_while_its_tick_is_open_it_stays_stopped),
		EVERY(the_longest_delay_is_2_to_the_62nd),
		EVERY(freed_in_its_callback_it_can_not_be_restarted),
		EVERY(after_a_shutdown_it_answers_that_also_for_a_stopped_timer),
		EVERY(it_moves_the_next_tick_and_the_grid_or_the_delays_that_follow),
		EVERY(with_no_delay_it_runs_at_once),
		EVERY(what_was_due_already_does_not_run),
		EVERY(an_idle_timeout_that_is_pushed_back_never_comes),
		EVERY(of_many_each_comes_when_it_was_last_moved_to),
		EVERY(moved_by_another_callback_of_the_same_turn_it_does_not_run),
		REAL(moved_to_an_earlier_tick_it_wakes_a_thread_that_waits),
		REAL(a_host_is_told_of_an_earlier_tick),
		VIRTUAL(the_grid_is_anchored_at_the_new_tick),
		VIRTUAL(with_once_there_is_one_tick_wherever_it_is_moved),
		VIRTUAL(with_slack_it_is_moved_too),
		VIRTUAL(ticks_that_were_not_delivered_count_as_nothing),
		VIRTUAL(in_its_callback_it_takes_effect_at_the_completion_as_a_start_does),
		VIRTUAL(in_its_callback_with_its_work_deferred_too),
		VIRTUAL(while_its_tick_is_deferred_it_takes_effect_at_the_completion_as_a_start_does),
		VIRTUAL(while_open_a_delay_moved_further_than_one_interval_is_due_then),
		VIRTUAL(in_a_once_timers_callback_it_moves_what_was_started_there),
		VIRTUAL(another_interval_keeps_the_tick_that_it_was_moved_to),
		VIRTUAL(on_a_clock_that_is_set_it_stays_where_it_was_moved_to),
		OWN(where_its_timerfd_can_not_be_armed_the_old_tick_stays),
		OWN(where_it_was_due_already_and_can_not_be_moved_it_still_runs),
		OWN(where_its_edge_was_taken_and_it_can_not_be_moved_it_still_runs),
		OWN(while_its_tick_is_open_the_kernel_is_not_asked),
		SHARED(where_the_shared_ones_can_not_be_armed_it_is_moved_all_the_same),
		REAL(nothing_is_acquired_by_it));
}
