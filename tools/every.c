/* SPDX-License-Identifier: MIT */
/*
 * every: runs a command on a schedule that does not drift.
 *
 * Each tick starts the command and is deferred until the command has ended, so
 * runs never overlap. The program is a host loop of its own, poll(2) over the
 * reactor's descriptor and a signalfd: this is how asynctimer lives in another
 * loop. Nothing blocks it, for a signal and the end of a timeout must be felt.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <asynctimer.h>

#include "command.h"
#include "environment.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "signals.h"
#include "words.h"

/* Of all runs. */
struct totals {
	uint64_t failed;
	uint64_t skipped_busy;
	uint64_t skipped_late;
	uint64_t lateness_sum_ns;
	uint64_t lateness_max_ns;
};

struct every {
	struct options options;
	struct command command;
	struct log log;
	struct notify notify;
	struct asynctimer *timer;
	struct asynctimer *limit;	/* of a run; NULL: it has none */
	struct asynctimer *watchdog;	/* NULL: systemd wants no pings */

	struct run run;			/* the last one, which may be under way */
	uint64_t tick;			/* that ends with it */
	uint64_t begun_ns;		/* on CLOCK_MONOTONIC */
	int timeout_signal;		/* that it got last; 0: its time is not up */
	bool hangs;			/* the watchdog gets no pings because of it */

	struct run next;		/* what was skipped since */
	struct totals totals;
	bool is_on_grid;		/* -i: what was asked for at once is past */
	bool was_told;			/* to end, by a signal */
	int status;			/* of the last run that failed; 0: none did */
};

static bool ends_with(const struct every *every, int status)
{
	bool cannot_run = status == EXIT_CANNOT_RUN || status == EXIT_NOT_FOUND;

	return status &&
	       (every->options.ends_at_failure || (cannot_run && !every->options.keeps_going));
}

/* Returns the run's exit status; 0: it has not failed. */
static int tell_result(struct every *every, const struct result *result)
{
	char text[RESULT_TEXT], state[RESULT_TEXT + 128];
	int status = result_status(result);

	result_text(result, text);
	if (status) {
		every->totals.failed++;
		every->status = status;
	}
	if (every->options.verbose || (status && !every->options.quiet))
		log_line(&every->log, "run %" PRIu64 " %s: %s", every->run.number,
			 status ? "failed" : "ended", text);
	snprintf(state, sizeof(state), "STATUS=run %" PRIu64 ": %s; %" PRIu64 " failed so far",
		 every->run.number, text, every->totals.failed);
	notify_send(&every->notify, state);
	if (ends_with(every, status))
		asynctimer_stop(every->timer);
	return status;
}

/* True if the run under way is over; its tick is then complete. */
static bool end_run(struct every *every)
{
	struct result result = {
		.took_ns = clock_ns(CLOCK_MONOTONIC) - every->begun_ns,
		.timeout_signal = every->timeout_signal,
		.was_told = every->was_told,
	};

	if (!command_ended(&every->command, &result.status))
		return false;
	if (every->limit)
		asynctimer_stop(every->limit);
	asynctimer_complete(every->timer, every->tick, tell_result(every, &result) ? -EIO : 0);
	return true;
}

static int begin_run(struct every *every, const struct asynctimer_tick *tick)
{
	struct result result = { .command = every->options.command[0] };
	char late[DURATION_TEXT];

	if (every->run.number == every->options.runs)
		asynctimer_stop(every->timer);
	duration_text(every->run.lateness_ns, late);
	if (every->options.verbose)
		log_line(&every->log, "run %" PRIu64 " started %s late, skipped busy %" PRIu64
			 ", skipped late %" PRIu64, every->run.number, late,
			 every->run.skipped_busy, every->run.skipped_late);
	environment_set(&every->run);
	every->tick = tick->number;
	every->timeout_signal = 0;
	every->begun_ns = clock_ns(CLOCK_MONOTONIC);
	result.error = command_start(&every->command);
	if (result.error) {
		tell_result(every, &result);
		return result.error;
	}
	if (every->limit)
		asynctimer_start(every->limit);
	return ASYNCTIMER_PENDING;
}

static void count(struct every *every, const struct asynctimer_tick *tick)
{
	struct totals *totals = &every->totals;

	every->next.skipped_busy += tick->skipped_busy;
	every->next.skipped_late += tick->skipped_late;
	every->next.lateness_ns = tick->now_ns - tick->due_ns;
	totals->skipped_busy += tick->skipped_busy;
	totals->skipped_late += tick->skipped_late;
}

