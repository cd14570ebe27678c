/* SPDX-License-Identifier: MIT */
/*
 * The epoll loop. Any number of threads may wait on the one descriptor; it is
 * level-triggered, so what one thread harvested and did not get to is reported
 * to the others.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define EVENTS 128		/* of one harvest */
#define EVENTFD_ID UINT64_MAX	/* no timer's id */

/* A page that reads 1 here and 0 in a forked child. */
static int new_parent_page(const volatile uint64_t **ret)
{
	uint64_t *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	if (madvise(page, sizeof(*page), MADV_WIPEONFORK) < 0) {
		int r = errno == EINVAL ? -EOPNOTSUPP : -errno;

		munmap(page, sizeof(*page));
		return r;
	}
	*page = 1;
	*ret = page;
	return 0;
}

static int open_descriptors(struct asynctimer_reactor *reactor)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = EVENTFD_ID };
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
	int r = new_parent_page(&reactor->parent);

	if (r < 0)
		return r;
	r = -pthread_mutex_init(&reactor->lock, NULL);
	if (r < 0)
		goto unmap;
	r = -pthread_cond_init(&reactor->ended, NULL);
	if (r < 0)
		goto destroy_lock;
	r = open_descriptors(reactor);
	if (r < 0)
		goto destroy_cond;
	return 0;

destroy_cond:
	pthread_cond_destroy(&reactor->ended);
destroy_lock:
	pthread_mutex_destroy(&reactor->lock);
unmap:
	munmap((void *)reactor->parent, sizeof(*reactor->parent));
	return r;
}

