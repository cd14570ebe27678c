/* SPDX-License-Identifier: MIT */
/*
 * every: runs a command on a schedule that does not drift.
 *
 * Each tick starts the command and is deferred until the command has ended, so
 * runs never overlap. The program is a host loop of its own, poll(2) over the
 * reactor's descriptor, the running command's pidfd and a signalfd: this is
 * how asynctimer lives in another loop.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <asynctimer.h>

#define DURATION_MAX (UINT64_C(1) << 62)

extern char **environ;

struct every {
	/* What was asked for. */
	int clock;
	int policy;
	uint64_t interval_ns;
	bool anchored;
	uint64_t anchor_ns;
	bool shared;
	uint64_t slack_ns;
	uint64_t left;			/* callbacks until the end */
	char **command;

	posix_spawnattr_t attributes;
	struct asynctimer *timer;
	pid_t child;
	int pidfd;			/* -1: the command is not running */
	uint64_t number;		/* the tick that ends with it */
	int told;			/* why the command could not be started, as said last */
};

static const char usage[] =
	"usage: every [-d] [-n COUNT] [-c monotonic|boottime|realtime] [-a ANCHOR]\n"
	"             [-s SLACK] INTERVAL [--] COMMAND [ARG...]\n"
	"  -d         INTERVAL runs from the end of a command to the start of the next\n"
	"             (default: from start to start, and runs that came due during another\n"
	"             are skipped)\n"
	"  -n COUNT   ends after COUNT runs (default: SIGINT or SIGTERM ends it)\n"
	"  -c CLOCK   monotonic (default), boottime (goes on in suspend), realtime\n"
	"  -a ANCHOR  runs are due at ANCHOR + k * INTERVAL of the clock (default: of the\n"
	"             start); -a 0s -c realtime 1m runs at every full minute\n"
	"  -s SLACK   may start up to SLACK late, below INTERVAL, to share wake-ups with others\n"
	"INTERVAL, ANCHOR, SLACK: 250ms, 1.5s, 2m, 1h, also us and ns; seconds without a unit\n";

__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("every: ", stderr);
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n%s", usage);
	va_end(arguments);
	exit(2);
}

static uint64_t unit_ns(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "", ASYNCTIMER_SECOND },
		{ "ns", 1 },
		{ "us", ASYNCTIMER_MICROSECOND },
		{ "ms", ASYNCTIMER_MILLISECOND },
		{ "s", ASYNCTIMER_SECOND },
		{ "m", 60 * ASYNCTIMER_SECOND },
		{ "h", 3600 * ASYNCTIMER_SECOND },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ns;
	}
	return 0;
}

/* Appends count decimal digits to *value; false if it overflows. */
static bool append_digits(uint64_t *value, const char *digits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(digits[i] - '0'), value))
			return false;
	}
	return true;
}

/* A number and a unit, to the nanosecond: no floating point, which would round 0.1. */
static uint64_t parse_duration(const char *what, const char *text)
{
	const char digits[] = "0123456789";
	size_t whole = strspn(text, digits);
	bool has_point = text[whole] == '.';
	const char *fraction = text + whole + has_point;
	size_t decimals = strspn(fraction, digits);
	uint64_t unit = unit_ns(fraction + decimals);
	uint64_t value = 0;

	if (!unit || (has_point ? decimals : whole) == 0)
		refuse("%s '%s' is not a duration: write a number and a unit, like 250ms", what, text);
	while (decimals && fraction[decimals - 1] == '0')
		decimals--;
	if (!append_digits(&value, text, whole))
		refuse("%s '%s' is too long: at most 146 years", what, text);
	/* value * unit / 10^decimals, a ten at a time; an hour has 2^13 and 5^11 in it. */
	if (decimals > 13 || !append_digits(&value, fraction, decimals))
		refuse("%s '%s' is finer than a nanosecond: drop digits", what, text);
	for (; decimals; decimals--) {
		if (unit % 10 == 0) {
			unit /= 10;
		} else if (unit % 2 == 0 && value % 5 == 0) {
			unit /= 2;
			value /= 5;
		} else {
			refuse("%s '%s' is finer than a nanosecond: drop digits", what, text);
		}
	}
	if (__builtin_mul_overflow(value, unit, &value) || value > DURATION_MAX)
		refuse("%s '%s' is too long: at most 146 years", what, text);
	return value;
}

static uint64_t parse_count(const char *text)
{
	size_t length = strspn(text, "0123456789");
	uint64_t count = 0;

	if (length == 0 || text[length] || !append_digits(&count, text, length) || count == 0)
		refuse("COUNT '%s' is not a number of runs: write 1 or more", text);
	return count;
}

static int parse_clock(const char *text)
{
	if (strcmp(text, "monotonic") == 0)
		return CLOCK_MONOTONIC;
	if (strcmp(text, "boottime") == 0)
		return CLOCK_BOOTTIME;
	if (strcmp(text, "realtime") == 0)
		return CLOCK_REALTIME;
	refuse("there is no clock '%s': write monotonic, boottime or realtime", text);
}

