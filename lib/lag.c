/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "lag.h"

static void begin(struct lag *lag, uint64_t now_ns)
{
	struct lag_callback none = { .end_ns = now_ns };

	lag->begun = true;
	lag->base_ns = now_ns;
	lag->last = lag->last_other = lag->longest = lag->longest_other = none;
	lag->longest_ns = lag->longest_other_ns = 0;
}

/*
 * Whether the thread has really waited. It asks its timerfds by waiting, so it
 * cannot know before; but what was due when the last callback ended was there.
 */
static bool has_waited(struct lag *lag, uint64_t due_ns)
{
	bool waited = lag->waited && due_ns >= lag->last.end_ns;

	lag->waited = false;
	return waited;
}

uint64_t asynctimer__lag_claim(struct lag *lag, const struct asynctimer *timer, uint64_t due_ns,
			       uint64_t now_ns, struct asynctimer **ret)
{
	const struct lag_callback *last = &lag->last;
	const struct lag_callback *longest = &lag->longest;
	uint64_t longest_ns = lag->longest_ns;
	uint64_t from_ns, behind_ns;

	*ret = NULL;
	if (!lag->begun || has_waited(lag, due_ns)) {
		begin(lag, now_ns);
		return 0;
	}
	if (last->timer == timer)
		last = &lag->last_other;
	if (longest->timer == timer) {
		longest = &lag->longest_other;
		longest_ns = lag->longest_other_ns;
	}
	from_ns = due_ns > lag->base_ns ? due_ns : lag->base_ns;
	if (last->end_ns <= from_ns)
		return 0;
	*ret = longest_ns && longest->end_ns > due_ns ? longest->timer : last->timer;
	/* A clock that was set back in between may show less than at the end of that callback. */
	behind_ns = last->end_ns - from_ns;
	return behind_ns < now_ns - due_ns ? behind_ns : now_ns - due_ns;
}

void asynctimer__lag_rank(struct lag *lag, struct lag_callback callback, uint64_t duration_ns)
{
	bool longest = duration_ns > lag->longest_ns;

	if (callback.timer && callback.timer == lag->longest.timer) {
		if (!longest)
			return;
	} else if (longest) {
		lag->longest_other = lag->longest;
		lag->longest_other_ns = lag->longest_ns;
	} else {
		lag->longest_other = callback;
		lag->longest_other_ns = duration_ns;
		return;
	}
	lag->longest = callback;
	lag->longest_ns = duration_ns;
}

void asynctimer__lag_next_call(struct lag *lag)
{
	struct lag_callback none = { .end_ns = lag->base_ns };

	if (lag->other_is_old)
		lag->last_other = none;
	if (lag->last_is_old)
		lag->last = none;
	lag->last_is_old = lag->other_is_old = true;
}

void asynctimer__lag_shift(struct lag *lag, unsigned clock, uint64_t offset_ns)
{
	lag->clock = clock;
	lag->base_ns += offset_ns;
	lag->last.end_ns += offset_ns;
	lag->last_other.end_ns += offset_ns;
	lag->longest.end_ns += offset_ns;
	lag->longest_other.end_ns += offset_ns;
}

static void forget(struct lag_callback *callback, const struct asynctimer *timer)
{
	if (callback->timer == timer)
		callback->timer = NULL;
}

void asynctimer__lag_forget(struct lag *lag, const struct asynctimer *timer)
{
	forget(&lag->last, timer);
	forget(&lag->last_other, timer);
	forget(&lag->longest, timer);
	forget(&lag->longest_other, timer);
}
