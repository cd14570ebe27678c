/* SPDX-License-Identifier: MIT */
/*
 * One race, tried over and over: threads that act against each other once a
 * trial, and pause at random at the library's test points.
 *
 * A thread that waits for another one polls: to put it to sleep and wake it up
 * takes longer than a trial. Where there are fewer processors than threads it
 * hands its own over instead.
 */
#ifndef HAMMER_H
#define HAMMER_H

#include "internal.h"
#include "util.h"

#define OUTCOMES 4

/* What threads tell each other. */
#define get(variable) __atomic_load_n(&(variable), __ATOMIC_SEQ_CST)
#define set(variable, value) __atomic_store_n(&(variable), (value), __ATOMIC_SEQ_CST)
#define add(variable) __atomic_add_fetch(&(variable), 1, __ATOMIC_SEQ_CST)
#define subtract(variable) __atomic_sub_fetch(&(variable), 1, __ATOMIC_SEQ_CST)

struct hammer {
	const char *name;
	const char *outcomes[OUTCOMES];	/* all legal ones; each must come up */
	unsigned (*trial)(void);	/* which of them it was */
	void (*opponent)(void);		/* against it, in other threads: from engage */
	unsigned opponents;		/* so many; to disengage */
	bool opponents_poll;		/* all the time that they are not engaged, as pollers do */
	unsigned pollers;		/* that dispatch and never wait: no wake-up is late */
	unsigned runners;		/* in asynctimer_reactor_run */
	int policy;			/* of the timer that it is about */
	void (*observe)(enum asynctimer__test_point point, struct asynctimer *timer);
};

/*
 * ASYNCTIMER_TRIALS trials, a tenth of them where more than two threads take
 * part, or a second's fraction of them, from the seed ASYNCTIMER_SEED. Prints
 * trials, time, violations and outcomes, appends a line to the file
 * ASYNCTIMER_TABLE, and fails for a violation or a missing outcome.
 */
void hammer_run(const struct hammer *hammer);

void engage(void);
void disengage(void);

/* There is no next trial: what one would end has to end without it. */
bool is_over(void);

/* A guarantee was broken in this trial. Any thread may say so. */
void violation(const char *what);

/* Of the calling thread's own sequence: below bound. */
unsigned any(unsigned bound);

/* Most often nothing, else up to some microseconds, or another thread's turn. */
void hesitate(void);

/* What a thread does that has found for the spins-th time, from 1 on, that it has to wait. */
void relax(unsigned spins);

/* Some microseconds, or some turns of the other threads: it need not come. */
#define briefly(condition)                                                                         \
	do {                                                                                       \
		for (unsigned spins_ = 1; spins_ < 512 && !(condition); spins_++)                  \
			relax(spins_);                                                             \
	} while (0)

/* What never comes is a violation that ends the test. */
#define eventually(condition)                                                                      \
	do {                                                                                       \
		for (unsigned spins_ = 1; !(condition); spins_++)                                  \
			eventually_at(spins_, #condition);                                         \
	} while (0)
void eventually_at(unsigned spins, const char *what);

#endif
