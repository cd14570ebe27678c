/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "report.h"

/* Timers may be made at any time: so again, until there was room for all. */
int report_take(struct asynctimer_reactor *reactor, struct report *ret)
{
	struct asynctimer_info *infos = NULL;
	int room = 0, timers;

	while ((timers = asynctimer_reactor_list(reactor, (uint32_t)room, sizeof(*infos), infos)) >
	       room) {
		room = timers;
		free(infos);
		infos = calloc((size_t)room, sizeof(*infos));
		if (!infos)
			return -ENOMEM;
	}
	if (timers < 0) {
		free(infos);
		return timers;
	}
	ret->infos = infos;
	ret->timers = timers;
	return asynctimer_reactor_get_stats(reactor, sizeof(ret->stats), &ret->stats);
}

void report_free(struct report *report)
{
	free(report->infos);
}

static uint64_t clock_now_ns(int clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}

/* Set back meanwhile, the clock may be before that. */
uint64_t report_open_ns(const struct asynctimer_info *info)
{
	uint64_t since_ns = info->stats.busy_since_ns;
	uint64_t now_ns = clock_now_ns(info->clock);

	return since_ns && now_ns > since_ns ? now_ns - since_ns : 0;
}

static double to_ms(uint64_t ns)
{
	return (double)ns / ASYNCTIMER_MILLISECOND;
}

static const char *policy_name(int policy)
{
	switch (policy) {
	case ASYNCTIMER_FIXED_SCHEDULE:
		return "schedule";
	case ASYNCTIMER_FIXED_DELAY:
		return "delay";
	case ASYNCTIMER_ONCE:
		return "once";
	default:
		return "?";
	}
}

static void print_row(const struct asynctimer_info *info, FILE *file)
{
	const struct asynctimer_stats *stats = &info->stats;
	uint64_t callbacks = stats->callbacks ? stats->callbacks : 1;
	char next[32] = "-", open[32] = "-";

	if (info->next_due_ns != UINT64_MAX) /* below 0: it is past already */
		snprintf(next, sizeof(next), "%.3f",
			 (double)(int64_t)(info->next_due_ns - clock_now_ns(info->clock)) /
				 ASYNCTIMER_MILLISECOND);
	if (info->open)
		snprintf(open, sizeof(open), "%.3f", to_ms(report_open_ns(info)));
	fprintf(file,
		"%-15s %-8s %13.3f %13s %9" PRIu64 " %7" PRIu64 " %7" PRIu64
		" %9.3f %9.3f %9.3f %9.3f %9s\n",
		info->name[0] ? info->name : "-", policy_name(info->policy),
		to_ms(info->interval_ns), next, stats->callbacks, stats->skipped_busy, stats->skipped_late,
		to_ms(stats->lateness_sum_ns / callbacks), to_ms(stats->lateness_max_ns),
		to_ms(stats->behind_sum_ns), to_ms(stats->delayed_sum_ns), open);
}

int report_table(const struct report *report, FILE *file)
{
	fprintf(file, "%-15s %-8s %13s %13s %9s %7s %7s %9s %9s %9s %9s %9s\n", "NAME", "POLICY",
		"INTERVAL", "NEXT", "CALLBACKS", "BUSY", "LATE", "MEAN", "MAX", "BEHIND", "DELAYED",
		"OPEN");
	for (int i = 0; i < report->timers; i++)
		print_row(&report->infos[i], file);
	return fflush(file) == 0 ? 0 : -errno;
}

#define AT(member) offsetof(struct asynctimer_info, member)

/* Counters end in _total; what is in seconds is a time in the library. */
static const struct family {
	const char *name;
	const char *unit; /* "" or "_seconds" */
	const char *type;
	const char *help;
	size_t at; /* in struct asynctimer_info: a uint64_t */
} families[] = {
	{ "callbacks", "", "counter", "Callbacks begun.", AT(stats.callbacks) },
	{ "skipped_busy", "", "counter", "Ticks that came due while the timer's last one was open.",
	  AT(stats.skipped_busy) },
	{ "skipped_late", "", "counter", "Ticks that the reactor came to too late.",
	  AT(stats.skipped_late) },
	{ "failures", "", "counter", "Callbacks and completions that failed.", AT(stats.failures) },
	{ "lateness", "_seconds", "counter", "From due to the callback's start.",
	  AT(stats.lateness_sum_ns) },
	{ "behind", "_seconds", "counter", "The part of the lateness spent in other callbacks.",
	  AT(stats.behind_sum_ns) },
	{ "delayed", "_seconds", "counter", "Lateness that the timer caused to others.",
	  AT(stats.delayed_sum_ns) },
	{ "duration", "_seconds", "counter", "From a callback's start to its completion.",
	  AT(stats.duration_sum_ns) },
	{ "lateness_max", "_seconds", "gauge", "The latest callback.", AT(stats.lateness_max_ns) },
	{ "interval", "_seconds", "gauge", "The interval.", AT(interval_ns) },
};

