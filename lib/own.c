/* SPDX-License-Identifier: MIT */
/*
 * A timerfd of the timer's own, edge-triggered.
 *
 * FIXED_SCHEDULE is armed once per start, absolute and periodic: the kernel
 * keeps the phase. It expires once and then not again until it is read, so an
 * overrun costs nothing however long it is. The count that read returns says
 * how far the grid has come. Others are armed once per tick and never read.
 *
 * An edge is reported once, to one thread. That thread puts the timer on the
 * reactor's list of those that are due, from which every thread takes; or, if
 * its tick is open, leaves word for the completion.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "own.h"
#include "timerfd.h"
#include "wake.h"

struct own {
	struct asynctimer timer;
	struct own *next;		/* on reactor->owns */
	struct own **link;		/* what points to this one there */
	uint64_t id;			/* in slots, and what epoll hands out */
	uint64_t uncounted_ns;		/* FIXED_SCHEDULE: the first grid point that no read has counted yet */
	int fd;
	bool armed;			/* for the next tick; FIXED_SCHEDULE: on its grid, for ever */
	bool listed;			/* among those that are due: then its tick is not open */
	bool expired;			/* and has not been read since */
};

static struct own *own_of(struct asynctimer *timer)
{
	return (struct own *)timer;
}

_Static_assert(offsetof(struct own, timer) == 0, "a timer is cast to an own one");

static bool is_periodic(const struct own *own)
{
	return asynctimer__schedule_is_periodic(&own->timer.schedule);
}

static int watch(const struct own *own, int operation)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = own->id };
	int epoll_fd = own->timer.base->reactor->epoll_fd;

	return epoll_ctl(epoll_fd, operation, own->fd, &event) < 0 ? -errno : 0;
}

static int open_fd(struct own *own)
{
	struct base *base = own->timer.base;
	struct slots *slots = &base->reactor->slots;
	int r;

	own->fd = asynctimer__timerfd_new(base->clock);
	if (own->fd < 0)
		return own->fd;
	r = asynctimer__slots_add(slots, own, &own->id);
	if (r < 0)
		goto close_fd;
	r = watch(own, EPOLL_CTL_ADD);
	if (r < 0)
		goto remove_slot;
	return 0;

remove_slot:
	asynctimer__slots_remove(slots, own->id);
close_fd:
	close(own->fd);
	return r;
}

int asynctimer__own_acquire(struct base *base, struct asynctimer **ret)
{
	struct asynctimer_reactor *reactor = base->reactor;
	struct own *own;
	void *memory;
	int r;

	if (posix_memalign(&memory, _Alignof(struct own), sizeof(*own)))
		return -ENOMEM;
	own = memory;
	*own = (struct own){ .timer.base = base };
	r = open_fd(own);
	if (r < 0) {
		free(own);
		return r;
	}
	own->next = reactor->owns;
	own->link = &reactor->owns;
	if (own->next)
		own->next->link = &own->next;
	reactor->owns = own;
	*ret = &own->timer;
	return 0;
}

static uint64_t own_slack_ns(const struct asynctimer *timer)
{
	(void)timer;
	return 0;
}

/* The list of those that are due; what links it is what shared timers have for their queue. */

static struct own *own_of_node(struct node *node)
{
	return own_of(asynctimer__timer_of(node));
}

static void list(struct own *own)
{
	struct asynctimer_reactor *reactor = own->timer.base->reactor;
	struct node *node = &own->timer.schedule.node;

	ASSERT(own->timer.tick == TICK_NONE && own->timer.started && !own->listed);
	node->next = NULL;
	node->prev = reactor->last_due;
	if (node->prev)
		node->prev->next = node;
	else
		reactor->first_due = node;
	reactor->last_due = node;
	reactor->due_count++;
	reactor->dirty |= ASYNCTIMER__OWN;
	own->listed = true;
}

static void unlist(struct own *own)
{
	struct asynctimer_reactor *reactor = own->timer.base->reactor;
	struct node *node = &own->timer.schedule.node;

	if (node->prev)
		node->prev->next = node->next;
	else
		reactor->first_due = node->next;
	if (node->next)
		node->next->prev = node->prev;
	else
		reactor->last_due = node->prev;
	reactor->due_count--;
	own->listed = false;
}

/* It may have expired: claim, or completion if its tick is open, will look. */
static void look_at(struct own *own)
{
	own->expired = true;
	if (own->timer.tick == TICK_NONE && own->timer.started && !own->listed)
		list(own);
}

void asynctimer__own_event(struct asynctimer_reactor *reactor, uint64_t id)
{
	struct own *own = asynctimer__slots_find(&reactor->slots, id);

	if (own)
		look_at(own);
}

void asynctimer__own_look_at_all(struct asynctimer_reactor *reactor)
{
	for (struct own *own = reactor->owns; own; own = own->next)
		look_at(own);
}

