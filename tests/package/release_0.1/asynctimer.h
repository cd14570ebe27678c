/* SPDX-License-Identifier: MIT */
/*
 * asynctimer: repeating timers that keep their schedule, never burst, never
 * run a callback twice at once, and really stop when told to.
 *
 * The laws, stated once for every function below:
 *
 * - An int result is a negative errno on failure; errno itself is unspecified.
 *   What fails changes nothing. A function that changes a state returns 1 when
 *   it changed it and 0 when it was so already. Out-parameters come last, are
 *   named ret, and are written on success alone. NULL where an object is
 *   needed: -EINVAL.
 * - Every time is in nanoseconds and its name ends in _ns.
 * - Any thread may call any function at any time on a timer or reactor that it
 *   may still name; so may any callback, its own timer's free included. Only
 *   asynctimer_reactor_stop may be called in a signal handler.
 * - Callbacks of one timer never overlap, and none sees its clock before its
 *   due time (but for CLOCK_REALTIME set back in that very moment).
 * - What a thread did before it started a timer or completed a tick is visible
 *   to the next callback; what a callback did is visible when stop returns.
 * - run, dispatch, advance and complete disable thread cancellation, callbacks
 *   included; no function is a cancellation point. A callback must not throw
 *   or longjmp out.
 * - In a forked child every int function answers -ECHILD (is_started: 0) and
 *   nothing there can be felt by the parent; the two frees release the child's
 *   memory and descriptors.
 * - A missed tick is never made up, it is skipped and counted: busy when it
 *   came due while the timer's own callback ran or was deferred, late when the
 *   reactor got to it after the next one was due.
 */
#ifndef ASYNCTIMER_H
#define ASYNCTIMER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASYNCTIMER_VERSION_MAJOR 0
#define ASYNCTIMER_VERSION_MINOR 1
#define ASYNCTIMER_VERSION_PATCH 0

#define ASYNCTIMER_MICROSECOND UINT64_C(1000)
#define ASYNCTIMER_MILLISECOND UINT64_C(1000000)
#define ASYNCTIMER_SECOND      UINT64_C(1000000000)

/* Policies. */
enum {
	ASYNCTIMER_FIXED_SCHEDULE = 0,	/* due at first due + k * interval, for ever */
	ASYNCTIMER_FIXED_DELAY = 1	/* due one interval after the last completion */
};

/*
 * What a callback returns: DONE; PENDING when its work goes on until some
 * thread calls asynctimer_complete; or a negative errno when it failed. Any
 * other value counts as a failure with -EINVAL.
 */
enum {
	ASYNCTIMER_DONE = 0,
	ASYNCTIMER_PENDING = 0x70656e64
};

struct asynctimer_reactor;
struct asynctimer;

/* Handed to the callback. Later releases only append fields. */
struct asynctimer_tick {
	uint64_t number;	/* previous number + 1 + skipped_busy + skipped_late, over the timer's life */
	uint64_t due_ns;	/* on the timer's clock */
	uint64_t now_ns;	/* on the timer's clock, read before the call; >= due_ns */
	uint64_t skipped_busy;	/* since the previous callback */
	uint64_t skipped_late;
};

/* Counted since asynctimer_new. callbacks + skipped_busy + skipped_late is the last tick's number. */
struct asynctimer_stats {
	uint64_t callbacks;		/* begun */
	uint64_t skipped_busy;		/* reported by these callbacks */
	uint64_t skipped_late;
	uint64_t failures;		/* of callbacks and completions */
	uint64_t lateness_sum_ns;	/* callback start - due */
	uint64_t lateness_max_ns;
	uint64_t duration_sum_ns;	/* callback start to completion; 0 where a clock set made it negative */
	uint64_t duration_max_ns;
	uint64_t busy_since_ns;		/* when the callback that still runs or is deferred began, else 0 */
	uint64_t reserved[7];
};

/* One tick of a timer. data is what asynctimer_new was given. */
typedef int (*asynctimer_callback)(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data);

/* A callback or completion failed with error, a negative errno. */
typedef void (*asynctimer_error_handler)(struct asynctimer *timer, int error, void *data);

/*
 * Reactor: an epoll loop that waits for its timers and runs their callbacks.
 */

/*
 * Makes a reactor in *ret: an epoll descriptor and an eventfd, both
 * close-on-exec. 0; -ENOMEM, -EMFILE, -ENFILE, -ENOSPC; -EOPNOTSUPP where
 * madvise(2) refuses MADV_WIPEONFORK (Linux before 4.14).
 */
int asynctimer_reactor_new(struct asynctimer_reactor **ret);

/*
 * Makes a reactor whose every clock starts at 0 and moves only by
 * asynctimer_reactor_advance: for simulation and exact tests. It uses no
 * descriptor; own and shared timers are one. run, dispatch and fd answer
 * -EOPNOTSUPP. 0; -ENOMEM, -EOPNOTSUPP as above.
 */