int asynctimer_reactor_new(struct asynctimer_reactor **ret)
{
	struct asynctimer_reactor *reactor;
	int cancel_state;
	int r;

	if (!ret)
		return -EINVAL;
	reactor = calloc(1, sizeof(*reactor));
	if (!reactor)
		return -ENOMEM;
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

/* Nothing is inside and nothing open, or this is a forked child. */
static void discard(struct asynctimer_reactor *reactor)
{
	bool in_child = asynctimer__in_child(reactor);
	int cancel_state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	while (reactor->timers)
		asynctimer__timer_discard(reactor->timers);
	while (reactor->dead) {
		struct asynctimer *timer = reactor->dead;

		reactor->dead = timer->next;
		free(timer);
	}
	/* A thread that the child has not got may have held the lock. */
	if (!in_child) {
		pthread_cond_destroy(&reactor->ended);
		pthread_mutex_destroy(&reactor->lock);
	}
	close(reactor->event_fd);
	close(reactor->epoll_fd);
	munmap((void *)reactor->parent, sizeof(*reactor->parent));
	free(reactor->slots.slot);
	free(reactor);
	pthread_setcancelstate(cancel_state, NULL);
}

int asynctimer_reactor_free(struct asynctimer_reactor *reactor)
{
	bool busy;

	if (!reactor)
		return 0;
	if (asynctimer__in_child(reactor)) {
		asynctimer__frames_forget(reactor);
		discard(reactor);
		return -ECHILD;
	}
	pthread_mutex_lock(&reactor->lock);
	busy = reactor->inside || reactor->open || reactor->freeing;
	reactor->freeing |= !busy;
	pthread_mutex_unlock(&reactor->lock);
	if (busy)
		return -EBUSY;
	discard(reactor);
	return 0;
}

/* Makes some thread look again. Readable already is as good, so EAGAIN is. */
static void wake(struct asynctimer_reactor *reactor)
{
	uint64_t one = 1;
	ssize_t r = write(reactor->event_fd, &one, sizeof(one));

	(void)r;
}

static bool is_stopped(const struct asynctimer_reactor *reactor)
{
	return __atomic_load_n(&reactor->stopped, __ATOMIC_SEQ_CST);
}

/* While the reactor is stopped the eventfd stays readable, and so every thread leaves. */
static void take_wake(struct asynctimer_reactor *reactor)
{
	uint64_t count;
	ssize_t r = read(reactor->event_fd, &count, sizeof(count));

	(void)r;
	if (is_stopped(reactor))
		wake(reactor);
}

static int enter(struct asynctimer_reactor *reactor, struct frame *frame, uint64_t *ret)
{
	bool freeing;

	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	if (asynctimer__is_inside(reactor))
		return -EBUSY;
	pthread_mutex_lock(&reactor->lock);
	freeing = reactor->freeing;
	reactor->inside += !freeing;
	*ret = reactor->runs;
	pthread_mutex_unlock(&reactor->lock);
	if (freeing)
		return -EBUSY;
	asynctimer__frame_push(frame, reactor);
	return 0;
}

static void leave(struct frame *frame)
{
	struct asynctimer_reactor *reactor = frame->reactor;

	if (reactor && !asynctimer__in_child(reactor)) {
		pthread_mutex_lock(&reactor->lock);
		reactor->inside--;
		pthread_mutex_unlock(&reactor->lock);
	}
	asynctimer__frame_pop(frame);
}

/* epoll_wait with a timeout in nanoseconds, on any kernel and libc. */
static int harvest(struct asynctimer_reactor *reactor, struct epoll_event *events, int64_t timeout_ns)
{
	int r;

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
 * Waits up to timeout_ns and runs what is due; the callbacks run, or a
 * negative errno. *runs is reactor->runs from before the harvest to after it.
 */
static int turn(struct frame *frame, int64_t timeout_ns, bool again, uint64_t *runs)
{
	struct asynctimer_reactor *reactor = frame->reactor;
	struct epoll_event events[EVENTS];
	int count = harvest(reactor, events, timeout_ns);
	int ran = 0;

	if (asynctimer__in_child(reactor))
		return -ECHILD;
	if (count < 0)
		return count;
	pthread_mutex_lock(&reactor->lock);
	for (int i = 0; i < count && !is_stopped(reactor); i++) {
		struct asynctimer *timer;
		uint64_t now_ns;

		if (events[i].data.u64 == EVENTFD_ID) {
			take_wake(reactor);
			continue;
		}
		timer = asynctimer__slots_find(&reactor->slots, events[i].data.u64);
		if (!timer || !asynctimer__own_is_due(timer, *runs, &now_ns))
			continue;
		if (!asynctimer__timer_run(timer, now_ns, frame))
			return -ECHILD;
		ran++;
	}
	*runs = reactor->runs;
	pthread_mutex_unlock(&reactor->lock);
	/* A host that polls edge-triggered needs an edge for what was left. */
	if (count == EVENTS && !again)
		wake(reactor);
	return ran;
}

int asynctimer_reactor_run(struct asynctimer_reactor *reactor)
{
	struct frame frame;
	uint64_t runs;
	int r = enter(reactor, &frame, &runs);

	if (r < 0)
		return r;
	while (!is_stopped(reactor)) {
		r = turn(&frame, -1, true, &runs);
		if (r < 0 && r != -EINTR)
			break;
		r = 0;
	}
	leave(&frame);
	return r;
}

int asynctimer_reactor_dispatch(struct asynctimer_reactor *reactor, int64_t timeout_ns)
{
	struct frame frame;
	uint64_t begin_ns = 0;
	int64_t left_ns = timeout_ns;
	uint64_t runs;
	int r = enter(reactor, &frame, &runs);

	if (r < 0)
		return r;
	if (timeout_ns > 0)
		begin_ns = asynctimer__now_ns(CLOCK_MONOTONIC);
	while (!is_stopped(reactor)) {
		r = turn(&frame, left_ns, false, &runs);
		if (r != 0 || left_ns == 0)
			break;
		/* An event was nobody's, or another thread's by now: wait on. */
		if (timeout_ns > 0) {
			uint64_t waited_ns = asynctimer__now_ns(CLOCK_MONOTONIC) - begin_ns;

			left_ns = waited_ns < (uint64_t)timeout_ns ? timeout_ns - (int64_t)waited_ns : 0;
		}
	}
	leave(&frame);
	return r;
}

void asynctimer_reactor_stop(struct asynctimer_reactor *reactor)
{
	int cancel_state;
	int error = errno;

	if (!reactor || asynctimer__in_child(reactor))
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	__atomic_store_n(&reactor->stopped, 1, __ATOMIC_SEQ_CST);
	wake(reactor);
	pthread_setcancelstate(cancel_state, NULL);
	errno = error;
}

int asynctimer_reactor_restart(struct asynctimer_reactor *reactor)
{
	int cancel_state;
	int r;

	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	r = __atomic_exchange_n(&reactor->stopped, 0, __ATOMIC_SEQ_CST);
	/* What came due meanwhile was reported to nobody. */
	wake(reactor);
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}

int asynctimer_reactor_fd(struct asynctimer_reactor *reactor)
{
	if (!reactor)
		return -EINVAL;
	return asynctimer__in_child(reactor) ? -ECHILD : reactor->epoll_fd;
}

const char *asynctimer_version(void)
{
	return PACKAGE_VERSION;
}