static int skip(struct every *every)
{
	char late[DURATION_TEXT];

	duration_text(every->next.lateness_ns, late);
	if (every->options.verbose)
		log_line(&every->log, "a run skipped, for it would start %s late", late);
	every->next.skipped_late++;
	every->totals.skipped_late++;
	return ASYNCTIMER_DONE;
}

/* Where a wall clock was not what the tick was due by, it is when that would have been. */
static uint64_t due_on_wall_clock(const struct every *every, const struct asynctimer_tick *tick)
{
	if (every->options.clock == CLOCK_REALTIME)
		return tick->due_ns;
	return clock_ns(CLOCK_REALTIME) - (asynctimer_now_ns(every->timer) - tick->due_ns);
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct every *every = data;
	struct totals *totals = &every->totals;

	count(every, tick);
	if (!every->is_on_grid) {
		asynctimer_stop(timer);
		asynctimer_start_at(timer, every->options.anchor_ns);
		every->is_on_grid = true;
	}
	if (every->next.lateness_ns > every->options.late_ns)
		return skip(every);
	every->next.number = every->run.number + 1;
	every->next.due_ns = due_on_wall_clock(every, tick);
	every->run = every->next;
	every->next = (struct run){ 0 };
	totals->lateness_sum_ns += every->run.lateness_ns;
	if (every->run.lateness_ns > totals->lateness_max_ns)
		totals->lateness_max_ns = every->run.lateness_ns;
	return begin_run(every, tick);
}

/* SIGKILL is no sooner than the grace after SIGTERM, however late that was. */
static int on_limit(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct every *every = data;

	(void)tick;
	if (end_run(every))	/* in time, or nearly so: nobody had to tell it */
		return ASYNCTIMER_DONE;
	every->timeout_signal = every->timeout_signal ? SIGKILL : SIGTERM;
	if (every->timeout_signal == SIGTERM)
		asynctimer_start_after(timer, every->options.grace_ns);
	command_signal(&every->command, every->timeout_signal);
	end_run(every);		/* no SIGCHLD may come, if the last one's parent has left the group */
	return ASYNCTIMER_DONE;
}

/* A run hangs if SIGKILL is long past, or, without a timeout, if it takes a watchdog's period. */
static int on_watchdog(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct every *every = data;
	uint64_t limit_ns = every->notify.watchdog_ns;
	bool hung = every->hangs;

	(void)timer;
	(void)tick;
	if (every->limit)
		limit_ns += every->options.timeout_ns + every->options.grace_ns;
	every->hangs = every->command.is_running &&
		       clock_ns(CLOCK_MONOTONIC) - every->begun_ns > limit_ns;
	if (!every->hangs)
		notify_send(&every->notify, "WATCHDOG=1");
	else if (!hung && !every->options.quiet)
		log_line(&every->log, "run %" PRIu64 " hangs: no pings for the watchdog",
			 every->run.number);
	return ASYNCTIMER_DONE;
}

static void end(struct every *every)
{
	if (!every->was_told)
		notify_send(&every->notify, "STOPPING=1");
	every->was_told = true;
	asynctimer_stop(every->timer);
}

/*
 * The first signal lets the run under way end, the second tells it to. A terminal means
 * the command, too: its keys reach all of its foreground group, the hangup only the
 * first process of the session.
 */
static bool is_commands(const struct every *every, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGPIPE)
		return false;
	if (info->ssi_code == SI_KERNEL)
		return every->command.has_group || info->ssi_signo == SIGHUP;
	return every->was_told;
}

static void on_signal(struct every *every, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGCHLD)
		return;
	if (is_commands(every, info))
		command_signal(&every->command, (int)info->ssi_signo);
	end(every);
}

/* All that came: the end of a run counts as known before any timer's callback looks at it. */
static void take_signals(struct every *every, int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
		on_signal(every, &info);
	end_run(every);
}

