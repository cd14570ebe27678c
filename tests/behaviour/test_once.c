/* SPDX-License-Identifier: MIT */
/* ASYNCTIMER_ONCE: one tick, and stopped when that is claimed. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "util.h"

static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static struct asynctimer *once_new(struct watched *watched, uint64_t interval_ns)
{
	return watch_new(watched, CLOCK_MONOTONIC, interval_ns, ONCE)->timer;
}

static struct asynctimer_stats stats_of(const struct watched *watched)
{
	struct asynctimer_stats stats;

	must(asynctimer_get_stats(watched->timer, &stats));
	return stats;
}

/* It has ticked so often, the last time for due_ns, and skipped nothing. */
static void expect_ticked(const struct watched *watched, unsigned callbacks, uint64_t due_ns)
{
	struct asynctimer_stats stats = stats_of(watched);

	ck_assert_uint_eq(watched->callbacks, callbacks);
	ck_assert_uint_eq(watched->last.number, callbacks);
	ck_assert_uint_eq(watched->last.due_ns, due_ns);
	ck_assert_uint_eq(watched->last.skipped_busy + watched->last.skipped_late, 0);
	ck_assert_uint_eq(stats.callbacks, callbacks);
	ck_assert_uint_eq(stats.skipped_busy + stats.skipped_late, 0);
}

