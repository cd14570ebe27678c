/* SPDX-License-Identifier: MIT */
/*
 * Any number of timers over a pair of timerfds.
 *
 * Wake-ups are what costs, so as few of them and of the system calls around
 * them as can be. The pair is armed for the two earliest wake-ups: when one
 * fires the kernel has the other queued, and settime is for a later time and
 * touches no hardware. It is never armed nearer than FLOOR_NS: a settime whose
 * time passes meanwhile costs more than that, and when due times come densely
 * the next few share a wake-up. What is due already is run, not armed for.
 * Nothing is read: settime takes the readiness away. A stop leaves the pair
 * as it is, for at most one idle wake-up.
 *
 * Timers of equal slack form a lane, in which the order of due times is also
 * that of wake-ups. Where a clock has several, the lanes are queued in turn.
 */
#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"
#include "timerfd.h"
#include "wake.h"

#define FLOOR_NS (20 * ASYNCTIMER_MICROSECOND)

struct lane {
	struct source source;
	struct shared *shared;
	struct lane *next;		/* on shared->lane */
	struct lane **link;
	uint64_t slack_ns;
	struct queue queue;
	uint32_t timers;
	bool listed;			/* in by_due and by_wake */
	struct node by_due;
	struct node by_wake;
};

static struct lane *lane_of(const struct asynctimer *timer)
{
	return (struct lane *)timer->source;
}

static struct asynctimer *timer_of(struct node *node)
{
	return (struct asynctimer *)node;	/* its first member's first */
}

static struct lane *by_due_lane(struct node *node)
{
	return (struct lane *)((char *)node - offsetof(struct lane, by_due));
}

static struct lane *by_wake_lane(struct node *node)
{
	return (struct lane *)((char *)node - offsetof(struct lane, by_wake));
}

static void unlist(struct lane *lane)
{
	if (!lane->listed)
		return;
	asynctimer__queue_remove(&lane->shared->by_due, &lane->by_due);
	asynctimer__queue_remove(&lane->shared->by_wake, &lane->by_wake);
	lane->listed = false;
}

/* The lane's first timer may be another now. */
static void relist(struct lane *lane)
{
	struct shared *shared = lane->shared;
	struct node *first;

	if (shared->lanes == 1)
		return;
	first = asynctimer__queue_first(&lane->queue);
	if (lane->listed && first && first->order == lane->by_due.order &&
	    first->due_ns == lane->by_due.due_ns)
		return;
	unlist(lane);
	if (!first)
		return;
	lane->by_due.due_ns = first->due_ns;
	lane->by_due.order = first->order;
	lane->by_wake.due_ns = first->due_ns + lane->slack_ns;
	lane->by_wake.order = first->order;
	asynctimer__queue_put(&shared->by_due, &lane->by_due);
	asynctimer__queue_put(&shared->by_wake, &lane->by_wake);
	lane->listed = true;
}

static void put(struct lane *lane, struct asynctimer *timer)
{
	timer->schedule.node.order = lane->shared->order++;
	asynctimer__queue_put(&lane->queue, &timer->schedule.node);
	relist(lane);
}

static struct lane *earliest_lane(struct shared *shared)
{
	struct node *node;

	if (shared->lanes < 2)
		return shared->lane;
	node = asynctimer__queue_first(&shared->by_due);
	return node ? by_due_lane(node) : NULL;
}

struct asynctimer *asynctimer__shared_take(struct shared *shared, uint64_t until_ns,
					   const struct source **ret)
{
	struct lane *lane = earliest_lane(shared);
	struct node *node = lane ? asynctimer__queue_take(&lane->queue, until_ns) : NULL;

	if (!node)
		return NULL;
	relist(lane);
	*ret = &lane->source;
	return timer_of(node);
}

/* The lane with the earliest wake-up, or NULL. */
static struct lane *waking_lane(struct shared *shared)
{
	struct node *node;

	if (shared->lanes < 2)
		return shared->lane;
	node = asynctimer__queue_first(&shared->by_wake);
	return node ? by_wake_lane(node) : NULL;
}

