/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fuzz_model.h"

/* The sums saturate. */
uint64_t model_sum(uint64_t sum_ns, uint64_t ns)
{
	return ns > UINT64_MAX - sum_ns ? UINT64_MAX : sum_ns + ns;
}

#define LONGEST_NS (UINT64_C(1) << 62)
#define END_NS (UINT64_C(1) << 63)

/*
 * The callbacks that explain the lateness of those to come. An input has a byte
 * for each, but for those of its last advance.
 */
#define CALLBACKS 32768
static struct callback {
	struct model_timer *timer;	/* NULL: freed */
	uint64_t advance;		/* in which that was */
	uint64_t duration_ns;		/* on its timer's clock */
	uint64_t end_ns[MODEL_CLOCKS];
} callbacks[CALLBACKS];

static unsigned which_clock(int clock)
{
	return clock == CLOCK_MONOTONIC ? MODEL_MONOTONIC :
	       clock == CLOCK_BOOTTIME ? MODEL_BOOTTIME : MODEL_REALTIME;
}

static bool is_schedule(const struct model_timer *timer)
{
	return timer->policy == ASYNCTIMER_FIXED_SCHEDULE;
}

uint64_t model_now_ns(const struct model *model, const struct model_timer *timer)
{
	return model->now_ns[timer->which];
}

static uint64_t latest_ns(const struct model *model)
{
	uint64_t latest = 0;

	for (unsigned i = 0; i < MODEL_CLOCKS; i++)
		if (model->now_ns[i] > latest)
			latest = model->now_ns[i];
	return latest;
}

static void move(struct model *model, uint64_t ns)
{
	for (unsigned i = 0; i < MODEL_CLOCKS; i++)
		model->now_ns[i] += ns;
}

/* The first grid point after ns. */
static uint64_t first_after(const struct model_timer *timer, uint64_t ns)
{
	uint64_t anchor_ns = timer->anchor_ns, interval_ns = timer->interval_ns;

	if (ns >= anchor_ns)
		return anchor_ns + ((ns - anchor_ns) / interval_ns + 1) * interval_ns;
	if (!timer->under_way)
		return anchor_ns + timer->first * interval_ns;
	return anchor_ns - (anchor_ns - ns - 1) / interval_ns * interval_ns;
}

static uint64_t due_ns(const struct model_timer *timer)
{
	if (is_schedule(timer))
		return timer->next_ns;
	if (timer->asked_ns != MODEL_NEVER)
		return timer->asked_ns;
	return timer->from_ns + timer->interval_ns;
}

/* From when on it can run: an anchor that was past at the start does not make it first of all. */
static uint64_t ready_ns(const struct model_timer *timer)
{
	uint64_t ready = due_ns(timer);

	return ready < timer->not_before_ns ? timer->not_before_ns : ready;
}

/* Equal due times run in the order in which they were armed. */
static void arm(struct model *model, struct model_timer *timer)
{
	timer->order = model->order++;
}

static bool is_armed(const struct model_timer *timer)
{
	return timer->started && !timer->open;
}

static bool is_valid(int policy, int clock)
{
	if (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME)
		return false;
	return policy == ASYNCTIMER_FIXED_SCHEDULE || policy == ASYNCTIMER_ONCE ||
	       (policy == ASYNCTIMER_FIXED_DELAY && clock != CLOCK_REALTIME);
}

int model_new(struct model *model, struct model_timer *timer, int clock, uint64_t interval_ns,
	      int policy, uint64_t slack_ns)
{
	if (!is_valid(policy, clock) || interval_ns < 1 || interval_ns > LONGEST_NS ||
	    slack_ns >= interval_ns)
		return -EINVAL;
	if (model->freeing)
		return -EBUSY;
	if (model->shut)
		return -ESHUTDOWN;
	*timer = (struct model_timer){ .alive = true, .policy = policy, .interval_ns = interval_ns,
				       .slack_ns = slack_ns, .clock = clock,
				       .which = which_clock(clock) };
	return 0;
}

/* Nothing can touch its data any more. */
static void let_go(struct model *model, struct model_timer *timer)
{
	timer->alive = false;
	if (!timer->release)
		return;
	model->call = MODEL_RELEASE;
	model->call_timer = timer;
}

