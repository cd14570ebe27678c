/* SPDX-License-Identifier: MIT */
/* Ticks whose work goes on after the callback: ASYNCTIMER_PENDING and asynctimer_complete. */
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

#include "internal.h"
#include "util.h"

/* Every wake-up passes here. */
int __real_epoll_wait(int fd, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout);

static int wakeups;

int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	int r = __real_epoll_wait(fd, events, count, timeout);

	flag_add(&wakeups);
	return r;
}

/* A thread that sets stops_short comes to a halt before its next lock. */
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

static __thread bool stops_short;
static int stopped_short;
static int go_on;

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (stops_short) {
		stops_short = false;
		flag_set(&stopped_short);
		await(flag_get(&go_on));
	}
	return __real_pthread_mutex_lock(mutex);
}

struct failure {
	int error;		/* the last one */
	unsigned calls;
	pthread_t thread;
	uint64_t ended_ns;
};

static struct failure failure;
static uint64_t handler_work_ns;

static void on_error(struct asynctimer *timer, int error, void *data)
{
	struct watched *watched = data;
	struct asynctimer_stats stats;

	ck_assert_ptr_eq(timer, watched->timer);
	must(asynctimer_get_stats(timer, &stats));
	ck_assert_uint_eq(stats.busy_since_ns, watched->last.now_ns);
	ck_assert_int_eq(asynctimer_complete(timer, watched->last.number, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), BUSY);
	ck_assert_int_eq(asynctimer_reactor_run(reactor), BUSY);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	spin_until(watched->clock, now_on(watched->clock) + handler_work_ns);
	failure = (struct failure){
		.error = error,
		.calls = failure.calls + 1,
		.thread = pthread_self(),
		.ended_ns = now_on(watched->clock),
	};
}

static struct asynctimer_stats stats_of(const struct watched *watched)
{
	struct asynctimer_stats stats;

	must(asynctimer_get_stats(watched->timer, &stats));
	ck_assert_uint_eq(stats.callbacks, watched->callbacks);
	ck_assert_uint_eq(stats.callbacks + stats.skipped_busy + stats.skipped_late,
			  watched->last.number);
	return stats;
}

static bool is_open(const struct watched *watched)
{
	return stats_of(watched).busy_since_ns != 0;
}

/* The timer, its first tick delivered. */
static void open_tick(struct watched *watched, uint64_t interval_ns, int policy)
{
	if (!watched->result)
		watched->result = ASYNCTIMER_PENDING;
	watch_new(watched, CLOCK_MONOTONIC, interval_ns, policy);
	must(asynctimer_start_after(watched->timer, 0));
	ck_assert_int_eq(dispatch(-1), 1);
}

static void run_until(const struct watched *watched, unsigned callbacks)
{
	while (watched->callbacks < callbacks)
		dispatch(-1);
}

static int complete(struct watched *watched, int result)
{
	return asynctimer_complete(watched->timer, watched->last.number, result);
}

/* complete, in a thread of its own. */
struct completer {
	struct watched *watched;
	int result;
	int begin;		/* set: go ahead */
	bool stops_short;
	int r;
	pthread_t thread;
};

static void *complete_in_thread(void *data)
{
	struct completer *completer = data;

	await(flag_get(&completer->begin));
	stops_short = completer->stops_short;
	completer->r = complete(completer->watched, completer->result);
	return NULL;
}

