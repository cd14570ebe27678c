/* SPDX-License-Identifier: MIT */
/*
 * Bytes are operations on a virtual reactor; callbacks, handlers and releases
 * take theirs from the same bytes, in the order in which they are called. What
 * is done, on the library and on its model, fuzz_both.h says.
 *
 * The first byte says how many timers there are and, from 128 on, that all
 * operations may come. Below 128 only those may that the first inputs of the
 * corpus were made of, and they are coded as they were then.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fuzz.h"
#include "fuzz_both.h"

#define DEEPEST 4		/* a callback's complete's handler's free's release does no more */
#define CALLBACKS 64		/* of one advance, before the reactor is stopped */
#define LONGEST_NS (UINT64_C(1) << 62)
#define END_NS (UINT64_C(1) << 63)
#define NEAR_NS (UINT64_C(1) << 40)

uint64_t fuzz_operations;
uint64_t fuzz_callbacks;
static const uint8_t *input;
static const uint8_t *input_end;

static unsigned burst;		/* callbacks of the present advance */
static unsigned self;		/* whose, or BOTH_NOBODY */
static bool all_operations;	/* may come in this input */

#define U "%" PRIu64

void fuzz_report(unsigned violations)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table = path ? fopen(path, "a") : NULL;

	printf(U " operations, " U " callbacks, %u violations\n", fuzz_operations, fuzz_callbacks,
	       violations);
	if (!table)
		return;
	fprintf(table, "fuzzing\toperations\t" U "\t%u\n", fuzz_operations, violations);
	fclose(table);
}

/* libFuzzer keeps the input of a program that aborts. */
static void report_and_abort(void)
{
	fuzz_report(1);
	abort();
}

/*
 * The input.
 */

static unsigned byte(void)
{
	return input < input_end ? *input++ : 0;
}

/* Small numbers above all, so that due times meet. */
static uint64_t amount(void)
{
	static const uint64_t borders_ns[] = {
		UINT64_MAX, END_NS, END_NS - 1, END_NS + 1, LONGEST_NS, LONGEST_NS - 1,
		LONGEST_NS + 1, LONGEST_NS / 3,
	};
	unsigned b = byte();

	if (b < 192)
		return b % 64;
	if (b < 224)
		return (b - 191) * 50;
	if (b < 240)
		return (b - 224) * 1000 + byte();
	if (b < 248)
		return ASYNCTIMER_MILLISECOND << 3 * (b - 240);
	b = byte();
	return b < 224 ? b : borders_ns[b % 8];
}

/* Of a reactor that is being freed only timers that have yet to be released. */
static bool can_be_named(const struct model_timer *timer)
{
	return timer->alive && (!timer->freed || timer->running) &&
	       (!both.model.freeing || timer->release);
}

/* Some timer that may be named, by preference the one whose callback this is; or NULL. */
static struct model_timer *pick(void)
{
	unsigned b = byte();

	if (b >= 160 && self != BOTH_NOBODY && can_be_named(&both.model.timer[self]))
		return &both.model.timer[self];
	for (unsigned i = 0; i < both.model.timers; i++) {
		struct model_timer *timer = &both.model.timer[(b + i) % both.model.timers];

		if (can_be_named(timer))
			return timer;
	}
	return NULL;
}

/*
 * Callbacks, handlers and releases.
 */

static void operate(void);

/* The operations of one, and up to most of them; then the byte that is left. */
static unsigned operate_inside(unsigned whose)
{
	static const uint8_t counts[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4 };
	unsigned self_before = self;
	unsigned b = byte();

	self = whose;
	for (unsigned i = counts[b % 16]; i > 0 && both.depth < DEEPEST && input < input_end; i--)
		operate();
	self = self_before;
	return b / 16;
}

static int result_of(unsigned choice)
{
	switch (choice) {
	case 9:
	case 10:
	case 11:
	case 12:
		return ASYNCTIMER_PENDING;
	case 13:
		return -(int)(1 + byte());
	case 14:
		return byte() % 2 ? 1 : INT_MAX;
	case 15:
		return byte() % 2 ? -1 : INT_MIN;
	default:
		return ASYNCTIMER_DONE;
	}
}

/* So that the shortest interval over the longest time ends. */
static void bound_burst(void)
{
	if (++burst < CALLBACKS)
		return;
	both_reactor_stop();
}

int both_callback(unsigned timer)
{
	int result;

	fuzz_callbacks++;
	result = result_of(operate_inside(timer));
	bound_burst();
	return result;
}

void both_handler(unsigned timer)
{
	operate_inside(timer);
}

void both_release(unsigned timer)
{
	(void)timer;
	operate_inside(BOTH_NOBODY);
}

/*
 * Operations.
 */

