/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <time.h>

#include "fuzz_model.h"

#define LONGEST_NS (UINT64_C(1) << 62)
#define END_NS (UINT64_C(1) << 63)

static bool is_schedule(const struct model_timer *timer)
{
	return timer->policy == ASYNCTIMER_FIXED_SCHEDULE;
}

static uint64_t point_ns(const struct model_timer *timer, uint64_t k)
{
	return timer->anchor_ns + k * timer->interval_ns;
}

/* The k of the first grid point after ns. */
static uint64_t first_after(const struct model_timer *timer, uint64_t ns)
{
	return ns < timer->anchor_ns ? 0 : (ns - timer->anchor_ns) / timer->interval_ns + 1;
}

static uint64_t due_ns(const struct model_timer *timer)
{
	if (is_schedule(timer))
		return point_ns(timer, timer->next);
	if (timer->asked_ns != MODEL_NEVER)
		return timer->asked_ns;
	return timer->from_ns + timer->interval_ns;
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

int model_new(struct model *model, struct model_timer *timer, int clock, uint64_t interval_ns,
	      int policy, uint64_t slack_ns)
{
	bool known = clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
		     (clock == CLOCK_REALTIME && policy == ASYNCTIMER_FIXED_SCHEDULE);

	if (!known || interval_ns < 1 || interval_ns > LONGEST_NS || slack_ns >= interval_ns ||
	    (policy != ASYNCTIMER_FIXED_SCHEDULE && policy != ASYNCTIMER_FIXED_DELAY))
		return -EINVAL;
	if (model->freeing)
		return -EBUSY;
	*timer = (struct model_timer){ .alive = true, .policy = policy, .interval_ns = interval_ns,
				       .slack_ns = slack_ns };
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
	if (!timer->open)
		let_go(model, timer);
}

static void set_interval(struct model *model, struct model_timer *timer, uint64_t interval_ns)
{
	if (is_schedule(timer) && timer->started) {
		if (timer->under_way)
			timer->anchor_ns = point_ns(timer, timer->next - 1);
		timer->interval_ns = interval_ns;
		timer->next = first_after(timer, model->now_ns);
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

/* The grid is anchored there, its first tick is point k. */
static int start(struct model *model, struct model_timer *timer, uint64_t anchor_ns, uint64_t k)
{
	timer->anchor_ns = anchor_ns;
	timer->next = k;
	timer->skipped_busy = 0;
	timer->under_way = false;
	timer->from_ns = model->now_ns;
	timer->started = true;
	if (!timer->open)
		arm(model, timer);
	return 1;
}

int model_start(struct model *model, struct model_timer *timer)
{
	if (timer->freed)
		return -EINVAL;
	if (timer->started)
		return 0;
	timer->asked_ns = MODEL_NEVER;
	return start(model, timer, model->now_ns, 1);
}

int model_start_after(struct model *model, struct model_timer *timer, uint64_t delay_ns)
{
	if (timer->freed || delay_ns > LONGEST_NS)
		return -EINVAL;
	if (timer->started)
		return 0;
	timer->asked_ns = model->now_ns + delay_ns;
	return start(model, timer, timer->asked_ns, 0);
}

int model_start_at(struct model *model, struct model_timer *timer, uint64_t anchor_ns)
{
	bool past = anchor_ns < model->now_ns;

	if (timer->freed || anchor_ns > INT64_MAX)
		return -EINVAL;
	if (timer->started)
		return 0;
	timer->asked_ns = past ? model->now_ns : anchor_ns;
	start(model, timer, anchor_ns, 0);
	if (past)
		timer->next = first_after(timer, model->now_ns);
	return 1;
}

int model_stop(struct model_timer *timer)
{
	int r = timer->started;

	timer->started = false;
	return r;
}

uint64_t model_next_due_ns(const struct model_timer *timer)
{
	if (!timer->started || (timer->open && !is_schedule(timer)))
		return MODEL_NEVER;
	return due_ns(timer);
}

void model_get_stats(const struct model_timer *timer, struct asynctimer_stats *ret)
{
	*ret = timer->stats;
	ret->busy_since_ns = timer->open ? timer->begun_ns : 0;
}

/* The completion, C, is now. */
static void next_tick(struct model *model, struct model_timer *timer)
{
	uint64_t next;

	if (!is_schedule(timer)) {
		if (timer->asked_ns != MODEL_NEVER &&
		    timer->asked_ns >= model->now_ns + timer->interval_ns)
			return;
		timer->asked_ns = MODEL_NEVER;
		timer->from_ns = model->now_ns;
		return;
	}
	next = first_after(timer, model->now_ns);
	if (next <= timer->next)
		return;
	timer->skipped_busy += next - timer->next;
	timer->next = next;
	timer->under_way = true;
}

static void end_tick(struct model *model, struct model_timer *timer)
{
	uint64_t duration_ns = model->now_ns - timer->begun_ns;

	timer->stats.duration_sum_ns += duration_ns;
	if (duration_ns > timer->stats.duration_max_ns)
		timer->stats.duration_max_ns = duration_ns;
	timer->open = false;
	timer->running = false;
	if (timer->freed) {
		let_go(model, timer);
	} else if (timer->started) {
		next_tick(model, timer);
		arm(model, timer);
	}
}

static void tick_has_result(struct model *model, struct model_timer *timer, int result)
{
	timer->ended = true;
	if (result < 0)
		timer->stats.failures++;
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
	if (result != ASYNCTIMER_PENDING)
		tick_has_result(model, timer, result > 0 ? -EINVAL : result);
	else if (timer->ended)
		tick_has_result(model, timer, timer->result);
	else
		timer->running = false;
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
	if (ns > END_NS - model->now_ns)
		return -EOVERFLOW;
	if (model->inside) {
		model->now_ns += ns;
		return 0;
	}
	model->inside++;
	model->target_ns = model->now_ns + ns;
	model->awake = false;
	model->ran = 0;
	return MODEL_RUNS;
}

/* Of all that is due by until_ns the first. */
static struct model_timer *first_due(struct model *model, uint64_t until_ns)
{
	struct model_timer *first = NULL;

	for (unsigned i = 0; i < model->timers; i++) {
		struct model_timer *timer = &model->timer[i];

		if (!is_armed(timer) || due_ns(timer) > until_ns)
			continue;
		if (!first || due_ns(timer) < due_ns(first) ||
		    (due_ns(timer) == due_ns(first) && timer->order < first->order))
			first = timer;
	}
	return first;
}

static uint64_t wake_ns(const struct model *model)
{
	uint64_t first_ns = MODEL_NEVER;

	for (unsigned i = 0; i < model->timers; i++) {
		const struct model_timer *timer = &model->timer[i];

		if (is_armed(timer) && due_ns(timer) + timer->slack_ns < first_ns)
			first_ns = due_ns(timer) + timer->slack_ns;
	}
	return first_ns;
}

/* Moves the clock to the next wake-up, if that is within the target. */
static bool wake_up(struct model *model)
{
	uint64_t next_ns = wake_ns(model);

	if (next_ns > model->target_ns)
		return false;
	if (model->now_ns < next_ns)
		model->now_ns = next_ns;
	model->until_ns = model->now_ns;
	if (model->until_ns > model->target_ns)
		model->until_ns = model->target_ns;
	return true;
}

static void claim(const struct model *model, struct model_timer *timer, struct asynctimer_tick *ret)
{
	*ret = (struct asynctimer_tick){ .due_ns = due_ns(timer), .now_ns = model->now_ns };
	if (is_schedule(timer)) {
		uint64_t newest = first_after(timer, model->now_ns) - 1;

		ret->skipped_busy = timer->skipped_busy;
		ret->skipped_late = newest - timer->next;
		ret->due_ns = point_ns(timer, newest);
		timer->next = newest + 1;
		timer->skipped_busy = 0;
		timer->under_way = true;
	}
	timer->asked_ns = MODEL_NEVER;
	timer->number += 1 + ret->skipped_busy + ret->skipped_late;
	ret->number = timer->number;
}

static void count(struct asynctimer_stats *stats, const struct asynctimer_tick *tick)
{
	uint64_t lateness_ns = tick->now_ns - tick->due_ns;

	stats->callbacks++;
	stats->skipped_busy += tick->skipped_busy;
	stats->skipped_late += tick->skipped_late;
	stats->lateness_sum_ns += lateness_ns;
	if (lateness_ns > stats->lateness_max_ns)
		stats->lateness_max_ns = lateness_ns;
}

struct model_timer *model_next(struct model *model, struct asynctimer_tick *ret)
{
	while (!model->stopped) {
		struct model_timer *timer =
			model->awake ? first_due(model, model->until_ns) : NULL;

		if (timer) {
			claim(model, timer, ret);
			count(&timer->stats, ret);
			timer->open = true;
			timer->running = true;
			timer->ended = false;
			timer->begun_ns = model->now_ns;
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
	if (!model->stopped && model->now_ns < model->target_ns)
		model->now_ns = model->target_ns;
	model->inside--;
	return model->ran;
}

int model_reactor_free(struct model *model)
{
	if (model->inside || model->freeing)
		return -EBUSY;
	for (unsigned i = 0; i < model->timers; i++)
		if (model->timer[i].open)
			return -EBUSY;
	model->freeing = true;
	return 0;
}
