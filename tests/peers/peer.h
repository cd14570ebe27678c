/* SPDX-License-Identifier: MIT */
/*
 * What the scenes ask of a library: one loop per thread, and timers on it that are
 * started, stopped and released as the library's documentation says. Each library has
 * one adapter, peer_*.c, and is a program of its own: libev and libevent export the
 * same names.
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum kind {
	REPEAT,		/* by the library's own repetition, or by hand as it documents */
	DELAY,		/* again one interval after the end of the callback */
	ONCE,
	WALL		/* as REPEAT, on CLOCK_REALTIME, due at its multiples of the interval */
};

struct timer {
	void (*on_tick)(struct timer *timer);
	uint64_t interval_ns;	/* whole milliseconds */
	enum kind kind;
	uint64_t missed;	/* ticks that the library said were missed, in all */
	void *handle;		/* the adapter's; NULL: not made yet */
};

/* What the documentation says of a scene's outcome. Names the scene as scenes.c does. */
struct remark {
	const char *scene, *text;
};

struct peer {
	const char *name;
	const char *(*version)(void);
	int threads;		/* other threads may stop timers */
	int wall;		/* it has WALL */
	void (*open)(void);	/* makes the calling thread's loop */
	void (*run)(void);	/* it, without end */
	/* Starts a timer that is stopped or, ONCE, in its own callback; makes it first if need be. */
	void (*start)(struct timer *timer);
	int (*stop)(struct timer *timer);
	int (*stop_nowait)(struct timer *timer);	/* NULL: stop never waits */
	void (*release)(struct timer *timer);	/* stops it, too */
	int (*after_fork)(void);	/* what a child calls to go on; NULL: there is no such call */
	const struct remark *remarks;	/* ends with a NULL scene */
};

/* The peer under test, for adapters that have several. */
extern const struct peer *peer;

static inline uint64_t now_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static inline uint64_t now_ns(void)
{
	return now_of(CLOCK_MONOTONIC);
}

/* The first multiple of the timer's interval that is to come on CLOCK_REALTIME. */
static inline uint64_t next_on_the_wall(const struct timer *timer)
{
	return (now_of(CLOCK_REALTIME) / timer->interval_ns + 1) * timer->interval_ns;
}

/* Returns r; ends the scene with what was asked and the error if that is negative. */
int must(int r, const char *what);

int peers_main(int argc, char **argv, const struct peer *peers, size_t peer_count);
#define PEERS_MAIN(peers)                                                                          \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return peers_main(argc, argv, peers, sizeof(peers) / sizeof(*(peers)));            \
	}

#endif
