/* SPDX-License-Identifier: MIT */
/* One test per cell of the table "what each event does in each state", exact on a virtual clock. */
#include <errno.h>
#include <poll.h>

#include "util.h"

#define INTERVAL (2 * MS)

static struct watched watched;
static struct asynctimer *timer;
static int released;

static void release(void *data)
{
	ck_assert_ptr_eq(data, &watched);
	released++;
}

/* The states. */

static void idle(int policy)
{
	watched = (struct watched){ 0 };
	timer = watch_new(&watched, CLOCK_MONOTONIC, INTERVAL, policy)->timer;
	asynctimer_set_release(timer, release);
	released = 0;
}

static void armed(int policy)
{
	idle(policy);
	ck_assert_int_eq(asynctimer_start(timer), 1);
}

static void open_started(int policy)
{
	armed(policy);
	watched.result = ASYNCTIMER_PENDING;
	dispatch_callbacks(&watched, 1);
}

static void open_stopped(int policy)
{
	open_started(policy);
	ck_assert_int_eq(asynctimer_stop(timer), 1);
}

/* Armed, with then as what the first callback does. */
static void armed_to(int policy, int (*then)(struct watched *, const struct asynctimer_tick *))
{
	armed(policy);
	watched.then = then;
}

static void expect_state(bool started, bool open, int policy)
{
	uint64_t due_ns = asynctimer_next_due_ns(timer);
	struct asynctimer_stats stats;

	must(asynctimer_get_stats(timer, &stats));
	ck_assert_int_eq(asynctimer_is_started(timer), started);
	ck_assert_int_eq(stats.busy_since_ns != 0, open);
	if (!started || (open && policy == ASYNCTIMER_FIXED_DELAY))
		ck_assert_uint_eq(due_ns, UINT64_MAX);
	else
		ck_assert_uint_ne(due_ns, UINT64_MAX);
	if (open) {
		ck_assert_uint_eq(stats.busy_since_ns, watched.last.now_ns);
		ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	}
}

static void expect_no_tick(void)
{
	ck_assert_int_eq(dispatch_until(now_mono() + 3 * INTERVAL), 0);
}

/* The timer is idle, and nobody is woken for it; for a shared one somebody may be, once. */
static void expect_silence(void)
{
	if (backing == BACKING_OWN) {
		struct pollfd pollfd = { .fd = asynctimer_reactor_fd(reactor), .events = POLLIN };

		ck_assert_int_eq(poll(&pollfd, 1, 3 * INTERVAL / MS), 0);
	}
	expect_no_tick();
}

/* The timer is armed, and not in name only. */
static void expect_ticks(void)
{
	watched.then = NULL;
	watched.result = ASYNCTIMER_DONE;
	dispatch_callbacks(&watched, watched.callbacks + 2);
}

static void expect_released_by_free(void)
{
	asynctimer_free(timer);
	ck_assert_int_eq(released, 1);
}

static uint64_t failures(void)
{
	struct asynctimer_stats stats;

	must(asynctimer_get_stats(timer, &stats));
	return stats.failures;
}

/* start */

static int start_now(void)
{
	return asynctimer_start(timer);
}

static int start_after_5_ms(void)
{
	return asynctimer_start_after(timer, 5 * MS);
}

static int start_at_0(void)
{
	return asynctimer_start_at(timer, 0);
}

static int (*const starts[])(void) = { start_now, start_after_5_ms, start_at_0 };

#define FOR_EACH_START(i) for (unsigned i = 0; i < sizeof(starts) / sizeof(*starts); i++)

/* starts[i] at now_ns makes the first tick due then. */
static uint64_t first_due_ns(unsigned i, uint64_t now_ns, int policy)
{
	const uint64_t at_0_ns =
		policy == ASYNCTIMER_FIXED_DELAY ? now_ns : (now_ns / INTERVAL + 1) * INTERVAL;

	return i == 0 ? now_ns + INTERVAL : i == 1 ? now_ns + 5 * MS : at_0_ns;
}

