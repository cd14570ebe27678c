/* SPDX-License-Identifier: MIT */
/*
 * The reactor whose clocks move by hand. Its timers, own and shared ones alike,
 * are shared timers of their clocks, which have no timerfds. The three clocks
 * advance together; one of them can also be set. What this reactor has in common
 * with others asks reactor->virtual in a few places: what not to open, close or
 * write.
 */
#include <errno.h>
#include <limits.h>

#include "lock.h"
#include "reactor.h"
#include "tick.h"
#include "wake.h"

#define END_NS (UINT64_C(1) << 63)

/* By so much can all clocks advance without one that passes the end. */
static uint64_t room_ns(const struct asynctimer_reactor *reactor)
{
	uint64_t latest_ns = 0;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		if (reactor->virtual_ns[i] > latest_ns)
			latest_ns = reactor->virtual_ns[i];
	return END_NS - latest_ns;
}

static void move(struct asynctimer_reactor *reactor, uint64_t ns)
{
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		reactor->virtual_ns[i] += ns;
}

/* How long until the next wake-up on any of the clocks, counted from until_ns[] of each: 0 if it is not later. */
static uint64_t time_to_wake_up(struct asynctimer_reactor *reactor, const uint64_t until_ns[])
{
	uint64_t least_ns = ASYNCTIMER__NEVER;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++) {
		uint64_t wake_ns = asynctimer__shared_wake_ns(&reactor->shared[i]);

		if (wake_ns == ASYNCTIMER__NEVER)
			continue;
		if (wake_ns <= until_ns[i])
			return 0;
		if (wake_ns - until_ns[i] < least_ns)
			least_ns = wake_ns - until_ns[i];
	}
	return least_ns;
}

/*
 * The clock whose earliest timer, due at until_ns[] of its clock, has been due for
 * the longest time, of equal ones that which was armed first; NULL if none is due.
 */
static struct shared *most_overdue(struct asynctimer_reactor *reactor, const uint64_t until_ns[])
{
	struct shared *found = NULL;
	uint64_t found_ns = 0, found_seq = 0;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++) {
		const struct node *first = asynctimer__shared_first(&reactor->shared[i]);
		uint64_t now_ns = reactor->virtual_ns[i];
		uint64_t overdue_ns;

		/* Set back meanwhile, the clock may show less than until_ns. */
		if (!first || first->due_ns > until_ns[i] || first->due_ns > now_ns)
			continue;
		overdue_ns = now_ns - first->due_ns;
		if (found && (overdue_ns < found_ns ||
			      (overdue_ns == found_ns &&
			       asynctimer__seq_before(found_seq, first->arm_seq))))
			continue;
		found = &reactor->shared[i];
		found_ns = overdue_ns;
		found_seq = first->arm_seq;
	}
	return found;
}

/* Runs what is due on all clocks at until_ns[] of each. The callbacks run. */
static int run_wake_up(struct call *call, const uint64_t until_ns[])
{
	struct asynctimer_reactor *reactor = call->reactor;
	int ran = 0;

	while (!call->forked && !asynctimer__is_stopped(reactor)) {
		struct shared *shared = most_overdue(reactor, until_ns);
		uint64_t now_ns;

		if (!shared)
			break;
		now_ns = reactor->virtual_ns[shared - reactor->shared];
		asynctimer__tick_run(asynctimer__shared_take(shared, now_ns), call, now_ns, &now_ns);
		ran++;
	}
	return ran;
}

/*
 * Moves the clocks to the next wake-up, if that comes by advance_to_ns, and runs
 * it: returns the callbacks. -1 if there is none.
 */
static int take_step(struct call *call)
{
	struct asynctimer_reactor *reactor = call->reactor;
	uint64_t now_ns = reactor->virtual_ns[0];
	uint64_t to_ns = reactor->advance_to_ns;
	uint64_t until_ns[ASYNCTIMER__CLOCKS];
	uint64_t wait_ns;

	/* A callback may have moved the clocks further: what that made due waits. */
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++) {
		uint64_t beyond_ns = now_ns > to_ns ? now_ns - to_ns : 0;

		until_ns[i] = reactor->virtual_ns[i] > beyond_ns ? reactor->virtual_ns[i] - beyond_ns : 0;
	}
	wait_ns = time_to_wake_up(reactor, until_ns);
	if (wait_ns > 0) {
		if (now_ns >= to_ns || wait_ns > to_ns - now_ns)
			return -1;
		move(reactor, wait_ns);
		for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
			until_ns[i] = reactor->virtual_ns[i];
		call->lag.begun = false;
	}
	call->wakeup_counted = false;
	return run_wake_up(call, until_ns);
}

