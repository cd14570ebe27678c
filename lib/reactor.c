/* SPDX-License-Identifier: MIT */
/*
 * The epoll loop. Any number of threads may wait on the one descriptor; it is
 * level-triggered, so what one thread harvested and did not get to is reported
 * to the others. A thread holds the lock but while it waits and while it is in
 * the user's code, and settles the shared timers before it gives the lock up
 * where others could be needed for what is due next.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "names.h"
#include "wake.h"

#define EVENTS 128		/* of one harvest */
#define SOURCES 3		/* clocks */
#define VIRTUAL_END_NS (UINT64_C(1) << 63)

static const int clocks[SOURCES] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static int open_descriptors(struct asynctimer_reactor *reactor)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = ASYNCTIMER__EVENTFD_ID };
	int r;

	reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (reactor->epoll_fd < 0)
		return -errno;
	reactor->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reactor->event_fd < 0) {
		r = -errno;
		goto close_epoll;
	}
	if (epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, reactor->event_fd, &event) < 0) {
		r = -errno;
		goto close_event;
	}
	return 0;

close_event:
	close(reactor->event_fd);
close_epoll:
	close(reactor->epoll_fd);
	return r;
}

static int init(struct asynctimer_reactor *reactor)
{
	void *page;
	int r = asynctimer__waits_init();

	if (r == 0)
		r = asynctimer__new_forgotten_page(&page);
	if (r < 0)
		return r;
	*(uint64_t *)page = 1;
	reactor->parent = page;
	r = -pthread_mutex_init(&reactor->lock, NULL);
	if (r < 0)
		goto unmap;
	r = -pthread_cond_init(&reactor->ended, NULL);
	if (r < 0)
		goto destroy_lock;
	if (!reactor->virtual)
		r = open_descriptors(reactor);
	if (r < 0)
		goto destroy_cond;
	return 0;

destroy_cond:
	pthread_cond_destroy(&reactor->ended);
destroy_lock:
	pthread_mutex_destroy(&reactor->lock);
unmap:
	munmap(page, sizeof(*reactor->parent));
	return r;
}