static void expect_stopped(struct asynctimer *timer)
{
	ck_assert_int_eq(asynctimer_is_started(timer), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
	ck_assert_int_eq(asynctimer_stop_nowait(timer), 0);
}

static int be_stopped(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	expect_stopped(watched->timer);
	ck_assert_int_eq(asynctimer_stop(watched->timer), 0);
	return watched->result;
}

/* Started by a call that was made at before_ns or later: when it is due. */
static uint64_t expect_due_in(const struct watched *watched, uint64_t before_ns, uint64_t delay_ns)
{
	uint64_t due_ns = asynctimer_next_due_ns(watched->timer);

	ck_assert_int_eq(asynctimer_is_started(watched->timer), 1);
	ck_assert_uint_ge(due_ns, before_ns + delay_ns);
	ck_assert_uint_le(due_ns, now_on(watched->clock) + delay_ns);
	return due_ns;
}

START_TEST(it_is_known_on_every_clock_and_no_policy_is_after_it)
{
	struct asynctimer *timer;

	for (unsigned i = 0; i < 3; i++) {
		must(new_timer(clocks[i], 1, ONCE, on_tick, NULL, &timer));
		asynctimer_free(timer);
		must(asynctimer_new_shared(reactor, clocks[i], 2, ONCE, 1, on_tick, NULL, &timer));
		asynctimer_free(timer);
		ck_assert_int_eq(new_timer(clocks[i], 1, ONCE + 1, on_tick, NULL, &timer), -EINVAL);
	}
}
END_TEST

START_TEST(it_ticks_once_one_interval_after_the_start_and_is_stopped_in_its_callback)
{
	for (unsigned i = 0; i < 3; i++) {
		struct watched watched = { .then = be_stopped };

		watch_new(&watched, clocks[i], 2 * MS, ONCE);
		expect_stopped(watched.timer);
		for (unsigned count = 1; count <= 3; count++) {
			uint64_t before_ns = now_on(clocks[i]);
			uint64_t due_ns;

			ck_assert_int_eq(asynctimer_start(watched.timer), 1);
			ck_assert_int_eq(asynctimer_start(watched.timer), 0);
			due_ns = expect_due_in(&watched, before_ns, 2 * MS);
			dispatch_callbacks(&watched, count);
			expect_ticked(&watched, count, due_ns);
			expect_stopped(watched.timer);
			ck_assert_int_eq(dispatch_until(now_mono() + 5 * MS), 0);
		}
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(start_after_and_start_at_say_when_its_tick_is_due)
{
	for (unsigned i = 0; i < 3; i++) {
		struct watched watched = { .then = be_stopped };
		uint64_t before_ns = now_on(clocks[i]);
		uint64_t due_ns;

		watch_new(&watched, clocks[i], HOUR, ONCE);
		ck_assert_int_eq(asynctimer_start_after(watched.timer, 3 * MS), 1);
		ck_assert_int_eq(asynctimer_start_after(watched.timer, 0), 0);
		due_ns = expect_due_in(&watched, before_ns, 3 * MS);
		dispatch_callbacks(&watched, 1);
		expect_ticked(&watched, 1, due_ns);
		due_ns = now_on(clocks[i]) + 3 * MS;
		ck_assert_int_eq(asynctimer_start_at(watched.timer, due_ns), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), due_ns);
		dispatch_callbacks(&watched, 2);
		expect_ticked(&watched, 2, due_ns);
		expect_stopped(watched.timer);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(stopped_before_it_is_due_it_does_not_tick)
{
	struct watched watched = { .callbacks = 0 };
	struct asynctimer *timer = once_new(&watched, MS);

	ck_assert_int_eq(asynctimer_start(timer), 1);
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	expect_stopped(timer);
	ck_assert_int_eq(dispatch_until(now_mono() + 3 * MS), 0);
	/* Due, and not yet run. */
	ck_assert_int_eq(asynctimer_start(timer), 1);
	let_pass_until(asynctimer_next_due_ns(timer) + MS);
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	ck_assert_int_eq(dispatch(0), 0);
	ck_assert_uint_eq(watched.callbacks, 0);
}
END_TEST

/*
 * An anchor in the past.
 */

START_TEST(an_anchor_in_the_past_is_due_there_and_runs_at_once)
{
	for (unsigned i = 0; i < 6; i++) {
		int clock = clocks[i % 3];
		struct watched watched = { .then = be_stopped };
		uint64_t before_ns = now_on(clock);
		uint64_t anchor_ns = i < 3 ? before_ns - 7 * MS : 0;
		uint64_t lateness_ns;

		/* Many intervals ago: none of them is skipped, nor is one waited for. */
		watch_new(&watched, clock, 2 * MS, ONCE);
		ck_assert_int_eq(asynctimer_start_at(watched.timer, anchor_ns), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), anchor_ns);
		ck_assert_int_eq(dispatch(-1), 1);
		expect_ticked(&watched, 1, anchor_ns);
		lateness_ns = watched.last.now_ns - anchor_ns;
		ck_assert_uint_ge(lateness_ns, before_ns - anchor_ns);
		if (backing == BACKING_VIRTUAL)
			ck_assert_uint_eq(watched.last.now_ns, before_ns);
		ck_assert_uint_eq(stats_of(&watched).lateness_max_ns, lateness_ns);
		ck_assert_uint_eq(stats_of(&watched).lateness_sum_ns, lateness_ns);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/* Half of what a sum holds is missed each time. */
START_TEST(the_sum_of_lateness_stays_at_its_end)
{
	const uint64_t end_ns = UINT64_C(1) << 63;
	const uint64_t sums[] = { end_ns, UINT64_MAX, UINT64_MAX };
	struct watched watched = { .callbacks = 0 };
	struct asynctimer *timer = once_new(&watched, MS);

	must(asynctimer_reactor_advance(reactor, end_ns - now_mono()));
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(asynctimer_start_at(timer, 0), 1);
		ck_assert_int_eq(dispatch(0), 1);
		ck_assert_uint_eq(stats_of(&watched).lateness_sum_ns, sums[i]);
		ck_assert_uint_eq(stats_of(&watched).lateness_max_ns, end_ns);
	}
	/* It is full, not closed: a callback that is in time adds nothing. */
	ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
	ck_assert_int_eq(dispatch(0), 1);
	ck_assert_uint_eq(stats_of(&watched).lateness_sum_ns, UINT64_MAX);
}
END_TEST

/*
 * Started while its tick is open.
 */

/* What a callback asks of its own timer. */
struct again {
	struct watched watched;
	uint64_t delay_ns;	/* UINT64_MAX: start, which is one interval from now */
	unsigned times;		/* so often */
	uint64_t work_ns;	/* after that it takes this long */
	uint64_t due_ns;	/* of the last start */
};

static int start_again(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct again *again = watched->data;
	struct asynctimer *timer = watched->timer;

	ck_assert_uint_eq(tick->due_ns, again->due_ns);
	expect_stopped(timer);
	if (watched->callbacks > again->times)
		return watched->result;
	if (again->delay_ns == UINT64_MAX)
		ck_assert_int_eq(asynctimer_start(timer), 1);
	else
		ck_assert_int_eq(asynctimer_start_after(timer, again->delay_ns), 1);
	ck_assert_int_eq(asynctimer_start(timer), 0);
	ck_assert_int_eq(asynctimer_is_started(timer), 1);
	again->due_ns = asynctimer_next_due_ns(timer);
	ck_assert_uint_ge(again->due_ns, tick->now_ns);
	spin_until(watched->clock, now_on(watched->clock) + again->work_ns);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), again->due_ns);
	return watched->result;
}

static struct asynctimer *again_new(struct again *again, uint64_t interval_ns)
{
	again->watched.then = start_again;
	again->watched.data = again;
	return once_new(&again->watched, interval_ns);
}

static void expect_ticks_again(struct again again)
{
	struct asynctimer *timer = again_new(&again, 2 * MS);

	again.times = 4;
	ck_assert_int_eq(asynctimer_start(timer), 1);
	again.due_ns = asynctimer_next_due_ns(timer);
	dispatch_callbacks(&again.watched, 5);
	expect_ticked(&again.watched, 5, again.due_ns);
	expect_stopped(timer);
	ck_assert_int_eq(dispatch_until(now_mono() + 5 * MS), 0);
	asynctimer_free(timer);
}

START_TEST(started_in_its_own_callback_it_ticks_again)
{
	expect_ticks_again((struct again){ .delay_ns = UINT64_MAX });
	expect_ticks_again((struct again){ .delay_ns = MS });
	expect_ticks_again((struct again){ .delay_ns = 0 });
}
END_TEST

START_TEST(what_comes_due_while_its_callback_runs_is_not_skipped)
{
	expect_ticks_again((struct again){ .delay_ns = UINT64_MAX, .work_ns = 7 * MS });
	expect_ticks_again((struct again){ .delay_ns = MS, .work_ns = 7 * MS });
	expect_ticks_again((struct again){ .delay_ns = 0, .work_ns = MS });
}
END_TEST

static int start_and_stop_again(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(asynctimer_start_after(watched->timer, 0), 1);
	ck_assert_int_eq(asynctimer_stop(watched->timer), 1);
	expect_stopped(watched->timer);
	return watched->result;
}

START_TEST(started_and_stopped_in_its_own_callback_it_stays_stopped)
{
	struct watched watched = { .then = start_and_stop_again };
	struct asynctimer *timer = once_new(&watched, MS);

	ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
	ck_assert_int_eq(dispatch(-1), 1);
	expect_stopped(timer);
	ck_assert_int_eq(dispatch_until(now_mono() + 3 * MS), 0);
}
END_TEST

static struct asynctimer *claimed;

static void start_at_the_claim(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point != ASYNCTIMER__CLAIMED || timer != claimed)
		return;
	claimed = NULL;
	expect_stopped(timer);
	ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
}

START_TEST(it_is_stopped_when_its_tick_is_claimed_and_a_start_from_there_on_counts)
{
	struct watched watched = { .callbacks = 0 };

	claimed = once_new(&watched, MS);
	asynctimer__test_hook = start_at_the_claim;
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
	dispatch_callbacks(&watched, 2);
	ck_assert_uint_eq(watched.last.number, 2);
	expect_stopped(watched.timer);
	ck_assert_int_eq(dispatch_until(now_mono() + 3 * MS), 0);
}
END_TEST

/* In another thread, while the callback runs. */
struct other {
	struct watched watched;
	uint64_t delay_ns;
	int inside;		/* the callback is */
	int acted;		/* the thread has */
	int ended;
	uint64_t due_ns;
};

static int stay_until_acted(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct other *other = watched->data;

	(void)tick;
	if (watched->callbacks > 1)
		return ASYNCTIMER_DONE;
	flag_set(&other->inside);
	await(flag_get(&other->acted));
	flag_set(&other->ended);
	return watched->result;
}

static void *start_from_outside(void *data)
{
	struct other *other = data;

	await(flag_get(&other->inside));
	ck_assert_int_eq(asynctimer_is_started(other->watched.timer), 0);
	ck_assert_int_eq(asynctimer_start_after(other->watched.timer, other->delay_ns), 1);
	ck_assert_int_eq(asynctimer_is_started(other->watched.timer), 1);
	other->due_ns = asynctimer_next_due_ns(other->watched.timer);
	flag_set(&other->acted);
	return NULL;
}

START_TEST(started_by_another_thread_during_its_callback_it_ticks_again)
{
	const uint64_t delays_ns[] = { 0, 3 * MS };

	for (unsigned i = 0; i < 2; i++) {
		struct other other = { .watched.then = stay_until_acted, .delay_ns = delays_ns[i] };
		struct asynctimer *timer = once_new(&other.watched, MS);
		pthread_t thread;

		other.watched.data = &other;
		ck_assert_int_eq(asynctimer_start(timer), 1);
		thread = thread_new(start_from_outside, &other);
		dispatch_callbacks(&other.watched, 2);
		thread_join(thread);
		expect_ticked(&other.watched, 2, other.due_ns);
		expect_stopped(timer);
		asynctimer_free(timer);
	}
}
END_TEST

static struct other *waited_for;

static void a_stop_waits(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point == ASYNCTIMER__STOP_WAITS && timer == waited_for->watched.timer)
		flag_set(&waited_for->acted);
}

