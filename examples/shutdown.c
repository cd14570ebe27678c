/* SPDX-License-Identifier: MIT */
/*
 * Ends within 2 s of SIGTERM and says who was in the way. One timer ticks 100 times a
 * second; another has a thread make a backup, and SIGTERM comes in the middle of that.
 *
 *	shutdown [MILLISECONDS that the backup takes [MILLISECONDS instead of 2 s]]
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <asynctimer.h>

static struct {
	struct asynctimer *timer;
	int ms;
	uint64_t number;
	pthread_t thread;
} backup;

static void *make_backup(void *data)
{
	kill(getpid(), SIGTERM); /* as a service manager might, at any time */
	poll(NULL, 0, backup.ms);
	asynctimer_complete(backup.timer, backup.number, 0);
	return data;
}

static int on_backup(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	int r;

	(void)timer;
	(void)data;
	backup.number = tick->number;
	r = pthread_create(&backup.thread, NULL, make_backup, NULL);
	return r ? -r : ASYNCTIMER_PENDING;
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	return ASYNCTIMER_DONE;
}

static void *run(void *data)
{
	asynctimer_reactor_run(data);
	return NULL;
}

static int start(struct asynctimer_reactor **reactor, pthread_t *loop)
{
	struct asynctimer *ticker;
	int r = asynctimer_reactor_new(reactor);

	if (r == 0)
		r = asynctimer_new(*reactor, CLOCK_MONOTONIC, 10 * ASYNCTIMER_MILLISECOND,
				   ASYNCTIMER_FIXED_SCHEDULE, on_tick, NULL, &ticker);
	if (r == 0)
		r = asynctimer_new(*reactor, CLOCK_MONOTONIC, 100 * ASYNCTIMER_MILLISECOND,
				   ASYNCTIMER_ONCE, on_backup, NULL, &backup.timer);
	if (r < 0)
		return r;
	asynctimer_set_name(ticker, "ticker");
	asynctimer_set_name(backup.timer, "backup");
	asynctimer_start(ticker);
	asynctimer_start(backup.timer);
	return -pthread_create(loop, NULL, run, *reactor);
}

static void say_who_is_in_the_way(struct asynctimer_reactor *reactor)
{
	struct asynctimer_info infos[8];
	int timers = asynctimer_reactor_list(reactor, 8, sizeof(infos[0]), infos);

	for (int i = 0; i < timers && i < 8; i++)
		if (infos[i].open)
			printf("in the way: %s, tick %" PRIu64 "%s\n", infos[i].name,
			       infos[i].number, infos[i].open == 2 ? ", deferred" : "");
}

int main(int argc, char **argv)
{
	int64_t patience_ms = argc > 2 ? atoi(argv[2]) : 2000;
	static struct asynctimer_reactor *reactor;
	pthread_t loop;
	sigset_t signals;
	int signal, r;

	/* Blocked in every thread, for sigwait: a handler could not call shutdown. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	backup.ms = argc > 1 ? atoi(argv[1]) : 60000;
	r = start(&reactor, &loop);
	if (r == 0 && sigwait(&signals, &signal) == 0)
		r = asynctimer_reactor_shutdown(reactor, patience_ms * 1000000);
	if (r < 0)
		fprintf(stderr, "shutdown: %s\n", strerror(-r));
	if (r > 0) {
		say_who_is_in_the_way(reactor);
		pthread_detach(loop);
	}
	if (r != 0)
		return 1;	/* and free nothing: who is in the way still uses it */
	pthread_join(loop, NULL);
	pthread_join(backup.thread, NULL);
	printf("nobody was in the way\n");
	return asynctimer_reactor_free(reactor) < 0;
}
