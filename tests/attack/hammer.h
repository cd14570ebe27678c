/* SPDX-License-Identifier: MIT */
/*
 * One race, tried over and over: threads that act against each other once a
 * trial, and pause at random at the library's test points.
 */
#ifndef HAMMER_H
#define HAMMER_H

#include "internal.h"
#include "util.h"

#define OUTCOMES 4

struct hammer {
	const char *name;
	const char *outcomes[OUTCOMES];	/* all legal ones; each must come up */
	unsigned (*trial)(void);	/* which of them it was */
	void (*opponent)(void);		/* against it, in other threads: from engage */
	unsigned opponents;		/* so many; to disengage */
	unsigned pollers;		/* that dispatch and never wait: no wake-up is late */
	unsigned runners;		/* in asynctimer_reactor_run */
	void (*observe)(enum asynctimer__test_point point, struct asynctimer *timer);
};

/*
 * ASYNCTIMER_TRIALS trials, or a second's fraction of them, from the seed
 * ASYNCTIMER_SEED. Prints trials, violations and outcomes, appends a line to
 * the file ASYNCTIMER_TABLE, and fails for a violation or a missing outcome.
 */
void hammer_run(const struct hammer *hammer);

void engage(void);
void disengage(void);

/* A guarantee was broken in this trial. Any thread may say so. */
void violation(const char *what);

/* Of the calling thread's own sequence: below bound. */
unsigned any(unsigned bound);

/* Most often nothing, else up to some microseconds, or another thread's turn. */
void hesitate(void);

/* What never comes is a violation that ends the test. */
#define eventually(condition)                                                                      \
	do {                                                                                       \
		for (unsigned spins_ = 1; !(condition); spins_++)                                  \
			eventually_at(spins_, #condition);                                         \
	} while (0)
void eventually_at(unsigned spins, const char *what);

#endif