int asynctimer_reactor_new_virtual(struct asynctimer_reactor **ret);

/*
 * Frees the reactor and every timer still on it; their release functions run,
 * and asynctimer_new on it from there answers -EBUSY. 0, for NULL too; -EBUSY,
 * and nothing is freed, while a thread is inside run, dispatch, advance,
 * complete or a stop or free that waits, or while a tick is deferred.
 */
int asynctimer_reactor_free(struct asynctimer_reactor *reactor);

/*
 * Dispatches until asynctimer_reactor_stop; then 0. Several threads may run
 * one reactor: callbacks of different timers then run in parallel, and a slow
 * one delays no other due timer while a thread idles. Signals do not end it.
 * -EBUSY inside a callback, handler or release that this reactor runs.
 */
int asynctimer_reactor_run(struct asynctimer_reactor *reactor);

/*
 * Waits up to timeout_ns (0: not at all; negative: for ever) until something
 * is due, runs what is due, and returns how many callbacks ran. What comes due
 * meanwhile waits for the next call, as do own timers beyond the first 128,
 * with the descriptor still readable. 0 too when the reactor is stopped. While
 * the kernel refuses to arm a timer, each call tries again and takes 1 ms more.
 * -EINTR if a signal came before anything was due (signal(7)); -EBUSY as run.
 */
int asynctimer_reactor_dispatch(struct asynctimer_reactor *reactor, int64_t timeout_ns);

/*
 * Makes every run and dispatch, now and later, return after the callback it is
 * in, starting none, until asynctimer_reactor_restart. Async-signal-safe. The
 * descriptor of a stopped reactor may stay readable.
 */
void asynctimer_reactor_stop(struct asynctimer_reactor *reactor);

/*
 * Takes asynctimer_reactor_stop back: 1, or 0 if it was not stopped. A run
 * that has not returned yet may go on.
 */
int asynctimer_reactor_restart(struct asynctimer_reactor *reactor);

/*
 * The reactor's epoll descriptor, for poll(2) or any other loop: readable when
 * asynctimer_reactor_dispatch(reactor, 0) has work, level- and edge-triggered
 * alike; while a thread is in dispatch, it speaks for that thread alone. It
 * stays the reactor's: do not read, change or close it.
 */
int asynctimer_reactor_fd(struct asynctimer_reactor *reactor);

/*
 * Virtual reactor: moves the clock by ns and runs, in order, the wake-ups up
 * to there, each at its time: the earliest due + slack, for all that is due by
 * then. A callback or handler that calls it says that it took ns: the clock
 * moves, nothing runs, 0. The clock ends where asked, or where callbacks moved
 * it if that is later; what those made due beyond waits for the next call, and
 * asynctimer_reactor_stop leaves it where it is. The callbacks run, at most
 * INT_MAX; -EBUSY while another thread advances; -EOVERFLOW past 2^63;
 * -EOPNOTSUPP on any other reactor.
 */
int asynctimer_reactor_advance(struct asynctimer_reactor *reactor, uint64_t ns);

/*
 * Timer: a callback, an interval, a policy and a clock.
 */

/*
 * Makes a stopped timer in *ret, on a timerfd of its own. clock:
 * CLOCK_MONOTONIC, CLOCK_BOOTTIME (goes on in suspend) or, with
 * ASYNCTIMER_FIXED_SCHEDULE, CLOCK_REALTIME. interval_ns: 1 to 2^62. 0;
 * -EINVAL for anything else, an unknown policy or no callback; -EBUSY while
 * the reactor is being freed; -ENOMEM, -EMFILE, -ENFILE (timerfd_create(2)),
 * -ENOSPC (fs.epoll.max_user_watches, epoll_ctl(2)).
 */
int asynctimer_new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
		   asynctimer_callback callback, void *data, struct asynctimer **ret);

/*
 * The same on timerfds that all shared timers of a clock have in common: no
 * descriptor a timer, any number of timers. It may fire up to slack_ns late,
 * never early, so that ticks share wake-ups. The same errors; -EINVAL for a
 * slack that is not below the interval.
 */
int asynctimer_new_shared(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
			  uint64_t slack_ns, asynctimer_callback callback, void *data,
			  struct asynctimer **ret);

/*
 * Stops and releases the timer, waiting where asynctimer_stop would; never
 * fails; NULL is fine. In the timer's own callback or handler, with its tick
 * deferred, or where waiting would never end, it returns at once and the
 * release comes when the tick completes; while a stop in a third thread still
 * waits, when that ends. Afterwards only that tick's asynctimer_complete may
 * name the timer.
 */
void asynctimer_free(struct asynctimer *timer);

/*
 * Has release(data) called exactly once, by the thread that lets go of the
 * timer last, with no lock held, when no callback, handler or deferred work of
 * the timer can touch data any more. It may free other timers. NULL: none.
 */
