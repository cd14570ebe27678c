/* SPDX-License-Identifier: MIT */
#ifndef PROBE_H
#define PROBE_H

#include "util.h"

/*
 * A watched timer that also checks, at each tick, that what was missed since
 * the last one is told apart as promised: busy up to the completion, late from
 * there. The completion lies between two readings: the last one in the
 * callback and the first one after it, wherever that is taken.
 */
struct probe {
	struct watched watched;
	struct asynctimer_tick tick;	/* the last one */
	uint64_t interval_ns;
	uint64_t ended_ns, after_ns;	/* around its completion; after_ns 0: no reading yet */
	uint64_t busy, late;		/* in all */
	int policy;
	uint64_t lateness_sum_ns, lateness_max_ns;
	uint64_t duration_low_ns, duration_high_ns;
	int (*act)(struct probe *probe);
	struct probe *next;
};

extern struct probe probed;	/* for the tests that need only one */

struct asynctimer *probe_new(struct probe *probe, int clock, uint64_t interval_ns, int policy);

/* Starts it: the anchor, which is now. */
uint64_t start(struct probe *probe);

/* For callbacks of others: probes that have ended take their second reading, if it is to come. */
void look_at_the_clock(void);

/* Dispatches once; until that callback; until that time. */
void turn(int64_t timeout_ns);
void run_callbacks(struct probe *probe, unsigned callbacks);
void run_until(uint64_t until_ns);

struct asynctimer_stats stats_of(const struct probe *probe);

/* With no tick open. */
void expect_consistent_stats(struct probe *probe);

#endif
