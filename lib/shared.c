/* SPDX-License-Identifier: MIT */
/*
 * Any number of timers in the order in which they are due, and the order in which
 * they want to be woken up; pair.c wakes them.
 *
 * Timers of equal slack form a group, in which both orders are the same. Where a clock
 * has several, the groups are queued in turn. When to wake up for a timer with slack
 * is for spots.c to say.
 */
#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>

#include "internal.h"
#include "perturbation.h"
#include "spots.h"

#define EXACT_GROUPS 64		/* of more slacks than that, further ones are rounded */

/* Timers of equal slack: the order of their due times is also that of their wake-ups. */
struct slack_group {
	struct base base;
	struct shared *shared;
	struct slack_group *next;		/* on shared->group */
	struct slack_group **link;
	uint64_t slack_ns;
	uint64_t perturbation_ns;
	struct queue queue;
	uint32_t timers;
	bool listed;			/* in by_due */
	bool wakes;			/* in by_wake */
	bool stale;			/* there with a first timer that may be another now, or not yet there */
	struct slack_group *next_stale;
	struct node by_due;
	struct node by_wake;
};

static struct slack_group *group_of(const struct asynctimer *timer)
{
	return (struct slack_group *)timer->base;
}

_Static_assert(offsetof(struct slack_group, base) == 0, "a base is cast to its group");

static struct slack_group *group_by_due(struct node *node)
{
	return (struct slack_group *)((char *)node - offsetof(struct slack_group, by_due));
}

static struct slack_group *group_by_wake(struct node *node)
{
	return (struct slack_group *)((char *)node - offsetof(struct slack_group, by_wake));
}

/* Not inline, so that a tick where all timers have one slack does not pay for it. */
static __attribute__((noinline)) void list_anew(struct slack_group *group)
{
	struct shared *shared = group->shared;
	struct node *first = asynctimer__queue_first(&group->queue);

	if (group->listed && first && first->arm_seq == group->by_due.arm_seq &&
	    first->due_ns == group->by_due.due_ns)
		return;
	if (group->listed)
		asynctimer__queue_remove(&shared->by_due, &group->by_due);
	group->listed = first != NULL;
	if (first) {
		group->by_due.due_ns = first->due_ns;
		group->by_due.arm_seq = first->arm_seq;
		asynctimer__queue_put(&shared->by_due, &group->by_due);
	}
	if (!group->stale) {
		group->stale = true;
		group->next_stale = shared->stale;
		shared->stale = group;
	}
}

/* The group's first timer may be another now. When that wants to wake up is worked out later, once for many ticks. */
static void relist(struct slack_group *group)
{
	if (group->shared->groups > 1)
		list_anew(group);
}

/* When the group's first timer wants the reactor to wake up. */
static uint64_t group_wake_ns(const struct slack_group *group, const struct node *first)
{
	return asynctimer__spots_wake_ns(first->due_ns, group->slack_ns, group->perturbation_ns);
}

/* Brings by_wake up to date. */
static void relist_stale(struct shared *shared)
{
	struct slack_group *group;

	while ((group = shared->stale)) {
		struct node *first = asynctimer__queue_first(&group->queue);

		shared->stale = group->next_stale;
		group->stale = false;
		if (group->wakes)
			asynctimer__queue_remove(&shared->by_wake, &group->by_wake);
		group->wakes = first != NULL;
		if (!first)
			continue;
		group->by_wake.due_ns = group_wake_ns(group, first);
		asynctimer__queue_put(&shared->by_wake, &group->by_wake);
	}
}

/* Takes the group, whose by_wake is up to date, out of both queues. */
static void unlist(struct slack_group *group)
{
	if (group->listed)
		asynctimer__queue_remove(&group->shared->by_due, &group->by_due);
	if (group->wakes)
		asynctimer__queue_remove(&group->shared->by_wake, &group->by_wake);
	group->listed = group->wakes = false;
}

