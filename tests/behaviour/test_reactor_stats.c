/* SPDX-License-Identifier: MIT */
/* What asynctimer_reactor_get_stats counts: exactly on the virtual clock, against a model of it. */
#include <errno.h>
#include <string.h>

#include "util.h"

#define SIZE sizeof(struct asynctimer_reactor_stats)
#define BUCKETS 64

static struct asynctimer_reactor_stats counts_of(struct asynctimer_reactor *which)
{
	struct asynctimer_reactor_stats counts;

	memset(&counts, 0xa5, SIZE);
	ck_assert_int_eq(asynctimer_reactor_get_stats(which, SIZE, &counts), 0);
	ck_assert_int_eq((int)counts.timers, asynctimer_reactor_list(which, 0,
								     sizeof(struct asynctimer_info), NULL));
	return counts;
}

static struct asynctimer_reactor_stats counts(void)
{
	return counts_of(reactor);
}

static uint64_t callbacks_in(const struct asynctimer_reactor_stats *counts)
{
	uint64_t callbacks = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		callbacks += counts->lateness[i];
	return callbacks;
}

static void run_once(struct watched *watched)
{
	unsigned before = watched->callbacks;

	while (watched->callbacks == before)
		dispatch(-1);
}

static void complete(struct watched *watched, int result)
{
	must(asynctimer_complete(watched->timer, watched->last.number, result));
}

START_TEST(a_new_reactor_has_counted_nothing)
{
	static const struct asynctimer_reactor_stats none;
	struct asynctimer_reactor_stats stats = counts();

	ck_assert_mem_eq(&stats, &none, SIZE);
}
END_TEST

START_TEST(sizes_are_treated_as_those_of_an_info)
{
	struct {
		struct asynctimer_reactor_stats stats;
		uint64_t appended[3];
		uint64_t beyond;
	} later;
	struct asynctimer_reactor_stats stats, before;
	struct watched watched = { .result = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, SCHEDULE);
	memset(&stats, 0xa5, SIZE);
	before = stats;
	ck_assert_int_eq(asynctimer_reactor_get_stats(reactor, 0, &stats), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_get_stats(reactor, SIZE - 1, &stats), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_get_stats(NULL, SIZE, &stats), -EINVAL);
	ck_assert_int_eq(asynctimer_reactor_get_stats(reactor, SIZE, NULL), -EINVAL);
	ck_assert_mem_eq(&stats, &before, SIZE);
	memset(&later, 0xa5, sizeof(later));
	ck_assert_int_eq(asynctimer_reactor_get_stats(reactor, SIZE + 24, &later.stats), 0);
	ck_assert_uint_eq(later.stats.timers, 1);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(later.appended[i], 0);
	ck_assert_uint_eq(later.beyond, UINT64_C(0xa5a5a5a5a5a5a5a5));
}
END_TEST

/*
 * What is now.
 */

static void expect_now(uint64_t timers, uint64_t started, uint64_t open)
{
	struct asynctimer_reactor_stats stats = counts();

	ck_assert_uint_eq(stats.timers, timers);
	ck_assert_uint_eq(stats.started, started);
	ck_assert_uint_eq(stats.open, open);
}

static int look_while_open(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	expect_now(1, 1, 1);
	ck_assert_int_eq(asynctimer_stop(watched->timer), 1);
	expect_now(1, 0, 1);
	watched->restarted = true;
	ck_assert_int_eq(asynctimer_start(watched->timer), 1);
	ck_assert_int_eq(asynctimer_start(watched->timer), 0);
	expect_now(1, 1, 1);
	return watched->result;
}

START_TEST(timers_started_and_open_are_those_of_now)
{
	FOR_BOTH_POLICIES(policy) {
		struct watched watched = { .then = look_while_open };

		expect_now(0, 0, 0);
		watch_new(&watched, CLOCK_MONOTONIC, MS, policy);
		expect_now(1, 0, 0);
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		expect_now(1, 1, 0);
		ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 1);
		ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 0);
		expect_now(1, 0, 0);
		must(asynctimer_start_after(watched.timer, 0));
		must(asynctimer_set_interval(watched.timer, 2 * MS));
		must(asynctimer_restart_after(watched.timer, 0));
		watched.restarted = true;
		watched.interval_ns = 0;
		run_once(&watched);
		expect_now(1, 1, 0);
		watched.result = ASYNCTIMER_PENDING;
		run_once(&watched);
		expect_now(1, 1, 1);
		complete(&watched, 0);
		expect_now(1, 1, 0);
		asynctimer_free(watched.timer);
	}
	expect_now(0, 0, 0);
}
END_TEST

