/* SPDX-License-Identifier: MIT */
/* Which thread is inside which reactor, and which waits for which. */
#ifndef ASYNCTIMER_THREAD_H
#define ASYNCTIMER_THREAD_H

#include <stdbool.h>
#include <stdint.h>

struct asynctimer;
struct asynctimer_reactor;

/* A thread inside run, dispatch, advance or complete; on its stack. */
struct frame {
	struct asynctimer_reactor *reactor;	/* NULL once a forked child freed it in a callback */
	struct asynctimer *timer;		/* whose callback or handler it is in, or NULL */
	uint64_t run;				/* reactor->runs when that began */
	uint64_t begun_ns;			/* the callback of its tick */
	const void *thread;
	struct frame *outer;			/* of this thread */
	struct frame *next;			/* of the reactor */
	int result;				/* of the asynctimer_complete that came before the callback returned */
	int cancel_state;
	bool dispatches;			/* and so settles the reactor before it waits or leaves */
};

/* A stop that waits for a thread; on its stack until that thread's callback has ended. */
struct wait {
	const struct asynctimer *timer;
	const void *waiter;
	const void *runner;
	struct wait *next;
};

/* Call once before any wait: 0, -ENOMEM, or -EOPNOTSUPP where a fork's child can't be told. */
int asynctimer__waits_init(void);

/* A page that reads 0 in a forked child and is zero here: in *ret. Errors as above. */
int asynctimer__new_forgotten_page(void **ret);

/* The calling thread: compared, never followed. */
const void *asynctimer__this_thread(void);


/* Pushes a frame on the calling thread's stack of them; it must be popped before those below. */
void asynctimer__thread_enters(struct frame *frame);
void asynctimer__thread_leaves(struct frame *frame);

/* The calling thread is inside the reactor; inside it and dispatching; in the timer's callback or handler. */
bool asynctimer__is_inside(const struct asynctimer_reactor *reactor);
bool asynctimer__is_dispatching(const struct asynctimer_reactor *reactor);
bool asynctimer__is_running(const struct asynctimer *timer);

/* The calling thread, a forked child's, freed the reactor. */
void asynctimer__frames_forget(const struct asynctimer_reactor *reactor);

/* Enters that this thread waits for runner to leave timer's callback: 0, or -EDEADLK if runner waits for it. */
int asynctimer__wait_enter(struct wait *wait, const struct asynctimer *timer, const void *runner);

/* timer's callback has ended: nobody waits for it any more. */
void asynctimer__waits_end(const struct asynctimer *timer);

#endif
