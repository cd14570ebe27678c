/* SPDX-License-Identifier: MIT */
#ifndef ASYNCTIMER_TICK_H
#define ASYNCTIMER_TICK_H

#include "internal.h"

/*
 * Claims the tick that is due at *now_ns, with a grid that has come to
 * reached_ns, calls the callback, and completes the tick unless it is deferred.
 * *now_ns is then the reading it ended with. The caller holds the lock, and
 * still holds it afterwards unless call->forked.
 */
void asynctimer__tick_run(struct asynctimer *timer, struct call *call, uint64_t reached_ns,
			  uint64_t *now_ns);

/* asynctimer_complete, with the lock held, which it gives up. */
int asynctimer__tick_complete(struct asynctimer *timer, uint64_t number, int result);

/* The callback or error handler of the timer runs in another thread. */
bool asynctimer__tick_runs_elsewhere(const struct asynctimer *timer);

/*
 * The same, and the calling thread shall wait for its end: 0, or -EDEADLK if
 * the other waits for this one. wait is the caller's until then.
 */
int asynctimer__tick_enter_wait(struct asynctimer *timer, struct wait *wait);

/* Waits. The lock is given up meanwhile; afterwards life_unlock, for the timer may have been freed. */
void asynctimer__tick_await_end(struct asynctimer *timer);

#endif
