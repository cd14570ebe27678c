/* SPDX-License-Identifier: MIT */
/* What all Check programs share: fixtures, the invariant of ticks, and shorthands. */
#ifndef UTIL_H
#define UTIL_H

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "asynctimer.h"

#define MS ASYNCTIMER_MILLISECOND
#define US ASYNCTIMER_MICROSECOND

/*
 * int main(void) { return RUN_TESTS("stop", these, are, tests); }
 *
 * Each test is a TCase of its own with a checked fixture: it makes `reactor`,
 * and afterwards frees it (a test may have done so and set it to NULL) and
 * compares the number of open descriptors. Fork mode, unless CK_FORK=no.
 */
#define RUN_TESTS(name, ...) run_tests(name, (const TTest *const[]){ __VA_ARGS__, NULL })
int run_tests(const char *name, const TTest *const *tests);

extern struct asynctimer_reactor *reactor;

/* Ends the test as failed, saying what and why, if r is negative. */
#define must(r) must_at((r), #r, __FILE__, __LINE__)
int must_at(int r, const char *what, const char *file, int line);

/*
 * A timer under observation: every tick is checked against the hard invariant
 * and against a clock reading of the test's own, then counted.
 */
struct watched {
	struct asynctimer *timer;
	uint64_t interval_ns;	/* 0: do not check how far due advanced */
	int clock;
	bool restarted;		/* set by the test: the next due may be anywhere */
	unsigned callbacks;
	struct asynctimer_tick last;
	uint64_t work_ns;	/* the callback busily takes this long */
	unsigned stop_after;	/* stops the reactor in that many-th callback, if not 0 */
	int result;		/* what the callback returns */
	int (*then)(struct watched *watched, const struct asynctimer_tick *tick); /* if set: called at the end, gives the result */
	void *data;		/* the test's own */
};

/* A stopped own timer on `reactor` whose data is watched and whose callback is on_tick. */
struct watched *watch_new(struct watched *watched, int clock, uint64_t interval_ns, int policy);
int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data);

uint64_t now_on(int clock);
#define now_mono() now_on(CLOCK_MONOTONIC)

/* Burns time until the clock shows at least until_ns: work, not sleep, so that it can't end early. */
void spin_until(int clock, uint64_t until_ns);

/* Dispatches until CLOCK_MONOTONIC shows until_ns, and then once more: how many callbacks ran. */
int dispatch_until(uint64_t until_ns);

/* Dispatches until watched has had so many callbacks; fails when that seems to hang. */
void dispatch_callbacks(const struct watched *watched, unsigned callbacks);

#define FOR_BOTH_POLICIES(policy)                                                                  \
	for (int policy = ASYNCTIMER_FIXED_SCHEDULE; policy <= ASYNCTIMER_FIXED_DELAY; policy++)

/* Open descriptors of this process. */
int count_fds(void);

/* Several threads: a flag is an int that one sets and others await. */
#define flag_set(flag) __atomic_store_n((flag), 1, __ATOMIC_SEQ_CST)
#define flag_clear(flag) __atomic_store_n((flag), 0, __ATOMIC_SEQ_CST)
#define flag_get(flag) __atomic_load_n((flag), __ATOMIC_SEQ_CST)
#define flag_add(flag) __atomic_add_fetch((flag), 1, __ATOMIC_SEQ_CST)
#define await(condition)                                                                           \
	do {                                                                                       \
		while (!(condition))                                                               \
			sched_yield();                                                             \
	} while (0)
pthread_t thread_new(void *(*function)(void *), void *data);
void thread_join(pthread_t thread);

/* A thread's function: runs that reactor until it is stopped. */
void *run_reactor(void *data);

/* How many descriptors its epoll reports; level-triggered, so a look changes nothing. */
int readable(struct asynctimer_reactor *of);

/* watch_new for a shared timer. */
struct watched *watch_new_shared(struct watched *watched, int clock, uint64_t interval_ns, int policy,
				 uint64_t slack_ns);

/* `reactor` is a virtual one from here on. */
void use_virtual_reactor(void);

/* Ends the program with automake's "skipped", saying why. */
_Noreturn void skip_all(const char *why);

#endif