static void *stop_from_outside(void *data)
{
	struct other *other = data;

	await(flag_get(&other->inside));
	ck_assert_int_eq(asynctimer_stop(other->watched.timer), 0);
	ck_assert(flag_get(&other->ended));
	return NULL;
}

START_TEST(a_stop_during_its_callback_answers_0_and_waits)
{
	struct other other = { .watched.then = stay_until_acted };
	pthread_t thread;

	waited_for = &other;
	other.watched.data = &other;
	once_new(&other.watched, MS);
	asynctimer__test_hook = a_stop_waits;
	ck_assert_int_eq(asynctimer_start(other.watched.timer), 1);
	thread = thread_new(stop_from_outside, &other);
	dispatch_callbacks(&other.watched, 1);
	thread_join(thread);
}
END_TEST

/* With its tick deferred, which nothing but the completion ends. */
static struct asynctimer *deferred_new(struct watched *watched)
{
	watched->result = ASYNCTIMER_PENDING;
	watched->then = be_stopped;
	once_new(watched, 100 * US);
	ck_assert_int_eq(asynctimer_start_after(watched->timer, 0), 1);
	ck_assert_int_eq(dispatch(-1), 1);
	expect_stopped(watched->timer);
	return watched->timer;
}

static void complete(struct watched *watched)
{
	ck_assert_int_eq(asynctimer_complete(watched->timer, watched->last.number, 0), 0);
	watched->result = ASYNCTIMER_DONE;
}