static void own_retire(struct asynctimer *timer, bool in_child)
{
	struct own *own = own_of(timer);
	struct asynctimer_reactor *reactor = timer->base->reactor;

	if (own->listed)
		unlist(own);
	asynctimer__slots_remove(&reactor->slots, own->id);
	/* A forked child holds another descriptor of the same epoll: only close. */
	if (!in_child)
		watch(own, EPOLL_CTL_DEL);
	close(own->fd);
}

static void own_release(struct asynctimer *timer)
{
	struct own *own = own_of(timer);

	*own->link = own->next;
	if (own->next)
		own->next->link = own->link;
	free(own);
}

void asynctimer__own_each(struct asynctimer_reactor *reactor,
			  void (*each)(struct asynctimer *timer, void *data), void *data)
{
	for (struct own *own = reactor->owns, *next; own; own = next) {
		next = own->next;
		each(&own->timer, data);
	}
}

/* Arms the timerfd for the next tick; looks again where the clock turns out to have been set. */
static int arm_fd(struct own *own)
{
	struct asynctimer *timer = &own->timer;
	struct schedule *schedule = &timer->schedule;
	uint64_t next_ns;
	int r;

	do {
		next_ns = schedule->node.due_ns;
		r = asynctimer__timerfd_arm_at(own->fd, timer->base->clock, next_ns,
					       is_periodic(own) ? schedule->interval_ns : 0);
		if (r == -ECANCELED) {
			asynctimer__schedule_clock_set(
				schedule, asynctimer__base_now_ns(timer->base));
			r = 0;
		}
	} while (schedule->node.due_ns != next_ns);
	own->uncounted_ns = next_ns;
	own->armed = r == 0;
	own->expired = false;
	return r;
}

static void arm_or_retry(struct own *own)
{
	if (arm_fd(own) < 0)
		asynctimer__retry(own->timer.base->reactor);
}

void asynctimer__own_retry(struct asynctimer_reactor *reactor)
{
	for (struct own *own = reactor->owns; own; own = own->next)
		if (own->timer.started && own->timer.tick == TICK_NONE && !own->armed && !own->listed)
			arm_or_retry(own);
}

static int own_arm(struct asynctimer *timer)
{
	struct own *own = own_of(timer);

	/* With another interval it is due at once: in this batch, and a settime into the past would cost 22 us. */
	if (timer->started &&
	    timer->schedule.node.due_ns <= asynctimer__base_now_ns(timer->base)) {
		list(own);
		return 0;
	}
	return arm_fd(own);
}

static void own_disarm(struct asynctimer *timer)
{
	struct own *own = own_of(timer);

	if (own->listed)
		unlist(own);
	own->armed = false;
	own->expired = false;
	/* Where that is refused an edge may come, once: it finds a timer that is not started, or armed anew. */
	asynctimer__timerfd_disarm(own->fd, timer->base->clock);
}

static int own_restart(struct asynctimer *timer, uint64_t anchor_ns, uint64_t now_ns)
{
	struct own *own = own_of(timer);
	struct own before = *own;
	int r;

	asynctimer__schedule_start_at(&timer->schedule, anchor_ns, now_ns);
	/* An open tick's completion arms it, and not where the timerfd stands now. */
	if (timer->tick != TICK_NONE) {
		own->armed = false;
		own->expired = false;
		return 0;
	}
	r = arm_fd(own);
	if (r < 0)
		*own = before;
	else if (own->listed)
		unlist(own);
	return r;
}

#ifdef ASYNCTIMER_TEST_POINTS
struct asynctimer__compared asynctimer__compared[2];
#endif

/* For the tests: what the count says beside what the clock does, which is read after it, or before at a completion. */
static void compare(const struct own *own, bool completion, uint64_t now_ns)
{
#ifdef ASYNCTIMER_TEST_POINTS
	struct asynctimer__compared *compared = &asynctimer__compared[completion];

	if (own->uncounted_ns <= now_ns)
		__atomic_add_fetch(&compared->behind, 1, __ATOMIC_RELAXED);
	else if (own->uncounted_ns - own->timer.schedule.interval_ns > now_ns)
		__atomic_add_fetch(&compared->ahead, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&compared->same, 1, __ATOMIC_RELAXED);
#endif
	(void)own;
	(void)completion;
	(void)now_ns;
}

/*
 * Reads how far the kernel has counted on, which also re-arms the timerfd for
 * the point after that. 1; 0 if read gave nothing; or a negative errno. Unless
 * it is 1 the timerfd counts as not armed.
 */
static int count(struct own *own)
{
	struct asynctimer *timer = &own->timer;
	uint64_t expirations;
	int r = asynctimer__timerfd_take(own->fd, &expirations);

	if (r == 0 && expirations > 0)
		r = 1;
	if (r == -ECANCELED)
		asynctimer__schedule_clock_set(&timer->schedule,
					       asynctimer__base_now_ns(timer->base));
	own->uncounted_ns += expirations * timer->schedule.interval_ns;
	own->armed = r == 1;
	own->expired = false;
	return r;
}

