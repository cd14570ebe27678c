/* SPDX-License-Identifier: MIT */
/* The command line of every. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

#include "duration.h"
#include "options.h"
#include "phase.h"

static const char usage[] =
	"usage: every [-1diKqv] [-a ANCHOR] [-c CLOCK] [-j KEY] [-k TIMEOUT[,GRACE]]\n"
	"             [-l LIMIT] [-n COUNT] [-s SLACK] INTERVAL [--] COMMAND [ARG...]\n"
	"when:\n"
	"  -a ANCHOR   runs are due at ANCHOR + k * INTERVAL of the clock, realtime if -c\n"
	"              names no other: -a 0s 1m runs at every full minute\n"
	"  -j KEY      shifts that by a part of INTERVAL which the machine's id and KEY decide\n"
	"  -i          the first run is at once\n"
	"  -d          INTERVAL runs from the end of a command to the start of the next\n"
	"              (default: from start to start, and runs that came due during another\n"
	"              are skipped)\n"
	"  -c CLOCK    monotonic (default), boottime (goes on in suspend), realtime\n"
	"  -s SLACK    may start up to SLACK late, below INTERVAL, to share wake-ups with others\n"
	"  -l LIMIT    a run that could only start more than LIMIT late is skipped\n"
	"until when:\n"
	"  -n COUNT    ends after COUNT runs (default: SIGINT, SIGTERM or SIGHUP ends it)\n"
	"  -1          ends at the first run that fails\n"
	"  -K          keeps going even if COMMAND can't be started (status 126 or 127)\n"
	"  -k TIMEOUT  a run that takes longer gets SIGTERM, and SIGKILL after GRACE (TIMEOUT)\n"
	"what it says, on standard error (default: failed runs, and a summary at the end):\n"
	"  -q          nothing\n"
	"  -v          also starts and ends, each line with its time\n"
	"  -h, --help  prints this and exits\n"
	"  -V, --version\n"
	"INTERVAL and other times: 250ms, 1.5s, 1m30s, 90min, 1h, 1d, also us and ns; seconds\n"
	"without a unit. Exit status: 0, or that of the last run that failed; see every(1)\n";

__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("every: ", stderr);
	vfprintf(stderr, format, arguments);
	fputs("; try every --help\n", stderr);
	va_end(arguments);
	exit(EXIT_TROUBLE);
}

static _Noreturn void print_and_exit(const char *format, const char *text)
{
	exit(printf(format, text) < 0 || fflush(stdout) ? EXIT_UNWRITTEN : 0);
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

static void parse_timeout(struct options *options, char *text)
{
	char *comma = strchr(text, ',');

	if (comma)
		*comma = '\0';
	options->timeout_ns = parse_positive("TIMEOUT", text);
	options->grace_ns = comma ? parse_duration("GRACE", comma + 1) : options->timeout_ns;
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

static void take_schedule(struct options *options, int option, const char *value)
{
	switch (option) {
	case 'a':
		options->anchored = true;
		options->anchor_ns = parse_duration("ANCHOR", value);
		break;
	case 'c':
		options->clock = parse_clock(value);
		break;
	case 'd':
		options->policy = ASYNCTIMER_FIXED_DELAY;
		break;
	case 'i':
		options->at_once = true;
		break;
	case 'l':
		options->late_ns = parse_duration("LIMIT", value);
		break;
	default:
		options->shared = true;
		options->slack_ns = parse_duration("SLACK", value);
	}
}

static void take_option(struct options *options, int option, char *value)
{
	switch (option) {
	case '1':
		options->ends_at_failure = true;
		break;
	case 'K':
		options->keeps_going = true;
		break;
	case 'k':
		parse_timeout(options, value);
		break;
	case 'n':
		options->runs = parse_count(value);
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
	default:
		take_schedule(options, option, value);
	}
}

/* Returns the key that was given with -j, or NULL. */
static const char *parse_options(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *key = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:1a:c:dhij:k:Kl:n:qs:vV", names, NULL)) != -1) {
		if (option == ':')
			refuse("option -%c needs a value", optopt);
		else if (option == '?' && optopt)
			refuse("there is no option -%c", optopt);
		else if (option == '?')
			refuse("there is no option %s", argv[optind - 1]);
		else if (option == 'j')
			key = optarg;
		else
			take_option(options, option, optarg);
	}
	return key;
}

static void refuse_contradictions(const struct options *options, const char *key)
{
	if (options->ends_at_failure && options->keeps_going)
		refuse("-1 does not go with -K: leave one out");
	if (options->quiet && options->verbose)
		refuse("-q does not go with -v: leave one out");
	if (options->policy != ASYNCTIMER_FIXED_DELAY)
		return;
	if (key)
		refuse("-d does not go with -j, for a delay has no phase: leave one out");
	if (options->clock == CLOCK_REALTIME)
		refuse("-d does not go with the realtime clock, which can be set: "
		       "add -c monotonic or -c boottime");
}

static void parse_interval(struct options *options, const char *key, const char *text)
{
	uint64_t phase_ns = 0;
	int r = 0;

	options->interval_ns = parse_positive("INTERVAL", text);
	if (options->slack_ns >= options->interval_ns)
		refuse("SLACK is not below INTERVAL '%s': write less", text);
	if (key)
		r = phase_of_machine(key, options->interval_ns, &phase_ns);
	if (r < 0)
		refuse("-j finds no machine id in " MACHINE_ID_PATH ": %s", strerror(-r));
	options->anchor_ns += phase_ns;
}

struct options options_parse(int argc, char **argv)
{
	struct options options = { .clock = -1, .runs = UINT64_MAX, .late_ns = UINT64_MAX };
	const char *key = parse_options(&options, argc, argv);

	if (key)
		options.anchored = true;
	if (options.clock < 0)
		options.clock = options.anchored ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	refuse_contradictions(&options, key);
	if (optind == argc)
		refuse("INTERVAL and COMMAND are missing");
	parse_interval(&options, key, argv[optind]);
	optind++;
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind == argc)
		refuse("COMMAND is missing: write it after INTERVAL");
	options.command = argv + optind;
	return options;
}
