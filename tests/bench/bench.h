/* SPDX-License-Identifier: MIT */
/*
 * The work that every library is given, and what is measured of it.
 *
 * A program does one run: it forks, the child sets up the timers and runs the
 * library's loop for ever, the parent watches it from outside through shared
 * memory, /proc and its CPU clock. So no run needs a thread, a signal or a
 * timer that the work itself does not have.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

#define MAX_THREADS 4
#define NOTED 1000		/* callbacks, of the first when they ran */
#define BUCKETS 2048

/* What the user of a timer has: its own few bytes, somewhere in memory. */
struct record {
	uint64_t anchor_ns;	/* first due, on CLOCK_MONOTONIC */
	uint64_t interval_ns;
	uint64_t due_ns;	/* for libraries that must be armed again at each tick */
	uint64_t last;		/* grid point of the last tick observed, counted from 1 at the anchor */
	uint64_t last_ns;	/* when that was */
	void *handle;		/* of a library that allocates its timers itself */
};

/* A library whose timers live in the user's memory has them right behind the record. */
static inline void *behind(struct record *record)
{
	return record + 1;
}

static inline struct record *record_of(void *timer)
{
	return (struct record *)timer - 1;
}

struct peer {
	const char *name;
	size_t size;		/* of the timer behind the record */
	uint64_t unit_ns;	/* what anchors and intervals are rounded up to */
	uint64_t early_from_ns;	/* counts as early; 0: 1 us, which microseconds and doubles may lose */
	unsigned max_timers;	/* 0: as many as there is memory */
	unsigned threads;	/* 0: the one */
	int needs_descriptors;	/* one a timer */
	void (*open)(void);	/* or NULL */
	void (*add)(struct record *record);	/* made and started */
	void (*restart)(struct record *record);	/* stop and start anew, one interval from now; or NULL */
	void (*again)(struct record *record);	/* due one interval from now, by one call; or NULL */
	void (*run)(void);			/* for ever */
};

struct slot {
	volatile uint64_t ticks;
	uint64_t delivered, skipped, early, extra, max_ns;
	uint64_t waited_ns;	/* the longest that a grid point waited for the next callback */
	uint64_t histogram[BUCKETS];
} __attribute__((aligned(128)));

enum { COUNT, OBSERVE, NOTE, STALL, SERVE, END };

struct bench {
	volatile int work;		/* what a tick does beside being counted */
	volatile int ready;
	uint64_t base_ns, early_from_ns;
	uint64_t rss_before, malloced;
	double least_wakeups;
	volatile uint64_t restarts;
	uint64_t end_ticks;		/* after which END ends the program */
	uint64_t times[NOTED];
	struct slot slots[MAX_THREADS];
};

extern struct bench *bench;
extern const struct peer *bench_peer;
extern uint64_t bench_slack_ns;
extern __thread struct slot *bench_slot;

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void bench_look(struct record *record);

/* Every callback is this. While CPU time is measured it only counts. */
static inline void bench_tick(struct record *record)
{
	bench_slot->ticks++;
	if (bench->work != COUNT)
		bench_look(record);
}

/* The next due point after that of the tick being run, later than now (the loop's cached one). */
static inline uint64_t bench_next_due(struct record *record, uint64_t now)
{
	record->due_ns += record->interval_ns;
	if (record->due_ns <= now)
		record->due_ns += ((now - record->due_ns) / record->interval_ns + 1) * record->interval_ns;
	return record->due_ns;
}

int bench_main(int argc, char **argv, const struct peer *peers, size_t count);
#define BENCH_MAIN(peers)                                                                          \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return bench_main(argc, argv, peers, sizeof(peers) / sizeof(*(peers)));            \
	}

/* Ends the program: with what and errno if something is wrong (a negative errno, or -1). */
int must(int r, const char *what);

/* Ends the program with 77: this library cannot do the case. */
_Noreturn void cannot(const char *why);

#endif