START_TEST(a_timer_of_once_is_not_started_from_its_claim_on)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_ONCE);
	must(asynctimer_start(watched.timer));
	expect_now(1, 1, 0);
	run_once(&watched);
	expect_now(1, 0, 1);
	must(asynctimer_start(watched.timer));
	expect_now(1, 1, 1);
	asynctimer_free(watched.timer);
	expect_now(1, 0, 1);
	complete(&watched, 0);
	expect_now(0, 0, 0);
}
END_TEST

/*
 * What was counted.
 */

START_TEST(failures_are_counted_for_good)
{
	struct watched watched = { .result = -EIO };

	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_start(watched.timer));
	run_once(&watched);
	ck_assert_uint_eq(counts().failures, 1);
	watched.result = 1;
	run_once(&watched);
	ck_assert_uint_eq(counts().failures, 2);
	watched.result = ASYNCTIMER_PENDING;
	run_once(&watched);
	ck_assert_uint_eq(counts().failures, 2);
	complete(&watched, -EIO);
	ck_assert_uint_eq(counts().failures, 3);
	run_once(&watched);
	asynctimer_free(watched.timer);
	ck_assert_uint_eq(counts().failures, 3);
	complete(&watched, -EIO);
	ck_assert_uint_eq(counts().failures, 4);
	ck_assert_uint_eq(counts().timers, 0);
}
END_TEST

START_TEST(a_wake_up_counts_once_however_many_callbacks_it_runs_and_not_if_none)
{
	enum { COUNT = 5 };
	struct watched watched[COUNT];

	ck_assert_int_eq(dispatch(0), 0);
	ck_assert_int_eq(dispatch(MS), 0);
	ck_assert_uint_eq(counts().wakeups, 0);
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			watched[i] = (struct watched){ .result = 0 };
			watch_new(&watched[i], CLOCK_MONOTONIC, HOUR, DELAY);
			must(asynctimer_start_after(watched[i].timer, 0));
		}
		if (backing == BACKING_OWN)
			await(expired() == COUNT);
		ck_assert_int_eq(dispatch(0), COUNT);
		ck_assert_uint_eq(counts().wakeups, round);
		ck_assert_int_eq(dispatch(0), 0);
		ck_assert_uint_eq(counts().wakeups, round);
		for (unsigned i = 0; i < COUNT; i++)
			asynctimer_free(watched[i].timer);
	}
}
END_TEST

START_TEST(each_step_of_the_virtual_clock_is_a_wake_up)
{
	struct watched fast = { .result = 0 }, slow = { .result = 0 }, off = { .result = 0 };
	struct asynctimer_reactor_stats stats;

	watch_new(&fast, CLOCK_MONOTONIC, 10 * MS, SCHEDULE);
	watch_new(&slow, CLOCK_BOOTTIME, 20 * MS, SCHEDULE);
	watch_new(&off, CLOCK_REALTIME, 30 * MS, SCHEDULE);
	must(asynctimer_start(fast.timer));
	must(asynctimer_start(slow.timer));
	must(asynctimer_start_after(off.timer, 5 * MS));
	/* 10 ten times, of which 20 has five; and 5, 35, 65, 95. */
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 100 * MS), 19);
	stats = counts();
	ck_assert_uint_eq(stats.wakeups, 14);
	ck_assert_uint_eq(stats.lateness[0], 19);
	ck_assert_uint_eq(callbacks_in(&stats), 19);
}
END_TEST

/*
 * The histogram. A callback that takes lateness_ns makes the other timer, due at the same time, so late.
 */

struct late {
	uint64_t lateness_ns;
	uint64_t seen_ns;
};

static int take_time(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	const struct late *late = data;

	ck_assert_uint_eq(tick->now_ns, tick->due_ns);
	must(asynctimer_reactor_advance(asynctimer_get_reactor(timer), late->lateness_ns));
	return ASYNCTIMER_DONE;
}

static int be_late(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct late *late = data;

	(void)timer;
	late->seen_ns = tick->now_ns - tick->due_ns;
	return ASYNCTIMER_DONE;
}

