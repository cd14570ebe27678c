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

#define US ASYNCTIMER_MICROSECOND
#define MS ASYNCTIMER_MILLISECOND
#define SECOND ASYNCTIMER_SECOND
#define HOUR (3600 * SECOND)

#define SCHEDULE ASYNCTIMER_FIXED_SCHEDULE
#define DELAY ASYNCTIMER_FIXED_DELAY
#define ONCE ASYNCTIMER_ONCE

/*
 * int main(void) { return RUN_TESTS("errors", these, are, tests); }
 *
 * Each test is a TCase of its own with a checked fixture: it makes `reactor`,
 * and afterwards frees it (a test may have done so and set it to NULL) and
 * compares the number of open descriptors. Fork mode, unless CK_FORK=no.
 */
#define RUN_TESTS(name, ...) run_tests(name, (const TTest *const[]){ __VA_ARGS__, NULL })
int run_tests(const char *name, const TTest *const *tests);

/*
 * int main(void) { return RUN_WITH_BACKINGS("stop", EVERY(these), REAL(are), OWN(tests)); }
 *
 * What a timer promises does not depend on what is behind it: a timerfd of its
 * own, those that shared timers have in common, or a virtual clock. Each test
 * is run once with each backing named, as TEST_own, TEST_shared and
 * TEST_virtual; what is below makes its timers, and lets time pass for them.
 */
enum backed_by { BACKING_OWN = 1, BACKING_SHARED = 2, BACKING_VIRTUAL = 4 };
struct backed_test {
	const TTest *test;
	int backings;
};
#define OWN(test) { test, BACKING_OWN }
#define SHARED(test) { test, BACKING_SHARED }
#define REAL(test) { test, BACKING_OWN | BACKING_SHARED }
#define VIRTUAL(test) { test, BACKING_VIRTUAL }
#define EVERY(test) { test, BACKING_OWN | BACKING_SHARED | BACKING_VIRTUAL }
#define RUN_WITH_BACKINGS(name, ...)                                                               \
	run_with_backings(name, (const struct backed_test[]){ __VA_ARGS__, { 0 } })
int run_with_backings(const char *name, const struct backed_test *tests);

extern enum backed_by backing;	/* of the test that runs; BACKING_OWN in RUN_TESTS */
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

/* A reactor, and on `reactor` a timer without slack, of the test's backing. */
int new_reactor(struct asynctimer_reactor **ret);
int new_timer(int clock, uint64_t interval_ns, int policy, asynctimer_callback callback, void *data,
	      struct asynctimer **ret);

/* The same, stopped, whose data is watched and whose callback is on_tick. */
struct watched *watch_new(struct watched *watched, int clock, uint64_t interval_ns, int policy);
int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data);

/* The timers' clock, of `reactor` where that is a virtual one. */
uint64_t now_on(int clock);
#define now_mono() now_on(CLOCK_MONOTONIC)

/* The same of any reactor that is virtual. */
uint64_t virtual_now_on(struct asynctimer_reactor *on, int clock);

/*
 * Burns time until the clock shows at least until_ns: work, not sleep, so that
 * it can't end early. Where the clock is virtual, only in callbacks and the like.
 */
void spin_until(int clock, uint64_t until_ns);

/* The same outside of callbacks: what comes due meanwhile is left lying. */
void let_pass_until(uint64_t until_ns);

/*
 * As asynctimer_reactor_dispatch, whatever the backing. On a virtual reactor
 * only callbacks of watched timers end the wait. An error ends the test.
 */
int dispatch(int64_t timeout_ns);
int dispatch_on(struct asynctimer_reactor *on, int64_t timeout_ns);

/* Dispatches until CLOCK_MONOTONIC shows until_ns, and then once more: how many callbacks ran. */
int dispatch_until(uint64_t until_ns);

/* Dispatches until watched has had so many callbacks; fails when that seems to hang. */
void dispatch_callbacks(const struct watched *watched, unsigned callbacks);

/* What run and dispatch answer where only one of them may be at work. */
#define BUSY (backing == BACKING_VIRTUAL ? -EOPNOTSUPP : -EBUSY)

#define FOR_BOTH_POLICIES(policy) for (int policy = SCHEDULE; policy <= DELAY; policy++)
#define FOR_EACH_POLICY(policy) for (int policy = SCHEDULE; policy <= ONCE; policy++)

/* Open descriptors of this process, and those of a timer alone. */
int count_fds(void);
#define OWN_FDS (backing == BACKING_OWN)

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

/* A thread's function: runs that reactor until it is stopped. A virtual one's clock hurries on. */
void *run_reactor(void *data);

/* Whether its descriptor is. */
bool is_readable(struct asynctimer_reactor *which);

/*
 * How many timerfds of this process are readable. To look changes nothing, and
 * no reactor is asked for its descriptor, as a host would. A timerfd that is
 * not read stays readable until it is armed anew.
 */
int expired(void);

/* watch_new for a shared timer, whatever the backing. */
struct watched *watch_new_shared(struct watched *watched, int clock, uint64_t interval_ns, int policy,
				 uint64_t slack_ns);

/* `reactor` is a virtual one from here on. */
void use_virtual_reactor(void);

/* Ends the program with automake's "skipped", saying why. */
_Noreturn void skip_all(const char *why);

#endif
