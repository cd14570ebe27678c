/* SPDX-License-Identifier: MIT */
/* A run from its arguments to its line of results; the timers, and who makes them. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "job.h"

struct bench *bench;
const struct peer *bench_peer;
uint64_t bench_slack_ns;
__thread struct slot *bench_slot;
static uint64_t state = 0x9E3779B97F4A7C15;	/* of random_below */

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

static uint64_t round_up(uint64_t ns, uint64_t unit)
{
	return (ns + unit - 1) / unit * unit;
}

/* Intervals within an eighth of 1/hz, so that all kinds make about as many ticks. */
uint64_t interval_of(const struct job *job, unsigned index)
{
	uint64_t ns = (uint64_t)(SECOND / job->hz);
	unsigned kinds = job->kinds ? job->kinds : job->timers;

	if (index == 0 && !strcmp(job->work, "idle"))
		return MS;
	if (kinds > 1)
		ns += ns / 4 * (index % kinds) / kinds - ns / 8;
	return round_up(ns, bench_peer->unit_ns);
}

uint64_t random_below(uint64_t n)
{
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

static void shuffle(unsigned *phases, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned j = (unsigned)random_below(i + 1);

		phases[i] = phases[j];
		phases[j] = i;
	}
}

/* The timers lie in memory, and are made, in an order that has nothing to do with when they are due. */
struct record **set_up(const struct job *job)
{
	struct record **records = malloc(job->timers * sizeof(*records));
	unsigned *phases = malloc(job->timers * sizeof(*phases));

	if (bench_peer->needs_descriptors)
		raise_descriptors(job);
	shuffle(phases, job->timers);
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
		uint64_t phase_ns = job->scattered ? random_below(record->interval_ns) :
			(uint64_t)((double)record->interval_ns * phases[i] / job->timers);

		record->anchor_ns = bench->base_ns + round_up(phase_ns, bench_peer->unit_ns);
		record->due_ns = record->anchor_ns;
		bench_peer->add(record);
		records[i] = record;
	}
	struct mallinfo2 after = mallinfo2();

	bench->malloced = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	return records;
}

static _Noreturn void child(const struct job *job)
{
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
	struct record **records = set_up(job);

	if (!strcmp(job->work, "coalesce"))
		bench->least_wakeups = least_wakeups(job, records);
	if (!strcmp(job->work, "idle"))
		serve_idle(job, records);
	bench->ready = 1;
	bench_peer->run();
	must(-EPIPE, "the loop ended");
	_exit(1);
}

pid_t start_child(const struct job *job, unsigned index)
{
	pid_t pid = must(fork(), "fork");

	if (pid)
		return pid;
	bench += index;
	bench_slot = &bench->slots[0];
	state = (job->seed * job->processes + index + 1) * 0x9E3779B97F4A7C15;
	child(job);
}

static void measure(const struct job *job)
{
	if (bench->work == NOTE) {
		measure_machine(job);
		return;
	}
	pid_t pid = start_child(job, 0);

	wait_until_ready(bench, pid);
	if (bench->work == STALL)
		measure_stall(pid);
	else if (bench->work == SERVE)
		measure_idle(job, pid);
	else
		measure_ticks(job, pid);
}

/* For valgrind, which counts what this process does. */
static _Noreturn void run_ticks(const struct job *job, uint64_t ticks)
{
	bench_slot = &bench->slots[0];
	bench->end_ticks = ticks;
	/* cppcheck-suppress leakReturnValNotUsed ; the process ends here */
	set_up(job);
	bench_peer->run();
	must(-EPIPE, "the loop ended");
	_exit(1);
}

/* What the callbacks do beside counting, in the beginning. */
static int tick_work(const struct job *job)
{
	static const struct {
		const char *name;
		int work;
	} works[] = { { "machine", NOTE }, { "stall", STALL }, { "idle", SERVE }, { "count", END } };

	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (!strcmp(works[i].name, job->work))
			return works[i].work;
	return COUNT;
}

/* The value of an argument "name=value". */
static const char *option(char **argv, const char *name)
{
	size_t length = strlen(name);

	for (char **arg = argv + 1; *arg; arg++)
		if (!strncmp(*arg, name, length) && (*arg)[length] == '=')
			return *arg + length + 1;
	fprintf(stderr, "%s= is missing\n", name);
	exit(2);
}

static void fill_in(struct job *job, char **argv, const struct peer *peers, size_t count)
{
	job->work = option(argv, "work");
	job->processes = (unsigned)strtoul(option(argv, "processes"), NULL, 10);
	job->begin_ns = strtoull(option(argv, "begin_ns"), NULL, 10);
	job->timers = (unsigned)strtoul(option(argv, "timers"), NULL, 10);
	job->hz = strtod(option(argv, "hz"), NULL);
	job->kinds = (unsigned)strtoul(option(argv, "kinds"), NULL, 10);
	bench_slack_ns = strtoull(option(argv, "slack_us"), NULL, 10) * US;
	job->seconds = strtod(option(argv, "seconds"), NULL);
	job->seed = strtoull(option(argv, "seed"), NULL, 10);
	job->scattered = !strcmp(job->work, "coalesce") || !strcmp(job->work, "machine");
	for (size_t i = 0; i < count; i++)
		if (!strcmp(peers[i].name, option(argv, "library")))
			bench_peer = &peers[i];
	if (!bench_peer || !job->processes || !job->timers || !(job->hz > 0))
		cannot("no such library, or no work");
	if (bench_peer->max_timers && job->timers > bench_peer->max_timers)
		cannot("too many timers for this library");
	if (SECOND / job->hz < (double)bench_peer->unit_ns)
		cannot("interval too short for this library");
	for (unsigned i = 0; i < job->timers; i++)
		if (interval_of(job, i) > job->longest_ns)
			job->longest_ns = interval_of(job, i);
}

int bench_main(int argc, char **argv, const struct peer *peers, size_t count)
{
	struct job job = { 0 };

	if (argc == 1) {
		for (size_t i = 0; i < count; i++)
			printf("%s\n", peers[i].name);
		return 0;
	}
	fill_in(&job, argv, peers, count);
	bench = mmap(NULL, job.processes * sizeof(*bench), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench == MAP_FAILED)
		must(-1, "mmap");
	for (unsigned i = 0; i < job.processes; i++) {
		bench[i].early_from_ns = bench_peer->early_from_ns ? bench_peer->early_from_ns : US;
		bench[i].work = tick_work(&job);
	}
	if (!strncmp(job.work, "restart", 7) || !strncmp(job.work, "again", 5))
		measure_restart(&job);
	else if (!strcmp(job.work, "count"))
		run_ticks(&job, strtoull(option(argv, "ticks"), NULL, 10));
	else
		measure(&job);
	printf("\n");
	return 0;
}
