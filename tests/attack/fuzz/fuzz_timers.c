/* SPDX-License-Identifier: MIT */
/*
 * Bytes are operations on a virtual reactor; callbacks, handlers and releases
 * take theirs from the same bytes, in the order in which they are called. Each
 * operation is done on the model, then on the library, and whatever the
 * library returns or calls must be what the model says.
 *
 * The first byte says how many timers there are and, from 128 on, that all
 * operations may come. Below 128 only those may that the first inputs of the
 * corpus were made of, and they are coded as they were then.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"
#include "fuzz_model.h"

#define DEEPEST 4		/* a callback's complete's handler's free's release does no more */
#define CALLBACKS 64		/* of one advance, before the reactor is stopped */
#define TRACE 16384
#define LONGEST_NS (UINT64_C(1) << 62)
#define END_NS (UINT64_C(1) << 63)
#define NEAR_NS (UINT64_C(1) << 40)
#define NOBODY UINT_MAX

bool fuzz_verbose;
uint64_t fuzz_operations;
uint64_t fuzz_callbacks;
static const uint8_t *input;
static const uint8_t *input_end;

static struct model model;
static struct asynctimer_reactor *reactor;
static struct asynctimer *timers[MODEL_TIMERS];
static unsigned burst;		/* callbacks of the present advance */
static unsigned depth;		/* of callbacks, handlers and releases */
static unsigned self;		/* whose, or NOBODY */
static bool all_operations;	/* may come in this input */

#define U "%" PRIu64
#define D "%" PRId64

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

void (*fuzz_differs)(void) = report_and_abort;

/*
 * The trace.
 */

static struct trace {
	const char *format;
	uint64_t values[4];
	unsigned depth;
} traced[TRACE];
static uint64_t trace_count;

static void print_trace(const struct trace *entry)
{
	const uint64_t *values = entry->values;

	fprintf(stderr, "%*s", (int)(4 * entry->depth), "");
	fprintf(stderr, entry->format, values[0], values[1], values[2], values[3]);
	fputc('\n', stderr);
}

static void keep_trace(const struct trace *entry)
{
	traced[trace_count++ % TRACE] = *entry;
	if (fuzz_verbose)
		print_trace(entry);
}

/* As printf, to be printed should that be needed; at most four values, 64 bits each. */
#define trace(format, ...) keep_trace(&(struct trace){ format, { __VA_ARGS__ }, depth })
#define SIGNED(number) ((uint64_t)(int64_t)(number))

static void print_number(uint64_t number)
{
	if (number > UINT64_MAX - UINT32_MAX)
		fprintf(stderr, D, (int64_t)number);
	else
		fprintf(stderr, U, number);
}

static void differs(const char *what, uint64_t got, uint64_t expected)
{
	uint64_t from = trace_count > TRACE ? trace_count - TRACE : 0;

	fprintf(stderr, "the operations%s:\n", from ? ", but for the first" : "");
	for (; from < trace_count && !fuzz_verbose; from++)
		print_trace(&traced[from % TRACE]);
	fprintf(stderr, "%s: ", what);
	print_number(got);
	fprintf(stderr, ", but the model says ");
	print_number(expected);
	fprintf(stderr, "; the clocks are at " U ", " U " and " U "\n", model.now_ns[0],
		model.now_ns[1], model.now_ns[2]);
	fuzz_differs();
}

static void same(const char *what, uint64_t got, uint64_t expected)
{
	if (got != expected)
		differs(what, got, expected);
}

static void same_int(const char *what, int got, int expected)
{
	same(what, SIGNED(got), SIGNED(expected));
}

static unsigned index_of(const struct model_timer *timer)
{
	return timer ? (unsigned)(timer - model.timer) : NOBODY;
}

/* Nothing that the model waits for has been left out. */
static void expect_no_call(void)
{
	if (model.call != MODEL_NO_CALL)
		differs(model.call == MODEL_HANDLER ? "no handler called, of timer" :
						      "no release called, of timer",
			NOBODY, index_of(model.call_timer));
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
	       (!model.freeing || timer->release);
}

