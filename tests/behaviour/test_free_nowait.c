/* SPDX-License-Identifier: MIT */
/*
 * asynctimer_free_nowait. Each release frees its data, so that a memory checker
 * sees what touches it later.
 */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"

/* Counts what it goes through, in that order. */
struct life {
	struct watched watched;
	int *began;
	int *ended;
	int *released;
	pthread_t *by;			/* gets the releasing thread, if set */
	int (*act)(struct life *life);	/* in the callback: its result */
	void (*then)(struct life *life); /* in the release, before the data goes */
	struct life *other;
};

static int began, ended, released;
static pthread_t by;

static void release_life(void *data)
{
	struct life *life = data;

	ck_assert_int_eq(flag_get(life->ended), flag_get(life->began));
	if (life->then)
		life->then(life);
	if (life->by)
		*life->by = pthread_self();
	ck_assert_int_eq(flag_add(life->released), 1);
	free(life);
}

static int live(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct life *life = watched->data;
	int result;

	(void)tick;
	flag_add(life->began);
	result = life->act ? life->act(life) : watched->result;
	ck_assert_int_eq(flag_get(life->released), 0);
	flag_add(life->ended);
	return result;
}

static struct life *life_new(uint64_t interval_ns, int policy)
{
	struct life *life = calloc(1, sizeof(*life));

	ck_assert_ptr_nonnull(life);
	flag_clear(&began);
	flag_clear(&ended);
	flag_clear(&released);
	life->began = &began;
	life->ended = &ended;
	life->released = &released;
	life->by = &by;
	watch_new(&life->watched, CLOCK_MONOTONIC, interval_ns, policy);
	life->watched.data = life;
	life->watched.then = live;
	asynctimer_set_release(life->watched.timer, release_life);
	return life;
}

/* Ends its open tick. */
static void complete(struct life *life, int result)
{
	struct watched *watched = &life->watched;

	ck_assert_int_eq(asynctimer_complete(watched->timer, watched->last.number, result), 0);
}

static void counted_in(struct life *life, int counts[3])
{
	life->began = &counts[0];
	life->ended = &counts[1];
	life->released = &counts[2];
	life->by = NULL;
}

/*
 * Where nothing runs.
 */

START_TEST(freed_idle_armed_or_due_it_is_released_by_that_call)
{
	FOR_EACH_POLICY(policy) for (unsigned i = 0; i < 3; i++) {
		int fds = count_fds();
		struct asynctimer *timer = life_new(HOUR, policy)->watched.timer;

		if (i)
			must(asynctimer_start_after(timer, i == 1 ? HOUR : 0));
		if (i == 2 && backing == BACKING_OWN)
			await(expired() == 1);
		asynctimer_free_nowait(timer);
		ck_assert_int_eq(released, 1);
		ck_assert(pthread_equal(by, pthread_self()));
		ck_assert_int_eq(count_fds(), fds);
		ck_assert_int_eq(dispatch(0), 0);
		ck_assert_int_eq(began, 0);
	}
	asynctimer_free_nowait(NULL);
}
END_TEST

static void free_the_other(struct life *life)
{
	if (life->other)
		asynctimer_free_nowait(life->other->watched.timer);
}

START_TEST(a_release_may_free_others_so)
{
	int counts[3][3] = { { 0 } };
	struct life *first = NULL;

	for (unsigned i = 0; i < 3; i++) {
		struct life *life = life_new(MS, SCHEDULE);

		counted_in(life, counts[i]);
		life->then = free_the_other;
		life->other = first;
		must(asynctimer_start(life->watched.timer));
		first = life;
	}
	asynctimer_free_nowait(first->watched.timer);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(counts[i][2], 1);
}
END_TEST

/*
 * Under a lock that the callback wants: asynctimer_free would wait for ever.
 */

static pthread_mutex_t wanted = PTHREAD_MUTEX_INITIALIZER;

static int want_the_lock(struct life *life)
{
	pthread_mutex_lock(&wanted);
	pthread_mutex_unlock(&wanted);
	return life->watched.result;
}

static void *dispatch_one(void *data)
{
	ck_assert_int_eq(dispatch_on(data, -1), 1);
	return NULL;
}

