/* SPDX-License-Identifier: MIT */
/*
 * Stop means stopped: across threads, with the test points holding a thread
 * where the race would be.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"

static struct asynctimer *held;	/* whose runner stops short of the callback */
static int claimed;
static int go;
static int waits;		/* stops that are about to wait; they hold the lock until they do */

static void hook(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point == ASYNCTIMER__STOP_WAITS)
		flag_add(&waits);
	if (point != ASYNCTIMER__CLAIMED || timer != flag_get(&held))
		return;
	flag_set(&claimed);
	await(flag_get(&go));
}

static void use_hook(struct asynctimer *timer)
{
	flag_clear(&claimed);
	flag_clear(&go);
	flag_clear(&waits);
	__atomic_store_n(&held, timer, __ATOMIC_SEQ_CST);
	asynctimer__test_hook = hook;
}

/* A stop, or free, in a thread of its own. */
struct stopper {
	struct asynctimer *timer;
	bool frees;
	const int *ended;	/* must be set when it returns, if not NULL */
	pthread_t thread;
	int result;
	int returned;
};

static void *stop_in_thread(void *data)
{
	struct stopper *stopper = data;

	if (stopper->frees)
		asynctimer_free(stopper->timer);
	else
		stopper->result = asynctimer_stop(stopper->timer);
	/* Check's macros are cancellation points: not before it is needed. */
	if (stopper->ended && !flag_get(stopper->ended))
		ck_abort_msg("stop returned before the callback ended");
	flag_set(&stopper->returned);
	return NULL;
}

static void stopper_go(struct stopper *stopper)
{
	stopper->thread = thread_new(stop_in_thread, stopper);
}

static int set_ended(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	flag_set((int *)watched->data);
	return watched->result;
}

static void release_ended(void *data)
{
	struct watched *watched = data;

	ck_assert(flag_get((int *)watched->data));
	watched->timer = NULL;
}

/* Ticks of another timer of that reactor, of which each comes after what was due before. */
static void let_ticks_pass(unsigned count)
{
	struct watched other = { .stop_after = count };

	asynctimer_reactor_stop(reactor);
	watch_new(&other, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(other.timer));
	must(asynctimer_reactor_restart(reactor));
	run_reactor(reactor);
	asynctimer_free(other.timer);
	must(asynctimer_reactor_restart(reactor));
}

static void stop_while_claimed(bool frees, bool stopped_before)
{
	int ended = 0;
	struct watched watched = { .then = set_ended, .data = &ended };
	struct stopper stopper = { .frees = frees, .ended = &ended };
	pthread_t runner;

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	asynctimer_set_release(watched.timer, release_ended);
	stopper.timer = watched.timer;
	use_hook(watched.timer);
	must(asynctimer_start(watched.timer));
	runner = thread_new(run_reactor, reactor);
	await(flag_get(&claimed));
	if (stopped_before)
		ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 1);
	stopper_go(&stopper);
	await(flag_get(&waits) || flag_get(&stopper.returned));
	ck_assert_int_eq(flag_get(&stopper.returned), 0);
	flag_set(&go);
	thread_join(stopper.thread);
	ck_assert_uint_eq(watched.callbacks, 1);
	if (frees) {
		ck_assert_ptr_null(watched.timer);
	} else {
		ck_assert_int_eq(stopper.result, stopped_before ? 0 : 1);
		ck_assert_int_eq(asynctimer_is_started(watched.timer), 0);
	}
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
	let_ticks_pass(3);
	ck_assert_uint_eq(watched.callbacks, 1);
	asynctimer_free(watched.timer);
}

START_TEST(stop_waits_for_a_claimed_callback)
{
	stop_while_claimed(false, false);
}
END_TEST

START_TEST(stop_that_answers_0_waits_too)
{
	stop_while_claimed(false, true);
}
END_TEST

START_TEST(free_waits_for_a_claimed_callback)
{
	stop_while_claimed(true, false);
}
END_TEST

START_TEST(free_of_a_stopped_timer_waits_too)
{
	stop_while_claimed(true, true);
}
END_TEST

