/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "hammer.h"

#define THREADS 4
#define QUICK_NS (250 * MS)
#define QUICK_TRIALS 20000
#define ENOUGH 1000		/* trials, to ask for each outcome */
#define HUNG_NS (30 * ASYNCTIMER_SECOND)

static const struct hammer *current;
static uint64_t seed;
static int threads;			/* that have a sequence */
static __thread uint64_t sequence;
static uint64_t trials;
static uint64_t outcomes[OUTCOMES];
static unsigned violations;
static unsigned engaged;		/* counts them */
static unsigned ready;			/* counts opponents that have seen it, */
static unsigned off;			/* engaged, once all have: they go */
static unsigned gone;			/* counts opponents that do */
static unsigned done;			/* and that are done */
static int over;

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

unsigned any(unsigned bound)
{
	if (!sequence)
		sequence = seed + ((uint64_t)flag_add(&threads) << 32);
	return (unsigned)(next(&sequence) >> 33) % bound;
}

void hesitate(void)
{
	unsigned choice = any(64);

	if (choice < 32)
		return;
	if (choice == 63) {
		sched_yield();
		return;
	}
	/* Each magnitude as often as the others: races are won by nanoseconds or microseconds. */
	for (volatile unsigned i = any(2U << any(10)); i; i--)
		;
}

static void hook(enum asynctimer__test_point point, struct asynctimer *timer)
{
	if (current->observe)
		current->observe(point, timer);
	hesitate();
}

void violation(const char *what)
{
	if (__atomic_add_fetch(&violations, 1, __ATOMIC_SEQ_CST) <= 5)
		fprintf(stderr, "%s: %s\n", current->name, what);
}

static void print_outcomes(FILE *file)
{
	for (unsigned i = 0; i < OUTCOMES && current->outcomes[i]; i++)
		fprintf(file, "%s %s %" PRIu64 " (%.2f %%)", i ? "," : ":", current->outcomes[i],
			outcomes[i], 100.0 * (double)outcomes[i] / (double)(trials ? trials : 1));
}

static void report(void)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table = path && *path ? fopen(path, "a") : NULL;

	printf("%s: %" PRIu64 " trials, %u violations, seed %" PRIu64, current->name, trials,
	       violations, seed);
	print_outcomes(stdout);
	printf("\n");
	fflush(stdout);
	if (path && *path)
		ck_assert_msg(table, "%s can't be written", path);
	if (table) {
		fprintf(table, "races\t%s\t%" PRIu64 "\t%u\n", current->name, trials, violations);
		ck_assert_int_eq(fclose(table), 0);
	}
}

void eventually_at(unsigned spins, const char *what)
{
	static __thread uint64_t hung_ns;

	if (spins % 16 == 0)
		sched_yield();
	if (spins == 1024)
		hung_ns = now_mono() + HUNG_NS;
	if (spins % 1024 || now_mono() < hung_ns)
		return;
	violation(what);
	report();
	ck_abort_msg("%s: it never came to: %s", current->name, what);
}

static void *opponent(void *data)
{
	unsigned seen = 0;

	(void)data;
	for (;;) {
		await(__atomic_load_n(&engaged, __ATOMIC_SEQ_CST) != seen || flag_get(&over));
		if (flag_get(&over))
			return NULL;
		seen++;
		__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
		eventually(__atomic_load_n(&off, __ATOMIC_SEQ_CST) == seen);
		__atomic_add_fetch(&gone, 1, __ATOMIC_SEQ_CST);
		current->opponent();
		__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
	}
}

static void *poller(void *data)
{
	while (!flag_get(&over))
		if (must(asynctimer_reactor_dispatch(data, 0)) == 0 && current->opponents)
			sched_yield();
	return NULL;
}

void engage(void)
{
	__atomic_store_n(&ready, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&gone, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&done, 0, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&engaged, 1, __ATOMIC_SEQ_CST);
	eventually(__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == current->opponents);
	__atomic_store_n(&off, engaged, __ATOMIC_SEQ_CST);
	/* To see a store takes longer than to make it: not always the same one first. */
	if (any(2))
		eventually(__atomic_load_n(&gone, __ATOMIC_SEQ_CST) == current->opponents);
}

void disengage(void)
{
	eventually(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == current->opponents);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

static void try_often(void)
{
	uint64_t wanted = from_environment("ASYNCTIMER_TRIALS", 0);
	uint64_t end_ns = now_mono() + QUICK_NS;

	while (wanted ? trials < wanted : trials < QUICK_TRIALS && now_mono() < end_ns) {
		unsigned outcome;

		/* A quarter of the trials in a reactor that spins. */
		if (trials % 64 == 0)
			asynctimer_reactor_set_spin(reactor, trials / 64 % 4 == 3 ? 50 * US : 0);
		outcome = current->trial();
		trials++;
		outcomes[outcome]++;
	}
}

static void check(void)
{
	ck_assert_uint_eq(violations, 0);
	for (unsigned i = 0; i < OUTCOMES && current->outcomes[i] && trials >= ENOUGH; i++)
		ck_assert_msg(outcomes[i] * 1000 >= trials, "too seldom: %s", current->outcomes[i]);
}

void hammer_run(const struct hammer *hammer)
{
	pthread_t thread[THREADS];
	unsigned count = 0;

	current = hammer;
	seed = from_environment("ASYNCTIMER_SEED", now_mono() ^ (uint64_t)getpid() << 40);
	asynctimer__test_hook = hook;
	for (unsigned i = 0; i < hammer->opponents; i++)
		thread[count++] = thread_new(opponent, NULL);
	for (unsigned i = 0; i < hammer->pollers; i++)
		thread[count++] = thread_new(poller, reactor);
	for (unsigned i = 0; i < hammer->runners; i++)
		thread[count++] = thread_new(run_reactor, reactor);
	try_often();
	flag_set(&over);
	if (hammer->runners)
		asynctimer_reactor_stop(reactor);
	while (count)
		thread_join(thread[--count]);
	report();
	check();
}
