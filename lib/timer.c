/* SPDX-License-Identifier: MIT */
/* The public calls on a timer. */
#include <errno.h>
#include <string.h>

#include "life.h"
#include "lock.h"
#include "names.h"
#include "own.h"
#include "probes.h"
#include "tick.h"
#include "wake.h"

#ifdef ASYNCTIMER_TEST_POINTS
void (*asynctimer__test_hook)(enum asynctimer__test_point point, struct asynctimer *timer);
#endif

static struct asynctimer_reactor *reactor_of(const struct asynctimer *timer)
{
	return timer->base->reactor;
}

static uint64_t now_ns_of(const struct asynctimer *timer)
{
	return asynctimer__base_now_ns(timer->base);
}

static int lock(const struct asynctimer *timer)
{
	if (!timer)
		return -EINVAL;
	TEST_POINT(ENTERS, timer);
	return asynctimer__lock(reactor_of(timer));
}

static void unlock(const struct asynctimer *timer)
{
	asynctimer__unlock(reactor_of(timer), false);
}

static bool valid_interval(uint64_t interval_ns)
{
	return interval_ns > 0 && interval_ns <= ASYNCTIMER__INTERVAL_MAX;
}

static int acquire(struct asynctimer_reactor *reactor, int clock, bool own, uint64_t slack_ns,
		   struct asynctimer **ret)
{
	unsigned which = asynctimer__clock_index(clock);

	if (reactor->freeing)
		return -EBUSY;
	if (reactor->shut)
		return -ESHUTDOWN;
	if (own && !reactor->virtual)
		return asynctimer__own_acquire(&reactor->own_bases[which], ret);
	return asynctimer__shared_acquire(&reactor->shared[which], slack_ns, ret);
}

/* Some memory for shared timers is missing, and would be of use. */
static bool lacks_room(const struct asynctimer_reactor *reactor, bool own)
{
	return (!own || reactor->virtual) && !reactor->freeing && !reactor->shut &&
	       !asynctimer__slab_has_room(&reactor->slab);
}

/*
 * The kernel takes its time, so it is asked without the lock, while the reactor is kept
 * from being freed; somebody else may take the room meanwhile. 0 or -ENOMEM at *r. False,
 * without the lock, in a child that a signal handler forked meanwhile.
 */
static bool make_room(struct asynctimer_reactor *reactor, bool own, int *r)
{
	*r = 0;
	while (*r == 0 && lacks_room(reactor, own)) {
		bool first = reactor->slab.blocks == 0;
		struct block *block;

		reactor->inside++;
		asynctimer__unlock(reactor, false);
		block = asynctimer__block_new(first);
		if (asynctimer__lock(reactor) < 0) {
			asynctimer__blocks_free(block);
			return false;
		}
		reactor->inside--;
		if (block)
			asynctimer__slab_add(&reactor->slab, block);
		else
			*r = -ENOMEM;
	}
	return true;
}

/* Checks all arguments. An own timer has no slack_ns: 0. */
static int new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
	       bool own, uint64_t slack_ns, asynctimer_callback callback, void *data,
	       struct asynctimer **ret)
{
	struct asynctimer *timer;
	struct block *ripe;
	int cancel_state;
	int r;

	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	if (!callback || !ret || !valid_interval(interval_ns) || slack_ns >= interval_ns ||
	    !asynctimer__schedule_is_valid(policy, clock))
		return -EINVAL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (asynctimer__lock(reactor) < 0 || !make_room(reactor, own, &r)) {
		pthread_setcancelstate(cancel_state, NULL);
		return -ECHILD;
	}
	if (r == 0)
		r = acquire(reactor, clock, own, slack_ns, &timer);
	if (r == 0) {
		timer->schedule.interval_ns = interval_ns;
		timer->schedule.policy = (uint8_t)policy;
		timer->callback = callback;
		timer->data = data;
		reactor->stats.timers++;
		*ret = timer;
	}
	ripe = asynctimer__slab_take_ripe(&reactor->slab);
	asynctimer__unlock(reactor, false);
	if (r == 0)
		asynctimer__block_make_huge(ripe);
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}

