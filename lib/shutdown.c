/* SPDX-License-Identifier: MIT */
/* The end of a reactor's use: every timer is stopped for ever, and what runs is waited for. */
#include <errno.h>
#include <limits.h>

#include "life.h"
#include "lock.h"
#include "reactor.h"

static void stop(struct asynctimer *timer, void *data)
{
	(void)data;
	asynctimer__life_stop(timer);
}

/* Waits until no tick is open, or CLOCK_MONOTONIC shows until_ns. */
static void await_end(struct asynctimer_reactor *reactor, uint64_t until_ns)
{
	reactor->inside++;
	reactor->shutdowns_wait++;
	/* A signal handler may fork meanwhile, and return in the child: that has nobody to wait for. */
	while (!asynctimer__in_child(reactor) && reactor->stats.open &&
	       (until_ns == ASYNCTIMER__NEVER || asynctimer__now_ns(CLOCK_MONOTONIC) < until_ns))
		asynctimer__lock_wait(reactor, until_ns);
	reactor->shutdowns_wait--;
	reactor->inside--;
}

/* The caller holds the lock. Ticks that are still open, or an error. */
static int shut_down(struct asynctimer_reactor *reactor, bool waits, uint64_t until_ns)
{
	struct wait wait;
	int r;

	if (reactor->freeing || asynctimer__is_inside(reactor))
		return -EBUSY;
	waits = waits && reactor->stats.open;
	r = waits ? asynctimer__wait_enter(&wait, reactor, NULL) : 0;
	if (r < 0)
		return r;
	reactor->shut = true;
	asynctimer__each_timer(reactor, stop, NULL);
	if (waits) {
		await_end(reactor, until_ns);
		if (asynctimer__in_child(reactor))
			return -ECHILD;
		asynctimer__wait_leave(&wait);
	}
	asynctimer_reactor_stop(reactor);
	return reactor->stats.open < INT_MAX ? (int)reactor->stats.open : INT_MAX;
}

int asynctimer_reactor_shutdown(struct asynctimer_reactor *reactor, int64_t timeout_ns)
{
	uint64_t until_ns = ASYNCTIMER__NEVER;
	int cancel_state;
	int r;

	if (timeout_ns >= 0)
		until_ns = asynctimer__now_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ns;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	r = asynctimer__lock(reactor);
	if (r == 0) {
		r = shut_down(reactor, timeout_ns != 0, until_ns);
		if (!asynctimer__in_child(reactor))
			asynctimer__unlock(reactor, false);
	}
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}
