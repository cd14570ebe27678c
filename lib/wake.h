/* SPDX-License-Identifier: MIT */
/* The reactor's eventfd: what makes a thread, or the host loop, look again. */
#ifndef ASYNCTIMER_WAKE_H
#define ASYNCTIMER_WAKE_H

#include <errno.h>
#include <unistd.h>

#include "internal.h"

/* False if it could not be made readable, or the reactor is virtual. Async-signal-safe, and no cancellation point. */
static inline bool asynctimer__wake(const struct asynctimer_reactor *reactor)
{
	uint64_t one = 1;
	int cancel_state;
	bool readable;
	ssize_t r;

	if (reactor->virtual)
		return false;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	do
		r = write(reactor->event_fd, &one, sizeof(one));
	while (r < 0 && errno == EINTR);
	readable = r >= 0 || errno == EAGAIN;	/* as it is already */
	pthread_setcancelstate(cancel_state, NULL);
	return readable;
}

/* Somebody shall look again, at once. */
static inline void asynctimer__tell_now(struct asynctimer_reactor *reactor)
{
	if (!reactor->woken)
		reactor->woken = asynctimer__wake(reactor);
}

/*
 * A system call failed that a timer needs. The next turn of some thread tries
 * again and waits a little; the descriptor is readable, so that there is one.
 */
static inline void asynctimer__retry(struct asynctimer_reactor *reactor)
{
	reactor->retry = true;
	asynctimer__tell_now(reactor);
}

static inline bool asynctimer__is_stopped(const struct asynctimer_reactor *reactor)
{
	return __atomic_load_n(&reactor->stopped, __ATOMIC_SEQ_CST);
}

#endif
