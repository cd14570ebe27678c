/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand timers of all kinds, for as long as asked: two threads run
 * them, a third completes what they defer, a fourth stops, starts, changes,
 * frees and makes anew. Every tick is accounted for, none comes early, and
 * memory and descriptors are at the end what they were after the warm-up.
 *
 *     soak [-n TIMERS] [-t SECONDS] [-w SECONDS OF WARM-UP] [-s SEED]
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "witness.h"

#define MS ASYNCTIMER_MILLISECOND
#define US ASYNCTIMER_MICROSECOND
#define DESCRIPTORS 1024	/* the usual limit */
#define HEADROOM 16		/* for libc and the checks */
#define BREATH_KB 512		/* by which malloc's arenas may differ at two moments */

static struct {
	unsigned timers;
	unsigned seconds;
	unsigned warm_up;
	unsigned seed;
} option = { .timers = 10000, .seconds = 2, .warm_up = 1, .seed = 1 };

/* A place of a timer: even ones are left alone all the time, odd ones are churned. */
struct place {
	struct witness witness;
	uint64_t slack_ns;
	bool own;
	bool defers;
	bool freed;
	bool released;		/* atomic */
	bool balanced;		/* at the end */
	uint64_t random;
	uint64_t number;	/* of the deferred tick */
	struct place *next;	/* to be completed */
};

static struct asynctimer_reactor *reactor;
static struct place *places;
static unsigned owns;
static bool end;		/* atomic */
static uint64_t churns;
static uint64_t completions;

enum { CALLBACKS, SKIPPED, EARLY, BROKEN };
static uint64_t counted[2][4];	/* of freed timers, and at the end of all; realtime ones apart */
static const char *what;

_Noreturn static void die(const char *message, int r)
{
	printf("soak: %s: %s\n", message, strerror(-r));
	exit(2);
}

static int must(int r, const char *message)
{
	if (r < 0)
		die(message, r);
	return r;
}

/* xorshift: every place has a sequence of its own, so that a seed says it all. */
static uint64_t random_below(uint64_t *state, uint64_t most)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % most;
}

/* 20 to 500 ms, more short ones than long ones. */
static uint64_t random_interval(struct place *place)
{
	uint64_t divisor = 2 + random_below(&place->random, 49);

	return ASYNCTIMER_SECOND / divisor + random_below(&place->random, MS);
}

/* Deferred ticks, first come first served. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct place *first;
	struct place **last;
	bool end;
} deferred = { .lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER };

static void defer(struct place *place)
{
	pthread_mutex_lock(&deferred.lock);
	place->next = NULL;
	if (!deferred.first)
		deferred.last = &deferred.first;
	*deferred.last = place;
	deferred.last = &place->next;
	pthread_cond_signal(&deferred.some);
	pthread_mutex_unlock(&deferred.lock);
}

static struct place *next_deferred(void)
{
	struct place *place;

	pthread_mutex_lock(&deferred.lock);
	while (!deferred.first && !deferred.end)
		pthread_cond_wait(&deferred.some, &deferred.lock);
	place = deferred.first;
	if (place)
		deferred.first = place->next;
	pthread_mutex_unlock(&deferred.lock);
	return place;
}

static void *complete_deferred(void *unused)
{
	struct place *place;

	while ((place = next_deferred())) {
		struct asynctimer *timer = place->witness.timer;
		uint64_t number = place->number;

		witness_end(&place->witness);
		if (asynctimer_complete(timer, number, completions % 5 ? 0 : -EIO) != 0)
			die("a deferred tick can't be completed", -EALREADY);
		completions++;
	}
	return unused;
}

/* What churned timers do now and then in their own callback. */
static void churn_own(struct place *place)
{
	struct witness *witness = &place->witness;

	if (random_below(&place->random, 50))
		return;
	witness->interval_ns = random_interval(place);
	witness->restarted = true;
	must(asynctimer_set_interval(witness->timer, witness->interval_ns), "set_interval");
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct place *place = data;

	(void)timer;
	witness_begin(&place->witness, tick);
	if ((place - places) % 2)
		churn_own(place);
	if (place->defers && tick->number % 8 == 0) {
		place->number = tick->number;
		defer(place);
		return ASYNCTIMER_PENDING;
	}
	witness_end(&place->witness);
	return tick->number % 1000 ? ASYNCTIMER_DONE : -EIO;
}

