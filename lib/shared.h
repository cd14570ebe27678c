/* SPDX-License-Identifier: MIT */
/* Any number of timers, and the order in which they want to be woken up. */
#ifndef ASYNCTIMER_SHARED_H
#define ASYNCTIMER_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "pair.h"
#include "queue.h"

struct asynctimer;
struct asynctimer_reactor;

#define ASYNCTIMER__CLOCKS 3
#define ASYNCTIMER__ALL_CLOCKS ((1U << ASYNCTIMER__CLOCKS) - 1)
#define ASYNCTIMER__OWN (1U << ASYNCTIMER__CLOCKS)	/* beside the bits of the clocks: own timers that are due */

/* The shared timers of one clock, in groups of equal slack; of a virtual reactor its own ones too, without a pair. */
struct shared {
	struct asynctimer_reactor *reactor;
	struct slack_group *group;	/* a list of all */
	struct slack_group *exact;	/* that without slack, or NULL */
	void *by_slack;			/* and the tree: tsearch(3) */
	struct queue by_due;		/* while there are several groups: by their first timers' due times */
	struct queue by_wake;		/* and by when those want to wake up, but for */
	struct slack_group *stale;	/* a list of those that have to be put there anew */
	struct pair pair;
	uint32_t groups;
	int clock;
};

extern const struct backing asynctimer__shared;

/* A timer that is not started, at *ret. 0 or a negative errno. */
int asynctimer__shared_acquire(struct shared *shared, uint64_t slack_ns, struct asynctimer **ret);

/* The earliest due timer's node, or NULL. */
const struct node *asynctimer__shared_first(const struct shared *shared);

/* Takes the earliest timer that is due at until_ns; NULL if there is none. */
struct asynctimer *asynctimer__shared_take(struct shared *shared, uint64_t until_ns);

/* When the next wake-up is; NEVER if no timer waits for one. */
uint64_t asynctimer__shared_wake_ns(struct shared *shared);

/*
 * The wake-up after that, if there is a next one, as far as it can be known: the first
 * timer's next may be it. NEVER where there is slack, for then it cannot be: the first
 * runs all that is due by then, and a wake-up for what is second now would split that.
 */
uint64_t asynctimer__shared_second_ns(struct shared *shared);

/* When the first timer without slack is due; NEVER if there is none. */
uint64_t asynctimer__shared_exact_ns(const struct shared *shared);

/* The clock, CLOCK_REALTIME, was set and shows now_ns. */
void asynctimer__shared_clock_set(struct shared *shared, uint64_t now_ns);

/* Of a reactor that is being freed. */
void asynctimer__shared_free(struct shared *shared);

#ifdef ASYNCTIMER_TEST_POINTS
/* What holds whenever the lock is given up; of many groups it looks at some. */
void asynctimer__shared_assert(const struct shared *shared);
#endif

#endif
