/* SPDX-License-Identifier: MIT */
/*
 * asynctimer: repeating timers that keep their schedule, never burst, never
 * run a callback twice at once, and really stop when told to.
 *
 * The words: a tick is one point of a timer's schedule, due at one exact time.
 * It is open from the start of its callback until it completes: when the
 * callback has returned and, if that deferred its work (ASYNCTIMER_PENDING),
 * asynctimer_complete was called. The grid of a FIXED_SCHEDULE timer is its
 * anchor plus the multiples of its interval. asynctimer_new makes an own timer,
 * asynctimer_new_shared a shared one. Below, run is asynctimer_reactor_run, stop
 * is asynctimer_stop, and so on.
 *
 * These laws hold for every function:
 *
 * - A function that returns int returns a negative errno when it fails, and has
 *   then changed nothing; errno itself is unspecified. A function that changes
 *   a state returns 1 if it changed it and 0 if the state was so already; only
 *   complete and reactor_set_clock return 0 in either case. Out-parameters come
 *   last, are named ret, and are written on success only.
 * - NULL where an object is needed gives -EINVAL; but is_started and now_ns return
 *   0, next_due_ns returns UINT64_MAX, get_reactor and get_data return NULL, and
 *   the functions that free do nothing.
 * - Every time is in nanoseconds, and its name ends in _ns.
 * - Any thread may call any function at any time, on any timer or reactor that
 *   it may still name. So may any callback, which may even free its own timer.
 *   Only asynctimer_reactor_stop may be called in a signal handler.
 * - Callbacks of one timer never overlap. None of them sees the timer's clock
 *   before its tick is due, unless CLOCK_REALTIME is set back in that very
 *   moment.
 * - What a thread did before it started a timer or completed a tick is visible
 *   to the next callback. What a callback did is visible when stop returns.
 * - run, dispatch, advance and complete disable thread cancellation for as long
 *   as they run, callbacks included. If a callback enables it, they disable it
 *   again when the callback has returned. No function is a cancellation point.
 *   A callback must not throw or longjmp out of itself, and must not be
 *   cancelled while it has cancellation enabled.
 * - In a forked child every function that returns int answers -ECHILD
 *   (asynctimer_is_started: 0), and no call there can be felt by the parent.
 *   asynctimer_free and asynctimer_reactor_free release the child's memory and
 *   descriptors. Do not call them in a child made by clone(2) with CLONE_FILES,
 *   because its descriptors are the parent's; nor, if the parent has several
 *   threads, in one made by _Fork(3) or clone(2), because malloc may hang there.
 * - A missed tick is never made up. It is skipped and counted: as busy if it
 *   came due while the timer's own callback ran or was deferred, as late if the
 *   reactor got to it only after the next tick was due.
 */
#ifndef ASYNCTIMER_H
#define ASYNCTIMER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)	/* whatever -fvisibility or pragma is in force */
#endif

#define ASYNCTIMER_VERSION_MAJOR 1
#define ASYNCTIMER_VERSION_MINOR 0
#define ASYNCTIMER_VERSION_PATCH 0

#define ASYNCTIMER_MICROSECOND UINT64_C(1000)
#define ASYNCTIMER_MILLISECOND UINT64_C(1000000)
#define ASYNCTIMER_SECOND      UINT64_C(1000000000)

/*
 * Policies. A timer of ASYNCTIMER_ONCE is stopped when its tick is claimed,
 * before the callback begins, so that every later start counts. Its tick is
 * never skipped: what comes due while an earlier tick is open runs when that
 * completes.
 */
enum {
	ASYNCTIMER_FIXED_SCHEDULE = 0,	/* ticks are due at first due + k * interval, for ever */
	ASYNCTIMER_FIXED_DELAY = 1,	/* a tick is due one interval after the last completion */
	ASYNCTIMER_ONCE = 2		/* due once: one interval after the start, or when that asks for it */
};

