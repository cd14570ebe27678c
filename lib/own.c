/* SPDX-License-Identifier: MIT */
/*
 * A timerfd of the timer's own, level-triggered: what is left undone reports
 * itself again.
 *
 * FIXED_SCHEDULE is armed once per start, absolute and periodic: the kernel
 * keeps the phase, and re-arms at read alone, so an overrun costs nothing
 * however long it is. FIXED_DELAY is armed once per tick. What read says only
 * empties the descriptor; whether a tick is due is the clock's word, because
 * the interrupt of a point that is past may still be on its way.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"
#include "timerfd.h"
#include "wake.h"

struct own {
	struct asynctimer timer;
	struct own *next;		/* on reactor->owns */
	struct own **link;		/* what points to this one there */
	uint64_t id;			/* in slots, and what epoll hands out */
	uint64_t run;			/* reactor->runs when the last tick was claimed */
	int fd;
	bool armed;			/* for the next tick; FIXED_SCHEDULE: on its grid, for ever */
	bool muted;			/* epoll does not report it; only while open */
};

static struct own *own_of(struct asynctimer *timer)
{
	return (struct own *)timer;
}

static int watch(const struct own *own, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = own->id };
	int epoll_fd = own->timer.source->reactor->epoll_fd;

	return epoll_ctl(epoll_fd, operation, own->fd, &event) < 0 ? -errno : 0;
}

static int open_fd(struct own *own)
{
	struct source *source = own->timer.source;
	struct slots *slots = &source->reactor->slots;
	int r;

	own->fd = asynctimer__timerfd_new(source->clock);
	if (own->fd < 0)
		return own->fd;
	r = asynctimer__slots_add(slots, own, &own->id);
	if (r < 0)
		goto close_fd;
	r = watch(own, EPOLL_CTL_ADD, EPOLLIN);
	if (r < 0)
		goto remove_slot;
	return 0;

remove_slot:
	asynctimer__slots_remove(slots, own->id);
close_fd:
	close(own->fd);
	return r;
}