static void one_late_callback(uint64_t lateness_ns, unsigned bucket)
{
	struct late late = { .lateness_ns = lateness_ns, .seen_ns = UINT64_MAX };
	asynctimer_callback callbacks[] = { take_time, be_late };
	struct asynctimer_reactor *own;
	struct asynctimer_reactor_stats stats;
	struct asynctimer *timer;

	must(asynctimer_reactor_new_virtual(&own));
	for (unsigned i = 0; i < 2; i++) {
		must(asynctimer_new(own, CLOCK_MONOTONIC, HOUR, DELAY, callbacks[i], &late, &timer));
		must(asynctimer_start_after(timer, 0));
	}
	ck_assert_int_eq(asynctimer_reactor_advance(own, 0), 2);
	ck_assert_uint_eq(late.seen_ns, lateness_ns);
	stats = counts_of(own);
	ck_assert_uint_eq(callbacks_in(&stats), 2);
	ck_assert_uint_eq(stats.lateness[0], bucket == 0 ? 2 : 1);
	ck_assert_uint_eq(stats.lateness[bucket], bucket == 0 ? 2 : 1);
	must(asynctimer_reactor_free(own));
}

START_TEST(each_bucket_of_the_histogram_ends_where_it_says)
{
	one_late_callback(0, 0);
	for (unsigned k = 1; k < BUCKETS; k++) {
		one_late_callback(UINT64_C(1) << (k - 1), k);
		if (k > 1)
			one_late_callback((UINT64_C(1) << (k - 1)) + 1, k);
		one_late_callback((UINT64_C(1) << k) - 1, k);
	}
	/* As late as the clock can make it. */
	one_late_callback(UINT64_C(1) << 63, 63);
}
END_TEST

/*
 * How long callbacks have been running.
 */

static int take_30_ms(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_uint_eq(counts().busy_ns, 0);
	for (unsigned i = 1; i <= 3; i++) {
		must(asynctimer_reactor_advance(reactor, 10 * MS));
		ck_assert_uint_eq(counts().busy_ns, i * 10 * MS);
	}
	return watched->result;
}

static void look_at_30_ms(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	ck_assert_uint_eq(counts().busy_ns, 30 * MS);
	must(asynctimer_reactor_advance(reactor, MS));
	ck_assert_uint_eq(counts().busy_ns, 31 * MS);
}