START_TEST(started_while_deferred_it_runs_at_the_completion_or_when_it_is_due)
{
	const uint64_t delays_ns[] = { 0, 3 * MS, HOUR };

	for (unsigned i = 0; i < 3; i++) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer = deferred_new(&watched);
		uint64_t before_ns = now_mono();
		uint64_t due_ns;

		ck_assert_int_eq(asynctimer_start_after(timer, delays_ns[i]), 1);
		due_ns = expect_due_in(&watched, before_ns, delays_ns[i]);
		ck_assert_int_eq(dispatch_until(before_ns + 5 * MS), 0);
		complete(&watched);
		/* However many intervals ago that was, and however near. */
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		ck_assert_int_eq(dispatch(delays_ns[i] == HOUR ? 0 : -1), delays_ns[i] != HOUR);
		if (delays_ns[i] != HOUR)
			expect_ticked(&watched, 2, due_ns);
		asynctimer_free(timer);
	}
}
END_TEST

START_TEST(started_while_deferred_for_the_past_it_is_due_then)
{
	struct watched watched = { .callbacks = 0 };
	struct asynctimer *timer = deferred_new(&watched);
	uint64_t anchor_ns = now_mono() - 5 * MS;

	ck_assert_int_eq(asynctimer_start_at(timer, anchor_ns), 1);
	ck_assert_int_eq(dispatch(0), 0);
	complete(&watched);
	ck_assert_int_eq(dispatch(-1), 1);
	expect_ticked(&watched, 2, anchor_ns);
}
END_TEST

START_TEST(completed_it_stays_stopped)
{
	struct watched watched = { .callbacks = 0 };
	struct asynctimer *timer = deferred_new(&watched);

	complete(&watched);
	expect_stopped(timer);
	ck_assert_int_eq(dispatch_until(now_mono() + 2 * MS), 0);
	/* And with a start that was taken back meanwhile. */
	asynctimer_free(timer);
	watched = (struct watched){ .callbacks = 0 };
	timer = deferred_new(&watched);
	ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
	ck_assert_int_eq(asynctimer_stop(timer), 1);
	complete(&watched);
	expect_stopped(timer);
	ck_assert_int_eq(dispatch_until(now_mono() + 2 * MS), 0);
}
END_TEST

static void start_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)data;
	ck_assert_int_eq(error, -EIO);
	expect_stopped(timer);
	ck_assert_int_eq(asynctimer_start_after(timer, MS), 1);
}

START_TEST(failed_it_is_stopped_and_may_be_started_in_its_handler)
{
	struct watched watched = { .result = -EIO };
	struct asynctimer *timer = once_new(&watched, HOUR);

	must(asynctimer_set_error_handler(timer, start_in_handler));
	ck_assert_int_eq(asynctimer_start_after(timer, 0), 1);
	dispatch_callbacks(&watched, 1);
	watched.result = ASYNCTIMER_DONE;
	dispatch_callbacks(&watched, 2);
	ck_assert_uint_eq(stats_of(&watched).failures, 1);
	expect_stopped(timer);
}
END_TEST

static int releases;

static void count_release(void *data)
{
	(void)data;
	flag_add(&releases);
}

static int free_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (watched->data)
		ck_assert_int_eq(asynctimer_start_after(watched->timer, 0), 1);
	asynctimer_free(watched->timer);
	ck_assert_int_eq(asynctimer_start(watched->timer), -EINVAL);
	ck_assert_int_eq(releases, 0);
	return watched->result;
}

