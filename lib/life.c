/* SPDX-License-Identifier: MIT */
/*
 * How long a timer lives. asynctimer_free retires it: it needs no more wake-ups
 * and takes no more starts. Its memory goes with the last of three: that free,
 * the tick that is open, and the stops that wait for it. lib/README, Lifetime.
 */
#include <unistd.h>

#include "life.h"
#include "lock.h"
#include "names.h"
#include "probes.h"

int asynctimer__life_stop(struct asynctimer *timer)
{
	if (!timer->started)
		return 0;
	timer->base->backing->disarm(timer);
	PROBE(stop, timer);
	asynctimer__set_started(timer, false);
	return 1;
}

/* What explains lateness shall not name it any more. */
static void forget(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = timer->base->reactor;

	for (struct call *call = reactor->calls; call; call = call->next)
		asynctimer__lag_forget(&call->lag, timer);
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		asynctimer__lag_forget(&reactor->remembered[i].lag, timer);
}

void asynctimer__life_retire(struct asynctimer *timer)
{
	bool in_child = asynctimer__in_child(timer->base->reactor);

	if (timer->life != TIMER_LIVES)
		return;
	if (!in_child) {
		if (timer->started)
			PROBE(stop, timer);
		forget(timer);
		timer->base->reactor->stats.timers -= timer->tick == TICK_NONE;
	}
	timer->base->backing->retire(timer, in_child);
	asynctimer__set_started(timer, false);
	timer->life = TIMER_RETIRED;
}

void asynctimer__life_end(struct asynctimer *timer)
{
	if (timer->life == TIMER_ENDED)
		return;
	asynctimer__life_retire(timer);
	timer->life = TIMER_ENDED;
	if (timer->release)
		timer->release(timer->data);
	asynctimer__call_disable_cancellation();
}

bool asynctimer__life_unlock(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = timer->base->reactor;
	void (*release)(void *data) = timer->release;
	void *data = timer->data;
	struct block *unused = NULL;
	bool last = timer->life == TIMER_RETIRED && timer->tick == TICK_NONE && !timer->waiters;
	pid_t process;

	if (last && reactor->freeing) {
		timer->life = TIMER_ENDED;
	} else if (last) {
		asynctimer__names_remove(&reactor->names, timer);
		timer->base->backing->release(timer);
		unused = asynctimer__slab_take_unused(&reactor->slab);
	}
	asynctimer__unlock(reactor, false);
	/* From here on the reactor may be gone. */
	asynctimer__blocks_free(unused);
	TEST_POINT(LETS_GO, NULL);
	if (!last || !release)
		return true;
	process = getpid();
	release(data);
	return getpid() == process;
}
