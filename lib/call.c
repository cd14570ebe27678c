/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "call.h"
#include "mutex.h"

/*
 * In a library that came by dlopen, glibc allocates a thread's variables when the
 * thread first uses them, and aborts where it can't. This one has its place in
 * each thread from the beginning. Other C libraries always do so, and musl does
 * not load a library that asks for it.
 */
#ifdef __GLIBC__
#define PLACED_AHEAD __attribute__((tls_model("initial-exec")))
#else
#define PLACED_AHEAD
#endif

static __thread struct call *innermost PLACED_AHEAD;
static __thread uint64_t thread_number PLACED_AHEAD;
static uint64_t threads;	/* that have a number */

/*
 * Who waits for whom, through all reactors of the process. A thread waits in
 * one place at a time, and none enters that would close a circle. In a page
 * that a forked child finds zeroed, an unlocked mutex and nobody waiting,
 * because the threads that waited are not in it.
 */
static struct waits {
	pthread_mutex_t lock;
	struct wait *first;
} *waits;

int asynctimer__new_forgotten_page(void **ret)
{
	long size = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	if (madvise(page, (size_t)size, MADV_WIPEONFORK) < 0) {
		int r = errno == EINVAL ? -EOPNOTSUPP : -errno;

		munmap(page, (size_t)size);
		return r;
	}
	*ret = page;
	return 0;
}

int asynctimer__waits_init(void)
{
	struct waits *none = NULL;
	void *page;
	int r;

	if (__atomic_load_n(&waits, __ATOMIC_ACQUIRE))
		return 0;
	r = asynctimer__new_forgotten_page(&page);
	if (r < 0)
		return r;
	/* So seldom taken that it may be dear; in a child it is an ordinary one. */
	r = asynctimer__mutex_init(&((struct waits *)page)->lock, true);
	if (r < 0) {
		munmap(page, sizeof(*waits));
		return r;
	}
	if (!__atomic_compare_exchange_n(&waits, &none, page, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		munmap(page, sizeof(*waits));
	return 0;
}

const void *asynctimer__this_thread(void)
{
	return &innermost;
}

uint64_t asynctimer__thread_number(void)
{
	if (!thread_number)
		thread_number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	return thread_number;
}

void asynctimer__call_push(struct call *call)
{
	call->thread = asynctimer__this_thread();
	call->outer = innermost;
	innermost = call;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &call->cancel_state);
}

void asynctimer__call_pop(struct call *call)
{
	innermost = call->outer;
}

void asynctimer__call_restore(struct call *call)
{
	pthread_setcancelstate(call->cancel_state, NULL);
}

void asynctimer__call_disable_cancellation(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

bool asynctimer__is_inside(const struct asynctimer_reactor *reactor)
{
	for (struct call *call = innermost; call; call = call->outer)
		if (call->reactor == reactor)
			return true;
	return false;
}

bool asynctimer__is_dispatching(const struct asynctimer_reactor *reactor)
{
	for (struct call *call = innermost; call; call = call->outer)
		if (call->reactor == reactor && call->dispatches)
			return true;
	return false;
}

bool asynctimer__is_running(const struct asynctimer *timer)
{
	for (struct call *call = innermost; call; call = call->outer)
		if (call->timer == timer)
			return true;
	return false;
}

void asynctimer__calls_forget(const struct asynctimer_reactor *reactor)
{
	for (struct call *call = innermost; call; call = call->outer)
		if (call->reactor == reactor) {
			call->reactor = NULL;
			call->timer = NULL;
		}
}

/* wait's thread goes on only when that of other does. */
static bool is_for(const struct wait *wait, const struct wait *other)
{
	if (wait->runner)
		return wait->runner == other->waiter;
	for (const struct call *call = other->calls; call; call = call->outer)
		if (call->reactor == wait->target && call->timer)
			return true;
	return false;
}

/* Whether wait, or one that it reached already, is for other. */
static bool reaches(const struct wait *wait, const struct wait *other)
{
	if (is_for(wait, other))
		return true;
	for (const struct wait *between = waits->first; between; between = between->next)
		if (between->reached && is_for(between, other))
			return true;
	return false;
}

/* Whether wait would close a circle. The waits are few. */
static bool closes_circle(const struct wait *wait)
{
	bool more = true;

	for (struct wait *other = waits->first; other; other = other->next)
		other->reached = false;
	while (more) {
		more = false;
		for (struct wait *other = waits->first; other; other = other->next) {
			if (other->reached || !reaches(wait, other))
				continue;
			if (is_for(other, wait))
				return true;
			other->reached = true;
			more = true;
		}
	}
	return false;
}

int asynctimer__wait_enter(struct wait *wait, const void *target, const void *runner)
{
	bool circle;

	*wait = (struct wait){ .target = target,
			       .runner = runner,
			       .waiter = asynctimer__this_thread(),
			       .calls = innermost };
	pthread_mutex_lock(&waits->lock);
	circle = closes_circle(wait);
	if (!circle) {
		wait->next = waits->first;
		waits->first = wait;
	}
	pthread_mutex_unlock(&waits->lock);
	return circle ? -EDEADLK : 0;
}

void asynctimer__waits_end(const void *target)
{
	pthread_mutex_lock(&waits->lock);
	for (struct wait **link = &waits->first; *link;)
		if ((*link)->target == target)
			*link = (*link)->next;
		else
			link = &(*link)->next;
	pthread_mutex_unlock(&waits->lock);
}

void asynctimer__wait_leave(const struct wait *wait)
{
	struct wait **link;

	pthread_mutex_lock(&waits->lock);
	for (link = &waits->first; *link && *link != wait;)
		link = &(*link)->next;
	if (*link)
		*link = wait->next;
	pthread_mutex_unlock(&waits->lock);
}