void model_free(struct model *model, struct model_timer *timer)
{
	timer->started = false;
	timer->freed = true;
	for (size_t i = 0; i < model->callbacks; i++)
		if (callbacks[i].timer == timer)
			callbacks[i].timer = NULL;
	if (!timer->open)
		let_go(model, timer);
}

/* The point one old interval before the next: it may lie before the clock's beginning. */
static void anchor_anew(struct model_timer *timer, uint64_t interval_ns, uint64_t now_ns)
{
	uint64_t old_ns = timer->interval_ns;
	uint64_t before_0_ns = timer->next_ns < old_ns ? old_ns - timer->next_ns : 0;

	timer->interval_ns = interval_ns;
	if (before_0_ns)
		timer->anchor_ns = ((now_ns + before_0_ns) / interval_ns + 1) * interval_ns -
				   before_0_ns;
	else
		timer->anchor_ns = timer->next_ns - old_ns;
}

static void set_interval(struct model *model, struct model_timer *timer, uint64_t interval_ns)
{
	uint64_t now_ns = model_now_ns(model, timer);

	if (is_schedule(timer) && timer->started) {
		if (timer->under_way)
			anchor_anew(timer, interval_ns, now_ns);
		timer->interval_ns = interval_ns;
		timer->next_ns = first_after(timer, now_ns);
		timer->skipped_busy = 0;
	}
	timer->interval_ns = interval_ns;
	if (is_armed(timer))
		arm(model, timer);
}

int model_set_interval(struct model *model, struct model_timer *timer, uint64_t interval_ns)
{
	if (timer->freed || interval_ns < 1 || interval_ns > LONGEST_NS ||
	    interval_ns <= timer->slack_ns)
		return -EINVAL;
	if (interval_ns == timer->interval_ns)
		return 0;
	set_interval(model, timer, interval_ns);
	return 1;
}

int model_set_error_handler(struct model_timer *timer, unsigned handler)
{
	if (timer->freed)
		return -EINVAL;
	if (timer->handler == handler)
		return 0;
	timer->handler = handler;
	return 1;
}

int model_set_name(struct model_timer *timer, unsigned name, bool fits)
{
	if (timer->freed)
		return -EINVAL;
	if (!fits)
		return -ERANGE;
	if (timer->name == name)
		return 0;
	timer->name = name;
	return 1;
}

static int can_start(const struct model *model, const struct model_timer *timer, bool valid)
{
	if (timer->freed || !valid)
		return -EINVAL;
	return model->shut ? -ESHUTDOWN : 0;
}

/* The grid is anchored there, and its first tick is that point or the one after it. */
static int start(struct model *model, struct model_timer *timer, uint64_t anchor_ns, unsigned first)
{
	timer->anchor_ns = anchor_ns;
	timer->first = first;
	timer->next_ns = anchor_ns + first * timer->interval_ns;
	timer->skipped_busy = 0;
	timer->under_way = false;
	timer->from_ns = model_now_ns(model, timer);
	timer->asked_ns = first ? MODEL_NEVER : anchor_ns;
	timer->not_before_ns = 0;
	timer->started = true;
	if (!timer->open)
		arm(model, timer);
	return 1;
}

int model_start(struct model *model, struct model_timer *timer)
{
	int r = can_start(model, timer, true);

	if (r < 0 || timer->started)
		return r;
	return start(model, timer, model_now_ns(model, timer), 1);
}

int model_start_after(struct model *model, struct model_timer *timer, uint64_t delay_ns)
{
	int r = can_start(model, timer, delay_ns <= LONGEST_NS);

	if (r < 0 || timer->started)
		return r;
	return start(model, timer, model_now_ns(model, timer) + delay_ns, 0);
}

int model_start_at(struct model *model, struct model_timer *timer, uint64_t anchor_ns)
{
	uint64_t now_ns = model_now_ns(model, timer);
	int r = can_start(model, timer, anchor_ns <= INT64_MAX);

	if (r < 0 || timer->started)
		return r;
	start(model, timer, anchor_ns, 0);
	if (anchor_ns >= now_ns)
		return 1;
	timer->next_ns = first_after(timer, now_ns);
	if (timer->policy == ASYNCTIMER_ONCE)
		timer->not_before_ns = now_ns;
	else
		timer->asked_ns = now_ns;
	return 1;
}

