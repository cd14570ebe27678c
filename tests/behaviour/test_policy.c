/* SPDX-License-Identifier: MIT */
/*
 * The two policies. A loaded machine may be late anywhere; so what is expected
 * is computed from due_ns, which is exact, and from clock readings around what
 * the library reads for itself. On a virtual clock these are one.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

#define INTERVAL (10 * MS)

/* The points due until end_ns that were delivered or skipped, once all of `points` are. */
static uint64_t points_until(struct probe *probe, uint64_t end_ns, uint64_t points)
{
	uint64_t hung_ns = now_mono() + 30 * ASYNCTIMER_SECOND;
	const struct asynctimer_tick *tick = &probe->tick;

	run_until(end_ns);
	while (tick->number < points) {
		turn((int64_t)ASYNCTIMER_SECOND);
		ck_assert_uint_lt(now_mono(), hung_ns);
	}
	if (tick->due_ns <= end_ns)
		return tick->number;
	return tick->number - (tick->due_ns - end_ns + probe->interval_ns - 1) / probe->interval_ns;
}

/* The six acceptance cases of the original, a second of it in 10 ms. */

START_TEST(original_1_a_timer_of_1500_ms_for_7_s_ticks_4_times)
{
	uint64_t anchor_ns;

	probe_new(&probed, CLOCK_MONOTONIC, 15 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	anchor_ns = start(&probed);
	ck_assert_uint_eq(points_until(&probed, anchor_ns + 70 * MS, 4), 4);
	expect_consistent_stats(&probed);
}
END_TEST

START_TEST(original_2_stopped_for_5_s_and_restarted_for_11_s_it_ticks_7_times_more)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, 15 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	uint64_t anchor_ns = start(&probed);
	uint64_t number;
	unsigned callbacks;

	ck_assert_uint_eq(points_until(&probed, anchor_ns + 70 * MS, 4), 4);
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	number = probed.tick.number;
	callbacks = probed.watched.callbacks;
	run_until(now_mono() + 50 * MS);
	ck_assert_uint_eq(probed.watched.callbacks, callbacks);

	probed.watched.restarted = true;
	/* There is no completion between, so the probe's law starts anew as well. */
	probed.interval_ns = 0;
	anchor_ns = now_mono();
	ck_assert_int_eq(asynctimer_start(timer), 1);
	ck_assert_uint_ge(asynctimer_next_due_ns(timer), anchor_ns + 15 * MS);
	anchor_ns = asynctimer_next_due_ns(timer) - 15 * MS;
	run_callbacks(&probed, callbacks + 1);
	ck_assert_uint_eq(probed.tick.due_ns, anchor_ns + (probed.tick.number - number) * 15 * MS);
	probed.interval_ns = 15 * MS;
	ck_assert_uint_eq(points_until(&probed, anchor_ns + 110 * MS, number + 7), number + 7);
}
END_TEST

START_TEST(original_3_timers_of_1_2_3_s_for_13500_ms_tick_13_6_4_times)
{
	const uint64_t points[] = { 13, 6, 4 };
	static struct probe probe[3];
	uint64_t anchor_ns[3];

	for (unsigned i = 0; i < 3; i++)
		probe_new(&probe[i], CLOCK_MONOTONIC, (i + 1) * 10 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	for (unsigned i = 0; i < 3; i++)
		anchor_ns[i] = start(&probe[i]);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(points_until(&probe[i], anchor_ns[i] + 135 * MS, points[i]),
				  points[i]);
}
END_TEST

START_TEST(original_4_fixed_delay_of_1_s_and_500_ms_of_work_for_7_s_ticks_4_times)
{
	uint64_t anchor_ns;

	probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, ASYNCTIMER_FIXED_DELAY);
	probed.watched.work_ns = 5 * MS;
	anchor_ns = start(&probed);
	for (unsigned i = 1; i <= 5; i++) {
		run_callbacks(&probed, i);
		/* The probe sees that no more than this and the time it was late come together. */
		ck_assert_uint_ge(probed.tick.due_ns, anchor_ns + (15 * i - 5) * MS);
	}
	/* The fifth, at 7 s to the nanosecond if nothing was late or slow. */
	ck_assert_uint_ge(probed.tick.due_ns, anchor_ns + 70 * MS);
	if (backing == BACKING_VIRTUAL)
		ck_assert_uint_eq(probed.tick.due_ns, anchor_ns + 70 * MS);
	ck_assert_uint_eq(probed.tick.number, 5);
	expect_consistent_stats(&probed);
}
END_TEST

