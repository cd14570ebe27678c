/* SPDX-License-Identifier: MIT */
/* What a tick does beside being counted, and what is known of all of them in the end. */
#include <stdio.h>
#include <unistd.h>

#include "job.h"

#define STALL_AT 500
#define STALL_NS (35 * MS)
#define WORK_NS (2 * MS)

/* Log-linear: 32 buckets for each power of two, so within 3 %. */
static unsigned bucket(uint64_t ns)
{
	if (ns < 64)
		return (unsigned)ns;
	unsigned shift = 58 - (unsigned)__builtin_clzll(ns);

	return 32 * shift + (unsigned)(ns >> shift);
}

static uint64_t bucket_ns(unsigned index)
{
	if (index < 64)
		return index;
	unsigned shift = index / 32 - 1;

	return (uint64_t)(index - 32 * shift) << shift;
}

/*
 * Compares the tick with the ideal grid. It stands for the newest grid point
 * past. If none has passed since the last tick it is early, for the next one;
 * but extra, and for none, when that is more than half an interval away or
 * the last tick less than half an interval ago.
 */
static void observe(struct record *record, uint64_t now)
{
	struct slot *slot = bench_slot;
	uint64_t half_ns = record->interval_ns / 2;

	/* The first tick seen may be of a point before the phase. */
	if (!record->last)
		record->last = (now - record->anchor_ns) / record->interval_ns;
	uint64_t due = record->anchor_ns + record->last * record->interval_ns;
	uint64_t early_ns = now < due ? due - now : 0;

	if (early_ns > half_ns || (early_ns && now - record->last_ns < half_ns)) {
		slot->extra++;
		return;
	}
	slot->early += early_ns >= bench->early_from_ns;
	uint64_t late_ns = now < due ? 0 : now - due;
	uint64_t skipped = late_ns < record->interval_ns ? 0 : late_ns / record->interval_ns;

	if (late_ns > slot->waited_ns)
		slot->waited_ns = late_ns;
	late_ns -= skipped * record->interval_ns;
	record->last += skipped + 1;
	record->last_ns = now;
	slot->skipped += skipped;
	slot->delivered++;
	slot->histogram[bucket(late_ns)]++;
	if (late_ns > slot->max_ns)
		slot->max_ns = late_ns;
}

static void note(uint64_t now)
{
	uint64_t index = bench_slot->ticks - 1;

	if (index < NOTED)
		bench->times[index] = now;
}

/* Work of 2 ms, and once of 35 ms, on a timer of 10 ms. */
static void stall(uint64_t now)
{
	uint64_t until = now + (bench_slot->ticks - 1 == STALL_AT ? STALL_NS : WORK_NS);

	note(now);
	while (now_ns() < until)
		;
}

void bench_look(struct record *record)
{
	switch (bench->work) {
	case OBSERVE:
		observe(record, now_ns());
		break;
	case NOTE:
		note(now_ns());
		break;
	case STALL:
		stall(now_ns());
		break;
	case SERVE:
		serve(record);
		break;
	case END:
		if (bench_slot->ticks >= bench->end_ticks)
			_exit(0);
		break;
	}
}

struct slot *sum_of_slots(void)
{
	struct slot *sum = &bench->slots[0];

	for (struct slot *slot = sum + 1; slot < sum + MAX_THREADS; slot++) {
		sum->delivered += slot->delivered;
		sum->skipped += slot->skipped;
		sum->early += slot->early;
		sum->extra += slot->extra;
		if (slot->max_ns > sum->max_ns)
			sum->max_ns = slot->max_ns;
		if (slot->waited_ns > sum->waited_ns)
			sum->waited_ns = slot->waited_ns;
		for (int i = 0; i < BUCKETS; i++)
			sum->histogram[i] += slot->histogram[i];
	}
	return sum;
}

static uint64_t quantile(const struct slot *slot, unsigned per_mille)
{
	uint64_t left = slot->delivered * per_mille / 1000;

	for (unsigned i = 0; i < BUCKETS; i++) {
		if (left < slot->histogram[i])
			return bucket_ns(i);
		left -= slot->histogram[i];
	}
	return slot->max_ns;
}

void print_slot(const struct slot *slot)
{
	printf("delivered=%llu\tskipped=%llu\tearly=%llu\textra=%llu\t"
	       "p50=%llu\tp90=%llu\tp99=%llu\tmax=%llu\twaited=%llu\t",
	       (unsigned long long)slot->delivered, (unsigned long long)slot->skipped,
	       (unsigned long long)slot->early, (unsigned long long)slot->extra,
	       (unsigned long long)quantile(slot, 500), (unsigned long long)quantile(slot, 900),
	       (unsigned long long)quantile(slot, 990), (unsigned long long)slot->max_ns,
	       (unsigned long long)slot->waited_ns);
}

/* The lateness by hundredths of the ticks. */
void print_quantiles(const struct slot *slot)
{
	printf("series=");
	for (unsigned i = 0; i <= 1000; i += 10)
		printf("%llu%s", (unsigned long long)quantile(slot, i), i < 1000 ? "," : "\t");
}