/* As a label's value. */
static void print_name(const char *name, FILE *file)
{
	for (; *name; name++) {
		if (*name == '"' || *name == '\\' || *name == '\n')
			fputc('\\', file);
		fputc(*name == '\n' ? 'n' : *name, file);
	}
}

static void print_seconds(uint64_t ns, FILE *file)
{
	fprintf(file, "%.9f\n", (double)ns / ASYNCTIMER_SECOND);
}

static void begin_sample(const char *name, const char *suffix, const struct asynctimer_info *info,
			 FILE *file)
{
	fprintf(file, "asynctimer_%s%s{timer=\"", name, suffix);
	print_name(info->name, file);
	fprintf(file, "\",policy=\"%s\"} ", policy_name(info->policy));
}

static void print_family(const struct family *family, const struct report *report, FILE *file)
{
	fprintf(file, "# HELP asynctimer_%s%s %s\n# TYPE asynctimer_%s%s %s\n", family->name,
		family->unit, family->help, family->name, family->unit, family->type);
	for (int i = 0; i < report->timers; i++) {
		const struct asynctimer_info *info = &report->infos[i];
		uint64_t value;
		char suffix[32];

		memcpy(&value, (const char *)info + family->at, sizeof(value));
		snprintf(suffix, sizeof(suffix), "%s%s", family->unit,
			 family->type[0] == 'c' ? "_total" : "");
		begin_sample(family->name, suffix, info, file);
		if (family->unit[0])
			print_seconds(value, file);
		else
			fprintf(file, "%" PRIu64 "\n", value);
	}
}

static void print_open(const struct report *report, FILE *file)
{
	fputs("# HELP asynctimer_open_seconds For how long the tick has been open, 0 if none is.\n"
	      "# TYPE asynctimer_open_seconds gauge\n", file);
	for (int i = 0; i < report->timers; i++) {
		begin_sample("open", "_seconds", &report->infos[i], file);
		print_seconds(report_open_ns(&report->infos[i]), file);
	}
}

/* lateness[k] counts what is below 2^k ns. Nobody needs more than 1 us to 17 s. */
static void print_histogram(const struct report *report, FILE *file)
{
	static const char name[] = "asynctimer_reactor_lateness_seconds";
	uint64_t count = 0, sum_ns = 0;

	fprintf(file, "# HELP %s Callbacks by lateness.\n# TYPE %s histogram\n", name, name);
	for (int i = 0; i < 64; i++) {
		count += report->stats.lateness[i];
		if (i >= 10 && i <= 34)
			fprintf(file, "%s_bucket{le=\"%.9f\"} %" PRIu64 "\n", name,
				(double)(UINT64_C(1) << i) / ASYNCTIMER_SECOND, count);
	}
	for (int i = 0; i < report->timers; i++)
		sum_ns += report->infos[i].stats.lateness_sum_ns;
	fprintf(file, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
	fprintf(file, "%s_count %" PRIu64 "\n%s_sum ", name, count, name);
	print_seconds(sum_ns, file);
}

static int print_metrics(const struct report *report, FILE *file)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		print_family(&families[i], report, file);
	print_open(report, file);
	print_histogram(report, file);
	fputs("# EOF\n", file);
	/* The umask may be strict, and the collector is another user. */
	return fflush(file) == 0 && fchmod(fileno(file), 0644) == 0 ? 0 : -errno;
}

/* Whatever its name ends in but .prom the collector leaves alone. */
int report_metrics(const struct report *report, const char *path)
{
	char temporary[PATH_MAX];
	FILE *file;
	int r;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	file = fopen(temporary, "we");
	if (!file)
		return -errno;
	r = print_metrics(report, file);
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		remove(temporary);
	return r;
}
