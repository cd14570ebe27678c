/* SPDX-License-Identifier: MIT */
/* What the scenes share, and their table. */
#include <pthread.h>

#include "scenes.h"

struct timer ticker, other, many[MANY];
uint64_t times[TIMES];
_Atomic unsigned count;

void sleep_ns(uint64_t ns)
{
	struct timespec left = { (time_t)(ns / SECOND), (long)(ns % SECOND) };

	while (nanosleep(&left, &left))
		;
}

void busy(uint64_t ns)
{
	uint64_t until = now_ns() + ns;

	while (now_ns() < until)
		;
}

void start(struct timer *timer, enum kind kind, uint64_t interval_ns, void (*on_tick)(struct timer *))
{
	timer->kind = kind;
	timer->interval_ns = interval_ns;
	timer->on_tick = on_tick;
	peer->start(timer);
}

void in_thread(void *(*run)(void *), void *data)
{
	pthread_t thread;

	must(-pthread_create(&thread, NULL, run, data), "pthread_create");
}

struct later {
	uint64_t ns;
	void (*judge)(void);
};

static void *wait_and_judge(void *data)
{
	struct later *later = data;

	sleep_ns(later->ns);
	later->judge();
	return NULL;
}

void judge_in(uint64_t ns, void (*judge)(void))
{
	static struct later later;

	later = (struct later){ ns, judge };
	in_thread(wait_and_judge, &later);
}

void note(struct timer *timer)
{
	(void)timer;
	if (count == TIMES)
		return;
	times[count] = now_ns();
	count++;
}

const struct scene scenes[] = {
	{ "callback", "A timer of 100 ms, started in a callback that had blocked the loop for 300 ms",
	  start_in_callback, 5, 1 },
	{ "before", "The same, started before the loop runs, 300 ms after it was made", start_before_loop, 5, 1 },
	{ "early", "Callbacks that begin before their time, of timers of 1 to 5 ms", early, 60, 1 },
	{ "drift", "Drift of a 20 ms timer with 2 ms of work", drift, 20, 5 },
	{ "phase", "The phase after a callback of 2.5 intervals, and when the next one begins", phase, 10, 1 },
	{ "burst", "After the loop was blocked for 9 intervals", burst, 5, 5 },
	{ "suspend", "After the process was stopped (SIGSTOP) for 9 intervals", suspend, 5, 5 },
	{ "missed", "The 9 ticks missed while the loop was blocked", missed, 5, 5 },
	{ "gap", "A delay of 30 ms between callbacks of 50 ms", delay_leaves_gap, 5, 1 },
	{ "batch", "19 timers that are due, stopped by the callback of a 20th", stop_in_batch, 5, 1 },
	{ "freeown", "A timer released in its own callback", free_own, 5, 1 },
	{ "freeother", "19 timers that are due, released by the callback of a 20th", free_in_batch, 5, 1 },
	{ "thread", "A stop in another thread while the callback runs", stop_from_thread, 5, 1 },
	{ "lock", "The same, holding a lock that the callback waits for", stop_holding_lock, 5, 1 },
	{ "nowait", "The same, by the call that does not wait", stop_holding_lock_nowait, 5, 1 },
	{ "cross", "Two callbacks in two threads stop each other's timer", stop_crosswise, 5, 1 },
	{ "forkstop", "The parent's timer when a forked child stops it", fork_stop, 5, 1 },
	{ "forkon", "Whether a forked child can go on with the loop", fork_go_on, 5, 1 },
	{ "clock", "CLOCK_REALTIME set forward by an hour, and back", set_clock, 5, 1 },
	{ NULL, NULL, NULL, 0, 0 },
};
