/* SPDX-License-Identifier: MIT */
/*
 * A daemon's timer under SCHED_FIFO with locked memory, alone or beside what can
 * delay it only by the reactor's lock: a thread without priority that makes,
 * starts, lists, stops and frees timers of the same reactor, and a hog of middle
 * priority that keeps that thread from giving the lock back. All are on one CPU.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "asynctimer.h"
#include "bench.h"

#define HIGH 30
#define MIDDLE 20
#define HOG_NS (3 * MS)		/* of 5, for the others and the kernel's limit for such threads */
#define REST_NS (2 * MS)
#define BYSTANDERS 100

static struct asynctimer_reactor *reactor;

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	bench_tick(data);
	return ASYNCTIMER_DONE;
}

static int on_nothing(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;
	int last = CPU_SETSIZE - 1;

	must(sched_getaffinity(0, sizeof(cpus), &cpus), "sched_getaffinity");
	while (!CPU_ISSET(last, &cpus))
		last--;
	CPU_ZERO(&cpus);
	CPU_SET(last, &cpus);
	must(sched_setaffinity(0, sizeof(cpus), &cpus), "sched_setaffinity");
}

static void open_rt(void)
{
	struct sched_param high = { HIGH };

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		cannot("mlockall is refused: it needs root");
	if (sched_setscheduler(0, SCHED_FIFO, &high))
		cannot("SCHED_FIFO is refused: it needs root");
	stay_on_one_cpu();
	must(asynctimer_reactor_new(&reactor), "reactor_new");
}

static void add_own(struct record *record)
{
	struct asynctimer *timer;

	must(asynctimer_new(reactor, CLOCK_MONOTONIC, record->interval_ns, ASYNCTIMER_FIXED_SCHEDULE,
			    on_tick, record, &timer), "new");
	must(asynctimer_start_at(timer, record->anchor_ns), "start_at");
}

static struct asynctimer *new_shared(uint64_t interval_ns, asynctimer_callback callback, void *data)
{
	struct asynctimer *timer;

	must(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, interval_ns, ASYNCTIMER_FIXED_SCHEDULE,
				   bench_slack_ns, callback, data, &timer), "new_shared");
	return timer;
}

static void add_shared(struct record *record)
{
	struct asynctimer *timer = new_shared(record->interval_ns, on_tick, record);

	must(asynctimer_start_at(timer, record->anchor_ns), "start_at");
}

static void *call(void *unused)
{
	static struct asynctimer_info list[BYSTANDERS + 2];
	/* Of a later release: looked up, so that the program also runs with a library that lacks it. */
	__typeof__(&asynctimer_reactor_list) list_timers = dlsym(RTLD_DEFAULT, "asynctimer_reactor_list");

	for (int i = 0; i < BYSTANDERS; i++)
		must(asynctimer_start(new_shared(3600 * SECOND, on_nothing, NULL)), "start");
	for (;;) {
		struct asynctimer *timer = new_shared(3600 * SECOND, on_nothing, NULL);

		must(asynctimer_start(timer), "start");
		if (list_timers)
			must(list_timers(reactor, BYSTANDERS + 2, sizeof(*list), list), "list");
		must(asynctimer_stop(timer), "stop");
		asynctimer_free(timer);
	}
	return unused;
}

static void *hog(void *unused)
{
	struct timespec rest = { 0, REST_NS };

	for (;;) {
		uint64_t until = now_ns() + HOG_NS;

		while (now_ns() < until)
			;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
	}
	return unused;
}

static void start_thread(void *(*run)(void *), int policy, int priority)
{
	struct sched_param param = { priority };
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	must(-pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED),
	     "pthread_attr_setinheritsched");
	must(-pthread_attr_setschedpolicy(&attr, policy), "pthread_attr_setschedpolicy");
	must(-pthread_attr_setschedparam(&attr, &param), "pthread_attr_setschedparam");
	must(-pthread_create(&thread, &attr, run, NULL), "pthread_create");
	pthread_attr_destroy(&attr);
}

static void run(void)
{
	if (strstr(bench_peer->name, "_calls") || strstr(bench_peer->name, "_hog"))
		start_thread(call, SCHED_OTHER, 0);
	if (strstr(bench_peer->name, "_hog"))
		start_thread(hog, SCHED_FIFO, MIDDLE);
	must(asynctimer_reactor_run(reactor), "run");
}

#define OWN .unit_ns = 1, .early_from_ns = 1, .open = open_rt, .add = add_own, .run = run
#define SHARED .unit_ns = 1, .early_from_ns = 1, .open = open_rt, .add = add_shared, .run = run

static const struct peer peers[] = {
	{ .name = "rt_own", OWN },
	{ .name = "rt_own_calls", OWN },
	{ .name = "rt_own_hog", OWN },
	{ .name = "rt_shared", SHARED },
	{ .name = "rt_shared_calls", SHARED },
	{ .name = "rt_shared_hog", SHARED },
};

BENCH_MAIN(peers)
