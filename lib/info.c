/* SPDX-License-Identifier: MIT */
/* What can be asked of timers and reactors: copies, each made under one hold of the lock. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lock.h"
#include "names.h"
#include "own.h"
#include "reactor.h"

_Static_assert(sizeof(((struct asynctimer_info *)NULL)->name) == ASYNCTIMER__NAME_SIZE,
	       "a name fits");

/* To a struct of the caller's, of size bytes: that may be newer than the library, and longer. */
static void copy_out(void *ret, uint32_t size, const void *from, uint32_t from_size)
{
	memcpy(ret, from, from_size);
	memset((char *)ret + from_size, 0, size - from_size);
}

static void get_stats(const struct asynctimer *timer, struct asynctimer_stats *ret)
{
	*ret = (struct asynctimer_stats){
		.callbacks = timer->schedule.number - timer->skipped_busy - timer->skipped_late,
		.skipped_busy = timer->skipped_busy,
		.skipped_late = timer->skipped_late,
		.failures = timer->failures,
		.lateness_sum_ns = timer->lateness_sum_ns,
		.lateness_max_ns = timer->lateness_max_ns,
		.duration_sum_ns = timer->duration_sum_ns,
		.duration_max_ns = timer->duration_max_ns,
		.busy_since_ns = timer->tick != TICK_NONE ? timer->schedule.node.begun_ns : 0,
		.behind_sum_ns = timer->behind_sum_ns,
		.delayed_sum_ns = timer->delayed_sum_ns,
	};
}

int asynctimer_get_stats(const struct asynctimer *timer, struct asynctimer_stats *ret)
{
	int r;

	if (!timer || !ret)
		return -EINVAL;
	r = asynctimer__lock(timer->base->reactor);
	if (r < 0)
		return r;
	get_stats(timer, ret);
	asynctimer__unlock(timer->base->reactor, false);
	return 0;
}

static int how_open(const struct asynctimer *timer)
{
	if (timer->tick == TICK_NONE)
		return 0;
	return timer->tick == TICK_DEFERRED ? 2 : 1;
}

static void get_info(const struct asynctimer *timer, uint32_t size, struct asynctimer_info *ret)
{
	const struct base *base = timer->base;
	const struct schedule *schedule = &timer->schedule;
	struct asynctimer_info info = {
		.timer = (struct asynctimer *)timer,
		.data = timer->data,
		.clock = base->clock,
		.policy = schedule->policy,
		.shared = base->backing != &asynctimer__own,
		.started = timer->started,
		.open = how_open(timer),
		.number = schedule->number,
		.interval_ns = schedule->interval_ns,
		.slack_ns = base->backing->slack_ns(timer),
		.next_due_ns = ASYNCTIMER__NEVER,
	};

	strcpy(info.name, asynctimer__names_find(&base->reactor->names, timer));
	if (timer->started)
		info.next_due_ns =
			asynctimer__schedule_next_due_ns(schedule, timer->tick != TICK_NONE);
	get_stats(timer, &info.stats);
	copy_out(ret, size, &info, sizeof(info));
}

int asynctimer_get_info(const struct asynctimer *timer, uint32_t size, struct asynctimer_info *ret)
{
	int r;

	if (!timer || !ret || size < sizeof(*ret))
		return -EINVAL;
	r = asynctimer__lock(timer->base->reactor);
	if (r < 0)
		return r;
	get_info(timer, size, ret);
	asynctimer__unlock(timer->base->reactor, false);
	return 0;
}

/* Of a reactor's list. */
struct listing {
	char *next;
	uint32_t room;
	uint32_t size;
	unsigned count;
};

static void list(struct asynctimer *timer, void *data)
{
	struct listing *listing = data;

	if (timer->life != TIMER_LIVES && timer->tick == TICK_NONE)
		return;
	if (listing->count < listing->room) {
		get_info(timer, listing->size, (struct asynctimer_info *)listing->next);
		listing->next += listing->size;
	}
	listing->count++;
}

int asynctimer_reactor_list(struct asynctimer_reactor *reactor, uint32_t room, uint32_t size,
			    struct asynctimer_info *ret)
{
	struct listing listing = { .next = (char *)ret, .room = room, .size = size };
	int r;

	if (size < sizeof(*ret) || (room > 0 && !ret))
		return -EINVAL;
	r = asynctimer__lock(reactor);
	if (r < 0)
		return r;
	asynctimer__each_timer(reactor, list, &listing);
	asynctimer__unlock(reactor, false);
	return listing.count < INT_MAX ? (int)listing.count : INT_MAX;
}

/* How long the longest of the callbacks and handlers that run now has run, each on its timer's clock. */
static uint64_t busy_ns(const struct asynctimer_reactor *reactor)
{
	uint64_t longest_ns = 0;

	for (const struct call *call = reactor->calls; call; call = call->next) {
		uint64_t now_ns = call->timer ? asynctimer__base_now_ns(call->timer->base) : 0;

		if (now_ns > call->begun_ns && now_ns - call->begun_ns > longest_ns)
			longest_ns = now_ns - call->begun_ns;
	}
	return longest_ns;
}

int asynctimer_reactor_get_stats(struct asynctimer_reactor *reactor, uint32_t size,
				 struct asynctimer_reactor_stats *ret)
{
	struct asynctimer_reactor_stats stats;
	int r;

	if (!ret || size < sizeof(*ret))
		return -EINVAL;
	r = asynctimer__lock(reactor);
	if (r < 0)
		return r;
	stats = reactor->stats;
	stats.busy_ns = busy_ns(reactor);
	asynctimer__unlock(reactor, false);
	copy_out(ret, size, &stats, sizeof(stats));
	return 0;
}