int model_restart_after(struct model *model, struct model_timer *timer, uint64_t delay_ns)
{
	int r = can_start(model, timer, delay_ns <= LONGEST_NS);

	if (r < 0 || !timer->started)
		return r;
	return start(model, timer, model_now_ns(model, timer) + delay_ns, 0);
}

int model_stop(struct model_timer *timer)
{
	int r = timer->started;

	timer->started = false;
	return r;
}

uint64_t model_next_due_ns(const struct model_timer *timer)
{
	if (!timer->started || (timer->open && timer->policy == ASYNCTIMER_FIXED_DELAY))
		return MODEL_NEVER;
	return due_ns(timer);
}

void model_get_stats(const struct model_timer *timer, struct asynctimer_stats *ret)
{
	*ret = timer->stats;
	ret->busy_since_ns = timer->open ? timer->begun_ns : 0;
}

void model_get_info(const struct model_timer *timer, struct asynctimer_info *ret)
{
	*ret = (struct asynctimer_info){
		.clock = timer->clock,
		.policy = timer->policy,
		.shared = 1,
		.started = timer->started,
		.open = !timer->open ? 0 : timer->running ? 1 : 2,
		.number = timer->number,
		.interval_ns = timer->interval_ns,
		.slack_ns = timer->slack_ns,
		.next_due_ns = model_next_due_ns(timer),
	};
	model_get_stats(timer, &ret->stats);
}

/* The clock may have been set back meanwhile. */
static void look_again(struct model_timer *timer, uint64_t now_ns)
{
	if (is_schedule(timer) && first_after(timer, now_ns) < timer->next_ns)
		timer->next_ns = first_after(timer, now_ns);
	if (timer->not_before_ns > now_ns)
		timer->not_before_ns = now_ns;
}

/* The completion, C, is now. */
static void next_tick(struct model_timer *timer, uint64_t now_ns)
{
	uint64_t next_ns;

	if (timer->policy == ASYNCTIMER_FIXED_DELAY) {
		if (timer->asked_ns != MODEL_NEVER &&
		    timer->asked_ns >= now_ns + timer->interval_ns)
			return;
		timer->asked_ns = MODEL_NEVER;
		timer->from_ns = now_ns;
		return;
	}
	look_again(timer, now_ns);
	if (!is_schedule(timer))
		return;
	next_ns = first_after(timer, now_ns);
	if (next_ns <= timer->next_ns)
		return;
	timer->skipped_busy += (next_ns - timer->next_ns) / timer->interval_ns;
	timer->next_ns = next_ns;
	timer->under_way = true;
}

/* The thread waited, or found nothing due: what ran until now explains nothing that is to come. */
static void forget_callbacks(struct model *model)
{
	model->begun = false;
	model->set_since = false;
	model->callbacks = 0;
}

