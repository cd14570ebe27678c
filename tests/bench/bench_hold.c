/* SPDX-License-Identifier: MIT */
/*
 * How long each call holds a lock, which a real-time thread's tick may have to wait for.
 * Every lock and unlock of the process comes through the two functions below, so it is
 * the library as it is installed that is measured. The time is CPU time of the thread:
 * a hold is not longer because somebody else had the processor meanwhile.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asynctimer.h"
#include "job.h"

#define TIMERS 100000
#define OWN_TIMERS 500
#define VISITS 20		/* of all timers */
#define HOUR (3600 * SECOND)

static int (*real_lock)(pthread_mutex_t *mutex);
static int (*real_unlock)(pthread_mutex_t *mutex);
static unsigned held;		/* locks; they are taken one inside the other */
static uint64_t began_ns;
static uint64_t longest_ns;	/* of the holds since reset */

static struct asynctimer_reactor *reactor;
static struct asynctimer *timers[TIMERS];
static unsigned count;		/* of them */

static void find_real(void)
{
	*(void **)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	*(void **)&real_unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (!real_lock)
		find_real();
	int r = real_lock(mutex);

	if (!held++)
		began_ns = cpu_now(CLOCK_THREAD_CPUTIME_ID);
	return r;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!--held) {
		uint64_t ns = cpu_now(CLOCK_THREAD_CPUTIME_ID) - began_ns;

		if (ns > longest_ns)
			longest_ns = ns;
	}
	return real_unlock(mutex);
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

static void new_own(unsigned i)
{
	must(asynctimer_new(reactor, CLOCK_MONOTONIC, HOUR + i, ASYNCTIMER_FIXED_SCHEDULE, on_tick,
			    NULL, &timers[i]), "new");
}

static void new_shared(unsigned i)
{
	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, HOUR + i, ASYNCTIMER_FIXED_SCHEDULE,
				   i % 64 * MS, on_tick, NULL, &timers[i]), "new_shared");
}

static void set_name(unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), "timer %u", i);
	must(asynctimer_set_name(timers[i], name), "set_name");
}

static void start(unsigned i)
{
	must(asynctimer_start(timers[i]), "start");
}

static void start_now(unsigned i)
{
	must(asynctimer_start_after(timers[i], 0), "start_after");
}

static void restart_after(unsigned i)
{
	must(asynctimer_restart_after(timers[i], HOUR / 2 + random() % HOUR), "restart_after");
}

static void set_interval(unsigned i)
{
	must(asynctimer_set_interval(timers[i], HOUR / 2 + i), "set_interval");
}

static void get_info(unsigned i)
{
	struct asynctimer_info info;

	must(asynctimer_get_info(timers[i], sizeof(info), &info), "get_info");
}

static void stop(unsigned i)
{
	must(asynctimer_stop(timers[i]), "stop");
}

static void stop_nowait(unsigned i)
{
	must(asynctimer_stop_nowait(timers[i]), "stop_nowait");
}

static void free_one(unsigned i)
{
	asynctimer_free(timers[i]);
}

static void free_nowait(unsigned i)
{
	asynctimer_free_nowait(timers[i]);
}

/* All that is due, a hold per tick and more for what is between them. */
static void dispatch(unsigned i)
{
	(void)i;
	must(asynctimer_reactor_dispatch(reactor, 0), "dispatch");
}

static void list(unsigned i)
{
	static struct asynctimer_info infos[TIMERS];

	(void)i;
	must(asynctimer_reactor_list(reactor, TIMERS, sizeof(*infos), infos), "list");
}

static void set_clock(unsigned i)
{
	must(asynctimer_reactor_set_clock(reactor, CLOCK_REALTIME, (i + 1) * HOUR), "set_clock");
}

static void shut_down(unsigned i)
{
	(void)i;
	must(asynctimer_reactor_shutdown(reactor, 0), "shutdown");
}

static void free_reactor(unsigned i)
{
	(void)i;
	must(asynctimer_reactor_free(reactor), "reactor_free");
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The longest hold of each of so many calls. */
static void measure(const char *name, void (*call)(unsigned i), unsigned calls)
{
	static uint64_t holds[TIMERS];

	for (unsigned i = 0; i < calls; i++) {
		longest_ns = 0;
		call(i);
		holds[i] = longest_ns;
	}
	qsort(holds, calls, sizeof(*holds), compare);
	printf("%-24s %7u %10.2f %10.2f %10.2f\n", name, calls, (double)holds[calls / 2] / 1e3,
	       (double)holds[calls - 1 - calls / 1000] / 1e3, (double)holds[calls - 1] / 1e3);
}

static void measure_calls(const char *kind, void (*make)(unsigned i))
{
	char name[64];

#define MEASURE(call, calls) (snprintf(name, sizeof(name), "%s %s", kind, #call), measure(name, call, calls))
	must(asynctimer_reactor_new(&reactor), "reactor_new");
	snprintf(name, sizeof(name), "%s new", kind);
	measure(name, make, count);
	MEASURE(set_name, count);
	MEASURE(start, count);
	MEASURE(get_info, count);
	MEASURE(restart_after, count);
	MEASURE(set_interval, count);
	MEASURE(list, VISITS);
	MEASURE(stop, count);
	MEASURE(start_now, count);
	MEASURE(dispatch, VISITS);
	MEASURE(stop_nowait, count);
	MEASURE(free_nowait, count / 2);
	for (unsigned i = count / 2; i < count; i++)
		start(i);
	MEASURE(shut_down, 1);
	memmove(timers, timers + count / 2, (count - count / 2) * sizeof(*timers));
	MEASURE(free_one, count / 4);
	MEASURE(free_reactor, 1);
}

/* As when CLOCK_REALTIME is set, which is not for a bench to do. */
static void measure_set_clock(void)
{
	must(asynctimer_reactor_new_virtual(&reactor), "reactor_new_virtual");
	for (unsigned i = 0; i < TIMERS; i++) {
		must(asynctimer_new_shared(reactor, CLOCK_REALTIME, HOUR + i, ASYNCTIMER_FIXED_SCHEDULE,
					   0, on_tick, NULL, &timers[i]), "new_shared");
		start(i);
	}
	measure("virtual set_clock", set_clock, VISITS);
	must(asynctimer_reactor_free(reactor), "reactor_free");
}

int main(void)
{
	printf("%-24s %7s %10s %10s %10s\n", "", "calls", "median us", "99.9 % us", "longest us");
	count = OWN_TIMERS;
	measure_calls("own", new_own);
	count = TIMERS;
	measure_calls("shared", new_shared);
	measure_set_clock();
	return 0;
}