/*
 * What a callback returns: ASYNCTIMER_DONE; ASYNCTIMER_PENDING if its work goes
 * on until some thread calls asynctimer_complete; or a negative errno if it
 * failed. Any other value counts as a failure with -EINVAL.
 */
enum {
	ASYNCTIMER_DONE = 0,
	ASYNCTIMER_PENDING = 0x70656e64
};

struct asynctimer_reactor;
struct asynctimer;

/* Handed to the callback. Later releases only append fields. */
struct asynctimer_tick {
	uint64_t number;	/* previous one + 1 + skipped_busy + skipped_late; never reset */
	uint64_t due_ns;	/* on the timer's clock */
	uint64_t now_ns;	/* on the timer's clock, read before the call; >= due_ns */
	uint64_t skipped_busy;	/* ticks skipped since the previous callback, by reason */
	uint64_t skipped_late;
	uint64_t behind_ns;	/* the part of now_ns - due_ns that passed while this thread ran other callbacks */
};

/*
 * Counts since the timer was made. callbacks + skipped_busy + skipped_late is
 * the number of the last tick that got a callback.
 */
struct asynctimer_stats {
	uint64_t callbacks;		/* that have begun */
	uint64_t skipped_busy;		/* as reported to these callbacks */
	uint64_t skipped_late;
	uint64_t failures;		/* failed callbacks and completions */
	uint64_t lateness_sum_ns;	/* callback start - due; saturates at UINT64_MAX */
	uint64_t lateness_max_ns;
	uint64_t duration_sum_ns;	/* start to completion; 0 if a set clock made it negative */
	uint64_t duration_max_ns;
	uint64_t busy_since_ns;		/* start of the callback that runs or is deferred, else 0 */
	uint64_t behind_sum_ns;		/* of the ticks' behind_ns; saturates, as the next */
	uint64_t delayed_sum_ns;	/* of the behind_ns that other timers' ticks had for this one's callbacks */
	uint64_t reserved[5];		/* 0 */
};

/*
 * All there is to know about a timer. The caller passes the size of the struct
 * that it was compiled with: asynctimer_get_info, asynctimer_reactor_list.
 */
struct asynctimer_info {
	struct asynctimer *timer;	/* to compare; whether it may still be named is for the caller to know */
	void *data;
	char name[32];			/* "" if it has none */
	int clock;
	int policy;
	int shared;			/* 0: it has a timerfd of its own; on a virtual reactor 1 */
	int started;
	int open;			/* 0; 1: its callback or handler runs; 2: its tick is deferred */
	int reserved;
	uint64_t number;		/* of the last tick: while open, the one that asynctimer_complete wants */
	uint64_t interval_ns;
	uint64_t slack_ns;
	uint64_t next_due_ns;		/* as asynctimer_next_due_ns */
	struct asynctimer_stats stats;
};

/* Of a reactor: what is now, and what was counted since it was made, freed timers included. */
struct asynctimer_reactor_stats {
	uint64_t timers;		/* as many as asynctimer_reactor_list counts */
	uint64_t started;
	uint64_t open;			/* ticks that run or are deferred */
	uint64_t skipped_busy;		/* since asynctimer_reactor_new, as the next four */
	uint64_t skipped_late;
	uint64_t failures;
	uint64_t wakeups;		/* after which a callback ran; virtual: at the moments of advance */
	uint64_t busy_ns;		/* how long the longest callback that runs now has run; 0: none, or just begun */
	uint64_t lateness[64];		/* callbacks by lateness: [0] 0 ns, [k] 2^(k-1) to 2^k - 1 ns, [63] that and above */
};

/* Does the work of one tick. data is what the timer was made with. */
typedef int (*asynctimer_callback)(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data);

/* Is told that a callback or completion failed with error, a negative errno. */
typedef void (*asynctimer_error_handler)(struct asynctimer *timer, int error, void *data);

