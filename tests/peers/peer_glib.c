/* SPDX-License-Identifier: MIT */
#include <glib.h>

#include "peer.h"

static __thread GMainContext *context;

static const char *version(void)
{
	static char text[20];

	g_snprintf(text, sizeof(text), "%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);
	return text;
}

static void open_context(void)
{
	context = g_main_context_new();
}

static void start(struct timer *timer);

static gboolean on_tick(gpointer data)
{
	struct timer *timer = data;
	GSource *source = g_main_current_source();

	timer->on_tick(timer);
	if (timer->kind == REPEAT)
		return G_SOURCE_CONTINUE;
	if (timer->kind == DELAY && !g_source_is_destroyed(source))
		start(timer);
	return G_SOURCE_REMOVE;
}

/* A timeout source that has fired is made anew. */
static void start(struct timer *timer)
{
	GSource *source = g_timeout_source_new((guint)(timer->interval_ns / MS));

	if (timer->handle)
		g_source_unref(timer->handle);
	timer->handle = source;
	g_source_set_callback(source, on_tick, timer, NULL);
	g_source_attach(source, context);
}

static int stop(struct timer *timer)
{
	g_source_destroy(timer->handle);
	return 0;
}

static void release(struct timer *timer)
{
	g_source_destroy(timer->handle);
	g_source_unref(timer->handle);
}

static void run(void)
{
	g_main_loop_run(g_main_loop_new(context, FALSE));
}

static const struct remark remarks[] = {
	{ "drift", "documented: from the current time on" },
	{ "phase", "documented: does not try to catch up" },
	{ NULL, NULL },
};

static const struct peer peers[] = {
	{ .name = "GLib", .version = version, .threads = 1, .open = open_context, .run = run,
	  .start = start, .stop = stop, .release = release, .remarks = remarks },
};

PEERS_MAIN(peers)
