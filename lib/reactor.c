/* SPDX-License-Identifier: MIT */
/*
 * The epoll loop. Any number of threads may wait on the one descriptor. An edge
 * goes to one of them, which notes it under the lock before it runs anything:
 * so what it does not get to, others can. A thread holds the lock but while it
 * waits and while it is in the user's code.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "descriptor.h"
#include "life.h"
#include "lock.h"
#include "mutex.h"
#include "names.h"
#include "own.h"
#include "reactor.h"
#include "spinner.h"
#include "tick.h"
#include "wake.h"

#define EVENTS 128			/* of one harvest */
#define EDGES_LOST (UINT64_C(1) << 32)	/* adds to the eventfd: edges went to a forked child */

static const int clocks[ASYNCTIMER__CLOCKS] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

static int open_descriptors(struct asynctimer_reactor *reactor)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = ASYNCTIMER__EVENTFD_ID };
	int r = asynctimer__descriptor(epoll_create1(EPOLL_CLOEXEC));

	if (r < 0)
		return r;
	reactor->epoll_fd = r;
	r = asynctimer__descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (r < 0)
		goto close_epoll;
	reactor->event_fd = r;
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

/* Its timeouts are of CLOCK_MONOTONIC. */
static int init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;
	int r = -pthread_condattr_init(&attributes);

	if (r < 0)
		return r;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = -pthread_cond_init(cond, &attributes);
	pthread_condattr_destroy(&attributes);
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
	reactor->not_forked = page;
	r = asynctimer__mutex_init(&reactor->lock, asynctimer__is_real_time());
	if (r < 0)
		goto unmap;
	r = init_cond(&reactor->ended);
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
	munmap(page, sizeof(*reactor->not_forked));
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
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++) {
		reactor->own_bases[i] = (struct base){ &asynctimer__own, reactor,
						       asynctimer__virtual_ns(reactor, clocks[i]),
						       clocks[i], i };
		reactor->shared[i] = (struct shared){ .reactor = reactor,
						      .clock = clocks[i],
						      .pair.fired_for_ns = ASYNCTIMER__NEVER };
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

struct each {
	void (*each)(struct asynctimer *timer, void *data);
	void *data;
};

static void each_object(void *object, void *data)
{
	struct asynctimer *timer = object;
	struct each *each = data;

	if (timer->callback)
		each->each(timer, each->data);
}

void asynctimer__each_timer(struct asynctimer_reactor *reactor,
			    void (*each)(struct asynctimer *timer, void *data), void *data)
{
	struct each of_slab = { each, data };

	asynctimer__own_each(reactor, each, data);
	asynctimer__slab_each(&reactor->slab, sizeof(struct asynctimer), each_object, &of_slab);
}

static void end_life(struct asynctimer *timer, void *data)
{
	(void)data;
	asynctimer__life_end(timer);
}

static void release_own(struct asynctimer *timer, void *data)
{
	(void)data;
	timer->base->backing->release(timer);
}

/* Nothing is inside and nothing open, or this is a forked child. */
static int discard(struct asynctimer_reactor *reactor)
{
	int cancel_state;
	bool in_child;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	reactor->freeing = true;
	asynctimer__each_timer(reactor, end_life, NULL);
	asynctimer__own_each(reactor, release_own, NULL);
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		asynctimer__shared_free(&reactor->shared[i]);
	asynctimer__slab_free(&reactor->slab);
	asynctimer__garbage_free(reactor->garbage);
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
	munmap((void *)reactor->not_forked, sizeof(*reactor->not_forked));
	free(reactor);
	pthread_setcancelstate(cancel_state, NULL);
	return in_child ? -ECHILD : 0;
}

int asynctimer_reactor_free(struct asynctimer_reactor *reactor)
{
	bool busy;

	if (!reactor)
		return 0;
	if (asynctimer__lock(reactor) == -ECHILD) {
		/* One that is being freed further up the stack goes there. */
		if (reactor->freeing)
			return -ECHILD;
		asynctimer__calls_forget(reactor);
		return discard(reactor);
	}
	busy = reactor->inside || reactor->stats.open || reactor->freeing;
	reactor->freeing |= !busy;
	asynctimer__unlock(reactor, false);
	return busy ? -EBUSY : discard(reactor);
}

/* Of more threads than there is room for, the one that was written down first is forgotten. */
static struct thread_memory *place_to_remember(struct asynctimer_reactor *reactor)
{
	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		if (!reactor->remembered[i].thread)
			return &reactor->remembered[i];
	return &reactor->remembered[reactor->next_remembered++ % ASYNCTIMER__THREADS_REMEMBERED];
}

static void memorize(const struct call *call)
{
	struct thread_memory *memory;

	if (!call->lag.begun)
		return;
	memory = place_to_remember(call->reactor);
	memory->thread = asynctimer__thread_number();
	memory->lag = call->lag;
}

int asynctimer__reactor_enter(struct asynctimer_reactor *reactor, bool virtual, struct call *call)
{
	int r = asynctimer__lock(reactor);

	if (r < 0)
		return r;
	if (reactor->virtual != virtual)
		r = -EOPNOTSUPP;
	else if (reactor->freeing || asynctimer__is_inside(reactor))
		r = -EBUSY;
	if (r < 0) {
		asynctimer__unlock(reactor, false);
		return r;
	}
	asynctimer__call_begin(call, reactor);
	call->dispatches = true;
	return 0;
}

void asynctimer__reactor_remember(struct call *call)
{
	struct thread_memory *memories = call->reactor->remembered;
	uint64_t thread = asynctimer__thread_number();

	for (unsigned i = 0; i < ASYNCTIMER__THREADS_REMEMBERED; i++)
		if (memories[i].thread == thread) {
			call->lag = memories[i].lag;
			asynctimer__lag_next_call(&call->lag);
			memories[i].thread = 0;
			return;
		}
}

void asynctimer__reactor_leave(struct call *call)
{
	if (!call->forked)
		memorize(call);
	asynctimer__call_end(call);
}

/* In epoll_wait's unit, rounded up. */
static int milliseconds(int64_t ns)
{
	int64_t ms = ns / (int64_t)ASYNCTIMER_MILLISECOND + (ns % (int64_t)ASYNCTIMER_MILLISECOND > 0);

	return ms < INT_MAX ? (int)ms : INT_MAX;
}

/*
 * epoll_wait with a timeout in nanoseconds, on any kernel and libc. Refused
 * what it needs, the reactor stays readable until it gets that: not so fast.
 */
static int harvest(const struct asynctimer_reactor *reactor, struct epoll_event *events,
		   int64_t timeout_ns, bool refused)
{
	int timeout_ms = timeout_ns < 0 ? -1 : 0;
	int r;

	if (refused) {
		struct timespec pause = asynctimer__timespec(ASYNCTIMER_MILLISECOND);

		/* A signal cuts it short, but not what follows: an edge may have been seen for that. */
		if (ppoll(NULL, 0, &pause, NULL) < 0 && errno != EINTR)
			return -errno;
	}
	if (timeout_ns > 0) {
		struct timespec timeout = asynctimer__timespec((uint64_t)timeout_ns);
		struct pollfd readable = { .fd = reactor->epoll_fd, .events = POLLIN };

		r = ppoll(&readable, 1, &timeout, NULL);
		/* Where RLIMIT_NOFILE is 0, one descriptor is too many (poll(2)). */
		if (r < 0 && errno == EINVAL)
			timeout_ms = milliseconds(timeout_ns);
		else if (r <= 0)
			return r < 0 ? -errno : 0;
	}
	r = epoll_wait(reactor->epoll_fd, events, EVENTS, timeout_ms);
	return r < 0 ? -errno : r;
}

/*
 * Some thread shall look again, at all there is. While the reactor is stopped the
 * eventfd stays readable, and so every thread leaves.
 */
static void note_wake(struct asynctimer_reactor *reactor)
{
	uint64_t count = 0;
	ssize_t r;

	TEST_POINT(TAKES_WAKE, NULL);
	r = read(reactor->event_fd, &count, sizeof(count));
	/* Readable for ever, that is: each turn waits a little. */
	if (r < 0 && errno != EAGAIN)
		reactor->retry = true;
	TEST_POINT(TOOK_WAKE, NULL);
	reactor->woken = false;
	reactor->dirty |= ASYNCTIMER__ALL_CLOCKS;
	if (count >= EDGES_LOST) {
		asynctimer__own_look_at_all(reactor);
		for (unsigned i = 0; i < 2 * ASYNCTIMER__CLOCKS; i++)
			if (reactor->shared[i / 2].pair.is_open)
				asynctimer__pair_event(&reactor->shared[i / 2], i % 2);
	}
	if (asynctimer__is_stopped(reactor))
		asynctimer__wake(reactor);
}

static void note_event(struct asynctimer_reactor *reactor, uint64_t id)
{
	if (id == ASYNCTIMER__EVENTFD_ID) {
		note_wake(reactor);
	} else if (id >= ASYNCTIMER__PAIR_ID) {
		unsigned which = (unsigned)(id - ASYNCTIMER__PAIR_ID);

		asynctimer__pair_event(&reactor->shared[which / 2], which % 2);
	} else {
		asynctimer__own_event(reactor, id);
	}
}

/* Runs the shared timers of one clock that are due at until_ns, where it is now_ns. The callbacks run. */
static int run_shared(struct shared *shared, struct call *call, uint64_t until_ns, uint64_t now_ns)
{
	struct asynctimer_reactor *reactor = shared->reactor;
	int ran = 0;

	/* Shared timers' dues are known without waiting for an event: what is run now was not due then, or had slack. */
	if (call->lag.waited)
		call->lag.begun = call->lag.waited = false;
	while (!call->forked && !asynctimer__is_stopped(reactor)) {
		struct asynctimer *timer;

		/* Set back meanwhile, the clock shows for how long what is started now is not due in this turn. */
		if (now_ns < until_ns)
			until_ns = now_ns;
		timer = asynctimer__shared_take(shared, until_ns);
		if (!timer)
			break;
		asynctimer__tick_run(timer, call, now_ns, &now_ns);
		ran++;
	}
	return ran;
}

/* The own timers that are due, as many as are listed now. The callbacks run. */
static int run_own(struct call *call)
{
	struct asynctimer_reactor *reactor = call->reactor;
	unsigned left = reactor->due_count;
	int ran = 0;

	while (!call->forked && !asynctimer__is_stopped(reactor)) {
		uint64_t reached_ns, now_ns;
		struct asynctimer *timer =
			asynctimer__own_take(reactor, &left, &reached_ns, &now_ns);

		if (!timer)
			break;
		asynctimer__tick_run(timer, call, reached_ns, &now_ns);
		ran++;
	}
	return ran;
}

/*
 * Runs what is due by now; what comes due while it runs waits for the next
 * turn. look: the clocks, as bits, that may have something due. The callbacks run.
 */
static int run_due(struct call *call, unsigned look)
{
	struct asynctimer_reactor *reactor = call->reactor;
	uint64_t until_ns[ASYNCTIMER__CLOCKS];
	int ran;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		if (look & 1U << i)
			until_ns[i] = asynctimer__now_ns(clocks[i]);
	ran = run_own(call);
	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS && !call->forked; i++)
		if (look & 1U << i)
			ran += run_shared(&reactor->shared[i], call, until_ns[i],
					  ran ? asynctimer__now_ns(clocks[i]) : until_ns[i]);
	return ran;
}

