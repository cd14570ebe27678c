/* SPDX-License-Identifier: MIT */
#include "probe.h"

static struct probe *probes;
struct probe probed;

void look_at_the_clock(void)
{
	for (struct probe *probe = probes; probe; probe = probe->next)
		if (probe->ended_ns && !probe->after_ns) {
			probe->after_ns = now_on(probe->watched.clock);
			probe->duration_high_ns += probe->after_ns - probe->tick.now_ns;
		}
}

static void expect_told_apart(const struct probe *probe, const struct asynctimer_tick *tick)
{
	const struct asynctimer_tick *last = &probe->tick;

	if (probe->policy == DELAY) {
		ck_assert_uint_eq(tick->skipped_busy + tick->skipped_late, 0);
		ck_assert_uint_ge(tick->due_ns, probe->ended_ns + probe->interval_ns);
		ck_assert_uint_le(tick->due_ns, probe->after_ns + probe->interval_ns);
		return;
	}
	ck_assert_uint_ge(tick->skipped_busy,
			  (probe->ended_ns - last->due_ns) / probe->interval_ns);
	ck_assert_uint_le(tick->skipped_busy,
			  (probe->after_ns - last->due_ns) / probe->interval_ns);
	/* It fires for the newest point. */
	ck_assert_uint_lt(tick->now_ns - tick->due_ns, probe->interval_ns);
}

static int on_probe(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct probe *probe = watched->data;
	uint64_t lateness_ns = tick->now_ns - tick->due_ns;
	int result;

	look_at_the_clock();
	if (watched->callbacks > 1 && probe->interval_ns)
		expect_told_apart(probe, tick);
	probe->busy += tick->skipped_busy;
	probe->late += tick->skipped_late;
	probe->lateness_sum_ns += lateness_ns;
	if (probe->lateness_max_ns < lateness_ns)
		probe->lateness_max_ns = lateness_ns;
	probe->tick = *tick;
	result = probe->act ? probe->act(probe) : watched->result;
	probe->after_ns = 0;
	probe->ended_ns = now_on(watched->clock);
	probe->duration_low_ns += probe->ended_ns - tick->now_ns;
	return result;
}

static void forget_probes(void *data)
{
	(void)data;
	probes = NULL;
}

struct asynctimer *probe_new(struct probe *probe, int clock, uint64_t interval_ns, int policy)
{
	*probe = (struct probe){ 0 };
	watch_new(&probe->watched, clock, interval_ns, policy);
	probe->watched.data = probe;
	probe->watched.then = on_probe;
	probe->interval_ns = interval_ns;
	probe->policy = policy;
	probe->next = probes;
	probes = probe;
	asynctimer_set_release(probe->watched.timer, forget_probes);
	return probe->watched.timer;
}

void turn(int64_t timeout_ns)
{
	dispatch(timeout_ns);
	look_at_the_clock();
}

void run_callbacks(struct probe *probe, unsigned callbacks)
{
	uint64_t hung_ns = now_mono() + 30 * SECOND;

	while (probe->watched.callbacks < callbacks) {
		turn((int64_t)SECOND);
		ck_assert_uint_lt(now_mono(), hung_ns);
	}
}

void run_until(uint64_t until_ns)
{
	for (uint64_t now_ns = now_mono(); now_ns < until_ns; now_ns = now_mono())
		turn((int64_t)(until_ns - now_ns));
}

uint64_t start(struct probe *probe)
{
	uint64_t before_ns = now_on(probe->watched.clock);
	uint64_t anchor_ns;

	ck_assert_int_eq(asynctimer_start(probe->watched.timer), 1);
	anchor_ns = asynctimer_next_due_ns(probe->watched.timer) - probe->interval_ns;
	ck_assert_uint_le(before_ns, anchor_ns);
	ck_assert_uint_le(anchor_ns, now_on(probe->watched.clock));
	return anchor_ns;
}

struct asynctimer_stats stats_of(const struct probe *probe)
{
	struct asynctimer_stats stats;

	must(asynctimer_get_stats(probe->watched.timer, &stats));
	return stats;
}

void expect_consistent_stats(struct probe *probe)
{
	struct asynctimer_stats stats = stats_of(probe);

	ck_assert_uint_eq(stats.callbacks, probe->watched.callbacks);
	ck_assert_uint_eq(stats.skipped_busy, probe->busy);
	ck_assert_uint_eq(stats.skipped_late, probe->late);
	ck_assert_uint_eq(stats.callbacks + stats.skipped_busy + stats.skipped_late,
			  probe->tick.number);
	ck_assert_uint_eq(stats.lateness_sum_ns, probe->lateness_sum_ns);
	ck_assert_uint_eq(stats.lateness_max_ns, probe->lateness_max_ns);
	ck_assert_uint_ge(stats.duration_sum_ns, probe->duration_low_ns);
	ck_assert_uint_le(stats.duration_sum_ns, probe->duration_high_ns);
	ck_assert_uint_le(stats.duration_max_ns, stats.duration_sum_ns);
	ck_assert_uint_ge(stats.duration_max_ns * stats.callbacks, stats.duration_sum_ns);
	ck_assert_uint_eq(stats.busy_since_ns, 0);
}
