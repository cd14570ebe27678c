/* SPDX-License-Identifier: MIT */
/*
 * A tick: claimed, its callback called, ended at once or later, completed; and
 * how a stop waits for that. The states are those of enum tick_state, and each
 * has its transitions here alone:
 *
 *   NONE -> RUNS           begin: the tick is claimed
 *   RUNS -> ENDS           end, or an asynctimer_complete before the callback returned
 *   RUNS -> DEFERRED       asynctimer__tick_run: the callback returned ASYNCTIMER_PENDING
 *   DEFERRED -> ENDS       complete_deferred
 *   ENDS -> NONE           close_tick: the schedule goes on, and who waited goes on, too
 *
 * While a callback or handler runs, a call of the reactor says where.
 */
#include <errno.h>

#include "life.h"
#include "lock.h"
#include "probes.h"
#include "tick.h"

static uint64_t now_ns_of(const struct asynctimer *timer)
{
	return asynctimer__base_now_ns(timer->base);
}

static bool runs(const struct asynctimer *timer)
{
	return timer->tick == TICK_RUNS || timer->tick == TICK_ENDS;
}

/* Where the callback or handler runs; only while it does. */
static struct call *call_of(const struct asynctimer *timer)
{
	struct call *call = timer->base->reactor->calls;

	while (call->timer != timer)
		call = call->next;
	return call;
}

bool asynctimer__tick_runs_elsewhere(const struct asynctimer *timer)
{
	return runs(timer) && call_of(timer)->thread != asynctimer__this_thread();
}

int asynctimer__tick_enter_wait(struct asynctimer *timer, struct wait *wait)
{
	return asynctimer__wait_enter(wait, timer, call_of(timer)->thread);
}

void asynctimer__tick_await_end(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = timer->base->reactor;
	uint64_t callback_seq = call_of(timer)->callback_seq;

	TEST_POINT(STOP_WAITS, timer);
	timer->waiters++;
	reactor->inside++;
	while (runs(timer) && call_of(timer)->callback_seq == callback_seq)
		asynctimer__lock_wait(reactor, ASYNCTIMER__NEVER);
	TEST_POINT(STOP_WAITED, timer);
	reactor->inside--;
	timer->waiters--;
}

/* An anchor of ASYNCTIMER_ONCE can be as far back as the clock goes, and make a tick that late. */
static void add(uint64_t *sum_ns, uint64_t ns)
{
	if (__builtin_add_overflow(*sum_ns, ns, sum_ns))
		*sum_ns = UINT64_MAX;
}

/* How much of the tick's lateness passed in other callbacks: counted here and with the timer to blame. */
static uint64_t count_behind(struct asynctimer *timer, struct call *call,
			     const struct asynctimer_tick *tick)
{
	unsigned clock = timer->base->clock_index;
	struct asynctimer *blamed;
	uint64_t behind_ns;

	if (call->lag.clock != clock)
		asynctimer__lag_shift(&call->lag, clock,
				      tick->now_ns - asynctimer__reactor_now_ns(
							     call->reactor, call->lag.clock));
	behind_ns = asynctimer__lag_claim(&call->lag, timer, tick->due_ns, tick->now_ns, &blamed);
	if (!behind_ns)
		return 0;
	add(&timer->behind_sum_ns, behind_ns);
	if (blamed)
		add(&blamed->delayed_sum_ns, behind_ns);
	return behind_ns;
}

static unsigned lateness_bucket(uint64_t lateness_ns)
{
	unsigned bits = lateness_ns ? 64 - (unsigned)__builtin_clzll(lateness_ns) : 0;

	return bits < 63 ? bits : 63;
}

static void count_begin(struct asynctimer *timer, const struct asynctimer_tick *tick)
{
	struct asynctimer_reactor_stats *stats = &timer->base->reactor->stats;
	uint64_t lateness_ns = tick->now_ns - tick->due_ns;

	if (tick->skipped_busy | tick->skipped_late) {
		timer->skipped_busy += tick->skipped_busy;
		timer->skipped_late += tick->skipped_late;
		stats->skipped_busy += tick->skipped_busy;
		stats->skipped_late += tick->skipped_late;
	}
	stats->lateness[lateness_bucket(lateness_ns)]++;
	add(&timer->lateness_sum_ns, lateness_ns);
	if (timer->lateness_max_ns < lateness_ns)
		timer->lateness_max_ns = lateness_ns;
}

/* 0 where the clock was set back meanwhile. */
static uint64_t duration_of(uint64_t begun_ns, uint64_t now_ns)
{
	return now_ns > begun_ns ? now_ns - begun_ns : 0;
}

static void count_end(struct asynctimer *timer, uint64_t now_ns)
{
	uint64_t duration_ns = duration_of(timer->schedule.node.begun_ns, now_ns);

	timer->duration_sum_ns += duration_ns;
	if (timer->duration_max_ns < duration_ns)
		timer->duration_max_ns = duration_ns;
	PROBE(tick_end, timer, duration_ns);
}

static void runs_in(struct asynctimer *timer, struct call *call, uint64_t now_ns)
{
	call->timer = timer;
	call->begun_ns = now_ns;
	call->callback_seq = ++call->reactor->callback_seq;
}

/* Stops may wait for the end of this callback, shutdowns for that of the last open tick. */
static __attribute__((noinline)) void tell_who_waits(const struct asynctimer *timer,
						     struct asynctimer_reactor *reactor)
{
	if (timer->waiters)
		asynctimer__waits_end(timer);
	pthread_cond_broadcast(&reactor->ended);
}

static void runs_no_more(struct asynctimer *timer, struct call *call)
{
	call->timer = NULL;
	if (timer->waiters | call->reactor->shutdowns_wait)
		tell_who_waits(timer, call->reactor);
}

