/* SPDX-License-Identifier: MIT */
/* The command line of every. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <asynctimer.h>

#include "duration.h"
#include "options.h"

static const char usage[] =
	"usage: every [-dqv] [-n COUNT] [-a ANCHOR] [-c CLOCK] [-k TIMEOUT] [-s SLACK]\n"
	"             INTERVAL [--] COMMAND [ARG...]\n"
	"  -d          INTERVAL runs from the end of a command to the start of the next\n"
	"              (default: from start to start, and runs that came due during another\n"
	"              are skipped)\n"
	"  -n COUNT    ends after COUNT runs (default: SIGINT or SIGTERM ends it)\n"
	"  -a ANCHOR   runs are due at ANCHOR + k * INTERVAL of the clock, realtime if -c\n"
	"              names no other: -a 0s 1m runs at every full minute\n"
	"  -c CLOCK    monotonic (default), boottime (goes on in suspend), realtime\n"
	"  -k TIMEOUT  a run that takes longer gets SIGTERM, and SIGKILL if it takes twice that\n"
	"  -s SLACK    may start up to SLACK late, below INTERVAL, to share wake-ups with others\n"
	"  -q          no summary at the end\n"
	"  -v          a line before each run's output: number of the tick, lateness, skips\n"
	"  -h, -V      prints this help, or the version, and exits\n"
	"INTERVAL, ANCHOR, TIMEOUT, SLACK: 250ms, 1.5s, 2m, 1h, also us and ns; seconds\n"
	"without a unit. Exit status: 0, or that of the last run that failed; see every(1)\n";

__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("every: ", stderr);
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n%s", usage);
	va_end(arguments);
	exit(EXIT_TROUBLE);
}

static _Noreturn void print_and_exit(const char *format, const char *text)
{
	exit(printf(format, text) < 0 || fflush(stdout) ? EXIT_TROUBLE : 0);
}

static uint64_t parse_duration(const char *what, const char *text)
{
	uint64_t ns = 0;
	const char *wrong = duration_parse(text, &ns);

	if (wrong)
		refuse("%s '%s' %s", what, text, wrong);
	return ns;
}

static uint64_t parse_positive(const char *what, const char *text)
{
	uint64_t ns = parse_duration(what, text);

	if (ns == 0)
		refuse("%s '%s' is zero: write 1ns or more", what, text);
	return ns;
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

static void take_option(struct options *options, int option, const char *value)
{
	switch (option) {
	case 'd':
		options->policy = ASYNCTIMER_FIXED_DELAY;
		break;
	case 'n':
		options->runs = parse_count(value);
		break;
	case 'a':
		options->anchored = true;
		options->anchor_ns = parse_duration("ANCHOR", value);
		break;
	case 'c':
		options->clock = parse_clock(value);
		break;
	case 'k':
		options->timeout_ns = parse_positive("TIMEOUT", value);
		break;
	case 's':
		options->shared = true;
		options->slack_ns = parse_duration("SLACK", value);
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'v':
		options->verbose = true;
		break;
	case 'h':
		print_and_exit("%s", usage);
	case 'V':
		print_and_exit("every (asynctimer) %s\n", asynctimer_version());
	case ':':
		refuse("option -%c needs a value", optopt);
	default:
		refuse("there is no option -%c", optopt);
	}
}

struct options options_parse(int argc, char **argv)
{
	struct options options = { .clock = -1, .runs = UINT64_MAX };
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "+:a:c:dhk:n:qs:vV")) != -1)
		take_option(&options, option, optarg);
	if (options.clock < 0)
		options.clock = options.anchored ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	if (options.policy == ASYNCTIMER_FIXED_DELAY && options.clock == CLOCK_REALTIME)
		refuse("-d does not go with the realtime clock, which can be set: "
		       "add -c monotonic or -c boottime");
	if (optind == argc)
		refuse("INTERVAL and COMMAND are missing");
	options.interval_ns = parse_positive("INTERVAL", argv[optind]);
	if (options.slack_ns >= options.interval_ns)
		refuse("SLACK is not below INTERVAL '%s': write less", argv[optind]);
	optind++;
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind == argc)
		refuse("COMMAND is missing: write it after INTERVAL");
	options.command = argv + optind;
	return options;
}
