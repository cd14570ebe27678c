/* SPDX-License-Identifier: MIT */
/*
 * Free and release, in every state and from everywhere. Each release frees its
 * data, so that a memory checker sees what touches it later.
 */
#include <errno.h>

#include "internal.h"
#include "util.h"

struct life {
	struct watched watched;
	int *released;
	void (*then)(struct life *life);	/* in the release, before the data goes */
	struct life *other;
	pthread_t *by;				/* gets the releasing thread, if set */
};

static void release_life(void *data)
{
	struct life *life = data;

	if (life->then)
		life->then(life);
	if (life->by)
		*life->by = pthread_self();
	ck_assert_int_eq(flag_add(life->released), 1);
	free(life);
}

static struct life *life_new(uint64_t interval_ns, int policy, int *released)
{
	struct life *life = calloc(1, sizeof(*life));

	ck_assert_ptr_nonnull(life);
	*released = 0;
	life->released = released;
	watch_new(&life->watched, CLOCK_MONOTONIC, interval_ns, policy);
	life->watched.data = life;
	asynctimer_set_release(life->watched.timer, release_life);
	return life;
}

START_TEST(freed_idle_it_is_released_at_once)
{
	int released;
	int fds = count_fds();
	struct life *life = life_new(MS, ASYNCTIMER_FIXED_SCHEDULE, &released);
	pthread_t by;

	life->by = &by;
	ck_assert_int_eq(count_fds(), fds + OWN_FDS);
	asynctimer_free(life->watched.timer);
	ck_assert_int_eq(released, 1);
	ck_assert(pthread_equal(by, pthread_self()));
	ck_assert_int_eq(count_fds(), fds);
}
END_TEST

START_TEST(freed_armed_or_due_it_is_released_at_once)
{
	int released;
	struct life *life = life_new(HOUR, ASYNCTIMER_FIXED_SCHEDULE, &released);

	must(asynctimer_start(life->watched.timer));
	asynctimer_free(life->watched.timer);
	ck_assert_int_eq(released, 1);

	life = life_new(HOUR, ASYNCTIMER_FIXED_DELAY, &released);
	must(asynctimer_start_after(life->watched.timer, 0));
	if (backing == BACKING_OWN)
		await(expired() == 1);
	asynctimer_free(life->watched.timer);
	ck_assert_int_eq(released, 1);
	if (backing == BACKING_OWN)
		ck_assert(!is_readable(reactor));
	ck_assert_int_eq(dispatch(0), 0);
}
END_TEST

static void *no_release_seen;

static void not_to_be_called(void *data)
{
	no_release_seen = data;
}

