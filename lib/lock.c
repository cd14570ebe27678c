/* SPDX-License-Identifier: MIT */
/*
 * How the reactor's lock is given up, and who is told what is due.
 *
 * Whoever changes when the next wake-up of a clock is marks the clock as dirty.
 * That costs nothing more until the lock is given up where somebody has to know:
 * by a thread that waits itself, while others wait, or outside of run and
 * dispatch. A thread that goes into a callback while nobody waits leaves the
 * marks alone, for it comes back.
 *
 * What is due already is not armed for. A thread that was about to wait runs it.
 * One that goes into a callback gives the others a little time to see whether it
 * comes back, which is cheaper than to wake one of them each time; else the
 * eventfd tells.
 */
#include <errno.h>

#include "lock.h"
#include "wake.h"

static void locked(struct asynctimer_reactor *reactor)
{
#ifdef ASYNCTIMER_TEST_POINTS
	reactor->lock_owner = asynctimer__this_thread();
#endif
	(void)reactor;
}

static void about_to_unlock(struct asynctimer_reactor *reactor)
{
#ifdef ASYNCTIMER_TEST_POINTS
	ASSERT(asynctimer__is_locked(reactor));
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		asynctimer__shared_assert(&reactor->shared[i]);
	reactor->lock_owner = NULL;
#endif
	(void)reactor;
}

static void let_go(struct asynctimer_reactor *reactor)
{
	about_to_unlock(reactor);
	pthread_mutex_unlock(&reactor->lock);
}

int asynctimer__lock(struct asynctimer_reactor *reactor)
{
	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	pthread_mutex_lock(&reactor->lock);
	locked(reactor);
	return 0;
}

bool asynctimer__relock(struct asynctimer_reactor *reactor, struct call *call)
{
	asynctimer__call_disable_cancellation();
	/* Where the child freed the reactor, not even that may be looked at. */
	call->forked = !call->reactor || asynctimer__in_child(reactor);
	if (call->forked)
		return false;
	pthread_mutex_lock(&reactor->lock);
	locked(reactor);
	return true;
}

void asynctimer__lock_wait(struct asynctimer_reactor *reactor, uint64_t until_ns)
{
	struct timespec until = asynctimer__timespec(until_ns);

	about_to_unlock(reactor);
	if (until_ns == ASYNCTIMER__NEVER)
		pthread_cond_wait(&reactor->ended, &reactor->lock);
	else
		pthread_cond_timedwait(&reactor->ended, &reactor->lock, &until);
	locked(reactor);
}

static bool is_to_be_looked_at(const struct asynctimer_reactor *reactor, unsigned which)
{
	const struct shared *shared = &reactor->shared[which];

	return shared->pair.is_open && ((reactor->dirty & 1U << which) || asynctimer__pair_is_early(shared));
}

/* Arms the dirty clocks for what is to come. Those where something is due already stay dirty: they are returned. */
static unsigned settle(struct asynctimer_reactor *reactor)
{
	unsigned due = reactor->first_due ? ASYNCTIMER__OWN : 0;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		if (is_to_be_looked_at(reactor, i) && asynctimer__pair_arm(&reactor->shared[i]))
			due |= 1U << i;
	reactor->dirty = due;
	return due;
}

/* Some thread, or the host loop, has been told to look, and none has yet. */
static bool is_told(const struct asynctimer_reactor *reactor)
{
	bool told = reactor->woken;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		told |= asynctimer__pair_is_early(&reactor->shared[i]);
	return told;
}

/* In a little while, by a pair that is open; now if there is none. */
static void tell_soon(struct asynctimer_reactor *reactor)
{
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		if (reactor->shared[i].pair.is_open) {
			asynctimer__pair_arm_early(&reactor->shared[i]);
			return;
		}
	asynctimer__tell_now(reactor);
}

/* The calling thread goes into a callback, but others wait or poll. */
static void unlock_for_callback(struct asynctimer_reactor *reactor)
{
	if (reactor->dirty && !is_told(reactor) && settle(reactor) &&
	    !asynctimer__is_stopped(reactor))
		tell_soon(reactor);
}

/* The calling thread is not in run or dispatch, or leaves it. What a stopped reactor leaves its restart tells. */
static void unlock_outside(struct asynctimer_reactor *reactor)
{
	if (reactor->dirty && settle(reactor) && !asynctimer__is_stopped(reactor))
		asynctimer__tell_now(reactor);
}

/* call: the thread's, or NULL where that is not at hand. */
static bool is_dispatching(const struct asynctimer_reactor *reactor, const struct call *call)
{
	return (call && call->dispatches) || asynctimer__is_dispatching(reactor);
}

/* Something is dirty. Those have to know of it that wait or poll while the thread is in a callback, or all, if it leaves. */
static inline void tell(struct asynctimer_reactor *reactor, const struct call *call)
{
	bool inside;

	/* The thread that spins looks at everything at once, and does what is left to do. */
	if (reactor->spins_for) {
		__atomic_store_n(&reactor->spin_ends, 1, __ATOMIC_RELAXED);
		return;
	}
	inside = is_dispatching(reactor, call);
	if (inside && !reactor->waiting && !reactor->polled)
		return;
	if (inside)
		unlock_for_callback(reactor);
	else
		unlock_outside(reactor);
	/* Who has read of it may not come back soon. */
	if (reactor->retry)
		asynctimer__tell_now(reactor);
}

unsigned asynctimer__unlock(struct asynctimer_reactor *reactor, bool waits)
{
	struct garbage garbage = reactor->garbage;
	unsigned due = 0;

	if (waits) {
		due = reactor->dirty ? settle(reactor) : 0;
		reactor->waiting += due == 0;
	} else if (reactor->dirty | reactor->retry) {
		tell(reactor, NULL);
	}
	reactor->garbage = (struct garbage){ NULL };
	let_go(reactor);
	/* From here on the reactor may be gone. */
	asynctimer__garbage_free(garbage);
	return due;
}

void asynctimer__unlock_in(struct asynctimer_reactor *reactor, const struct call *call)
{
	if (reactor->dirty | reactor->retry)
		tell(reactor, call);
	let_go(reactor);
}

void asynctimer__unlock_to_spin(struct asynctimer_reactor *reactor, const struct shared *shared,
				uint64_t until_ns)
{
	reactor->spins_for = shared;
	reactor->spins_until_ns = until_ns;
	__atomic_store_n(&reactor->spin_ends, 0, __ATOMIC_RELAXED);
	let_go(reactor);
}

void asynctimer__call_begin(struct call *call, struct asynctimer_reactor *reactor)
{
	*call = (struct call){ .reactor = reactor, .next = reactor->calls };
	reactor->calls = call;
	reactor->inside++;
	asynctimer__call_push(call);
}

void asynctimer__call_end(struct call *call)
{
	struct asynctimer_reactor *reactor = call->reactor;
	struct call **link;

	if (call->forked) {
		asynctimer__call_pop(call);
	} else {
		for (link = &reactor->calls; *link != call;)
			link = &(*link)->next;
		*link = call->next;
		reactor->inside--;
		asynctimer__call_pop(call);
		asynctimer__unlock(reactor, false);
	}
	asynctimer__call_restore(call);
}
