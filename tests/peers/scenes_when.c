/* SPDX-License-Identifier: MIT */
/*
 * When callbacks come. Where a busy machine could blur that, intervals are long and the
 * bounds wide, and what it can only make worse is played again: see badness.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "scenes.h"

#define STALL 9		/* intervals */

static uint64_t begin_ns, end_ns;	/* of what the scene does to the loop */

static void busy_until(uint64_t ns)
{
	while (now_ns() < ns)
		;
}

/* 100 ms, started when the thread has been busy for 300 ms: in a callback, or before the loop. */
static void waited(struct timer *timer)
{
	uint64_t waited_ns = now_ns() - begin_ns;

	if (waited_ns >= timer->interval_ns)
		tell(1, "waits its time");
	if (waited_ns < timer->interval_ns / 10)
		tell(0, "fires at once");
	tell(0, "fires after %d of %d ms", (int)(waited_ns / MS), (int)(timer->interval_ns / MS));
}

static void block_and_start(struct timer *timer)
{
	(void)timer;
	busy(300 * MS);
	begin_ns = now_ns();
	start(&ticker, ONCE, 100 * MS, waited);
}

void start_in_callback(void)
{
	peer->open();
	start(&other, ONCE, 10 * MS, block_and_start);
	peer->run();
}

void start_before_loop(void)
{
	peer->open();
	block_and_start(NULL);
	peer->run();
}

/* Ten timers of 1 to 5 ms, each started again in its callback. */
#define FIRES 20000
static uint64_t started_ns[10], worst_ns, sum_early;

static void judge_early(void)
{
	unsigned per_million = (unsigned)(sum_early * 1000000 / FIRES);

	if (!sum_early)
		tell(1, "none of %d", FIRES);
	if (worst_ns < MS / 10)
		tell(0, "%u per million, by up to %u us", per_million, (unsigned)(worst_ns / US) + 1);
	tell(0, "%u per million, by up to %.1f ms", per_million, (double)worst_ns / MS);
}

static void count_early(struct timer *timer)
{
	uint64_t now = now_ns(), due = started_ns[timer - many] + timer->interval_ns;

	if (now < due) {
		sum_early++;
		worst_ns = due - now > worst_ns ? due - now : worst_ns;
	}
	if (++count == FIRES)
		judge_early();
	timer->interval_ns = (1 + (count * 7 + (uint64_t)(timer - many)) % 5) * MS;
	started_ns[timer - many] = now_ns();
	peer->start(timer);
}

void early(void)
{
	peer->open();
	for (unsigned i = 0; i < 10; i++) {
		started_ns[i] = now_ns();
		start(&many[i], ONCE, (1 + i % 5) * MS, count_early);
	}
	peer->run();
}

/* 30 ms between the end of a callback of 50 ms and the next. */
static void gap(struct timer *timer)
{
	static uint64_t least_ns = UINT64_MAX;
	uint64_t now = now_ns();

	if (count && now - end_ns < least_ns)
		least_ns = now - end_ns;
	if (count++ == 8) {
		if (least_ns >= timer->interval_ns)
			tell(1, "the whole delay");
		if (least_ns < timer->interval_ns / 10)
			tell(0, "no gap");
		tell(0, "%d of %d ms", (int)(least_ns / MS), (int)(timer->interval_ns / MS));
	}
	busy(50 * MS);
	end_ns = now_ns();
}

void delay_leaves_gap(void)
{
	peer->open();
	start(&ticker, DELAY, 30 * MS, gap);
	peer->run();
}

/* The ticks of 100 ms after the loop was blocked, or stopped, for 9 intervals and a quarter. */
static uint64_t stall_end(void)
{
	return times[0] + (2 + STALL) * ticker.interval_ns + ticker.interval_ns / 4;
}

static unsigned ticks_between(uint64_t from_ns, uint64_t to_ns)
{
	unsigned ticks = 0;

	for (unsigned i = 0; i < count; i++)
		ticks += times[i] >= from_ns && times[i] < to_ns;
	return ticks;
}

static void judge_burst(void)
{
	unsigned first = 0;

	while (first < count && times[first] < stall_end())
		first++;
	badness = 1e9;
	if (first == count)
		tell(0, "no callback any more");
	unsigned burst = ticks_between(times[first], times[first] + ticker.interval_ns / 2);

	badness = burst;
	if (burst == 1)
		tell(1, "one callback");
	tell(0, "%u callbacks at once", burst);
}

/* Due between the first callback and the first after the stall were 2 and STALL more points. */
static void judge_missed(void)
{
	if (!ticker.missed)
		tell(0, "not told");
	badness = 1;
	tell(ticker.missed == STALL, "%d of %d", (int)ticker.missed, STALL);
}

static void block_loop(struct timer *timer)
{
	(void)timer;
	busy_until(stall_end());
}

