/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "witness.h"

uint64_t witness_now_ns(int clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) < 0)
		abort();
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}

void witness_broken(struct witness *witness, const char *what)
{
	witness->broken++;
	if (!witness->what)
		witness->what = what;
}

static void check_grid(struct witness *witness, const struct asynctimer_tick *tick)
{
	uint64_t advanced = 1 + tick->skipped_busy + tick->skipped_late;
	uint64_t last_ns = witness->last.due_ns;
	uint64_t interval_ns = witness->interval_ns;

	if (tick->now_ns - tick->due_ns >= interval_ns)
		witness_broken(witness, "not the newest tick that is due");
	if (witness->restarted)
		return;
	if (!witness->callbacks) {
		witness->first_due_ns = tick->due_ns - (tick->number - 1) * interval_ns;
		return;
	}
	if (tick->due_ns != last_ns + advanced * interval_ns)
		witness_broken(witness, "due did not advance by as many intervals as number");
	if (tick->skipped_busy < (witness->ended_ns - last_ns) / interval_ns)
		witness_broken(witness, "a tick that came due while busy is not counted so");
	if (tick->skipped_busy && last_ns + tick->skipped_busy * interval_ns > tick->now_ns)
		witness_broken(witness, "a tick is counted busy that was still to come");
}

static void check_delay(struct witness *witness, const struct asynctimer_tick *tick)
{
	if (tick->skipped_busy | tick->skipped_late)
		witness_broken(witness, "a fixed delay skipped a tick");
	if (!witness->restarted && witness->callbacks &&
	    tick->due_ns < witness->ended_ns + witness->interval_ns)
		witness_broken(witness, "the delay was too short");
}

void witness_begin(struct witness *witness, const struct asynctimer_tick *tick)
{
	uint64_t now_ns = witness_now_ns(witness->clock);

	if (__atomic_exchange_n(&witness->inside, true, __ATOMIC_ACQ_REL))
		witness_broken(witness, "two ticks were open at once");
	witness->early += now_ns < tick->due_ns || tick->now_ns < tick->due_ns;
	if (tick->number != witness->last.number + 1 + tick->skipped_busy + tick->skipped_late)
		witness_broken(witness, "numbers were lost or repeated");
	if (witness->policy == ASYNCTIMER_FIXED_SCHEDULE)
		check_grid(witness, tick);
	else
		check_delay(witness, tick);
	witness->restarted = false;
	witness->last = *tick;
	witness->callbacks++;
	witness->skipped_busy += tick->skipped_busy;
	witness->skipped_late += tick->skipped_late;
}

void witness_end(struct witness *witness)
{
	witness->ended_ns = witness_now_ns(witness->clock);
	if (!__atomic_exchange_n(&witness->inside, false, __ATOMIC_ACQ_REL))
		witness_broken(witness, "a tick ended twice");
}

int witness_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	witness_begin(data, tick);
	witness_end(data);
	return ASYNCTIMER_DONE;
}

int witness_start(struct witness *witness)
{
	int r;

	witness->began_ns[0] = witness_now_ns(witness->clock);
	r = asynctimer_start(witness->timer);
	witness->began_ns[1] = witness_now_ns(witness->clock);
	return r;
}

bool witness_caught_up(const struct witness *witness, uint64_t until_ns)
{
	uint64_t next_ns = asynctimer_next_due_ns(witness->timer);

	if (!witness->callbacks || next_ns <= until_ns)
		return false;
	return witness->policy == ASYNCTIMER_FIXED_DELAY ||
	       next_ns == witness->last.due_ns + witness->interval_ns;
}

static void balance_grid(struct witness *witness, uint64_t next_ns, uint64_t ticks)
{
	uint64_t interval_ns = witness->interval_ns;

	if (next_ns != witness->first_due_ns + ticks * interval_ns)
		witness_broken(witness, "callbacks + skipped is not the grid's count");
	if (witness->first_due_ns < witness->began_ns[0] + interval_ns ||
	    witness->first_due_ns > witness->began_ns[1] + interval_ns)
		witness_broken(witness, "the grid is not where it was started");
}

void witness_balance(struct witness *witness)
{
	uint64_t next_ns = asynctimer_next_due_ns(witness->timer);
	uint64_t ticks = witness->callbacks + witness->skipped_busy + witness->skipped_late;
	struct asynctimer_stats stats = { 0 };

	asynctimer_get_stats(witness->timer, &stats);
	if (ticks != witness->last.number)
		witness_broken(witness, "callbacks + skipped is not the last number");
	if (stats.callbacks != witness->callbacks || stats.skipped_busy != witness->skipped_busy ||
	    stats.skipped_late != witness->skipped_late)
		witness_broken(witness, "the statistics differ from what was delivered");
	if (witness->policy == ASYNCTIMER_FIXED_SCHEDULE)
		balance_grid(witness, next_ns, ticks);
}

void table_add(const char *family, const char *name, uint64_t count, uint64_t violations)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table = path ? fopen(path, "ae") : NULL;

	if (!table)
		return;
	fprintf(table, "%s\t%s\t%llu\t%llu\n", family, name, (unsigned long long)count,
		(unsigned long long)violations);
	fclose(table);
}
