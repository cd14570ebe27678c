/* SPDX-License-Identifier: MIT */
/*
 * heartbeatd: a service for systemd that keeps time with asynctimer.
 *
 * Three timers on one reactor, which has two threads of its own: a poll, with a
 * fixed delay, whose work is deferred to a worker thread; a heartbeat on the
 * wall clock's full minutes; and the pings for systemd's watchdog, which stop
 * while the worker or a callback hangs. The first thread waits for signals: SIGHUP
 * reads the configuration again, SIGUSR1 shows what the timers do, SIGTERM ends
 * the service. See heartbeatd.service.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

#include "notify.h"
#include "report.h"

#define TIMERS 3

struct config {
	uint64_t poll_ns;
	uint64_t heartbeat_ns;
};

struct heartbeatd {
	const char *config_path;
	const char *polled_path;
	const char *metrics_path;	/* NULL: none are written */
	struct asynctimer_reactor *reactor;
	struct asynctimer *poll;
	struct asynctimer *heartbeat;
	struct asynctimer *watchdog;	/* NULL: systemd wants no pings */
	uint64_t watchdog_ns;
	char hanging[32];		/* the timer that kept the last ping back; its callback's */
	pthread_t loops[2];		/* one that hangs leaves one to see it */
	pthread_t worker;

	pthread_mutex_t lock;		/* of the rest */
	pthread_cond_t wake;		/* the worker: there is work, or the end */
	uint64_t number;		/* the tick to be worked on; 0: none */
	bool quit;
	char seen[64];			/* by the last poll */
};

/* "poll_ms 1000" and "heartbeat_s 60", one a line; what is missing keeps its default. */
static int read_config(const char *path, struct config *ret)
{
	struct config config = { ASYNCTIMER_SECOND, 60 * ASYNCTIMER_SECOND };
	FILE *file = fopen(path, "re");
	char key[32], digits[10];
	int fields, r = 0;

	if (!file)
		return -errno;
	while ((fields = fscanf(file, "%31s %9[0-9]", key, digits)) == 2) {
		uint64_t value = strtoull(digits, NULL, 10);

		if (strcmp(key, "poll_ms") == 0 && value)
			config.poll_ns = value * ASYNCTIMER_MILLISECOND;
		else if (strcmp(key, "heartbeat_s") == 0 && value)
			config.heartbeat_ns = value * ASYNCTIMER_SECOND;
		else
			r = -EINVAL;
	}
	if (fields != EOF)
		r = -EINVAL;
	fclose(file);
	if (r == 0)
		*ret = config;
	return r;
}

static int load_config(const struct heartbeatd *daemon, struct config *ret)
{
	int r = read_config(daemon->config_path, ret);

	if (r < 0)
		fprintf(stderr, "heartbeatd: can't use '%s': %s: it is to have lines like "
			"'poll_ms 1000' and 'heartbeat_s 60'\n", daemon->config_path, strerror(-r));
	return r;
}

/* The work: it may block, so it has no place in a callback. */
static int poll_once(struct heartbeatd *daemon)
{
	FILE *file = fopen(daemon->polled_path, "re");
	char line[sizeof(daemon->seen)];
	int r = 0;

	if (!file)
		return -errno;
	if (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		pthread_mutex_lock(&daemon->lock);
		memcpy(daemon->seen, line, sizeof(line));
		pthread_mutex_unlock(&daemon->lock);
	} else {
		r = -EIO;
	}
	fclose(file);
	return r;
}

/* 0: there is no more work. */
static uint64_t await_work(struct heartbeatd *daemon)
{
	uint64_t number;

	pthread_mutex_lock(&daemon->lock);
	while (!daemon->number && !daemon->quit)
		pthread_cond_wait(&daemon->wake, &daemon->lock);
	number = daemon->number;
	daemon->number = 0;
	pthread_mutex_unlock(&daemon->lock);
	return number;
}

static void *work(void *data)
{
	struct heartbeatd *daemon = data;
	uint64_t number;

	while ((number = await_work(daemon)))
		asynctimer_complete(daemon->poll, number, poll_once(daemon));
	return NULL;
}

static int on_poll(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct heartbeatd *daemon = data;

	(void)timer;
	pthread_mutex_lock(&daemon->lock);
	daemon->number = tick->number;
	pthread_cond_signal(&daemon->wake);
	pthread_mutex_unlock(&daemon->lock);
	return ASYNCTIMER_PENDING;
}