static int complete_twice_itself(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct asynctimer *timer = watched->timer;

	ck_assert_int_eq(asynctimer_complete(timer, tick->number - 1, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(timer, tick->number + 1, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(timer, tick->number, 1), -EINVAL);
	ck_assert_int_eq(asynctimer_complete(timer, tick->number, 0), 0);
	ck_assert_int_eq(asynctimer_complete(timer, tick->number, 0), -EALREADY);
	ck_assert(is_open(watched));
	return ASYNCTIMER_PENDING;
}

START_TEST(completed_in_the_callback_it_ends_when_that_returns)
{
	struct watched watched = { .then = complete_twice_itself };

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	for (unsigned i = 1; i <= 5; i++) {
		run_until(&watched, i);
		ck_assert(!is_open(&watched));
	}
	ck_assert_int_eq(complete(&watched, 0), -EALREADY);
}
END_TEST

static int be_completed(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct completer *completer = watched->data;

	(void)tick;
	flag_set(&completer->begin);
	thread_join(completer->thread);
	ck_assert_int_eq(completer->r, 0);
	ck_assert(is_open(watched));
	return ASYNCTIMER_PENDING;
}

START_TEST(completed_by_a_thread_before_the_callback_returned_it_ends_then)
{
	struct completer completer = { .result = 0 };
	struct watched watched = { .then = be_completed, .data = &completer };

	completer.watched = &watched;
	completer.thread = thread_new(complete_in_thread, &completer);
	open_tick(&watched, MS, ASYNCTIMER_FIXED_SCHEDULE);
	ck_assert(!is_open(&watched));
	watched.then = NULL;
	run_until(&watched, 2);
	must(complete(&watched, 0));
}
END_TEST

START_TEST(completed_by_a_thread_it_goes_on)
{
	struct watched watched = { .result = 0 };
	struct completer completer = { .watched = &watched, .begin = 1 };

	open_tick(&watched, MS, ASYNCTIMER_FIXED_SCHEDULE);
	for (unsigned i = 2; i < 10; i++) {
		ck_assert(is_open(&watched));
		thread_join(thread_new(complete_in_thread, &completer));
		ck_assert_int_eq(completer.r, 0);
		ck_assert(!is_open(&watched));
		run_until(&watched, i);
	}
	must(complete(&watched, 0));
}
END_TEST

START_TEST(only_the_open_tick_can_be_completed_and_once)
{
	struct watched watched = { .result = 0 };
	uint64_t number;

	open_tick(&watched, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	number = watched.last.number;
	ck_assert_int_eq(asynctimer_complete(watched.timer, number - 1, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(watched.timer, number + 1, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(watched.timer, UINT64_MAX, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(watched.timer, number, 1), -EINVAL);
	ck_assert_int_eq(asynctimer_complete(watched.timer, number, INT_MAX), -EINVAL);
	ck_assert_int_eq(asynctimer_complete(watched.timer, number, ASYNCTIMER_PENDING), -EINVAL);
	ck_assert(is_open(&watched));
	ck_assert_int_eq(asynctimer_complete(watched.timer, number, 0), 0);
	ck_assert(!is_open(&watched));
	ck_assert_int_eq(asynctimer_complete(watched.timer, number, 0), -EALREADY);
	ck_assert_uint_eq(stats_of(&watched).failures, 0);
}
END_TEST

START_TEST(a_timer_without_a_tick_has_none_to_complete)
{
	struct watched watched = { .result = 0 };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_DELAY);
	ck_assert_int_eq(asynctimer_complete(watched.timer, 0, 0), -EALREADY);
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(asynctimer_complete(watched.timer, 0, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(watched.timer, 1, 0), -EALREADY);
}
END_TEST

static void release_counts(void *data)
{
	struct watched *watched = data;

	flag_add((int *)watched->data);
}

START_TEST(completed_after_stop_it_stays_stopped)
{
	struct watched watched = { .result = 0 };

	open_tick(&watched, US, ASYNCTIMER_FIXED_SCHEDULE);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert(is_open(&watched));
	ck_assert_int_eq(complete(&watched, 0), 0);
	ck_assert_int_eq(complete(&watched, 0), -EALREADY);
	ck_assert(!is_open(&watched));
	ck_assert_int_eq(dispatch(MS), 0);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

START_TEST(completed_after_free_it_is_released_then)
{
	int released = 0;
	struct watched watched = { .data = &released };

	open_tick(&watched, US, ASYNCTIMER_FIXED_SCHEDULE);
	asynctimer_set_release(watched.timer, release_counts);
	asynctimer_free(watched.timer);
	ck_assert_int_eq(released, 0);
	ck_assert_int_eq(asynctimer_complete(watched.timer, watched.last.number + 1, 0), -EALREADY);
	ck_assert_int_eq(asynctimer_complete(watched.timer, watched.last.number, 7), -EINVAL);
	ck_assert_int_eq(released, 0);
	ck_assert_int_eq(complete(&watched, 0), 0);
	ck_assert_int_eq(released, 1);
	ck_assert_int_eq(dispatch(MS), 0);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

static int complete_then_return(struct watched *watched, const struct asynctimer_tick *tick)
{
	const int *early = watched->data;

	ck_assert_int_eq(asynctimer_complete(watched->timer, tick->number, *early), 0);
	return watched->result;
}

static void complete_early(int early, int returned, int error)
{
	struct watched watched = { .then = complete_then_return, .result = returned, .data = &early };

	failure.calls = 0;
	handler_work_ns = 0;
	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, on_error));
	must(asynctimer_start_after(watched.timer, 0));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert(!is_open(&watched));
	ck_assert_uint_eq(failure.calls, error ? 1 : 0);
	ck_assert_uint_eq(stats_of(&watched).failures, error ? 1 : 0);
	if (error)
		ck_assert_int_eq(failure.error, error);
	ck_assert_int_eq(complete(&watched, 0), -EALREADY);
	asynctimer_free(watched.timer);
}

START_TEST(an_early_complete_is_void_unless_the_callback_returns_pending)
{
	complete_early(-EIO, ASYNCTIMER_DONE, 0);
	complete_early(0, -EPERM, -EPERM);
	complete_early(-EIO, -EPERM, -EPERM);
	complete_early(-EIO, 1, -EINVAL);
	complete_early(-EIO, ASYNCTIMER_PENDING, -EIO);
	complete_early(0, ASYNCTIMER_PENDING, 0);
}
END_TEST

START_TEST(what_a_callback_returns_else_is_a_failure)
{
	const struct {
		int returned, error;
	} cases[] = {
		{ 1, -EINVAL },
		{ ASYNCTIMER_PENDING - 1, -EINVAL },
		{ ASYNCTIMER_PENDING + 1, -EINVAL },
		{ INT_MAX, -EINVAL },
		{ -1, -1 },
		{ -EIO, -EIO },
		{ INT_MIN, INT_MIN },
	};

	handler_work_ns = 0;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct watched watched = { .result = cases[i].returned };

		failure.calls = 0;
		watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_set_error_handler(watched.timer, on_error));
		must(asynctimer_start(watched.timer));
		run_until(&watched, 1);
		ck_assert_uint_eq(failure.calls, 1);
		ck_assert_int_eq(failure.error, cases[i].error);
		ck_assert(pthread_equal(failure.thread, pthread_self()));
		run_until(&watched, 2);
		ck_assert_uint_eq(stats_of(&watched).failures, 2);
		must(asynctimer_set_error_handler(watched.timer, NULL));
		run_until(&watched, 3);
		ck_assert_uint_eq(stats_of(&watched).failures, 3);
		ck_assert_uint_eq(failure.calls, 2);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(a_failed_completion_is_handled_by_the_completing_thread)
{
	struct watched watched = { .result = 0 };
	struct completer completer = { .watched = &watched, .result = -EIO, .begin = 1 };

	handler_work_ns = 0;
	open_tick(&watched, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, on_error));
	completer.thread = thread_new(complete_in_thread, &completer);
	thread_join(completer.thread);
	ck_assert_int_eq(completer.r, 0);
	ck_assert_uint_eq(failure.calls, 1);
	ck_assert_int_eq(failure.error, -EIO);
	ck_assert(pthread_equal(failure.thread, completer.thread));
	ck_assert(!is_open(&watched));
}
END_TEST

START_TEST(a_failed_early_completion_is_handled_by_the_callbacks_thread)
{
	struct completer completer = { .result = -EIO };
	struct watched watched = { .then = be_completed, .data = &completer };

	handler_work_ns = 0;
	completer.watched = &watched;
	completer.thread = thread_new(complete_in_thread, &completer);
	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, on_error));
	must(asynctimer_start_after(watched.timer, 0));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_uint_eq(failure.calls, 1);
	ck_assert_int_eq(failure.error, -EIO);
	ck_assert(pthread_equal(failure.thread, pthread_self()));
}
END_TEST

START_TEST(a_failure_reaches_the_handler_after_stop_but_not_after_free)
{
	struct watched watched = { .result = 0 };
	int released = 0;

	handler_work_ns = 0;
	open_tick(&watched, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, on_error));
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert_int_eq(complete(&watched, -EIO), 0);
	ck_assert_uint_eq(failure.calls, 1);
	asynctimer_free(watched.timer);

	watched = (struct watched){ .data = &released };
	open_tick(&watched, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, on_error));
	asynctimer_set_release(watched.timer, release_counts);
	asynctimer_free(watched.timer);
	ck_assert_int_eq(complete(&watched, -EIO), 0);
	ck_assert_uint_eq(failure.calls, 1);
	ck_assert_int_eq(released, 1);
}
END_TEST

static void handler_time_is_the_ticks(bool deferred, int policy)
{
	struct watched watched = { .result = deferred ? ASYNCTIMER_PENDING : -EIO };
	uint64_t ended_ns;

	handler_work_ns = 3 * MS;
	watch_new(&watched, CLOCK_MONOTONIC, MS, policy);
	must(asynctimer_set_error_handler(watched.timer, on_error));
	must(asynctimer_start(watched.timer));
	run_until(&watched, 1);
	if (deferred)
		ck_assert_int_eq(complete(&watched, -EIO), 0);
	ended_ns = failure.ended_ns;
	ck_assert_uint_ge(stats_of(&watched).duration_max_ns, ended_ns - watched.last.now_ns);
	watched.result = 0;
	run_until(&watched, 2);
	if (policy == ASYNCTIMER_FIXED_SCHEDULE) {
		ck_assert_uint_gt(watched.last.due_ns, ended_ns);
		ck_assert_uint_ge(watched.last.skipped_busy, 2);
	} else {
		ck_assert_uint_ge(watched.last.due_ns, ended_ns + MS);
	}
	asynctimer_free(watched.timer);
}

START_TEST(the_handlers_time_is_part_of_the_tick)
{
	for (int deferred = 0; deferred < 2; deferred++) {
		handler_time_is_the_ticks(deferred, ASYNCTIMER_FIXED_SCHEDULE);
		handler_time_is_the_ticks(deferred, ASYNCTIMER_FIXED_DELAY);
	}
}
END_TEST

START_TEST(fixed_delay_counts_from_complete)
{
	struct watched watched = { .result = 0 };

	open_tick(&watched, 2 * MS, ASYNCTIMER_FIXED_DELAY);
	for (unsigned i = 2; i < 6; i++) {
		uint64_t before_ns, after_ns;

		ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), UINT64_MAX);
		let_pass_until(now_mono() + 3 * MS);
		before_ns = now_mono();
		must(complete(&watched, 0));
		after_ns = now_mono();
		run_until(&watched, i);
		ck_assert_uint_ge(watched.last.due_ns, before_ns + 2 * MS);
		ck_assert_uint_le(watched.last.due_ns, after_ns + 2 * MS);
		ck_assert_uint_eq(watched.last.number, i);
	}
	must(complete(&watched, 0));
}
END_TEST