uint64_t asynctimer__shared_wake_ns(struct shared *shared)
{
	struct lane *lane = waking_lane(shared);
	struct node *first = lane ? asynctimer__queue_first(&lane->queue) : NULL;

	return first ? first->due_ns + lane->slack_ns : ASYNCTIMER__NEVER;
}

static uint64_t min_ns(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

static uint64_t max_ns(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns > b_ns ? a_ns : b_ns;
}

/* The wake-up after the first, as far as it can be known: the first timer's next may be it. */
static uint64_t second_wake_ns(struct shared *shared)
{
	struct lane *lane = waking_lane(shared);
	const struct schedule *first = &timer_of(asynctimer__queue_first(&lane->queue))->schedule;
	uint64_t due_ns = asynctimer__queue_second_ns(&lane->queue);
	uint64_t wake_ns = ASYNCTIMER__NEVER;

	if (first->policy == ASYNCTIMER_FIXED_SCHEDULE)
		due_ns = min_ns(due_ns, first->node.due_ns + first->interval_ns);
	if (due_ns != ASYNCTIMER__NEVER)
		wake_ns = due_ns + lane->slack_ns;
	if (shared->lanes > 1)
		wake_ns = min_ns(wake_ns, asynctimer__queue_second_ns(&shared->by_wake));
	return wake_ns;
}

/* CLOCK_REALTIME was set: a grid under way may have a point before the one that is queued. */
static void clock_was_set(struct shared *shared)
{
	uint64_t now_ns = asynctimer__now_ns(shared->clock);

	for (struct lane *lane = shared->lane; lane; lane = lane->next) {
		struct node *chain = NULL;
		struct node **end = &chain;
		struct node *node;

		while ((node = asynctimer__queue_take(&lane->queue, UINT64_MAX))) {
			*end = node;
			node->next = NULL;
			end = &node->next;
		}
		while ((node = chain)) {
			chain = node->next;
			asynctimer__schedule_clock_set(&timer_of(node)->schedule,
						       timer_of(node)->anchor_ns, now_ns);
			asynctimer__queue_put(&lane->queue, node);
		}
		relist(lane);
	}
}

/* False where the clock turned out to have been set, and the queue is another now. */
static bool arm_fd(struct shared *shared, unsigned which, uint64_t wake_ns)
{
	int r = asynctimer__timerfd_arm_at(shared->fd[which], shared->clock, wake_ns, 0);

	if (r < 0 && r != -ECANCELED) {
		/* It is as it was: one that has fired is still readable. */
		asynctimer__retry(shared->reactor);
		return true;
	}
	shared->armed_ns[which] = wake_ns;
	if (r == 0)
		return true;
	clock_was_set(shared);
	return false;
}

static void disarm_fd(struct shared *shared, unsigned which)
{
	if (asynctimer__timerfd_disarm(shared->fd[which]) < 0)
		asynctimer__retry(shared->reactor);
	else
		shared->armed_ns[which] = ASYNCTIMER__NEVER;
}

/* Armed for a time that is to come, up to latest_ns. */
static bool is_armed(const struct shared *shared, unsigned which, uint64_t now_ns,
		     uint64_t latest_ns)
{
	return shared->armed_ns[which] > now_ns && shared->armed_ns[which] <= latest_ns;
}

/* With nothing due at now_ns: arms the pair, the first for first_ns. False as arm_fd. */
static bool arm_pair(struct shared *shared, uint64_t first_ns, uint64_t now_ns)
{
	const uint64_t *armed_ns = shared->armed_ns;
	bool fired = armed_ns[0] <= now_ns || armed_ns[1] <= now_ns;
	uint64_t latest_ns = max_ns(first_ns, now_ns + FLOOR_NS);
	unsigned other;
	uint64_t second_ns;

	if (is_armed(shared, 0, now_ns, latest_ns)) {
		other = 1;
	} else if (is_armed(shared, 1, now_ns, latest_ns)) {
		other = 0;
	} else {
		/* One that has fired, else one that is not armed or the later one. */
		other = armed_ns[0] <= now_ns || (armed_ns[1] > now_ns && armed_ns[0] > armed_ns[1]);
		if (!arm_fd(shared, !other, latest_ns))
			return false;
	}
	/* Ahead, when one has fired. */
	if (!fired || is_armed(shared, other, now_ns, ASYNCTIMER__NEVER - 1))
		return true;
	second_ns = second_wake_ns(shared);
	if (second_ns != ASYNCTIMER__NEVER)
		return arm_fd(shared, other, max_ns(second_ns, latest_ns + FLOOR_NS));
	if (armed_ns[other] != ASYNCTIMER__NEVER)
		disarm_fd(shared, other);
	return true;
}

bool asynctimer__shared_settle(struct shared *shared, uint64_t now_ns)
{
	struct asynctimer_reactor *reactor = shared->reactor;
	uint64_t first_ns;

	if (!shared->open)
		return false;
	do {
		first_ns = asynctimer__shared_wake_ns(shared);
		if (first_ns <= now_ns || first_ns == ASYNCTIMER__NEVER)
			break;
	} while (!arm_pair(shared, first_ns, now_ns));

	if (first_ns <= now_ns) {
		/* A descriptor that has fired is readable, and stays so. */
		if (shared->armed_ns[0] > now_ns && shared->armed_ns[1] > now_ns && !reactor->woken)
			reactor->woken = asynctimer__wake(reactor);
		return true;
	}
	for (unsigned i = 0; first_ns == ASYNCTIMER__NEVER && i < 2; i++)
		if (shared->armed_ns[i] <= now_ns)
			disarm_fd(shared, i);
	return false;
}

void asynctimer__shared_event(struct shared *shared, unsigned which)
{
	int r;

	if (shared->clock != CLOCK_REALTIME)
		return;
	r = asynctimer__timerfd_take(shared->fd[which]);
	/* Set back since, that clock would seem not to have reached what has fired. */
	shared->armed_ns[which] = r < 0 && r != -ECANCELED ? 0 : ASYNCTIMER__NEVER;
	if (r == -ECANCELED)
		clock_was_set(shared);
}

static int arm(struct asynctimer *timer, uint64_t now_ns)
{
	struct lane *lane = lane_of(timer);
	struct asynctimer_reactor *reactor = lane->source.reactor;

	put(lane, timer);
	/* A dispatching thread settles before it waits, but others may be waiting. */
	if (asynctimer__queue_first(&lane->queue) == &timer->schedule.node &&
	    (reactor->waiting || !asynctimer__is_dispatching(reactor)))
		asynctimer__shared_settle(lane->shared, now_ns);
	return 0;
}

static void disarm(struct asynctimer *timer)
{
	struct lane *lane = lane_of(timer);

	if (timer->open)
		return;
	asynctimer__queue_remove(&lane->queue, &timer->schedule.node);
	relist(lane);
}

static void completed(struct asynctimer *timer, const struct source *source,
		      const struct frame *frame, uint64_t now_ns, uint64_t before_ns)
{
	struct lane *lane = (struct lane *)source;

	(void)before_ns;
	if (!timer->started)
		return;
	/* Restarted while open, it was not in the queue when the notice came. */
	if (lane->source.clock == CLOCK_REALTIME)
		asynctimer__schedule_clock_set(&timer->schedule, timer->anchor_ns, now_ns);
	put(lane, timer);
	if (!frame->dispatches)
		asynctimer__shared_settle(lane->shared, now_ns);
}

static uint64_t slack_ns(const struct asynctimer *timer)
{
	return lane_of(timer)->slack_ns;
}

static void retire(struct asynctimer *timer)
{
	/* A thread that a forked child has not got may have been at the queue. */
	if (timer->started && !asynctimer__in_child(timer->source->reactor))
		disarm(timer);
}

static int compare_slack(const void *a, const void *b)
{
	const struct lane *first = a;
	const struct lane *second = b;

	return (first->slack_ns > second->slack_ns) - (first->slack_ns < second->slack_ns);
}

/* Unused, a lane goes; and the last but one takes the other out of the queues of lanes. */
static void drop_lane(struct lane *lane)
{
	struct shared *shared = lane->shared;

	unlist(lane);
	tdelete(lane, &shared->by_slack, compare_slack);
	*lane->link = lane->next;
	if (lane->next)
		lane->next->link = lane->link;
	shared->lanes--;
	if (shared->lanes == 1)
		unlist(shared->lane);
	asynctimer__queue_reserve(&shared->by_due, shared->lanes);
	asynctimer__queue_reserve(&shared->by_wake, shared->lanes);
	asynctimer__queue_free(&lane->queue);
	free(lane);
}

static void release(struct asynctimer *timer)
{
	struct lane *lane = lane_of(timer);

	asynctimer__slab_put(&lane->source.reactor->slab, sizeof(*timer), timer);
	lane->timers--;
	if (lane->timers == 0)
		drop_lane(lane);
	else
		asynctimer__queue_reserve(&lane->queue, lane->timers);
}

const struct backing asynctimer__shared = {
	.slack_ns = slack_ns,
	.retire = retire,
	.release = release,
	.arm = arm,
	.disarm = disarm,
	.completed = completed,
};

static int open_pair(struct shared *shared)
{
	struct asynctimer_reactor *reactor = shared->reactor;
	unsigned i;
	int r;

	if (shared->open || reactor->virtual)
		return 0;
	for (i = 0; i < 2; i++) {
		struct epoll_event event = { .events = EPOLLIN,
					     .data.u64 = asynctimer__pair_id(shared, i) };

		r = asynctimer__timerfd_new(shared->clock);
		if (r < 0)
			goto close_fds;
		shared->fd[i] = r;
		shared->armed_ns[i] = ASYNCTIMER__NEVER;
		if (epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, shared->fd[i], &event) < 0) {
			r = -errno;
			close(shared->fd[i]);
			goto close_fds;
		}
	}
	shared->open = true;
	return 0;

close_fds:
	while (i--)
		close(shared->fd[i]);
	return r;
}