static void put(struct slack_group *group, struct asynctimer *timer)
{
	timer->schedule.node.arm_seq = group->base.reactor->arm_seq++;
	asynctimer__queue_put(&group->queue, &timer->schedule.node);
	relist(group);
}

static struct slack_group *earliest_group(const struct shared *shared)
{
	struct node *node;

	if (shared->groups < 2)
		return shared->group;
	node = asynctimer__queue_first(&shared->by_due);
	return node ? group_by_due(node) : NULL;
}

const struct node *asynctimer__shared_first(const struct shared *shared)
{
	const struct slack_group *group = earliest_group(shared);

	return group ? asynctimer__queue_first(&group->queue) : NULL;
}

struct asynctimer *asynctimer__shared_take(struct shared *shared, uint64_t until_ns)
{
	struct slack_group *group = earliest_group(shared);
	struct node *node = group ? asynctimer__queue_take(&group->queue, until_ns) : NULL;

	if (!node)
		return NULL;
	relist(group);
	shared->reactor->dirty |= asynctimer__dirty_bit(shared);
	return asynctimer__timer_of(node);
}

/* The group with the earliest wake-up, or NULL. */
static struct slack_group *waking_group(struct shared *shared)
{
	struct node *node;

	if (shared->groups < 2)
		return shared->group;
	relist_stale(shared);
	node = asynctimer__queue_first(&shared->by_wake);
	return node ? group_by_wake(node) : NULL;
}

uint64_t asynctimer__shared_exact_ns(const struct shared *shared)
{
	const struct node *first = shared->exact ? asynctimer__queue_first(&shared->exact->queue) : NULL;

	return first ? first->due_ns : ASYNCTIMER__NEVER;
}

uint64_t asynctimer__shared_wake_ns(struct shared *shared)
{
	struct slack_group *group = waking_group(shared);
	struct node *first = group ? asynctimer__queue_first(&group->queue) : NULL;

	return first ? group_wake_ns(group, first) : ASYNCTIMER__NEVER;
}

uint64_t asynctimer__shared_second_ns(struct shared *shared)
{
	struct slack_group *group = waking_group(shared);
	const struct schedule *first;
	uint64_t due_ns;

	if (group->slack_ns > 0)
		return ASYNCTIMER__NEVER;
	first = &asynctimer__timer_of(asynctimer__queue_first(&group->queue))->schedule;
	due_ns = asynctimer__queue_second_ns(&group->queue);
	if (asynctimer__schedule_is_periodic(first) &&
	    first->node.due_ns + first->interval_ns < due_ns)
		due_ns = first->node.due_ns + first->interval_ns;
	if (shared->groups > 1 && asynctimer__queue_second_ns(&shared->by_wake) < due_ns)
		return ASYNCTIMER__NEVER;
	return due_ns;
}

/* A grid under way may have a point before the one that is queued. */
void asynctimer__shared_clock_set(struct shared *shared, uint64_t now_ns)
{
	for (struct slack_group *group = shared->group; group; group = group->next) {
		struct node *chain = NULL;
		struct node **end = &chain;
		struct node *node;

		while ((node = asynctimer__queue_take(&group->queue, UINT64_MAX))) {
			*end = node;
			node->next = NULL;
			end = &node->next;
		}
		while ((node = chain)) {
			chain = node->next;
			asynctimer__schedule_clock_set(&asynctimer__timer_of(node)->schedule, now_ns);
			asynctimer__queue_put(&group->queue, node);
		}
		relist(group);
	}
}

static int shared_arm(struct asynctimer *timer)
{
	struct slack_group *group = group_of(timer);

	put(group, timer);
	if (asynctimer__queue_first(&group->queue) == &timer->schedule.node)
		group->base.reactor->dirty |= asynctimer__dirty_bit(group->shared);
	return 0;
}

static void shared_disarm(struct asynctimer *timer)
{
	struct slack_group *group = group_of(timer);

	if (timer->tick != TICK_NONE)
		return;
	asynctimer__queue_remove(&group->queue, &timer->schedule.node);
	relist(group);
}

