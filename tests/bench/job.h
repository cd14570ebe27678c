/* SPDX-License-Identifier: MIT */
/* What bench.py asks of a run, and how the parts of bench_main help one another. */
#ifndef JOB_H
#define JOB_H

#include <sys/types.h>

#include "bench.h"

struct job {
	const char *work;
	unsigned processes;	/* with so many timers each */
	unsigned timers, kinds;	/* kinds: distinct intervals; 0: all different */
	double hz, seconds;
	uint64_t longest_ns, seed;
	uint64_t begin_ns;	/* when several programs begin to measure at once */
	int scattered;		/* phases at random, not spread evenly */
};

/* bench.c: the timers, and the processes, of which the number index has bench[index]. */
uint64_t interval_of(const struct job *job, unsigned index);
struct record **set_up(const struct job *job);
uint64_t random_below(uint64_t n);
pid_t start_child(const struct job *job, unsigned index);

/* observe.c: when ticks came; print_* are columns of bench.py, "name=value" and a tab each. */
struct slot *sum_of_slots(void);
void print_slot(const struct slot *slot);
void print_quantiles(const struct slot *slot);

/* optimum.c: per second. */
double least_wakeups(const struct job *job, struct record **records);

/* restart.c: the first for calls without a loop; then the child's part of idle timeouts, and the parent's. */
void measure_restart(const struct job *job);
void serve_idle(const struct job *job, struct record **records);
void serve(struct record *record);
void measure_idle(const struct job *job, pid_t pid);

/* machine.c */
void measure_machine(const struct job *job);

/* measure.c: the parent, which watches its child from outside. */
struct usage {
	uint64_t cpu_ns, switches, ticks;
};
struct usage usage_of(const struct bench *of, pid_t pid, clockid_t clock);
clockid_t cpu_clock_of(pid_t pid);
uint64_t cpu_now(clockid_t clock);
uint64_t rss(pid_t pid);
void sleep_until(uint64_t ns);
void check_alive(pid_t pid);
void wait_until_ready(const struct bench *of, pid_t pid);
void end_child(pid_t pid);
double per(uint64_t n, uint64_t of);
void measure_ticks(const struct job *job, pid_t pid);
void measure_stall(pid_t pid);

#endif