static int new_lane(struct shared *shared, uint64_t slack_ns, struct lane **ret)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return -ENOMEM;
	lane->source = (struct source){ &asynctimer__shared, shared->reactor, shared->clock };
	lane->shared = shared;
	lane->slack_ns = slack_ns;
	if (asynctimer__queue_reserve(&shared->by_due, shared->lanes + 1) < 0 ||
	    asynctimer__queue_reserve(&shared->by_wake, shared->lanes + 1) < 0 ||
	    !tsearch(lane, &shared->by_slack, compare_slack)) {
		free(lane);
		return -ENOMEM;
	}
	lane->next = shared->lane;
	lane->link = &shared->lane;
	if (lane->next)
		lane->next->link = &lane->next;
	shared->lane = lane;
	shared->lanes++;
	if (shared->lanes == 2)
		relist(lane->next);
	*ret = lane;
	return 0;
}

static int find_lane(struct shared *shared, uint64_t slack_ns, struct lane **ret)
{
	struct lane key = { .slack_ns = slack_ns };
	struct lane **found = tfind(&key, &shared->by_slack, compare_slack);

	if (!found)
		return new_lane(shared, slack_ns, ret);
	*ret = *found;
	return 0;
}

int asynctimer__shared_acquire(struct shared *shared, uint64_t slack_ns, struct asynctimer **ret)
{
	struct asynctimer *timer;
	struct lane *lane;
	int r = open_pair(shared);

	if (r < 0)
		return r;
	r = find_lane(shared, slack_ns, &lane);
	if (r < 0)
		return r;
	r = asynctimer__queue_reserve(&lane->queue, lane->timers + 1);
	if (r < 0)
		goto drop_lane;
	timer = asynctimer__slab_get(&shared->reactor->slab, sizeof(*timer));
	if (!timer) {
		r = -ENOMEM;
		goto drop_lane;
	}
	lane->timers++;
	*timer = (struct asynctimer){ .source = &lane->source };
	*ret = timer;
	return 0;

drop_lane:
	if (lane->timers == 0)
		drop_lane(lane);
	return r;
}

void asynctimer__shared_free(struct shared *shared)
{
	while (shared->lane) {
		struct lane *lane = shared->lane;

		tdelete(lane, &shared->by_slack, compare_slack);
		shared->lane = lane->next;
		asynctimer__queue_free(&lane->queue);
		free(lane);
	}
	asynctimer__queue_free(&shared->by_due);
	asynctimer__queue_free(&shared->by_wake);
	for (unsigned i = 0; shared->open && i < 2; i++)
		close(shared->fd[i]);
}
