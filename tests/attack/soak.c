/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand timers of all kinds, for as long as asked: two threads run
 * them, a third completes what they defer, a fourth stops, starts, restarts,
 * changes, frees and makes anew, a fifth lists them and asks for the reactor's
 * counts. Every tick is accounted for, none comes early, and memory and
 * descriptors are at the end what they were after the warm-up.
 *
 *     soak [-n TIMERS] [-t SECONDS] [-w SECONDS OF WARM-UP] [-s SEED] [-z SECONDS]
 *
 * With -z the process is frozen now and then, for at most so long, as by a suspend.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
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
	unsigned freeze;
} option = { .timers = 10000, .seconds = 2, .warm_up = 1, .seed = 1 };

/* A place of a timer: even ones are left alone all the time, odd ones are churned. */
struct place {
	struct witness witness;
	uint64_t slack_ns;
	bool own;
	bool defers;
	bool moved;		/* the fourth thread restarts it whatever it does: its due times may be anywhere */
	bool parked;		/* atomic: its callback shall not start it */
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

/* A timer of ASYNCTIMER_ONCE goes on, or now and then waits for the fourth thread. */
static void start_again(struct place *place)
{
	struct witness *witness = &place->witness;

	if (random_below(&place->random, 8) == 0 ||
	    __atomic_load_n(&place->parked, __ATOMIC_ACQUIRE))
		return;
	witness->restarted = true;
	if (must(asynctimer_start_after(witness->timer, random_interval(place)), "start_after") != 1)
		die("a timer of once is started in its callback", -EALREADY);
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct place *place = data;

	(void)timer;
	place->witness.restarted |= place->moved;
	witness_begin(&place->witness, tick);
	if (tick->behind_ns > tick->now_ns - tick->due_ns)
		witness_broken(&place->witness, "behind by more than it is late");
	if ((place - places) % 2)
		churn_own(place);
	if (place->witness.policy == ASYNCTIMER_ONCE)
		start_again(place);
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
	place->moved = (place - places) % 2 && random_below(&place->random, 2);
	if ((place - places) % 2 && random_below(&place->random, 3) == 0)
		witness->policy = ASYNCTIMER_ONCE;
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

/* A callback that runs during the first stop may start its timer; none after it does. */
static void stop_for_good(struct place *place)
{
	__atomic_store_n(&place->parked, true, __ATOMIC_RELEASE);
	must(asynctimer_stop(place->witness.timer), "stop");
	must(asynctimer_stop(place->witness.timer), "stop");
	__atomic_store_n(&place->parked, false, __ATOMIC_RELEASE);
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
	if (place->moved && how > 3) {
		must(asynctimer_restart_after(witness->timer, how % 3 * 10 * MS), "restart_after");
		return;
	}
	stop_for_good(place);
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
		if (how % 2)
			asynctimer_free(witness->timer);
		else
			asynctimer_free_nowait(witness->timer);
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

			churn(&places[which], (unsigned)random_below(&state, 8));
		}
		if (random_below(&state, 1000) == 0)
			must(asynctimer_reactor_set_spin(reactor, random_below(&state, 3) * 50 * US),
			     "set_spin");
		pthread_mutex_unlock(&churning);
		pause_ns(100 * US);
	}
	return unused;
}

/* What the fifth thread sees must be possible, and what counts must not go back. */
static struct {
	struct asynctimer_info *infos;
	uint64_t *numbers;		/* of each place's timer when it was listed last */
	unsigned *seen;			/* and in which list that was */
	unsigned lists;
	struct asynctimer_reactor_stats stats;
	uint64_t broken;
} watch;

static void watch_broken(const char *message)
{
	watch.broken++;
	what = message;
}

static void watch_info(const struct asynctimer_info *info)
{
	const struct asynctimer_stats *stats = &info->stats;
	unsigned i = (unsigned)((struct place *)info->data - places);

	if (i >= option.timers || watch.seen[i] == watch.lists) {
		watch_broken("a timer is listed that there is not, or twice");
		return;
	}
	watch.seen[i] = watch.lists;
	if (info->number != stats->callbacks + stats->skipped_busy + stats->skipped_late ||
	    info->open < 0 || info->open > 2 || (info->open != 0) != (stats->busy_since_ns != 0) ||
	    info->shared == places[i].own || stats->behind_sum_ns > stats->lateness_sum_ns)
		watch_broken("what is listed does not fit together");
	if (!info->started && info->next_due_ns != UINT64_MAX)
		watch_broken("a stopped timer is due");
	/* The churned ones may be others than in the last list. */
	if (i % 2 == 0 && (info->number < watch.numbers[i] || info->timer != places[i].witness.timer))
		watch_broken("a number went back");
	watch.numbers[i] = info->number;
}

static void watch_list(void)
{
	int count = must(asynctimer_reactor_list(reactor, option.timers, sizeof(*watch.infos),
						 watch.infos), "list");

	watch.lists++;
	if (count < (int)option.timers / 2 || count > (int)option.timers)
		watch_broken("more or fewer timers than there are");
	for (int i = 0; i < count && i < (int)option.timers; i++)
		watch_info(&watch.infos[i]);
}

static uint64_t callbacks_in(const struct asynctimer_reactor_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < 64; i++)
		sum += stats->lateness[i];
	return sum;
}

