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
#include "slots.h"
#include "thread.h"

/*
 * One lock guards a reactor and all its timers. Callbacks, handlers and
 * releases run without it. thread.c's lock may be taken inside it.
 */
struct asynctimer_reactor {
	pthread_mutex_t lock;
	pthread_cond_t ended;		/* a callback or handler that a stop waits for has */
	const volatile uint64_t *parent; /* reads 0 in a forked child (MADV_WIPEONFORK) */
	int epoll_fd;
	int event_fd;			/* readable while stopped, and when a thread shall look again */
	int stopped;			/* atomic: a signal handler may set it */
	bool freeing;
	unsigned inside;		/* threads in run, dispatch, complete or a stop that waits */
	unsigned open;			/* ticks that run or are deferred */
	uint64_t runs;			/* counts callbacks and handlers of deferred ticks */
	struct slots slots;
	struct asynctimer *timers;
	struct asynctimer *dead;	/* released, their memory still nameable: freed with the reactor */
};

/* How a timer gets its wake-ups. All are called with the lock held. */
struct backing {
	/* Everything the timer will ever need; release gives it back, armed or not. */
	int (*acquire)(struct asynctimer *timer);
	void (*release)(struct asynctimer *timer);

	/* The timer, not open, shall be claimed when schedule.next_ns is reached; or no more. */
	int (*arm)(struct asynctimer *timer);
	void (*disarm)(struct asynctimer *timer);

	/* Its tick completed at now_ns, when the next one had been due at before_ns; arms it if it is started. */
	void (*completed)(struct asynctimer *timer, uint64_t now_ns, uint64_t before_ns);
};

struct own {
	uint64_t id;			/* in slots, and what epoll hands out */
	int fd;
	bool armed;			/* FIXED_SCHEDULE: the kernel ticks on the schedule's grid */
	bool muted;			/* epoll does not report it; only while open */
};

struct asynctimer {
	struct asynctimer_reactor *reactor;
	const struct backing *backing;
	struct schedule schedule;
	asynctimer_callback callback;
	void *data;

	bool started;
	bool open;			/* the callback runs, or its work is deferred */
	bool completed;			/* asynctimer_complete came, or its callback needs none */
	bool freed;
	int clock;
	int result;			/* of the asynctimer_complete that came before the callback returned */
	struct frame *runner;		/* where the callback or handler runs, else NULL */
	uint64_t run;			/* reactor->runs when that began */
	unsigned waiters;		/* stops that wait for it */

	uint64_t begun_ns;		/* the last callback */
	uint64_t skipped_busy;
	uint64_t skipped_late;
	uint64_t failures;
	uint64_t lateness_sum_ns;
	uint64_t lateness_max_ns;
	uint64_t duration_sum_ns;
	uint64_t duration_max_ns;

	asynctimer_error_handler error_handler;
	void (*release)(void *data);
	struct asynctimer *next;	/* on reactor->timers or ->dead */
	struct asynctimer **link;	/* what points to this one there */
	struct own own;
};

/* A fork's child may look at nothing else of a reactor, its lock least of all. */
static inline bool asynctimer__in_child(const struct asynctimer_reactor *reactor)
{
	return !*reactor->parent;
}

/* own.c */
extern const struct backing asynctimer__own;

/*
 * epoll reported the timer, in a harvest that began after reactor->runs had
 * been harvested_runs. True if a tick can be claimed, at *ret.
 */
bool asynctimer__own_is_due(struct asynctimer *timer, uint64_t harvested_runs, uint64_t *ret);

/* timer.c */

/*
 * Claims the tick due at now_ns, calls the callback and completes the tick
 * unless it is deferred. Called and returns with the lock held; false, and
 * nothing may be touched any more, if that came back in a forked child.
 */
bool asynctimer__timer_run(struct asynctimer *timer, uint64_t now_ns, struct frame *frame);

/* Releases the timer, whatever its state, where no thread can use it: its memory stays, on reactor->dead. */
void asynctimer__timer_discard(struct asynctimer *timer);

/* Where tests make a thread pause; nothing in a release. */
#ifdef ASYNCTIMER_TEST_POINTS
enum asynctimer__test_point {
	ASYNCTIMER__CLAIMED,		/* a tick is claimed, its callback not yet called */
	ASYNCTIMER__RETURNED,		/* the callback has returned, the tick is not yet finished */
	ASYNCTIMER__STOP_WAITS,		/* a stop is about to wait */
};
extern void (*asynctimer__test_hook)(enum asynctimer__test_point point, struct asynctimer *timer);
#define TEST_POINT(point, timer)                                                                   \
	do {                                                                                       \
		if (asynctimer__test_hook)                                                         \
			asynctimer__test_hook(ASYNCTIMER__##point, timer);                         \
	} while (0)
#else
#define TEST_POINT(point, timer) ((void)0)
#endif

#endif