START_TEST(original_5_a_timer_of_2_s_stopped_at_5_s_has_ticked_2_times_at_7_s)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, 20 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	uint64_t anchor_ns = start(&probed);
	unsigned callbacks;

	ck_assert_uint_eq(points_until(&probed, anchor_ns + 50 * MS, 2), 2);
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	callbacks = probed.watched.callbacks;
	run_until(now_mono() + 60 * MS);
	ck_assert_uint_eq(probed.watched.callbacks, callbacks);
}
END_TEST

START_TEST(original_6_a_timer_of_1_s_with_1500_ms_of_work_for_8_s_ticks_4_times)
{
	uint64_t anchor_ns;

	probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	probed.watched.work_ns = 15 * MS;
	anchor_ns = start(&probed);
	for (unsigned i = 1; i <= 5; i++) {
		run_callbacks(&probed, i);
		/* 1, 3, 5, 7 and, past the 8, 9; more only by what it was late or slow. */
		ck_assert_uint_ge(probed.tick.number, 2 * i - 1);
		ck_assert_uint_ge(probed.busy, i - 1);
		ck_assert_uint_eq(probed.tick.due_ns, anchor_ns + probed.tick.number * 10 * MS);
	}
	ck_assert_uint_gt(probed.tick.due_ns, anchor_ns + 80 * MS);
	expect_consistent_stats(&probed);
}
END_TEST

/* Lateness that is not the timer's own. */

static int block(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct probe *other = watched->data;

	(void)tick;
	look_at_the_clock();
	spin_until(CLOCK_MONOTONIC, other->tick.due_ns + 43 * MS);
	return ASYNCTIMER_DONE;
}

START_TEST(a_timer_behind_anothers_slow_callback_fires_once_and_is_back_on_its_grid)
{
	struct watched blocker = { .then = block };

	probe_new(&probed, CLOCK_MONOTONIC, INTERVAL, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&blocker, CLOCK_MONOTONIC, ASYNCTIMER_SECOND, ASYNCTIMER_FIXED_SCHEDULE);
	blocker.data = &probed;
	start(&probed);
	run_callbacks(&probed, 1);
	must(asynctimer_start_after(blocker.timer, 5 * MS));
	while (!blocker.callbacks)
		turn(-1);
	/* Both may have run in that turn, in either order. */
	if (probed.tick.now_ns <= blocker.last.now_ns)
		run_callbacks(&probed, probed.watched.callbacks + 1);
	ck_assert_uint_gt(probed.tick.now_ns, blocker.last.now_ns);
	ck_assert_uint_ge(probed.tick.skipped_busy + probed.tick.skipped_late, 3);
	run_callbacks(&probed, probed.watched.callbacks + 3);
	expect_consistent_stats(&probed);
}
END_TEST

START_TEST(a_timer_whose_host_does_not_dispatch_fires_once_and_is_back_on_its_grid)
{
	probe_new(&probed, CLOCK_MONOTONIC, INTERVAL, ASYNCTIMER_FIXED_SCHEDULE);
	start(&probed);
	for (unsigned i = 1; i <= 3; i++) {
		struct asynctimer_tick before;

		run_callbacks(&probed, 2 * i - 1);
		before = probed.tick;
		let_pass_until(before.due_ns + 43 * MS);
		turn((int64_t)ASYNCTIMER_SECOND);
		/* One callback for the four points, and the next point comes for itself. */
		ck_assert_uint_eq(probed.watched.callbacks, 2 * i);
		ck_assert_uint_ge(probed.tick.number, before.number + 4);
	}
	run_callbacks(&probed, probed.watched.callbacks + 3);
	expect_consistent_stats(&probed);
}
END_TEST