START_TEST(of_several_stops_one_answers_1_and_all_wait)
{
	int ended = 0;
	struct watched watched = { .then = set_ended, .data = &ended };
	struct stopper stoppers[3];
	int changed = 0;
	pthread_t runner;

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_DELAY);
	use_hook(watched.timer);
	must(asynctimer_start(watched.timer));
	runner = thread_new(run_reactor, reactor);
	await(flag_get(&claimed));
	for (unsigned i = 0; i < 3; i++) {
		stoppers[i] = (struct stopper){ .timer = watched.timer, .ended = &ended };
		stopper_go(&stoppers[i]);
	}
	await(flag_get(&waits) == 3);
	flag_set(&go);
	for (unsigned i = 0; i < 3; i++) {
		thread_join(stoppers[i].thread);
		changed += stoppers[i].result;
	}
	ck_assert_int_eq(changed, 1);
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

START_TEST(stop_nowait_never_waits)
{
	int ended = 0;
	struct watched watched = { .then = set_ended, .data = &ended };
	pthread_t runner;

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	use_hook(watched.timer);
	must(asynctimer_start(watched.timer));
	runner = thread_new(run_reactor, reactor);
	await(flag_get(&claimed));
	ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 1);
	ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 0);
	ck_assert_int_eq(asynctimer_is_started(watched.timer), 0);
	ck_assert_int_eq(flag_get(&ended), 0);
	flag_set(&go);
	/* The claimed one still begins; waits for it. */
	ck_assert_int_eq(asynctimer_stop(watched.timer), 0);
	ck_assert_int_eq(flag_get(&ended), 1);
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
	let_ticks_pass(3);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

static int stop_itself(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(asynctimer_stop(watched->timer), 1);
	ck_assert_int_eq(asynctimer_stop(watched->timer), 0);
	ck_assert_int_eq(asynctimer_is_started(watched->timer), 0);
	return ASYNCTIMER_DONE;
}

START_TEST(stopped_in_its_own_callback_it_does_not_run_again)
{
	struct watched watched = { .then = stop_itself };

	watch_new(&watched, CLOCK_MONOTONIC, 10 * US, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	let_ticks_pass(3);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

struct nested {
	struct asynctimer_reactor *inner;
	struct watched in, out;
};

static int dispatch_inner(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct nested *nested = watched->data;

	(void)tick;
	ck_assert_int_eq(asynctimer_reactor_dispatch(nested->inner, -1), 1);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), -EBUSY);
	return ASYNCTIMER_DONE;
}

static int stop_outer(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct nested *nested = watched->data;

	(void)tick;
	/* Both run in this thread: neither is waited for. */
	ck_assert_int_eq(asynctimer_stop(nested->out.timer), 1);
	ck_assert_int_eq(asynctimer_stop(watched->timer), 1);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), -EBUSY);
	ck_assert_int_eq(asynctimer_reactor_run(nested->inner), -EBUSY);
	return ASYNCTIMER_DONE;
}