/*
 * FIXED_SCHEDULE: how far the grid has come at a claim, which is at *now_ns.
 * The count says so, and the clock where there is no count. It also does where
 * a point has come due since the count, whose own edge is still to come; and
 * where the count is ahead of a clock that was set, for no tick is early.
 */
static uint64_t claim_count(struct own *own, uint64_t *now_ns)
{
	bool counted = own->armed && !own->expired &&
		       own->uncounted_ns > own->timer.schedule.node.due_ns;
	int r = count(own);
	uint64_t reached_ns;

	/* The completion counted it, and no edge has come since: it is no wonder that nothing is left to be read. */
	if (r == 0 && counted) {
		own->armed = true;
		r = 1;
	}
	reached_ns = own->uncounted_ns - own->timer.schedule.interval_ns;
	*now_ns = asynctimer__base_now_ns(own->timer.base);
	if (r < 1)
		return *now_ns;
	compare(own, false, *now_ns);
	if (own->uncounted_ns <= *now_ns)
		return *now_ns;
	if (reached_ns <= *now_ns)
		return reached_ns;
	own->armed = false;
	return *now_ns;
}

/* Its tick can be claimed, at *now_ns, on a grid that has come to *reached_ns. */
static bool is_claimable(struct own *own, uint64_t *reached_ns, uint64_t *now_ns)
{
	uint64_t due_ns;

	if (is_periodic(own)) {
		*reached_ns = claim_count(own, now_ns);
	} else {
		own->armed = false;
		*now_ns = asynctimer__base_now_ns(own->timer.base);
		*reached_ns = *now_ns;
	}
	due_ns = own->timer.schedule.node.due_ns;
	if (*reached_ns >= due_ns)
		return true;
	/* The count was of points that are skipped already; else this edge had been the only one. */
	if (!own->armed || own->uncounted_ns > due_ns)
		arm_or_retry(own);
	return false;
}

struct asynctimer *asynctimer__own_take(struct asynctimer_reactor *reactor, unsigned *left,
					uint64_t *reached_ns, uint64_t *now_ns)
{
	while (*left > 0 && reactor->first_due) {
		struct own *own = own_of_node(reactor->first_due);

		--*left;
		unlist(own);
		if (is_claimable(own, reached_ns, now_ns))
			return &own->timer;
	}
	return NULL;
}

/*
 * FIXED_SCHEDULE: how far the grid has come at a completion at *now_ns. The
 * count says so, but for two races. The interrupt of a point that is past may
 * still be on its way: then the clock is right. And a point may have come due
 * between that reading and this count: it is not busy, but due. Where the clock
 * was set since, which the kernel says once, *now_ns becomes the new time.
 */
static uint64_t completion_count(struct own *own, uint64_t *now_ns)
{
	bool expired = own->expired;
	uint64_t reached_ns;
	int r;

	if (!own->armed || (!expired && *now_ns < own->timer.schedule.node.due_ns))
		return *now_ns;
	r = count(own);
	if (r == -ECANCELED)
		*now_ns = asynctimer__base_now_ns(own->timer.base);
	/* There was no edge yet, so it is still to come. */
	if (r == 0 && !expired)
		own->armed = true;
	reached_ns = own->uncounted_ns - own->timer.schedule.interval_ns;
	if (r < 1)
		return *now_ns;
	compare(own, true, *now_ns);
	if (own->uncounted_ns <= *now_ns ||
	    reached_ns <= asynctimer__base_now_ns(own->timer.base))
		return *now_ns;
	return reached_ns;
}

/* No periodic timerfd goes on by itself: it is armed for the next tick. */
static void complete_once(struct own *own, uint64_t now_ns)
{
	struct asynctimer *timer = &own->timer;
	struct schedule *schedule = &timer->schedule;

	asynctimer__schedule_complete(schedule, now_ns, now_ns);
	if (schedule->node.due_ns <= now_ns) {
		list(own);
		return;
	}
	if (timer->base->clock == CLOCK_REALTIME ||
	    schedule->node.due_ns - now_ns != schedule->interval_ns) {
		arm_or_retry(own);
		return;
	}
	/* Relative: the kernel counts from here, which is after now_ns, so never early. */
	own->armed = asynctimer__timerfd_arm_in(own->fd, schedule->interval_ns) == 0;
	if (!own->armed)
		asynctimer__retry(timer->base->reactor);
}

static void own_complete(struct asynctimer *timer, uint64_t now_ns)
{
	struct own *own = own_of(timer);
	uint64_t reached_ns;

	if (!is_periodic(own)) {
		complete_once(own, now_ns);
		return;
	}
	reached_ns = completion_count(own, &now_ns);
	asynctimer__schedule_complete(&timer->schedule, reached_ns, now_ns);
	if (!own->armed)
		arm_or_retry(own);
	else if (own->uncounted_ns > timer->schedule.node.due_ns)
		list(own);
}

const struct backing asynctimer__own = {
	.slack_ns = own_slack_ns,
	.retire = own_retire,
	.release = own_release,
	.arm = own_arm,
	.disarm = own_disarm,
	.restart = own_restart,
	.complete = own_complete,
};