START_TEST(a_fixed_delay_timer_that_is_late_fires_once_and_skips_nothing)
{
	probe_new(&probed, CLOCK_MONOTONIC, INTERVAL, ASYNCTIMER_FIXED_DELAY);
	start(&probed);
	run_callbacks(&probed, 1);
	let_pass_until(probed.tick.due_ns + 43 * MS);
	turn((int64_t)ASYNCTIMER_SECOND);
	ck_assert_uint_eq(probed.watched.callbacks, 2);
	run_callbacks(&probed, 5);
	ck_assert_uint_eq(probed.tick.number, 5);
	expect_consistent_stats(&probed);
}
END_TEST

static int tell(struct watched *watched, const struct asynctimer_tick *tick)
{
	int fd = *(int *)watched->data;

	if (write(fd, tick, sizeof(*tick)) != sizeof(*tick))
		_exit(EXIT_FAILURE);
	return ASYNCTIMER_DONE;
}

static _Noreturn void tell_ticks(int fd)
{
	struct watched watched = { .then = tell, .data = &fd };

	must(asynctimer_reactor_new(&reactor));
	watch_new(&watched, CLOCK_MONOTONIC, INTERVAL, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	must(asynctimer_reactor_run(reactor));
	_exit(EXIT_SUCCESS);
}

static struct asynctimer_tick read_tick(int fd)
{
	struct asynctimer_tick tick;

	ck_assert_int_eq(read(fd, &tick, sizeof(tick)), sizeof(tick));
	return tick;
}

START_TEST(a_process_stopped_and_continued_fires_once_and_is_back_on_its_grid)
{
	struct asynctimer_tick tick = { 0 };
	uint64_t stopped_ns, continued_ns, skipped = 0;
	int for_points_in_between = 0;
	int ends[2];
	int status;
	pid_t child;

	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		tell_ticks(ends[1]);
	close(ends[1]);
	while (tick.number < 2)
		tick = read_tick(ends[0]);
	ck_assert_int_eq(kill(child, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
	ck_assert(WIFSTOPPED(status));
	stopped_ns = now_mono();
	spin_until(CLOCK_MONOTONIC, stopped_ns + 5 * INTERVAL);
	continued_ns = now_mono();
	ck_assert_int_eq(kill(child, SIGCONT), 0);
	while (tick.due_ns < continued_ns + 3 * INTERVAL) {
		struct asynctimer_tick last = tick;

		tick = read_tick(ends[0]);
		ck_assert_uint_eq(tick.number,
				  last.number + 1 + tick.skipped_busy + tick.skipped_late);
		ck_assert_uint_eq(tick.due_ns,
				  last.due_ns + (tick.number - last.number) * INTERVAL);
		ck_assert_uint_lt(tick.now_ns - tick.due_ns, INTERVAL);
		ck_assert(tick.now_ns <= stopped_ns || tick.now_ns >= continued_ns);
		for_points_in_between += tick.due_ns > stopped_ns && tick.due_ns < continued_ns;
		skipped += tick.number - last.number - 1;
	}
	ck_assert_int_le(for_points_in_between, 1);
	ck_assert_uint_ge(skipped, 4);
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	close(ends[0]);
}
END_TEST

START_TEST(own_overrun_skips_to_the_grid_however_long)
{
	const uint64_t work_ms[] = { 0, 15, 0, 25, 9, 47, 0 };

	probe_new(&probed, CLOCK_MONOTONIC, INTERVAL, ASYNCTIMER_FIXED_SCHEDULE);
	start(&probed);
	for (unsigned i = 0; i < sizeof(work_ms) / sizeof(*work_ms); i++) {
		probed.watched.work_ns = work_ms[i] * MS;
		run_callbacks(&probed, i + 1);
	}
	run_callbacks(&probed, probed.watched.callbacks + 1);
	ck_assert_uint_ge(probed.busy, 1 + 2 + 4);
	expect_consistent_stats(&probed);
}
END_TEST

START_TEST(fixed_delay_is_never_earlier_than_completion_and_interval)
{
	probe_new(&probed, CLOCK_MONOTONIC, 500 * US, ASYNCTIMER_FIXED_DELAY);
	probed.watched.work_ns = 300 * US;
	start(&probed);
	run_callbacks(&probed, 500);
	ck_assert_uint_eq(probed.tick.number, 500);
	expect_consistent_stats(&probed);
}
END_TEST

/* Starting. */

static uint64_t restart_read_ns;

static int restart_when_busy(struct probe *probe)
{
	struct asynctimer *timer = probe->watched.timer;

	ck_assert_int_eq(asynctimer_stop(timer), 1);
	spin_until(CLOCK_MONOTONIC, now_mono() + 5 * MS);
	restart_read_ns = now_mono();
	ck_assert_int_eq(asynctimer_start(timer), 1);
	probe->watched.restarted = true;
	return ASYNCTIMER_DONE;
}

START_TEST(start_from_a_busy_callback_is_never_early)
{
	FOR_BOTH_POLICIES(policy) {
		probe_new(&probed, CLOCK_MONOTONIC, 2 * MS, policy);
		probed.act = restart_when_busy;
		start(&probed);
		run_callbacks(&probed, 1);
		/* Each tick is on a grid of its own. */
		probed.interval_ns = 0;
		for (unsigned i = 2; i <= 20; i++) {
			uint64_t from_ns = policy == ASYNCTIMER_FIXED_DELAY ? probed.ended_ns
									     : restart_read_ns;

			run_callbacks(&probed, i);
			ck_assert_uint_ge(probed.tick.due_ns, from_ns + 2 * MS);
		}
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

static int restart_at_once(struct probe *probe)
{
	struct asynctimer *timer = probe->watched.timer;

	probe->act = NULL;
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	restart_read_ns = now_mono();
	ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
	ck_assert_int_eq(asynctimer_start_after(timer, 0), 0);
	probe->watched.restarted = true;
	return ASYNCTIMER_DONE;
}

START_TEST(start_after_0_fires_at_once)
{
	FOR_BOTH_POLICIES(policy) {
		struct asynctimer *timer = probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, policy);
		uint64_t before_ns = now_mono(), after_ns;

		ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
		after_ns = now_mono();
		ck_assert_uint_ge(asynctimer_next_due_ns(timer), before_ns);
		ck_assert_uint_le(asynctimer_next_due_ns(timer), after_ns);
		run_callbacks(&probed, 3);
		expect_consistent_stats(&probed);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(start_after_0_in_the_own_callback_means_one_interval_later)
{
	FOR_BOTH_POLICIES(policy) {
		uint64_t restarted_ns, before_ns;

		probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, policy);
		probed.act = restart_at_once;
		start(&probed);
		run_callbacks(&probed, 1);
		restarted_ns = restart_read_ns;
		before_ns = probed.after_ns;
		probed.interval_ns = 0;
		run_callbacks(&probed, 2);
		ck_assert_uint_ge(probed.tick.due_ns, restarted_ns + 10 * MS);
		if (policy == ASYNCTIMER_FIXED_SCHEDULE) {
			/* The point that it was started for is skipped, and counted. */
			ck_assert_uint_ge(probed.tick.skipped_busy, 1);
			ck_assert_uint_le(probed.tick.skipped_busy,
					  1 + (before_ns - restarted_ns) / (10 * MS));
		}
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

#define FOR_EACH_CLOCK(i) for (unsigned i = 0; i < sizeof(clocks) / sizeof(*clocks); i++)

START_TEST(start_at_the_past_now_and_the_future_on_each_clock)
{
	FOR_EACH_CLOCK(i) {
		struct asynctimer *timer =
			probe_new(&probed, clocks[i], 7 * MS, ASYNCTIMER_FIXED_SCHEDULE);
		const uint64_t anchors_ns[] = { 0, 3 * MS, now_on(clocks[i]) - 100 * MS,
						now_on(clocks[i]) };
		uint64_t future_ns;

		for (unsigned k = 0; k < 4; k++) {
			uint64_t before_ns = now_on(clocks[i]), after_ns, due_ns;

			ck_assert_int_eq(asynctimer_start_at(timer, anchors_ns[k]), 1);
			due_ns = asynctimer_next_due_ns(timer);
			after_ns = now_on(clocks[i]);
			ck_assert_uint_eq((due_ns - anchors_ns[k]) % (7 * MS), 0);
			/* At the reading itself only if that is the anchor. */
			ck_assert_uint_ge(due_ns, before_ns + (anchors_ns[k] != before_ns));
			ck_assert_uint_le(due_ns, after_ns + 7 * MS);
			if (k == 0) {
				run_callbacks(&probed, 2);
				ck_assert_uint_eq((probed.tick.due_ns - due_ns) % (7 * MS), 0);
			}
			ck_assert_int_eq(asynctimer_stop(timer), 1);
		}
		future_ns = now_on(clocks[i]) + 20 * MS + 1;
		ck_assert_int_eq(asynctimer_start_at(timer, future_ns), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), future_ns);
		probed.watched.restarted = true;
		probed.interval_ns = 0;
		run_callbacks(&probed, 3);
		ck_assert_uint_eq((probed.tick.due_ns - future_ns) % (7 * MS), 0);
		ck_assert_uint_ge(probed.tick.due_ns, future_ns);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(fixed_delay_started_at_the_past_is_due_now_and_at_the_future_then)
{
	for (unsigned i = 0; i < 2; i++) {
		struct asynctimer *timer =
			probe_new(&probed, clocks[i], 7 * MS, ASYNCTIMER_FIXED_DELAY);
		uint64_t before_ns = now_on(clocks[i]), due_ns, future_ns;

		ck_assert_int_eq(asynctimer_start_at(timer, before_ns - MS), 1);
		due_ns = asynctimer_next_due_ns(timer);
		ck_assert_uint_ge(due_ns, before_ns);
		ck_assert_uint_le(due_ns, now_on(clocks[i]));
		run_callbacks(&probed, 3);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		future_ns = now_on(clocks[i]) + 15 * MS;
		ck_assert_int_eq(asynctimer_start_at(timer, future_ns), 1);
		probed.interval_ns = 0;
		run_callbacks(&probed, 4);
		ck_assert_uint_eq(probed.tick.due_ns, future_ns);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(start_after_and_start_at_know_their_bounds)
{
	FOR_BOTH_POLICIES(policy) {
		struct watched watched = { 0 };
		struct asynctimer *timer =
			watch_new(&watched, CLOCK_MONOTONIC, MS, policy)->timer;
		uint64_t longest_ns = UINT64_C(1) << 62;

		ck_assert_int_eq(asynctimer_start_after(timer, longest_ns + 1), -EINVAL);
		ck_assert_int_eq(asynctimer_start_at(timer, UINT64_C(1) << 63), -EINVAL);
		ck_assert_int_eq(asynctimer_start_at(timer, UINT64_MAX), -EINVAL);
		ck_assert_int_eq(asynctimer_is_started(timer), 0);
		ck_assert_int_eq(asynctimer_start_after(timer, longest_ns), 1);
		ck_assert_int_eq(asynctimer_start_after(timer, longest_ns + 1), -EINVAL);
		ck_assert_uint_ge(asynctimer_next_due_ns(timer), longest_ns);
		ck_assert_int_eq(dispatch(5 * MS), 0);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		ck_assert_int_eq(asynctimer_start_at(timer, INT64_MAX), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), INT64_MAX);
		ck_assert_int_eq(dispatch(5 * MS), 0);
		asynctimer_free(timer);
	}
}
END_TEST

/* Failures and figures. */

static unsigned handled;
static int handled_error;
static uint64_t handler_work_ns;

static void on_error(struct asynctimer *timer, int error, void *data)
{
	struct probe *probe = ((struct watched *)data)->data;

	ck_assert_ptr_eq(timer, probe->watched.timer);
	handled++;
	handled_error = error;
	/* The tick is open. */
	ck_assert_uint_eq(stats_of(probe).busy_since_ns, probe->tick.now_ns);
	probe->duration_low_ns -= probe->ended_ns;
	spin_until(CLOCK_MONOTONIC, now_mono() + handler_work_ns);
	probe->ended_ns = now_on(probe->watched.clock);
	probe->duration_low_ns += probe->ended_ns;
}

START_TEST(failures_are_counted_and_handed_over_and_the_timer_goes_on)
{
	const struct {
		int result, error;
	} cases[] = {
		{ -EIO, -EIO },
		{ 0, 0 },
		{ -1, -1 },
		{ 1, -EINVAL },
		{ ASYNCTIMER_PENDING - 1, -EINVAL },
		{ ASYNCTIMER_PENDING + 1, -EINVAL },
		{ INT_MAX, -EINVAL },
		{ -ECANCELED, -ECANCELED },
	};
	unsigned count = sizeof(cases) / sizeof(*cases);

	FOR_BOTH_POLICIES(policy) for (int with = 0; with < 2; with++) {
		unsigned failed = 0;

		handled = 0;
		handler_work_ns = 0;
		probe_new(&probed, CLOCK_MONOTONIC, 2 * MS, policy);
		if (with)
			must(asynctimer_set_error_handler(probed.watched.timer, on_error));
		start(&probed);
		for (unsigned i = 0; i < count; i++) {
			probed.watched.result = cases[i].result;
			run_callbacks(&probed, i + 1);
			failed += cases[i].error != 0;
			ck_assert_uint_eq(stats_of(&probed).failures, failed);
			ck_assert_uint_eq(handled, with ? failed : 0);
			if (with && cases[i].error)
				ck_assert_int_eq(handled_error, cases[i].error);
			ck_assert_int_eq(asynctimer_is_started(probed.watched.timer), 1);
		}
		expect_consistent_stats(&probed);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(a_failed_completion_is_counted_and_handed_over)
{
	struct asynctimer *timer =
		probe_new(&probed, CLOCK_MONOTONIC, 2 * MS, ASYNCTIMER_FIXED_SCHEDULE);

	probed.watched.result = ASYNCTIMER_PENDING;
	handled = 0;
	handler_work_ns = 0;
	must(asynctimer_set_error_handler(timer, on_error));
	start(&probed);
	run_callbacks(&probed, 1);
	ck_assert_int_eq(asynctimer_complete(timer, probed.tick.number, -EPIPE), 0);
	ck_assert_uint_eq(handled, 1);
	ck_assert_int_eq(handled_error, -EPIPE);
	ck_assert_uint_eq(stats_of(&probed).failures, 1);
	ck_assert_uint_eq(stats_of(&probed).busy_since_ns, 0);
	probed.watched.result = ASYNCTIMER_DONE;
	probed.interval_ns = 0;
	run_callbacks(&probed, 3);
}
END_TEST

START_TEST(the_handlers_time_is_part_of_the_callback)
{
	FOR_BOTH_POLICIES(policy) {
		handler_work_ns = 15 * MS;
		probe_new(&probed, CLOCK_MONOTONIC, 10 * MS, policy);
		probed.watched.result = -EIO;
		must(asynctimer_set_error_handler(probed.watched.timer, on_error));
		start(&probed);
		run_callbacks(&probed, 5);
		if (policy == ASYNCTIMER_FIXED_SCHEDULE)
			ck_assert_uint_ge(probed.busy, 4);
		ck_assert_uint_ge(stats_of(&probed).duration_sum_ns, 5 * 15 * MS);
		expect_consistent_stats(&probed);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

static int expect_busy(struct probe *probe)
{
	struct asynctimer_stats stats = stats_of(probe);

	ck_assert_uint_eq(stats.busy_since_ns, probe->tick.now_ns);
	ck_assert_uint_eq(stats.callbacks, probe->watched.callbacks);
	ck_assert_uint_eq(stats.callbacks + stats.skipped_busy + stats.skipped_late,
			  probe->tick.number);
	return probe->watched.result;
}

START_TEST(stats_agree_with_the_ticks)
{
	const struct asynctimer_stats none = { 0 };
	struct asynctimer_stats stats;

	FOR_EACH_CLOCK(i) {
		struct asynctimer *timer =
			probe_new(&probed, clocks[i], 2 * MS, ASYNCTIMER_FIXED_SCHEDULE);
		uint64_t number, before_ns, after_ns, sum_ns;

		probed.act = expect_busy;
		stats = stats_of(&probed);
		ck_assert_mem_eq(&stats, &none, sizeof(stats));
		start(&probed);
		for (unsigned k = 1; k <= 10; k++) {
			probed.watched.work_ns = k % 3 * 1500 * US;
			run_callbacks(&probed, k);
			expect_consistent_stats(&probed);
		}
		/* A deferred tick lasts until its completion. */
		sum_ns = stats_of(&probed).duration_sum_ns;
		probed.watched.result = ASYNCTIMER_PENDING;
		run_callbacks(&probed, 11);
		number = probed.tick.number;
		dispatch_until(now_mono() + 5 * MS);
		ck_assert_uint_eq(stats_of(&probed).busy_since_ns, probed.tick.now_ns);
		ck_assert_uint_eq(stats_of(&probed).duration_sum_ns, sum_ns);
		before_ns = now_on(clocks[i]);
		ck_assert_int_eq(asynctimer_complete(timer, number, 0), 0);
		after_ns = now_on(clocks[i]);
		stats = stats_of(&probed);
		ck_assert_uint_ge(stats.duration_sum_ns - sum_ns, before_ns - probed.tick.now_ns);
		ck_assert_uint_le(stats.duration_sum_ns - sum_ns, after_ns - probed.tick.now_ns);
		ck_assert_uint_ge(stats.duration_max_ns, before_ns - probed.tick.now_ns);
		ck_assert_uint_eq(stats.busy_since_ns, 0);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		ck_assert_int_eq(asynctimer_get_stats(timer, NULL), -EINVAL);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

START_TEST(tick_k_is_due_k_intervals_after_the_start_to_the_nanosecond)
{
	const uint64_t interval_ns = MS + 7;

	FOR_EACH_CLOCK(i) {
		uint64_t anchor_ns;

		probe_new(&probed, clocks[i], interval_ns, ASYNCTIMER_FIXED_SCHEDULE);
		anchor_ns = start(&probed);
		for (unsigned k = 1; probed.tick.number < 300; k++) {
			probed.watched.work_ns = k % 7 == 0 ? 1300 * US : 100 * US;
			run_callbacks(&probed, k);
			ck_assert_uint_eq(probed.tick.due_ns,
					  anchor_ns + probed.tick.number * interval_ns);
		}
		expect_consistent_stats(&probed);
		ck_assert_int_eq(asynctimer_stop(probed.watched.timer), 1);
		asynctimer_free(probed.watched.timer);
	}
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("policy",
		EVERY(original_1_a_timer_of_1500_ms_for_7_s_ticks_4_times),
		EVERY(original_2_stopped_for_5_s_and_restarted_for_11_s_it_ticks_7_times_more),
		EVERY(original_3_timers_of_1_2_3_s_for_13500_ms_tick_13_6_4_times),
		EVERY(original_4_fixed_delay_of_1_s_and_500_ms_of_work_for_7_s_ticks_4_times),
		EVERY(original_5_a_timer_of_2_s_stopped_at_5_s_has_ticked_2_times_at_7_s),
		EVERY(original_6_a_timer_of_1_s_with_1500_ms_of_work_for_8_s_ticks_4_times),
		EVERY(a_timer_behind_anothers_slow_callback_fires_once_and_is_back_on_its_grid),
		EVERY(a_timer_whose_host_does_not_dispatch_fires_once_and_is_back_on_its_grid),
		EVERY(a_fixed_delay_timer_that_is_late_fires_once_and_skips_nothing),
		REAL(a_process_stopped_and_continued_fires_once_and_is_back_on_its_grid),
		EVERY(own_overrun_skips_to_the_grid_however_long),
		EVERY(fixed_delay_is_never_earlier_than_completion_and_interval),
		EVERY(start_from_a_busy_callback_is_never_early),
		EVERY(start_after_0_fires_at_once),
		EVERY(start_after_0_in_the_own_callback_means_one_interval_later),
		EVERY(start_at_the_past_now_and_the_future_on_each_clock),
		EVERY(fixed_delay_started_at_the_past_is_due_now_and_at_the_future_then),
		EVERY(start_after_and_start_at_know_their_bounds),
		EVERY(failures_are_counted_and_handed_over_and_the_timer_goes_on),
		EVERY(a_failed_completion_is_counted_and_handed_over),
		EVERY(the_handlers_time_is_part_of_the_callback),
		EVERY(stats_agree_with_the_ticks),
		EVERY(tick_k_is_due_k_intervals_after_the_start_to_the_nanosecond));
}