static int shared_restart(struct asynctimer *timer, uint64_t anchor_ns, uint64_t now_ns)
{
	struct slack_group *group = group_of(timer);
	struct node *node = &timer->schedule.node;
	uint64_t before_ns = node->due_ns;

	if (timer->tick == TICK_NONE)
		asynctimer__queue_remove(&group->queue, node);
	asynctimer__schedule_start_at(&timer->schedule, anchor_ns, now_ns);
	if (timer->tick == TICK_NONE) {
		put(group, timer);
		/* What is armed for an earlier wake-up finds nothing to run, and is armed anew: once, however often this is done. */
		if (node->due_ns < before_ns && asynctimer__queue_first(&group->queue) == node)
			group->base.reactor->dirty |= asynctimer__dirty_bit(group->shared);
	}
	return 0;
}

static void shared_complete(struct asynctimer *timer, uint64_t now_ns)
{
	struct slack_group *group = group_of(timer);

	asynctimer__schedule_complete(&timer->schedule, now_ns, now_ns);
	put(group, timer);
	group->base.reactor->dirty |= asynctimer__dirty_bit(group->shared);
}

static uint64_t shared_slack_ns(const struct asynctimer *timer)
{
	return group_of(timer)->slack_ns;
}

static void shared_retire(struct asynctimer *timer, bool in_child)
{
	/* A thread that the child has not got may have been at the queue. */
	if (timer->started && !in_child)
		shared_disarm(timer);
}

static int compare_slack(const void *a, const void *b)
{
	const struct slack_group *first = a;
	const struct slack_group *second = b;

	return (first->slack_ns > second->slack_ns) - (first->slack_ns < second->slack_ns);
}

/* Unused, a group goes; and the last but one takes the other out of the queues of groups. */
static void drop_group(struct slack_group *group)
{
	struct shared *shared = group->shared;
	struct garbage *garbage = &shared->reactor->garbage;

	relist_stale(shared);
	unlist(group);
	tdelete(group, &shared->by_slack, compare_slack);
	if (group == shared->exact)
		shared->exact = NULL;
	*group->link = group->next;
	if (group->next)
		group->next->link = group->link;
	shared->groups--;
	if (shared->groups == 1)
		unlist(shared->group);
	asynctimer__queue_reserve(&shared->by_due, shared->groups, garbage);
	asynctimer__queue_reserve(&shared->by_wake, shared->groups, garbage);
	asynctimer__queue_free(&group->queue, garbage);
	asynctimer__garbage_add(garbage, group);
}

static void shared_release(struct asynctimer *timer)
{
	struct slack_group *group = group_of(timer);

	asynctimer__slab_put(&group->base.reactor->slab, sizeof(*timer), timer);
	group->timers--;
	if (group->timers == 0)
		drop_group(group);
	else
		asynctimer__queue_reserve(&group->queue, group->timers, &group->base.reactor->garbage);
}

const struct backing asynctimer__shared = {
	.slack_ns = shared_slack_ns,
	.retire = shared_retire,
	.release = shared_release,
	.arm = shared_arm,
	.disarm = shared_disarm,
	.restart = shared_restart,
	.complete = shared_complete,
};

static int new_group(struct shared *shared, uint64_t slack_ns, struct slack_group **ret)
{
	struct slack_group *group = calloc(1, sizeof(*group));
	struct garbage *garbage = &shared->reactor->garbage;

	if (!group)
		return -ENOMEM;
	group->base = (struct base){ &asynctimer__shared, shared->reactor,
				     asynctimer__virtual_ns(shared->reactor, shared->clock),
				     shared->clock, asynctimer__clock_index(shared->clock) };
	group->shared = shared;
	group->slack_ns = slack_ns;
	if (slack_ns > 0 && !shared->reactor->virtual)
		group->perturbation_ns = asynctimer__perturbation_ns();
	if (asynctimer__queue_reserve(&shared->by_due, shared->groups + 1, garbage) < 0 ||
	    asynctimer__queue_reserve(&shared->by_wake, shared->groups + 1, garbage) < 0 ||
	    !tsearch(group, &shared->by_slack, compare_slack)) {
		free(group);
		return -ENOMEM;
	}
	group->next = shared->group;
	group->link = &shared->group;
	if (group->next)
		group->next->link = &group->next;
	shared->group = group;
	if (slack_ns == 0)
		shared->exact = group;
	shared->groups++;
	if (shared->groups == 2)
		relist(group->next);
	*ret = group;
	return 0;
}

