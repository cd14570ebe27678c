/* SPDX-License-Identifier: MIT */
/*
 * Connections that are closed after 30 s without a message. Each has a timer that
 * ticks once, and each message pushes that back, by one call: the timeout's
 * callback runs only for a connection that really was idle. The network is played
 * by further timers, and the clock is virtual: two minutes pass at once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <asynctimer.h>

#define IDLE_NS (30 * ASYNCTIMER_SECOND)

struct connection {
	const char *name;
	uint64_t every_s;		/* a message so often */
	uint64_t messages;		/* until the client falls silent */
	struct asynctimer *idle;
	struct asynctimer *client;
	uint64_t timeouts;		/* callbacks of the idle timer */
};

static struct connection connections[] = {
	{ .name = "chatty", .every_s = 5, .messages = 14 },
	{ .name = "steady", .every_s = 20, .messages = 3 },
	{ .name = "mute", .every_s = 100, .messages = 0 },
	{ .name = "slow", .every_s = 45, .messages = 1 },
};
#define CONNECTIONS (sizeof(connections) / sizeof(connections[0]))

static int on_idle(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct connection *connection = data;

	(void)timer;
	connection->timeouts++;
	printf("%4" PRIu64 " s  %s: closed, idle for 30 s\n", tick->due_ns / ASYNCTIMER_SECOND,
	       connection->name);
	return ASYNCTIMER_DONE;
}

/* 0: the timer is stopped, for its tick has been claimed. A restart does not revive it. */
static int on_message(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct connection *connection = data;
	int r;

	if (connection->messages == 0) {
		asynctimer_stop(timer);
		return ASYNCTIMER_DONE;
	}
	connection->messages--;
	r = asynctimer_restart_after(connection->idle, IDLE_NS);
	if (r == 0)
		printf("%4" PRIu64 " s  %s: a message, too late\n",
		       tick->due_ns / ASYNCTIMER_SECOND, connection->name);
	return r < 0 ? r : ASYNCTIMER_DONE;
}

static int open_connection(struct asynctimer_reactor *reactor, struct connection *connection)
{
	/* Nobody needs these to the millisecond: with slack, many share one wake-up. */
	int r = asynctimer_new_shared(reactor, CLOCK_MONOTONIC, IDLE_NS, ASYNCTIMER_ONCE,
				      ASYNCTIMER_SECOND, on_idle, connection, &connection->idle);

	if (r == 0)
		r = asynctimer_new_shared(reactor, CLOCK_MONOTONIC,
					  connection->every_s * ASYNCTIMER_SECOND,
					  ASYNCTIMER_FIXED_SCHEDULE, 0, on_message, connection,
					  &connection->client);
	if (r == 0)
		r = asynctimer_start(connection->idle);
	if (r >= 0)
		r = asynctimer_start(connection->client);
	return r < 0 ? r : 0;
}

static int simulate(struct asynctimer_reactor *reactor)
{
	uint64_t messages = 0, timeouts = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < CONNECTIONS; i++) {
		messages += connections[i].messages;
		r = open_connection(reactor, &connections[i]);
	}
	if (r == 0)
		r = asynctimer_reactor_advance(reactor, 120 * ASYNCTIMER_SECOND);
	if (r < 0)
		return r;
	for (size_t i = 0; i < CONNECTIONS; i++)
		timeouts += connections[i].timeouts;
	printf("%" PRIu64 " messages, %" PRIu64 " timeouts\n", messages, timeouts);
	return 0;
}

int main(void)
{
	struct asynctimer_reactor *reactor = NULL;
	int r = asynctimer_reactor_new_virtual(&reactor);

	if (r == 0)
		r = simulate(reactor);
	if (r < 0)
		fprintf(stderr, "idle_timeouts: %s\n", strerror(-r));
	asynctimer_reactor_free(reactor);	/* and its timers */
	return r < 0;
}
