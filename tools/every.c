/* SPDX-License-Identifier: MIT */
/*
 * every: runs a command on a schedule that does not drift.
 *
 * Each tick starts the command and is deferred until the command has ended, so
 * runs never overlap. The program is a host loop of its own, poll(2) over the
 * reactor's descriptor and a signalfd: this is how asynctimer lives in another
 * loop.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <asynctimer.h>

#include "command.h"
#include "options.h"

struct every {
	struct options options;
	struct command command;
	struct asynctimer *timer;
	struct asynctimer *limit;	/* of a run; NULL: it has none */
	uint64_t number;		/* the tick that ends with the command */
	uint64_t left;			/* runs until the end */
	bool timed_out;
	int told;			/* why the command could not be started, as said last */
	int status;			/* of the last run that failed; 0: none did */
};

/* On stdout, as what it labels; a run is worth more than its label, whatever comes of that. */
static void print_label(const struct asynctimer_tick *tick)
{
	printf("every: tick %" PRIu64 ", lateness %" PRIu64 " us, skipped busy %" PRIu64
	       ", skipped late %" PRIu64 "\n",
	       tick->number, (tick->now_ns - tick->due_ns) / ASYNCTIMER_MICROSECOND,
	       tick->skipped_busy, tick->skipped_late);
	fflush(stdout);
}

static void on_cannot_start(struct every *every, int error)
{
	every->status = error == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
	if (error != every->told)
		fprintf(stderr, "every: can't start '%s': %s; each tick tries again: "
			"check its name, PATH and permissions\n",
			every->command.arguments[0], strerror(-error));
	every->told = error;
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct every *every = data;
	int r;

	if (--every->left == 0)
		asynctimer_stop(timer);
	if (every->options.verbose)
		print_label(tick);
	r = command_start(&every->command);
	if (r < 0) {
		on_cannot_start(every, r);
		return r;
	}
	every->number = tick->number;
	every->timed_out = false;
	if (every->limit)
		asynctimer_start(every->limit);
	return ASYNCTIMER_PENDING;
}

/* A fixed delay: SIGKILL is no sooner than TIMEOUT after SIGTERM, however late that was. */
static int on_limit(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct every *every = data;

	(void)timer;
	(void)tick;
	command_signal(&every->command, every->timed_out ? SIGKILL : SIGTERM);
	every->timed_out = true;
	return ASYNCTIMER_DONE;
}

static void on_command_ended(struct every *every, int status)
{
	if (every->limit)
		asynctimer_stop(every->limit);
	if (every->timed_out)
		status = EXIT_TIMED_OUT;
	if (status)
		every->status = status;
	asynctimer_complete(every->timer, every->number, status ? -EIO : 0);
}

static void on_signal(struct every *every, int signal_fd)
{
	struct signalfd_siginfo info;
	int status;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD) {
		asynctimer_stop(every->timer);
		/* The terminal's interrupt is meant for the command, too. */
		if (info.ssi_code == SI_KERNEL && every->command.has_group)
			command_signal(&every->command, (int)info.ssi_signo);
	} else if (command_ended(&every->command, &status)) {
		on_command_ended(every, status);
	}
}

/* Until the timer is stopped, by a signal or after the last tick, and the command has ended. */
static int loop(struct every *every, struct asynctimer_reactor *reactor, int signal_fd)
{
	while (asynctimer_is_started(every->timer) || every->command.pid) {
		struct pollfd ready[] = {
			{ .fd = signal_fd, .events = POLLIN },
			{ .fd = asynctimer_reactor_fd(reactor), .events = POLLIN },
		};
		int r = 0;

		if (poll(ready, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (ready[0].revents)
			on_signal(every, signal_fd);
		if (ready[1].revents)
			r = asynctimer_reactor_dispatch(reactor, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

static void print_summary(const struct asynctimer *timer)
{
	struct asynctimer_stats stats;
	uint64_t mean_ns = 0;

	asynctimer_get_stats(timer, &stats);
	if (stats.callbacks)
		mean_ns = stats.lateness_sum_ns / stats.callbacks;
	fprintf(stderr,
		"every: callbacks %" PRIu64 ", skipped busy %" PRIu64 ", skipped late %" PRIu64
		", mean lateness %" PRIu64 " us, maximum %" PRIu64 " us, failed %" PRIu64 "\n",
		stats.callbacks, stats.skipped_busy, stats.skipped_late,
		mean_ns / ASYNCTIMER_MICROSECOND, stats.lateness_max_ns / ASYNCTIMER_MICROSECOND,
		stats.failures);
}

static int new_timers(struct every *every, struct asynctimer_reactor *reactor)
{
	const struct options *options = &every->options;
	int r = 0;

	if (options->timeout_ns)
		r = asynctimer_new(reactor, CLOCK_MONOTONIC, options->timeout_ns,
				   ASYNCTIMER_FIXED_DELAY, on_limit, every, &every->limit);
	if (r < 0)
		return r;
	if (options->shared)
		return asynctimer_new_shared(reactor, options->clock, options->interval_ns,
					     options->policy, options->slack_ns, on_tick, every,
					     &every->timer);
	return asynctimer_new(reactor, options->clock, options->interval_ns, options->policy,
			      on_tick, every, &every->timer);
}

static int run(struct every *every, struct asynctimer_reactor *reactor, int signal_fd)
{
	int r = new_timers(every, reactor);

	if (r < 0)
		return r;
	if (every->options.anchored)
		r = asynctimer_start_at(every->timer, every->options.anchor_ns);
	else
		r = asynctimer_start(every->timer);
	if (r >= 0)
		r = loop(every, reactor, signal_fd);
	if (r == 0 && !every->options.quiet)
		print_summary(every->timer);
	return r;
}

/* These come by the descriptor; the command gets them as if it were run alone. */
static int take_signals(struct every *every)
{
	sigset_t signals, mask;
	int signal_fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &mask);
	signal(SIGCHLD, SIG_DFL);	/* inherited as ignored, it would lose exit statuses */
	command_init(&every->command, every->options.command, every->options.timeout_ns != 0,
		     &mask, &signals);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	return signal_fd < 0 ? -errno : signal_fd;
}

int main(int argc, char **argv)
{
	struct every every = { .options = options_parse(argc, argv) };
	struct asynctimer_reactor *reactor = NULL;
	int signal_fd = take_signals(&every);
	int r = signal_fd < 0 ? signal_fd : asynctimer_reactor_new(&reactor);

	every.left = every.options.runs;
	if (r == 0)
		r = run(&every, reactor, signal_fd);
	if (r < 0)
		fprintf(stderr, "every: can't run its timer: %s\n", strerror(-r));
	asynctimer_reactor_free(reactor);
	command_done(&every.command);
	close(signal_fd);
	return r < 0 ? EXIT_TROUBLE : every.status;
}