START_TEST(a_callback_that_takes_30_ms_of_the_virtual_clock_is_busy_for_30_ms)
{
	static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

	must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, HOUR));
	must(asynctimer_reactor_set_clock(reactor, CLOCK_BOOTTIME, 2 * HOUR));
	for (unsigned i = 0; i < 3; i++) {
		struct watched watched = { .then = take_30_ms, .result = -EIO };

		watch_new(&watched, clocks[i], 100 * MS, SCHEDULE);
		must(asynctimer_set_error_handler(watched.timer, look_at_30_ms));
		must(asynctimer_start(watched.timer));
		run_once(&watched);
		ck_assert_uint_eq(counts().busy_ns, 0);
		/* Deferred, it does not run. */
		watched.result = ASYNCTIMER_PENDING;
		run_once(&watched);
		must(asynctimer_reactor_advance(reactor, 10 * MS));
		ck_assert_uint_eq(counts().open, 1);
		ck_assert_uint_eq(counts().busy_ns, 0);
		complete(&watched, 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/* A callback that stays until it is let go. */
struct staying {
	struct watched watched;
	int begun, go;
	pthread_t runner;
};

static int stay(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct staying *staying = watched->data;

	(void)tick;
	flag_set(&staying->begun);
	await(flag_get(&staying->go));
	return ASYNCTIMER_DONE;
}

/* Runs in a thread of its own until it is let go. */
static void staying_begin(struct staying *staying, int clock)
{
	*staying = (struct staying){ .watched = { .then = stay, .data = staying } };
	watch_new(&staying->watched, clock, HOUR, DELAY);
	must(asynctimer_start_after(staying->watched.timer, 0));
	staying->runner = thread_new(run_reactor, reactor);
	await(flag_get(&staying->begun));
}

/* The longest callback that runs began between these two times. */
static void expect_busy_since(uint64_t earliest_ns, uint64_t latest_ns)
{
	uint64_t at_least_ns = now_mono() - latest_ns;
	uint64_t busy_ns = counts().busy_ns;

	ck_assert_uint_ge(busy_ns, at_least_ns);
	ck_assert_uint_le(busy_ns, now_mono() - earliest_ns);
}

START_TEST(another_thread_sees_how_long_the_longest_callback_has_been_running)
{
	struct staying first, second;
	uint64_t before_ns, first_ns, between_ns, second_ns;

	ck_assert_uint_eq(counts().busy_ns, 0);
	before_ns = now_mono();
	staying_begin(&first, CLOCK_MONOTONIC);
	first_ns = now_mono();
	spin_until(CLOCK_MONOTONIC, first_ns + 2 * MS);
	expect_busy_since(before_ns, first_ns);
	between_ns = now_mono();
	staying_begin(&second, CLOCK_BOOTTIME);
	second_ns = now_mono();
	spin_until(CLOCK_MONOTONIC, second_ns + MS);
	/* The first is the longer one, and when it has ended the second is. */
	expect_busy_since(before_ns, first_ns);
	flag_set(&first.go);
	must(asynctimer_stop(first.watched.timer));
	expect_busy_since(between_ns, second_ns);
	flag_set(&second.go);
	must(asynctimer_stop(second.watched.timer));
	ck_assert_uint_eq(counts().busy_ns, 0);
	asynctimer_reactor_stop(reactor);
	thread_join(first.runner);
	thread_join(second.runner);
}
END_TEST

/*
 * All of it at once, with callbacks and calls at random.
 */

struct model {
	struct asynctimer_reactor_stats stats;
	uint64_t random;
};

static struct model model;

#define ACTORS 12

struct actor {
	struct asynctimer *timer;
	bool started;
	uint64_t open;		/* the number of its deferred tick, or 0 */
};

static struct actor actors[ACTORS];

static uint64_t any(uint64_t bound)
{
	model.random = model.random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (model.random >> 33) % bound;
}

static unsigned bucket_of(uint64_t lateness_ns)
{
	unsigned bucket = 0;

	for (; lateness_ns && bucket < BUCKETS - 1; lateness_ns /= 2)
		bucket++;
	return bucket;
}

static void expect_model(uint64_t busy_ns)
{
	struct asynctimer_reactor_stats stats = counts();

	/* How steps of the clock are counted is asked elsewhere. */
	model.stats.wakeups = stats.wakeups;
	model.stats.busy_ns = busy_ns;
	ck_assert_mem_eq(&stats, &model.stats, SIZE);
}

static int act(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct actor *actor = data;
	uint64_t work_ns = any(3) ? 0 : any(20 * MS);

	(void)timer;
	model.stats.open++;
	model.stats.skipped_busy += tick->skipped_busy;
	model.stats.skipped_late += tick->skipped_late;
	model.stats.lateness[bucket_of(tick->now_ns - tick->due_ns)]++;
	expect_model(0);
	must(asynctimer_reactor_advance(reactor, work_ns));
	expect_model(work_ns);
	switch (any(5)) {
	case 0:
		model.stats.open--;
		model.stats.failures++;
		return -EIO;
	case 1:
		actor->open = tick->number;
		return ASYNCTIMER_PENDING;
	default:
		model.stats.open--;
		return ASYNCTIMER_DONE;
	}
}

static void actor_new(struct actor *actor)
{
	uint64_t interval_ns = MS + any(50 * MS);

	*actor = (struct actor){ .timer = NULL };
	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, interval_ns, (int)any(2),
				   any(2) ? interval_ns / 3 : 0, act, actor, &actor->timer));
	model.stats.timers++;
}

static void actor_complete(struct actor *actor)
{
	int result = any(2) ? 0 : -EIO;

	if (!actor->open)
		return;
	must(asynctimer_complete(actor->timer, actor->open, result));
	actor->open = 0;
	model.stats.open--;
	model.stats.failures += result < 0;
}

static void actor_free(struct actor *actor)
{
	bool open = actor->open;

	asynctimer_free(actor->timer);
	model.stats.started -= actor->started;
	model.stats.timers -= !open;
	expect_model(0);
	actor_complete(actor);
	model.stats.timers -= open;
	expect_model(0);
}

static void do_anything(struct actor *actor)
{
	switch (any(6)) {
	case 0:
		actor_free(actor);
		actor_new(actor);
		break;
	case 1:
		ck_assert_int_eq(asynctimer_stop(actor->timer), actor->started);
		model.stats.started -= actor->started;
		actor->started = false;
		break;
	case 2:
		actor_complete(actor);
		break;
	default:
		ck_assert_int_eq(asynctimer_start_after(actor->timer, any(10 * MS)), !actor->started);
		model.stats.started += !actor->started;
		actor->started = true;
		break;
	}
	expect_model(0);
}

