/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define STALL_AT 500
#define STALL_NS (35 * MS)
#define WORK_NS (2 * MS)
#define RESTARTS (1 << 20)

struct bench *bench;
const struct peer *bench_peer;
uint64_t bench_slack_ns;
__thread struct slot *bench_slot;

struct job {
	const char *name, *library, *work;
	unsigned timers, kinds;	/* distinct intervals; 0: all different */
	double hz, seconds;
	uint64_t longest_ns;
};

struct usage {
	uint64_t cpu_ns, switches, ticks;
};

int must(int r, const char *what)
{
	if (r >= 0)
		return r;
	fprintf(stderr, "%s: %s\n", what, strerror(r == -1 ? errno : -r));
	exit(1);
}

void cannot(const char *why)
{
	fprintf(stderr, "%s\n", why);
	exit(77);
}

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

	late_ns -= skipped * record->interval_ns;
	record->last += skipped + 1;
	record->last_ns = now;
	slot->skipped += skipped;
	slot->delivered++;
	slot->histogram[bucket(late_ns)]++;
	if (late_ns > slot->max_ns)
		slot->max_ns = late_ns;
}

/* Work of 2 ms, and once of 35 ms, on a timer of 10 ms. */
static void stall(uint64_t now)
{
	uint64_t index = bench_slot->ticks - 1;

	if (index >= STALL_TICKS)
		return;
	bench->times[index] = now;
	uint64_t until = now + (index == STALL_AT ? STALL_NS : WORK_NS);

	while (now_ns() < until)
		;
}

void bench_look(struct record *record)
{
	uint64_t now = now_ns();

	if (bench->work == STALL)
		stall(now);
	else
		observe(record, now);
}

