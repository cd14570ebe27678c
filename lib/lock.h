/* SPDX-License-Identifier: MIT */
/* The reactor's lock: how it is taken, and the one way to give it up. */
#ifndef ASYNCTIMER_LOCK_H
#define ASYNCTIMER_LOCK_H

#include "internal.h"

/* Takes the lock: 0; -EINVAL without a reactor; -ECHILD in a forked child, where nobody may take it. */
int asynctimer__lock(struct asynctimer_reactor *reactor);

/*
 * The thread of call comes back from the user's code and takes the lock again.
 * False, without the lock, in a forked child; call->forked says so from then on.
 */
bool asynctimer__relock(struct asynctimer_reactor *reactor, struct call *call);

/*
 * Gives the lock up, as do the functions below. Before it does, it
 * arms what has to be armed, and tells whoever has to be told.
 *
 * waits: the thread is going to wait for an event. It is then counted as waiting
 * and 0 is returned; or, as bits, which clocks and own timers have something due
 * already, and it shall not wait.
 */
unsigned asynctimer__unlock(struct asynctimer_reactor *reactor, bool waits);

/* The same before the user's code, by the thread of call, of which more is known: each tick does this. */
void asynctimer__unlock_in(struct asynctimer_reactor *reactor, const struct call *call);

/*
 * The same before a thread polls shared's clock, up to until_ns, without the lock. It looks at all
 * there is when it has the lock again, so nothing is armed, and nobody told.
 */
void asynctimer__unlock_to_spin(struct asynctimer_reactor *reactor, const struct shared *shared,
				uint64_t until_ns);

/*
 * Waits on the reactor's condition, until CLOCK_MONOTONIC shows until_ns at most
 * (NEVER: without limit), without the lock meanwhile. What is dirty is for others
 * to see to.
 */
void asynctimer__lock_wait(struct asynctimer_reactor *reactor, uint64_t until_ns);

/*
 * The calling thread, which holds the lock, comes inside the reactor; and leaves
 * it, which gives the lock up, unless call->forked says that it is not held.
 */
void asynctimer__call_begin(struct call *call, struct asynctimer_reactor *reactor);
void asynctimer__call_end(struct call *call);

#ifdef ASYNCTIMER_TEST_POINTS
static inline bool asynctimer__is_locked(const struct asynctimer_reactor *reactor)
{
	return reactor->lock_owner == asynctimer__this_thread();
}
#endif

#endif