START_TEST(fixed_schedule_skips_busy_what_came_due_before_complete)
{
	struct watched watched = { .result = 0 };

	open_tick(&watched, MS, ASYNCTIMER_FIXED_SCHEDULE);
	for (unsigned i = 2; i < 10; i++) {
		struct asynctimer_tick last = watched.last;
		uint64_t before_ns, after_ns;

		let_pass_until(last.due_ns + i * MS / 2);
		before_ns = now_mono();
		must(complete(&watched, 0));
		after_ns = now_mono();
		run_until(&watched, i);
		ck_assert_uint_gt(watched.last.due_ns, before_ns);
		ck_assert_uint_ge(watched.last.skipped_busy, (before_ns - last.due_ns) / MS);
		ck_assert_uint_le(watched.last.skipped_busy, (after_ns - last.due_ns) / MS);
	}
	must(complete(&watched, 0));
}
END_TEST

/* Completed on another CPU around grid points, whose interrupts may still be on their way. */
#define ROUNDS 3000

struct around {
	struct watched watched;
	int ticks;		/* delivered */
	uint64_t completed_ns;	/* read before the last complete */
};

static int after_the_completion(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct around *around = watched->data;

	ck_assert_uint_gt(tick->due_ns, around->completed_ns);
	if (watched->callbacks == ROUNDS) {
		asynctimer_reactor_stop(reactor);
		return ASYNCTIMER_DONE;
	}
	flag_add(&around->ticks);
	return ASYNCTIMER_PENDING;
}

