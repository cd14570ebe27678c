/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz_both.h"

#define TRACE 16384

struct both both;
void (*both_differs)(void) = abort;

#define U "%" PRIu64
#define D "%" PRId64

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
	if (both.verbose)
		print_trace(entry);
}

/* As printf, to be printed should that be needed; at most four values, 64 bits each. */
#define trace(format, ...) keep_trace(&(struct trace){ format, { __VA_ARGS__ }, both.depth })
#define SIGNED(number) ((uint64_t)(int64_t)(number))

static void print_number(uint64_t number)
{
	if (number > UINT64_MAX - UINT32_MAX)
		fprintf(stderr, D, (int64_t)number);
	else
		fprintf(stderr, U, number);
}

void both_print(void)
{
	uint64_t from = trace_count > TRACE ? trace_count - TRACE : 0;

	fprintf(stderr, "the operations%s:\n", from ? ", but for the first" : "");
	for (; from < trace_count && !both.verbose; from++)
		print_trace(&traced[from % TRACE]);
}

static void differs(const char *what, uint64_t got, uint64_t expected)
{
	both_print();
	fprintf(stderr, "%s: ", what);
	print_number(got);
	fprintf(stderr, ", but the model says ");
	print_number(expected);
	fprintf(stderr, "; the clocks are at " U ", " U " and " U "\n", both.model.now_ns[0],
		both.model.now_ns[1], both.model.now_ns[2]);
	both_differs();
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
	return timer ? (unsigned)(timer - both.model.timer) : BOTH_NOBODY;
}

static struct asynctimer *real(const struct model_timer *timer)
{
	return both.timer[index_of(timer)];
}

void both_expect_no_call(void)
{
	if (both.model.call != MODEL_NO_CALL)
		differs(both.model.call == MODEL_HANDLER ? "no handler called, of timer" :
						      "no release called, of timer",
			BOTH_NOBODY, index_of(both.model.call_timer));
}

/*
 * Callbacks, handlers and releases.
 */

static uint64_t delayed_ns(const struct model_timer *timer)
{
	struct asynctimer_stats stats;

	same_int("get_stats", asynctimer_get_stats(real(timer), &stats), 0);
	return stats.delayed_sum_ns;
}

