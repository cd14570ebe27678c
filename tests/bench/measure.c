/* SPDX-License-Identifier: MIT */
/* The parent's part: what its child costs, by /proc and the child's CPU clock. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

uint64_t rss(pid_t pid)
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

clockid_t cpu_clock_of(pid_t pid)
{
	clockid_t clock;

	must(-clock_getcpuclockid(pid, &clock), "clock_getcpuclockid");
	return clock;
}

uint64_t cpu_now(clockid_t clock)
{
	struct timespec now;

	must(clock_gettime(clock, &now), "clock_gettime");
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t ns)
{
	struct timespec until = { (time_t)(ns / SECOND), (long)(ns % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

/* Exits as the child did if it has ended. */
void check_alive(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid)
		exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

void wait_until_ready(const struct bench *of, pid_t pid)
{
	while (!of->ready) {
		sleep_until(now_ns() + MS);
		check_alive(pid);
	}
}

void end_child(pid_t pid)
{
	check_alive(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
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

struct usage usage_of(const struct bench *of, pid_t pid, clockid_t clock)
{
	struct usage usage = { cpu_now(clock), switches_of(pid), 0 };

	for (int i = 0; i < MAX_THREADS; i++)
		usage.ticks += of->slots[i].ticks;
	return usage;
}

/* What CPU time and wake-ups the ticks of the job's seconds took. */
static struct usage usage_of_phase(const struct job *job, pid_t pid, clockid_t clock, uint64_t *ns)
{
	uint64_t begin_ns = now_ns();
	struct usage begin = usage_of(bench, pid, clock);

	sleep_until(begin_ns + (uint64_t)(job->seconds * SECOND));
	struct usage end = usage_of(bench, pid, clock);

	check_alive(pid);
	*ns = now_ns() - begin_ns;
	return (struct usage){ end.cpu_ns - begin.cpu_ns, end.switches - begin.switches,
			       end.ticks - begin.ticks };
}

double per(uint64_t n, uint64_t of)
{
	return of ? (double)n / (double)of : 0;
}

/* Two steady phases: the CPU cost of ticks that only count, then when each tick comes. */
void measure_ticks(const struct job *job, pid_t pid)
{
	clockid_t clock = cpu_clock_of(pid);
	uint64_t count_ns, observe_ns;
	uint64_t from_ns = bench->base_ns > now_ns() ? bench->base_ns : now_ns();

	sleep_until(from_ns + job->longest_ns + SECOND / 2);
	struct usage counted = usage_of_phase(job, pid, clock, &count_ns);
	double bytes = (double)(rss(pid) - bench->rss_before) / job->timers;

	bench->work = OBSERVE;
	struct usage observed = usage_of_phase(job, pid, clock, &observe_ns);

	bench->work = COUNT;
	end_child(pid);
	struct slot *slot = sum_of_slots();
	double expected = 0;

	/* A timer that was starved to the end has told nothing. */
	for (unsigned i = 0; i < job->timers; i++)
		expected += (double)observe_ns / (double)interval_of(job, i) - 1;
	if (expected > (double)(slot->delivered + slot->skipped))
		slot->skipped = (uint64_t)expected - slot->delivered;
	/* The record is the user's, in a malloc chunk of its own size + 8. */
	printf("cost=%.1f\tobserved=%.1f\twakeups=%.1f\tbytes=%.1f\tmalloced=%.1f\t",
	       per(counted.cpu_ns, counted.ticks), per(observed.cpu_ns, observed.ticks),
	       per(counted.switches * SECOND, count_ns), bytes - sizeof(struct record) - 8,
	       (double)bench->malloced / job->timers - sizeof(struct record) - 8);
	printf("least=%.1f\t", bench->least_wakeups);
	print_slot(slot);
	print_quantiles(slot);
}

void measure_stall(pid_t pid)
{
	while (bench->slots[0].ticks <= NOTED) {
		sleep_until(now_ns() + 10 * MS);
		check_alive(pid);
	}
	end_child(pid);
	printf("series=");
	for (int i = 0; i < NOTED; i++)
		printf("%lld%s", (long long)(bench->times[i] - bench->base_ns),
		       i < NOTED - 1 ? "," : "\t");
}