START_TEST(a_point_before_the_completion_is_never_delivered)
{
	struct around around = { .watched = { .then = after_the_completion } };
	struct watched *watched = &around.watched;
	pthread_t runner;

	watched->data = &around;
	watch_new(watched, CLOCK_MONOTONIC, 100 * US, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched->timer));
	runner = thread_new(run_reactor, reactor);
	for (int i = 1; i < ROUNDS; i++) {
		uint64_t number;

		await(flag_get(&around.ticks) == i);
		number = watched->last.number;
		spin_until(CLOCK_MONOTONIC, watched->last.due_ns + 100 * US + (uint64_t)(i % 31) * US);
		around.completed_ns = now_mono();
		must(asynctimer_complete(watched->timer, number, 0));
	}
	thread_join(runner);
}
END_TEST

START_TEST(an_open_tick_costs_no_wakeups)
{
	struct watched watched = { .result = 0 };
	struct watched clock = { .stop_after = 20 };
	int before;

	open_tick(&watched, 100 * US, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&clock, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(clock.timer));
	before = wakeups;
	run_reactor(reactor);
	/* One a tick of the other, and some for the first point that came due. */
	ck_assert_int_le(wakeups - before, 20 + 3);
	must(asynctimer_stop(clock.timer));
	must(asynctimer_reactor_restart(reactor));
	/* It is heard again afterwards, also if it was stopped and started meanwhile. */
	must(complete(&watched, 0));
	run_until(&watched, 2);
	if (backing == BACKING_OWN)
		await(expired() == 1);
	ck_assert_int_eq(dispatch(0), 0);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	must(complete(&watched, 0));
	watched.restarted = true;
	must(asynctimer_start(watched.timer));
	run_until(&watched, 3);
	must(complete(&watched, 0));
}
END_TEST