static void timer_new(void)
{
	static const int clocks[8] = { CLOCK_MONOTONIC, CLOCK_MONOTONIC, CLOCK_MONOTONIC,
				       CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_BOOTTIME,
				       CLOCK_REALTIME, CLOCK_PROCESS_CPUTIME_ID };
	unsigned b = byte();
	int clock = clocks[b % 8];
	int policy = b / 8 % 16 == 15 ? (int)byte() : (int)(b / 8 % (all_operations ? 3 : 2));
	bool shared = b >= 64;
	uint64_t interval_ns = amount();
	uint64_t slack_ns = b >= 128 ? amount() : 0;
	struct model_timer *timer = NULL;

	for (unsigned i = 0; i < both.model.timers; i++)
		if (!both.model.timer[i].alive)
			timer = &both.model.timer[i];
	if (timer)
		both_new(timer, clock, interval_ns, policy, shared, slack_ns);
}

static void timer_free(void)
{
	struct model_timer *timer = pick();

	if (timer && !timer->freed)
		both_free(timer);
}

static void timer_free_nowait(void)
{
	struct model_timer *timer = pick();

	if (timer && !timer->freed)
		both_free_nowait(timer);
}

static void timer_set_interval(void)
{
	struct model_timer *timer = pick();
	uint64_t interval_ns = amount();

	if (timer)
		both_set_interval(timer, interval_ns);
}

static void timer_set_error_handler(void)
{
	struct model_timer *timer = pick();
	unsigned handler = byte() % 3;

	if (timer)
		both_set_error_handler(timer, handler);
}

static void timer_set_release(void)
{
	struct model_timer *timer = pick();

	if (timer && !timer->freed)
		both_set_release(timer, byte() % 4 != 0);
}

static void timer_set_name(void)
{
	struct model_timer *timer = pick();
	unsigned name = byte() % BOTH_NAMES;

	if (timer)
		both_set_name(timer, name);
}

static void timer_start(void)
{
	struct model_timer *timer = pick();

	if (timer)
		both_start(timer);
}

static void timer_start_after(void)
{
	struct model_timer *timer = pick();
	uint64_t delay_ns = amount();

	if (timer)
		both_start_after(timer, delay_ns);
}

/* Before now, or after it, or at any time. */
static void timer_start_at(void)
{
	struct model_timer *timer = pick();
	unsigned b = byte();
	uint64_t anchor_ns = amount();

	if (!timer)
		return;
	if (b < 112)
		anchor_ns += model_now_ns(&both.model, timer);
	else if (b < 224 && anchor_ns < model_now_ns(&both.model, timer))
		anchor_ns = model_now_ns(&both.model, timer) - anchor_ns;
	both_start_at(timer, anchor_ns);
}

static void timer_restart_after(void)
{
	struct model_timer *timer = pick();
	uint64_t delay_ns = amount();

	if (timer)
		both_restart_after(timer, delay_ns);
}

static void timer_stop(void)
{
	struct model_timer *timer = pick();

	if (timer)
		both_stop(timer);
}

static void timer_stop_nowait(void)
{
	struct model_timer *timer = pick();

	if (timer)
		both_stop_nowait(timer);
}

/* After free with its tick deferred: once, and rightly. */
static void complete_freed(unsigned b)
{
	for (unsigned i = 0; i < both.model.timers; i++) {
		struct model_timer *timer = &both.model.timer[(b + i) % both.model.timers];

		if (timer->alive && timer->freed && !timer->running) {
			both_complete(timer, timer->number, b % 2 ? 0 : -(int)b);
			return;
		}
	}
}

static void timer_complete(void)
{
	struct model_timer *timer = pick();
	unsigned b = byte();
	uint64_t number;

	if (b < 48 || !timer) {
		complete_freed(b);
		return;
	}
	number = b < 80 ? timer->number + b - 64 : timer->number;
	both_complete(timer, number, b < 80 || b % 8 > 3 ? 0 : b % 8 ? -(int)b : (int)(b - 80));
}

static void timer_get_stats(void)
{
	struct model_timer *timer = pick();

	if (timer)
		both_get_stats(timer);
}

static void timer_ask(void)
{
	struct model_timer *timer = pick();

	if (timer)
		both_ask(timer);
}

static uint64_t latest_ns(void)
{
	uint64_t latest = both.model.now_ns[0];

	for (unsigned i = 1; i < MODEL_CLOCKS; i++)
		if (both.model.now_ns[i] > latest)
			latest = both.model.now_ns[i];
	return latest;
}

/* Structs of callers of later releases are larger. */
static const uint8_t larger[8] = { 0, 0, 0, 0, 1, 8, 16, BOTH_LARGEST };

static void timer_get_info(void)
{
	struct model_timer *timer = pick();
	unsigned more = larger[byte() % 8];

	if (timer)
		both_get_info(timer, more);
}