static struct every parse_arguments(int argc, char **argv)
{
	struct every every = { .clock = CLOCK_MONOTONIC, .left = UINT64_MAX, .pidfd = -1 };
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "+:dn:c:a:s:")) != -1) {
		switch (option) {
		case 'd':
			every.policy = ASYNCTIMER_FIXED_DELAY;
			break;
		case 'n':
			every.left = parse_count(optarg);
			break;
		case 'c':
			every.clock = parse_clock(optarg);
			break;
		case 'a':
			every.anchored = true;
			every.anchor_ns = parse_duration("ANCHOR", optarg);
			break;
		case 's':
			every.shared = true;
			every.slack_ns = parse_duration("SLACK", optarg);
			break;
		case ':':
			refuse("option -%c needs a value", optopt);
		default:
			refuse("there is no option -%c", optopt);
		}
	}
	if (every.policy == ASYNCTIMER_FIXED_DELAY && every.clock == CLOCK_REALTIME)
		refuse("-d does not go with -c realtime, which can be set: use monotonic or boottime");
	if (optind == argc)
		refuse("INTERVAL and COMMAND are missing");
	every.interval_ns = parse_duration("INTERVAL", argv[optind]);
	if (every.interval_ns == 0)
		refuse("INTERVAL '%s' is zero: write 1ns or more", argv[optind]);
	if (every.slack_ns >= every.interval_ns)
		refuse("SLACK is not below INTERVAL '%s': write less", argv[optind]);
	optind++;
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind == argc)
		refuse("COMMAND is missing: write it after INTERVAL");
	every.command = argv + optind;
	return every;
}

/* Waits for the command: 0, or -EIO if it failed. */
static int reap(struct every *every)
{
	int status = 0;

	while (waitpid(every->child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : -EIO;
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct every *every = data;
	int error;

	if (--every->left == 0)
		asynctimer_stop(timer);
	error = posix_spawnp(&every->child, every->command[0], NULL, &every->attributes,
			     every->command, environ);
	if (error) {
		if (error != every->told)
			fprintf(stderr, "every: can't start '%s': %s; each tick tries again: "
				"check its name, PATH and permissions\n",
				every->command[0], strerror(error));
		every->told = error;
		return -error;
	}
	every->number = tick->number;
	every->pidfd = (int)syscall(SYS_pidfd_open, every->child, 0);
	/* Without one (before Linux 5.3) wait here: the reactor has no other timer. */
	return every->pidfd < 0 ? reap(every) : ASYNCTIMER_PENDING;
}

static void on_command_ended(struct every *every)
{
	int result = reap(every);

	close(every->pidfd);
	every->pidfd = -1;
	asynctimer_complete(every->timer, every->number, result);
}

/* Until the timer is stopped, by a signal or after the last tick, and the command has ended. */
static int loop(struct every *every, struct asynctimer_reactor *reactor, int signal_fd)
{
	while (asynctimer_is_started(every->timer) || every->pidfd >= 0) {
		struct pollfd ready[] = {
			{ .fd = signal_fd, .events = POLLIN },
			{ .fd = every->pidfd, .events = POLLIN },
			{ .fd = asynctimer_reactor_fd(reactor), .events = POLLIN },
		};
		struct signalfd_siginfo signal_info;
		int r = 0;

		if (poll(ready, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (ready[0].revents && read(signal_fd, &signal_info, sizeof(signal_info)) > 0)
			asynctimer_stop(every->timer);
		if (ready[1].revents)
			on_command_ended(every);
		if (ready[2].revents)
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

static int new_timer(struct every *every, struct asynctimer_reactor *reactor)
{
	if (every->shared)
		return asynctimer_new_shared(reactor, every->clock, every->interval_ns,
					     every->policy, every->slack_ns, on_tick, every,
					     &every->timer);
	return asynctimer_new(reactor, every->clock, every->interval_ns, every->policy, on_tick,
			      every, &every->timer);
}

static int run(struct every *every, struct asynctimer_reactor *reactor, int signal_fd)
{
	int r = new_timer(every, reactor);

	if (r < 0)
		return r;
	if (every->anchored)
		r = asynctimer_start_at(every->timer, every->anchor_ns);
	else
		r = asynctimer_start(every->timer);
	if (r >= 0)
		r = loop(every, reactor, signal_fd);
	if (r == 0)
		print_summary(every->timer);
	return r;
}

/* SIGINT and SIGTERM come by the descriptor; the command gets them as if it were run alone. */
static int take_signals(struct every *every)
{
	sigset_t signals, mask;
	int signal_fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &mask);
	posix_spawnattr_init(&every->attributes);
	posix_spawnattr_setflags(&every->attributes,
				 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&every->attributes, &mask);
	posix_spawnattr_setsigdefault(&every->attributes, &signals);
	signal(SIGCHLD, SIG_DFL);	/* inherited as ignored, it would lose exit statuses */
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	return signal_fd < 0 ? -errno : signal_fd;
}

int main(int argc, char **argv)
{
	struct every every = parse_arguments(argc, argv);
	struct asynctimer_reactor *reactor = NULL;
	int signal_fd = take_signals(&every);
	int r = signal_fd < 0 ? signal_fd : asynctimer_reactor_new(&reactor);

	if (r == 0)
		r = run(&every, reactor, signal_fd);
	if (r < 0)
		fprintf(stderr, "every: can't run its timer: %s\n", strerror(-r));
	asynctimer_reactor_free(reactor);
	posix_spawnattr_destroy(&every.attributes);
	close(signal_fd);
	return r < 0;
}