START_TEST(the_time_of_fixed_delay_work_costs_no_wakeups)
{
	struct watched watched = { .result = 0 };
	struct watched clock = { .stop_after = 10 };
	int before;

	open_tick(&watched, 100 * US, ASYNCTIMER_FIXED_DELAY);
	watch_new(&clock, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(clock.timer));
	before = wakeups;
	run_reactor(reactor);
	ck_assert_int_le(wakeups - before, 10 + 1);
	must(asynctimer_stop(clock.timer));
	must(asynctimer_reactor_restart(reactor));
	must(complete(&watched, 0));
	run_until(&watched, 2);
	must(complete(&watched, 0));
}
END_TEST

START_TEST(restarted_while_open_it_begins_anew_at_completion)
{
	struct watched watched = { .result = 0 };
	uint64_t number, due_ns, before_ns, after_ns;

	open_tick(&watched, 2 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	number = watched.last.number;
	ck_assert_int_eq(asynctimer_start(watched.timer), 0);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert_int_eq(asynctimer_start_after(watched.timer, MS), 1);
	ck_assert_int_eq(asynctimer_start(watched.timer), 0);
	watched.restarted = true;
	due_ns = asynctimer_next_due_ns(watched.timer);
	let_pass_until(due_ns + 5 * MS);
	ck_assert_int_eq(dispatch(0), 0);
	before_ns = now_mono();
	must(complete(&watched, 0));
	after_ns = now_mono();
	run_until(&watched, 2);
	/* Points up to the completion are skipped busy: 3 at least, by the grid asked for. */
	ck_assert_uint_gt(watched.last.due_ns, before_ns);
	ck_assert_uint_eq((watched.last.due_ns - due_ns) % (2 * MS), 0);
	ck_assert_uint_ge(watched.last.skipped_busy, (before_ns - due_ns) / (2 * MS) + 1);
	ck_assert_uint_le(watched.last.skipped_busy, (after_ns - due_ns) / (2 * MS) + 1);
	ck_assert_uint_eq(watched.last.due_ns - due_ns,
			  (watched.last.number - number - 1) * 2 * MS);
	must(complete(&watched, 0));
}
END_TEST

START_TEST(restarted_while_open_a_delay_is_due_an_interval_after_completion_or_later)
{
	struct watched watched = { .result = 0 };
	uint64_t due_ns, before_ns, after_ns;

	open_tick(&watched, 2 * MS, ASYNCTIMER_FIXED_DELAY);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert_int_eq(asynctimer_start_after(watched.timer, 0), 1);
	before_ns = now_mono();
	must(complete(&watched, 0));
	after_ns = now_mono();
	run_until(&watched, 2);
	ck_assert_uint_ge(watched.last.due_ns, before_ns + 2 * MS);
	ck_assert_uint_le(watched.last.due_ns, after_ns + 2 * MS);

	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	due_ns = now_mono() + 20 * MS;
	ck_assert_int_eq(asynctimer_start_at(watched.timer, due_ns), 1);
	must(complete(&watched, 0));
	if (now_mono() + 2 * MS < due_ns)
		ck_assert_uint_eq(asynctimer_next_due_ns(watched.timer), due_ns);
	run_until(&watched, 3);
	ck_assert_uint_ge(watched.last.due_ns, due_ns);
	must(complete(&watched, 0));
}
END_TEST

/* Deferred work in another thread, with restarts: never beside a callback. */
struct worker {
	struct watched watched;
	int working;
	int jobs;		/* handed over */
};

static int hand_over(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct worker *worker = watched->data;

	(void)tick;
	ck_assert_int_eq(flag_get(&worker->working), 0);
	if (watched->callbacks == 300) {
		asynctimer_reactor_stop(reactor);
		return ASYNCTIMER_DONE;
	}
	flag_set(&worker->working);
	flag_add(&worker->jobs);
	return ASYNCTIMER_PENDING;
}

static void *work(void *data)
{
	struct worker *worker = data;
	struct asynctimer *timer = worker->watched.timer;

	for (int job = 1; job < 300; job++) {
		uint64_t number;

		await(flag_get(&worker->jobs) == job);
		number = worker->watched.last.number;
		worker->watched.restarted = true;
		if (job % 3 == 0) {
			must(asynctimer_stop(timer));
			must(asynctimer_start_after(timer, 0));
		}
		spin_until(CLOCK_MONOTONIC, now_mono() + (uint64_t)(job % 7) * 20 * US);
		flag_clear(&worker->working);
		ck_assert_int_eq(asynctimer_complete(timer, number, 0), 0);
	}
	return NULL;
}

static void serialize(int policy)
{
	struct worker worker = { .watched = { .then = hand_over } };
	pthread_t threads[3];

	worker.watched.data = &worker;
	watch_new(&worker.watched, CLOCK_MONOTONIC, 50 * US, policy);
	must(asynctimer_start(worker.watched.timer));
	threads[0] = thread_new(run_reactor, reactor);
	threads[1] = thread_new(run_reactor, reactor);
	threads[2] = thread_new(work, &worker);
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	ck_assert_uint_eq(worker.watched.callbacks, 300);
	asynctimer_free(worker.watched.timer);
	must(asynctimer_reactor_restart(reactor));
}

START_TEST(deferred_work_never_runs_beside_a_callback)
{
	serialize(ASYNCTIMER_FIXED_SCHEDULE);
	serialize(ASYNCTIMER_FIXED_DELAY);
}
END_TEST

static int return_after_complete_read_the_clock(struct watched *watched,
						const struct asynctimer_tick *tick)
{
	struct completer *completer = watched->data;

	(void)tick;
	flag_set(&completer->begin);
	await(flag_get(&stopped_short));
	spin_until(CLOCK_MONOTONIC, now_mono() + MS);
	return ASYNCTIMER_PENDING;
}

START_TEST(a_tick_ends_no_earlier_than_its_callback)
{
	struct completer completer = { .stops_short = true };
	struct watched watched = { .then = return_after_complete_read_the_clock, .data = &completer };
	uint64_t returned_ns;

	completer.watched = &watched;
	completer.thread = thread_new(complete_in_thread, &completer);
	open_tick(&watched, HOUR, ASYNCTIMER_FIXED_DELAY);
	returned_ns = watched.last.now_ns + MS;
	flag_set(&go_on);
	thread_join(completer.thread);
	ck_assert_int_eq(completer.r, 0);
	ck_assert_uint_ge(asynctimer_next_due_ns(watched.timer), returned_ns + HOUR);
}
END_TEST

static int stop_short_of_the_end(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	stops_short = true;
	return ASYNCTIMER_PENDING;
}

static void *run_one(void *data)
{
	ck_assert_int_eq(dispatch_on(data, -1), 1);
	return NULL;
}

START_TEST(a_tick_ends_no_earlier_than_its_complete)
{
	struct watched watched = { .then = stop_short_of_the_end };
	uint64_t completed_ns;
	pthread_t runner;

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_DELAY);
	must(asynctimer_start_after(watched.timer, 0));
	runner = thread_new(run_one, reactor);
	await(flag_get(&stopped_short));
	spin_until(CLOCK_MONOTONIC, now_mono() + MS);
	completed_ns = now_mono();
	must(complete(&watched, 0));
	flag_set(&go_on);
	thread_join(runner);
	ck_assert_uint_ge(asynctimer_next_due_ns(watched.timer), completed_ns + HOUR);
}
END_TEST