START_TEST(start_when_idle_arms)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_START(i) {
		uint64_t before_ns;

		idle(policy);
		expect_state(false, false, policy);
		before_ns = now_mono();
		ck_assert_int_eq(starts[i](), 1);
		expect_state(true, false, policy);
		ck_assert_uint_ge(asynctimer_next_due_ns(timer), first_due_ns(i, before_ns, policy));
		ck_assert_uint_le(asynctimer_next_due_ns(timer),
				  first_due_ns(i, now_mono(), policy));
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

START_TEST(start_when_armed_changes_nothing)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_START(i) {
		uint64_t due_ns;

		armed(policy);
		due_ns = asynctimer_next_due_ns(timer);
		ck_assert_int_eq(starts[i](), 0);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		expect_state(true, false, policy);
		dispatch_callbacks(&watched, 1);
		ck_assert_uint_eq(watched.last.due_ns,
				  due_ns + (watched.last.number - 1) * INTERVAL);
		expect_released_by_free();
	}
}
END_TEST

START_TEST(start_when_open_and_stopped_arms_at_the_completion)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_START(i) {
		uint64_t completed_ns;

		open_stopped(policy);
		ck_assert_int_eq(starts[i](), 1);
		expect_state(true, true, policy);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		expect_state(false, true, policy);
		ck_assert_int_eq(starts[i](), 1);
		expect_no_tick();
		completed_ns = now_mono();
		ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		expect_state(true, false, policy);
		ck_assert_uint_gt(asynctimer_next_due_ns(timer), completed_ns);
		watched.restarted = true;
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

static int stop_and_start(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	ck_assert_int_eq(asynctimer_start(self->timer), 1);
	ck_assert_int_eq(asynctimer_start(self->timer), 0);
	self->restarted = true;
	return ASYNCTIMER_DONE;
}

START_TEST(start_in_the_own_stopped_callback_arms_at_its_completion)
{
	FOR_BOTH_POLICIES(policy) {
		armed_to(policy, stop_and_start);
		dispatch_callbacks(&watched, 1);
		expect_state(true, false, policy);
		/* One chain, not two: on_tick would see the other's due points. */
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

START_TEST(start_when_open_and_started_changes_nothing)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_START(i) {
		uint64_t due_ns;

		open_started(policy);
		due_ns = asynctimer_next_due_ns(timer);
		ck_assert_int_eq(starts[i](), 0);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		expect_state(true, true, policy);
		ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

/* stop */

static int (*const stops[])(struct asynctimer *) = { asynctimer_stop, asynctimer_stop_nowait };

#define FOR_EACH_STOP(i) for (unsigned i = 0; i < sizeof(stops) / sizeof(*stops); i++)

START_TEST(stop_when_idle_changes_nothing)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_STOP(i) {
		idle(policy);
		ck_assert_int_eq(stops[i](timer), 0);
		expect_state(false, false, policy);
		must(asynctimer_start(timer));
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

START_TEST(stop_when_armed_makes_idle)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_STOP(i) {
		armed(policy);
		ck_assert_int_eq(stops[i](timer), 1);
		expect_state(false, false, policy);
		expect_silence();
		ck_assert_int_eq(stops[i](timer), 0);
		expect_released_by_free();
	}
}
END_TEST

START_TEST(stop_when_open_and_stopped_changes_nothing)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_STOP(i) {
		open_stopped(policy);
		ck_assert_int_eq(stops[i](timer), 0);
		expect_state(false, true, policy);
		ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		expect_state(false, false, policy);
		expect_released_by_free();
	}
}
END_TEST

START_TEST(stop_when_open_and_started_leaves_it_open)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_STOP(i) {
		open_started(policy);
		ck_assert_int_eq(stops[i](timer), 1);
		expect_state(false, true, policy);
		ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		expect_state(false, false, policy);
		expect_silence();
		expect_released_by_free();
	}
}
END_TEST

/* A callback in another thread that goes on until after the stop was called. */
static int begun, stopping, ended;
static bool stops_itself;

static int go_on(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (stops_itself)
		ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	flag_set(&begun);
	await(flag_get(&stopping));
	spin_until(CLOCK_MONOTONIC, now_mono() + 5 * MS);
	flag_set(&ended);
	return ASYNCTIMER_DONE;
}

static void *dispatch_one(void *unused)
{
	(void)unused;
	dispatch_callbacks(&watched, 1);
	return NULL;
}

static void stop_while_another_thread_runs_it(int policy, int expected)
{
	pthread_t thread;

	begun = stopping = ended = 0;
	armed_to(policy, go_on);
	thread = thread_new(dispatch_one, NULL);
	await(flag_get(&begun));
	flag_set(&stopping);
	ck_assert_int_eq(asynctimer_stop(timer), expected);
	ck_assert_int_eq(flag_get(&ended), 1);
	thread_join(thread);
	expect_state(false, false, policy);
	expect_no_tick();
	expect_released_by_free();
}

START_TEST(stop_waits_when_open_and_stopped_in_another_thread)
{
	stops_itself = true;
	FOR_BOTH_POLICIES(policy)
		stop_while_another_thread_runs_it(policy, 0);
}
END_TEST

START_TEST(stop_waits_when_open_and_started_in_another_thread)
{
	stops_itself = false;
	FOR_BOTH_POLICIES(policy)
		stop_while_another_thread_runs_it(policy, 1);
}
END_TEST

/* tick due */

START_TEST(tick_due_when_idle_is_nothing)
{
	FOR_BOTH_POLICIES(policy) {
		armed(policy);
		/* It is due, and in the kernel, when it is stopped. */
		let_pass_until(asynctimer_next_due_ns(timer) + INTERVAL);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		expect_silence();
		ck_assert_uint_eq(watched.callbacks, 0);
		expect_released_by_free();
	}
}
END_TEST

static int expect_open_and_started(struct watched *self, const struct asynctimer_tick *tick)
{
	struct asynctimer_stats stats;

	ck_assert_int_eq(asynctimer_is_started(self->timer), 1);
	must(asynctimer_get_stats(self->timer, &stats));
	ck_assert_uint_eq(stats.busy_since_ns, tick->now_ns);
	return ASYNCTIMER_DONE;
}

START_TEST(tick_due_when_armed_is_claimed)
{
	FOR_BOTH_POLICIES(policy) {
		uint64_t due_ns;

		armed_to(policy, expect_open_and_started);
		due_ns = asynctimer_next_due_ns(timer);
		dispatch_callbacks(&watched, 1);
		ck_assert_uint_eq(watched.last.due_ns,
				  due_ns + watched.last.skipped_late * INTERVAL);
		ck_assert_uint_eq(watched.last.number, 1 + watched.last.skipped_late);
		expect_state(true, false, policy);
		expect_released_by_free();
	}
}
END_TEST

START_TEST(tick_due_when_open_and_stopped_is_nothing)
{
	FOR_BOTH_POLICIES(policy) {
		open_started(policy);
		let_pass_until(watched.last.due_ns + 2 * INTERVAL);
		ck_assert_int_eq(asynctimer_stop(timer), 1);
		expect_no_tick();
		expect_state(false, true, policy);
		ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		expect_no_tick();
		expect_state(false, false, policy);
		expect_released_by_free();
	}
}
END_TEST

/* Whoever polls the reactor does not spin while the tick is open. */
static void expect_quiet(void)
{
	struct pollfd pollfd = { .events = POLLIN };
	int tries = 100;

	if (backing == BACKING_VIRTUAL)
		return;
	pollfd.fd = asynctimer_reactor_fd(reactor);
	while (poll(&pollfd, 1, 0) == 1) {
		ck_assert_int_gt(tries--, 0);
		ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, MS), 0);
	}
}