/*
 * Reactor: an epoll loop that waits for its timers and runs their callbacks.
 */

/*
 * Makes a reactor in *ret. It has two descriptors, an epoll and an eventfd; like
 * all that the library opens, they are close-on-exec and never 0, 1 or 2.
 * Returns 0; -ENOMEM, -EMFILE, -ENFILE or -ENOSPC; -EOPNOTSUPP if the kernel
 * has no MADV_WIPEONFORK (before Linux 4.14); -EPERM or another errno that a
 * seccomp filter gives when it refuses madvise(2).
 */
int asynctimer_reactor_new(struct asynctimer_reactor **ret);

/*
 * Makes a virtual reactor in *ret, for simulation and exact tests: all of its
 * clocks start at 0, and only asynctimer_reactor_advance moves them. It uses no
 * descriptors, and there is no difference between own and shared timers on it.
 * Returns 0; -ENOMEM, -EOPNOTSUPP or -EPERM, as asynctimer_reactor_new.
 */
int asynctimer_reactor_new_virtual(struct asynctimer_reactor **ret);

/*
 * Frees the reactor and every timer still on it. The timers' release functions
 * are called; asynctimer_new on this reactor answers -EBUSY there. Returns 0,
 * also for NULL. Returns -EBUSY, and frees nothing, while a tick is deferred or
 * a thread is inside run, dispatch, advance, complete, or a stop, free or
 * shutdown that waits.
 */
int asynctimer_reactor_free(struct asynctimer_reactor *reactor);

/*
 * Waits for timers and runs their callbacks until asynctimer_reactor_stop; then
 * it returns 0. Signals do not end it. Several threads may run one reactor:
 * callbacks of different timers then run in parallel, and while a thread is
 * idle, a slow callback delays another due timer by at most 20 us and one
 * wake-up. -EBUSY inside a callback, error handler or release function that
 * this reactor runs; -EOPNOTSUPP on a virtual reactor; the kernel's error, such
 * as -EBADF, if other code closed or replaced the reactor's descriptor, or if a
 * seccomp filter refuses a system call with which the reactor waits.
 */
int asynctimer_reactor_run(struct asynctimer_reactor *reactor);

/*
 * Waits until something is due, but at most timeout_ns (0: not at all; negative:
 * without limit), runs what is due, and returns how many callbacks ran. What
 * comes due during the call waits for the next call, and so do own timers
 * beyond the first 128; the descriptor is still readable then. Returns 0, too,
 * if the reactor is stopped. While the kernel refuses to arm a timer, each call
 * tries again and takes 1 ms longer. -EINTR if a signal came before anything
 * was due (signal(7)); and the errors of run.
 */
int asynctimer_reactor_dispatch(struct asynctimer_reactor *reactor, int64_t timeout_ns);

/*
 * Makes every run and dispatch return, now and later, until
 * asynctimer_reactor_restart; a thread that is in a callback finishes it first.
 * A callback that a thread is about to call may still begin after this has
 * returned. Async-signal-safe. The descriptor of a stopped reactor may stay
 * readable.
 */
void asynctimer_reactor_stop(struct asynctimer_reactor *reactor);

/*
 * Undoes asynctimer_reactor_stop. Returns 1, or 0 if the reactor was not
 * stopped; -ESHUTDOWN after asynctimer_reactor_shutdown. A run that has not
 * returned yet may go on.
 */
int asynctimer_reactor_restart(struct asynctimer_reactor *reactor);

/*
 * Returns the reactor's epoll descriptor, for poll(2) or any other loop. It is
 * readable when asynctimer_reactor_dispatch(reactor, 0) has work, also while a
 * thread is in run or dispatch, and may be watched level- or edge-triggered.
 * It belongs to the reactor: do not read, change or close it. -EOPNOTSUPP on a
 * virtual reactor.
 */
int asynctimer_reactor_fd(struct asynctimer_reactor *reactor);