static int on_heartbeat(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct heartbeatd *daemon = data;
	time_t due = (time_t)(tick->due_ns / ASYNCTIMER_SECOND);
	struct asynctimer_stats polls;
	char seen[sizeof(daemon->seen)];
	struct tm utc;
	char text[32];

	(void)timer;
	asynctimer_get_stats(daemon->poll, &polls);
	strftime(text, sizeof(text), "%FT%TZ", gmtime_r(&due, &utc));
	pthread_mutex_lock(&daemon->lock);
	memcpy(seen, daemon->seen, sizeof(seen));
	pthread_mutex_unlock(&daemon->lock);
	/* Without the lock, for this may block: the worker need not hang as well. */
	printf("heartbeat %s: polls %" PRIu64 ", failed %" PRIu64 ", last seen: %s\n", text,
	       polls.callbacks, polls.failures, seen);
	return ASYNCTIMER_DONE;
}

/*
 * Of the ticks whose callback runs (open: 1) or that are deferred (2), the one that
 * has been open the longest: for how long, and in name whose it is. 0: there is none.
 */
static uint64_t longest_open_ns(const struct heartbeatd *daemon, int open, char name[32])
{
	struct asynctimer_info infos[TIMERS];
	int timers = asynctimer_reactor_list(daemon->reactor, TIMERS, sizeof(infos[0]), infos);
	uint64_t longest_ns = 0;

	for (int i = 0; i < timers && i < TIMERS; i++) {
		uint64_t open_ns = report_open_ns(&infos[i]);

		if (infos[i].open == open && open_ns > longest_ns) {
			longest_ns = open_ns;
			memcpy(name, infos[i].name, sizeof(infos[i].name));
		}
	}
	return longest_ns;
}

/*
 * That this thread lives is not enough: a callback may hang in the other one, and
 * the worker may hang in the work of a deferred tick. The reactor's statistics
 * tell the first, however many timers there are; the list tells the second, and
 * the names of both.
 */
static int on_watchdog(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct heartbeatd *daemon = data;
	struct asynctimer_reactor_stats stats;
	int r;

	(void)timer;
	(void)tick;
	asynctimer_reactor_get_stats(daemon->reactor, sizeof(stats), &stats);
	if (stats.busy_ns > daemon->watchdog_ns) {
		longest_open_ns(daemon, 1, daemon->hanging);
		return -ETIMEDOUT;
	}
	if (longest_open_ns(daemon, 2, daemon->hanging) > daemon->watchdog_ns)
		return -ETIMEDOUT;
	r = notify("WATCHDOG=1");
	return r < 0 ? r : ASYNCTIMER_DONE;
}

static void on_error(struct asynctimer *timer, int error, void *data)
{
	const struct heartbeatd *daemon = data;

	if (timer == daemon->poll)
		fprintf(stderr, "heartbeatd: can't poll '%s': %s\n", daemon->polled_path,
			strerror(-error));
	else if (error == -ETIMEDOUT)
		fprintf(stderr, "heartbeatd: no ping for the watchdog: %s hangs\n",
			daemon->hanging);
	else
		fprintf(stderr, "heartbeatd: no ping for the watchdog: %s\n", strerror(-error));
}

static int new_timers(struct heartbeatd *daemon, const struct config *config)
{
	int r = asynctimer_new(daemon->reactor, CLOCK_MONOTONIC, config->poll_ns,
			       ASYNCTIMER_FIXED_DELAY, on_poll, daemon, &daemon->poll);

	if (r == 0)
		r = asynctimer_new(daemon->reactor, CLOCK_REALTIME, config->heartbeat_ns,
				   ASYNCTIMER_FIXED_SCHEDULE, on_heartbeat, daemon,
				   &daemon->heartbeat);
	daemon->watchdog_ns = notify_watchdog_ns();
	if (r == 0 && daemon->watchdog_ns)
		r = asynctimer_new(daemon->reactor, CLOCK_MONOTONIC, daemon->watchdog_ns,
				   ASYNCTIMER_FIXED_SCHEDULE, on_watchdog, daemon,
				   &daemon->watchdog);
	return r;
}

static void *run_reactor(void *data)
{
	asynctimer_reactor_run(data);
	return NULL;
}