static void free_under_the_lock(int policy, int result)
{
	struct life *life = life_new(HOUR, policy);
	struct asynctimer *timer = life->watched.timer;
	pthread_t runner;

	life->act = want_the_lock;
	life->watched.result = result;
	pthread_mutex_lock(&wanted);
	must(asynctimer_start_after(timer, 0));
	runner = thread_new(dispatch_one, reactor);
	await(flag_get(&began));
	asynctimer_free_nowait(timer);
	ck_assert_int_eq(flag_get(&released), 0);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
	pthread_mutex_unlock(&wanted);
	if (result != ASYNCTIMER_PENDING)
		await(flag_get(&released));
	thread_join(runner);
	if (result == ASYNCTIMER_PENDING) {
		ck_assert_int_eq(released, 0);
		ck_assert_int_eq(asynctimer_complete(timer, 1, 0), 0);
		ck_assert(pthread_equal(by, pthread_self()));
	} else {
		ck_assert(pthread_equal(by, runner));
	}
	ck_assert_int_eq(released, 1);
	ck_assert_int_eq(ended, 1);
	ck_assert_int_eq(dispatch(MS), 0);
}

START_TEST(freed_under_a_lock_that_the_callback_waits_for_it_is_released_after_that)
{
	FOR_EACH_POLICY(policy) {
		free_under_the_lock(policy, ASYNCTIMER_DONE);
		free_under_the_lock(policy, -EIO);
		free_under_the_lock(policy, ASYNCTIMER_PENDING);
	}
}
END_TEST

static struct asynctimer *held;	/* whose runner stops short of the callback */
static int claimed;
static int go;
static int waits;		/* stops and frees that are about to */

static void hook(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (point == ASYNCTIMER__STOP_WAITS)
		flag_add(&waits);
	if (point != ASYNCTIMER__CLAIMED || timer != held)
		return;
	flag_set(&claimed);
	await(flag_get(&go));
}

/* The timer of a tick that a thread has claimed, and is held before the callback. */
static struct asynctimer *hold_claimed(struct life *life, pthread_t *runner)
{
	flag_clear(&claimed);
	flag_clear(&go);
	flag_clear(&waits);
	held = life->watched.timer;
	asynctimer__test_hook = hook;
	must(asynctimer_start_after(held, 0));
	*runner = thread_new(dispatch_one, reactor);
	await(flag_get(&claimed));
	return held;
}

START_TEST(a_callback_that_was_claimed_before_still_begins_and_the_release_comes_after_it)
{
	FOR_EACH_POLICY(policy) {
		pthread_t runner;
		struct asynctimer *timer = hold_claimed(life_new(HOUR, policy), &runner);

		asynctimer_free_nowait(timer);
		ck_assert_int_eq(flag_get(&began), 0);
		ck_assert_int_eq(flag_get(&released), 0);
		ck_assert_int_eq(flag_get(&waits), 0);
		flag_set(&go);
		thread_join(runner);
		ck_assert_int_eq(began, 1);
		ck_assert_int_eq(released, 1);
		ck_assert(pthread_equal(by, runner));
	}
}
END_TEST

/* A stop, or free, in another thread that waits for the callback. */
struct waiter {
	struct asynctimer *timer;
	bool frees;
	int result;
	int returned;
};

static void *wait_for_it(void *data)
{
	struct waiter *waiter = data;

	if (waiter->frees)
		asynctimer_free(waiter->timer);
	else
		waiter->result = asynctimer_stop(waiter->timer);
	if (!flag_get(&ended))
		ck_abort_msg("it returned before the callback ended");
	flag_set(&waiter->returned);
	return NULL;
}

static void free_while_others_wait(unsigned count, bool last_frees)
{
	pthread_t runner, threads[3];
	struct waiter waiters[3] = { { .returned = 0 } };
	struct asynctimer *timer = hold_claimed(life_new(HOUR, SCHEDULE), &runner);
	int changed = 0;

	for (unsigned i = 0; i < count; i++) {
		waiters[i].timer = timer;
		waiters[i].frees = last_frees && i == count - 1;
		threads[i] = thread_new(wait_for_it, &waiters[i]);
		await(flag_get(&waits) == (int)i + 1);
	}
	/* It takes the lock, so those have it no more: they wait. */
	asynctimer_free_nowait(timer);
	asynctimer_free_nowait(timer);
	ck_assert_int_eq(flag_get(&released), 0);
	flag_set(&go);
	for (unsigned i = 0; i < count; i++) {
		thread_join(threads[i]);
		changed += waiters[i].result;
	}
	await(flag_get(&released));
	thread_join(runner);
	ck_assert_int_eq(released, 1);
	ck_assert_int_eq(changed, last_frees && count == 1 ? 0 : 1);
}