START_TEST(freed_in_its_callback_it_is_released_when_its_tick_ends)
{
	const int results[] = { ASYNCTIMER_DONE, ASYNCTIMER_PENDING };

	for (unsigned i = 0; i < 4; i++) {
		struct watched watched = { .then = free_in_callback, .result = results[i % 2] };

		watched.data = i < 2 ? NULL : &watched;
		releases = 0;
		once_new(&watched, MS);
		asynctimer_set_release(watched.timer, count_release);
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		dispatch_callbacks(&watched, 1);
		ck_assert_int_eq(releases, results[i % 2] == ASYNCTIMER_DONE);
		if (results[i % 2] == ASYNCTIMER_PENDING)
			ck_assert_int_eq(asynctimer_complete(watched.timer, 1, 0), 0);
		ck_assert_int_eq(releases, 1);
		ck_assert_int_eq(dispatch_until(now_mono() + 2 * MS), 0);
	}
}
END_TEST

/*
 * Another interval.
 */

START_TEST(set_interval_moves_the_tick_to_the_start_and_the_new_interval)
{
	struct watched watched = { .callbacks = 0 };
	struct asynctimer *timer = once_new(&watched, HOUR);
	uint64_t start_ns, passed_ns;

	ck_assert_int_eq(asynctimer_start(timer), 1);
	start_ns = asynctimer_next_due_ns(timer) - HOUR;
	ck_assert_int_eq(asynctimer_set_interval(timer, 2 * HOUR), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), start_ns + 2 * HOUR);
	ck_assert_int_eq(asynctimer_set_interval(timer, 2 * HOUR), 0);
	passed_ns = now_mono() + 8 * MS;
	let_pass_until(passed_ns);
	/* Past: at once, and late by so much. */
	ck_assert_int_eq(asynctimer_set_interval(timer, 3 * MS), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), start_ns + 3 * MS);
	ck_assert_int_eq(dispatch(-1), 1);
	expect_ticked(&watched, 1, start_ns + 3 * MS);
	if (backing == BACKING_VIRTUAL)
		ck_assert_uint_eq(watched.last.now_ns, passed_ns);
	/* And for the next start. */
	ck_assert_int_eq(asynctimer_start(timer), 1);
	dispatch_callbacks(&watched, 2);
	ck_assert_uint_ge(watched.last.due_ns, passed_ns + 3 * MS);
}
END_TEST

START_TEST(set_interval_while_stopped_counts_from_the_next_start)
{
	struct watched watched = { .callbacks = 0 };
	struct asynctimer *timer = once_new(&watched, HOUR);
	uint64_t before_ns, due_ns;

	ck_assert_int_eq(asynctimer_set_interval(timer, 3 * MS), 1);
	expect_stopped(timer);
	before_ns = now_mono();
	ck_assert_int_eq(asynctimer_start(timer), 1);
	due_ns = expect_due_in(&watched, before_ns, 3 * MS);
	dispatch_callbacks(&watched, 1);
	expect_ticked(&watched, 1, due_ns);
}
END_TEST

/* A start that says when the first tick is due. */

static void ask_start_after(struct asynctimer *timer)
{
	ck_assert_int_eq(asynctimer_start_after(timer, 15 * MS), 1);
}

static void ask_start_at(struct asynctimer *timer)
{
	ck_assert_int_eq(asynctimer_start_at(timer, now_mono() + 15 * MS), 1);
}

static void ask_start_at_the_past(struct asynctimer *timer)
{
	ck_assert_int_eq(asynctimer_start_at(timer, now_mono() - 15 * MS), 1);
}

static void ask_restart_after(struct asynctimer *timer)
{
	ck_assert_int_eq(asynctimer_start(timer), 1);
	ck_assert_int_eq(asynctimer_restart_after(timer, 15 * MS), 1);
}

static void (*const asking[])(struct asynctimer *) = { ask_start_after, ask_start_at,
						       ask_start_at_the_past, ask_restart_after };
#define ASKING (sizeof(asking) / sizeof(*asking))

START_TEST(set_interval_leaves_a_tick_that_was_asked_for)
{
	for (unsigned i = 0; i < ASKING; i++) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer = once_new(&watched, HOUR);
		uint64_t due_ns, set_ns;

		asking[i](timer);
		due_ns = asynctimer_next_due_ns(timer);
		set_ns = now_mono();
		ck_assert_int_eq(asynctimer_set_interval(timer, 3 * MS), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		dispatch_callbacks(&watched, 1);
		expect_ticked(&watched, 1, due_ns);
		if (backing == BACKING_VIRTUAL)
			ck_assert_uint_eq(watched.last.now_ns, due_ns < set_ns ? set_ns : due_ns);
		/* A plain start asks for nothing, whatever came before it. */
		ck_assert_int_eq(asynctimer_start(timer), 1);
		due_ns = asynctimer_next_due_ns(timer);
		ck_assert_int_eq(asynctimer_set_interval(timer, 5 * MS), 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns + 2 * MS);
		asynctimer_free(timer);
	}
}
END_TEST

