/* SPDX-License-Identifier: MIT */
/* The reactor and the timer: the two structs that most files touch. */
#ifndef ASYNCTIMER_INTERNAL_H
#define ASYNCTIMER_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asynctimer.h"
#include "call.h"
#include "clock.h"
#include "garbage.h"
#include "lag.h"
#include "schedule.h"
#include "shared.h"
#include "slab.h"
#include "slots.h"
#include "spin.h"
#include "test.h"

/*
 * What timers woken the same way have in common: backing, clock and, if they
 * are shared, slack. For those it is the head of a slack group, and goes with
 * the group's last timer.
 */
struct base {
	const struct backing *backing;
	struct asynctimer_reactor *reactor;
	const uint64_t *virtual_ns;	/* what the clock shows on a virtual reactor, else NULL */
	int clock;
	unsigned clock_index;		/* of the reactor's clocks */
};

/* What a thread that is not inside now has to remember until its next call. */
struct thread_memory {
	uint64_t thread;		/* asynctimer__thread_number; 0: free */
	struct lag lag;
};
#define ASYNCTIMER__THREADS_REMEMBERED 8

/*
 * One lock guards a reactor and all its timers: every field but those marked.
 * Callbacks, handlers and releases run without it. lib/README, Locks.
 */
struct asynctimer_reactor {
	pthread_mutex_t lock;
	pthread_cond_t ended;		/* a callback or handler that a stop waits for has */
	const volatile uint64_t *not_forked; /* set once; reads 0 in a forked child (MADV_WIPEONFORK) */
	int epoll_fd;			/* set once, as event_fd and virtual; both -1 if virtual */
	int event_fd;			/* readable while stopped, and when a thread shall look again */
	int stopped;			/* atomic: a signal handler may set it */
	bool shut;			/* down, for ever */
	bool virtual;
	bool freeing;
	bool woken;			/* the eventfd was written with the lock held, and nobody has read it yet */
	bool retry;			/* the kernel refused to arm something: the next turn tries again */
	bool polled;			/* by a host loop, for it has asked for the descriptor */
	unsigned dirty;			/* clocks, as bits, whose next wake-up may be another now; and OWN */
	unsigned inside;		/* threads in run, dispatch, advance, complete or a stop that waits */
	unsigned waiting;		/* of them, those that wait for an event */
	unsigned shutdowns_wait;
	struct spin spin;
	const struct shared *spins_for;	/* the clock that a thread polls; NULL: none does */
	uint64_t spins_until_ns;	/* what that shall show, or was to show the last time */
	int spin_ends;			/* atomic: that thread shall look at all there is */
	uint64_t callback_seq;		/* counts callbacks, and handlers of deferred ticks */
	uint64_t arm_seq;		/* counts armings, for timers that are due at the same time */
	uint64_t virtual_ns[ASYNCTIMER__CLOCKS]; /* what the clocks of a virtual reactor show */
	uint64_t advance_to_ns;		/* where the advance under way takes the first of them, if that is further */
	struct asynctimer_reactor_stats stats; /* kept up to date but for busy_ns */
	struct thread_memory remembered[ASYNCTIMER__THREADS_REMEMBERED];
	unsigned next_remembered;	/* which of them is overwritten next */
	struct call *calls;
	struct own *owns;
	struct node *first_due;		/* own timers that have expired, in that order */
	struct node *last_due;
	unsigned due_count;		/* how many that are */
	struct slots slots;		/* of own timers */
	struct slab slab;		/* of shared timers */
	struct garbage garbage;		/* freed by whoever gives the lock up */
	struct base own_bases[ASYNCTIMER__CLOCKS];
	struct shared shared[ASYNCTIMER__CLOCKS];
	void *names;			/* of timers that have one: names.h */
#ifdef ASYNCTIMER_TEST_POINTS
	const void *lock_owner;
#endif
};

/*
 * How timers get their wake-ups. To acquire one gives it the memory,
 * descriptors and room for all it will ever need: nothing later allocates.
 * The caller holds the lock, but for retire in a forked child.
 */
struct backing {
	/* How late the timer may be for the sake of others. */
	uint64_t (*slack_ns)(const struct asynctimer *timer);

	/* The timer is freed: it needs no more wake-ups. Then its memory goes, and the base may go with it. */
	void (*retire)(struct asynctimer *timer, bool in_child);
	void (*release)(struct asynctimer *timer);

	/* The timer has no open tick and shall be claimed when it is due; or, started, no more. */
	int (*arm)(struct asynctimer *timer);
	void (*disarm)(struct asynctimer *timer);