/* Waits for what comes next, and does it. */
static int turn(struct every *every, struct asynctimer_reactor *reactor, int signal_fd)
{
	struct pollfd ready[] = {
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = asynctimer_reactor_fd(reactor), .events = POLLIN },
		{ .fd = every->log.length ? every->log.fd : -1, .events = POLLOUT },
	};
	int r = 0;

	if (poll(ready, 3, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (ready[0].revents)
		take_signals(every, signal_fd);
	if (ready[1].revents)
		r = asynctimer_reactor_dispatch(reactor, 0);
	if (ready[2].revents)
		log_flush(&every->log);
	return r < 0 ? r : 0;
}

static bool has_runs(const struct every *every)
{
	return asynctimer_is_started(every->timer) || every->command.is_running;
}

static void print_summary(struct every *every)
{
	const struct totals *totals = &every->totals;
	uint64_t runs = every->run.number;
	uint64_t mean_ns = runs ? totals->lateness_sum_ns / runs : 0;

	log_line(&every->log,
		 "runs %" PRIu64 ", skipped busy %" PRIu64 ", skipped late %" PRIu64
		 ", mean lateness %" PRIu64 " us, maximum %" PRIu64 " us, failed %" PRIu64, runs,
		 totals->skipped_busy, totals->skipped_late, mean_ns / ASYNCTIMER_MICROSECOND,
		 totals->lateness_max_ns / ASYNCTIMER_MICROSECOND, totals->failed);
}

static int new_timers(struct every *every, struct asynctimer_reactor *reactor)
{
	const struct options *options = &every->options;
	int r = 0;

	if (options->timeout_ns)
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, options->timeout_ns, ASYNCTIMER_ONCE,
				   on_limit, every, &every->limit);
	if (r == 0 && every->notify.watchdog_ns >= 2)
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, every->notify.watchdog_ns / 2,
				   ASYNCTIMER_FIXED_SCHEDULE, on_watchdog, every, &every->watchdog);
	if (r < 0)
		return r;
	if (options->shared)
		return asynctimer_new_shared(reactor, options->clock, options->interval_ns,
					     options->policy, options->slack_ns, on_tick, every,
					     &every->timer);
	return asynctimer_new(reactor, options->clock, options->interval_ns, options->policy,
			      on_tick, every, &every->timer);
}

static int start(struct every *every)
{
	const struct options *options = &every->options;

	every->is_on_grid = !options->at_once || !options->anchored;
	if (every->watchdog)
		asynctimer_start(every->watchdog);
	if (options->at_once)
		return asynctimer_start_after(every->timer, 0);
	if (options->anchored)
		return asynctimer_start_at(every->timer, options->anchor_ns);
	return asynctimer_start(every->timer);
}

static int run(struct every *every, struct asynctimer_reactor *reactor, int signal_fd)
{
	int r = new_timers(every, reactor);

	if (r == 0)
		r = start(every);
	if (r < 0)
		return r;
	notify_send(&every->notify, "READY=1");
	do {
		r = turn(every, reactor, signal_fd);
	} while (r == 0 && has_runs(every));
	if (!every->was_told)
		notify_send(&every->notify, "STOPPING=1");
	if (r == 0 && !every->options.quiet)
		print_summary(every);
	while (r == 0 && every->log.length && !every->was_told)
		r = turn(every, reactor, signal_fd);
	return r;
}

static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	close(fd);
	return fd >= 0;
}

/*
 * A group of its own takes a command out of the terminal's hands. Where there is no
 * terminal nothing is lost by it, and signals reach all that the command has started.
 */
static int open_all(struct every *every)
{
	sigset_t mask;
	int signal_fd, r;

	log_open(&every->log, every->options.verbose);
	signal_fd = signals_open(&mask);
	command_init(&every->command, every->options.command,
		     every->options.timeout_ns || !has_terminal(), &mask);
	prctl(PR_SET_CHILD_SUBREAPER, 1);	/* to see the ends of what the command has started */
	r = notify_open(&every->notify);
	if (r < 0)
		log_line(&every->log, "can't reach systemd by NOTIFY_SOCKET: %s", strerror(-r));
	return signal_fd;
}

int main(int argc, char **argv)
{
	static struct every every;
	struct asynctimer_reactor *reactor = NULL;
	int signal_fd, r;

	every.options = options_parse(argc, argv);
	signal_fd = open_all(&every);
	r = signal_fd < 0 ? signal_fd : asynctimer_reactor_new(&reactor);
	if (r == 0)
		r = run(&every, reactor, signal_fd);
	if (r < 0) {
		log_line(&every.log, "can't run its timer: %s", strerror(-r));
		command_signal(&every.command, SIGTERM);
	}
	asynctimer_reactor_free(reactor);
	command_done(&every.command);
	notify_close(&every.notify);
	log_close(&every.log);
	close(signal_fd);
	if (r == 0 && every.status == 0 && every.log.error)
		return EXIT_UNWRITTEN;
	return r < 0 ? EXIT_TROUBLE : every.status;
}