START_TEST(stopped_in_a_nested_dispatch_it_is_not_waited_for)
{
	struct nested nested = { .in = { .then = stop_outer }, .out = { .then = dispatch_inner } };
	struct asynctimer_reactor *outer = reactor;

	watch_new(&nested.out, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(new_reactor(&nested.inner));
	reactor = nested.inner;
	watch_new(&nested.in, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	reactor = outer;
	nested.in.data = nested.out.data = &nested;
	must(asynctimer_start(nested.out.timer));
	must(asynctimer_start(nested.in.timer));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	let_ticks_pass(3);
	ck_assert_int_eq(asynctimer_reactor_dispatch(nested.inner, 0), 0);
	ck_assert_uint_eq(nested.out.callbacks, 1);
	ck_assert_uint_eq(nested.in.callbacks, 1);
	must(asynctimer_reactor_free(nested.inner));
}
END_TEST

START_TEST(stop_does_not_wait_for_deferred_work)
{
	struct watched watched = { .result = ASYNCTIMER_PENDING };
	struct stopper stopper = { .ended = NULL };

	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	stopper.timer = watched.timer;
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	stopper_go(&stopper);
	thread_join(stopper.thread);
	ck_assert_int_eq(stopper.result, 1);
	ck_assert_int_eq(asynctimer_complete(watched.timer, watched.last.number, 0), 0);
	let_ticks_pass(3);
	ck_assert_uint_eq(watched.callbacks, 1);
}
END_TEST

/* The second run is held by the hook. */
static int start_again_and_hold(struct watched *watched, const struct asynctimer_tick *tick)
{
	int *ended = watched->data;

	(void)tick;
	if (watched->callbacks > 1)
		return ASYNCTIMER_DONE;
	watched->restarted = true;
	ck_assert_int_eq(asynctimer_start(watched->timer), 1);
	flag_set(ended);
	flag_set(&go);
	return ASYNCTIMER_DONE;
}

static int second_claimed;
static int second_go;

static void hold_both(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point == ASYNCTIMER__STOP_WAITS) {
		flag_add(&waits);
		return;
	}
	if (point != ASYNCTIMER__CLAIMED || timer != flag_get(&held))
		return;
	if (flag_add(&claimed) == 1) {
		await(flag_get(&go));
		return;
	}
	flag_set(&second_claimed);
	await(flag_get(&second_go));
}

START_TEST(stop_does_not_wait_for_a_later_run)
{
	int ended = 0;
	struct watched watched = { .then = start_again_and_hold, .data = &ended };
	struct stopper stopper = { .ended = &ended };
	pthread_t runner;

	watch_new(&watched, CLOCK_MONOTONIC, US, ASYNCTIMER_FIXED_SCHEDULE);
	stopper.timer = watched.timer;
	use_hook(watched.timer);
	asynctimer__test_hook = hold_both;
	must(asynctimer_start(watched.timer));
	runner = thread_new(run_reactor, reactor);
	await(flag_get(&claimed));
	stopper_go(&stopper);
	await(flag_get(&waits));
	/* Once the lock is to be had, the stop waits. Its own start follows in the callback. */
	ck_assert_int_eq(asynctimer_is_started(watched.timer), 0);
	flag_set(&go);
	await(flag_get(&second_claimed));
	thread_join(stopper.thread);
	ck_assert_int_eq(stopper.result, 1);
	ck_assert_uint_eq(watched.callbacks, 1);
	ck_assert_int_eq(asynctimer_stop_nowait(watched.timer), 1);
	flag_set(&second_go);
	ck_assert_int_eq(asynctimer_stop(watched.timer), 0);
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
	ck_assert_uint_eq(watched.callbacks, 2);
}
END_TEST

static int handler_go;
static int handler_begun;
static int handler_ended;

static void slow_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)data;
	ck_assert_int_eq(error, -EIO);
	flag_set(&handler_begun);
	await(flag_get(&handler_go));
	flag_set(&handler_ended);
}

static void *complete_with_eio(void *data)
{
	struct watched *watched = data;

	ck_assert_int_eq(asynctimer_complete(watched->timer, watched->last.number, -EIO), 0);
	return NULL;
}

static void stop_while_in_handler(bool deferred, bool frees)
{
	struct watched watched = { .result = deferred ? ASYNCTIMER_PENDING : -EIO };
	struct stopper stopper = { .ended = &handler_ended, .frees = frees };
	pthread_t runner;

	flag_clear(&handler_go);
	flag_clear(&handler_begun);
	flag_clear(&handler_ended);
	watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	stopper.timer = watched.timer;
	use_hook(NULL);
	must(asynctimer_set_error_handler(watched.timer, slow_handler));
	must(asynctimer_start(watched.timer));
	if (deferred) {
		ck_assert_int_eq(dispatch(-1), 1);
		runner = thread_new(complete_with_eio, &watched);
	} else {
		runner = thread_new(run_reactor, reactor);
	}
	await(flag_get(&handler_begun));
	stopper_go(&stopper);
	await(flag_get(&waits) || flag_get(&stopper.returned));
	ck_assert_int_eq(flag_get(&stopper.returned), 0);
	flag_set(&handler_go);
	thread_join(stopper.thread);
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
	must(asynctimer_reactor_restart(reactor));
	ck_assert_uint_eq(watched.callbacks, 1);
	if (!frees) {
		ck_assert_int_eq(stopper.result, 1);
		asynctimer_free(watched.timer);
	}
}

START_TEST(stop_waits_for_the_error_handler_as_well)
{
	stop_while_in_handler(false, false);
	stop_while_in_handler(true, false);
	stop_while_in_handler(false, true);
	stop_while_in_handler(true, true);
}
END_TEST

/* A circle of callbacks, each of which stops, or frees, the next. */
#define CIRCLE_MAX 3

struct circle {
	unsigned size;
	struct member {
		struct circle *circle;
		struct watched watched;
		bool frees;
		bool refused;
		int returned;
		int released;
	} members[CIRCLE_MAX];
	int inside;
	int refusals;
};

