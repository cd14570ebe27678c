/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thread.h"

static __thread struct frame *innermost;

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
	if (!__atomic_compare_exchange_n(&waits, &none, page, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		munmap(page, sizeof(*waits));
	return 0;
}

const void *asynctimer__this_thread(void)
{
	return &innermost;
}

void asynctimer__thread_enters(struct frame *frame)
{
	frame->thread = asynctimer__this_thread();
	frame->outer = innermost;
	innermost = frame;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &frame->cancel_state);
}

void asynctimer__thread_leaves(struct frame *frame)
{
	innermost = frame->outer;
	pthread_setcancelstate(frame->cancel_state, NULL);
}

bool asynctimer__is_inside(const struct asynctimer_reactor *reactor)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->reactor == reactor)
			return true;
	return false;
}

bool asynctimer__is_dispatching(const struct asynctimer_reactor *reactor)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->reactor == reactor && frame->dispatches)
			return true;
	return false;
}

bool asynctimer__is_running(const struct asynctimer *timer)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->timer == timer)
			return true;
	return false;
}

void asynctimer__frames_forget(const struct asynctimer_reactor *reactor)
{
	for (struct frame *frame = innermost; frame; frame = frame->outer)
		if (frame->reactor == reactor) {
			frame->reactor = NULL;
			frame->timer = NULL;
		}
}

static const struct wait *find(const void *waiter)
{
	for (const struct wait *wait = waits->first; wait; wait = wait->next)
		if (wait->waiter == waiter)
			return wait;
	return NULL;
}

int asynctimer__wait_enter(struct wait *wait, const struct asynctimer *timer, const void *runner)
{
	const struct wait *onward;

	*wait = (struct wait){
		.timer = timer, .waiter = asynctimer__this_thread(), .runner = runner
	};
	pthread_mutex_lock(&waits->lock);
	for (onward = find(runner); onward && onward->runner != wait->waiter;)
		onward = find(onward->runner);
	if (!onward) {
		wait->next = waits->first;
		waits->first = wait;
	}
	pthread_mutex_unlock(&waits->lock);
	return onward ? -EDEADLK : 0;
}

void asynctimer__waits_end(const struct asynctimer *timer)
{
	pthread_mutex_lock(&waits->lock);
	for (struct wait **link = &waits->first; *link;)
		if ((*link)->timer == timer)
			*link = (*link)->next;
		else
			link = &(*link)->next;
	pthread_mutex_unlock(&waits->lock);
}
