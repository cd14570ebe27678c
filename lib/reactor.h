/* SPDX-License-Identifier: MIT */
/* What reactors of both kinds, on real and on virtual clocks, do alike. */
#ifndef ASYNCTIMER_REACTOR_H
#define ASYNCTIMER_REACTOR_H

#include "internal.h"

/*
 * The calling thread comes inside, to dispatch, and takes the lock: 0; -EINVAL
 * without a reactor; -ECHILD in a forked child; -EOPNOTSUPP if it is not of that
 * kind; -EBUSY while it is being freed, or if the thread is inside already.
 */
int asynctimer__reactor_enter(struct asynctimer_reactor *reactor, bool virtual, struct call *call);

/*
 * Calls each, with data, for every timer of the reactor, those freed included
 * while something needs their memory. The caller holds the lock, or is alone.
 */
void asynctimer__each_timer(struct asynctimer_reactor *reactor,
			    void (*each)(struct asynctimer *timer, void *data), void *data);

/* Its last call left what explains the lateness of now, where a host loop is around dispatch. */
void asynctimer__reactor_remember(struct call *call);

/* And leaves it, as asynctimer__call_end does. */
void asynctimer__reactor_leave(struct call *call);

#endif