static void member_released(void *data)
{
	struct watched *watched = data;

	flag_add(&((struct member *)watched->data)->released);
}

static int stop_the_next(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct member *member = watched->data;
	struct circle *circle = member->circle;
	struct member *next = &circle->members[(member - circle->members + 1) % circle->size];

	(void)tick;
	/* All run before any stops. */
	flag_add(&circle->inside);
	await(flag_get(&circle->inside) == (int)circle->size);
	if (member->frees) {
		asynctimer_free(next->watched.timer);
		/* Refused to wait, it returned while the next one still runs. */
		member->refused = !flag_get(&next->returned);
		if (member->refused)
			ck_assert_int_eq(flag_get(&next->released), 0);
		else
			ck_assert_int_eq(flag_get(&next->released), 1);
	} else {
		int r = asynctimer_stop(next->watched.timer);

		member->refused = r == -EDEADLK;
		if (member->refused)
			ck_assert_int_eq(asynctimer_is_started(next->watched.timer), 1);
		else
			ck_assert_int_eq(r, 1);
	}
	if (member->refused)
		ck_assert_int_eq(flag_add(&circle->refusals), 1);
	else
		await(flag_get(&circle->refusals));
	flag_set(&member->returned);
	return ASYNCTIMER_DONE;
}

static void *dispatch_one(void *data)
{
	ck_assert_int_ge(asynctimer_reactor_dispatch(data, -1), 1);
	return NULL;
}