/*
 * Moves the clocks of a virtual reactor forward by ns. On the way they
 * stop, in order, at each wake-up (due, or with slack as asynctimer_new_shared
 * says, with a perturbation of 0), and every callback runs that is due by then. The clocks end ns further on, or where
 * callbacks moved them if that is later; what they made due past the ns waits for
 * the next call. A callback or handler that calls this says that it took ns: the
 * clocks move, nothing runs, and 0 is returned. After asynctimer_reactor_stop
 * only such a call moves them. Timers that start each other without delay
 * keep this from returning, as in any simulation. Returns the number of
 * callbacks that ran, at most INT_MAX; -EBUSY while another thread advances;
 * -EOVERFLOW if any of the clocks would pass 2^63; -EOPNOTSUPP on any other
 * reactor.
 */
int asynctimer_reactor_advance(struct asynctimer_reactor *reactor, uint64_t ns);

/*
 * Virtual reactor: sets one of its clocks, which otherwise advance together, to
 * now_ns: CLOCK_REALTIME forward or back, as clock_settime(2) does, or
 * CLOCK_BOOTTIME forward, as a suspend does. It runs nothing: what it made due
 * runs at the next advance, which may be of 0; called in a callback or handler,
 * it runs within the advance under way, as its next wake-up. A wake-up runs what
 * is due on all three clocks, equal due times in the order of arming. Returns 0,
 * also where nothing changed; -EINVAL for CLOCK_MONOTONIC and other clocks, for
 * CLOCK_BOOTTIME set back, and past 2^63, where the advance under way counts;
 * -EBUSY while another thread advances, or the reactor is being freed;
 * -EOPNOTSUPP on any other reactor.
 */
int asynctimer_reactor_set_clock(struct asynctimer_reactor *reactor, int clock, uint64_t now_ns);

/*
 * For shared timers without slack: the reactor wakes up ahead of a due time, by as
 * much as its recent wake-ups were late but by limit_ns at most, and then polls the
 * clock until the tick is due. Callbacks are never early. So the descriptor may be
 * readable up to limit_ns before something is due, and a dispatch, even with timeout
 * 0, may poll the clock that long and overrun its timeout by it; a timer with a
 * timerfd of its own may be late by as much. 0, the default, switches this off.
 * Returns 1, or 0 if that was the limit already; -EINVAL above 1 ms; -EOPNOTSUPP on a
 * virtual reactor.
 */
int asynctimer_reactor_set_spin(struct asynctimer_reactor *reactor, uint64_t limit_ns);

/*
 * Ends the use of the reactor. It stops every timer, as asynctimer_stop_nowait
 * does; from then on making, starting and restarting timers on this reactor, and
 * asynctimer_reactor_restart, answer -ESHUTDOWN. Then it waits until no callback
 * and no handler runs and no tick is deferred, for at most timeout_ns of
 * CLOCK_MONOTONIC (0: not at all; negative: without limit). At last it does what
 * asynctimer_reactor_stop does. It runs no callbacks itself, and may be called
 * again. Returns the number of ticks that are still open. 0 means that
 * asynctimer_reactor_free succeeds once all threads have left run, dispatch,
 * advance, complete, and stops and frees of its timers. -EBUSY, and nothing
 * changes, inside a callback, handler or release that this reactor runs;
 * -EDEADLK, and nothing changes, where a callback that it would wait for waits,
 * directly or through others in this library, for the calling thread.
 */
int asynctimer_reactor_shutdown(struct asynctimer_reactor *reactor, int64_t timeout_ns);

/*
 * Fills the array ret with what there is to know about up to room of the
 * reactor's timers, in no particular order. size is the distance between two
 * elements: sizeof(struct asynctimer_info). What the caller's struct has and the
 * library's has not is zeroed. A timer that was freed while its tick is open is
 * listed until the tick completes. The copy is consistent: the reactor's lock is
 * held for all of it, 20 to 200 ns per timer. Returns the number of timers, at
 * most INT_MAX, which may be larger than room; -EINVAL for a size below that of the
 * struct in release 1.0.0, or without ret where room is not 0.
 */