static int start_and_set_interval(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct asynctimer *timer = watched->timer;
	uint64_t start_ns;

	(void)tick;
	if (watched->callbacks > 1)
		return ASYNCTIMER_DONE;
	ck_assert_int_eq(asynctimer_start(timer), 1);
	start_ns = asynctimer_next_due_ns(timer) - HOUR;
	spin_until(watched->clock, now_on(watched->clock) + 5 * MS);
	ck_assert_int_eq(asynctimer_set_interval(timer, 2 * MS), 1);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), start_ns + 2 * MS);
	*(uint64_t *)watched->data = start_ns + 2 * MS;
	return watched->result;
}

START_TEST(set_interval_while_open_moves_the_tick_of_the_next_start)
{
	const int results[] = { ASYNCTIMER_DONE, ASYNCTIMER_PENDING };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t due_ns = 0;
		struct watched watched = { .then = start_and_set_interval, .data = &due_ns,
					   .result = results[i] };

		once_new(&watched, HOUR);
		ck_assert_int_eq(asynctimer_start_after(watched.timer, 0), 1);
		dispatch_callbacks(&watched, 1);
		if (results[i] == ASYNCTIMER_PENDING) {
			ck_assert_int_eq(dispatch(0), 0);
			complete(&watched);
		}
		dispatch_callbacks(&watched, 2);
		expect_ticked(&watched, 2, due_ns);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/*
 * One that starts itself for now or the past.
 */

static bool for_the_past;

static int start_itself(struct watched *watched, const struct asynctimer_tick *tick)
{
	unsigned *left = watched->data;

	(void)tick;
	if ((*left)-- == 0)
		return ASYNCTIMER_DONE;
	if (for_the_past)
		ck_assert_int_eq(asynctimer_start_at(watched->timer, 0), 1);
	else
		ck_assert_int_eq(asynctimer_start_after(watched->timer, 0), 1);
	return ASYNCTIMER_DONE;
}

START_TEST(one_that_starts_itself_at_once_waits_for_the_next_dispatch)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned left = 50;
		struct watched watched = { .then = start_itself, .data = &left };

		for_the_past = i;
		once_new(&watched, MS);
		ck_assert_int_eq(asynctimer_start_after(watched.timer, 0), 1);
		for (unsigned count = 1; count <= 51; count++) {
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
			ck_assert_uint_eq(watched.callbacks, count);
		}
		ck_assert_uint_eq(watched.last.number, 51);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), 0);
		asynctimer_free(watched.timer);
	}
}
END_TEST

static int start_the_other(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct watched *other = watched->data;

	(void)tick;
	ck_assert_int_eq(asynctimer_start_at(other->timer, for_the_past ? 0 : tick->now_ns), 1);
	return ASYNCTIMER_DONE;
}

START_TEST(two_that_start_each_other_at_once_take_a_dispatch_each)
{
	struct watched one = { .then = start_the_other };
	struct watched other = { .then = start_the_other, .data = &one };

	one.data = &other;
	once_new(&one, MS);
	once_new(&other, MS);
	for (unsigned i = 0; i < 2; i++) {
		unsigned callbacks = one.callbacks;

		for_the_past = i;
		ck_assert_int_eq(asynctimer_start_after(one.timer, 0), 1);
		for (unsigned count = 1; count <= 20; count++) {
			ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
			ck_assert_uint_eq(one.callbacks, callbacks + (count + 1) / 2);
		}
		ck_assert_int_eq(asynctimer_stop(one.timer), 1);
	}
}
END_TEST

START_TEST(in_an_advance_one_that_starts_itself_at_once_runs_at_the_same_moment)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned left = 50;
		struct watched watched = { .then = start_itself, .data = &left };
		uint64_t at_ns = now_mono() + 4;

		for_the_past = i;
		once_new(&watched, MS);
		ck_assert_int_eq(asynctimer_start_at(watched.timer, at_ns), 1);
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 10), 51);
		ck_assert_uint_eq(watched.last.now_ns, at_ns);
		expect_ticked(&watched, 51, for_the_past ? 0 : at_ns);
		ck_assert_uint_eq(now_mono(), at_ns + 6);
		asynctimer_free(watched.timer);
	}
}
END_TEST

static char order[16];

static int note_and_start_itself(struct watched *watched, const struct asynctimer_tick *tick)
{
	strcat(order, "a");
	return start_itself(watched, tick);
}

static int note(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	strcat(order, "b");
	return ASYNCTIMER_DONE;
}