START_TEST(tick_due_when_open_and_started_is_skipped)
{
	FOR_BOTH_POLICIES(policy) {
		struct asynctimer_tick tick;
		uint64_t before_ns, after_ns;

		open_started(policy);
		expect_no_tick();
		expect_quiet();
		expect_state(true, true, policy);
		tick = watched.last;
		before_ns = now_mono();
		ck_assert_int_eq(asynctimer_complete(timer, tick.number, 0), 0);
		after_ns = now_mono();
		expect_state(true, false, policy);
		watched.result = ASYNCTIMER_DONE;
		dispatch_callbacks(&watched, 2);
		if (policy == ASYNCTIMER_FIXED_SCHEDULE) {
			ck_assert_uint_ge(watched.last.skipped_busy,
					  (before_ns - tick.due_ns) / INTERVAL);
			ck_assert_uint_le(watched.last.skipped_busy,
					  (after_ns - tick.due_ns) / INTERVAL);
			ck_assert_uint_ge(watched.last.skipped_busy, 2);
		} else {
			ck_assert_uint_ge(watched.last.due_ns, before_ns + INTERVAL);
			ck_assert_uint_le(watched.last.due_ns, after_ns + INTERVAL);
			ck_assert_uint_eq(watched.last.number, 2);
		}
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

/* callback returns DONE or fails */

static int stop_itself(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	return self->result;
}

static void callback_returns(int policy, int result, bool stopped)
{
	armed_to(policy, stopped ? stop_itself : NULL);
	watched.result = result;
	dispatch_callbacks(&watched, 1);
	expect_state(!stopped, false, policy);
	if (!stopped)
		ck_assert_uint_ge(asynctimer_next_due_ns(timer), watched.last.due_ns + INTERVAL);
	if (!stopped && backing == BACKING_VIRTUAL)
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), watched.last.due_ns + INTERVAL);
	ck_assert_uint_eq(failures(), result != ASYNCTIMER_DONE);
	if (stopped)
		expect_no_tick();
	else
		expect_ticks();
	expect_released_by_free();
}