static void note_and_block(struct timer *timer)
{
	note(timer);
	if (count == 1)
		start(&other, ONCE, timer->interval_ns * 5 / 4, block_loop);
}

static void stall(void (*on_tick)(struct timer *), void (*judge)(void))
{
	peer->open();
	start(&ticker, REPEAT, 100 * MS, on_tick);
	judge_in(100 * MS * (STALL + 6), judge);
	peer->run();
}

void burst(void)
{
	stall(note_and_block, judge_burst);
}

void missed(void)
{
	stall(note_and_block, judge_missed);
}

static void note_and_suspend(struct timer *timer)
{
	note(timer);
	if (count != 2)
		return;
	pid_t scene = getpid();

	if (!must(fork(), "fork")) {
		sleep_ns(timer->interval_ns / 4);
		if (getppid() == scene)
			kill(scene, SIGSTOP);
		sleep_ns(stall_end() - now_ns());
		kill(scene, SIGCONT);
		_exit(0);
	}
}

void suspend(void)
{
	stall(note_and_suspend, judge_burst);
}

/*
 * Callbacks of a 100 ms timer take 250 ms. The first of them shows what becomes of the
 * grid, the median of all how soon the next callback comes.
 */
static const unsigned slow[] = { 3, 12, 16 };
#define SLOWS (sizeof(slow) / sizeof(*slow))

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double intervals_between(unsigned from, unsigned to)
{
	return (double)(times[to] - times[from]) / (double)ticker.interval_ns;
}

/* From -1/2 to 1/2 of an interval. */
static double off_grid(double intervals)
{
	return intervals - (double)(int)(intervals + 0.5);
}

static void judge_phase(void)
{
	double off[5], next[SLOWS];

	for (unsigned i = 0; i < 5; i++)
		off[i] = off_grid(intervals_between(0, slow[0] + 3 + i));
	qsort(off, 5, sizeof(*off), by_size);
	for (unsigned i = 0; i < SLOWS; i++)
		next[i] = intervals_between(slow[i] - 1, slow[i]);
	qsort(next, SLOWS, sizeof(*next), by_size);
	double halves = (double)(int)(next[SLOWS / 2] * 2 + 0.5) / 2;
	int kept = off[2] > -0.15 && off[2] < 0.15;

	tell(kept, "%s; next after %.1f intervals", kept ? "kept" : "lost", halves);
}

static void note_and_work(struct timer *timer)
{
	note(timer);
	if (count > slow[SLOWS - 1])
		judge_phase();
	for (unsigned i = 0; i < SLOWS; i++)
		if (count == slow[i])
			busy(timer->interval_ns * 5 / 2);
}

void phase(void)
{
	peer->open();
	start(&ticker, REPEAT, 100 * MS, note_and_work);
	peer->run();
}

/*
 * 20 ms, with 2 ms of work in each callback. Whole intervals lost count as nothing, and of
 * each end's callbacks the one that is least late counts, so load does not.
 */
#define DRIFT_TICKS 150
#define END_TICKS 30

static void judge_drift(void)
{
	double off = 0, first = 0, last = 1000;

	for (unsigned i = 1; i < count; i++) {
		off += off_grid(intervals_between(i - 1, i));
		if (i < END_TICKS)
			first = off < first ? off : first;
		if (i >= DRIFT_TICKS - END_TICKS)
			last = off < last ? off : last;
	}
	double drift_ms = (last - first) / (DRIFT_TICKS - END_TICKS) * (double)ticker.interval_ns / MS;

	badness = drift_ms;
	if (drift_ms < 0.05)
		tell(1, "none");
	tell(0, "%.1f ms per tick", drift_ms);
}

static void note_and_drift(struct timer *timer)
{
	note(timer);
	busy(2 * MS);
	if (count == DRIFT_TICKS)
		judge_drift();
}

void drift(void)
{
	peer->open();
	start(&ticker, REPEAT, 20 * MS, note_and_drift);
	peer->run();
}

/* The wall clock is set forward by an hour for 60 ms, and back. */
static const struct step *step;

static void judge_clock(void)
{
	if (!step->back_ns)
		skip("the clock can't be set");
	unsigned forward = ticks_between(step->forward_ns, step->back_ns);
	unsigned back = ticks_between(step->back_ns + ticker.interval_ns, UINT64_MAX);

	if (!back)
		tell(0, forward > 20 ? "bursts, then silent" : "silent after the step back");
	if (forward > 20)
		tell(0, "bursts");
	tell(1, peer->wall ? "ticks on" : "ticks on (has no wall-clock timers)");
}

static void note_and_step(struct timer *timer)
{
	note(timer);
	if (count != 3)
		return;
	step = step_clock(60 * MS);
	judge_in(500 * MS, judge_clock);
}

void set_clock(void)
{
	peer->open();
	start(&ticker, peer->wall ? WALL : REPEAT, 10 * MS, note_and_step);
	peer->run();
}