START_TEST(all_counts_are_those_of_a_model)
{
	uint64_t skipped_busy = 0, skipped_late = 0, failures = 0;

	for (unsigned seed = 1; seed <= 20; seed++) {
		model = (struct model){ .random = seed };
		for (unsigned i = 0; i < ACTORS; i++)
			actor_new(&actors[i]);
		for (unsigned i = 0; i < 300; i++) {
			do_anything(&actors[any(ACTORS)]);
			must(asynctimer_reactor_advance(reactor, any(30 * MS)));
			expect_model(0);
		}
		for (unsigned i = 0; i < ACTORS; i++)
			actor_free(&actors[i]);
		expect_model(0);
		skipped_busy += model.stats.skipped_busy;
		skipped_late += model.stats.skipped_late;
		failures += model.stats.failures;
		must(asynctimer_reactor_free(reactor));
		must(new_reactor(&reactor));
	}
	/* There was something to count. */
	ck_assert_uint_gt(skipped_busy, 0);
	ck_assert_uint_gt(skipped_late, 0);
	ck_assert_uint_gt(failures, 0);
}
END_TEST

/* Threads: what each timer counted is what the reactor did. */
START_TEST(the_sums_over_all_timers_are_the_reactors)
{
	enum { COUNT = 20 };
	struct watched watched[COUNT] = { { .result = 0 } };
	struct watched clock = { .stop_after = 50 };
	struct asynctimer_reactor_stats stats;
	struct asynctimer_stats sum = { .callbacks = 0 };
	unsigned runners = backing == BACKING_VIRTUAL ? 1 : 2;
	pthread_t runner[2];

	for (unsigned i = 0; i < COUNT; i++) {
		watched[i].result = i % 4 ? 0 : -EIO;
		watch_new(&watched[i], CLOCK_MONOTONIC, (10 + i * i) * 5 * US, (int)i % 2);
		must(asynctimer_start(watched[i].timer));
	}
	watch_new(&clock, CLOCK_MONOTONIC, MS, SCHEDULE);
	must(asynctimer_start(clock.timer));
	for (unsigned i = 0; i < runners; i++)
		runner[i] = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < runners; i++)
		thread_join(runner[i]);
	for (unsigned i = 0; i <= COUNT; i++) {
		struct asynctimer_stats of;

		must(asynctimer_get_stats(i < COUNT ? watched[i].timer : clock.timer, &of));
		sum.callbacks += of.callbacks;
		sum.skipped_busy += of.skipped_busy;
		sum.skipped_late += of.skipped_late;
		sum.failures += of.failures;
	}
	stats = counts();
	ck_assert_uint_eq(callbacks_in(&stats), sum.callbacks);
	ck_assert_uint_eq(stats.skipped_busy, sum.skipped_busy);
	ck_assert_uint_eq(stats.skipped_late, sum.skipped_late);
	ck_assert_uint_eq(stats.failures, sum.failures);
	ck_assert_uint_ge(stats.wakeups, 1);
	ck_assert_uint_le(stats.wakeups, sum.callbacks);
	ck_assert_uint_eq(stats.open, 0);
	ck_assert_uint_eq(stats.busy_ns, 0);
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("reactor_stats",
		EVERY(a_new_reactor_has_counted_nothing),
		EVERY(sizes_are_treated_as_those_of_an_info),
		EVERY(timers_started_and_open_are_those_of_now),
		EVERY(a_timer_of_once_is_not_started_from_its_claim_on),
		EVERY(failures_are_counted_for_good),
		EVERY(a_wake_up_counts_once_however_many_callbacks_it_runs_and_not_if_none),
		VIRTUAL(each_step_of_the_virtual_clock_is_a_wake_up),
		VIRTUAL(each_bucket_of_the_histogram_ends_where_it_says),
		VIRTUAL(a_callback_that_takes_30_ms_of_the_virtual_clock_is_busy_for_30_ms),
		REAL(another_thread_sees_how_long_the_longest_callback_has_been_running),
		VIRTUAL(all_counts_are_those_of_a_model),
		EVERY(the_sums_over_all_timers_are_the_reactors));
}