START_TEST(callback_done_when_stopped_makes_idle)
{
	FOR_BOTH_POLICIES(policy)
		callback_returns(policy, ASYNCTIMER_DONE, true);
}
END_TEST

START_TEST(callback_failed_when_stopped_makes_idle)
{
	FOR_BOTH_POLICIES(policy) {
		callback_returns(policy, -EIO, true);
		callback_returns(policy, 1, true);
	}
}
END_TEST

START_TEST(callback_done_when_started_makes_armed)
{
	FOR_BOTH_POLICIES(policy)
		callback_returns(policy, ASYNCTIMER_DONE, false);
}
END_TEST

START_TEST(callback_failed_when_started_makes_armed)
{
	FOR_BOTH_POLICIES(policy) {
		callback_returns(policy, -EIO, false);
		callback_returns(policy, 1, false);
	}
}
END_TEST

/* callback returns PENDING */

static void callback_pends(int policy, bool stopped)
{
	armed_to(policy, stopped ? stop_itself : NULL);
	watched.result = ASYNCTIMER_PENDING;
	dispatch_callbacks(&watched, 1);
	expect_state(!stopped, true, policy);
	expect_no_tick();
	expect_state(!stopped, true, policy);
	ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
	expect_state(!stopped, false, policy);
	expect_released_by_free();
}

START_TEST(callback_pending_when_stopped_stays_open)
{
	FOR_BOTH_POLICIES(policy)
		callback_pends(policy, true);
}
END_TEST

START_TEST(callback_pending_when_started_stays_open)
{
	FOR_BOTH_POLICIES(policy)
		callback_pends(policy, false);
}
END_TEST

static int complete_first(struct watched *self, const struct asynctimer_tick *tick)
{
	bool started = asynctimer_is_started(self->timer);

	ck_assert_int_eq(asynctimer_complete(self->timer, tick->number, -EIO), 0);
	ck_assert_int_eq(asynctimer_complete(self->timer, tick->number, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_is_started(self->timer), started);
	return self->result;
}

static int stop_and_complete_first(struct watched *self, const struct asynctimer_tick *tick)
{
	ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	return complete_first(self, tick);
}

static void callback_pends_completed(int policy, int result, bool stopped)
{
	armed_to(policy, stopped ? stop_and_complete_first : complete_first);
	watched.result = result;
	dispatch_callbacks(&watched, 1);
	expect_state(!stopped, false, policy);
	/* What is not PENDING voids the early completion, and with it its failure. */
	ck_assert_uint_eq(failures(), result == ASYNCTIMER_PENDING);
	ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), -EALREADY);
	if (stopped)
		expect_no_tick();
	else
		expect_ticks();
	expect_released_by_free();
}

START_TEST(callback_pending_when_stopped_completes_if_complete_came_first)
{
	FOR_BOTH_POLICIES(policy)
		callback_pends_completed(policy, ASYNCTIMER_PENDING, true);
}
END_TEST

