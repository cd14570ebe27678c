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
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"
#include "timerfd.h"

static int watch(struct asynctimer *timer, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = timer->own.id };
	int epoll_fd = timer->reactor->epoll_fd;

	return epoll_ctl(epoll_fd, operation, timer->own.fd, &event) < 0 ? -errno : 0;
}

static int acquire(struct asynctimer *timer)
{
	struct own *own = &timer->own;
	int r;

	own->fd = asynctimer__timerfd_new(timer->clock);
	if (own->fd < 0)
		return own->fd;
	r = asynctimer__slots_add(&timer->reactor->slots, timer, &own->id);
	if (r < 0)
		goto close_fd;
	r = watch(timer, EPOLL_CTL_ADD, EPOLLIN);
	if (r < 0)
		goto remove_slot;
	return 0;

remove_slot:
	asynctimer__slots_remove(&timer->reactor->slots, own->id);
close_fd:
	close(own->fd);
	return r;
}

static void release(struct asynctimer *timer)
{
	asynctimer__slots_remove(&timer->reactor->slots, timer->own.id);
	/* A forked child holds another descriptor of the same epoll: only close. */
	if (!asynctimer__in_child(timer->reactor))
		watch(timer, EPOLL_CTL_DEL, 0);
	close(timer->own.fd);
}

static int arm(struct asynctimer *timer)
{
	struct schedule *schedule = &timer->schedule;
	bool periodic = schedule->policy == ASYNCTIMER_FIXED_SCHEDULE;
	uint64_t next_ns;
	int r;

	do {
		next_ns = schedule->next_ns;
		r = asynctimer__timerfd_arm_at(timer->own.fd, timer->clock, next_ns,
					       periodic ? schedule->interval_ns : 0);
		if (r == -ECANCELED) {
			asynctimer__schedule_clock_set(schedule, asynctimer__now_ns(timer->clock));
			r = 0;
		}
	} while (schedule->next_ns != next_ns);
	timer->own.armed = r == 0;
	return r;
}

static void disarm(struct asynctimer *timer)
{
	asynctimer__timerfd_disarm(timer->own.fd);
	timer->own.armed = false;
}

/* After an overrun the kernel holds expirations of points that are skipped now. */
static void take_overrun(struct asynctimer *timer)
{
	int r = asynctimer__timerfd_take(timer->own.fd);

	if (r == -ECANCELED)
		timer->own.armed = false;
	/* A point that came due after the completion may have been among them. */
	else if (r > 0 && asynctimer__now_ns(timer->clock) >= timer->schedule.next_ns)
		timer->own.armed = false;
}

static void completed(struct asynctimer *timer, uint64_t now_ns, uint64_t before_ns)
{
	struct own *own = &timer->own;
	uint64_t next_ns = timer->schedule.next_ns;
	bool overran = next_ns > before_ns || own->muted;

	if (own->muted) {
		watch(timer, EPOLL_CTL_MOD, EPOLLIN);
		own->muted = false;
	}
	if (!timer->started)
		return;
	if (timer->schedule.policy == ASYNCTIMER_FIXED_DELAY) {
		/* Relative: the kernel counts from here, which is after now_ns, so never early. */
		asynctimer__timerfd_arm_in(own->fd, next_ns - now_ns);
		return;
	}
	if (next_ns < before_ns)
		own->armed = false;	/* the clock was set back */
	if (own->armed && overran)
		take_overrun(timer);
	if (!own->armed)
		arm(timer);
}

const struct backing asynctimer__own = {
	.acquire = acquire,
	.release = release,
	.arm = arm,
	.disarm = disarm,
	.completed = completed,
};

bool asynctimer__own_is_due(struct asynctimer *timer, uint64_t harvested_runs, uint64_t *ret)
{
	struct own *own = &timer->own;
	uint64_t now_ns;
	int r;

	if (timer->open) {
		/* Begun since that harvest, it may have been harvested for the very tick that runs. */
		if (timer->run <= harvested_runs && !own->muted)
			own->muted = watch(timer, EPOLL_CTL_MOD, 0) == 0;
		return false;
	}
	r = asynctimer__timerfd_take(own->fd);
	if (!timer->started)
		return false;
	now_ns = asynctimer__now_ns(timer->clock);
	if (r == -ECANCELED) {
		own->armed = false;
		asynctimer__schedule_clock_set(&timer->schedule, now_ns);
	}
	if (now_ns >= timer->schedule.next_ns) {
		*ret = now_ns;
		return true;
	}
	/* A one-shot that was read away must come again. */
	if (!own->armed || (r > 0 && timer->schedule.policy == ASYNCTIMER_FIXED_DELAY))
		arm(timer);
	return false;
}