/* A clock was set in between: behind_ns is within the lateness, and charged to one timer at most. */
static void adopt_behind(struct model_timer *timer, const struct asynctimer_tick *got)
{
	struct model_timer *blamed = NULL;

	if (got->behind_ns > got->now_ns - got->due_ns)
		differs("its behind_ns", got->behind_ns, got->now_ns - got->due_ns);
	for (unsigned i = 0; i < both.model.timers && got->behind_ns; i++) {
		struct model_timer *other = &both.model.timer[i];

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
	struct model_timer *next = model_next(&both.model, &tick);

	same("a callback, of timer", index_of(timer), index_of(next));
	same("its number", got->number, tick.number);
	same("its due_ns", got->due_ns, tick.due_ns);
	same("its now_ns", got->now_ns, tick.now_ns);
	same("its skipped_busy", got->skipped_busy, tick.skipped_busy);
	same("its skipped_late", got->skipped_late, tick.skipped_late);
	if (tick.behind_ns == MODEL_NEVER)
		adopt_behind(&both.model.timer[index_of(timer)], got);
	else
		same("its behind_ns", got->behind_ns, tick.behind_ns);
}

static void same_timer(const struct model_timer *timer, const struct asynctimer *got)
{
	if (real(timer) != got)
		differs("it was called with another timer than that of data", BOTH_NOBODY,
			index_of(timer));
}

static int callback(struct asynctimer *got, const struct asynctimer_tick *tick, void *data)
{
	struct model_timer *timer = data;
	int result;

	both_expect_no_call();
	trace("callback of " U ": number " U " due at " U " now " U, index_of(timer), tick->number,
	      tick->due_ns, tick->now_ns);
	expect_tick(timer, tick);
	same_timer(timer, got);
	both.depth++;
	result = both_callback(index_of(timer));
	both.depth--;
	both_expect_no_call();
	trace("callback of " U " returns " D, index_of(timer), SIGNED(result));
	model_callback_returns(&both.model, timer, result);
	return result;
}

static void handle(unsigned which, struct asynctimer *got, int error, void *data)
{
	struct model_timer *timer = data;

	trace("handler " U " of " U ": error " D, which, index_of(timer), SIGNED(error));
	same("a handler called", MODEL_HANDLER, both.model.call);
	same("a handler, of timer", index_of(timer), index_of(both.model.call_timer));
	same("which handler", which, timer->handler);
	same_int("its error", error, both.model.call_error);
	same_timer(timer, got);
	both.model.call = MODEL_NO_CALL;
	both.depth++;
	both_handler(index_of(timer));
	both.depth--;
	both_expect_no_call();
	trace("handler of " U " returns", index_of(timer));
	model_handler_returns(&both.model, timer);
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
	if (both.model.freeing && both.model.call == MODEL_NO_CALL) {
		same("a release that is due", timer->alive && timer->release, 1);
		timer->alive = false;
	} else {
		same("a release called", MODEL_RELEASE, both.model.call);
		same("a release, of timer", index_of(timer), index_of(both.model.call_timer));
		both.model.call = MODEL_NO_CALL;
	}
	both.depth++;
	both_release(index_of(timer));
	both.depth--;
	both_expect_no_call();
	trace("release of " U " returns", index_of(timer));
}

/*
 * Comparisons.
 */

static const char *const names[BOTH_NAMES] = {
	NULL, "a", "ab", "0123456789abcdef0123456789abcde", "", "0123456789abcdef0123456789abcdef",
};

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

	same_int("get_stats", asynctimer_get_stats(real(timer), &got), 0);
	same_counts(timer, &got);
}

static void same_info(const struct model_timer *timer, const struct asynctimer_info *got)
{
	const char *name = timer->name ? names[timer->name] : "";
	struct asynctimer_info info;

	model_get_info(timer, &info);
	same("info: timer", got->timer == real(timer), 1);
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
	same_int("is_started", asynctimer_is_started(real(timer)), timer->started);
	same("next_due_ns", asynctimer_next_due_ns(real(timer)), model_next_due_ns(timer));
	same("now_ns", asynctimer_now_ns(real(timer)), model_now_ns(&both.model, timer));
}

/* Structs of callers of later releases are larger, and what lies behind them is theirs. */
#define THEIRS 0xa5

/* Of size bytes, of which the library knows the first known; nothing behind them was written. */
static void same_rest(const uint8_t *got, size_t known, size_t size, size_t room)
{
	for (size_t i = known; i < room; i++)
		same("what is behind", got[i], i < size ? 0 : THEIRS);
}