/* frees: the set of members that free. The last member is on a reactor of its own. */
static void every_one_stops_the_next(unsigned size, unsigned frees)
{
	struct circle circle = { .size = size };
	struct asynctimer_reactor *first = reactor;
	struct asynctimer_reactor *second;
	pthread_t threads[CIRCLE_MAX];

	must(new_reactor(&second));
	for (unsigned i = 0; i < size; i++) {
		struct member *member = &circle.members[i];

		if (i + 1 == size)
			reactor = second;
		*member = (struct member){ .circle = &circle, .frees = frees >> i & 1 };
		member->watched = (struct watched){ .then = stop_the_next, .data = member };
		watch_new(&member->watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
		asynctimer_set_release(member->watched.timer, member_released);
		must(asynctimer_start_after(member->watched.timer, 0));
	}
	for (unsigned i = 0; i < size; i++)
		threads[i] = thread_new(dispatch_one, asynctimer_get_reactor(circle.members[i].watched.timer));
	for (unsigned i = 0; i < size; i++)
		thread_join(threads[i]);
	reactor = first;
	ck_assert_int_eq(circle.refusals, 1);
	for (unsigned i = 0; i < size; i++) {
		struct member *member = &circle.members[i];
		struct member *next = &circle.members[(i + 1) % size];

		if (member->frees) {
			ck_assert_int_eq(next->released, 1);
		} else {
			ck_assert_int_eq(next->released, 0);
			ck_assert_int_eq(asynctimer_is_started(next->watched.timer), member->refused);
			asynctimer_free(next->watched.timer);
			ck_assert_int_eq(next->released, 1);
		}
	}
	ck_assert_int_eq(asynctimer_reactor_free(second), 0);
}

START_TEST(of_two_callbacks_that_stop_each_other_exactly_one_is_refused)
{
	use_hook(NULL);
	every_one_stops_the_next(2, 0);
}
END_TEST

START_TEST(of_three_callbacks_in_a_circle_exactly_one_is_refused)
{
	use_hook(NULL);
	every_one_stops_the_next(3, 0);
}
END_TEST

START_TEST(free_in_a_circle_returns_at_once_and_releases_later)
{
	use_hook(NULL);
	for (unsigned frees = 1; frees < 4; frees++)
		every_one_stops_the_next(2, frees);
	for (unsigned frees = 1; frees < 8; frees++)
		every_one_stops_the_next(3, frees);
}
END_TEST

/* The one that is stopped waits in a lock of the test's, not in the library: no circle. */
struct chain {
	struct watched first, second;
	int inside;
};

static int stop_second(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct chain *chain = watched->data;

	(void)tick;
	flag_add(&chain->inside);
	await(flag_get(&chain->inside) == 2);
	ck_assert_int_eq(asynctimer_stop(chain->second.timer), 1);
	return ASYNCTIMER_DONE;
}

static int return_when_awaited(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct chain *chain = watched->data;

	(void)tick;
	flag_add(&chain->inside);
	await(flag_get(&waits) == 2);
	return ASYNCTIMER_DONE;
}

START_TEST(a_chain_of_stops_is_no_circle)
{
	struct chain chain = {
		.first = { .then = stop_second },
		.second = { .then = return_when_awaited },
	};
	struct stopper stopper = { .ended = NULL };
	pthread_t threads[2];

	chain.first.data = chain.second.data = &chain;
	use_hook(NULL);
	watch_new(&chain.first, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&chain.second, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start_after(chain.first.timer, 0));
	must(asynctimer_start_after(chain.second.timer, 0));
	for (unsigned i = 0; i < 2; i++)
		threads[i] = thread_new(dispatch_one, reactor);
	await(flag_get(&waits));
	stopper.timer = chain.first.timer;
	stopper_go(&stopper);
	thread_join(stopper.thread);
	ck_assert_int_eq(stopper.result, 1);
	for (unsigned i = 0; i < 2; i++)
		thread_join(threads[i]);
}
END_TEST

/* The stop is the last that holds the timer, so it runs the release, and that forks. */
static struct forking {
	struct watched watched;
	bool reactor_goes_first;
	int releases;
	int reactor_is_gone;
	int result;
	pid_t child;
} forking;

static int free_itself_under_a_stop(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	await(flag_get(&waits));
	asynctimer_free(watched->timer);
	return ASYNCTIMER_DONE;
}

static void fork_in_release(void *data)
{
	(void)data;
	flag_set(&forking.releases);
	if (forking.reactor_goes_first)
		await(flag_get(&forking.reactor_is_gone));
	forking.child = fork();
}

static void *stop_and_fork(void *data)
{
	int r = asynctimer_stop(data);

	/*
	 * Another program ends it. Valgrind, which does not follow there, would take for a leak
	 * of this one what belonged to the other threads of the parent.
	 */
	if (forking.child == 0) {
		execlp(r == -ECHILD ? "true" : "false", "child", NULL);
		abort();
	}
	forking.result = r;
	return NULL;
}

static void stop_whose_release_forks(bool reactor_goes_first)
{
	pthread_t runner, stopper;
	int status;

	forking = (struct forking){ .watched = { .then = free_itself_under_a_stop },
				    .reactor_goes_first = reactor_goes_first, .child = -1 };
	watch_new(&forking.watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	asynctimer_set_release(forking.watched.timer, fork_in_release);
	use_hook(forking.watched.timer);
	must(asynctimer_start_after(forking.watched.timer, 0));
	runner = thread_new(run_reactor, reactor);
	await(flag_get(&claimed));
	stopper = thread_new(stop_and_fork, forking.watched.timer);
	await(flag_get(&waits));
	flag_set(&go);
	await(flag_get(&forking.releases));
	asynctimer_reactor_stop(reactor);
	thread_join(runner);
	must(asynctimer_reactor_free(reactor));
	flag_set(&forking.reactor_is_gone);
	thread_join(stopper);
	must(asynctimer_reactor_new(&reactor));
	ck_assert_int_eq(forking.result, 1);
	ck_assert_int_gt(forking.child, 0);
	ck_assert_int_eq(waitpid(forking.child, &status, 0), forking.child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(stop_answers_echild_in_a_child_forked_in_the_release_that_it_runs)
{
	stop_whose_release_forks(false);
	stop_whose_release_forks(true);
}
END_TEST

static void *stop_then_be_cancelled(void *data)
{
	stop_in_thread(data);
	pthread_testcancel();
	return NULL;
}

START_TEST(a_stop_that_waits_is_no_cancellation_point)
{
	for (int frees = 0; frees < 2; frees++) {
		int ended = 0;
		struct watched watched = { .then = set_ended, .data = &ended };
		struct stopper stopper = { .ended = &ended, .frees = frees };
		pthread_t runner;
		void *how;

		watch_new(&watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
		stopper.timer = watched.timer;
		use_hook(watched.timer);
		must(asynctimer_start(watched.timer));
		runner = thread_new(run_reactor, reactor);
		await(flag_get(&claimed));
		stopper.thread = thread_new(stop_then_be_cancelled, &stopper);
		await(flag_get(&waits));
		ck_assert_int_eq(pthread_cancel(stopper.thread), 0);
		flag_set(&go);
		ck_assert_int_eq(pthread_join(stopper.thread, &how), 0);
		ck_assert_ptr_eq(how, PTHREAD_CANCELED);
		ck_assert_int_eq(stopper.returned, 1);
		asynctimer_reactor_stop(reactor);
		thread_join(runner);
		must(asynctimer_reactor_restart(reactor));
		ck_assert_uint_eq(watched.callbacks, 1);
		if (!frees)
			asynctimer_free(watched.timer);
	}
}
END_TEST

struct cancelled {
	struct watched watched;
	int begun;
	int cancelled;
	int run_returned;
};

static int reach_cancellation_points(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct cancelled *cancelled = watched->data;

	flag_set(&cancelled->begun);
	await(flag_get(&cancelled->cancelled));
	pthread_testcancel();
	if (tick->number >= 5)
		asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

static void *run_then_be_cancelled(void *data)
{
	struct cancelled *cancelled = data;

	run_reactor(reactor);
	flag_set(&cancelled->run_returned);
	pthread_testcancel();
	return NULL;
}

START_TEST(a_thread_in_run_is_not_cancelled)
{
	struct cancelled cancelled = { .watched = { .then = reach_cancellation_points } };
	pthread_t thread;
	void *how;

	cancelled.watched.data = &cancelled;
	watch_new(&cancelled.watched, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(cancelled.watched.timer));
	thread = thread_new(run_then_be_cancelled, &cancelled);
	await(flag_get(&cancelled.begun));
	ck_assert_int_eq(pthread_cancel(thread), 0);
	flag_set(&cancelled.cancelled);
	ck_assert_int_eq(pthread_join(thread, &how), 0);
	ck_assert_ptr_eq(how, PTHREAD_CANCELED);
	ck_assert_int_eq(cancelled.run_returned, 1);
	ck_assert_uint_ge(cancelled.watched.last.number, 5);
}
END_TEST

/* The user's code enables cancellation, and returns when one is pending. */
enum enabler { CALLBACK, HANDLER, RELEASE, RELEASE_BY_REACTOR };

static struct enabling {
	enum enabler enabler;
	struct watched watched;
	struct watched beat;	/* while it ticks, run goes on */
	unsigned beats;
	int enabled;
	int cancelled;
	int returned;
} enabling;

static void enable_cancellation(enum enabler here)
{
	if (here != enabling.enabler)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	flag_set(&enabling.enabled);
	/* No cancellation point in here. */
	await(flag_get(&enabling.cancelled));
}

static int enable_in_callback(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	if (enabling.enabler == RELEASE)
		asynctimer_free(watched->timer);
	enable_cancellation(CALLBACK);
	return -EIO;
}

static void enable_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	enable_cancellation(HANDLER);
}

static void enable_in_release(void *data)
{
	(void)data;
	enable_cancellation(enabling.enabler);
}

static int beat(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	if (flag_get(&enabling.cancelled) && ++enabling.beats == 3)
		asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

static void *run_or_free(void *data)
{
	(void)data;
	if (enabling.enabler == RELEASE_BY_REACTOR)
		must(asynctimer_reactor_free(reactor));
	else
		must(asynctimer_reactor_run(reactor));
	flag_set(&enabling.returned);
	pthread_testcancel();
	return NULL;
}

START_TEST(a_callback_that_enables_cancellation_does_so_until_it_returns)
{
	for (enum enabler enabler = CALLBACK; enabler <= RELEASE_BY_REACTOR; enabler++) {
		pthread_t thread;
		void *how;

		enabling = (struct enabling){ .enabler = enabler,
					      .watched = { .then = enable_in_callback },
					      .beat = { .then = beat } };
		watch_new(&enabling.watched, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
		watch_new(&enabling.beat, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_set_error_handler(enabling.watched.timer, enable_in_handler));
		if (enabler >= RELEASE)
			asynctimer_set_release(enabling.watched.timer, enable_in_release);
		must(asynctimer_start_after(enabling.watched.timer, 0));
		must(asynctimer_start(enabling.beat.timer));
		thread = thread_new(run_or_free, NULL);
		await(flag_get(&enabling.enabled));
		ck_assert_int_eq(pthread_cancel(thread), 0);
		flag_set(&enabling.cancelled);
		ck_assert_int_eq(pthread_join(thread, &how), 0);
		/* What was pending all the time has its effect after the library. */
		ck_assert_ptr_eq(how, PTHREAD_CANCELED);
		ck_assert_int_eq(enabling.returned, 1);
		if (enabler < RELEASE)
			asynctimer_free(enabling.watched.timer);
		if (enabler == RELEASE_BY_REACTOR) {
			reactor = NULL;
			return;
		}
		asynctimer_free(enabling.beat.timer);
		must(asynctimer_reactor_restart(reactor));
	}
}
END_TEST

/* With a cancellation pending, every function must come back. */
static void *call_everything(void *data)
{
	int *returned = data;
	struct asynctimer_reactor *other;
	struct asynctimer_stats stats;
	struct watched watched = { .result = ASYNCTIMER_PENDING };
	struct watched left = { .result = 0 };
	struct watched shared = { .result = 0 };

	pthread_cancel(pthread_self());
	must(asynctimer_reactor_new(&other));
	must(asynctimer_new(other, CLOCK_MONOTONIC, MS, 0, on_tick, &left, &left.timer));
	must(asynctimer_new(other, CLOCK_MONOTONIC, MS, 0, on_tick, &watched, &watched.timer));
	must(asynctimer_start(watched.timer));
	must(asynctimer_reactor_dispatch(other, 1));
	must(asynctimer_reactor_dispatch(other, 0));
	while (!watched.callbacks)
		must(asynctimer_reactor_dispatch(other, -1));
	must(asynctimer_complete(watched.timer, watched.last.number, 0));
	must(asynctimer_set_interval(watched.timer, 2 * MS));
	must(asynctimer_get_stats(watched.timer, &stats));
	must(asynctimer_stop(watched.timer));
	must(asynctimer_stop_nowait(watched.timer));
	must(asynctimer_start_after(watched.timer, 0));
	must(asynctimer_restart_after(watched.timer, MS));
	asynctimer_free_nowait(watched.timer);
	must(asynctimer_new_shared(other, CLOCK_MONOTONIC, MS, 0, 0, on_tick, &shared, &shared.timer));
	must(asynctimer_start_after(shared.timer, 0));
	asynctimer_reactor_stop(other);
	must(asynctimer_reactor_run(other));
	must(asynctimer_reactor_restart(other));
	must(asynctimer_reactor_free(other));
	flag_set(returned);
	pthread_testcancel();
	return NULL;
}

START_TEST(no_function_is_a_cancellation_point)
{
	int returned = 0;
	pthread_t thread = thread_new(call_everything, &returned);
	void *how;

	ck_assert_int_eq(pthread_join(thread, &how), 0);
	ck_assert_ptr_eq(how, PTHREAD_CANCELED);
	ck_assert_int_eq(returned, 1);
}
END_TEST

int main(void)
{
	/* REAL: several threads in a reactor, or two in turn, which a virtual one refuses. */
	return RUN_WITH_BACKINGS("stop",
		EVERY(stop_waits_for_a_claimed_callback),
		EVERY(stop_that_answers_0_waits_too),
		EVERY(free_waits_for_a_claimed_callback),
		EVERY(free_of_a_stopped_timer_waits_too),
		EVERY(of_several_stops_one_answers_1_and_all_wait),
		EVERY(stop_nowait_never_waits),
		EVERY(stopped_in_its_own_callback_it_does_not_run_again),
		REAL(stopped_in_a_nested_dispatch_it_is_not_waited_for),
		EVERY(stop_does_not_wait_for_deferred_work),
		EVERY(stop_does_not_wait_for_a_later_run),
		EVERY(stop_waits_for_the_error_handler_as_well),
		REAL(of_two_callbacks_that_stop_each_other_exactly_one_is_refused),
		REAL(of_three_callbacks_in_a_circle_exactly_one_is_refused),
		REAL(free_in_a_circle_returns_at_once_and_releases_later),
		REAL(a_chain_of_stops_is_no_circle),
		REAL(stop_answers_echild_in_a_child_forked_in_the_release_that_it_runs),
		EVERY(a_stop_that_waits_is_no_cancellation_point),
		EVERY(a_thread_in_run_is_not_cancelled),
		REAL(a_callback_that_enables_cancellation_does_so_until_it_returns),
		OWN(no_function_is_a_cancellation_point));
}