START_TEST(what_is_started_for_the_past_waits_for_what_is_due_in_this_wake_up)
{
	unsigned left = 2;
	struct watched one = { .then = note_and_start_itself, .data = &left };
	struct watched other = { .then = note };
	uint64_t at_ns = now_mono() + 4;

	for_the_past = true;
	once_new(&one, MS);
	once_new(&other, MS);
	ck_assert_int_eq(asynctimer_start_at(one.timer, at_ns), 1);
	ck_assert_int_eq(asynctimer_start_at(other.timer, at_ns), 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 4), 4);
	ck_assert_str_eq(order, "abaa");
}
END_TEST

/*
 * Slack, several of them, and a clock that is set.
 */

START_TEST(with_slack_it_waits_for_others_and_is_never_early)
{
	struct watched watched = { .then = be_stopped };
	struct watched sharing = { .then = be_stopped };
	uint64_t now_ns = now_mono();

	watch_new_shared(&watched, CLOCK_MONOTONIC, 100, ONCE, 20);
	watch_new_shared(&sharing, CLOCK_MONOTONIC, 90, ONCE, 40);
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 119), 0);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), 1);
	expect_ticked(&watched, 1, now_ns + 100);
	ck_assert_uint_eq(watched.last.now_ns, now_ns + 120);
	now_ns = now_mono();
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
	ck_assert_int_eq(asynctimer_start(sharing.timer), 1);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 119), 0);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), 2);
	expect_ticked(&watched, 2, now_ns + 100);
	expect_ticked(&sharing, 1, now_ns + 90);
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1000), 0);
}
END_TEST

START_TEST(with_slack_it_ticks_once_on_the_real_clock_too)
{
	struct watched watched = { .then = be_stopped };

	watch_new_shared(&watched, CLOCK_MONOTONIC, 3 * MS, ONCE, 2 * MS);
	for (unsigned count = 1; count <= 3; count++) {
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		dispatch_callbacks(&watched, count);
	}
	ck_assert_int_eq(dispatch(10 * MS), 0);
}
END_TEST

#define MANY 40
#define TIMES 200

static int done;	/* timers that have ticked for the last time */

static int start_itself_many_times(struct watched *watched, const struct asynctimer_tick *tick)
{
	ck_assert_uint_eq(tick->number, watched->callbacks);
	if (watched->callbacks < TIMES)
		must(asynctimer_start_after(watched->timer, watched->callbacks % 4 * US));
	else if (flag_add(&done) == MANY)
		asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

START_TEST(of_many_that_start_themselves_in_several_threads_none_is_lost)
{
	static struct watched many[MANY];
	pthread_t threads[3];

	for (unsigned i = 0; i < MANY; i++) {
		many[i].then = start_itself_many_times;
		once_new(&many[i], MS);
		ck_assert_int_eq(asynctimer_start_after(many[i].timer, 0), 1);
	}
	for (unsigned i = 0; i < 3; i++)
		threads[i] = thread_new(run_reactor, reactor);
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_uint_eq(many[i].callbacks, TIMES);
		expect_stopped(many[i].timer);
	}
}
END_TEST

/* On CLOCK_REALTIME, after a tick, so that nothing is as it was when the timer was made. */
static struct asynctimer *realtime_new(struct watched *watched)
{
	watch_new(watched, CLOCK_REALTIME, 100, ONCE);
	ck_assert_int_eq(asynctimer_start_after(watched->timer, 0), 1);
	ck_assert_int_eq(dispatch(0), 1);
	return watched->timer;
}

static void set_realtime(int64_t by_ns)
{
	must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME,
					  now_on(CLOCK_REALTIME) + (uint64_t)by_ns));
}

static void expect_due_through(struct watched *watched, uint64_t due_ns, int64_t by_ns)
{
	uint64_t now_ns;

	set_realtime(by_ns);
	now_ns = now_on(CLOCK_REALTIME);
	ck_assert_uint_eq(asynctimer_next_due_ns(watched->timer), due_ns);
	ck_assert_uint_eq(watched->callbacks, 1);
	if (now_ns < due_ns) {
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, due_ns - now_ns - 1), 0);
		now_ns = due_ns - 1;
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 1), 1);
	} else {
		ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 1);
	}
	expect_ticked(watched, 2, due_ns);
	ck_assert_uint_eq(watched->last.now_ns, now_ns < due_ns ? due_ns : now_ns);
}

START_TEST(when_its_clock_is_set_its_due_time_stays)
{
	const int64_t steps_ns[] = { 1, 20, 100, 1000, -1, -20, -100, -150, -100000 };

	for (unsigned i = 0; i < 4 * sizeof(steps_ns) / sizeof(*steps_ns); i++) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer = realtime_new(&watched);
		uint64_t due_ns = now_on(CLOCK_REALTIME) + (i % 4 ? 70 : 100);

		if (i % 4 == 0)
			ck_assert_int_eq(asynctimer_start(timer), 1);
		else if (i % 4 == 1)
			ck_assert_int_eq(asynctimer_start_after(timer, 70), 1);
		else if (i % 4 == 2)
			ck_assert_int_eq(asynctimer_start_at(timer, due_ns), 1);
		else if (asynctimer_start(timer) == 1)
			ck_assert_int_eq(asynctimer_restart_after(timer, 70), 1);
		expect_due_through(&watched, due_ns, steps_ns[i / 4]);
		asynctimer_free(timer);
	}
}
END_TEST

