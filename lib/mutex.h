/* SPDX-License-Identifier: MIT */
/* Locks for which a thread under a real-time policy waits no longer than it must. */
#ifndef ASYNCTIMER_MUTEX_H
#define ASYNCTIMER_MUTEX_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The calling thread is under one: sched(7). Asked of the kernel, for C libraries remember or refuse. */
static inline bool asynctimer__is_real_time(void)
{
	long policy = syscall(SYS_sched_getscheduler, 0) & ~SCHED_RESET_ON_FORK;

	return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

/*
 * inherits: whoever holds the lock runs with the priority of the first that waits for
 * it, so that no thread of a priority in between can hold both up. That makes each
 * lock and unlock dearer. 0 or a negative errno; a C library that has no such locks
 * gives an ordinary one.
 */
static inline int asynctimer__mutex_init(pthread_mutex_t *mutex, bool inherits)
{
	pthread_mutexattr_t attributes;
	int r = -pthread_mutexattr_init(&attributes);

	if (r < 0)
		return r;
	if (inherits)
		pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
	r = -pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return r;
}

#endif
