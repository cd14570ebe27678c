/* SPDX-License-Identifier: MIT */
/*
 * A callback whose work goes on in another thread. It returns PENDING, the
 * worker calls asynctimer_complete when it is done, and the next tick of the
 * job comes after that. Meanwhile the reactor serves its other timers.
 */
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

/* One place is enough: there is no next tick before this one is completed. */
struct job {
	sem_t posted;
	struct asynctimer *timer;
	uint64_t number;		/* 0: no more work */
};

static void *work(void *data)
{
	const struct timespec duration = { .tv_nsec = 250 * ASYNCTIMER_MILLISECOND };
	struct job *job = data;

	while (sem_wait(&job->posted) == 0 && job->number) {
		nanosleep(&duration, NULL);
		printf("worker:    tick %" PRIu64 " is done\n", job->number);
		asynctimer_complete(job->timer, job->number, 0);	/* job is the callback's again */
	}
	return NULL;
}

static int on_job(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct job *job = data;

	printf("job:       tick %" PRIu64 " is due, %" PRIu64 " skipped while busy\n", tick->number,
	       tick->skipped_busy);
	if (tick->number > 10) {
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
		return ASYNCTIMER_DONE;
	}
	job->number = tick->number;
	sem_post(&job->posted);
	return ASYNCTIMER_PENDING;
}

static int on_heartbeat(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)data;
	printf("heartbeat: tick %" PRIu64 "\n", tick->number);
	return ASYNCTIMER_DONE;
}

static int run(struct asynctimer_reactor *reactor, struct job *job)
{
	struct asynctimer *heartbeat;
	pthread_t worker;
	int r;

	r = asynctimer_new(reactor, CLOCK_MONOTONIC, 100 * ASYNCTIMER_MILLISECOND,
			   ASYNCTIMER_FIXED_SCHEDULE, on_job, job, &job->timer);
	if (r == 0)
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, 100 * ASYNCTIMER_MILLISECOND,
				   ASYNCTIMER_FIXED_SCHEDULE, on_heartbeat, NULL, &heartbeat);
	if (r == 0)
		r = -pthread_create(&worker, NULL, work, job);
	if (r < 0)
		return r;
	asynctimer_start(job->timer);
	asynctimer_start(heartbeat);
	r = asynctimer_reactor_run(reactor);

	/* The last callback returned DONE: nothing is deferred, job is ours. */
	job->number = 0;
	sem_post(&job->posted);
	pthread_join(worker, NULL);
	return r;
}

int main(void)
{
	struct job job = { .number = 0 };
	struct asynctimer_reactor *reactor = NULL;
	int r = asynctimer_reactor_new(&reactor);

	sem_init(&job.posted, 0, 0);
	if (r == 0)
		r = run(reactor, &job);
	if (r < 0)
		fprintf(stderr, "deferred: %s\n", strerror(-r));
	asynctimer_reactor_free(reactor);
	sem_destroy(&job.posted);
	return r < 0;
}
