/* SPDX-License-Identifier: MIT */
/* Which thread is inside which reactor, and which waits for which. */
#ifndef ASYNCTIMER_THREAD_H
#define ASYNCTIMER_THREAD_H

#include <stdbool.h>

struct asynctimer;
struct asynctimer_reactor;

/* A thread inside run, dispatch or complete; on its stack. */
struct frame {
	struct asynctimer_reactor *reactor;	/* NULL once a forked child freed it in a callback */
	struct asynctimer *timer;		/* whose callback or handler it is in, or NULL */
	const void *thread;
	struct frame *outer;
	int cancel_state;
};

/* A stop that waits for a thread; on its stack until that thread's callback has ended. */
struct wait {
	const struct asynctimer *timer;
	const void *waiter;
	const void *runner;
	struct wait *next;
};

/* The calling thread: compared, never followed. */
const void *asynctimer__this_thread(void);

/* Pushes a frame, with cancellation disabled until it is popped. */
void asynctimer__frame_push(struct frame *frame, struct asynctimer_reactor *reactor);
void asynctimer__frame_pop(struct frame *frame);

/* The calling thread is inside the reactor; inside the timer's callback or handler. */
bool asynctimer__is_inside(const struct asynctimer_reactor *reactor);
bool asynctimer__is_running(const struct asynctimer *timer);

/* The calling thread, a forked child's, freed the reactor. */
void asynctimer__frames_forget(const struct asynctimer_reactor *reactor);

/* Enters that this thread waits for runner to leave timer's callback: 0, or -EDEADLK if runner waits for it. */
int asynctimer__wait_enter(struct wait *wait, const struct asynctimer *timer, const void *runner);

/* timer's callback has ended: nobody waits for it any more. */
void asynctimer__waits_end(const struct asynctimer *timer);

#endif