void asynctimer_set_release(struct asynctimer *timer, void (*release)(void *data));

/*
 * Changes the interval, 1 to 2^62, of a stopped or started timer. The grid of
 * a started FIXED_SCHEDULE timer is anchored anew at its last due point
 * (before the first tick it keeps its anchor); the next tick is its first
 * point after now, and what was not delivered until now counts as nothing.
 * FIXED_DELAY: due at the last completion, or start, + interval_ns, at once if
 * that is past; a first tick asked for by start_after or start_at stays.
 * 1; 0, and nothing changes, if it has that interval; -EINVAL, also for one
 * that is not above the slack.
 */
int asynctimer_set_interval(struct asynctimer *timer, uint64_t interval_ns);

/*
 * Has handler called with each failure of a callback or completion, by the
 * thread that met it (a failure completed before the callback returned: by the
 * callback's), before the tick completes, as part of the callback. Not after
 * asynctimer_free. NULL: failures are only counted. 1, or 0 if it has that
 * handler; -EINVAL.
 */
int asynctimer_set_error_handler(struct asynctimer *timer, asynctimer_error_handler handler);

/*
 * Names the timer for those who trace the process: asynctimer(7). Copied, at
 * most 31 bytes; NULL or "": none. 1, or 0 if it has that name; -ERANGE, and
 * it keeps its name, for a longer one; -EINVAL, -ENOMEM.
 */
int asynctimer_set_name(struct asynctimer *timer, const char *name);

/*
 * Start and stop. A start while the last tick is still open takes effect at
 * its completion: grid points up to there are skipped busy, and FIXED_DELAY is
 * due no earlier than completion + interval. What is undelivered at stop
 * counts as nothing; the next start's first tick has the next number.
 */

/*
 * Anchors the grid now, read at the call; the first tick is one interval
 * later. 1, or 0 if it was started; -EINVAL after its free. With a timerfd of
 * its own also timerfd_settime(2)'s errors, say a seccomp filter's -EPERM; it
 * is stopped then, as it was.
 */
int asynctimer_start(struct asynctimer *timer);

/*
 * The same with the first tick, and the grid's anchor, at now + delay_ns (0:
 * at once). In its own callback a tick due before the completion is skipped,
 * so 0 then means one interval later. 1 or 0; -EINVAL over 2^62.
 */
int asynctimer_start_after(struct asynctimer *timer, uint64_t delay_ns);

/*
 * The same with the grid anchored at anchor_ns of the timer's clock: first
 * tick at the anchor if that is now or to come, else at the next grid point
 * after now (FIXED_DELAY: at once, due now). start_at(timer, 0) on
 * CLOCK_REALTIME with 60 s: every full minute. 1 or 0; -EINVAL over 2^63 - 1.
 */
int asynctimer_start_at(struct asynctimer *timer, uint64_t anchor_ns);

/*
 * When this has returned 1 or 0, no callback of the timer starts, and none is
 * running in another thread: it waits, with both, for the one that ran at the
 * call; not for deferred work, nor for the callback it is called in. A start
 * from then on begins anew. -EDEADLK, and nothing changes, where that callback
 * waits, directly or through others in this library, for the calling one.
 */
int asynctimer_stop(struct asynctimer *timer);

/*
 * Stops without waiting, for callers that hold a lock the callback wants: a
 * callback that another thread has claimed already may still begin. 1 or 0.
 */
int asynctimer_stop_nowait(struct asynctimer *timer);

/*
 * Ends the deferred tick of that number, with result 0 or a negative errno;
 * from any thread, also before the callback has returned, after stop, and once
 * after free. The tick ends when the callback has returned ASYNCTIMER_PENDING
 * and this was called; a callback that then returns anything else makes an
 * early complete void. 0; -EALREADY: no such tick is open, or it was
 * completed; -EINVAL: a positive result.
 */
int asynctimer_complete(struct asynctimer *timer, uint64_t number, int result);

/*
 * Questions.
 */

/* 1 or 0. */
int asynctimer_is_started(const struct asynctimer *timer);

/* Now, on the timer's clock (clock_gettime(2)). */
uint64_t asynctimer_now_ns(const struct asynctimer *timer);

/*
 * When the next tick is due, on the timer's clock; may be past. UINT64_MAX
 * while the timer is stopped, or while a FIXED_DELAY tick is open.
 */
uint64_t asynctimer_next_due_ns(const struct asynctimer *timer);

/* A consistent copy of the timer's counts. 0; -EINVAL. */
int asynctimer_get_stats(const struct asynctimer *timer, struct asynctimer_stats *ret);

/* What asynctimer_new was given. */
struct asynctimer_reactor *asynctimer_get_reactor(const struct asynctimer *timer);
void *asynctimer_get_data(const struct asynctimer *timer);

/* The version of the library in use, "0.1.0". */
const char *asynctimer_version(void);

#ifdef __cplusplus
}
#endif

#endif