static void same_reactor_stats(unsigned more)
{
	struct asynctimer_reactor_stats stats;
	union {
		struct asynctimer_reactor_stats stats;
		uint8_t bytes[sizeof(struct asynctimer_reactor_stats) + BOTH_LARGEST + 1];
	} got;

	memset(&got, THEIRS, sizeof(got));
	same_int("reactor_get_stats",
		 asynctimer_reactor_get_stats(both.reactor, (uint32_t)sizeof(got.stats) + more,
					      &got.stats), 0);
	same_rest(got.bytes, sizeof(got.stats), sizeof(got.stats) + more, sizeof(got.bytes));
	if (both.model.freeing)
		return;
	model_reactor_stats(&both.model, &stats);
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

/*
 * Operations.
 */


void both_new(struct model_timer *timer, int clock, uint64_t interval_ns, int policy, bool shared,
	      uint64_t slack_ns)
{
	unsigned i = index_of(timer);
	int r;

	trace("clock " U " for", (uint64_t)clock);
	trace(shared ? "new_shared " U ": interval " U " policy " U " slack " U
		     : "new " U ": interval " U " policy " U,
	      i, interval_ns, (uint64_t)policy, slack_ns);
	r = model_new(&both.model, timer, clock, interval_ns, policy, slack_ns);
	same_int("new", shared ? asynctimer_new_shared(both.reactor, clock, interval_ns, policy,
						       slack_ns, callback, timer, &both.timer[i])
			       : asynctimer_new(both.reactor, clock, interval_ns, policy, callback,
						timer, &both.timer[i]), r);
}

void both_free(struct model_timer *timer)
{
	trace("free " U, index_of(timer));
	model_free(&both.model, timer);
	asynctimer_free(real(timer));
	both_expect_no_call();
}

void both_free_nowait(struct model_timer *timer)
{
	trace("free_nowait " U, index_of(timer));
	model_free(&both.model, timer);
	asynctimer_free_nowait(real(timer));
	both_expect_no_call();
}

void both_set_interval(struct model_timer *timer, uint64_t interval_ns)
{
	trace("set_interval " U ": " U, index_of(timer), interval_ns);
	same_int("set_interval", asynctimer_set_interval(real(timer), interval_ns),
		 model_set_interval(&both.model, timer, interval_ns));
}

void both_set_error_handler(struct model_timer *timer, unsigned handler)
{
	static const asynctimer_error_handler handlers[] = { NULL, handler_1, handler_2 };

	trace("set_error_handler " U ": " U, index_of(timer), handler);
	same_int("set_error_handler", asynctimer_set_error_handler(real(timer), handlers[handler]),
		 model_set_error_handler(timer, handler));
}

void both_set_release(struct model_timer *timer, bool is_set)
{
	timer->release = is_set;
	trace("set_release " U ": " U, index_of(timer), is_set);
	asynctimer_set_release(real(timer), is_set ? release : NULL);
}

void both_set_name(struct model_timer *timer, unsigned name)
{
	trace("set_name " U ": name " U, index_of(timer), name);
	same_int("set_name", asynctimer_set_name(real(timer), names[name]),
		 model_set_name(timer, name % 4, name < 5));
}

void both_start(struct model_timer *timer)
{
	trace("start " U, index_of(timer));
	same_int("start", asynctimer_start(real(timer)), model_start(&both.model, timer));
}

void both_start_after(struct model_timer *timer, uint64_t delay_ns)
{
	trace("start_after " U ": " U, index_of(timer), delay_ns);
	same_int("start_after", asynctimer_start_after(real(timer), delay_ns),
		 model_start_after(&both.model, timer, delay_ns));
}

void both_start_at(struct model_timer *timer, uint64_t anchor_ns)
{
	trace("start_at " U ": " U, index_of(timer), anchor_ns);
	same_int("start_at", asynctimer_start_at(real(timer), anchor_ns),
		 model_start_at(&both.model, timer, anchor_ns));
}

void both_restart_after(struct model_timer *timer, uint64_t delay_ns)
{
	trace("restart_after " U ": " U, index_of(timer), delay_ns);
	same_int("restart_after", asynctimer_restart_after(real(timer), delay_ns),
		 model_restart_after(&both.model, timer, delay_ns));
}

void both_stop(struct model_timer *timer)
{
	trace("stop " U, index_of(timer));
	same_int("stop", asynctimer_stop(real(timer)), model_stop(timer));
}

void both_stop_nowait(struct model_timer *timer)
{
	trace("stop_nowait " U, index_of(timer));
	same_int("stop_nowait", asynctimer_stop_nowait(real(timer)), model_stop(timer));
}

void both_complete(struct model_timer *timer, uint64_t number, int result)
{
	int r;

	trace("complete " U ": number " U " result " D, index_of(timer), number, SIGNED(result));
	r = model_complete(&both.model, timer, number, result);
	same_int("complete", asynctimer_complete(real(timer), number, result), r);
	both_expect_no_call();
	model_complete_returns(&both.model);
}

void both_get_stats(const struct model_timer *timer)
{
	trace("get_stats " U, index_of(timer));
	same_stats(timer);
}

void both_ask(const struct model_timer *timer)
{
	trace("is_started, next_due_ns, now_ns " U, index_of(timer));
	same_answers(timer);
	same("get_data", asynctimer_get_data(real(timer)) == timer, 1);
	same("get_reactor", asynctimer_get_reactor(real(timer)) == both.reactor, 1);
}

void both_get_info(const struct model_timer *timer, unsigned larger)
{
	union {
		struct asynctimer_info info;
		uint8_t bytes[sizeof(struct asynctimer_info) + BOTH_LARGEST + 1];
	} got;

	memset(&got, THEIRS, sizeof(got));
	trace("get_info " U ", " U " larger", index_of(timer), larger);
	same_int("get_info", asynctimer_get_info(real(timer), (uint32_t)sizeof(got.info) + larger,
						 &got.info), 0);
	same_info(timer, &got.info);
	same_rest(got.bytes, sizeof(got.info), sizeof(got.info) + larger, sizeof(got.bytes));
}

void both_advance(uint64_t ns)
{
	struct model_timer *timer = NULL;
	struct asynctimer_tick tick;
	int got, r;

	trace("advance " U, ns);
	r = model_advance(&both.model, ns);
	got = asynctimer_reactor_advance(both.reactor, ns);
	both_expect_no_call();
	if (r == MODEL_RUNS) {
		timer = model_next(&both.model, &tick);
		r = model_advance_returns(&both.model);
	}
	if (timer)
		differs("no callback, of timer", BOTH_NOBODY, index_of(timer));
	same_int("advance", got, r);
}

void both_set_clock(int clock, uint64_t now_ns)
{
	trace("set_clock " U ": " U, (uint64_t)clock, now_ns);
	same_int("set_clock", asynctimer_reactor_set_clock(both.reactor, clock, now_ns),
		 model_set_clock(&both.model, clock, now_ns));
}

void both_reactor_stop(void)
{
	trace("reactor_stop", 0);
	asynctimer_reactor_stop(both.reactor);
	both.model.stopped = true;
}

void both_reactor_restart(void)
{
	trace("reactor_restart", 0);
	same_int("reactor_restart", asynctimer_reactor_restart(both.reactor),
		 model_restart(&both.model));
}

/* It never waits: no other thread completes what is open. */
void both_shutdown(int64_t timeout_ns)
{
	struct asynctimer_reactor_stats stats;

	model_reactor_stats(&both.model, &stats);
	if (stats.open || both.model.freeing)
		timeout_ns = 0;
	trace("shutdown: " D, SIGNED(timeout_ns));
	same_int("shutdown", asynctimer_reactor_shutdown(both.reactor, timeout_ns),
		 model_shutdown(&both.model));
}

void both_reactor_get_stats(unsigned larger)
{
	trace("reactor_get_stats, " U " larger", larger);
	same_reactor_stats(larger);
}

/* While the reactor is being freed the model does not know which timers are left. */
void both_list(unsigned room, unsigned larger)
{
	static uint8_t list[(MODEL_TIMERS + 1) * (sizeof(struct asynctimer_info) + BOTH_LARGEST)];
	size_t size = sizeof(struct asynctimer_info) + larger;
	struct asynctimer_reactor_stats stats;
	unsigned filled;
	int count;

	memset(list, THEIRS, (room + 1) * size);
	trace("list, room for " U ", of size " U, room, size);
	count = asynctimer_reactor_list(both.reactor, room, (uint32_t)size,
					(struct asynctimer_info *)list);
	if (both.model.freeing)
		return;
	model_reactor_stats(&both.model, &stats);
	same_int("list", count, (int)stats.timers);
	filled = stats.timers < room ? (unsigned)stats.timers : room;
	same_list(list, filled, size);
	same_rest(list + filled * size, 0, 0, size);
}

void both_reactor_new(void)
{
	trace("reactor_new_virtual", 0);
	same_int("reactor_new_virtual", asynctimer_reactor_new_virtual(&both.reactor), 0);
	model_reactor_new(&both.model);
}

void both_reactor_free(void)
{
	int r;

	trace("reactor_free", 0);
	r = model_reactor_free(&both.model);
	same_int("reactor_free", asynctimer_reactor_free(both.reactor), r);
	both_expect_no_call();
	if (r < 0)
		return;
	for (unsigned i = 0; i < both.model.timers; i++) {
		struct model_timer *timer = &both.model.timer[i];

		if (timer->alive && timer->release)
			differs("no release called, of timer", BOTH_NOBODY, i);
		timer->alive = false;
		timer->started = false;
	}
	both.reactor = NULL;
}

void both_unsupported(void)
{
	trace("run, dispatch, fd", 0);
	same_int("reactor_run", asynctimer_reactor_run(both.reactor), -EOPNOTSUPP);
	same_int("reactor_dispatch", asynctimer_reactor_dispatch(both.reactor, -1), -EOPNOTSUPP);
	same_int("reactor_fd", asynctimer_reactor_fd(both.reactor), -EOPNOTSUPP);
}

static void refused_sizes(const struct model_timer *timer)
{
	const uint32_t info_size = sizeof(struct asynctimer_info);
	const uint32_t stats_size = sizeof(struct asynctimer_reactor_stats);
	struct asynctimer_reactor_stats stats;
	struct asynctimer_info info;

	same_int("list of a small size",
		 asynctimer_reactor_list(both.reactor, 1, info_size - 1, &info), -EINVAL);
	same_int("list without ret", asynctimer_reactor_list(both.reactor, 1, info_size, NULL), -EINVAL);
	same_int("list(NULL)", asynctimer_reactor_list(NULL, 1, info_size, &info), -EINVAL);
	same_int("reactor_get_stats of a small size",
		 asynctimer_reactor_get_stats(both.reactor, stats_size - 1, &stats), -EINVAL);
	same_int("reactor_get_stats without ret",
		 asynctimer_reactor_get_stats(both.reactor, stats_size, NULL), -EINVAL);
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
		 asynctimer_get_info(real(timer), info_size - 1, &info), -EINVAL);
	same_int("get_info without ret",
		 asynctimer_get_info(real(timer), info_size, NULL), -EINVAL);
}