static uint64_t since_ns(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* An advance is back from a callback and, had it one, from its handler. */
static void remember_callback(struct model *model, struct model_timer *timer)
{
	struct callback *callback = &callbacks[model->callbacks];

	if (!timer->dispatched || model->callbacks == CALLBACKS)
		return;
	timer->dispatched = false;
	callback->timer = timer->freed ? NULL : timer;
	callback->advance = model->advance;
	callback->duration_ns = since_ns(model_now_ns(model, timer), timer->begun_ns);
	memcpy(callback->end_ns, model->now_ns, sizeof(callback->end_ns));
	model->callbacks++;
}

static void end_tick(struct model *model, struct model_timer *timer)
{
	uint64_t now_ns = model_now_ns(model, timer);
	uint64_t duration_ns = since_ns(now_ns, timer->begun_ns);

	timer->stats.duration_sum_ns += duration_ns;
	if (duration_ns > timer->stats.duration_max_ns)
		timer->stats.duration_max_ns = duration_ns;
	remember_callback(model, timer);
	timer->open = false;
	timer->running = false;
	if (timer->freed) {
		let_go(model, timer);
	} else if (timer->started) {
		next_tick(timer, now_ns);
		arm(model, timer);
	}
}

static void tick_has_result(struct model *model, struct model_timer *timer, int result)
{
	timer->ended = true;
	if (result < 0) {
		timer->stats.failures++;
		model->stats.failures++;
	}
	if (result == 0 || !timer->handler || timer->freed) {
		end_tick(model, timer);
		return;
	}
	model->call = MODEL_HANDLER;
	model->call_timer = timer;
	model->call_error = result;
}

void model_callback_returns(struct model *model, struct model_timer *timer, int result)
{
	if (result == ASYNCTIMER_PENDING && !timer->ended) {
		remember_callback(model, timer);
		timer->running = false;
		return;
	}
	if (result == ASYNCTIMER_PENDING)
		result = timer->result;
	else if (result > 0)
		result = -EINVAL;
	tick_has_result(model, timer, result);
}

void model_handler_returns(struct model *model, struct model_timer *timer)
{
	end_tick(model, timer);
}

int model_complete(struct model *model, struct model_timer *timer, uint64_t number, int result)
{
	model->inside++;
	if (result > 0)
		return -EINVAL;
	if (!timer->open || timer->ended || number != timer->number)
		return -EALREADY;
	if (timer->running) {
		timer->ended = true;
		timer->result = result;
		return 0;
	}
	timer->running = true;
	timer->running_ns = model_now_ns(model, timer);
	tick_has_result(model, timer, result);
	return 0;
}

void model_complete_returns(struct model *model)
{
	model->inside--;
}

int model_advance(struct model *model, uint64_t ns)
{
	if (model->freeing)
		return -EBUSY;
	if (ns > END_NS - latest_ns(model))
		return -EOVERFLOW;
	if (model->inside) {
		move(model, ns);
		return 0;
	}
	model->inside++;
	model->advance++;
	model->advances = true;
	model->target_ns = model->now_ns[MODEL_MONOTONIC] + ns;
	model->awake = false;
	model->ran = 0;
	return MODEL_RUNS;
}

/* It can run in this wake-up, also where a clock was set back in it. */
static bool is_due(const struct model *model, const struct model_timer *timer)
{
	return is_armed(timer) && ready_ns(timer) <= model->until_ns[timer->which] &&
	       ready_ns(timer) <= model_now_ns(model, timer);
}

/* Of all that is due the one that has been for the longest time. */
static struct model_timer *first_due(struct model *model)
{
	struct model_timer *first = NULL;
	uint64_t first_ns = 0;

	for (unsigned i = 0; i < model->timers; i++) {
		struct model_timer *timer = &model->timer[i];
		uint64_t ns;

		if (!is_due(model, timer))
			continue;
		ns = model_now_ns(model, timer) - ready_ns(timer);
		if (first && (ns < first_ns || (ns == first_ns && timer->order > first->order)))
			continue;
		first = timer;
		first_ns = ns;
	}
	return first;
}

/* Where a timer wants the reactor to wake up: at a spot in its window, else at the end. The perturbation is 0. */
static uint64_t wake_ns(const struct model_timer *timer)
{
	static const uint64_t anywhere_ms[] = { 60000, 10000, 1000, 250 };
	static const uint64_t second_half_ms[] = { 50, 10, 5, 1 };
	uint64_t from_ns = ready_ns(timer);
	uint64_t end_ns = from_ns + timer->slack_ns;

	for (unsigned i = 0; timer->slack_ns && i < 8; i++) {
		uint64_t ms = i < 4 ? anywhere_ms[i] : second_half_ms[i - 4];
		uint64_t period_ns = ms * ASYNCTIMER_MILLISECOND;
		uint64_t spot_ns = (end_ns - 1) / period_ns * period_ns;

		if (spot_ns >= from_ns + (i < 4 ? 0 : timer->slack_ns / 2))
			return spot_ns;
	}
	return end_ns;
}

/* How long until the first wake-up, as until_ns has it. */
static uint64_t wait_ns(const struct model *model)
{
	uint64_t wait = MODEL_NEVER;

	for (unsigned i = 0; i < model->timers; i++) {
		const struct model_timer *timer = &model->timer[i];

		if (is_armed(timer) && since_ns(wake_ns(timer), model->until_ns[timer->which]) < wait)
			wait = since_ns(wake_ns(timer), model->until_ns[timer->which]);
	}
	return wait;
}

/* Moves the clocks to the next wake-up, if that is within the target. */
static bool wake_up(struct model *model)
{
	uint64_t now_ns = model->now_ns[MODEL_MONOTONIC];
	/* Callbacks moved the clocks: what is due past the target waits for the next advance. */
	uint64_t beyond_ns = since_ns(now_ns, model->target_ns);
	uint64_t wait;

	for (unsigned i = 0; i < MODEL_CLOCKS; i++)
		model->until_ns[i] = since_ns(model->now_ns[i], beyond_ns);
	wait = wait_ns(model);
	if (wait > since_ns(model->target_ns, now_ns))
		return false;
	if (wait) {
		move(model, wait);
		memcpy(model->until_ns, model->now_ns, sizeof(model->until_ns));
		forget_callbacks(model);
	}
	model->ran_now = false;
	return true;
}

static void claim(const struct model *model, struct model_timer *timer, struct asynctimer_tick *ret)
{
	uint64_t now_ns = model_now_ns(model, timer);

	*ret = (struct asynctimer_tick){ .due_ns = due_ns(timer), .now_ns = now_ns };
	if (is_schedule(timer)) {
		ret->skipped_busy = timer->skipped_busy;
		ret->skipped_late = (now_ns - timer->next_ns) / timer->interval_ns;
		ret->due_ns = timer->next_ns + ret->skipped_late * timer->interval_ns;
		timer->next_ns = ret->due_ns + timer->interval_ns;
		timer->skipped_busy = 0;
		timer->under_way = true;
	}
	if (timer->policy == ASYNCTIMER_ONCE)
		timer->started = false;
	timer->asked_ns = MODEL_NEVER;
	timer->not_before_ns = 0;
	timer->number += 1 + ret->skipped_busy + ret->skipped_late;
	ret->number = timer->number;
}

static void count(struct model *model, struct asynctimer_stats *stats,
		  const struct asynctimer_tick *tick)
{
	uint64_t lateness_ns = tick->now_ns - tick->due_ns;
	unsigned bucket = 0;

	stats->callbacks++;
	stats->skipped_busy += tick->skipped_busy;
	stats->skipped_late += tick->skipped_late;
	model->stats.skipped_busy += tick->skipped_busy;
	model->stats.skipped_late += tick->skipped_late;
	stats->lateness_sum_ns = model_sum(stats->lateness_sum_ns, lateness_ns);
	if (lateness_ns > stats->lateness_max_ns)
		stats->lateness_max_ns = lateness_ns;
	while (bucket < 63 && lateness_ns >= UINT64_C(1) << bucket)
		bucket++;
	model->stats.lateness[bucket]++;
}

/* Of the callbacks of other timers the longest, the first of equal ones; NULL if none took time. */
static const struct callback *longest_other(const struct model *model,
					    const struct model_timer *timer)
{
	const struct callback *longest = NULL;

	for (size_t i = 0; i < model->callbacks; i++)
		if (callbacks[i].timer != timer &&
		    callbacks[i].duration_ns > (longest ? longest->duration_ns : 0))
			longest = &callbacks[i];
	return longest;
}

/* The last callback of another timer, if that was in this advance or the one before; or NULL. */
static const struct callback *last_other(const struct model *model, const struct model_timer *timer)
{
	for (size_t i = model->callbacks; i-- > 0;)
		if (callbacks[i].timer != timer)
			return callbacks[i].advance + 1 >= model->advance ? &callbacks[i] : NULL;
	return NULL;
}

void model_adopt_behind(struct model_timer *timer, uint64_t behind_ns, struct model_timer *blamed)
{
	timer->stats.behind_sum_ns = model_sum(timer->stats.behind_sum_ns, behind_ns);
	if (blamed)
		blamed->stats.delayed_sum_ns = model_sum(blamed->stats.delayed_sum_ns, behind_ns);
}

/* behind_ns, as asynctimer(7) defines it by B and E; MODEL_NEVER if a clock was set since B. */
static uint64_t explain(struct model *model, struct model_timer *timer, uint64_t due)
{
	const struct callback *last = last_other(model, timer);
	const struct callback *longest = longest_other(model, timer);
	const struct callback *blamed = last;
	uint64_t from_ns, behind_ns;

	if (!model->begun) {
		model->begun = true;
		memcpy(model->base_ns, model->now_ns, sizeof(model->base_ns));
	}
	if (model->set_since)
		return MODEL_NEVER;
	if (!last)
		return 0;
	from_ns = model->base_ns[timer->which];
	behind_ns = since_ns(last->end_ns[timer->which], due > from_ns ? due : from_ns);
	if (longest && longest->end_ns[timer->which] > due)
		blamed = longest;
	model_adopt_behind(timer, behind_ns, blamed->timer);
	return behind_ns;
}

struct model_timer *model_next(struct model *model, struct asynctimer_tick *ret)
{
	while (!model->stopped) {
		struct model_timer *timer = model->awake ? first_due(model) : NULL;

		if (timer) {
			claim(model, timer, ret);
			count(model, &timer->stats, ret);
			ret->behind_ns = explain(model, timer, ret->due_ns);
			timer->open = true;
			timer->running = true;
			timer->ended = false;
			timer->result = 0;
			timer->dispatched = true;
			timer->begun_ns = model_now_ns(model, timer);
			timer->running_ns = timer->begun_ns;
			model->stats.wakeups += !model->ran_now;
			model->ran_now = true;
			model->ran++;
			return timer;
		}
		model->awake = wake_up(model);
		if (!model->awake)
			break;
	}
	return NULL;
}

int model_advance_returns(struct model *model)
{
	uint64_t left_ns = since_ns(model->target_ns, model->now_ns[MODEL_MONOTONIC]);

	model->inside--;
	model->advances = false;
	if (model->stopped)
		return model->ran;
	move(model, left_ns);
	if (left_ns || model->ran == 0)
		forget_callbacks(model);
	return model->ran;
}

static bool can_be_set(const struct model *model, int clock, uint64_t now_ns)
{
	uint64_t to_come_ns = 0;

	if (model->advances)
		to_come_ns = since_ns(model->target_ns, model->now_ns[MODEL_MONOTONIC]);
	if (now_ns > END_NS - to_come_ns)
		return false;
	return clock == CLOCK_REALTIME ||
	       (clock == CLOCK_BOOTTIME && now_ns >= model->now_ns[MODEL_BOOTTIME]);
}

int model_set_clock(struct model *model, int clock, uint64_t now_ns)
{
	unsigned which = which_clock(clock);

	if (model->freeing)
		return -EBUSY;
	if (!can_be_set(model, clock, now_ns))
		return -EINVAL;
	model->set_since |= model->begun && model->now_ns[which] != now_ns;
	model->now_ns[which] = now_ns;
	for (unsigned i = 0; i < model->timers; i++)
		if (is_armed(&model->timer[i]) && model->timer[i].which == which)
			look_again(&model->timer[i], now_ns);
	return 0;
}

static unsigned open_ticks(const struct model *model)
{
	unsigned open = 0;

	for (unsigned i = 0; i < model->timers; i++)
		open += model->timer[i].alive && model->timer[i].open;
	return open;
}

int model_shutdown(struct model *model)
{
	if (model->inside || model->freeing)
		return -EBUSY;
	for (unsigned i = 0; i < model->timers; i++)
		model->timer[i].started = false;
	model->shut = true;
	model->stopped = true;
	return (int)open_ticks(model);
}

int model_restart(struct model *model)
{
	int r = model->stopped;

	if (model->shut)
		return -ESHUTDOWN;
	model->stopped = false;
	return r;
}

bool model_is_listed(const struct model_timer *timer)
{
	return timer->alive && (!timer->freed || timer->open);
}

void model_reactor_stats(const struct model *model, struct asynctimer_reactor_stats *ret)
{
	*ret = model->stats;
	ret->open = open_ticks(model);
	for (unsigned i = 0; i < model->timers; i++) {
		const struct model_timer *timer = &model->timer[i];
		uint64_t busy_ns = since_ns(model_now_ns(model, timer), timer->running_ns);

		ret->timers += model_is_listed(timer);
		ret->started += timer->alive && timer->started;
		if (timer->alive && timer->running && busy_ns > ret->busy_ns)
			ret->busy_ns = busy_ns;
	}
}

void model_reactor_new(struct model *model)
{
	memset(model->now_ns, 0, sizeof(model->now_ns));
	memset(&model->stats, 0, sizeof(model->stats));
	model->order = 0;
	model->advance = 0;
	model->stopped = false;
	model->shut = false;
	model->freeing = false;
	forget_callbacks(model);
}

int model_reactor_free(struct model *model)
{
	if (model->inside || model->freeing)
		return -EBUSY;
	if (open_ticks(model))
		return -EBUSY;
	model->freeing = true;
	return 0;
}

/* How many armed timers go before it where due times are equal. */
static uint64_t rank_of(const struct model *model, const struct model_timer *timer)
{
	uint64_t rank = 0;

	for (unsigned i = 0; i < model->timers; i++)
		rank += is_armed(&model->timer[i]) && model->timer[i].order < timer->order;
	return rank;
}

static size_t started_state(const struct model *model, const struct model_timer *timer,
			    uint64_t *ret)
{
	uint64_t now_ns = model_now_ns(model, timer);
	size_t n = 0;

	ret[n++] = is_armed(timer) ? rank_of(model, timer) : MODEL_NEVER;
	if (is_schedule(timer)) {
		ret[n++] = timer->next_ns - now_ns;
		ret[n++] = timer->skipped_busy;
		ret[n++] = timer->under_way;
		/* Under way, the next point says where the grid is. */
		ret[n++] = timer->under_way ? 0 : timer->anchor_ns - now_ns;
		ret[n++] = timer->under_way ? 0 : timer->first;
		return n;
	}
	ret[n++] = timer->asked_ns != MODEL_NEVER;
	if (timer->asked_ns != MODEL_NEVER)
		ret[n++] = timer->asked_ns - now_ns;
	else if (timer->policy == ASYNCTIMER_ONCE || !timer->open)
		ret[n++] = timer->from_ns - now_ns;
	ret[n++] = timer->not_before_ns > due_ns(timer) ? timer->not_before_ns - now_ns : 0;
	return n;
}

static size_t timer_state(const struct model *model, const struct model_timer *timer, uint64_t *ret)
{
	size_t n = 0;

	ret[n++] = timer->alive;
	if (!timer->alive)
		return n;
	ret[n++] = timer->freed | timer->started << 1 | timer->open << 2 | timer->running << 3 |
		   timer->release << 4;
	ret[n++] = (uint64_t)timer->policy;
	ret[n++] = timer->which;
	ret[n++] = timer->interval_ns;
	ret[n++] = timer->slack_ns;
	ret[n++] = timer->handler;
	if (timer->running) {
		ret[n++] = timer->ended;
		ret[n++] = timer->ended ? (uint64_t)timer->result : 0;
		ret[n++] = timer->dispatched;
		ret[n++] = timer->dispatched ? model_now_ns(model, timer) - timer->begun_ns : 0;
	}
	if (timer->started)
		n += started_state(model, timer, ret + n);
	return n;
}

/* How long ago that was, on each clock. */
static size_t ago(const struct model *model, const uint64_t then_ns[], uint64_t *ret)
{
	for (unsigned i = 0; i < MODEL_CLOCKS; i++)
		ret[i] = model->now_ns[i] - then_ns[i];
	return MODEL_CLOCKS;
}

/* Of the callbacks of the timer, or of all that are gone (NULL), the last and the first longest. */
static size_t callbacks_state(const struct model *model, const struct model_timer *timer,
			      uint64_t *ret)
{
	const struct callback *last = NULL, *longest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < model->callbacks; i++) {
		if (callbacks[i].timer != timer)
			continue;
		last = &callbacks[i];
		if (!longest || callbacks[i].duration_ns > longest->duration_ns)
			longest = &callbacks[i];
	}
	ret[n++] = last != NULL;
	if (!last)
		return n;
	ret[n++] = (uint64_t)(callbacks + model->callbacks - last);
	ret[n++] = model->advance - last->advance < 2 ? model->advance - last->advance : 2;
	n += ago(model, last->end_ns, ret + n);
	ret[n++] = (uint64_t)(callbacks + model->callbacks - longest);
	ret[n++] = longest->duration_ns;
	n += ago(model, longest->end_ns, ret + n);
	return n;
}

size_t model_state(const struct model *model, uint64_t *ret)
{
	size_t n = 0;

	ret[n++] = model->stopped | model->shut << 1 | model->advances << 2 | model->begun << 3 |
		   model->set_since << 4;
	ret[n++] = model->inside;
	if (model->advances) {
		ret[n++] = model->target_ns - model->now_ns[MODEL_MONOTONIC];
		ret[n++] = model->awake | model->ran_now << 1;
		n += ago(model, model->until_ns, ret + n);
	}
	if (model->begun)
		n += ago(model, model->base_ns, ret + n);
	n += callbacks_state(model, NULL, ret + n);
	for (unsigned i = 0; i < model->timers; i++) {
		n += timer_state(model, &model->timer[i], ret + n);
		n += callbacks_state(model, &model->timer[i], ret + n);
	}
	return n;
}
