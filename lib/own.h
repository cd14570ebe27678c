/* SPDX-License-Identifier: MIT */
/* A timer on a timerfd of its own. */
#ifndef ASYNCTIMER_OWN_H
#define ASYNCTIMER_OWN_H

#include "internal.h"

extern const struct backing asynctimer__own;

/* A timer that is not started, at *ret. 0 or a negative errno. */
int asynctimer__own_acquire(struct base *base, struct asynctimer **ret);
/* epoll reported id. */
void asynctimer__own_event(struct asynctimer_reactor *reactor, uint64_t id);

/* Whatever epoll reported may have been lost: looks at all started timers as if they had been reported. */
void asynctimer__own_look_at_all(struct asynctimer_reactor *reactor);

/*
 * Takes the first timer of those that are due, whose tick can be claimed, at
 * *now_ns, with a grid that has come to *reached_ns; NULL if there is none.
 * Looks at *left of them at the most, and counts those down.
 */
struct asynctimer *asynctimer__own_take(struct asynctimer_reactor *reactor, unsigned *left,
					uint64_t *reached_ns, uint64_t *now_ns);

/* Arms what could not be armed, or asks for another try. */
void asynctimer__own_retry(struct asynctimer_reactor *reactor);

/* Calls each, with data, for every own timer. It may release that. */
void asynctimer__own_each(struct asynctimer_reactor *reactor,
			  void (*each)(struct asynctimer *timer, void *data), void *data);

#endif