/* Some way, or to the very time at which a timer is due or the clock ends, or just before. */
static uint64_t distance(void)
{
	uint64_t now_ns;
	unsigned b = byte();
	struct model_timer *timer;
	uint64_t due_ns;

	if (b < 128)
		return amount();
	if (b < 192)
		return b - 128;
	if (b == 192 && byte() < 32)
		return END_NS - latest_ns() + byte() % 4 - 2;
	timer = pick();
	if (!timer)
		return 0;
	due_ns = model_next_due_ns(timer);
	now_ns = model_now_ns(&both.model, timer);
	if (due_ns == MODEL_NEVER || due_ns <= now_ns)
		return 0;
	return due_ns - now_ns - (b < 208) + (b >= 240 ? timer->slack_ns : 0);
}

static void reactor_advance(void)
{
	uint64_t ns = distance();

	burst = both.model.inside ? burst : 0;
	both_advance(ns);
}

/* A little or far forward or back, to when a timer is due or just before, or anywhere. */
static void reactor_set_clock(void)
{
	unsigned b = byte();
	int clock = b < 144 ? CLOCK_REALTIME : b < 240 ? CLOCK_BOOTTIME : (int)(b - 240);
	uint64_t now_ns = both.model.now_ns[clock == CLOCK_REALTIME ? MODEL_REALTIME : MODEL_BOOTTIME];
	uint64_t to_ns = amount();
	struct model_timer *timer = b % 8 < 3 ? pick() : NULL;

	if (timer)
		to_ns = model_next_due_ns(timer) - to_ns % 2;
	else if (b % 8 < 5)
		to_ns += now_ns;
	else if (b % 8 < 7)
		to_ns = to_ns < now_ns ? now_ns - to_ns : 0;
	both_set_clock(clock, to_ns);
}

static void reactor_shutdown(void)
{
	both_shutdown((int64_t)byte() - 128);
}

static void reactor_get_stats(void)
{
	both_reactor_get_stats(larger[byte() % 8]);
}

static void reactor_list(void)
{
	unsigned b = byte();

	both_list(b < 128 ? MODEL_TIMERS : b % 8, larger[b / 8 % 8]);
}

/* A release that the user's free runs may come here: that free still needs the reactor. */
static void reactor_free(void)
{
	bool busy = both.model.inside || both.model.freeing;

	if (!busy && (both.depth > 0 || byte() < 248))
		return;
	both_reactor_free();
	if (!both.reactor)
		both_reactor_new();
}

static void refused(void)
{
	both_refused(pick());
}

static const struct operation {
	void (*run)(void);
	unsigned weight;		/* the old ones' add up to 128, all to 256 */
	bool while_freeing;		/* by releases that reactor_free runs */
} operations[] = {
	{ timer_new, 10, true },
	{ timer_free, 5, true },
	{ timer_set_interval, 9, false },
	{ timer_set_error_handler, 5, false },
	{ timer_set_release, 6, false },
	{ timer_start, 13, false },
	{ timer_start_after, 9, false },
	{ timer_start_at, 9, false },
	{ timer_stop, 7, true },
	{ timer_stop_nowait, 3, true },
	{ timer_complete, 16, false },
	{ timer_get_stats, 2, false },
	{ timer_set_name, 1, false },
	{ timer_ask, 4, false },
	{ reactor_advance, 22, true },
	{ both_reactor_stop, 1, true },
	{ both_reactor_restart, 2, true },
	{ both_unsupported, 1, true },
	{ reactor_free, 2, true },
	{ refused, 1, true },
	/* Here the old ones end. */
	{ timer_restart_after, 20, false },
	{ timer_free_nowait, 5, true },
	{ reactor_set_clock, 18, true },
	{ timer_get_info, 8, false },
	{ reactor_list, 4, true },
	{ reactor_get_stats, 6, true },
	{ reactor_shutdown, 1, true },
	{ reactor_advance, 22, true },
	{ timer_new, 9, true },
	{ timer_start, 12, false },
	{ timer_start_after, 8, false },
	{ timer_start_at, 15, false },
};

static void operate(void)
{
	const struct operation *operation = operations;
	unsigned b = byte() % (all_operations ? 256 : 128);

	for (; b >= operation->weight; operation++)
		b -= operation->weight;
	if (both.model.freeing && !operation->while_freeing)
		return;
	fuzz_operations++;
	operation->run();
	both_expect_no_call();
}

/* At the clock's end, and after a shutdown, little can happen. */
static void start_over(void)
{
	const uint8_t *rest = input;

	input = input_end;
	both_end();
	both_reactor_new();
	input = rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t crowds[] = { 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, MODEL_TIMERS };
	unsigned first;

	input = data;
	input_end = data + size;
	first = byte();
	all_operations = first >= 128;
	self = BOTH_NOBODY;
	both_begin(crowds[first % sizeof(crowds)]);
	while (input < input_end) {
		operate();
		if (both.model.stopped && byte() < 160)
			both_reactor_restart();
		if (latest_ns() > END_NS - NEAR_NS && byte() < 16)
			start_over();
		else if (both.model.shut && byte() < 64)
			start_over();
	}
	both_end();
	return 0;
}

static void report_none(void)
{
	fuzz_report(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	both_differs = report_and_abort;
	return atexit(report_none);
}