int asynctimer_new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
		   asynctimer_callback callback, void *data, struct asynctimer **ret)
{
	return new(reactor, clock, interval_ns, policy, true, 0, callback, data, ret);
}

int asynctimer_new_shared(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns,
			  int policy, uint64_t slack_ns, asynctimer_callback callback, void *data,
			  struct asynctimer **ret)
{
	return new(reactor, clock, interval_ns, policy, false, slack_ns, callback, data, ret);
}

/* Its memory stays until the child frees the reactor: a deferred tick may name it. */
static void free_in_child(struct asynctimer *timer)
{
	if (asynctimer__is_running(timer))
		asynctimer__life_retire(timer);	/* the rest when that has returned */
	else
		asynctimer__life_end(timer);
}

static void free_timer(struct asynctimer *timer, bool waits)
{
	struct wait wait;
	int cancel_state;

	if (!timer)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (lock(timer) < 0) {
		free_in_child(timer);
	} else if (timer->life != TIMER_LIVES) {
		unlock(timer);
	} else {
		asynctimer__life_retire(timer);
		if (waits && asynctimer__tick_runs_elsewhere(timer) &&
		    asynctimer__tick_enter_wait(timer, &wait) == 0)
			asynctimer__tick_await_end(timer);
		asynctimer__life_unlock(timer);
	}
	pthread_setcancelstate(cancel_state, NULL);
}

void asynctimer_free(struct asynctimer *timer)
{
	free_timer(timer, true);
}

void asynctimer_free_nowait(struct asynctimer *timer)
{
	free_timer(timer, false);
}

void asynctimer_set_release(struct asynctimer *timer, void (*release)(void *data))
{
	if (lock(timer) < 0)
		return;
	timer->release = release;
	unlock(timer);
}

static void set_interval(struct asynctimer *timer, uint64_t interval_ns)
{
	const struct backing *backing = timer->base->backing;

	if (!timer->started) {
		timer->schedule.interval_ns = interval_ns;
		return;
	}
	backing->disarm(timer);
	asynctimer__schedule_set_interval(&timer->schedule, interval_ns, now_ns_of(timer));
	/* An open tick's completion arms it. */
	if (timer->tick == TICK_NONE && backing->arm(timer) < 0)
		asynctimer__retry(reactor_of(timer));
}

int asynctimer_set_interval(struct asynctimer *timer, uint64_t interval_ns)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (timer->life != TIMER_LIVES || !valid_interval(interval_ns) ||
	    interval_ns <= timer->base->backing->slack_ns(timer))
		r = -EINVAL;
	else
		r = timer->schedule.interval_ns != interval_ns;
	if (r == 1)
		set_interval(timer, interval_ns);
	unlock(timer);
	return r;
}

int asynctimer_set_error_handler(struct asynctimer *timer, asynctimer_error_handler handler)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (timer->life != TIMER_LIVES)
		r = -EINVAL;
	else
		r = timer->error_handler != handler;
	if (r == 1)
		timer->error_handler = handler;
	unlock(timer);
	return r;
}

int asynctimer_set_name(struct asynctimer *timer, const char *name)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (timer->life != TIMER_LIVES)
		r = -EINVAL;
	else if (!name || !*name)
		r = asynctimer__names_remove(&reactor_of(timer)->names, timer);
	else if (strnlen(name, ASYNCTIMER__NAME_SIZE) == ASYNCTIMER__NAME_SIZE)
		r = -ERANGE;
	else
		r = asynctimer__names_set(&reactor_of(timer)->names, timer, name);
	unlock(timer);
	return r;
}

static int can_start(const struct asynctimer *timer, bool valid)
{
	if (!valid || timer->life != TIMER_LIVES)
		return -EINVAL;
	return reactor_of(timer)->shut ? -ESHUTDOWN : 0;
}

/* Takes the lock if the timer can be started: 1; else 0 or an error, without it. */
static int lock_to_start(struct asynctimer *timer, bool valid)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	r = can_start(timer, valid);
	if (r == 0 && !timer->started)
		return 1;
	unlock(timer);
	return r;
}