START_TEST(the_last_release_function_set_counts)
{
	int released;
	struct watched none = { .callbacks = 0 };
	struct life *life = life_new(HOUR, ASYNCTIMER_FIXED_SCHEDULE, &released);

	asynctimer_set_release(life->watched.timer, not_to_be_called);
	asynctimer_set_release(life->watched.timer, release_life);
	asynctimer_free(life->watched.timer);
	ck_assert_int_eq(released, 1);
	watch_new(&none, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	asynctimer_set_release(none.timer, not_to_be_called);
	asynctimer_set_release(none.timer, NULL);
	asynctimer_free(none.timer);
	ck_assert_ptr_null(no_release_seen);
}
END_TEST

/* In its own callback or handler: freed, and every function on it then. */
static void free_it_and_call_everything(struct watched *watched)
{
	struct asynctimer *timer = watched->timer;
	struct life *life = watched->data;
	struct asynctimer_stats stats;
	int released = *life->released;

	ck_assert_int_eq(asynctimer_is_started(timer), 1);
	asynctimer_free(timer);
	asynctimer_free(timer);
	ck_assert_int_eq(*life->released, released);
	ck_assert_int_eq(asynctimer_start(timer), -EINVAL);
	ck_assert_int_eq(asynctimer_start_after(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_start_at(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_set_interval(timer, 5 * MS), -EINVAL);
	ck_assert_int_eq(asynctimer_set_error_handler(timer, NULL), -EINVAL);
	ck_assert_int_eq(asynctimer_set_name(timer, "freed"), -EINVAL);
	ck_assert_int_eq(asynctimer_stop(timer), 0);
	ck_assert_int_eq(asynctimer_stop_nowait(timer), 0);
	ck_assert_int_eq(asynctimer_is_started(timer), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
	ck_assert_uint_ge(asynctimer_now_ns(timer), watched->last.now_ns);
	ck_assert_int_eq(asynctimer_get_stats(timer, &stats), 0);
	ck_assert_uint_eq(stats.callbacks, watched->callbacks);
	ck_assert_uint_eq(stats.busy_since_ns, watched->last.now_ns);
	ck_assert_ptr_eq(asynctimer_get_reactor(timer), reactor);
	ck_assert_ptr_eq(asynctimer_get_data(timer), watched);
	ck_assert_int_eq(*life->released, released);
}

static int free_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	free_it_and_call_everything(watched);
	return watched->result;
}

static unsigned handled;

static void count_handled(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	handled++;
}

START_TEST(freed_in_its_own_callback_it_is_released_when_that_has_returned)
{
	const int results[] = { ASYNCTIMER_DONE, -EIO, 3 };

	for (unsigned i = 0; i < 6; i++) {
		int released;
		int fds = count_fds();
		struct life *life = life_new(10 * US, (int)(i & 1), &released);

		life->watched.then = free_in_callback;
		life->watched.result = results[i / 2];
		must(asynctimer_set_error_handler(life->watched.timer, count_handled));
		must(asynctimer_start(life->watched.timer));
		ck_assert_int_eq(dispatch(-1), 1);
		ck_assert_int_eq(released, 1);
		ck_assert_int_eq(count_fds(), fds);
		ck_assert_int_eq(dispatch(MS), 0);
	}
	/* No failure reaches the handler after free. */
	ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(freed_in_its_own_callback_with_its_work_deferred_it_is_released_at_completion)
{
	int released;
	struct life *life = life_new(10 * US, ASYNCTIMER_FIXED_SCHEDULE, &released);

	life->watched.then = free_in_callback;
	life->watched.result = ASYNCTIMER_PENDING;
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(released, 0);
	ck_assert_int_eq(dispatch(MS), 0);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	ck_assert_int_eq(asynctimer_complete(life->watched.timer, life->watched.last.number, 0), 0);
	ck_assert_int_eq(released, 1);
}
END_TEST

static int complete_then_free(struct watched *watched, const struct asynctimer_tick *tick)
{
	must(asynctimer_complete(watched->timer, tick->number, 0));
	free_it_and_call_everything(watched);
	return ASYNCTIMER_PENDING;
}

START_TEST(completed_and_freed_in_its_own_callback_it_is_released_when_that_has_returned)
{
	int released;
	struct life *life = life_new(10 * US, ASYNCTIMER_FIXED_SCHEDULE, &released);

	life->watched.then = complete_then_free;
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(released, 1);
}
END_TEST

static void free_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	ck_assert_int_eq(error, -EIO);
	free_it_and_call_everything(data);
}

START_TEST(freed_in_its_own_handler_it_is_released_when_that_has_returned)
{
	int released;
	struct life *life = life_new(10 * US, ASYNCTIMER_FIXED_SCHEDULE, &released);

	life->watched.result = -EIO;
	must(asynctimer_set_error_handler(life->watched.timer, free_in_handler));
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(released, 1);

	life = life_new(10 * US, ASYNCTIMER_FIXED_SCHEDULE, &released);
	life->watched.result = ASYNCTIMER_PENDING;
	must(asynctimer_set_error_handler(life->watched.timer, free_in_handler));
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(asynctimer_complete(life->watched.timer, life->watched.last.number, -EIO), 0);
	ck_assert_int_eq(released, 1);
	ck_assert_int_eq(dispatch(MS), 0);
}
END_TEST

START_TEST(freed_while_deferred_it_gives_up_its_descriptor_and_is_released_at_completion)
{
	int released;
	int fds = count_fds();
	struct life *life = life_new(10 * US, ASYNCTIMER_FIXED_SCHEDULE, &released);
	struct asynctimer *timer = life->watched.timer;
	pthread_t by;

	life->by = &by;
	life->watched.result = ASYNCTIMER_PENDING;
	must(asynctimer_start(timer));
	ck_assert_int_eq(dispatch(-1), 1);
	/* Told of the next point by then. */
	if (backing == BACKING_OWN)
		await(expired() == 1);
	ck_assert_int_eq(dispatch(0), 0);
	asynctimer_free(timer);
	ck_assert_int_eq(count_fds(), fds);
	ck_assert_int_eq(released, 0);
	ck_assert_int_eq(asynctimer_complete(timer, life->watched.last.number, 0), 0);
	ck_assert_int_eq(released, 1);
	ck_assert(pthread_equal(by, pthread_self()));
}
END_TEST

/* Freed by another thread while the callback runs, and that then defers its work. */
static struct asynctimer *held;
static int claimed;
static int waits;
static int freed;

static void hook(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point == ASYNCTIMER__STOP_WAITS)
		flag_set(&waits);
	if (point != ASYNCTIMER__CLAIMED || timer != held)
		return;
	flag_set(&claimed);
	await(flag_get(&waits));
}

static void *free_in_thread(void *data)
{
	asynctimer_free(data);
	flag_set(&freed);
	return NULL;
}

static void *dispatch_one(void *data)
{
	ck_assert_int_eq(dispatch_on(data, -1), 1);
	return NULL;
}

static void free_while_running(int result, pthread_t *by, pthread_t *freer)
{
	int released;
	struct life *life = life_new(10 * US, ASYNCTIMER_FIXED_SCHEDULE, &released);
	struct asynctimer *timer = life->watched.timer;
	pthread_t runner;

	flag_clear(&claimed);
	flag_clear(&waits);
	flag_clear(&freed);
	life->by = by;
	life->watched.result = result;
	held = timer;
	asynctimer__test_hook = hook;
	must(asynctimer_start(timer));
	runner = thread_new(dispatch_one, reactor);
	await(flag_get(&claimed));
	*freer = thread_new(free_in_thread, timer);
	thread_join(*freer);
	if (result == ASYNCTIMER_PENDING) {
		ck_assert_int_eq(flag_get(&released), 0);
		ck_assert_int_eq(asynctimer_complete(timer, life->watched.last.number, 0), 0);
	}
	ck_assert_int_eq(flag_get(&released), 1);
	thread_join(runner);
}

START_TEST(freed_by_another_thread_while_running_it_is_released_by_the_last)
{
	pthread_t by, freer;

	free_while_running(ASYNCTIMER_DONE, &by, &freer);
	ck_assert(pthread_equal(by, freer));
	free_while_running(-EIO, &by, &freer);
	ck_assert(pthread_equal(by, freer));
	free_while_running(ASYNCTIMER_PENDING, &by, &freer);
	ck_assert(pthread_equal(by, pthread_self()));
}
END_TEST

static void free_other(struct life *life)
{
	struct asynctimer_stats stats;

	if (!life->other)
		return;
	/* No lock is held. */
	ck_assert_int_eq(asynctimer_get_stats(life->other->watched.timer, &stats), 0);
	asynctimer_free(life->other->watched.timer);
}

static struct life *chain_of_lives(int released[3])
{
	struct life *first = NULL;

	for (int i = 0; i < 3; i++) {
		struct life *life = life_new(MS, ASYNCTIMER_FIXED_SCHEDULE, &released[i]);

		life->then = free_other;
		life->other = first;
		must(asynctimer_start(life->watched.timer));
		first = life;
	}
	return first;
}

START_TEST(a_release_may_free_other_timers)
{
	int released[3];
	int fds = count_fds();
	struct life *first = chain_of_lives(released);

	asynctimer_free(first->watched.timer);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(released[i], 1);
	ck_assert_int_eq(count_fds(), fds);

	first = chain_of_lives(released);
	first->watched.then = free_in_callback;
	must(asynctimer_stop(first->watched.timer));
	must(asynctimer_start_after(first->watched.timer, 0));
	while (!released[2])
		dispatch(-1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(released[i], 1);
}
END_TEST

static void free_reactor(struct life *life)
{
	(void)life;
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
}

static void be_refused_to_free_reactor(struct life *life)
{
	(void)life;
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	ck_assert_int_eq(asynctimer_reactor_run(reactor), BUSY);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), BUSY);
}

START_TEST(a_release_may_free_the_reactor)
{
	int released, siblings_released;
	struct life *life = life_new(MS, ASYNCTIMER_FIXED_SCHEDULE, &released);

	life_new(MS, ASYNCTIMER_FIXED_SCHEDULE, &siblings_released);
	life->then = free_reactor;
	asynctimer_free(life->watched.timer);
	ck_assert_int_eq(released, 1);
	ck_assert_int_eq(siblings_released, 1);
}
END_TEST

START_TEST(a_release_inside_the_reactor_can_not_free_it)
{
	int released;
	struct life *life = life_new(MS, ASYNCTIMER_FIXED_SCHEDULE, &released);

	life->then = be_refused_to_free_reactor;
	life->watched.then = free_in_callback;
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(released, 1);

	life = life_new(MS, ASYNCTIMER_FIXED_SCHEDULE, &released);
	life->then = be_refused_to_free_reactor;
	life->watched.result = ASYNCTIMER_PENDING;
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	asynctimer_free(life->watched.timer);
	must(asynctimer_complete(life->watched.timer, life->watched.last.number, 0));
	ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(reactor_free_releases_every_timer_once)
{
	enum { COUNT = 20 };
	int released[COUNT];
	struct life *lives[COUNT];
	struct watched watched = { .callbacks = 0 };

	/* Without a release as well. */
	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_DELAY);
	for (int i = 0; i < COUNT; i++) {
		lives[i] = life_new(MS, i & 1, &released[i]);
		if (i % 3)
			must(asynctimer_start(lives[i]->watched.timer));
	}
	asynctimer_free(lives[7]->watched.timer);
	dispatch(-1);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
	for (int i = 0; i < COUNT; i++)
		ck_assert_int_eq(released[i], 1);
}
END_TEST

/* In pairs, of which the release of each frees the other: whichever comes first. */
struct two_timers {
	struct asynctimer *timers[2];
	int released[2];
};

struct half {
	struct two_timers *pair;
	int which;
};

static void free_the_other_half(void *data)
{
	struct half *half = data;
	struct two_timers *pair = half->pair;
	struct asynctimer *timer = NULL;

	ck_assert_int_eq(++pair->released[half->which], 1);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	ck_assert_int_eq(new_timer(CLOCK_MONOTONIC, MS, SCHEDULE, on_tick, data, &timer), -EBUSY);
	ck_assert_ptr_null(timer);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), BUSY);
	/* Twice: that one may be named until the reactor is gone. */
	asynctimer_free(pair->timers[!half->which]);
	asynctimer_free(pair->timers[!half->which]);
	ck_assert_int_eq(pair->released[!half->which], 1);
}

