/* SPDX-License-Identifier: MIT */
/*
 * The thread that is awake when a tick comes due: it polls the clock, without the
 * lock. lib/README, Spinning.
 */
#include <errno.h>

#include "lock.h"
#include "spinner.h"
#include "wake.h"

/* The pairs that have fired tell how late this thread's wake-up was. */
static bool note_lateness(struct asynctimer_reactor *reactor)
{
	bool any = false;
	uint64_t late_ns;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		if (asynctimer__pair_was_late(&reactor->shared[i], &late_ns)) {
			asynctimer__spin_note(&reactor->spin, late_ns);
			any = true;
		}
	return any;
}

/*
 * If a tick without slack is due soon, and nothing is due now: the clock that shows what
 * comes first, at *until_ns; that may be the end of a window on another clock. Else NULL.
 */
static struct shared *to_spin_for(struct asynctimer_reactor *reactor, uint64_t *until_ns)
{
	struct shared *found = NULL;
	uint64_t least_ns = ASYNCTIMER__NEVER;
	bool spins = false;

	if (reactor->spins_for || reactor->first_due || asynctimer__is_stopped(reactor))
		return NULL;
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++) {
		struct shared *shared = &reactor->shared[i];
		uint64_t clock_until_ns = 0;
		uint64_t in_ns = asynctimer__pair_next_in_ns(shared, &clock_until_ns, &spins);

		if (in_ns == 0) {
			reactor->dirty |= asynctimer__dirty_bit(shared);
			return NULL;
		}
		if (in_ns < least_ns) {
			found = shared;
			least_ns = in_ns;
			*until_ns = clock_until_ns;
		}
	}
	return spins ? found : NULL;
}

/* Polls the clock, without the lock, until it shows until_ns; or it was set back, or the thread is wanted. */
static void poll_clock(struct asynctimer_reactor *reactor, int clock, uint64_t until_ns)
{
	uint64_t limit_ns = ASYNCTIMER__SPIN_LIMIT_NS;

	while (!__atomic_load_n(&reactor->spin_ends, __ATOMIC_RELAXED) &&
	       !asynctimer__is_stopped(reactor)) {
		uint64_t now_ns = asynctimer__now_ns(clock);

		if (now_ns >= until_ns || until_ns - now_ns > limit_ns)
			return;
		asynctimer__pause_processor();
	}
}

bool asynctimer__spin(struct call *call)
{
	struct asynctimer_reactor *reactor = call->reactor;
	bool waited = note_lateness(reactor);
	uint64_t until_ns;
	struct shared *shared = to_spin_for(reactor, &until_ns);

	if (!shared)
		return true;
	/* Where ticks come so densely that no wait lies between, it would never shrink. Once for each. */
	if (!waited && until_ns != reactor->spins_until_ns)
		asynctimer__spin_note(&reactor->spin, 0);
	asynctimer__unlock_to_spin(reactor, shared, until_ns);
	TEST_POINT(SPINS, NULL);
	poll_clock(reactor, shared->clock, until_ns);
	if (!asynctimer__relock(reactor, call))
		return false;
	reactor->spins_for = NULL;
	reactor->dirty |= ASYNCTIMER__ALL_CLOCKS;
	return true;
}

int asynctimer_reactor_set_spin(struct asynctimer_reactor *reactor, uint64_t limit_ns)
{
	int r = asynctimer__lock(reactor);

	if (r < 0)
		return r;
	if (reactor->virtual) {
		r = -EOPNOTSUPP;
	} else if (limit_ns > ASYNCTIMER__SPIN_LIMIT_NS) {
		r = -EINVAL;
	} else if (limit_ns != reactor->spin.limit_ns) {
		asynctimer__spin_set_limit(&reactor->spin, limit_ns);
		reactor->dirty |= ASYNCTIMER__ALL_CLOCKS;
		r = 1;
	}
	asynctimer__unlock(reactor, false);
	return r;
}