int asynctimer_reactor_list(struct asynctimer_reactor *reactor, uint32_t room, uint32_t size,
			    struct asynctimer_info *ret);

/*
 * Fills *ret, of size bytes, with a consistent copy, in constant time. Returns 0;
 * -EINVAL for a size below that of the struct in release 1.0.0.
 */
int asynctimer_reactor_get_stats(struct asynctimer_reactor *reactor, uint32_t size,
				 struct asynctimer_reactor_stats *ret);

/*
 * Timer: a callback, an interval, a policy and a clock.
 */

/*
 * Makes a stopped timer in *ret, with a timerfd of its own. clock is
 * CLOCK_MONOTONIC, CLOCK_BOOTTIME (which goes on during suspend) or, but not
 * with ASYNCTIMER_FIXED_DELAY, CLOCK_REALTIME. interval_ns is 1 to 2^62. Returns
 * 0; -EINVAL for any other clock or interval, an unknown policy or no callback;
 * -EBUSY while the reactor is being freed; -ESHUTDOWN after its shutdown;
 * -ENOMEM, -EMFILE or -ENFILE
 * (timerfd_create(2)); -ENOSPC (fs.epoll.max_user_watches, epoll_ctl(2)); with
 * CLOCK_REALTIME also the errors of timerfd_settime(2).
 */
int asynctimer_new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
		   asynctimer_callback callback, void *data, struct asynctimer **ret);

/*
 * The same, but without a descriptor per timer: all shared timers of a clock
 * use the same two timerfds, and there may be any number of timers. A tick may
 * be up to slack_ns late so that ticks share wake-ups; it is never early. The
 * reactor wakes up within the slack at a spot, a time that all processes of the
 * machine prefer (asynctimer(7)), or else at the end of the slack. Of more than
 * 64 slacks on a clock, further ones are rounded down, by less than an eighth.
 * Returns as asynctimer_new; -EINVAL also if slack_ns is not below the interval.
 */
int asynctimer_new_shared(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
			  uint64_t slack_ns, asynctimer_callback callback, void *data,
			  struct asynctimer **ret);

/*
 * Stops the timer, waits where asynctimer_stop would, and releases it. It never
 * fails; NULL is allowed. It returns at once, and the release comes later, in
 * three cases: it is called in the timer's own callback or handler; the timer's
 * tick is deferred; waiting would never end. The release then comes when the
 * tick completes. Where another thread still waits in stop for the timer, the
 * release comes when that wait ends. Afterwards only that tick's
 * asynctimer_complete may name the timer; and, until it returns, the callback or
 * handler that freed it, where calls that would start or change the timer answer
 * -EINVAL.
 */
void asynctimer_free(struct asynctimer *timer);

/*
 * As asynctimer_free, but never waits, for callers that hold a lock which the
 * callback wants: where asynctimer_free would wait, this returns at once, and the
 * timer is released when that callback has ended. A callback or handler that
 * another thread has claimed already may still begin. asynctimer_set_release tells
 * when the data may go; where nothing runs, the release function is called by this
 * very call, with whatever locks the caller holds.
 */
void asynctimer_free_nowait(struct asynctimer *timer);

/*
 * Has release(data) called exactly once, when no callback, handler or deferred
 * work of the timer can touch data any more. The thread that lets go of the
 * timer last calls it, with no lock held. release may free other timers.
 * NULL: nothing is called.
 */
void asynctimer_set_release(struct asynctimer *timer, void (*release)(void *data));

