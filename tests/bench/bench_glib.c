/* SPDX-License-Identifier: MIT */
#include <glib.h>

#include "bench.h"

static GMainLoop *loop;

static void open_loop(void)
{
	loop = g_main_loop_new(NULL, FALSE);
}

/* A timeout source moves its grid with every lateness, so an exact timer is a source of its own. */
static gboolean on_tick(GSource *source, GSourceFunc callback, gpointer data)
{
	(void)callback;
	g_source_set_ready_time(source, (gint64)(bench_next_due(data, (uint64_t)g_source_get_time(source) * US) / US));
	bench_tick(data);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs functions = { .dispatch = on_tick };

static gboolean ignore(gpointer data)
{
	(void)data;
	return G_SOURCE_CONTINUE;
}

static void add(struct record *record)
{
	GSource *source = g_source_new(&functions, sizeof(*source));

	g_source_set_callback(source, ignore, record, NULL);
	g_source_set_ready_time(source, (gint64)(record->due_ns / US));
	g_source_attach(source, NULL);
	record->handle = source;
}

static void again(struct record *record)
{
	g_source_set_ready_time(record->handle, g_get_monotonic_time() + (gint64)(record->interval_ns / US));
}

static void restart(struct record *record)
{
	g_source_set_ready_time(record->handle, -1);
	again(record);
}

static gboolean on_timeout(gpointer data)
{
	bench_tick(data);
	return G_SOURCE_CONTINUE;
}

/* A timeout's first tick is one interval from when it was made. */
static void add_timeout(struct record *record)
{
	record->anchor_ns = now_ns() + record->interval_ns;
	bench->base_ns = record->anchor_ns;
	record->handle = g_main_context_find_source_by_id(
		NULL, g_timeout_add((guint)(record->interval_ns / MS), on_timeout, record));
}

/* These tick together, in all of a user's processes. */
static void add_seconds(struct record *record)
{
	g_timeout_add_seconds((guint)(record->interval_ns / SECOND), on_timeout, record);
}

static void run(void)
{
	g_main_loop_run(loop);
}

/* Each iteration looks at every source. */
static const struct peer peers[] = {
	{ .name = "glib", .unit_ns = US, .max_timers = 10000,
	  .open = open_loop, .add = add, .restart = restart, .again = again, .run = run },
	{ .name = "glib_timeout", .unit_ns = MS, .max_timers = 1,
	  .open = open_loop, .add = add_timeout, .restart = restart, .run = run },
	{ .name = "glib_seconds", .unit_ns = SECOND, .max_timers = 10000,
	  .open = open_loop, .add = add_seconds, .run = run },
};

BENCH_MAIN(peers)