/* Started for 50 ago: at once, or when that comes again. */
START_TEST(when_its_clock_is_set_back_an_anchor_in_the_past_may_be_to_come)
{
	const int64_t steps_ns[] = { -1, -30, -50, -51, -100, -100000, 30 };

	for (unsigned i = 0; i < sizeof(steps_ns) / sizeof(*steps_ns); i++) {
		struct watched watched = { .callbacks = 0 };
		struct asynctimer *timer = realtime_new(&watched);
		uint64_t anchor_ns = now_on(CLOCK_REALTIME) - 50;

		ck_assert_int_eq(asynctimer_start_at(timer, anchor_ns), 1);
		expect_due_through(&watched, anchor_ns, steps_ns[i]);
		asynctimer_free(timer);
	}
}
END_TEST

START_TEST(when_its_clock_is_set_while_its_tick_is_open_the_next_due_time_stays)
{
	const int64_t steps_ns[] = { 1000, 50, -50, -100000 };

	for (unsigned i = 0; i < 4; i++) {
		struct watched watched = { .result = ASYNCTIMER_PENDING };
		struct asynctimer *timer = realtime_new(&watched);
		uint64_t due_ns = now_on(CLOCK_REALTIME) + 100;

		ck_assert_int_eq(asynctimer_start(timer), 1);
		set_realtime(steps_ns[i]);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		complete(&watched);
		expect_due_through(&watched, due_ns, 0);
		asynctimer_free(timer);
	}
}
END_TEST

int main(void)
{
	/* REAL, VIRTUAL: how far one turn goes; and several threads in a reactor. */
	return RUN_WITH_BACKINGS("once",
		EVERY(it_is_known_on_every_clock_and_no_policy_is_after_it),
		EVERY(it_ticks_once_one_interval_after_the_start_and_is_stopped_in_its_callback),
		EVERY(start_after_and_start_at_say_when_its_tick_is_due),
		EVERY(stopped_before_it_is_due_it_does_not_tick),
		EVERY(an_anchor_in_the_past_is_due_there_and_runs_at_once),
		VIRTUAL(the_sum_of_lateness_stays_at_its_end),
		EVERY(started_in_its_own_callback_it_ticks_again),
		EVERY(what_comes_due_while_its_callback_runs_is_not_skipped),
		EVERY(started_and_stopped_in_its_own_callback_it_stays_stopped),
		EVERY(it_is_stopped_when_its_tick_is_claimed_and_a_start_from_there_on_counts),
		EVERY(started_by_another_thread_during_its_callback_it_ticks_again),
		EVERY(a_stop_during_its_callback_answers_0_and_waits),
		EVERY(started_while_deferred_it_runs_at_the_completion_or_when_it_is_due),
		EVERY(started_while_deferred_for_the_past_it_is_due_then),
		EVERY(completed_it_stays_stopped),
		EVERY(failed_it_is_stopped_and_may_be_started_in_its_handler),
		EVERY(freed_in_its_callback_it_is_released_when_its_tick_ends),
		EVERY(set_interval_moves_the_tick_to_the_start_and_the_new_interval),
		EVERY(set_interval_while_stopped_counts_from_the_next_start),
		EVERY(set_interval_leaves_a_tick_that_was_asked_for),
		EVERY(set_interval_while_open_moves_the_tick_of_the_next_start),
		REAL(one_that_starts_itself_at_once_waits_for_the_next_dispatch),
		REAL(two_that_start_each_other_at_once_take_a_dispatch_each),
		VIRTUAL(in_an_advance_one_that_starts_itself_at_once_runs_at_the_same_moment),
		VIRTUAL(what_is_started_for_the_past_waits_for_what_is_due_in_this_wake_up),
		VIRTUAL(with_slack_it_waits_for_others_and_is_never_early),
		SHARED(with_slack_it_ticks_once_on_the_real_clock_too),
		REAL(of_many_that_start_themselves_in_several_threads_none_is_lost),
		VIRTUAL(when_its_clock_is_set_its_due_time_stays),
		VIRTUAL(when_its_clock_is_set_back_an_anchor_in_the_past_may_be_to_come),
		VIRTUAL(when_its_clock_is_set_while_its_tick_is_open_the_next_due_time_stays));
}