static unsigned has_pairs(const struct asynctimer_reactor *reactor)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < ASYNCTIMER__CLOCKS; i++)
		bits |= (unsigned)reactor->shared[i].pair.is_open << i;
	return bits;
}

/*
 * A signal handler forked between the unlock and the wait, and this is the
 * child: it has taken edges that were the parent's, and says so.
 */
static void give_edges_back(const struct asynctimer_reactor *reactor)
{
	uint64_t lost = EDGES_LOST;
	ssize_t r;

	do
		r = write(reactor->event_fd, &lost, sizeof(lost));
	while (r < 0 && errno == EINTR);
}

/*
 * Waits up to timeout_ns and runs what is due. The caller holds the lock, and
 * still holds it afterwards unless call->forked. The callbacks run, or a
 * negative errno; *full says that there may be more.
 */
static int take_turn(struct call *call, int64_t timeout_ns, bool *full)
{
	struct asynctimer_reactor *reactor = call->reactor;
	struct epoll_event events[EVENTS];
	bool refused = reactor->retry;
	unsigned due;
	int count, ran;

	reactor->retry = false;
	if (refused) {
		reactor->dirty = ASYNCTIMER__ALL_CLOCKS;
		asynctimer__own_retry(reactor);
	}
	due = asynctimer__unlock(reactor, true);
	call->wakeup_counted = false;
	call->lag.waited = due == 0 && timeout_ns != 0;
	TEST_POINT(WAITS, NULL);
	count = harvest(reactor, events, due ? 0 : timeout_ns, refused);
	TEST_POINT(HARVESTED, NULL);
	if (!asynctimer__relock(reactor, call)) {
		if (count > 0)
			give_edges_back(reactor);
		return 0;
	}
	if (!due)
		reactor->waiting--;
	/* All of them, also once it is stopped: an edge comes once. */
	for (int i = 0; i < count; i++)
		note_event(reactor, events[i].data.u64);
	*full = count == EVENTS;
	if (reactor->spin.limit_ns && !asynctimer__spin(call))
		return 0;
	ran = run_due(call, reactor->dirty & has_pairs(reactor));
	if (ran > 0)
		return ran;
	call->lag.begun = false;
	return count < 0 ? count : 0;
}