START_TEST(callback_pending_when_started_completes_if_complete_came_first)
{
	FOR_BOTH_POLICIES(policy)
		callback_pends_completed(policy, ASYNCTIMER_PENDING, false);
}
END_TEST

START_TEST(callback_done_voids_a_completion_that_came_first)
{
	FOR_BOTH_POLICIES(policy) {
		callback_pends_completed(policy, ASYNCTIMER_DONE, true);
		callback_pends_completed(policy, ASYNCTIMER_DONE, false);
	}
}
END_TEST

/* complete */

static void expect_nothing_to_complete(uint64_t up_to)
{
	for (uint64_t number = 0; number <= up_to; number++)
		ck_assert_int_eq(asynctimer_complete(timer, number, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(timer, UINT64_MAX, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(timer, up_to, 1), -EINVAL);
}

START_TEST(complete_when_idle_is_already_done)
{
	FOR_BOTH_POLICIES(policy) {
		idle(policy);
		expect_nothing_to_complete(1);
		must(asynctimer_start(timer));
		dispatch_callbacks(&watched, 2);
		must(asynctimer_stop(timer));
		expect_nothing_to_complete(watched.last.number + 1);
		expect_state(false, false, policy);
		expect_released_by_free();
	}
}
END_TEST

START_TEST(complete_when_armed_is_already_done)
{
	FOR_BOTH_POLICIES(policy) {
		uint64_t due_ns;

		armed(policy);
		dispatch_callbacks(&watched, 2);
		due_ns = asynctimer_next_due_ns(timer);
		expect_nothing_to_complete(watched.last.number + 1);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
		expect_state(true, false, policy);
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

static void complete_the_right_one_once(int policy, bool started)
{
	uint64_t number = watched.last.number;

	ck_assert_int_eq(asynctimer_complete(timer, number + 1, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(timer, number - 1, -EIO), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(timer, number, 1), -EINVAL);
	ck_assert_int_eq(asynctimer_complete(timer, number, ASYNCTIMER_PENDING), -EINVAL);
	expect_state(started, true, policy);
	ck_assert_uint_eq(failures(), 0);
	ck_assert_int_eq(asynctimer_complete(timer, number, -EIO), 0);
	ck_assert_uint_eq(failures(), 1);
	expect_state(started, false, policy);
	ck_assert_int_eq(asynctimer_complete(timer, number, 0), -EALREADY);
	ck_assert_uint_eq(failures(), 1);
}

START_TEST(complete_when_open_and_stopped_makes_idle)
{
	FOR_BOTH_POLICIES(policy) {
		open_stopped(policy);
		complete_the_right_one_once(policy, false);
		expect_silence();
		expect_released_by_free();
	}
}
END_TEST

START_TEST(complete_when_open_and_started_makes_armed)
{
	FOR_BOTH_POLICIES(policy) {
		uint64_t before_ns;

		open_started(policy);
		before_ns = now_mono();
		complete_the_right_one_once(policy, true);
		ck_assert_uint_gt(asynctimer_next_due_ns(timer), before_ns);
		ck_assert_uint_le(asynctimer_next_due_ns(timer), now_mono() + INTERVAL);
		if (backing == BACKING_VIRTUAL)
			ck_assert_uint_eq(asynctimer_next_due_ns(timer),
					  watched.last.due_ns + INTERVAL);
		expect_ticks();
		expect_released_by_free();
	}
}
END_TEST

/* free */

START_TEST(free_when_idle_releases)
{
	FOR_BOTH_POLICIES(policy) {
		int fds = count_fds();

		idle(policy);
		expect_released_by_free();
		ck_assert_int_eq(count_fds(), fds);
		expect_no_tick();
	}
}
END_TEST

START_TEST(free_when_armed_releases)
{
	FOR_BOTH_POLICIES(policy) {
		int fds = count_fds();

		armed(policy);
		let_pass_until(asynctimer_next_due_ns(timer));
		expect_released_by_free();
		ck_assert_int_eq(count_fds(), fds);
		expect_silence();
		ck_assert_uint_eq(watched.callbacks, 0);
	}
}
END_TEST

static void free_and_complete(void)
{
	asynctimer_free(timer);
	ck_assert_int_eq(released, 0);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	expect_no_tick();
	ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, -EIO), 0);
	ck_assert_int_eq(released, 1);
}

START_TEST(free_when_open_and_stopped_releases_at_the_completion)
{
	FOR_BOTH_POLICIES(policy) {
		open_stopped(policy);
		free_and_complete();
	}
}
END_TEST

START_TEST(free_when_open_and_started_releases_at_the_completion)
{
	FOR_BOTH_POLICIES(policy) {
		open_started(policy);
		free_and_complete();
	}
}
END_TEST

static int free_itself(struct watched *self, const struct asynctimer_tick *tick)
{
	(void)tick;
	asynctimer_free(self->timer);
	ck_assert_int_eq(released, 0);
	ck_assert_int_eq(asynctimer_start(self->timer), -EINVAL);
	ck_assert_int_eq(asynctimer_is_started(self->timer), 0);
	return self->result;
}

static int stop_and_free_itself(struct watched *self, const struct asynctimer_tick *tick)
{
	ck_assert_int_eq(asynctimer_stop(self->timer), 1);
	return free_itself(self, tick);
}

static void free_in_own_callback(int (*then)(struct watched *, const struct asynctimer_tick *))
{
	FOR_BOTH_POLICIES(policy) {
		armed_to(policy, then);
		dispatch_callbacks(&watched, 1);
		ck_assert_int_eq(released, 1);
		expect_no_tick();

		armed_to(policy, then);
		watched.result = ASYNCTIMER_PENDING;
		dispatch_callbacks(&watched, 1);
		ck_assert_int_eq(released, 0);
		ck_assert_int_eq(asynctimer_complete(timer, watched.last.number, 0), 0);
		ck_assert_int_eq(released, 1);
		expect_no_tick();
	}
}

START_TEST(free_in_the_own_started_callback_releases_at_the_completion)
{
	free_in_own_callback(free_itself);
}
END_TEST

START_TEST(free_in_the_own_stopped_callback_releases_at_the_completion)
{
	free_in_own_callback(stop_and_free_itself);
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("states",
		EVERY(start_when_idle_arms),
		EVERY(start_when_armed_changes_nothing),
		EVERY(start_when_open_and_stopped_arms_at_the_completion),
		EVERY(start_in_the_own_stopped_callback_arms_at_its_completion),
		EVERY(start_when_open_and_started_changes_nothing),
		EVERY(stop_when_idle_changes_nothing),
		EVERY(stop_when_armed_makes_idle),
		EVERY(stop_when_open_and_stopped_changes_nothing),
		EVERY(stop_when_open_and_started_leaves_it_open),
		EVERY(stop_waits_when_open_and_stopped_in_another_thread),
		EVERY(stop_waits_when_open_and_started_in_another_thread),
		EVERY(tick_due_when_idle_is_nothing),
		EVERY(tick_due_when_armed_is_claimed),
		EVERY(tick_due_when_open_and_stopped_is_nothing),
		EVERY(tick_due_when_open_and_started_is_skipped),
		EVERY(callback_done_when_stopped_makes_idle),
		EVERY(callback_failed_when_stopped_makes_idle),
		EVERY(callback_done_when_started_makes_armed),
		EVERY(callback_failed_when_started_makes_armed),
		EVERY(callback_pending_when_stopped_stays_open),
		EVERY(callback_pending_when_started_stays_open),
		EVERY(callback_pending_when_stopped_completes_if_complete_came_first),
		EVERY(callback_pending_when_started_completes_if_complete_came_first),
		EVERY(callback_done_voids_a_completion_that_came_first),
		EVERY(complete_when_idle_is_already_done),
		EVERY(complete_when_armed_is_already_done),
		EVERY(complete_when_open_and_stopped_makes_idle),
		EVERY(complete_when_open_and_started_makes_armed),
		EVERY(free_when_idle_releases),
		EVERY(free_when_armed_releases),
		EVERY(free_when_open_and_stopped_releases_at_the_completion),
		EVERY(free_when_open_and_started_releases_at_the_completion),
		EVERY(free_in_the_own_started_callback_releases_at_the_completion),
		EVERY(free_in_the_own_stopped_callback_releases_at_the_completion));
}