static int new(bool virtual, struct asynctimer_reactor **ret)
{
	struct asynctimer_reactor *reactor;
	int cancel_state;
	int r;

	if (!ret)
		return -EINVAL;
	reactor = calloc(1, sizeof(*reactor));
	if (!reactor)
		return -ENOMEM;
	reactor->virtual = virtual;
	reactor->epoll_fd = -1;
	reactor->event_fd = -1;
	for (unsigned i = 0; i < SOURCES; i++) {
		reactor->own_sources[i] = (struct source){ &asynctimer__own, reactor, clocks[i] };
		reactor->shared[i] = (struct shared){ .reactor = reactor, .clock = clocks[i] };
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	r = init(reactor);
	pthread_setcancelstate(cancel_state, NULL);
	if (r < 0) {
		free(reactor);
		return r;
	}
	*ret = reactor;
	return 0;
}

int asynctimer_reactor_new(struct asynctimer_reactor **ret)
{
	return new(false, ret);
}

int asynctimer_reactor_new_virtual(struct asynctimer_reactor **ret)
{
	return new(true, ret);
}

static void discard_object(void *object)
{
	struct asynctimer *timer = object;

	if (timer->callback)
		asynctimer__timer_discard(timer);
}

static void release_own(struct asynctimer *timer)
{
	timer->source->backing->release(timer);
}

/* Nothing is inside and nothing open, or this is a forked child. */
static int discard(struct asynctimer_reactor *reactor)
{
	int cancel_state;
	bool in_child;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	reactor->freeing = true;
	asynctimer__own_each(reactor, asynctimer__timer_discard);
	asynctimer__slab_each(&reactor->slab, sizeof(struct asynctimer), discard_object);
	asynctimer__own_each(reactor, release_own);
	for (unsigned i = 0; i < SOURCES; i++)
		asynctimer__shared_free(&reactor->shared[i]);
	asynctimer__slab_free(&reactor->slab);
	free(reactor->slots.slot);
	asynctimer__names_free(&reactor->names);
	/* A thread that the child has not got may have held the lock. */
	in_child = asynctimer__in_child(reactor);
	if (!in_child) {
		pthread_cond_destroy(&reactor->ended);
		pthread_mutex_destroy(&reactor->lock);
	}
	if (!reactor->virtual) {
		close(reactor->event_fd);
		close(reactor->epoll_fd);
	}
	munmap((void *)reactor->parent, sizeof(*reactor->parent));
	free(reactor);
	pthread_setcancelstate(cancel_state, NULL);
	return in_child ? -ECHILD : 0;
}

int asynctimer_reactor_free(struct asynctimer_reactor *reactor)
{
	bool busy;

	if (!reactor)
		return 0;
	if (asynctimer__in_child(reactor)) {
		/* One that is being freed further up the stack goes there. */
		if (reactor->freeing)
			return -ECHILD;
		asynctimer__frames_forget(reactor);
		return discard(reactor);
	}
	pthread_mutex_lock(&reactor->lock);
	busy = reactor->inside || reactor->open || reactor->freeing;
	reactor->freeing |= !busy;
	pthread_mutex_unlock(&reactor->lock);
	return busy ? -EBUSY : discard(reactor);
}

/* Comes inside, with the lock held. */
static int enter(struct asynctimer_reactor *reactor, struct frame *frame)
{
	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	if (reactor->virtual)
		return -EOPNOTSUPP;
	if (asynctimer__is_inside(reactor))
		return -EBUSY;
	pthread_mutex_lock(&reactor->lock);
	if (reactor->freeing) {
		pthread_mutex_unlock(&reactor->lock);
		return -EBUSY;
	}
	asynctimer__frame_push(frame, reactor);
	frame->dispatches = true;
	return 0;
}

/*
 * epoll_wait with a timeout in nanoseconds, on any kernel and libc. Refused
 * what it needs, the reactor stays readable until it gets that: not so fast.
 */
static int harvest(const struct asynctimer_reactor *reactor, struct epoll_event *events,
		   int64_t timeout_ns, bool refused)
{
	int r;

	if (refused) {
		struct timespec pause = asynctimer__timespec(ASYNCTIMER_MILLISECOND);

		/* A signal cuts it short, but not what follows: an edge may have been seen for that. */
		ppoll(NULL, 0, &pause, NULL);
	}
	if (timeout_ns > 0) {
		struct timespec timeout = asynctimer__timespec((uint64_t)timeout_ns);
		struct pollfd readable = { .fd = reactor->epoll_fd, .events = POLLIN };

		r = ppoll(&readable, 1, &timeout, NULL);
		if (r <= 0)
			return r < 0 ? -errno : 0;
	}
	r = epoll_wait(reactor->epoll_fd, events, EVENTS, timeout_ns < 0 ? -1 : 0);
	return r < 0 ? -errno : r;
}

/*
 * Before a thread waits, leaves, or calls a callback while others wait: the
 * pairs are armed for what comes next. True if something is due already.
 */
static bool settle(struct asynctimer_reactor *reactor)
{
	bool due = false;

	for (unsigned i = 0; i < SOURCES; i++) {
		struct shared *shared = &reactor->shared[i];

		if (shared->open)
			due |= asynctimer__shared_settle(shared, asynctimer__now_ns(clocks[i]));
	}
	return due;
}

/* While the reactor is stopped the eventfd stays readable, and so every thread leaves. */
static void take_wake(struct asynctimer_reactor *reactor)
{
	uint64_t count;
	ssize_t r;

	TEST_POINT(TAKES_WAKE, NULL);
	r = read(reactor->event_fd, &count, sizeof(count));
	/* Readable for ever, that is: each turn waits a little. */
	if (r < 0 && errno != EAGAIN)
		reactor->retry = true;
	TEST_POINT(TOOK_WAKE, NULL);
	reactor->woken = false;
	if (asynctimer__is_stopped(reactor))
		asynctimer__wake(reactor);
}

/*
 * At now_ns: runs what is due at until_ns, which bounds the work of one
 * wake-up. The callbacks run; -ECHILD in a forked child, without the lock.
 */
static int run_shared(struct shared *shared, struct frame *frame, uint64_t until_ns, uint64_t now_ns)
{
	struct asynctimer_reactor *reactor = shared->reactor;
	int ran = 0;

	while (!asynctimer__is_stopped(reactor)) {
		const struct source *source;
		struct asynctimer *timer = asynctimer__shared_take(
			shared, until_ns < now_ns ? until_ns : now_ns, &source);

		if (!timer)
			break;
		if (reactor->waiting)
			settle(reactor);
		if (!asynctimer__timer_run(timer, source, frame, &now_ns))
			return -ECHILD;
		ran++;
	}
	return ran;
}

/* One harvest and what is done with it. */
struct turn {
	struct epoll_event events[EVENTS];
	int count;
	uint64_t runs;			/* the reactor's, when the harvest began */
	bool ran[SOURCES];		/* the shared timers: once, what comes due meanwhile waits */
};

/* The shared timers of one clock, as run_shared. */
static int run_clock(struct turn *turn, struct frame *frame, unsigned which)
{
	uint64_t now_ns;

	if (turn->ran[which])
		return 0;
	turn->ran[which] = true;
	now_ns = asynctimer__now_ns(clocks[which]);
	return run_shared(&frame->reactor->shared[which], frame, now_ns, now_ns);
}

/* Some thread shall look again, at all there is: the kernel reports own timers by itself. */
static int run_woken(struct turn *turn, struct frame *frame)
{
	int ran = 0;

	take_wake(frame->reactor);
	for (unsigned i = 0; i < SOURCES; i++) {
		int r = frame->reactor->shared[i].open ? run_clock(turn, frame, i) : 0;

		if (r < 0)
			return r;
		ran += r;
	}
	return ran;
}

/* One event; returns as run_shared. */
static int run_event(struct turn *turn, struct frame *frame, uint64_t id)
{
	struct asynctimer_reactor *reactor = frame->reactor;
	struct asynctimer *timer;
	uint64_t now_ns;

	if (id == ASYNCTIMER__EVENTFD_ID)
		return run_woken(turn, frame);
	if (id >= ASYNCTIMER__PAIR_ID) {
		unsigned which = (unsigned)(id - ASYNCTIMER__PAIR_ID);

		asynctimer__shared_event(&reactor->shared[which / 2], which % 2);
		return run_clock(turn, frame, which / 2);
	}
	timer = asynctimer__own_due(reactor, id, turn->runs, &now_ns);
	if (!timer)
		return 0;
	if (reactor->waiting)
		settle(reactor);
	return asynctimer__timer_run(timer, timer->source, frame, &now_ns) ? 1 : -ECHILD;
}

/*
 * Waits up to timeout_ns and runs what is due. Called and returns with the
 * lock held. The callbacks run, or a negative errno: -ECHILD without the lock.
 * *full says that there may be more.
 */
static int take_turn(struct frame *frame, int64_t timeout_ns, bool *full)
{
	struct asynctimer_reactor *reactor = frame->reactor;
	struct turn turn;
	bool refused;
	int ran = 0;

	turn.runs = reactor->runs;
	memset(turn.ran, 0, sizeof(turn.ran));
	refused = reactor->retry;
	reactor->retry = false;
	if (refused)
		asynctimer__own_retry(reactor);
	settle(reactor);
	reactor->waiting++;
	pthread_mutex_unlock(&reactor->lock);
	TEST_POINT(WAITS, NULL);
	turn.count = harvest(reactor, turn.events, timeout_ns, refused);
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	TEST_POINT(HARVESTED, NULL);
	pthread_mutex_lock(&reactor->lock);
	reactor->waiting--;
	*full = turn.count == EVENTS;
	for (int i = 0; i < turn.count && !asynctimer__is_stopped(reactor); i++) {
		int r = run_event(&turn, frame, turn.events[i].data.u64);

		if (r < 0)
			return r;
		ran += r;
	}
	return turn.count < 0 ? turn.count : ran;
}

int asynctimer_reactor_run(struct asynctimer_reactor *reactor)
{
	struct frame frame;
	bool full;
	int r = enter(reactor, &frame);

	if (r < 0)
		return r;
	while (!asynctimer__is_stopped(reactor)) {
		r = take_turn(&frame, -1, &full);
		if (r < 0 && r != -EINTR)
			break;
		r = 0;
	}
	if (r != -ECHILD)
		settle(reactor);
	asynctimer__frame_pop(&frame, r != -ECHILD);
	return r;
}

int asynctimer_reactor_dispatch(struct asynctimer_reactor *reactor, int64_t timeout_ns)
{
	struct frame frame;
	uint64_t begin_ns = 0;
	int64_t left_ns = timeout_ns;
	bool full = false;
	int r = enter(reactor, &frame);

	if (r < 0)
		return r;
	if (timeout_ns > 0)
		begin_ns = asynctimer__now_ns(CLOCK_MONOTONIC);
	while (!asynctimer__is_stopped(reactor)) {
		r = take_turn(&frame, left_ns, &full);
		if (r != 0 || left_ns == 0)
			break;
		/* An event was nobody's, or another thread's by now: wait on. */
		if (timeout_ns > 0) {
			uint64_t waited_ns = asynctimer__now_ns(CLOCK_MONOTONIC) - begin_ns;

			left_ns = waited_ns < (uint64_t)timeout_ns ? timeout_ns - (int64_t)waited_ns : 0;
		}
	}
	if (r == -EINTR && asynctimer__is_stopped(reactor))
		r = 0;
	/* A host that polls edge-triggered needs an edge for what is left. */
	if (r != -ECHILD && (settle(reactor) || full || reactor->retry) &&
	    !asynctimer__is_stopped(reactor))
		asynctimer__wake(reactor);
	asynctimer__frame_pop(&frame, r != -ECHILD);
	return r;
}

void asynctimer_reactor_stop(struct asynctimer_reactor *reactor)
{
	int error = errno;

	if (!reactor || asynctimer__in_child(reactor))
		return;
	__atomic_store_n(&reactor->stopped, 1, __ATOMIC_SEQ_CST);
	TEST_POINT(REACTOR_STOPS, NULL);
	if (!reactor->virtual)
		asynctimer__wake(reactor);
	errno = error;
}

int asynctimer_reactor_restart(struct asynctimer_reactor *reactor)
{
	int r;

	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	r = __atomic_exchange_n(&reactor->stopped, 0, __ATOMIC_SEQ_CST);
	/* What came due meanwhile was reported to nobody. */
	if (!reactor->virtual)
		asynctimer__wake(reactor);
	return r;
}

int asynctimer_reactor_fd(struct asynctimer_reactor *reactor)
{
	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	return reactor->virtual ? -EOPNOTSUPP : reactor->epoll_fd;
}

/* With the lock held: runs the wake-ups up to target_ns. As run_shared. */
static int run_until(struct asynctimer_reactor *reactor, struct frame *frame, uint64_t target_ns)
{
	struct shared *shared = &reactor->shared[0];
	int ran = 0;

	while (!asynctimer__is_stopped(reactor)) {
		uint64_t wake_ns = asynctimer__shared_wake_ns(shared);
		int r;

		if (wake_ns > target_ns)
			break;
		if (reactor->virtual_ns < wake_ns)
			reactor->virtual_ns = wake_ns;
		/* A callback may have moved the clock further: what that made due waits. */
		r = run_shared(shared, frame,
			       reactor->virtual_ns < target_ns ? reactor->virtual_ns : target_ns,
			       reactor->virtual_ns);
		if (r < 0)
			return r;
		ran = r < INT_MAX - ran ? ran + r : INT_MAX;
	}
	if (reactor->virtual_ns < target_ns && !asynctimer__is_stopped(reactor))
		reactor->virtual_ns = target_ns;
	return ran;
}

/* With the lock held: some thread advances the clock. */
static bool is_advancing(const struct asynctimer_reactor *reactor)
{
	for (const struct frame *frame = reactor->frames; frame; frame = frame->next)
		if (frame->dispatches)
			return true;
	return false;
}

int asynctimer_reactor_advance(struct asynctimer_reactor *reactor, uint64_t ns)
{
	struct frame frame;
	bool inside;
	int r = 0;

	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	if (!reactor->virtual)
		return -EOPNOTSUPP;
	inside = asynctimer__is_inside(reactor);
	pthread_mutex_lock(&reactor->lock);
	if (reactor->freeing || (!inside && is_advancing(reactor))) {
		r = -EBUSY;
	} else if (ns > VIRTUAL_END_NS - reactor->virtual_ns) {
		r = -EOVERFLOW;
	} else if (inside) {
		/* This callback took so long. */
		reactor->virtual_ns += ns;
	} else {
		asynctimer__frame_push(&frame, reactor);
		frame.dispatches = true;
		r = run_until(reactor, &frame, reactor->virtual_ns + ns);
		asynctimer__frame_pop(&frame, r != -ECHILD);
		return r;
	}
	pthread_mutex_unlock(&reactor->lock);
	return r;
}

const char *asynctimer_version(void)
{
	return PACKAGE_VERSION;
}