/* Runs the wake-ups up to advance_to_ns. The callbacks run. */
static int run_until(struct call *call)
{
	struct asynctimer_reactor *reactor = call->reactor;
	int ran = 0;

	while (!call->forked && !asynctimer__is_stopped(reactor)) {
		int more = take_step(call);

		if (more < 0)
			break;
		ran = more < INT_MAX - ran ? ran + more : INT_MAX;
	}
	if (call->forked || asynctimer__is_stopped(reactor))
		return ran;
	if (reactor->virtual_ns[0] < reactor->advance_to_ns) {
		move(reactor, reactor->advance_to_ns - reactor->virtual_ns[0]);
		call->lag.begun = false;
	} else if (ran == 0) {
		call->lag.begun = false;
	}
	return ran;
}

/* A callback says that it takes that long. */
static int take_time(struct asynctimer_reactor *reactor, uint64_t ns)
{
	int r = asynctimer__lock(reactor);

	if (r < 0)
		return r;
	if (ns > room_ns(reactor))
		r = -EOVERFLOW;
	else
		move(reactor, ns);
	asynctimer__unlock(reactor, false);
	return r;
}

static bool another_thread_advances(const struct asynctimer_reactor *reactor)
{
	for (const struct call *call = reactor->calls; call; call = call->next)
		if (call->dispatches && call->thread != asynctimer__this_thread())
			return true;
	return false;
}

int asynctimer_reactor_advance(struct asynctimer_reactor *reactor, uint64_t ns)
{
	struct call call;
	int r;

	if (reactor && !asynctimer__in_child(reactor) && reactor->virtual &&
	    asynctimer__is_inside(reactor))
		return take_time(reactor, ns);
	r = asynctimer__reactor_enter(reactor, true, &call);
	if (r < 0)
		return r;
	if (another_thread_advances(reactor)) {
		r = -EBUSY;
	} else if (ns > room_ns(reactor)) {
		r = -EOVERFLOW;
	} else {
		asynctimer__reactor_remember(&call);
		reactor->advance_to_ns = reactor->virtual_ns[0] + ns;
		r = run_until(&call);
		if (!call.forked)
			reactor->advance_to_ns = 0;
	}
	asynctimer__reactor_leave(&call);
	return call.forked ? -ECHILD : r;
}

static bool can_be_set(const struct asynctimer_reactor *reactor, int clock, uint64_t now_ns)
{
	uint64_t to_come_ns = reactor->advance_to_ns > reactor->virtual_ns[0]
				      ? reactor->advance_to_ns - reactor->virtual_ns[0]
				      : 0;

	if (now_ns > END_NS - to_come_ns)
		return false;
	return clock == CLOCK_REALTIME ||
	       (clock == CLOCK_BOOTTIME && now_ns >= reactor->virtual_ns[asynctimer__clock_index(clock)]);
}

/* What explains lateness is of before the clock is set: it stays as long ago as it was. */
static void shift_lags(struct asynctimer_reactor *reactor, unsigned clock, uint64_t offset_ns)
{
	for (struct call *call = reactor->calls; call; call = call->next)
		if (call->lag.clock == clock)
			asynctimer__lag_shift(&call->lag, clock, offset_ns);
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		if (reactor->remembered[i].lag.clock == clock)
			asynctimer__lag_shift(&reactor->remembered[i].lag, clock, offset_ns);
}

int asynctimer_reactor_set_clock(struct asynctimer_reactor *reactor, int clock, uint64_t now_ns)
{
	unsigned which = asynctimer__clock_index(clock);
	int r = asynctimer__lock(reactor);

	if (r < 0)
		return r;
	if (!reactor->virtual) {
		r = -EOPNOTSUPP;
	} else if (reactor->freeing || another_thread_advances(reactor)) {
		r = -EBUSY;
	} else if (!can_be_set(reactor, clock, now_ns)) {
		r = -EINVAL;
	} else {
		shift_lags(reactor, which, now_ns - reactor->virtual_ns[which]);
		reactor->virtual_ns[which] = now_ns;
		if (clock == CLOCK_REALTIME)
			asynctimer__shared_clock_set(&reactor->shared[which], now_ns);
	}
	asynctimer__unlock(reactor, false);
	return r;
}