static uint64_t rss(pid_t pid)
{
	char path[64];
	unsigned long size, resident = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		must(-EIO, path);
	fclose(file);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t round_up(uint64_t ns, uint64_t unit)
{
	return (ns + unit - 1) / unit * unit;
}

/* Intervals within an eighth of 1/hz, so that all kinds make about as many ticks. */
static uint64_t interval_of(const struct job *job, unsigned index)
{
	uint64_t ns = (uint64_t)(SECOND / job->hz);
	unsigned kinds = job->kinds ? job->kinds : job->timers;

	if (kinds > 1)
		ns += ns / 4 * (index % kinds) / kinds - ns / 8;
	return round_up(ns, bench_peer->unit_ns);
}

static uint64_t random_below(uint64_t n)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void raise_descriptors(const struct job *job)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	if (limit.rlim_max < job->timers + 64)
		cannot("more timers than the hard limit of descriptors");
	limit.rlim_cur = limit.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

/* The timers lie in memory, and are made, in an order that has nothing to do with when they are due. */
static struct record **set_up(const struct job *job)
{
	struct record **records = malloc(job->timers * sizeof(*records));
	unsigned *phases = malloc(job->timers * sizeof(*phases));

	for (unsigned i = 0; i < job->timers; i++) {
		unsigned j = (unsigned)random_below(i + 1);

		phases[i] = phases[j];
		phases[j] = i;
	}
	memset(records, 1, job->timers * sizeof(*records));
	bench->rss_before = rss(getpid());
	struct mallinfo2 before = mallinfo2();

	if (bench_peer->open)
		bench_peer->open();
	/* Time enough to make them all before the first is due. */
	bench->base_ns = round_up(now_ns() + 100 * MS + job->timers * 2 * US, MS);
	for (unsigned i = 0; i < job->timers; i++) {
		struct record *record = calloc(1, sizeof(*record) + bench_peer->size);

		record->interval_ns = interval_of(job, i);
		record->anchor_ns = bench->base_ns +
			round_up((uint64_t)((double)record->interval_ns * phases[i] / job->timers),
				 bench_peer->unit_ns);
		record->due_ns = record->anchor_ns;
		bench_peer->add(record);
		records[i] = record;
	}
	struct mallinfo2 after = mallinfo2();

	bench->malloced = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	return records;
}

static uint64_t cpu_now(clockid_t clock)
{
	struct timespec now;

	must(clock_gettime(clock, &now), "clock_gettime");
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void measure_restart(const struct job *job, struct record **records)
{
	unsigned among = strcmp(job->work, "restart_one") ? job->timers : 1;

	for (unsigned i = 0; i < job->timers; i++)
		bench_peer->restart(records[i]);
	uint64_t begin = cpu_now(CLOCK_PROCESS_CPUTIME_ID);

	for (unsigned i = 0; i < RESTARTS; i++)
		bench_peer->restart(records[i % among]);
	bench->restart_ns = cpu_now(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

static _Noreturn void child(const struct job *job)
{
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
	bench_slot = &bench->slots[0];
	if (bench_peer->needs_descriptors)
		raise_descriptors(job);
	struct record **records = set_up(job);

	if (!strncmp(job->work, "restart", 7)) {
		measure_restart(job, records);
		_exit(0);
	}
	bench->ready = 1;
	bench_peer->run();
	must(-EPIPE, "the loop ended");
	_exit(1);
}

static void sleep_until(uint64_t ns)
{
	struct timespec until = { (time_t)(ns / SECOND), (long)(ns % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

/* Exits as the child did if it has ended. */
static void check_alive(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid)
		exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

static uint64_t switches_of(pid_t pid)
{
	char path[300], line[256];
	uint64_t sum = 0;
	unsigned long long n;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
		FILE *file = fopen(path, "r");

		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1)
				sum += n;
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return sum;
}

static struct usage usage_of(pid_t pid, clockid_t clock)
{
	struct usage usage = { cpu_now(clock), switches_of(pid), 0 };

	for (int i = 0; i < MAX_THREADS; i++)
		usage.ticks += bench->slots[i].ticks;
	return usage;
}

/* What CPU time and wake-ups the ticks of the job's seconds took. */
static struct usage usage_of_phase(const struct job *job, pid_t pid, clockid_t clock, uint64_t *ns)
{
	uint64_t begin_ns = now_ns();
	struct usage begin = usage_of(pid, clock);

	sleep_until(begin_ns + (uint64_t)(job->seconds * SECOND));
	struct usage end = usage_of(pid, clock);

	check_alive(pid);
	*ns = now_ns() - begin_ns;
	return (struct usage){ end.cpu_ns - begin.cpu_ns, end.switches - begin.switches,
			       end.ticks - begin.ticks };
}

static struct slot *sum_of_slots(void)
{
	struct slot *sum = &bench->slots[0];

	for (struct slot *slot = sum + 1; slot < sum + MAX_THREADS; slot++) {
		sum->delivered += slot->delivered;
		sum->skipped += slot->skipped;
		sum->early += slot->early;
		sum->extra += slot->extra;
		if (slot->max_ns > sum->max_ns)
			sum->max_ns = slot->max_ns;
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

/* The columns are named in bench.py. */
static void print(const struct job *job, double cost_ns, double observed_ns, double wakeups,
		  const struct slot *slot, double bytes)
{
	printf("%s\t%s\t%u\t%g\t%u\t%.1f\t%.1f\t%.1f\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%.1f\t%.1f\t",
	       job->name, job->library, job->timers, job->hz, job->kinds, cost_ns, observed_ns, wakeups,
	       (unsigned long long)slot->delivered, (unsigned long long)slot->skipped,
	       (unsigned long long)slot->early, (unsigned long long)slot->extra,
	       (unsigned long long)quantile(slot, 500), (unsigned long long)quantile(slot, 990),
	       (unsigned long long)slot->max_ns, bytes,
	       bytes > 0 ? (double)bench->malloced / job->timers - sizeof(struct record) - 8 : 0);
}

static double per(uint64_t n, uint64_t of)
{
	return of ? (double)n / (double)of : 0;
}

/* Two steady phases: the CPU cost of ticks that only count, then when each tick comes. */
static void measure_ticks(const struct job *job, pid_t pid)
{
	clockid_t clock;
	uint64_t count_ns, observe_ns;

	if (clock_getcpuclockid(pid, &clock))
		must(-ESRCH, "clock_getcpuclockid");
	uint64_t from_ns = bench->base_ns > now_ns() ? bench->base_ns : now_ns();

	sleep_until(from_ns + job->longest_ns + SECOND / 2);
	struct usage counted = usage_of_phase(job, pid, clock, &count_ns);
	double bytes = (double)(rss(pid) - bench->rss_before) / job->timers;

	bench->work = OBSERVE;
	struct usage observed = usage_of_phase(job, pid, clock, &observe_ns);

	bench->work = COUNT;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	struct slot *slot = sum_of_slots();
	double expected = 0;

	/* A timer that was starved to the end has told nothing. */
	for (unsigned i = 0; i < job->timers; i++)
		expected += (double)observe_ns / (double)interval_of(job, i) - 1;
	if (expected > (double)(slot->delivered + slot->skipped))
		slot->skipped = (uint64_t)expected - slot->delivered;
	/* The record is the user's, in a malloc chunk of its own size + 8. */
	print(job, per(counted.cpu_ns, counted.ticks), per(observed.cpu_ns, observed.ticks),
	      per(counted.switches * SECOND, count_ns), slot, bytes - sizeof(struct record) - 8);
	for (unsigned i = 0; i <= 1000; i += 10)
		printf("%llu%s", (unsigned long long)quantile(slot, i), i < 1000 ? "," : "\n");
}

static void measure_stall(const struct job *job, pid_t pid)
{
	while (bench->slots[0].ticks <= STALL_TICKS) {
		sleep_until(now_ns() + 10 * MS);
		check_alive(pid);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	print(job, 0, 0, 0, sum_of_slots(), 0);
	for (int i = 0; i < STALL_TICKS; i++)
		printf("%lld%s", (long long)(bench->times[i] - bench->base_ns),
		       i < STALL_TICKS - 1 ? "," : "\n");
}

static void fill_in(struct job *job, char **argv, const struct peer *peers, size_t count)
{
	job->name = argv[1];
	job->library = argv[2];
	job->work = argv[3];
	job->timers = (unsigned)strtoul(argv[4], NULL, 10);
	job->hz = strtod(argv[5], NULL);
	job->kinds = (unsigned)strtoul(argv[6], NULL, 10);
	bench_slack_ns = strtoull(argv[7], NULL, 10) * US;
	job->seconds = strtod(argv[8], NULL);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(peers[i].name, job->library))
			bench_peer = &peers[i];
	if (!bench_peer || !job->timers || !(job->hz > 0))
		cannot("no such library, or no work");
	if (bench_peer->max_timers && job->timers > bench_peer->max_timers)
		cannot("too many timers for this library");
	if (SECOND / job->hz < (double)bench_peer->unit_ns)
		cannot("interval too short for this library");
	if (!bench_peer->restart && !strncmp(job->work, "restart", 7))
		cannot("no stop in this library");
	for (unsigned i = 0; i < job->timers; i++)
		if (interval_of(job, i) > job->longest_ns)
			job->longest_ns = interval_of(job, i);
}

int bench_main(int argc, char **argv, const struct peer *peers, size_t count)
{
	struct job job = { 0 };

	if (argc != 9) {
		for (size_t i = 0; i < count; i++)
			printf("%s\n", peers[i].name);
		return argc == 1 ? 0 : 2;
	}
	fill_in(&job, argv, peers, count);
	bench = mmap(NULL, sizeof(*bench), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench == MAP_FAILED)
		must(-1, "mmap");
	bench->early_from_ns = bench_peer->early_from_ns ? bench_peer->early_from_ns : US;
	bench->work = strcmp(job.work, "stall") ? COUNT : STALL;
	pid_t pid = must(fork(), "fork");

	if (pid == 0)
		child(&job);
	if (!strncmp(job.work, "restart", 7)) {
		int status;

		must(waitpid(pid, &status, 0), "waitpid");
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		print(&job, (double)bench->restart_ns / RESTARTS, 0, 0, sum_of_slots(), 0);
		printf("\n");
		return 0;
	}
	while (!bench->ready) {
		sleep_until(now_ns() + MS);
		check_alive(pid);
	}
	if (bench->work == STALL)
		measure_stall(&job, pid);
	else
		measure_ticks(&job, pid);
	return 0;
}