/* To its four highest bits, down: by less than an eighth. */
static uint64_t rounded_down(uint64_t slack_ns)
{
	unsigned low_bits = slack_ns < 16 ? 0 : 60 - (unsigned)__builtin_clzll(slack_ns);

	return slack_ns >> low_bits << low_bits;
}

/* So that there are never more than some hundred groups: each tick has to find its own. */
static int find_group(struct shared *shared, uint64_t slack_ns, struct slack_group **ret)
{
	struct slack_group key = { .slack_ns = slack_ns };
	struct slack_group **found = tfind(&key, &shared->by_slack, compare_slack);

	if (!found && shared->groups >= EXACT_GROUPS) {
		key.slack_ns = rounded_down(slack_ns);
		found = tfind(&key, &shared->by_slack, compare_slack);
	}
	if (!found)
		return new_group(shared, key.slack_ns, ret);
	*ret = *found;
	return 0;
}

int asynctimer__shared_acquire(struct shared *shared, uint64_t slack_ns, struct asynctimer **ret)
{
	struct asynctimer *timer;
	struct slack_group *group;
	int r = find_group(shared, slack_ns, &group);

	if (r < 0)
		return r;
	r = asynctimer__queue_reserve(&group->queue, group->timers + 1, &shared->reactor->garbage);
	if (r < 0)
		goto drop_group;
	timer = asynctimer__slab_get(&shared->reactor->slab, sizeof(*timer));
	if (!timer) {
		r = -ENOMEM;
		goto drop_group;
	}
	/* The pair comes last because nothing closes it before the reactor is freed. */
	r = asynctimer__pair_open(shared);
	if (r < 0)
		goto put_timer;
	group->timers++;
	*timer = (struct asynctimer){ .base = &group->base };
	*ret = timer;
	return 0;

put_timer:
	asynctimer__slab_put(&shared->reactor->slab, sizeof(*timer), timer);
drop_group:
	if (group->timers == 0)
		drop_group(group);
	return r;
}

void asynctimer__shared_free(struct shared *shared)
{
	struct garbage *garbage = &shared->reactor->garbage;

	while (shared->group) {
		struct slack_group *group = shared->group;

		tdelete(group, &shared->by_slack, compare_slack);
		shared->group = group->next;
		asynctimer__queue_free(&group->queue, garbage);
		asynctimer__garbage_add(garbage, group);
	}
	asynctimer__queue_free(&shared->by_due, garbage);
	asynctimer__queue_free(&shared->by_wake, garbage);
	asynctimer__pair_close(shared);
}

#ifdef ASYNCTIMER_TEST_POINTS
void asynctimer__shared_assert(const struct shared *shared)
{
	unsigned groups = 0;

	for (const struct slack_group *group = shared->group; group; group = group->next) {
		const struct node *first = asynctimer__queue_first(&group->queue);

		groups++;
		if (shared->groups < 2)
			continue;
		ASSERT(group->listed == (first != NULL));
		ASSERT(!first || group->by_due.due_ns == first->due_ns);
		ASSERT(group->stale || (group->wakes == (first != NULL) &&
					(!first || group->by_wake.due_ns == group_wake_ns(group, first))));
		if (groups > 8)
			return;
	}
	ASSERT(groups == shared->groups);
}
#endif