/* With the schedule set: the timer is started. Gives the lock up. */
static int start_and_unlock(struct asynctimer *timer)
{
	int r = 0;

	/* An open tick's completion arms it. */
	if (timer->tick == TICK_NONE)
		r = timer->base->backing->arm(timer);
	if (r == 0) {
		asynctimer__set_started(timer, true);
		PROBE(start, timer);
	}
	unlock(timer);
	return r < 0 ? r : 1;
}

int asynctimer_start(struct asynctimer *timer)
{
	int r = lock_to_start(timer, true);

	if (r < 1)
		return r;
	asynctimer__schedule_start(&timer->schedule, now_ns_of(timer));
	return start_and_unlock(timer);
}

int asynctimer_start_after(struct asynctimer *timer, uint64_t delay_ns)
{
	uint64_t now_ns;
	int r = lock_to_start(timer, delay_ns <= ASYNCTIMER__INTERVAL_MAX);

	if (r < 1)
		return r;
	now_ns = now_ns_of(timer);
	asynctimer__schedule_start_at(&timer->schedule, now_ns + delay_ns, now_ns);
	return start_and_unlock(timer);
}

int asynctimer_start_at(struct asynctimer *timer, uint64_t anchor_ns)
{
	int r = lock_to_start(timer, anchor_ns <= INT64_MAX);

	if (r < 1)
		return r;
	asynctimer__schedule_start_at(&timer->schedule, anchor_ns, now_ns_of(timer));
	return start_and_unlock(timer);
}

int asynctimer_restart_after(struct asynctimer *timer, uint64_t delay_ns)
{
	uint64_t now_ns;
	int r = lock(timer);

	if (r < 0)
		return r;
	r = can_start(timer, delay_ns <= ASYNCTIMER__INTERVAL_MAX);
	if (r == 0 && timer->started) {
		now_ns = now_ns_of(timer);
		r = timer->base->backing->restart(timer, now_ns + delay_ns, now_ns);
		if (r == 0) {
			PROBE(start, timer);
			r = 1;
		}
	}
	unlock(timer);
	return r;
}

int asynctimer_stop(struct asynctimer *timer)
{
	struct wait wait;
	int cancel_state;
	int r = lock(timer);

	if (r < 0)
		return r;
	if (!asynctimer__tick_runs_elsewhere(timer)) {
		r = asynctimer__life_stop(timer);
		unlock(timer);
		return r;
	}
	r = asynctimer__tick_enter_wait(timer, &wait);
	if (r < 0) {
		unlock(timer);
		return r;
	}
	r = asynctimer__life_stop(timer);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	asynctimer__tick_await_end(timer);
	if (!asynctimer__life_unlock(timer))
		r = -ECHILD;
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}

int asynctimer_stop_nowait(struct asynctimer *timer)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	r = asynctimer__life_stop(timer);
	unlock(timer);
	return r;
}

int asynctimer_complete(struct asynctimer *timer, uint64_t number, int result)
{
	int r = lock(timer);

	return r < 0 ? r : asynctimer__tick_complete(timer, number, result);
}

int asynctimer_is_started(const struct asynctimer *timer)
{
	int r = 0;

	if (lock(timer) == 0) {
		r = timer->started;
		unlock(timer);
	}
	return r;
}

uint64_t asynctimer_now_ns(const struct asynctimer *timer)
{
	uint64_t now_ns;

	if (!timer)
		return 0;
	if (!reactor_of(timer)->virtual || lock(timer) < 0)
		return now_ns_of(timer);
	now_ns = now_ns_of(timer);
	unlock(timer);
	return now_ns;
}

uint64_t asynctimer_next_due_ns(const struct asynctimer *timer)
{
	uint64_t due_ns = ASYNCTIMER__NEVER;

	if (lock(timer) < 0)
		return due_ns;
	if (timer->started)
		due_ns = asynctimer__schedule_next_due_ns(&timer->schedule,
							  timer->tick != TICK_NONE);
	unlock(timer);
	return due_ns;
}

struct asynctimer_reactor *asynctimer_get_reactor(const struct asynctimer *timer)
{
	return timer ? reactor_of(timer) : NULL;
}

void *asynctimer_get_data(const struct asynctimer *timer)
{
	return timer ? timer->data : NULL;
}