static void released(void *data)
{
	struct place *place = data;

	if (__atomic_exchange_n(&place->released, true, __ATOMIC_ACQ_REL))
		die("a timer was released twice", -EALREADY);
}

static int make(struct place *place)
{
	static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	struct witness *witness = &place->witness;

	*witness = (struct witness){ .interval_ns = random_interval(place) };
	witness->clock = clocks[random_below(&place->random, 3)];
	if (witness->clock != CLOCK_REALTIME && random_below(&place->random, 2))
		witness->policy = ASYNCTIMER_FIXED_DELAY;
	place->slack_ns = random_below(&place->random, 4) * MS;
	place->defers = random_below(&place->random, 10) == 0;
	if (place->own)
		return asynctimer_new(reactor, witness->clock, witness->interval_ns, witness->policy,
				      on_tick, place, &witness->timer);
	return asynctimer_new_shared(reactor, witness->clock, witness->interval_ns, witness->policy,
				     place->slack_ns, on_tick, place, &witness->timer);
}

static void begin(struct place *place)
{
	place->freed = false;
	__atomic_store_n(&place->released, false, __ATOMIC_RELEASE);
	asynctimer_set_release(place->witness.timer, released);
	if (must(witness_start(&place->witness), "start") != 1)
		die("start says that a new timer is started", -EALREADY);
}

/* Own timers until there are no descriptors for more, then shared ones. */
static void make_all(void)
{
	struct rlimit limit;
	int spare[HEADROOM];

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > DESCRIPTORS)
		limit.rlim_cur = DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; i < HEADROOM; i++)
		spare[i] = must(dup(1), "dup");
	for (unsigned i = 0; i < option.timers; i++) {
		struct place *place = &places[i];
		int r;

		place->random = (option.seed * UINT64_C(0x9e3779b97f4a7c15)) ^ (i + 1);
		place->own = owns == i;
		r = make(place);
		if (r == -EMFILE && place->own) {
			place->own = false;
			for (unsigned k = 0; k < HEADROOM; k++)
				close(spare[k]);
			r = make(place);
		}
		must(r, "new");
		owns += place->own;
		begin(place);
	}
	for (unsigned k = 0; owns == option.timers && k < HEADROOM; k++)
		close(spare[k]);
}

static void count(const struct witness *witness)
{
	uint64_t *sums = counted[witness->clock == CLOCK_REALTIME];

	sums[CALLBACKS] += witness->callbacks;
	sums[SKIPPED] += witness->skipped_busy + witness->skipped_late;
	sums[EARLY] += witness->early;
	sums[BROKEN] += witness->broken;
	if (witness->what)
		what = witness->what;
}

static void balance_churned(struct witness *witness)
{
	struct asynctimer_stats stats = { 0 };

	asynctimer_get_stats(witness->timer, &stats);
	if (stats.callbacks != witness->callbacks || stats.skipped_busy != witness->skipped_busy ||
	    stats.skipped_late != witness->skipped_late ||
	    witness->callbacks + witness->skipped_busy + witness->skipped_late !=
		    witness->last.number)
		witness_broken(witness, "a tick was lost or counted twice");
}

static void make_anew(struct place *place)
{
	if (!__atomic_load_n(&place->released, __ATOMIC_ACQUIRE))
		return;		/* its last tick is deferred */
	count(&place->witness);
	must(make(place), "new of what was freed");
	begin(place);
	churns++;
}

/* Between the stop and the start no callback looks at the witness. */
static void churn(struct place *place, unsigned how)
{
	struct witness *witness = &place->witness;

	if (place->freed) {
		make_anew(place);
		return;
	}
	churns++;
	must(asynctimer_stop(witness->timer), "stop");
	witness->restarted = true;
	switch (how) {
	case 0:
		must(asynctimer_start(witness->timer), "start");
		break;
	case 1:
		must(asynctimer_start_at(witness->timer, witness_now_ns(witness->clock) - 17 * MS),
		     "start_at");
		break;
	case 2:
		witness->interval_ns = random_interval(place);
		must(asynctimer_set_interval(witness->timer, witness->interval_ns), "set_interval");
		must(asynctimer_start_after(witness->timer, 3 * MS), "start_after");
		break;
	default:
		balance_churned(witness);
		place->freed = true;
		asynctimer_free(witness->timer);
	}
}

