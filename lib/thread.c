/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "thread.h"

static __thread struct frame *innermost;

/*
 * Who waits for whom, through all reactors of the process. A thread waits in
 * one place at a time, and none enters that would close a circle.
 */
static pthread_mutex_t waits_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wait *waits;
static pid_t waits_pid;

const void *asynctimer__this_thread(void)
{
	return &innermost;
}

void asynctimer__frame_push(struct frame *frame, struct asynctimer_reactor *reactor)
{
	*frame = (struct frame){
		.reactor = reactor,
		.thread = asynctimer__this_thread(),
		.outer = innermost,
	};
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &frame->cancel_state);
	innermost = frame;
}

void asynctimer__frame_pop(struct frame *frame)
{
	innermost = frame->outer;
	pthread_setcancelstate(frame->cancel_state, NULL);
}

bool asynctimer__is_inside(const struct asynctimer_reactor *reactor)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->reactor == reactor)
			return true;
	return false;
}

bool asynctimer__is_running(const struct asynctimer *timer)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->timer == timer)
			return true;
	return false;
}

void asynctimer__frames_forget(const struct asynctimer_reactor *reactor)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->reactor == reactor) {
			frame->reactor = NULL;
			frame->timer = NULL;
		}
}

static const struct wait *find(const void *waiter)
{
	for (const struct wait *wait = waits; wait; wait = wait->next)
		if (wait->waiter == waiter)
			return wait;
	return NULL;
}

int asynctimer__wait_enter(struct wait *wait, const struct asynctimer *timer, const void *runner)
{
	const struct wait *onward;
	int r = 0;

	*wait = (struct wait){
		.timer = timer, .waiter = asynctimer__this_thread(), .runner = runner
	};
	pthread_mutex_lock(&waits_lock);
	if (waits_pid != getpid()) {
		/* The first wait in a forked child: the threads that waited are not in it. */
		waits_pid = getpid();
		waits = NULL;
	}
	for (onward = find(runner); onward && onward->runner != wait->waiter;)
		onward = find(onward->runner);
	if (onward) {
		r = -EDEADLK;
	} else {
		wait->next = waits;
		waits = wait;
	}
	pthread_mutex_unlock(&waits_lock);
	return r;
}

void asynctimer__waits_end(const struct asynctimer *timer)
{
	pthread_mutex_lock(&waits_lock);
	for (struct wait **link = &waits; *link;)
		if ((*link)->timer == timer)
			*link = (*link)->next;
		else
			link = &(*link)->next;
	pthread_mutex_unlock(&waits_lock);
}