int asynctimer__own_acquire(struct source *source, struct asynctimer **ret)
{
	struct asynctimer_reactor *reactor = source->reactor;
	struct own *own;
	void *memory;
	int r;

	if (posix_memalign(&memory, _Alignof(struct own), sizeof(*own)))
		return -ENOMEM;
	own = memory;
	*own = (struct own){ .timer.source = source };
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

static uint64_t slack_ns(const struct asynctimer *timer)
{
	(void)timer;
	return 0;
}

static void retire(struct asynctimer *timer)
{
	struct own *own = own_of(timer);
	struct asynctimer_reactor *reactor = timer->source->reactor;

	asynctimer__slots_remove(&reactor->slots, own->id);
	/* A forked child holds another descriptor of the same epoll: only close. */
	if (!asynctimer__in_child(reactor))
		watch(own, EPOLL_CTL_DEL, 0);
	close(own->fd);
}

static void release(struct asynctimer *timer)
{
	struct own *own = own_of(timer);

	*own->link = own->next;
	if (own->next)
		own->next->link = own->link;
	free(own);
}

void asynctimer__own_each(struct asynctimer_reactor *reactor, void (*each)(struct asynctimer *timer))
{
	for (struct own *own = reactor->owns, *next; own; own = next) {
		next = own->next;
		each(&own->timer);
	}
}

static void clock_was_set(struct asynctimer *timer)
{
	own_of(timer)->armed = false;
	asynctimer__schedule_clock_set(&timer->schedule, timer->anchor_ns,
				       asynctimer__source_now_ns(timer->source));
}

static int arm_fd(struct asynctimer *timer)
{
	struct own *own = own_of(timer);
	struct schedule *schedule = &timer->schedule;
	bool periodic = schedule->policy == ASYNCTIMER_FIXED_SCHEDULE;
	uint64_t next_ns;
	int r;

	do {
		next_ns = schedule->node.due_ns;
		r = asynctimer__timerfd_arm_at(own->fd, timer->source->clock, next_ns,
					       periodic ? schedule->interval_ns : 0);
		if (r == -ECANCELED) {
			clock_was_set(timer);
			r = 0;
		}
	} while (schedule->node.due_ns != next_ns);
	own->armed = r == 0;
	return r;
}

static int arm(struct asynctimer *timer, uint64_t now_ns)
{
	(void)now_ns;
	return arm_fd(timer);
}

static void unmute(struct own *own)
{
	own->muted = watch(own, EPOLL_CTL_MOD, EPOLLIN) < 0;
	if (own->muted)
		asynctimer__retry(own->timer.source->reactor);
}

static void arm_or_retry(struct own *own)
{
	if (arm_fd(&own->timer) < 0)
		asynctimer__retry(own->timer.source->reactor);
}

void asynctimer__own_retry(struct asynctimer_reactor *reactor)
{
	for (struct own *own = reactor->owns; own; own = own->next) {
		if (own->timer.open || own->timer.freed)
			continue;
		if (own->muted)
			unmute(own);
		if (own->timer.started && !own->armed)
			arm_or_retry(own);
	}
}

static void disarm(struct asynctimer *timer)
{
	own_of(timer)->armed = false;
	/* What it reports then is taken away, and this tried again. */
	if (asynctimer__timerfd_disarm(own_of(timer)->fd) < 0)
		asynctimer__retry(timer->source->reactor);
}

/* After an overrun the kernel holds expirations of points that are skipped now. */
static void take_overrun(struct own *own)
{
	struct asynctimer *timer = &own->timer;
	int r = asynctimer__timerfd_take(own->fd);

	if (r == -ECANCELED)
		clock_was_set(timer);
	/* A point that came due after the completion may have been among them. */
	else if (r > 0 && asynctimer__source_now_ns(timer->source) >= timer->schedule.node.due_ns)
		own->armed = false;
}

static void completed(struct asynctimer *timer, const struct source *source,
		      const struct frame *frame, uint64_t now_ns, uint64_t before_ns)
{
	struct own *own = own_of(timer);
	uint64_t next_ns = timer->schedule.node.due_ns;
	bool overran = next_ns > before_ns || own->muted;

	(void)source;
	(void)frame;
	if (own->muted)
		unmute(own);
	if (!timer->started)
		return;
	if (timer->schedule.policy == ASYNCTIMER_FIXED_DELAY &&
	    next_ns - now_ns == timer->schedule.interval_ns) {
		/* Relative: the kernel counts from here, which is after now_ns, so never early. */
		own->armed = asynctimer__timerfd_arm_in(own->fd, next_ns - now_ns) == 0;
		if (!own->armed)
			asynctimer__retry(timer->source->reactor);
		return;
	}
	if (next_ns < before_ns)
		own->armed = false;	/* the clock was set back */
	if (own->armed && overran)
		take_overrun(own);
	if (!own->armed)
		arm_or_retry(own);
}

const struct backing asynctimer__own = {
	.slack_ns = slack_ns,
	.retire = retire,
	.release = release,
	.arm = arm,
	.disarm = disarm,
	.completed = completed,
};

struct asynctimer *asynctimer__own_due(struct asynctimer_reactor *reactor, uint64_t id,
				       uint64_t harvested_runs, uint64_t *ret)
{
	struct own *own = asynctimer__slots_find(&reactor->slots, id);
	struct asynctimer *timer;
	uint64_t now_ns;
	int r;

	if (!own)
		return NULL;
	timer = &own->timer;
	if (timer->open) {
		/* Claimed since that harvest, it may have been harvested for the very tick that is open. */
		if (own->run <= harvested_runs && !own->muted) {
			own->muted = watch(own, EPOLL_CTL_MOD, 0) == 0;
			if (!own->muted)
				asynctimer__retry(reactor);
		}
		return NULL;
	}
	r = asynctimer__timerfd_take(own->fd);
	if (!timer->started) {
		disarm(timer);
		return NULL;
	}
	if (r == -ECANCELED)
		clock_was_set(timer);
	now_ns = asynctimer__source_now_ns(timer->source);
	if (now_ns >= timer->schedule.node.due_ns) {
		own->run = reactor->runs + 1;
		if (timer->schedule.policy == ASYNCTIMER_FIXED_DELAY)
			own->armed = false;
		*ret = now_ns;
		return timer;
	}
	/* What was read away too early must come again, what can't be read must go. */
	if (!own->armed || r != 0)
		arm_or_retry(own);
	return NULL;
}