static void pause_ns(uint64_t ns)
{
	struct timespec pause = { .tv_sec = (time_t)(ns / ASYNCTIMER_SECOND),
				  .tv_nsec = (long)(ns % ASYNCTIMER_SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &pause) == EINTR)
		;
}

static pthread_mutex_t churning = PTHREAD_MUTEX_INITIALIZER;

static void *churn_until_end(void *unused)
{
	uint64_t state = option.seed;

	while (!__atomic_load_n(&end, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&churning);
		for (unsigned i = 0; i < 4; i++) {
			/* Own timers, the first, as often as the many others. */
			uint64_t most = i % 2 && owns >= 2 ? owns : option.timers;
			uint64_t which = random_below(&state, most / 2) * 2 + 1;

			churn(&places[which], (unsigned)random_below(&state, 5));
		}
		pthread_mutex_unlock(&churning);
		pause_ns(100 * US);
	}
	return unused;
}

static void *run(void *unused)
{
	must(asynctimer_reactor_run(reactor), "run");
	return unused;
}

/* What may not grow. */
struct usage {
	long resident_kb;
	long descriptors;	/* but for those of own timers */
};

static long count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	long count = 0;

	if (!dir)
		die("/proc/self/fd", -errno);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static long resident_kb(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long size, resident = 0;

	if (!statm || fscanf(statm, "%ld %ld", &size, &resident) != 2)
		die("/proc/self/statm", -EIO);
	fclose(statm);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static struct usage measure(void)
{
	struct usage usage;

	pthread_mutex_lock(&churning);
	usage.resident_kb = resident_kb();
	usage.descriptors = count_descriptors();
	for (unsigned i = 0; i < option.timers; i++)
		usage.descriptors -= places[i].own && !places[i].freed;
	pthread_mutex_unlock(&churning);
	return usage;
}

/* Tools that find leaks themselves keep what was freed. */
static bool memory_is_the_programs(void)
{
	const char *preload = getenv("LD_PRELOAD");

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return false;
#endif
#endif
	return !preload || !strstr(preload, "vgpreload");
}

/* A timerfd that tells whether the clock was set: then realtime ticks can't be accounted for. */
static int watch_clock(void)
{
	struct itimerspec far = { .it_value.tv_sec = INT32_MAX };
	int fd = must(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd");

	timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
	return fd;
}

static bool clock_was_set(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) < 0 && errno == ECANCELED;
}

static bool balance_if_caught_up(struct place *place, uint64_t until_ns)
{
	struct asynctimer_stats stats = { 0 };

	asynctimer_get_stats(place->witness.timer, &stats);
	if (stats.busy_since_ns || !witness_caught_up(&place->witness, until_ns))
		return false;
	witness_balance(&place->witness);
	asynctimer_stop(place->witness.timer);
	return true;
}

/* Timers that nobody churned have a grid to compare with. */
static void balance_all(void)
{
	uint64_t hung_ns = witness_now_ns(CLOCK_MONOTONIC) + 60 * ASYNCTIMER_SECOND;
	uint64_t until_ns[] = { witness_now_ns(CLOCK_REALTIME), witness_now_ns(CLOCK_MONOTONIC),
				witness_now_ns(CLOCK_BOOTTIME) };
	unsigned left = option.timers;

	while (left) {
		must(asynctimer_reactor_dispatch(reactor, (int64_t)(10 * MS)), "dispatch");
		left = 0;
		for (unsigned i = 0; i < option.timers; i += 2) {
			struct place *place = &places[i];
			int clock = place->witness.clock;

			if (!place->balanced)
				place->balanced = balance_if_caught_up(
					place, until_ns[clock == CLOCK_REALTIME	   ? 0
							: clock == CLOCK_MONOTONIC ? 1
										   : 2]);
			left += !place->balanced;
		}
		if (left && witness_now_ns(CLOCK_MONOTONIC) > hung_ns) {
			printf("soak: %u timers have gone silent\n", left);
			counted[0][BROKEN] += left;
			return;
		}
	}
}

static void count_all(void)
{
	for (unsigned i = 0; i < option.timers; i++) {
		if (i % 2 && !places[i].freed)
			balance_churned(&places[i].witness);
		count(&places[i].witness);
	}
}

/* Prints the figures; how many were wrong. */
static uint64_t report(const struct usage *warm, const struct usage *last, bool set)
{
	uint64_t sums[4], ticks, grown_kb = 0, opened;
	char name[64];

	for (unsigned i = 0; i < 4; i++)
		sums[i] = counted[0][i] + (set ? 0 : counted[1][i]);
	ticks = sums[CALLBACKS] + sums[SKIPPED];
	if (memory_is_the_programs() && last->resident_kb > warm->resident_kb + BREATH_KB)
		grown_kb = (uint64_t)(last->resident_kb - warm->resident_kb);
	opened = (uint64_t)labs(last->descriptors - warm->descriptors);
	snprintf(name, sizeof(name), "%u timers, %u s", option.timers, option.seconds);
	printf("soak: %s, %u of them own, seed %u%s\n", name, owns, option.seed,
	       set ? "; the clock was set, realtime timers are left out" : "");
	printf("%llu callbacks (%llu completed by another thread), %llu skipped, %llu churns\n",
	       (unsigned long long)sums[CALLBACKS], (unsigned long long)completions,
	       (unsigned long long)sums[SKIPPED], (unsigned long long)churns);
	printf("%llu early, %llu broken%s%s\n", (unsigned long long)sums[EARLY],
	       (unsigned long long)sums[BROKEN], what ? ": " : "", what ? what : "");
	printf("resident %ld kB, at the end %ld kB%s\n", warm->resident_kb, last->resident_kb,
	       memory_is_the_programs() ? "" : " (a tool's: not compared)");
	printf("descriptors but own timers' %ld, at the end %ld\n", warm->descriptors,
	       last->descriptors);
	table_add("soak", name, ticks, sums[BROKEN]);
	table_add("soak", "early callbacks", sums[CALLBACKS], sums[EARLY]);
	table_add("soak", "resident kB", (uint64_t)last->resident_kb, grown_kb);
	table_add("soak", "descriptors", (uint64_t)last->descriptors + owns, opened);
	return sums[EARLY] + sums[BROKEN] + grown_kb + opened;
}

static void read_options(int argc, char **argv)
{
	int letter;

	while ((letter = getopt(argc, argv, "n:t:w:s:")) != -1) {
		unsigned *value = letter == 'n' ? &option.timers
				  : letter == 't' ? &option.seconds
				  : letter == 'w' ? &option.warm_up
				  : letter == 's' ? &option.seed : NULL;

		if (!value || sscanf(optarg, "%u", value) != 1) {
			fprintf(stderr, "usage: soak [-n TIMERS] [-t SECONDS] [-w WARM-UP] [-s SEED]\n");
			exit(2);
		}
	}
	if (option.timers < 2 || !option.seed)
		die("at least 2 timers, and a seed but 0", -EINVAL);
}

int main(int argc, char **argv)
{
	pthread_t runners[2], completer, churner;
	struct usage warm, last;
	int clock_fd;
	bool set;

	read_options(argc, argv);
	clock_fd = watch_clock();
	must(asynctimer_reactor_new(&reactor), "reactor_new");
	places = calloc(option.timers, sizeof(*places));
	if (!places)
		die("memory", -ENOMEM);
	make_all();
	for (unsigned i = 0; i < 2; i++)
		must(-pthread_create(&runners[i], NULL, run, NULL), "thread");
	must(-pthread_create(&completer, NULL, complete_deferred, NULL), "thread");
	must(-pthread_create(&churner, NULL, churn_until_end, NULL), "thread");

	pause_ns(option.warm_up * ASYNCTIMER_SECOND);
	warm = measure();
	pause_ns(option.seconds * ASYNCTIMER_SECOND);
	last = measure();

	__atomic_store_n(&end, true, __ATOMIC_RELEASE);
	pthread_join(churner, NULL);
	asynctimer_reactor_stop(reactor);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(runners[i], NULL);
	must(asynctimer_reactor_restart(reactor), "restart");
	balance_all();
	pthread_mutex_lock(&deferred.lock);
	deferred.end = true;
	pthread_cond_signal(&deferred.some);
	pthread_mutex_unlock(&deferred.lock);
	pthread_join(completer, NULL);
	count_all();
	set = clock_was_set(clock_fd);
	must(asynctimer_reactor_free(reactor), "reactor_free");
	close(clock_fd);
	free(places);
	return report(&warm, &last, set) != 0;
}
