/* SPDX-License-Identifier: MIT */
/* The structs, and what the files of the library know of each other. */
#ifndef ASYNCTIMER_INTERNAL_H
#define ASYNCTIMER_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "asynctimer.h"
#include "clock.h"
#include "schedule.h"
#include "slab.h"
#include "slots.h"
#include "thread.h"

/* What the timers of one backing, clock and slack have in common. */
struct source {
	const struct backing *backing;
	struct asynctimer_reactor *reactor;
	int clock;
};

/* The shared timers of one clock, in lanes of equal slack; of a virtual reactor all of them. */
struct shared {
	struct asynctimer_reactor *reactor;
	struct lane *lane;		/* a list of all */
	void *by_slack;			/* and the tree: tsearch(3) */
	struct queue by_due;		/* while there are several: by their first timers' due times */
	struct queue by_wake;		/* and by the latest that those may wait for */
	uint64_t armed_ns[2];		/* NEVER: not armed, or fired and taken */
	uint32_t lanes;
	uint32_t order;			/* of arming, for equal due times */
	int fd[2];
	int clock;
	bool open;			/* the descriptors are */
};

/*
 * One lock guards a reactor and all its timers. Callbacks, handlers and
 * releases run without it. thread.c's lock may be taken inside it.
 */
struct asynctimer_reactor {
	pthread_mutex_t lock;
	pthread_cond_t ended;		/* a callback or handler that a stop waits for has */
	const volatile uint64_t *parent; /* reads 0 in a forked child (MADV_WIPEONFORK) */
	int epoll_fd;			/* and event_fd: -1 if virtual */
	int event_fd;			/* readable while stopped, and when a thread shall look again */
	int stopped;			/* atomic: a signal handler may set it */
	bool freeing;
	bool virtual;
	bool woken;			/* between threads; until the eventfd is read */
	bool retry;			/* something could not be armed */
	unsigned inside;		/* threads in run, dispatch, advance, complete or a stop that waits */
	unsigned waiting;		/* of them, those that wait for an event */
	unsigned open;			/* ticks that run or are deferred */
	uint64_t runs;			/* counts callbacks and handlers of deferred ticks */
	uint64_t virtual_ns;		/* now, on a virtual reactor */
	struct frame *frames;
	struct own *owns;
	struct slots slots;
	struct slab slab;		/* of shared timers */
	struct source own_sources[3];
	struct shared shared[3];
	void *names;			/* of timers that have one: names.h */
};

/*
 * How timers get their wake-ups. To acquire one gives it the memory,
 * descriptors and room for all it will ever need: nothing later allocates.
 * All are called with the lock held, but in a forked child.
 */
struct backing {
	/* How late it may be for the sake of others. */
	uint64_t (*slack_ns)(const struct asynctimer *timer);

	/* It is freed: it needs no more wake-ups. Then its memory goes; the source may go with it. */
	void (*retire)(struct asynctimer *timer);
	void (*release)(struct asynctimer *timer);

	/* The timer, not open, shall be claimed when it is due; or, started, no more. */
	int (*arm)(struct asynctimer *timer, uint64_t now_ns);
	void (*disarm)(struct asynctimer *timer);

	/*
	 * Its tick completed in frame, at now_ns, when the next one had been due
	 * at before_ns: a started timer is armed.
	 */
	void (*completed)(struct asynctimer *timer, const struct source *source,
			  const struct frame *frame, uint64_t now_ns, uint64_t before_ns);
};

/* Two cache lines that every tick touches, and one that hardly any does. */
struct asynctimer {
	struct schedule schedule;
	asynctimer_callback callback;	/* NULL: memory not in use */
	void *data;
	uint64_t lateness_sum_ns;
	uint64_t lateness_max_ns;
	uint64_t duration_sum_ns;
	uint64_t duration_max_ns;
	bool started:1;
	bool open:1;			/* the callback runs, or its work is deferred */
	bool running:1;			/* the callback or handler does; a frame of the reactor says where */
	bool completed:1;		/* asynctimer_complete came, or the callback needs none */
	bool freed:1;
	bool released:1;		/* all but the memory, which may still be named */
	unsigned waiters;		/* stops that wait for it */

	struct source *source;
	uint64_t anchor_ns;		/* of the last start */
	uint64_t begun_ns;		/* the callback whose tick is deferred */
	uint64_t skipped_busy;
	uint64_t skipped_late;
	uint64_t failures;
	asynctimer_error_handler error_handler;
	void (*release)(void *data);
} __attribute__((aligned(64)));

/* A fork's child may look at nothing else of a reactor, its lock least of all. */
static inline bool asynctimer__in_child(const struct asynctimer_reactor *reactor)
{
	return !*reactor->parent;
}

/* What epoll hands out: own timers' ids are below 2^63. */
#define ASYNCTIMER__EVENTFD_ID UINT64_MAX
#define ASYNCTIMER__PAIR_ID (UINT64_C(1) << 63)