/*
 * Changes the interval, 1 to 2^62, of a stopped or started timer. A started
 * FIXED_SCHEDULE timer gets a new grid, anchored one old interval before its
 * next due time (before the first tick it keeps its anchor). The next tick is
 * the first point of that grid after now, and what was not delivered until now
 * counts as nothing. A started FIXED_DELAY timer is due interval_ns after its
 * last completion, or after its start, and at once if that is past; a started
 * ONCE timer is due interval_ns after its start likewise; a first tick that
 * start_after, start_at or restart_after asked for keeps its time. Returns 1; 0, and
 * nothing changes, if the timer has that interval already; -EINVAL, also for
 * an interval that is not above the slack.
 */
int asynctimer_set_interval(struct asynctimer *timer, uint64_t interval_ns);

/*
 * Has handler called with each failure of a callback or completion. The handler
 * runs as part of the callback, before the tick completes, in the thread that
 * met the failure: the one that ran the callback, or the one that completed the
 * tick after the callback had returned. After asynctimer_free no handler is
 * called. NULL: failures are only counted. Returns 1, or 0 if the timer has that
 * handler already; -EINVAL.
 */
int asynctimer_set_error_handler(struct asynctimer *timer, asynctimer_error_handler handler);

/*
 * Names the timer for those who trace the process: asynctimer(7), Tracing. The
 * name is copied and has at most 31 bytes; NULL or "" takes it away. Returns 1,
 * or 0 if the timer has that name already; -ERANGE for a longer name, and the
 * timer keeps the one it has; -EINVAL, -ENOMEM.
 */
int asynctimer_set_name(struct asynctimer *timer, const char *name);

/*
 * Start and stop. A start while the timer's last tick is still open takes effect
 * when that tick completes: grid points up to the completion are skipped as
 * busy, and a FIXED_DELAY tick is due no earlier than one interval after it. A
 * tick of ASYNCTIMER_ONCE that is due by then runs at once.
 * Ticks that a stop found undelivered count as nothing: the first tick after the
 * next start has the next number.
 */

/*
 * Starts the timer. Its grid is anchored now, as read in the call, and the first
 * tick is due one interval later. Returns 1, or 0 if the timer was started
 * already; -EINVAL after asynctimer_free; -ESHUTDOWN after
 * asynctimer_reactor_shutdown. For an own timer also the errors of
 * timerfd_settime(2), such as -EPERM from a seccomp filter; the timer then stays
 * stopped.
 */
int asynctimer_start(struct asynctimer *timer);

/*
 * The same, but the first tick is due, and the grid is anchored, delay_ns from
 * now (0: at once). In the timer's own callback a tick due before the
 * completion is skipped, so there 0 means one interval later (ONCE: at the
 * completion). Returns as
 * asynctimer_start; -EINVAL also for a delay over 2^62.
 */
int asynctimer_start_after(struct asynctimer *timer, uint64_t delay_ns);

/*
 * The same, but the grid is anchored at anchor_ns on the timer's clock. If that
 * is now or to come, the first tick is due then; if it is past, at the next grid
 * point after now (FIXED_DELAY: now; ONCE: at the anchor, so it runs at once and
 * is late by the difference). start_at(timer, 0) on CLOCK_REALTIME with
 * 60 s: every full minute. Returns as asynctimer_start; -EINVAL also for an
 * anchor over 2^63 - 1.
 */
int asynctimer_start_at(struct asynctimer *timer, uint64_t anchor_ns);

/*
 * Moves the next tick of a started timer to now + delay_ns, and its grid's anchor
 * with it, in one step: no tick and no other call comes in between. So a reset of
 * an idle timeout is one call. While the timer's tick is open, it takes effect
 * when that completes, as a start does. Ticks that were not delivered count as
 * nothing. It never waits. Returns 1; 0, and nothing changes, if the timer is stopped, so
 * that a stop in another thread wins; -EINVAL over 2^62 or after its free;
 * -ESHUTDOWN, also for a stopped timer, after asynctimer_reactor_shutdown. With a
 * timerfd of its own also timerfd_settime(2)'s errors; the old tick stays then.
 */