static void begin(struct asynctimer *timer, struct call *call, uint64_t reached_ns, uint64_t now_ns,
		  struct asynctimer_tick *ret)
{
	ASSERT(timer->tick == TICK_NONE && timer->started && timer->life == TIMER_LIVES);
	if (!asynctimer__schedule_claim(&timer->schedule, reached_ns, now_ns, ret))
		asynctimer__set_started(timer, false);
	ASSERT(ret->due_ns <= now_ns);
	count_begin(timer, ret);
	call->reactor->stats.wakeups += !call->wakeup_counted;
	call->wakeup_counted = true;
	ret->behind_ns = count_behind(timer, call, ret);
	timer->tick = TICK_RUNS;
	timer->schedule.node.begun_ns = now_ns;
	call->reactor->stats.open++;
	runs_in(timer, call, now_ns);
	PROBE(tick_start, timer, ret);
}

/* For the ticks that come after this one in the same thread. */
static void count_ran(struct asynctimer *timer, struct call *call, uint64_t now_ns)
{
	if (call->dispatches)
		asynctimer__lag_ran(&call->lag, timer->life == TIMER_LIVES ? timer : NULL,
				    duration_of(call->begun_ns, now_ns), now_ns);
}

static void close_tick(struct asynctimer *timer, struct call *call, uint64_t now_ns)
{
	ASSERT(timer->tick == TICK_ENDS);
	count_end(timer, now_ns);
	count_ran(timer, call, now_ns);
	timer->tick = TICK_NONE;
	call->reactor->stats.open--;
	if (timer->started)
		timer->base->backing->complete(timer, now_ns);
	runs_no_more(timer, call);
}

/*
 * Back from the user's code: takes the lock again. False in a forked child,
 * where nothing may be touched but what the child has freed in there.
 */
static bool relock(struct asynctimer_reactor *reactor, struct call *call)
{
	if (asynctimer__relock(reactor, call))
		return true;
	if (call->timer && call->timer->life == TIMER_RETIRED)
		asynctimer__life_end(call->timer);
	return false;
}

/*
 * The tick ended with result; a failure goes to the handler first. *now_ns is
 * the reading it ended at, or a later one. The caller holds the lock, and still
 * holds it afterwards unless call->forked; the timer may be gone then.
 */
static void end(struct asynctimer *timer, struct call *call, int result, uint64_t *now_ns)
{
	struct asynctimer_reactor *reactor = call->reactor;

	timer->tick = TICK_ENDS;
	if (result < 0) {
		asynctimer_error_handler handler =
			timer->life == TIMER_LIVES ? timer->error_handler : NULL;

		timer->failures++;
		reactor->stats.failures++;
		if (handler) {
			asynctimer__unlock_in(reactor, call);
			handler(timer, result, timer->data);
			TEST_POINT(HANDLED, timer);
			if (!relock(reactor, call))
				return;
			*now_ns = now_ns_of(timer);
		}
	}
	close_tick(timer, call, *now_ns);
	if (timer->life != TIMER_LIVES) {
		struct base base = *timer->base;	/* it may go with the timer */

		reactor->stats.timers--;
		asynctimer__life_unlock(timer);
		/* The release may have taken its time. */
		if (relock(reactor, call))
			*now_ns = asynctimer__base_now_ns(&base);
	}
}

void asynctimer__tick_run(struct asynctimer *timer, struct call *call, uint64_t reached_ns,
			  uint64_t *now_ns)
{
	struct asynctimer_reactor *reactor = call->reactor;
	struct asynctimer_tick tick;
	int result;

	TEST_POINT(DUE, timer);
	begin(timer, call, reached_ns, *now_ns, &tick);
	asynctimer__unlock_in(reactor, call);

	TEST_POINT(CLAIMED, timer);
	result = timer->callback(timer, &tick, timer->data);
	TEST_POINT(RETURNED, timer);
	if (!relock(reactor, call))
		return;
	/* Read with the lock held: no complete that came before the callback's end is later than this. */
	*now_ns = now_ns_of(timer);

	if (result == ASYNCTIMER_PENDING && timer->tick == TICK_RUNS) {
		timer->tick = TICK_DEFERRED;
		count_ran(timer, call, *now_ns);
		runs_no_more(timer, call);
		return;
	}
	if (result == ASYNCTIMER_PENDING)
		result = call->result;
	else if (result > 0)
		result = -EINVAL;
	end(timer, call, result, now_ns);
}

/* The callback has returned: this thread ends its tick. */
static int complete_deferred(struct asynctimer *timer, int result)
{
	uint64_t now_ns = now_ns_of(timer);
	struct call call;

	asynctimer__call_begin(&call, timer->base->reactor);
	runs_in(timer, &call, now_ns);
	end(timer, &call, result, &now_ns);
	asynctimer__call_end(&call);
	return call.forked ? -ECHILD : 0;
}

int asynctimer__tick_complete(struct asynctimer *timer, uint64_t number, int result)
{
	struct asynctimer_reactor *reactor = timer->base->reactor;
	int r = 0;

	TEST_POINT(COMPLETES, timer);
	if (result > 0) {
		r = -EINVAL;
	} else if (timer->schedule.number != number || timer->tick == TICK_NONE ||
		   timer->tick == TICK_ENDS) {
		r = -EALREADY;
	} else if (timer->tick == TICK_DEFERRED) {
		return complete_deferred(timer, result);
	} else {
		/* The callback's return ends it. */
		timer->tick = TICK_ENDS;
		call_of(timer)->result = result;
	}
	asynctimer__unlock(reactor, false);
	return r;
}
