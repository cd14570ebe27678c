/* SPDX-License-Identifier: MIT */
/* Which thread is inside which reactor, and which waits for which. */
#ifndef ASYNCTIMER_CALL_H
#define ASYNCTIMER_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "lag.h"

struct asynctimer;
struct asynctimer_reactor;

/* A thread's call of run, dispatch, advance or complete, while it is inside; on its stack. */
struct call {
	struct asynctimer_reactor *reactor;	/* NULL once a forked child freed it in a callback */
	struct asynctimer *timer;		/* whose callback or handler it is in, or NULL */
	uint64_t callback_seq;			/* reactor->callback_seq when that began */
	uint64_t begun_ns;			/* and its clock then */
	const void *thread;
	struct call *outer;			/* the one that this thread was in before */
	struct call *next;			/* on reactor->calls */
	int result;				/* of the asynctimer_complete that came before the callback returned */
	int cancel_state;
	bool dispatches;			/* run, dispatch or advance: it looks at what is due before it waits or leaves */
	bool wakeup_counted;			/* in the reactor's statistics */
	struct lag lag;				/* if it dispatches */
	bool forked;				/* this is a child that was forked inside: the lock is not held, all there is is the parent's */
};

/*
 * A thread that waits: a stop for the thread that runs a timer's callback, a
 * shutdown for all threads that run callbacks of a reactor. It is on the waiting
 * thread's stack, until what that waits for has ended.
 */
struct wait {
	const void *target;		/* the timer or reactor */
	const void *runner;		/* of the timer's callback; NULL: target is a reactor */
	const void *waiter;
	const struct call *calls;	/* of the waiter, the innermost first: it is in their callbacks */
	struct wait *next;
	bool reached;
};

/* Call once before any wait: 0, -ENOMEM, or -EOPNOTSUPP where a fork's child can't be told. */
int asynctimer__waits_init(void);

/* A page that reads 0 in a forked child and is zero here: in *ret. Errors as above. */
int asynctimer__new_forgotten_page(void **ret);

/* The calling thread: compared, never followed. */
const void *asynctimer__this_thread(void);

/* The same, and no other thread ever has that number: from 1. */
uint64_t asynctimer__thread_number(void);

/*
 * Pushes a call on the calling thread's stack of them, and disables the
 * thread's cancellation; pops it, which must be the last one pushed; and, when
 * the lock is given up too, lets cancellation be as it was.
 */
void asynctimer__call_push(struct call *call);
void asynctimer__call_pop(struct call *call);
void asynctimer__call_restore(struct call *call);

/* After the user's code, which may have enabled it: the thread has to come out of the library. */
void asynctimer__call_disable_cancellation(void);

/* The calling thread is inside the reactor; inside it and dispatching; in the timer's callback or handler. */
bool asynctimer__is_inside(const struct asynctimer_reactor *reactor);
bool asynctimer__is_dispatching(const struct asynctimer_reactor *reactor);
bool asynctimer__is_running(const struct asynctimer *timer);

/* The calling thread, a forked child's, freed the reactor. */
void asynctimer__calls_forget(const struct asynctimer_reactor *reactor);

/*
 * Enters that this thread waits for target: for runner to leave a timer's
 * callback, or, if that is NULL, for all callbacks of a reactor. 0; -EDEADLK if one
 * of those threads waits for this one.
 */
int asynctimer__wait_enter(struct wait *wait, const void *target, const void *runner);

/* What waits for the timer target waits no more: its callback has ended. */
void asynctimer__waits_end(const void *target);

/* This thread waits no more, whether or not that has ended. */
void asynctimer__wait_leave(const struct wait *wait);

#endif
