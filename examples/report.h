/* SPDX-License-Identifier: MIT */
/*
 * What a reactor's timers do: a table for people, and a file for Prometheus, by
 * way of node_exporter's textfile collector. Any thread may call these.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>
#include <stdio.h>

#include <asynctimer.h>

struct report {
	struct asynctimer_reactor_stats stats;
	struct asynctimer_info *infos;
	int timers;
};

/* Takes a report, to be given back by report_free. 0; a negative errno. */
int report_take(struct asynctimer_reactor *reactor, struct report *ret);
void report_free(struct report *report);

/* A line per timer, after a header; times are in milliseconds. 0; a negative errno. */
int report_table(const struct report *report, FILE *file);

/*
 * OpenMetrics text. Whoever reads path finds this report or the one before, whole.
 * The timers' names are to be different. 0; a negative errno.
 */
int report_metrics(const struct report *report, const char *path);

/* For how long the timer's tick has been open; 0: none is. */
uint64_t report_open_ns(const struct asynctimer_info *info);

#endif
