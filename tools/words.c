/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <asynctimer.h>

#include "options.h"
#include "signals.h"
#include "words.h"

static int shell_status(int status)
{
	return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A shell whose command was ended by a signal exits with that status itself. */
static bool ended_as_told(const struct result *result)
{
	return result->was_told &&
	       is_end_signal(shell_status(result->status) - EXIT_SIGNAL);
}

int result_status(const struct result *result)
{
	if (result->error)
		return result->error == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
	if (result->timeout_signal)
		return EXIT_TIMED_OUT;
	return ended_as_told(result) ? 0 : shell_status(result->status);
}

/* sigabbrev_np(3) is of glibc 2.32 and later. */
static const char *signal_name(int signal, char other[16])
{
	static const char *const names[] = {
		[SIGABRT] = "SIGABRT", [SIGALRM] = "SIGALRM", [SIGBUS] = "SIGBUS",
		[SIGFPE] = "SIGFPE",   [SIGHUP] = "SIGHUP",   [SIGILL] = "SIGILL",
		[SIGINT] = "SIGINT",   [SIGIO] = "SIGIO",     [SIGKILL] = "SIGKILL",
		[SIGPIPE] = "SIGPIPE", [SIGPROF] = "SIGPROF", [SIGPWR] = "SIGPWR",
		[SIGQUIT] = "SIGQUIT", [SIGSEGV] = "SIGSEGV", [SIGSYS] = "SIGSYS",
		[SIGTERM] = "SIGTERM", [SIGTRAP] = "SIGTRAP", [SIGUSR1] = "SIGUSR1",
		[SIGUSR2] = "SIGUSR2", [SIGVTALRM] = "SIGVTALRM", [SIGXCPU] = "SIGXCPU",
		[SIGXFSZ] = "SIGXFSZ",
	};

	if ((size_t)signal < sizeof(names) / sizeof(names[0]) && names[signal])
		return names[signal];
	snprintf(other, 16, "signal %d", signal);
	return other;
}

void result_text(const struct result *result, char text[RESULT_TEXT])
{
	char took[DURATION_TEXT], other[16];

	duration_text(result->took_ns, took);
	if (result->error)
		snprintf(text, RESULT_TEXT, "can't start '%s': %s", result->command,
			 strerror(-result->error));
	else if (result->timeout_signal)
		snprintf(text, RESULT_TEXT, "timed out after %s (%s)", took,
			 signal_name(result->timeout_signal, other));
	else if (WIFSIGNALED(result->status))
		snprintf(text, RESULT_TEXT, "killed by %s after %s",
			 signal_name(WTERMSIG(result->status), other), took);
	else
		snprintf(text, RESULT_TEXT, "exit status %d after %s", WEXITSTATUS(result->status),
			 took);
}

void duration_text(uint64_t ns, char text[DURATION_TEXT])
{
	uint64_t tenths = ns / (ASYNCTIMER_SECOND / 10);

	if (ns < ASYNCTIMER_MILLISECOND)
		snprintf(text, DURATION_TEXT, "%" PRIu64 " us", ns / ASYNCTIMER_MICROSECOND);
	else if (ns < ASYNCTIMER_SECOND)
		snprintf(text, DURATION_TEXT, "%" PRIu64 " ms", ns / ASYNCTIMER_MILLISECOND);
	else if (tenths % 10)
		snprintf(text, DURATION_TEXT, "%" PRIu64 ".%" PRIu64 " s", tenths / 10, tenths % 10);
	else
		snprintf(text, DURATION_TEXT, "%" PRIu64 " s", tenths / 10);
}

void time_text(uint64_t realtime_ns, int digits, char text[TIME_TEXT])
{
	time_t seconds = (time_t)(realtime_ns / ASYNCTIMER_SECOND);
	char fraction[16];
	struct tm utc;

	snprintf(fraction, sizeof(fraction), "%09" PRIu64, realtime_ns % ASYNCTIMER_SECOND);
	strftime(text, TIME_TEXT, "%FT%T", gmtime_r(&seconds, &utc));
	snprintf(text + strlen(text), TIME_TEXT - strlen(text), ".%.*sZ", digits, fraction);
}

uint64_t clock_ns(int clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}
