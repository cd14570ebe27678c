/* SPDX-License-Identifier: MIT */
/*
 * A timer that is watched where Check can't follow: in other processes, and by
 * the thousand. What is wrong is counted, the first of it named.
 */
#ifndef WITNESS_H
#define WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "asynctimer.h"

struct witness {
	struct asynctimer *timer;
	uint64_t interval_ns;
	int clock;
	int policy;
	uint64_t began_ns[2];		/* readings before and after its start */
	uint64_t first_due_ns;		/* of the grid, from its first tick */
	bool restarted;			/* set while stopped, or in its callback: the next due may be anywhere */
	bool inside;			/* atomic: a tick is open */
	struct asynctimer_tick last;
	uint64_t ended_ns;		/* its completion is no earlier */
	uint64_t callbacks;
	uint64_t skipped_busy;
	uint64_t skipped_late;
	uint64_t early;
	uint64_t broken;
	const char *what;		/* the first that was */
};

/* Notes that something was wrong. */
void witness_broken(struct witness *witness, const char *what);

/* For its callback to begin with, and, by whoever completes the tick, just before that. */
void witness_begin(struct witness *witness, const struct asynctimer_tick *tick);
void witness_end(struct witness *witness);

/* A callback of that alone; data is the witness. */
int witness_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data);

/* Starts it for the first time. */
int witness_start(struct witness *witness);

/* Every tick due at until_ns was delivered, and what was skipped has been reported. */
bool witness_caught_up(const struct witness *witness, uint64_t until_ns);

/* Caught up: compares its counts with the timer's and with the grid. */
void witness_balance(struct witness *witness);

uint64_t witness_now_ns(int clock);

/* Appends a line to the file named by ASYNCTIMER_TABLE, if that is set. */
void table_add(const char *family, const char *name, uint64_t count, uint64_t violations);

#endif
