/* SPDX-License-Identifier: MIT */
/* What the test build has and a release has not: assertions, and points where tests make a thread pause. */
#ifndef ASYNCTIMER_TEST_H
#define ASYNCTIMER_TEST_H

struct asynctimer;

/* At those marked * the thread has the lock. */
enum asynctimer__test_point {
	ASYNCTIMER__ENTERS,		/* a function of the timer is about to take the lock */
	ASYNCTIMER__WAITS,		/* a dispatching thread is about to wait; no timer */
	ASYNCTIMER__SPINS,		/* it is about to poll the clock; no timer */
	ASYNCTIMER__HARVESTED,		/* it has events, of which it may run some; no timer */
	ASYNCTIMER__TAKES_WAKE,		/* * it is about to read the eventfd; no timer */
	ASYNCTIMER__TOOK_WAKE,		/* * and has; no timer */
	ASYNCTIMER__DUE,		/* * a tick is due and about to be claimed */
	ASYNCTIMER__CLAIMED,		/* a tick is claimed, its callback not yet called */
	ASYNCTIMER__RETURNED,		/* the callback has returned, the tick is not yet finished */
	ASYNCTIMER__HANDLED,		/* the same of the error handler */
	ASYNCTIMER__STOP_WAITS,		/* * a stop is about to wait */
	ASYNCTIMER__STOP_WAITED,	/* * and has */
	ASYNCTIMER__COMPLETES,		/* * asynctimer_complete has yet to look at the tick */
	ASYNCTIMER__LETS_GO,		/* done with a timer, which may be gone; no timer */
	ASYNCTIMER__REACTOR_STOPS,	/* stopped, with the eventfd not yet written; no timer */
};

extern void (*asynctimer__test_hook)(enum asynctimer__test_point point, struct asynctimer *timer);

/* How often an own timer's expiration count was behind the clock, ahead of it or the same: at claims, and at completions. */
struct asynctimer__compared {
	unsigned behind, ahead, same;
};
extern struct asynctimer__compared asynctimer__compared[2];

#ifdef ASYNCTIMER_TEST_POINTS
#include <stdio.h>
#include <stdlib.h>

#define TEST_POINT(point, timer)                                                                   \
	do {                                                                                       \
		if (asynctimer__test_hook)                                                         \
			asynctimer__test_hook(ASYNCTIMER__##point, (struct asynctimer *)(timer));  \
	} while (0)

/* Not <assert.h>: its failure takes locks, and NDEBUG is the user's to define. */
#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)
#else
#define TEST_POINT(point, timer) ((void)0)
#define ASSERT(condition) ((void)0)
#endif

#endif