/* Some timer that may be named, by preference the one whose callback this is; or NULL. */
static struct model_timer *pick(void)
{
	unsigned b = byte();

	if (b >= 160 && self != NOBODY && can_be_named(&model.timer[self]))
		return &model.timer[self];
	for (unsigned i = 0; i < model.timers; i++) {
		struct model_timer *timer = &model.timer[(b + i) % model.timers];

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
	depth++;
	for (unsigned i = counts[b % 16]; i > 0 && depth < DEEPEST && input < input_end; i--)
		operate();
	depth--;
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

static uint64_t delayed_ns(const struct model_timer *timer)
{
	struct asynctimer_stats stats;

	same_int("get_stats", asynctimer_get_stats(timers[index_of(timer)], &stats), 0);
	return stats.delayed_sum_ns;
}

/* A clock was set in between: behind_ns is within the lateness, and charged to one timer at most. */
static void adopt_behind(struct model_timer *timer, const struct asynctimer_tick *got)
{
	struct model_timer *blamed = NULL;

	if (got->behind_ns > got->now_ns - got->due_ns)
		differs("its behind_ns", got->behind_ns, got->now_ns - got->due_ns);
	for (unsigned i = 0; i < model.timers && got->behind_ns; i++) {
		struct model_timer *other = &model.timer[i];

		if (!other->alive || other->freed ||
		    delayed_ns(other) == other->stats.delayed_sum_ns)
			continue;
		if (blamed || other == timer)
			differs("charged with it", i, index_of(blamed));
		blamed = other;
		same("delayed_sum_ns", delayed_ns(other),
		     model_sum(other->stats.delayed_sum_ns, got->behind_ns));
	}
	model_adopt_behind(timer, got->behind_ns, blamed);
}

static void expect_tick(const struct model_timer *timer, const struct asynctimer_tick *got)
{
	struct asynctimer_tick tick;
	struct model_timer *next = model_next(&model, &tick);

	same("a callback, of timer", index_of(timer), index_of(next));
	same("its number", got->number, tick.number);
	same("its due_ns", got->due_ns, tick.due_ns);
	same("its now_ns", got->now_ns, tick.now_ns);
	same("its skipped_busy", got->skipped_busy, tick.skipped_busy);
	same("its skipped_late", got->skipped_late, tick.skipped_late);
	if (tick.behind_ns == MODEL_NEVER)
		adopt_behind(&model.timer[index_of(timer)], got);
	else
		same("its behind_ns", got->behind_ns, tick.behind_ns);
}

static void same_timer(const struct model_timer *timer, const struct asynctimer *got)
{
	if (timers[index_of(timer)] != got)
		differs("it was called with another timer than that of data", NOBODY,
			index_of(timer));
}

/* So that the shortest interval over the longest time ends. */
static void bound_burst(void)
{
	if (++burst < CALLBACKS)
		return;
	trace("reactor_stop", 0);
	asynctimer_reactor_stop(reactor);
	model.stopped = true;
}

static int callback(struct asynctimer *got, const struct asynctimer_tick *tick, void *data)
{
	struct model_timer *timer = data;
	int result;

	fuzz_callbacks++;
	expect_no_call();
	trace("callback of " U ": number " U " due at " U " now " U, index_of(timer), tick->number,
	      tick->due_ns, tick->now_ns);
	expect_tick(timer, tick);
	same_timer(timer, got);
	result = result_of(operate_inside(index_of(timer)));
	bound_burst();
	expect_no_call();
	trace("callback of " U " returns " D, index_of(timer), SIGNED(result));
	model_callback_returns(&model, timer, result);
	return result;
}

static void handle(unsigned which, struct asynctimer *got, int error, void *data)
{
	struct model_timer *timer = data;

	trace("handler " U " of " U ": error " D, which, index_of(timer), SIGNED(error));
	same("a handler called", MODEL_HANDLER, model.call);
	same("a handler, of timer", index_of(timer), index_of(model.call_timer));
	same("which handler", which, timer->handler);
	same_int("its error", error, model.call_error);
	same_timer(timer, got);
	model.call = MODEL_NO_CALL;
	operate_inside(index_of(timer));
	expect_no_call();
	trace("handler of " U " returns", index_of(timer));
	model_handler_returns(&model, timer);
}

static void handler_1(struct asynctimer *timer, int error, void *data)
{
	handle(1, timer, error, data);
}

static void handler_2(struct asynctimer *timer, int error, void *data)
{
	handle(2, timer, error, data);
}

static void release(void *data)
{
	struct model_timer *timer = data;

	trace("release of " U, index_of(timer));
	if (model.freeing && model.call == MODEL_NO_CALL) {
		same("a release that is due", timer->alive && timer->release, 1);
		timer->alive = false;
	} else {
		same("a release called", MODEL_RELEASE, model.call);
		same("a release, of timer", index_of(timer), index_of(model.call_timer));
		model.call = MODEL_NO_CALL;
	}
	operate_inside(NOBODY);
	expect_no_call();
	trace("release of " U " returns", index_of(timer));
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
	unsigned i;
	int r;

	for (i = 0; i < model.timers; i++)
		if (!model.timer[i].alive)
			timer = &model.timer[i];
	if (!timer)
		return;
	i = index_of(timer);
	trace("clock " U " for", (uint64_t)clock);
	trace(shared ? "new_shared " U ": interval " U " policy " U " slack " U
		     : "new " U ": interval " U " policy " U,
	      i, interval_ns, (uint64_t)policy, slack_ns);
	r = model_new(&model, timer, clock, interval_ns, policy, slack_ns);
	same_int("new", shared ? asynctimer_new_shared(reactor, clock, interval_ns, policy,
						       slack_ns, callback, timer, &timers[i])
			       : asynctimer_new(reactor, clock, interval_ns, policy, callback,
						timer, &timers[i]), r);
}

static void timer_free(void)
{
	struct model_timer *timer = pick();

	if (!timer || timer->freed)
		return;
	trace("free " U, index_of(timer));
	model_free(&model, timer);
	asynctimer_free(timers[index_of(timer)]);
	expect_no_call();
}

static void timer_free_nowait(void)
{
	struct model_timer *timer = pick();

	if (!timer || timer->freed)
		return;
	trace("free_nowait " U, index_of(timer));
	model_free(&model, timer);
	asynctimer_free_nowait(timers[index_of(timer)]);
	expect_no_call();
}

static void timer_set_interval(void)
{
	struct model_timer *timer = pick();
	uint64_t interval_ns = amount();

	if (!timer)
		return;
	trace("set_interval " U ": " U, index_of(timer), interval_ns);
	same_int("set_interval", asynctimer_set_interval(timers[index_of(timer)], interval_ns),
		 model_set_interval(&model, timer, interval_ns));
}

static void timer_set_error_handler(void)
{
	static const asynctimer_error_handler handlers[] = { NULL, handler_1, handler_2 };
	struct model_timer *timer = pick();
	unsigned which = byte() % 3;

	if (!timer)
		return;
	trace("set_error_handler " U ": " U, index_of(timer), which);
	same_int("set_error_handler",
		 asynctimer_set_error_handler(timers[index_of(timer)], handlers[which]),
		 model_set_error_handler(timer, which));
}

static void timer_set_release(void)
{
	struct model_timer *timer = pick();

	if (!timer || timer->freed)
		return;
	timer->release = byte() % 4 != 0;
	trace("set_release " U ": " U, index_of(timer), timer->release);
	asynctimer_set_release(timers[index_of(timer)], timer->release ? release : NULL);
}

static const char *const names[] = {
	NULL, "a", "ab", "0123456789abcdef0123456789abcde", "", "0123456789abcdef0123456789abcdef",
};

static void timer_set_name(void)
{
	struct model_timer *timer = pick();
	unsigned b = byte() % 6;

	if (!timer)
		return;
	trace("set_name " U ": name " U, index_of(timer), b);
	same_int("set_name", asynctimer_set_name(timers[index_of(timer)], names[b]),
		 model_set_name(timer, b % 4, b < 5));
}

static void timer_start(void)
{
	struct model_timer *timer = pick();

	if (!timer)
		return;
	trace("start " U, index_of(timer));
	same_int("start", asynctimer_start(timers[index_of(timer)]), model_start(&model, timer));
}

static void timer_start_after(void)
{
	struct model_timer *timer = pick();
	uint64_t delay_ns = amount();

	if (!timer)
		return;
	trace("start_after " U ": " U, index_of(timer), delay_ns);
	same_int("start_after", asynctimer_start_after(timers[index_of(timer)], delay_ns),
		 model_start_after(&model, timer, delay_ns));
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
		anchor_ns += model_now_ns(&model, timer);
	else if (b < 224 && anchor_ns < model_now_ns(&model, timer))
		anchor_ns = model_now_ns(&model, timer) - anchor_ns;
	trace("start_at " U ": " U, index_of(timer), anchor_ns);
	same_int("start_at", asynctimer_start_at(timers[index_of(timer)], anchor_ns),
		 model_start_at(&model, timer, anchor_ns));
}

static void timer_restart_after(void)
{
	struct model_timer *timer = pick();
	uint64_t delay_ns = amount();

	if (!timer)
		return;
	trace("restart_after " U ": " U, index_of(timer), delay_ns);
	same_int("restart_after", asynctimer_restart_after(timers[index_of(timer)], delay_ns),
		 model_restart_after(&model, timer, delay_ns));
}

static void timer_stop(void)
{
	struct model_timer *timer = pick();

	if (!timer)
		return;
	trace("stop " U, index_of(timer));
	same_int("stop", asynctimer_stop(timers[index_of(timer)]), model_stop(timer));
}

static void timer_stop_nowait(void)
{
	struct model_timer *timer = pick();

	if (!timer)
		return;
	trace("stop_nowait " U, index_of(timer));
	same_int("stop_nowait", asynctimer_stop_nowait(timers[index_of(timer)]),
		 model_stop(timer));
}

static void complete(struct model_timer *timer, uint64_t number, int result)
{
	int r;

	trace("complete " U ": number " U " result " D, index_of(timer), number, SIGNED(result));
	r = model_complete(&model, timer, number, result);
	same_int("complete", asynctimer_complete(timers[index_of(timer)], number, result), r);
	expect_no_call();
	model_complete_returns(&model);
}

/* After free with its tick deferred: once, and rightly. */
static void complete_freed(unsigned b)
{
	for (unsigned i = 0; i < model.timers; i++) {
		struct model_timer *timer = &model.timer[(b + i) % model.timers];

		if (timer->alive && timer->freed && !timer->running) {
			complete(timer, timer->number, b % 2 ? 0 : -(int)b);
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
	complete(timer, number, b < 80 || b % 8 > 3 ? 0 : b % 8 ? -(int)b : (int)(b - 80));
}

static void same_counts(const struct model_timer *timer, const struct asynctimer_stats *got)
{
	struct asynctimer_stats stats;

	model_get_stats(timer, &stats);
	same("callbacks", got->callbacks, stats.callbacks);
	same("skipped_busy", got->skipped_busy, stats.skipped_busy);
	same("skipped_late", got->skipped_late, stats.skipped_late);
	same("failures", got->failures, stats.failures);
	same("lateness_sum_ns", got->lateness_sum_ns, stats.lateness_sum_ns);
	same("lateness_max_ns", got->lateness_max_ns, stats.lateness_max_ns);
	same("duration_sum_ns", got->duration_sum_ns, stats.duration_sum_ns);
	same("duration_max_ns", got->duration_max_ns, stats.duration_max_ns);
	same("busy_since_ns", got->busy_since_ns, stats.busy_since_ns);
	same("behind_sum_ns", got->behind_sum_ns, stats.behind_sum_ns);
	same("delayed_sum_ns", got->delayed_sum_ns, stats.delayed_sum_ns);
	same("reserved", (uint64_t)memcmp(got->reserved, stats.reserved, sizeof(got->reserved)), 0);
	same("the last number", got->callbacks + got->skipped_busy + got->skipped_late,
	     timer->number);
}

static void same_stats(const struct model_timer *timer)
{
	struct asynctimer_stats got;

	same_int("get_stats", asynctimer_get_stats(timers[index_of(timer)], &got), 0);
	same_counts(timer, &got);
}

static void same_info(const struct model_timer *timer, const struct asynctimer_info *got)
{
	const char *name = timer->name ? names[timer->name] : "";
	struct asynctimer_info info;

	model_get_info(timer, &info);
	same("info: timer", got->timer == timers[index_of(timer)], 1);
	same("info: data", got->data == timer, 1);
	same("info: name", strcmp(got->name, name) == 0, 1);
	same_int("info: clock", got->clock, info.clock);
	same_int("info: policy", got->policy, info.policy);
	same_int("info: shared", got->shared, info.shared);
	same_int("info: started", got->started, info.started);
	same_int("info: open", got->open, info.open);
	same_int("info: reserved", got->reserved, 0);
	same("info: number", got->number, info.number);
	same("info: interval_ns", got->interval_ns, info.interval_ns);
	same("info: slack_ns", got->slack_ns, info.slack_ns);
	same("info: next_due_ns", got->next_due_ns, info.next_due_ns);
	same_counts(timer, &got->stats);
}

static void same_answers(const struct model_timer *timer)
{
	const struct asynctimer *real = timers[index_of(timer)];

	same_int("is_started", asynctimer_is_started(real), timer->started);
	same("next_due_ns", asynctimer_next_due_ns(real), model_next_due_ns(timer));
	same("now_ns", asynctimer_now_ns(real), model_now_ns(&model, timer));
}

static void timer_get_stats(void)
{
	struct model_timer *timer = pick();

	if (!timer)
		return;
	trace("get_stats " U, index_of(timer));
	same_stats(timer);
}

static void timer_ask(void)
{
	struct model_timer *timer = pick();

	if (!timer)
		return;
	trace("is_started, next_due_ns, now_ns " U, index_of(timer));
	same_answers(timer);
	same("get_data", asynctimer_get_data(timers[index_of(timer)]) == timer, 1);
	same("get_reactor", asynctimer_get_reactor(timers[index_of(timer)]) == reactor, 1);
}

static uint64_t latest_ns(void)
{
	uint64_t latest = model.now_ns[0];

	for (unsigned i = 1; i < MODEL_CLOCKS; i++)
		if (model.now_ns[i] > latest)
			latest = model.now_ns[i];
	return latest;
}

/* Structs of callers of later releases are larger, and what lies behind them is theirs. */
static const uint8_t larger[8] = { 0, 0, 0, 0, 1, 8, 16, 64 };
#define LARGEST 64
#define THEIRS 0xa5

/* Of size bytes, of which the library knows the first known; nothing behind them was written. */
static void same_rest(const uint8_t *got, size_t known, size_t size, size_t room)
{
	for (size_t i = known; i < room; i++)
		same("what is behind", got[i], i < size ? 0 : THEIRS);
}

static void timer_get_info(void)
{
	struct model_timer *timer = pick();
	unsigned more = larger[byte() % 8];
	union {
		struct asynctimer_info info;
		uint8_t bytes[sizeof(struct asynctimer_info) + LARGEST + 1];
	} got;

	if (!timer)
		return;
	memset(&got, THEIRS, sizeof(got));
	trace("get_info " U ", " U " larger", index_of(timer), more);
	same_int("get_info", asynctimer_get_info(timers[index_of(timer)],
						 (uint32_t)sizeof(got.info) + more, &got.info), 0);
	same_info(timer, &got.info);
	same_rest(got.bytes, sizeof(got.info), sizeof(got.info) + more, sizeof(got.bytes));
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
	now_ns = model_now_ns(&model, timer);
	if (due_ns == MODEL_NEVER || due_ns <= now_ns)
		return 0;
	return due_ns - now_ns - (b < 208) + (b >= 240 ? timer->slack_ns : 0);
}

static void reactor_advance(void)
{
	uint64_t ns = distance();
	struct model_timer *timer = NULL;
	struct asynctimer_tick tick;
	int got, r;

	trace("advance " U, ns);
	burst = model.inside ? burst : 0;
	r = model_advance(&model, ns);
	got = asynctimer_reactor_advance(reactor, ns);
	expect_no_call();
	if (r == MODEL_RUNS) {
		timer = model_next(&model, &tick);
		r = model_advance_returns(&model);
	}
	if (timer)
		differs("no callback, of timer", NOBODY, index_of(timer));
	same_int("advance", got, r);
}

static void reactor_stop(void)
{
	trace("reactor_stop", 0);
	asynctimer_reactor_stop(reactor);
	model.stopped = true;
}

static void reactor_restart(void)
{
	trace("reactor_restart", 0);
	same_int("reactor_restart", asynctimer_reactor_restart(reactor), model_restart(&model));
}

/* A little or far forward or back, to when a timer is due or just before, or anywhere. */
static void reactor_set_clock(void)
{
	unsigned b = byte();
	int clock = b < 144 ? CLOCK_REALTIME : b < 240 ? CLOCK_BOOTTIME : (int)(b - 240);
	uint64_t now_ns = model.now_ns[clock == CLOCK_REALTIME ? MODEL_REALTIME : MODEL_BOOTTIME];
	uint64_t to_ns = amount();
	struct model_timer *timer = b % 8 < 3 ? pick() : NULL;

	if (timer)
		to_ns = model_next_due_ns(timer) - to_ns % 2;
	else if (b % 8 < 5)
		to_ns += now_ns;
	else if (b % 8 < 7)
		to_ns = to_ns < now_ns ? now_ns - to_ns : 0;
	trace("set_clock " U ": " U, (uint64_t)clock, to_ns);
	same_int("set_clock", asynctimer_reactor_set_clock(reactor, clock, to_ns),
		 model_set_clock(&model, clock, to_ns));
}

/* It never waits: no other thread completes what is open. */
static void reactor_shutdown(void)
{
	int64_t timeout_ns = (int64_t)byte() - 128;
	struct asynctimer_reactor_stats stats;

	model_reactor_stats(&model, &stats);
	if (stats.open || model.freeing)
		timeout_ns = 0;
	trace("shutdown: " D, SIGNED(timeout_ns));
	same_int("shutdown", asynctimer_reactor_shutdown(reactor, timeout_ns),
		 model_shutdown(&model));
}

static void same_reactor_stats(unsigned more)
{
	struct asynctimer_reactor_stats stats;
	union {
		struct asynctimer_reactor_stats stats;
		uint8_t bytes[sizeof(struct asynctimer_reactor_stats) + LARGEST + 1];
	} got;

	memset(&got, THEIRS, sizeof(got));
	same_int("reactor_get_stats",
		 asynctimer_reactor_get_stats(reactor, (uint32_t)sizeof(got.stats) + more,
					      &got.stats), 0);
	same_rest(got.bytes, sizeof(got.stats), sizeof(got.stats) + more, sizeof(got.bytes));
	if (model.freeing)
		return;
	model_reactor_stats(&model, &stats);
	same("timers", got.stats.timers, stats.timers);
	same("started", got.stats.started, stats.started);
	same("open", got.stats.open, stats.open);
	same("the reactor's skipped_busy", got.stats.skipped_busy, stats.skipped_busy);
	same("the reactor's skipped_late", got.stats.skipped_late, stats.skipped_late);
	same("the reactor's failures", got.stats.failures, stats.failures);
	same("wakeups", got.stats.wakeups, stats.wakeups);
	same("busy_ns", got.stats.busy_ns, stats.busy_ns);
	for (unsigned i = 0; i < 64; i++)
		same("lateness", got.stats.lateness[i], stats.lateness[i]);
}

static void reactor_get_stats(void)
{
	unsigned more = larger[byte() % 8];

	trace("reactor_get_stats, " U " larger", more);
	same_reactor_stats(more);
}

/* Each once, and those that shall be there. */
static void same_list(const uint8_t *list, unsigned count, size_t size)
{
	bool seen[MODEL_TIMERS] = { false };

	for (unsigned i = 0; i < count; i++) {
		struct asynctimer_info info;
		struct model_timer *timer;

		memcpy(&info, list + i * size, sizeof(info));
		timer = info.data;
		same("listed", !seen[index_of(timer)] && model_is_listed(timer), 1);
		seen[index_of(timer)] = true;
		same_info(timer, &info);
		same_rest(list + i * size, sizeof(info), size, size);
	}
}

/* While the reactor is being freed the model does not know which timers are left. */
static void reactor_list(void)
{
	static uint8_t list[(MODEL_TIMERS + 1) * (sizeof(struct asynctimer_info) + LARGEST)];
	unsigned b = byte();
	unsigned room = b < 128 ? MODEL_TIMERS : b % 8;
	size_t size = sizeof(struct asynctimer_info) + larger[b / 8 % 8];
	struct asynctimer_reactor_stats stats;
	unsigned filled;
	int count;

	memset(list, THEIRS, sizeof(list));
	trace("list, room for " U ", of size " U, room, size);
	count = asynctimer_reactor_list(reactor, room, (uint32_t)size,
					(struct asynctimer_info *)list);
	if (model.freeing)
		return;
	model_reactor_stats(&model, &stats);
	same_int("list", count, (int)stats.timers);
	filled = stats.timers < room ? (unsigned)stats.timers : room;
	same_list(list, filled, size);
	same_rest(list + filled * size, 0, 0, size);
}

static void reactor_unsupported(void)
{
	trace("run, dispatch, fd", 0);
	same_int("reactor_run", asynctimer_reactor_run(reactor), -EOPNOTSUPP);
	same_int("reactor_dispatch", asynctimer_reactor_dispatch(reactor, -1), -EOPNOTSUPP);
	same_int("reactor_fd", asynctimer_reactor_fd(reactor), -EOPNOTSUPP);
}

static void reactor_new(void)
{
	trace("reactor_new_virtual", 0);
	same_int("reactor_new_virtual", asynctimer_reactor_new_virtual(&reactor), 0);
	model_reactor_new(&model);
}

static void free_reactor(void)
{
	int r;

	trace("reactor_free", 0);
	r = model_reactor_free(&model);
	same_int("reactor_free", asynctimer_reactor_free(reactor), r);
	expect_no_call();
	if (r < 0)
		return;
	for (unsigned i = 0; i < model.timers; i++) {
		struct model_timer *timer = &model.timer[i];

		if (timer->alive && timer->release)
			differs("no release called, of timer", NOBODY, i);
		timer->alive = false;
		timer->started = false;
	}
	reactor = NULL;
}

/* A release that the user's free runs may come here: that free still needs the reactor. */
static void reactor_free(void)
{
	bool busy = model.inside || model.freeing;

	if (!busy && (depth > 0 || byte() < 248))
		return;
	free_reactor();
	if (!reactor)
		reactor_new();
}

static void refused_sizes(const struct model_timer *timer)
{
	const uint32_t info_size = sizeof(struct asynctimer_info);
	const uint32_t stats_size = sizeof(struct asynctimer_reactor_stats);
	struct asynctimer_reactor_stats stats;
	struct asynctimer_info info;

	same_int("list of a small size",
		 asynctimer_reactor_list(reactor, 1, info_size - 1, &info), -EINVAL);
	same_int("list without ret", asynctimer_reactor_list(reactor, 1, info_size, NULL), -EINVAL);
	same_int("list(NULL)", asynctimer_reactor_list(NULL, 1, info_size, &info), -EINVAL);
	same_int("reactor_get_stats of a small size",
		 asynctimer_reactor_get_stats(reactor, stats_size - 1, &stats), -EINVAL);
	same_int("reactor_get_stats without ret",
		 asynctimer_reactor_get_stats(reactor, stats_size, NULL), -EINVAL);
	same_int("reactor_get_stats(NULL)",
		 asynctimer_reactor_get_stats(NULL, stats_size, &stats), -EINVAL);
	same_int("set_clock(NULL)", asynctimer_reactor_set_clock(NULL, 0, 0), -EINVAL);
	same_int("shutdown(NULL)", asynctimer_reactor_shutdown(NULL, 0), -EINVAL);
	same_int("get_info(NULL)", asynctimer_get_info(NULL, info_size, &info), -EINVAL);
	same_int("restart_after(NULL)", asynctimer_restart_after(NULL, 0), -EINVAL);
	asynctimer_free_nowait(NULL);
	if (!timer)
		return;
	same_int("get_info of a small size",
		 asynctimer_get_info(timers[index_of(timer)], info_size - 1, &info), -EINVAL);
	same_int("get_info without ret",
		 asynctimer_get_info(timers[index_of(timer)], info_size, NULL), -EINVAL);
}

static void refused(void)
{
	struct asynctimer *none = NULL;
	struct model_timer *timer = pick();

	trace("what is refused", 0);
	asynctimer_free(NULL);
	asynctimer_reactor_stop(NULL);
	asynctimer_set_release(NULL, release);
	same_int("reactor_free(NULL)", asynctimer_reactor_free(NULL), 0);
	same_int("reactor_new_virtual(NULL)", asynctimer_reactor_new_virtual(NULL), -EINVAL);
	same_int("restart(NULL)", asynctimer_reactor_restart(NULL), -EINVAL);
	same_int("advance(NULL)", asynctimer_reactor_advance(NULL, 1), -EINVAL);
	same_int("new without a reactor", asynctimer_new(NULL, 1, 1, 0, callback, NULL, &none),
		 -EINVAL);
	same_int("new without a callback", asynctimer_new(reactor, 1, 1, 0, NULL, NULL, &none),
		 -EINVAL);
	same_int("new without ret", asynctimer_new(reactor, 1, 1, 0, callback, NULL, NULL),
		 -EINVAL);
	same("ret", none != NULL, 0);
	same_int("start(NULL)", asynctimer_start(NULL), -EINVAL);
	same_int("stop(NULL)", asynctimer_stop(NULL), -EINVAL);
	same_int("complete(NULL)", asynctimer_complete(NULL, 1, 0), -EINVAL);
	refused_sizes(timer);
	if (timer)
		same_int("get_stats without ret",
			 asynctimer_get_stats(timers[index_of(timer)], NULL), -EINVAL);
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
	{ reactor_stop, 1, true },
	{ reactor_restart, 2, true },
	{ reactor_unsupported, 1, true },
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
	if (model.freeing && !operation->while_freeing)
		return;
	fuzz_operations++;
	operation->run();
	expect_no_call();
}

/* Everything is ended and compared; the bytes are used up, so nothing else happens. */
static void finish(void)
{
	for (unsigned i = 0; i < model.timers; i++) {
		struct model_timer *timer = &model.timer[i];

		if (timer->alive && timer->open)
			complete(timer, timer->number, 0);
		if (!timer->alive)
			continue;
		same_answers(timer);
		same_stats(timer);
	}
	same_reactor_stats(0);
	free_reactor();
	same("the reactor freed", reactor == NULL, 1);
}

/* At the clock's end, and after a shutdown, little can happen. */
static void start_over(void)
{
	const uint8_t *rest = input;

	input = input_end;
	finish();
	reactor_new();
	input = rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t crowds[] = { 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, MODEL_TIMERS };
	unsigned first;

	input = data;
	input_end = data + size;
	memset(&model, 0, sizeof(model));
	first = byte();
	model.timers = crowds[first % sizeof(crowds)];
	all_operations = first >= 128;
	trace_count = 0;
	depth = 0;
	self = NOBODY;
	reactor_new();
	while (input < input_end) {
		operate();
		if (model.stopped && byte() < 160)
			reactor_restart();
		if (latest_ns() > END_NS - NEAR_NS && byte() < 16)
			start_over();
		else if (model.shut && byte() < 64)
			start_over();
	}
	finish();
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
	return atexit(report_none);
}