static int start(struct heartbeatd *daemon)
{
	int r = -pthread_create(&daemon->worker, NULL, work, daemon);

	if (r < 0)
		return r;
	asynctimer_set_name(daemon->poll, "poll");
	asynctimer_set_name(daemon->heartbeat, "heartbeat");
	asynctimer_set_error_handler(daemon->poll, on_error);
	asynctimer_start_after(daemon->poll, 0);
	asynctimer_start_at(daemon->heartbeat, 0);	/* 1970 began on a full minute */
	if (daemon->watchdog) {
		asynctimer_set_name(daemon->watchdog, "watchdog");
		asynctimer_set_error_handler(daemon->watchdog, on_error);
		asynctimer_start(daemon->watchdog);
	}
	r = -pthread_create(&daemon->loops[0], NULL, run_reactor, daemon->reactor);
	return r < 0 ? r : -pthread_create(&daemon->loops[1], NULL, run_reactor, daemon->reactor);
}

/* set_interval goes on from the last due point; heartbeats are to be on full minutes. */
static void reload(struct heartbeatd *daemon)
{
	struct timespec now;
	struct config config;
	char state[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	notify(state);
	if (load_config(daemon, &config) == 0) {
		asynctimer_set_interval(daemon->poll, config.poll_ns);
		if (asynctimer_set_interval(daemon->heartbeat, config.heartbeat_ns) == 1) {
			asynctimer_stop(daemon->heartbeat);
			asynctimer_start_at(daemon->heartbeat, 0);
		}
	}
	notify("READY=1");
}

static void dump(const struct heartbeatd *daemon)
{
	struct report report;
	int r = report_take(daemon->reactor, &report);

	if (r < 0) {
		fprintf(stderr, "heartbeatd: no report: %s\n", strerror(-r));
		return;
	}
	if (daemon->metrics_path)
		r = report_metrics(&report, daemon->metrics_path);
	if (r < 0)
		fprintf(stderr, "heartbeatd: can't write '%s': %s\n", daemon->metrics_path,
			strerror(-r));
	flockfile(stdout);	/* no heartbeat in the middle */
	report_table(&report, stdout);
	funlockfile(stdout);
	report_free(&report);
}

static void wait_for_the_end(struct heartbeatd *daemon, const sigset_t *signals)
{
	int signal;

	while (sigwait(signals, &signal) == 0 && (signal == SIGHUP || signal == SIGUSR1)) {
		if (signal == SIGHUP)
			reload(daemon);
		else
			dump(daemon);
	}
}

/* First what makes work, then what does it: the worker ends with nothing deferred. */
static void stop(struct heartbeatd *daemon)
{
	asynctimer_reactor_stop(daemon->reactor);
	pthread_join(daemon->loops[0], NULL);
	pthread_join(daemon->loops[1], NULL);
	pthread_mutex_lock(&daemon->lock);
	daemon->quit = true;
	pthread_cond_signal(&daemon->wake);
	pthread_mutex_unlock(&daemon->lock);
	pthread_join(daemon->worker, NULL);
}

static int serve(struct heartbeatd *daemon, const struct config *config, const sigset_t *signals)
{
	int r = asynctimer_reactor_new(&daemon->reactor);

	if (r == 0)
		r = new_timers(daemon, config);
	if (r == 0)
		r = start(daemon);
	if (r == 0)
		r = notify("READY=1");
	if (r < 0) {
		fprintf(stderr, "heartbeatd: can't start: %s\n", strerror(-r));
		return r;
	}
	wait_for_the_end(daemon, signals);
	notify("STOPPING=1");
	stop(daemon);
	return asynctimer_reactor_free(daemon->reactor);
}

int main(int argc, char **argv)
{
	struct heartbeatd daemon = {
		.config_path = argv[1],
		.polled_path = argc > 2 ? argv[2] : "/proc/loadavg",
		.metrics_path = argc > 3 ? argv[3] : NULL,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.wake = PTHREAD_COND_INITIALIZER,
	};
	struct config config;
	sigset_t signals;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: heartbeatd CONFIG [POLLED_FILE [METRICS_FILE]]\n");
		return 2;
	}
	/* Before any thread: all inherit it, so that only sigwait takes them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);	/* the journal's end is no terminal */
	return load_config(&daemon, &config) < 0 || serve(&daemon, &config, &signals) < 0;
}
