/* SPDX-License-Identifier: MIT */
/* The reactor's eventfd: what makes a thread, or the host loop, look again. */
#ifndef ASYNCTIMER_WAKE_H
#define ASYNCTIMER_WAKE_H

#include <unistd.h>

#include "internal.h"

/* Readable already is as good, so EAGAIN is. Async-signal-safe. */
static inline void asynctimer__wake(const struct asynctimer_reactor *reactor)
{
	uint64_t one = 1;
	ssize_t r = write(reactor->event_fd, &one, sizeof(one));

	(void)r;
}

/* A system call failed that a timer needs: the next thread that settles the reactor tries again. */
static inline void asynctimer__retry(struct asynctimer_reactor *reactor)
{
	reactor->retry = true;
	asynctimer__wake(reactor);
}

static inline bool asynctimer__is_stopped(const struct asynctimer_reactor *reactor)
{
	return __atomic_load_n(&reactor->stopped, __ATOMIC_SEQ_CST);
}

#endif