START_TEST(freed_while_others_wait_for_its_callback_they_end_and_it_is_released_once)
{
	for (unsigned i = 0; i < 20; i++) {
		free_while_others_wait(1, false);
		free_while_others_wait(3, false);
		free_while_others_wait(1, true);
		free_while_others_wait(3, true);
	}
}
END_TEST

/*
 * In callbacks and handlers.
 */

static void free_it_and_call_everything(struct life *life)
{
	struct asynctimer *timer = life->watched.timer;

	asynctimer_free_nowait(timer);
	asynctimer_free_nowait(timer);
	asynctimer_free(timer);
	ck_assert_int_eq(flag_get(life->released), 0);
	ck_assert_int_eq(asynctimer_start(timer), -EINVAL);
	ck_assert_int_eq(asynctimer_start_after(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_start_at(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_restart_after(timer, 0), -EINVAL);
	ck_assert_int_eq(asynctimer_set_interval(timer, 5 * MS), -EINVAL);
	ck_assert_int_eq(asynctimer_stop(timer), 0);
	ck_assert_int_eq(asynctimer_is_started(timer), 0);
	ck_assert_uint_eq(asynctimer_next_due_ns(timer), UINT64_MAX);
}

static int free_itself(struct life *life)
{
	free_it_and_call_everything(life);
	return life->watched.result;
}

START_TEST(freed_in_its_own_callback_it_is_released_when_its_tick_ends)
{
	const int results[] = { ASYNCTIMER_DONE, -EIO, ASYNCTIMER_PENDING };

	FOR_EACH_POLICY(policy) for (unsigned i = 0; i < 3; i++) {
		struct life *life = life_new(100 * US, policy);
		struct asynctimer *timer = life->watched.timer;

		life->act = free_itself;
		life->watched.result = results[i];
		must(asynctimer_start(timer));
		ck_assert_int_eq(dispatch(-1), 1);
		if (results[i] == ASYNCTIMER_PENDING) {
			ck_assert_int_eq(released, 0);
			ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
			complete(life, 0);
		}
		ck_assert_int_eq(released, 1);
		ck_assert_int_eq(dispatch(MS), 0);
	}
}
END_TEST

static int complete_and_free_itself(struct life *life)
{
	complete(life, 0);
	free_it_and_call_everything(life);
	return ASYNCTIMER_PENDING;
}

START_TEST(completed_and_freed_in_its_own_callback_it_is_released_when_that_has_returned)
{
	struct life *life = life_new(100 * US, SCHEDULE);

	life->act = complete_and_free_itself;
	must(asynctimer_start(life->watched.timer));
	ck_assert_int_eq(dispatch(-1), 1);
	ck_assert_int_eq(released, 1);
}
END_TEST

static void free_in_handler(struct asynctimer *timer, int error, void *data)
{
	struct watched *watched = data;

	(void)timer;
	ck_assert_int_eq(error, -EIO);
	free_it_and_call_everything(watched->data);
}

START_TEST(freed_in_its_own_handler_it_is_released_when_that_has_returned)
{
	for (int deferred = 0; deferred < 2; deferred++) {
		struct life *life = life_new(100 * US, SCHEDULE);
		struct asynctimer *timer = life->watched.timer;

		life->watched.result = deferred ? ASYNCTIMER_PENDING : -EIO;
		must(asynctimer_set_error_handler(timer, free_in_handler));
		must(asynctimer_start(timer));
		ck_assert_int_eq(dispatch(-1), 1);
		if (deferred)
			complete(life, -EIO);
		ck_assert_int_eq(released, 1);
		ck_assert_int_eq(dispatch(MS), 0);
	}
}
END_TEST

static int free_the_other_at_once(struct life *life)
{
	int *others = life->other->released;

	asynctimer_free_nowait(life->other->watched.timer);
	ck_assert_int_eq(*others, 1);
	life->other = NULL;
	return ASYNCTIMER_DONE;
}

START_TEST(freed_in_anothers_callback_it_is_released_by_that_call)
{
	for (unsigned i = 0; i < 3; i++) {
		int others[3] = { 0 };
		struct life *other = life_new(HOUR, SCHEDULE);
		struct life *life = life_new(HOUR, SCHEDULE);

		counted_in(other, others);
		life->other = other;
		life->act = free_the_other_at_once;
		must(asynctimer_start_after(life->watched.timer, US));
		/* Idle, armed, or due in the same turn. */
		if (i)
			must(asynctimer_start_after(other->watched.timer, i == 1 ? HOUR : 2 * US));
		let_pass_until(now_mono() + MS);
		if (backing == BACKING_OWN)
			await(expired() == (i == 2 ? 2 : 1));
		ck_assert_int_eq(dispatch(-1), 1);
		ck_assert_int_eq(others[2], 1);
		ck_assert_int_eq(dispatch(0), 0);
		asynctimer_free_nowait(life->watched.timer);
	}
}
END_TEST

/* Two callbacks that free each other: a circle that asynctimer_free has to find out. */
static int both_began;

static int free_the_other_that_runs(struct life *life)
{
	flag_add(&both_began);
	await(flag_get(&both_began) >= 2);
	asynctimer_free_nowait(life->other->watched.timer);
	flag_add(&both_began);
	/* Both may be named until both have freed. */
	await(flag_get(&both_began) == 4);
	return ASYNCTIMER_DONE;
}

START_TEST(two_callbacks_that_free_each_other_do_not_wait)
{
	int counts[2][3] = { { 0 } };
	struct life *lives[2];
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++) {
		lives[i] = life_new(HOUR, SCHEDULE);
		counted_in(lives[i], counts[i]);
		lives[i]->act = free_the_other_that_runs;
	}
	lives[0]->other = lives[1];
	lives[1]->other = lives[0];
	for (unsigned i = 0; i < 2; i++)
		must(asynctimer_start_after(lives[i]->watched.timer, 0));
	for (unsigned i = 0; i < 2; i++)
		threads[i] = thread_new(run_reactor, reactor);
	await(flag_get(&counts[0][2]) && flag_get(&counts[1][2]));
	asynctimer_reactor_stop(reactor);
	for (unsigned i = 0; i < 2; i++)
		thread_join(threads[i]);
}
END_TEST

/*
 * Deferred.
 */

static void *complete_in_thread(void *data)
{
	ck_assert_int_eq(asynctimer_complete(data, 1, 0), 0);
	return NULL;
}

START_TEST(freed_while_deferred_it_gives_up_its_descriptor_and_is_released_by_the_completion)
{
	FOR_EACH_POLICY(policy) {
		int fds = count_fds();
		struct life *life = life_new(HOUR, policy);
		struct asynctimer *timer = life->watched.timer;
		pthread_t completer;

		life->watched.result = ASYNCTIMER_PENDING;
		must(asynctimer_start_after(timer, 0));
		ck_assert_int_eq(dispatch(-1), 1);
		asynctimer_free_nowait(timer);
		ck_assert_int_eq(count_fds(), fds);
		ck_assert_int_eq(released, 0);
		ck_assert_int_eq(asynctimer_complete(timer, 2, 0), -EALREADY);
		ck_assert_int_eq(asynctimer_complete(timer, 1, 1), -EINVAL);
		ck_assert_int_eq(asynctimer_reactor_free(reactor), -EBUSY);
		completer = thread_new(complete_in_thread, timer);
		thread_join(completer);
		ck_assert_int_eq(released, 1);
		ck_assert(pthread_equal(by, completer));
		ck_assert_int_eq(dispatch(0), 0);
	}
}
END_TEST

/*
 * And the reactor.
 */

struct sibling {
	struct asynctimer *timer;
	struct sibling *other;
	int released;
};

static void free_the_sibling(void *data)
{
	struct sibling *sibling = data;

	ck_assert_int_eq(++sibling->released, 1);
	/* Twice: that one may be named until the reactor is gone. */
	asynctimer_free_nowait(sibling->other->timer);
	asynctimer_free_nowait(sibling->other->timer);
	ck_assert_int_eq(sibling->other->released, 1);
}

START_TEST(a_release_in_reactor_free_may_free_siblings_so)
{
	struct sibling siblings[2] = { { .other = &siblings[1] }, { .other = &siblings[0] } };

	for (unsigned i = 0; i < 2; i++) {
		must(new_timer(CLOCK_MONOTONIC, MS, SCHEDULE, on_tick, &siblings[i],
			       &siblings[i].timer));
		asynctimer_set_release(siblings[i].timer, free_the_sibling);
		must(asynctimer_start(siblings[i].timer));
	}
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	reactor = NULL;
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(siblings[i].released, 1);
}
END_TEST

static void *free_reactor_when_it_can(void *data)
{
	int r;

	await((r = asynctimer_reactor_free(data)) != -EBUSY);
	ck_assert_int_eq(r, 0);
	return NULL;
}

/* In a single call, after which the reactor may be gone. */
static void *dispatch_what_is_due(void *data)
{
	ck_assert_int_eq(dispatch_on(data, backing == BACKING_VIRTUAL ? 0 : -1), 1);
	return NULL;
}

START_TEST(reactor_free_does_not_take_it_from_the_callback_that_releases_it)
{
	for (unsigned i = 0; i < 100; i++) {
		struct asynctimer_reactor *first = reactor;
		struct life *life;
		pthread_t runner, freer;

		must(new_reactor(&reactor));
		life = life_new(HOUR, SCHEDULE);
		life->act = want_the_lock;
		pthread_mutex_lock(&wanted);
		must(asynctimer_start_after(life->watched.timer, 0));
		runner = thread_new(dispatch_what_is_due, reactor);
		await(flag_get(&began));
		asynctimer_free_nowait(life->watched.timer);
		freer = thread_new(free_reactor_when_it_can, reactor);
		pthread_mutex_unlock(&wanted);
		thread_join(freer);
		thread_join(runner);
		ck_assert_int_eq(released, 1);
		reactor = first;
	}
}
END_TEST

static int releases;

static void count_release(void *data)
{
	(void)data;
	releases++;
}

START_TEST(in_a_forked_child_it_releases_and_the_parent_feels_nothing)
{
	struct watched watched = { .callbacks = 0 };
	int fds = count_fds();
	int status;
	pid_t child;

	watch_new(&watched, CLOCK_MONOTONIC, MS, SCHEDULE);
	asynctimer_set_release(watched.timer, count_release);
	must(asynctimer_start(watched.timer));
	child = fork();
	if (!child) {
		asynctimer_free_nowait(watched.timer);
		if (releases != 1 || count_fds() != fds)
			_exit(1);
		asynctimer_reactor_free(reactor);
		_exit(releases != 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(releases, 0);
	dispatch_callbacks(&watched, 3);
}
END_TEST

int main(void)
{
	/* REAL: several threads in a reactor, and what a child has in common with its parent. */
	return RUN_WITH_BACKINGS("free_nowait",
		EVERY(freed_idle_armed_or_due_it_is_released_by_that_call),
		EVERY(a_release_may_free_others_so),
		EVERY(freed_under_a_lock_that_the_callback_waits_for_it_is_released_after_that),
		EVERY(a_callback_that_was_claimed_before_still_begins_and_the_release_comes_after_it),
		EVERY(freed_while_others_wait_for_its_callback_they_end_and_it_is_released_once),
		EVERY(freed_in_its_own_callback_it_is_released_when_its_tick_ends),
		EVERY(completed_and_freed_in_its_own_callback_it_is_released_when_that_has_returned),
		EVERY(freed_in_its_own_handler_it_is_released_when_that_has_returned),
		EVERY(freed_in_anothers_callback_it_is_released_by_that_call),
		REAL(two_callbacks_that_free_each_other_do_not_wait),
		EVERY(freed_while_deferred_it_gives_up_its_descriptor_and_is_released_by_the_completion),
		EVERY(a_release_in_reactor_free_may_free_siblings_so),
		EVERY(reactor_free_does_not_take_it_from_the_callback_that_releases_it),
		REAL(in_a_forked_child_it_releases_and_the_parent_feels_nothing));
}