START_TEST(releases_in_reactor_free_may_free_siblings)
{
	enum { COUNT = 10 };
	struct two_timers pairs[COUNT] = { 0 };
	struct half halves[COUNT][2];

	for (int i = 0; i < COUNT; i++)
		for (int j = 0; j < 2; j++) {
			halves[i][j] = (struct half){ &pairs[i], j };
			must(new_timer(CLOCK_MONOTONIC, MS, SCHEDULE, on_tick, &halves[i][j],
				       &pairs[i].timers[j]));
			asynctimer_set_release(pairs[i].timers[j], free_the_other_half);
			must(asynctimer_start(pairs[i].timers[j]));
		}
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
	for (int i = 0; i < COUNT; i++)
		for (int j = 0; j < 2; j++)
			ck_assert_int_eq(pairs[i].released[j], 1);
}
END_TEST

static int free_reactor_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	return watched->result;
}

static void free_reactor_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	handled++;
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
}

START_TEST(reactor_free_is_refused_while_a_tick_is_open)
{
	struct watched watched = { .then = free_reactor_in_callback };

	watch_new(&watched, CLOCK_MONOTONIC, 10 * US, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, free_reactor_in_handler));
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	watched.result = -EIO;
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_uint_eq(handled, 1);
	watched.result = ASYNCTIMER_PENDING;
	ck_assert_int_eq(dispatch(-1), 1);
	/* Deferred; nothing was freed by any of these. */
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	must(asynctimer_stop(watched.timer));
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	must(asynctimer_complete(watched.timer, watched.last.number, -EIO));
	ck_assert_uint_eq(handled, 2);
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
	watched.restarted = true;
	watched.result = ASYNCTIMER_DONE;
	ck_assert_int_eq(dispatch(-1), 1);
}
END_TEST

