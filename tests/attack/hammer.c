/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "hammer.h"
#include "splitmix64.h"

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);

#define THREADS 4
#define QUICK_NS (150 * MS)
#define QUICK_TRIALS 20000
#define LEAST_TRIALS 20		/* where those take longer, under valgrind perhaps */
#define ENOUGH 1000		/* trials, to ask for each outcome */
#define HUNG_NS (30 * ASYNCTIMER_SECOND)

static const struct hammer *current;
static uint64_t seed;
static int threads;			/* that have a sequence */
static __thread uint64_t sequence;
static uint64_t trials;
static uint64_t begun_ns;
static uint64_t outcomes[OUTCOMES];
static unsigned violations;
static unsigned engaged;		/* counts them */
static unsigned ready;			/* counts opponents that have seen it, */
static unsigned off;			/* engaged, once all have: they go */
static unsigned gone;			/* counts opponents that do */
static unsigned done;			/* and that are done */
static int over;			/* no more trials */

bool is_over(void)
{
	return get(over);
}

unsigned any(unsigned bound)
{
	if (!sequence)
		sequence = seed + ((uint64_t)flag_add(&threads) << 32);
	return (unsigned)(splitmix64(&sequence) >> 33) % bound;
}

void relax(unsigned spins)
{
	if (spins % 16 == 0)
		sched_yield();
	else
		asynctimer__pause_processor();
}

/*
 * The locks and waits of the library poll at first. A wait may end for no reason;
 * one in 16 sleeps, as all would without this, lest a missing wake-up goes unseen.
 */
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	for (unsigned spins = 1; spins < 1024; spins++) {
		if (pthread_mutex_trylock(mutex) == 0)
			return 0;
		relax(spins);
	}
	return __real_pthread_mutex_lock(mutex);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	if (any(16) == 0)
		return __real_pthread_cond_wait(condition, mutex);
	pthread_mutex_unlock(mutex);
	for (unsigned spins = 1; spins <= 32; spins++)
		relax(spins);
	return __wrap_pthread_mutex_lock(mutex);
}

void hesitate(void)
{
	unsigned choice = any(256);

	if (choice % 2)
		return;
	if (choice == 0) {
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

static double percent(uint64_t part)
{
	return 100.0 * (double)part / (double)(trials ? trials : 1);
}

static unsigned rarest(void)
{
	unsigned least = 0;

	for (unsigned i = 1; i < OUTCOMES && current->outcomes[i]; i++)
		if (outcomes[i] < outcomes[least])
			least = i;
	return least;
}

static unsigned threads_of(const struct hammer *hammer)
{
	return 1 + hammer->opponents + hammer->pollers + hammer->runners;
}

/* Trials, violations, seconds, the rarest outcome's share in percent, and which it is. */
static void append_to_table(const char *path, double seconds)
{
	FILE *table = fopen(path, "a");
	unsigned least = rarest();

	ck_assert_msg(table, "%s can't be written", path);
	fprintf(table, "races of %s\t%s\t%" PRIu64 "\t%u\t%.2f\t%.2f\t%s\n",
		threads_of(current) > 2 ? "3+" : "2", current->name, trials, violations, seconds,
		percent(outcomes[least]), current->outcomes[least]);
	ck_assert_int_eq(fclose(table), 0);
}

static void report(void)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	double seconds = (double)(now_mono() - begun_ns) / (double)ASYNCTIMER_SECOND;

	printf("%s: %" PRIu64 " trials in %.2f s, %u violations, seed %" PRIu64, current->name,
	       trials, seconds, violations, seed);
	for (unsigned i = 0; i < OUTCOMES && current->outcomes[i]; i++)
		printf("%s %s %" PRIu64 " (%.2f %%)", i ? "," : ":", current->outcomes[i],
		       outcomes[i], percent(outcomes[i]));
	printf("\n");
	fflush(stdout);
	if (path && *path)
		append_to_table(path, seconds);
}

void eventually_at(unsigned spins, const char *what)
{
	static __thread uint64_t hung_ns;

	relax(spins);
	if (spins == 4096)
		hung_ns = now_mono() + HUNG_NS;
	if (spins % 4096 || now_mono() < hung_ns)
		return;
	violation(what);
	report();
	ck_abort_msg("%s: it never came to: %s", current->name, what);
}

/* Once, without waiting; what it found to run may be followed by more. */
static void poll_once(unsigned spins)
{
	if (must(asynctimer_reactor_dispatch(reactor, 0)) == 0)
		relax(spins);
}

/* False if there is no next trial. */
static bool await_trial(unsigned seen)
{
	for (unsigned spins = 1; get(engaged) == seen; spins++) {
		if (is_over())
			return false;
		if (current->opponents_poll)
			poll_once(spins);
		else
			relax(spins);
	}
	return true;
}

static void *opponent(void *data)
{
	(void)data;
	for (unsigned seen = 0; await_trial(seen);) {
		seen++;
		add(ready);
		eventually(get(off) == seen);
		add(gone);
		current->opponent();
		add(done);
	}
	return NULL;
}

static void *poller(void *data)
{
	(void)data;
	for (unsigned spins = 1; !is_over(); spins++)
		poll_once(spins);
	return NULL;
}

void engage(void)
{
	set(ready, 0);
	set(gone, 0);
	set(done, 0);
	add(engaged);
	eventually(get(ready) == current->opponents);
	set(off, engaged);
	/* To see a store takes longer than to make it: not always the same one first. */
	if (any(2))
		eventually(get(gone) == current->opponents);
}

void disengage(void)
{
	eventually(get(done) == current->opponents);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

/* wanted: 0 in the normal setting. */
static bool is_enough(uint64_t wanted)
{
	if (wanted)
		return trials >= wanted;
	return trials >= QUICK_TRIALS ||
	       (trials >= LEAST_TRIALS && now_mono() >= begun_ns + QUICK_NS);
}

static void try_often(void)
{
	uint64_t asked = from_environment("ASYNCTIMER_TRIALS", 0);
	uint64_t wanted = threads_of(current) > 2 ? (asked + 9) / 10 : asked;

	while (!is_enough(wanted)) {
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
	if (trials >= ENOUGH)
		ck_assert_msg(outcomes[rarest()] * 1000 >= trials, "too seldom: %s",
			      current->outcomes[rarest()]);
}

void hammer_run(const struct hammer *hammer)
{
	pthread_t thread[THREADS];
	unsigned count = 0;

	current = hammer;
	begun_ns = now_mono();
	seed = from_environment("ASYNCTIMER_SEED", now_mono() ^ (uint64_t)getpid() << 40);
	asynctimer__test_hook = hook;
	for (unsigned i = 0; i < hammer->opponents; i++)
		thread[count++] = thread_new(opponent, NULL);
	for (unsigned i = 0; i < hammer->pollers; i++)
		thread[count++] = thread_new(poller, NULL);
	for (unsigned i = 0; i < hammer->runners; i++)
		thread[count++] = thread_new(run_reactor, reactor);
	try_often();
	set(over, 1);
	if (hammer->runners)
		asynctimer_reactor_stop(reactor);
	while (count)
		thread_join(thread[--count]);
	report();
	check();
}