static inline uint64_t asynctimer__pair_id(const struct shared *shared, unsigned which)
{
	return ASYNCTIMER__PAIR_ID + 2 * (uint64_t)(shared - shared->reactor->shared) + which;
}

/* Now on the source's clock; with the lock held if that is virtual. */
static inline uint64_t asynctimer__source_now_ns(const struct source *source)
{
	if (source->reactor->virtual)
		return source->reactor->virtual_ns;
	return asynctimer__now_ns(source->clock);
}

/* own.c: a timerfd of the timer's own. */
extern const struct backing asynctimer__own;
int asynctimer__own_acquire(struct source *source, struct asynctimer **ret);

/*
 * epoll reported id, in a harvest that began after reactor->runs had been
 * harvested_runs. The timer if its tick can be claimed, at *ret; else NULL.
 */
struct asynctimer *asynctimer__own_due(struct asynctimer_reactor *reactor, uint64_t id,
				       uint64_t harvested_runs, uint64_t *ret);

/* Arms what could not be armed, or asks for another try. */
void asynctimer__own_retry(struct asynctimer_reactor *reactor);

void asynctimer__own_each(struct asynctimer_reactor *reactor, void (*each)(struct asynctimer *timer));

/* shared.c: a queue for all timers of a clock, over a pair of timerfds. */
int asynctimer__shared_acquire(struct shared *shared, uint64_t slack_ns, struct asynctimer **ret);

/* epoll reported one of the pair. */
void asynctimer__shared_event(struct shared *shared, unsigned which);

/* Takes the earliest timer that is due at until_ns; NULL if there is none. Its source need not be touched. */
struct asynctimer *asynctimer__shared_take(struct shared *shared, uint64_t until_ns,
					   const struct source **ret);

/* When the next wake-up is, at the latest; NEVER if nothing is armed. */
uint64_t asynctimer__shared_wake_ns(struct shared *shared);

/* Has the pair, or the eventfd, wake a thread by then. True if that is now. */
bool asynctimer__shared_settle(struct shared *shared, uint64_t now_ns);

/* Of a reactor that is being freed. */
void asynctimer__shared_free(struct shared *shared);

/* timer.c */

/*
 * The calling thread comes inside the reactor, with the lock held; and leaves,
 * giving the lock up, or without it in a forked child.
 */
void asynctimer__frame_push(struct frame *frame, struct asynctimer_reactor *reactor);
void asynctimer__frame_pop(struct frame *frame, bool locked);

/*
 * Claims the tick that is due at *now_ns, calls the callback and completes the
 * tick unless it is deferred; *now_ns is then the reading it ended with.
 * Called and returns with the lock held; false, and nothing may be touched any
 * more, if that came back in a forked child.
 */
bool asynctimer__timer_run(struct asynctimer *timer, const struct source *source,
			   struct frame *frame, uint64_t *now_ns);

/* Releases the timer, whatever its state, where no thread can use it. Its memory stays. */
void asynctimer__timer_discard(struct asynctimer *timer);

/* Where tests make a thread pause; nothing in a release. At those marked * it has the lock. */
enum asynctimer__test_point {
	ASYNCTIMER__ENTERS,		/* a function of the timer is about to take the lock */
	ASYNCTIMER__WAITS,		/* a dispatching thread is about to wait; no timer */
	ASYNCTIMER__HARVESTED,		/* it has events, of which it may run some; no timer */
	ASYNCTIMER__TAKES_WAKE,		/* * it is about to read the eventfd; no timer */
	ASYNCTIMER__TOOK_WAKE,		/* * and has; no timer */
	ASYNCTIMER__DUE,		/* * a tick is due and about to be claimed */
	ASYNCTIMER__CLAIMED,		/* a tick is claimed, its callback not yet called */
	ASYNCTIMER__RETURNED,		/* the callback has returned, the tick is not yet finished */
	ASYNCTIMER__HANDLED,		/* the same of the error handler */
	ASYNCTIMER__STOP_WAITS,		/* * a stop is about to wait */
	ASYNCTIMER__STOP_WAITED,	/* * and has */
	ASYNCTIMER__COMPLETES,		/* * asynctimer_complete has yet to look at the tick */
	ASYNCTIMER__LETS_GO,		/* done with a timer, which may be gone; no timer */
	ASYNCTIMER__REACTOR_STOPS,	/* stopped, with the eventfd not yet written; no timer */
};
extern void (*asynctimer__test_hook)(enum asynctimer__test_point point, struct asynctimer *timer);
#ifdef ASYNCTIMER_TEST_POINTS
#define TEST_POINT(point, timer)                                                                   \
	do {                                                                                       \
		if (asynctimer__test_hook)                                                         \
			asynctimer__test_hook(ASYNCTIMER__##point,                                 \
					      (struct asynctimer *)(timer));                       \
	} while (0)
#else
#define TEST_POINT(point, timer) ((void)0)
#endif

#endif