void both_refused(const struct model_timer *timer)
{
	struct asynctimer *none = NULL;

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
	same_int("new without a callback", asynctimer_new(both.reactor, 1, 1, 0, NULL, NULL, &none),
		 -EINVAL);
	same_int("new without ret", asynctimer_new(both.reactor, 1, 1, 0, callback, NULL, NULL),
		 -EINVAL);
	same("ret", none != NULL, 0);
	same_int("start(NULL)", asynctimer_start(NULL), -EINVAL);
	same_int("stop(NULL)", asynctimer_stop(NULL), -EINVAL);
	same_int("complete(NULL)", asynctimer_complete(NULL, 1, 0), -EINVAL);
	refused_sizes(timer);
	if (timer)
		same_int("get_stats without ret",
			 asynctimer_get_stats(real(timer), NULL), -EINVAL);
}

void both_begin(unsigned timers)
{
	memset(&both.model, 0, sizeof(both.model));
	both.model.timers = timers;
	both.depth = 0;
	trace_count = 0;
	both_reactor_new();
}

void both_end(void)
{
	for (unsigned i = 0; i < both.model.timers; i++) {
		struct model_timer *timer = &both.model.timer[i];

		if (timer->alive && timer->open)
			both_complete(timer, timer->number, 0);
		if (!timer->alive)
			continue;
		same_answers(timer);
		same_stats(timer);
	}
	same_reactor_stats(0);
	both_reactor_free();
	same("the reactor freed", both.reactor == NULL, 1);
}