int asynctimer_restart_after(struct asynctimer *timer, uint64_t delay_ns);

/*
 * Stops the timer, and waits until its callback, if one is running in another
 * thread at the call, has returned; it waits even if the timer was stopped
 * already. When it has returned 1, or 0 (it was stopped already), no callback is
 * running in another thread and none starts; a start from the call on begins
 * anew. It does not wait for deferred work, nor for the callback that it is
 * called in. -EDEADLK, and nothing changes, if the thread that runs the callback
 * waits in this library, directly or through others, for the calling thread.
 */
int asynctimer_stop(struct asynctimer *timer);

/*
 * Stops the timer without waiting, for callers that hold a lock which the
 * callback wants. A callback that another thread has claimed already may still
 * begin. Returns 1, or 0 if the timer was stopped already.
 */
int asynctimer_stop_nowait(struct asynctimer *timer);

/*
 * Ends the deferred tick of that number, with result 0 or a negative errno. It
 * may be called in any thread, also before the callback has returned, after
 * stop, and once after free. The tick ends when the callback has returned
 * ASYNCTIMER_PENDING and this was called, in either order; if the callback then
 * returns anything else, the early call counts for nothing. Returns 0;
 * -EALREADY if no such tick is open or it was completed already; -EINVAL for a
 * positive result.
 */
int asynctimer_complete(struct asynctimer *timer, uint64_t number, int result);

/*
 * Questions.
 */

/* Returns 1 if the timer is started, else 0. */
int asynctimer_is_started(const struct asynctimer *timer);

/* Returns the time now on the timer's clock (clock_gettime(2)). */
uint64_t asynctimer_now_ns(const struct asynctimer *timer);

/*
 * Returns when the next tick is due, on the timer's clock; that may be past.
 * UINT64_MAX while the timer is stopped, or while a FIXED_DELAY tick is open,
 * whose end decides.
 */
uint64_t asynctimer_next_due_ns(const struct asynctimer *timer);

/*
 * Copies the timer's counts, all of one moment, to *ret. busy_since_ns is 0 also
 * for a tick that began at time 0 of a virtual clock. Returns 0; -EINVAL.
 */
int asynctimer_get_stats(const struct asynctimer *timer, struct asynctimer_stats *ret);

/*
 * Fills *ret, of size bytes (sizeof(struct asynctimer_info)), with a consistent
 * copy of what there is to know about the timer. What the caller's struct has and
 * the library's has not is zeroed. Returns 0; -EINVAL, also for a size below that
 * of the struct in release 1.0.0.
 */
int asynctimer_get_info(const struct asynctimer *timer, uint32_t size, struct asynctimer_info *ret);

/* Return what the timer was made with. */
struct asynctimer_reactor *asynctimer_get_reactor(const struct asynctimer *timer);
void *asynctimer_get_data(const struct asynctimer *timer);

/*
 * Phases, for asynctimer_start_at: pure functions, the same on every machine and
 * in every release.
 */

/*
 * Returns a phase below interval_ns (0 if that is 0) that depends on key and interval_ns
 * alone: with a key per host it survives restarts and differs between hosts. It is
 * the high word of the product of interval_ns and FNV-1a (64 bits) over the bytes
 * of key, finished by MurmurHash3's fmix64. NULL is as "".
 */
uint64_t asynctimer_splay_ns(const char *key, uint64_t interval_ns);

/*
 * Returns a phase below interval_ns for the timer number index of many. Of any number of
 * timers from 0 on, the widest gap between two phases is at most 1.9 times the
 * mean gap, and one more timer moves none of the others. It is the high word of
 * (index * 0x9E3779B97F4A7C15 mod 2^64) * interval_ns.
 */
uint64_t asynctimer_spread_ns(uint64_t index, uint64_t interval_ns);

/* Returns the version of the library in use, such as "1.0.0". */
const char *asynctimer_version(void);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