	/* The timer, which is started, starts at now_ns with the first tick at anchor_ns. On an error nothing changes. */
	int (*restart)(struct asynctimer *timer, uint64_t anchor_ns, uint64_t now_ns);

	/*
	 * The tick of a started timer completed at now_ns: its schedule goes on, and
	 * it is armed. It cannot fail: what the kernel refuses is tried again.
	 */
	void (*complete)(struct asynctimer *timer, uint64_t now_ns);
};

/* lib/README, States. The transitions are in tick.c. */
enum tick_state {
	TICK_NONE,	/* none is open */
	TICK_RUNS,	/* its callback runs, and nobody has completed it */
	TICK_ENDS,	/* its callback runs, though it is completed; or its error handler does */
	TICK_DEFERRED,	/* its callback has returned, and nobody has completed it */
};

/* The transitions are in life.c. */
enum timer_life {
	TIMER_LIVES,
	TIMER_RETIRED,	/* freed, but its tick, or a stop that waits, still needs the memory */
	TIMER_ENDED,	/* released, but for the memory, which the reactor frees */
};

/*
 * Two cache lines that every tick touches, and one that hardly any does. The
 * schedule reaches into that with what few ticks need of it. The state stands
 * where struct schedule has room to spare.
 */
struct asynctimer {
	void *data;
	asynctimer_callback callback;	/* NULL: memory not in use */
	uint64_t lateness_sum_ns;
	uint64_t lateness_max_ns;
	uint64_t duration_sum_ns;
	uint64_t duration_max_ns;
	uint64_t behind_sum_ns;
	struct base *base;

	union {
		struct schedule schedule;
		struct {
			char before_spare[offsetof(struct schedule, spare)];
			bool started : 1;
			unsigned char tick : 2;		/* enum tick_state */
			unsigned char life : 2;		/* enum timer_life */
			unsigned waiters;		/* stops that wait for the timer */
		};
	};
	uint64_t delayed_sum_ns;
	uint64_t skipped_busy;
	uint64_t skipped_late;
	uint64_t failures;
	asynctimer_error_handler error_handler;
	void (*release)(void *data);
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct asynctimer, waiters) + sizeof(unsigned) ==
		       offsetof(struct asynctimer, schedule.anchor_ns),
	       "the state is within the schedule's spare bytes");
_Static_assert(sizeof(void *) != 8 || offsetof(struct asynctimer, schedule.anchor_ns) == 128,
	       "every tick touches two cache lines");
_Static_assert(sizeof(struct asynctimer) == 192, "three cache lines, as the manual says");

static inline struct asynctimer *asynctimer__timer_of(struct node *node)
{
	return (struct asynctimer *)((char *)node - offsetof(struct asynctimer, schedule.node));
}

/* In a forked child nothing else of a reactor may be looked at, its lock least of all. lib/README, Fork. */
static inline bool asynctimer__in_child(const struct asynctimer_reactor *reactor)
{
	return !*reactor->not_forked;
}

/* What epoll hands out: own timers' ids are below 2^63. */
#define ASYNCTIMER__EVENTFD_ID UINT64_MAX
#define ASYNCTIMER__PAIR_ID (UINT64_C(1) << 63)

/* Now on the base's clock; with the lock held if that is virtual. */
static inline uint64_t asynctimer__base_now_ns(const struct base *base)
{
	return base->virtual_ns ? *base->virtual_ns : asynctimer__now_ns(base->clock);
}

/* Of a reactor's dirty clocks this one. */
static inline unsigned asynctimer__dirty_bit(const struct shared *shared)
{
	return 1U << (shared - shared->reactor->shared);
}

/* Which of the reactor's clocks that is. */
static inline unsigned asynctimer__clock_index(int clock)
{
	return clock == CLOCK_MONOTONIC ? 0 : clock == CLOCK_BOOTTIME ? 1 : 2;
}

/* Where a virtual reactor has what the clock shows; NULL for any other. */
static inline const uint64_t *asynctimer__virtual_ns(const struct asynctimer_reactor *reactor,
						     int clock)
{
	return reactor->virtual ? &reactor->virtual_ns[asynctimer__clock_index(clock)] : NULL;
}

/* Now on one of the reactor's clocks, with the lock held if it is virtual. */
static inline uint64_t asynctimer__reactor_now_ns(const struct asynctimer_reactor *reactor,
						  unsigned clock)
{
	return asynctimer__base_now_ns(&reactor->own_bases[clock]);
}

/* The one place where a timer comes to be started, or stopped. */
static inline void asynctimer__set_started(struct asynctimer *timer, bool started)
{
	timer->base->reactor->stats.started += (uint64_t)started - (uint64_t)timer->started;
	timer->started = started;
}

#endif