int main(void)
{
	/* REAL: interrupts, wake-ups, several threads in a reactor, and its lock. */
	return RUN_WITH_BACKINGS("deferred",
		EVERY(completed_in_the_callback_it_ends_when_that_returns),
		EVERY(completed_by_a_thread_before_the_callback_returned_it_ends_then),
		EVERY(completed_by_a_thread_it_goes_on),
		EVERY(only_the_open_tick_can_be_completed_and_once),
		EVERY(a_timer_without_a_tick_has_none_to_complete),
		EVERY(completed_after_stop_it_stays_stopped),
		EVERY(completed_after_free_it_is_released_then),
		EVERY(an_early_complete_is_void_unless_the_callback_returns_pending),
		EVERY(what_a_callback_returns_else_is_a_failure),
		EVERY(a_failed_completion_is_handled_by_the_completing_thread),
		EVERY(a_failed_early_completion_is_handled_by_the_callbacks_thread),
		EVERY(a_failure_reaches_the_handler_after_stop_but_not_after_free),
		EVERY(the_handlers_time_is_part_of_the_tick),
		EVERY(fixed_delay_counts_from_complete),
		EVERY(fixed_schedule_skips_busy_what_came_due_before_complete),
		REAL(a_point_before_the_completion_is_never_delivered),
		REAL(an_open_tick_costs_no_wakeups),
		REAL(the_time_of_fixed_delay_work_costs_no_wakeups),
		EVERY(restarted_while_open_it_begins_anew_at_completion),
		EVERY(restarted_while_open_a_delay_is_due_an_interval_after_completion_or_later),
		REAL(deferred_work_never_runs_beside_a_callback),
		REAL(a_tick_ends_no_earlier_than_its_callback),
		REAL(a_tick_ends_no_earlier_than_its_complete));
}