static int set_flag(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	flag_set((int *)watched->data);
	return ASYNCTIMER_DONE;
}

START_TEST(reactor_free_is_refused_while_a_thread_runs_it)
{
	int ticked = 0;
	struct watched watched = { .then = set_flag, .data = &ticked };
	pthread_t runner;

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start_after(watched.timer, 0));
	runner = thread_new(run_reactor, reactor);
	await(flag_get(&ticked));
	/* Still inside, in the callback or waiting. */
	ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	flag_clear(&ticked);
	watched.restarted = true;
	ck_assert_int_eq(asynctimer_start_after(watched.timer, 0), 1);
	await(flag_get(&ticked));
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
}
END_TEST

struct stop_then_free {
	struct asynctimer *timer;
	int stopped;
};

static void *stop_in_thread(void *data)
{
	struct stop_then_free *stop = data;

	ck_assert_int_ge(asynctimer_stop(stop->timer), 0);
	flag_set(&stop->stopped);
	return NULL;
}

/* In a single call, after which the reactor may be gone. */
static void *dispatch_what_is_due(void *data)
{
	ck_assert_int_eq(dispatch_on(data, backing == BACKING_VIRTUAL ? 0 : -1), 1);
	return NULL;
}

START_TEST(reactor_free_does_not_take_it_from_a_stop_that_waits)
{
	for (int i = 0; i < 200; i++) {
		struct asynctimer_reactor *first = reactor;
		struct watched watched = { .callbacks = 0 };
		struct stop_then_free stop = { .stopped = 0 };
		pthread_t runner, stopper;
		int r;

		must(new_reactor(&reactor));
		flag_clear(&claimed);
		flag_clear(&waits);
		watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
		stop.timer = held = watched.timer;
		asynctimer__test_hook = hook;
		must(asynctimer_start_after(watched.timer, 0));
		runner = thread_new(dispatch_what_is_due, reactor);
		await(flag_get(&claimed));
		stopper = thread_new(stop_in_thread, &stop);
		await(flag_get(&waits));
		await((r = asynctimer_reactor_free(reactor)) != -EBUSY);
		ck_assert_int_eq(r, 0);
		thread_join(stopper);
		thread_join(runner);
		reactor = first;
	}
}
END_TEST

