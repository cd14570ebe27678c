/* SPDX-License-Identifier: MIT */
/*
 * 50 targets, each polled once a second at a phase of its own. A poll that fails
 * is tried again every 100 ms, and once it succeeds the target goes back to its
 * grid. The key, say the host's name, moves all phases alike, so that the hosts of
 * a site do not poll at the same moments. The clock is virtual: an hour passes at
 * once.
 *
 *	pollers [KEY]
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <asynctimer.h>

#define TARGETS	    50
#define INTERVAL_NS ASYNCTIMER_SECOND
#define RETRY_NS    (100 * ASYNCTIMER_MILLISECOND)
#define POLL_NS	    (3 * ASYNCTIMER_MILLISECOND)

struct target {
	uint64_t index;
	uint64_t phase_ns;
	bool retrying;
};

static struct asynctimer_reactor *reactor;
static struct target targets[TARGETS];
static uint64_t polls, retries, off_grid, waited, waited_max_ns;

/* Takes 3 ms. Each target is down for 2 s in 10 minutes. */
static bool poll_succeeds(const struct target *target, uint64_t now_ns)
{
	asynctimer_reactor_advance(reactor, POLL_NS);
	return (now_ns / ASYNCTIMER_SECOND + 12 * target->index) % 600 >= 2;
}

static void count(const struct target *target, const struct asynctimer_tick *tick)
{
	if (target->retrying)
		retries++;
	else
		polls++;
	if (!target->retrying && tick->due_ns % INTERVAL_NS != target->phase_ns)
		off_grid++;
	if (tick->behind_ns)
		waited++;
	if (tick->behind_ns > waited_max_ns)
		waited_max_ns = tick->behind_ns;
}

/*
 * In its callback a timer may be given another grid; it takes effect when the
 * callback returns. The anchor of old is the same grid as ever.
 */
static int on_poll(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct target *target = data;
	int r = 0;

	count(target, tick);
	if (!poll_succeeds(target, tick->now_ns)) {
		target->retrying = true;
		r = asynctimer_restart_after(timer, RETRY_NS);
	} else if (target->retrying) {
		target->retrying = false;
		asynctimer_stop(timer);	/* to start a started timer changes nothing */
		r = asynctimer_start_at(timer, target->phase_ns);
	}
	return r < 0 ? r : ASYNCTIMER_DONE;
}

/* On CLOCK_REALTIME, which hosts have in common; and a daemon started anew keeps its phases. */
static int start(struct target *target, uint64_t base_ns)
{
	struct asynctimer *timer;
	int r = asynctimer_new_shared(reactor, CLOCK_REALTIME, INTERVAL_NS,
				      ASYNCTIMER_FIXED_SCHEDULE, 0, on_poll, target, &timer);

	target->phase_ns = base_ns + asynctimer_spread_ns(target->index, INTERVAL_NS);
	target->phase_ns %= INTERVAL_NS;
	return r < 0 ? r : asynctimer_start_at(timer, target->phase_ns);
}

static int poll_for_an_hour(const char *key)
{
	uint64_t base_ns = asynctimer_splay_ns(key, INTERVAL_NS);
	int r = asynctimer_reactor_new_virtual(&reactor);

	for (size_t i = 0; r >= 0 && i < TARGETS; i++) {
		targets[i].index = i;
		r = start(&targets[i], base_ns);
	}
	if (r >= 0)
		r = asynctimer_reactor_advance(reactor, 3600 * ASYNCTIMER_SECOND);
	return r;
}

int main(int argc, char **argv)
{
	char host[256] = "localhost";
	int r;

	gethostname(host, sizeof(host) - 1);
	r = poll_for_an_hour(argc > 1 ? argv[1] : host);
	if (r < 0)
		fprintf(stderr, "pollers: %s\n", strerror(-r));
	printf("polls %" PRIu64 ", off the grid %" PRIu64 ", retries %" PRIu64 "\n", polls,
	       off_grid, retries);
	printf("behind another poll: %" PRIu64 ", by %.3f ms at most\n", waited,
	       (double)waited_max_ns / ASYNCTIMER_MILLISECOND);
	asynctimer_reactor_free(reactor);
	return r < 0;
}