int asynctimer_reactor_run(struct asynctimer_reactor *reactor)
{
	struct call call;
	bool full;
	int r = asynctimer__reactor_enter(reactor, false, &call);

	if (r < 0)
		return r;
	asynctimer__reactor_remember(&call);
	while (!call.forked && !asynctimer__is_stopped(reactor)) {
		r = take_turn(&call, -1, &full);
		if (r < 0 && r != -EINTR)
			break;
		r = 0;
	}
	asynctimer__reactor_leave(&call);
	return call.forked ? -ECHILD : r;
}

/* What of timeout_ns is left since begin_ns, on CLOCK_MONOTONIC. */
static int64_t time_left(int64_t timeout_ns, uint64_t begin_ns)
{
	uint64_t waited_ns = asynctimer__now_ns(CLOCK_MONOTONIC) - begin_ns;

	return waited_ns < (uint64_t)timeout_ns ? timeout_ns - (int64_t)waited_ns : 0;
}

int asynctimer_reactor_dispatch(struct asynctimer_reactor *reactor, int64_t timeout_ns)
{
	struct call call;
	uint64_t begin_ns = 0;
	int64_t left_ns = timeout_ns;
	bool full = false;
	int r = asynctimer__reactor_enter(reactor, false, &call);

	if (r < 0)
		return r;
	asynctimer__reactor_remember(&call);
	if (timeout_ns > 0)
		begin_ns = asynctimer__now_ns(CLOCK_MONOTONIC);
	while (!asynctimer__is_stopped(reactor)) {
		r = take_turn(&call, left_ns, &full);
		if (call.forked || r != 0 || left_ns == 0)
			break;
		/* An event was nobody's, or another thread's by now: wait on. */
		if (timeout_ns > 0)
			left_ns = time_left(timeout_ns, begin_ns);
	}
	if (call.forked) {
		r = -ECHILD;
	} else if (asynctimer__is_stopped(reactor)) {
		if (r == -EINTR)
			r = 0;
	} else if (full) {
		/* What is left in the kernel, the eventfd perhaps, is an edge that an edge-triggered host has had. */
		asynctimer__wake(reactor);
	}
	asynctimer__reactor_leave(&call);
	return r;
}