static void watch_stats(void)
{
	const struct asynctimer_reactor_stats last = watch.stats;
	struct asynctimer_reactor_stats *now = &watch.stats;

	must(asynctimer_reactor_get_stats(reactor, sizeof(*now), now), "reactor_get_stats");
	if (now->timers > option.timers || now->started > now->timers || now->open > now->timers ||
	    now->wakeups > callbacks_in(now))
		watch_broken("the reactor's counts do not fit together");
	if (now->skipped_busy < last.skipped_busy || now->skipped_late < last.skipped_late ||
	    now->failures < last.failures || now->wakeups < last.wakeups)
		watch_broken("a count of the reactor's went back");
	for (unsigned i = 0; i < 64; i++)
		if (now->lateness[i] < last.lateness[i])
			watch_broken("callbacks were forgotten");
}

static void *watch_until_end(void *unused)
{
	for (unsigned i = 0; !__atomic_load_n(&end, __ATOMIC_ACQUIRE); i++) {
		watch_stats();
		if (i % 16 == 0)
			watch_list();
		pause_ns(5 * MS);
	}
	return unused;
}

static void watch_new(void)
{
	watch.infos = calloc(option.timers, sizeof(*watch.infos));
	watch.numbers = calloc(option.timers, sizeof(*watch.numbers));
	watch.seen = calloc(option.timers, sizeof(*watch.seen));
	if (!watch.infos || !watch.numbers || !watch.seen)
		die("memory", -ENOMEM);
}

/* At the end the reactor has counted what the callbacks have, those of freed timers included. */
static void balance_reactor(void)
{
	uint64_t callbacks = counted[0][CALLBACKS] + counted[1][CALLBACKS];
	uint64_t skipped = counted[0][SKIPPED] + counted[1][SKIPPED];

	watch_stats();
	if (callbacks_in(&watch.stats) != callbacks ||
	    watch.stats.skipped_busy + watch.stats.skipped_late != skipped)
		watch_broken("the reactor counted other callbacks or skips than there were");
	if (watch.stats.open || watch.stats.busy_ns)
		watch_broken("a tick is open though all have ended");
	if (must(asynctimer_reactor_shutdown(reactor, -1), "shutdown"))
		watch_broken("a shutdown left ticks open");
	counted[0][BROKEN] += watch.broken;
	free(watch.infos);
	free(watch.numbers);
	free(watch.seen);
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

/* A child that stops this process for up to option.freeze seconds, within each ten times as long. It ends by itself. */
static pid_t start_freezer(void)
{
	uint64_t end_ns = witness_now_ns(CLOCK_MONOTONIC) +
			  (option.warm_up + option.seconds) * ASYNCTIMER_SECOND;
	pid_t pid = must(fork(), "fork");
	uint64_t state = option.seed;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (witness_now_ns(CLOCK_MONOTONIC) < end_ns) {
		pause_ns(random_below(&state, 10 * option.freeze * ASYNCTIMER_SECOND));
		kill(getppid(), SIGSTOP);
		pause_ns(random_below(&state, option.freeze * ASYNCTIMER_SECOND));
		kill(getppid(), SIGCONT);
	}
	_exit(0);
}

static void read_options(int argc, char **argv)
{
	int letter;

	while ((letter = getopt(argc, argv, "n:t:w:s:z:")) != -1) {
		unsigned *value = letter == 'n' ? &option.timers
				  : letter == 't' ? &option.seconds
				  : letter == 'w' ? &option.warm_up
				  : letter == 's' ? &option.seed
				  : letter == 'z' ? &option.freeze : NULL;

		if (!value || sscanf(optarg, "%u", value) != 1) {
			fprintf(stderr, "usage: soak [-n TIMERS] [-t SECONDS] [-w WARM-UP] [-s SEED] [-z FREEZE]\n");
			exit(2);
		}
	}
	if (option.timers < 2 || !option.seed)
		die("at least 2 timers, and a seed but 0", -EINVAL);
}

int main(int argc, char **argv)
{
	pthread_t runners[2], completer, churner, watcher;
	struct usage warm, last;
	pid_t freezer;
	int clock_fd;
	bool set;

	read_options(argc, argv);
	freezer = option.freeze ? start_freezer() : 0;
	clock_fd = watch_clock();
	must(asynctimer_reactor_new(&reactor), "reactor_new");
	places = calloc(option.timers, sizeof(*places));
	if (!places)
		die("memory", -ENOMEM);
	watch_new();
	make_all();
	for (unsigned i = 0; i < 2; i++)
		must(-pthread_create(&runners[i], NULL, run, NULL), "thread");
	must(-pthread_create(&completer, NULL, complete_deferred, NULL), "thread");
	must(-pthread_create(&churner, NULL, churn_until_end, NULL), "thread");
	must(-pthread_create(&watcher, NULL, watch_until_end, NULL), "thread");

	pause_ns(option.warm_up * ASYNCTIMER_SECOND);
	warm = measure();
	pause_ns(option.seconds * ASYNCTIMER_SECOND);
	last = measure();
	if (freezer)
		waitpid(freezer, NULL, 0);

	__atomic_store_n(&end, true, __ATOMIC_RELEASE);
	pthread_join(churner, NULL);
	pthread_join(watcher, NULL);
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
	balance_reactor();
	set = clock_was_set(clock_fd);
	must(asynctimer_reactor_free(reactor), "reactor_free");
	close(clock_fd);
	free(places);
	return report(&warm, &last, set) != 0;
}