START_TEST(reactor_free_frees_when_asked_again)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };

	watch_new(&watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start_after(watched.timer, 0));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	must(asynctimer_complete(watched.timer, watched.last.number, 0));
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
}
END_TEST

int main(void)
{
	return RUN_WITH_BACKINGS("lifetime",
		EVERY(freed_idle_it_is_released_at_once),
		EVERY(freed_armed_or_due_it_is_released_at_once),
		EVERY(the_last_release_function_set_counts),
		EVERY(freed_in_its_own_callback_it_is_released_when_that_has_returned),
		EVERY(freed_in_its_own_callback_with_its_work_deferred_it_is_released_at_completion),
		EVERY(completed_and_freed_in_its_own_callback_it_is_released_when_that_has_returned),
		EVERY(freed_in_its_own_handler_it_is_released_when_that_has_returned),
		EVERY(freed_while_deferred_it_gives_up_its_descriptor_and_is_released_at_completion),
		EVERY(freed_by_another_thread_while_running_it_is_released_by_the_last),
		EVERY(a_release_may_free_other_timers),
		EVERY(a_release_may_free_the_reactor),
		EVERY(a_release_inside_the_reactor_can_not_free_it),
		EVERY(reactor_free_releases_every_timer_once),
		EVERY(releases_in_reactor_free_may_free_siblings),
		EVERY(reactor_free_is_refused_while_a_tick_is_open),
		REAL(reactor_free_is_refused_while_a_thread_runs_it),
		EVERY(reactor_free_does_not_take_it_from_a_stop_that_waits),
		EVERY(reactor_free_frees_when_asked_again));
}