void asynctimer_reactor_stop(struct asynctimer_reactor *reactor)
{
	int error = errno;

	if (!reactor || asynctimer__in_child(reactor))
		return;
	__atomic_store_n(&reactor->stopped, 1, __ATOMIC_SEQ_CST);
	TEST_POINT(REACTOR_STOPS, NULL);
	asynctimer__wake(reactor);
	errno = error;
}

int asynctimer_reactor_restart(struct asynctimer_reactor *reactor)
{
	int r = asynctimer__lock(reactor);

	if (r < 0)
		return r;
	/* With the lock, for the stop of a shutdown is not to be undone. */
	if (reactor->shut) {
		r = -ESHUTDOWN;
	} else {
		r = __atomic_exchange_n(&reactor->stopped, 0, __ATOMIC_SEQ_CST);
		/* What came due meanwhile was reported to nobody. */
		asynctimer__wake(reactor);
	}
	asynctimer__unlock(reactor, false);
	return r;
}

int asynctimer_reactor_fd(struct asynctimer_reactor *reactor)
{
	int r = asynctimer__lock(reactor);

	if (r < 0)
		return r;
	reactor->polled = true;
	asynctimer__unlock(reactor, false);
	return reactor->virtual ? -EOPNOTSUPP : reactor->epoll_fd;
}

const char *asynctimer_version(void)
{
	return PACKAGE_VERSION;
}
