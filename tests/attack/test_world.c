/* SPDX-License-Identifier: MIT */
/*
 * A world that stops, throttles, forks, interrupts and starves: no tick is
 * lost, none comes early, none is counted twice. ASYNCTIMER_LONG_TESTS=1
 * attacks for long.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"
#include "witness.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define CGROUP2_MAGIC 0x63677270

static unsigned scaled(unsigned quick, unsigned lengthy)
{
	return getenv("ASYNCTIMER_LONG_TESTS") ? lengthy : quick;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec span = { .tv_sec = (time_t)(ns / ASYNCTIMER_SECOND),
				 .tv_nsec = (long)(ns % ASYNCTIMER_SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &span) == EINTR)
		;
}

static uint64_t random_ns(uint64_t most_ns)
{
	return (uint64_t)random() % most_ns;
}

/* Own and shared timers of all clocks and both policies. In memory that forked processes share. */
#define TIMERS 15

struct fleet {
	struct witness witness[TIMERS];
	struct asynctimer *control;
	bool end;		/* atomic: its run shall return */
	bool ready;		/* atomic: it runs */
	int failed;		/* the result of what may not fail */
	uint64_t in_children;	/* atomic: callbacks there, and calls that worked */
	pid_t pid;		/* whose callbacks they are */
	int64_t clocks_apart_ns;
};

static struct fleet *fleet;

static struct fleet *fleet_map(void)
{
	void *memory = mmap(NULL, sizeof(*fleet), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

static void count_in_child(void)
{
	__atomic_add_fetch(&fleet->in_children, 1, __ATOMIC_RELAXED);
}

static int count_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	if (getpid() != fleet->pid)
		count_in_child();
	return witness_tick(timer, tick, data);
}

static int end_if_told(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)tick;
	(void)data;
	if (__atomic_load_n(&fleet->end, __ATOMIC_ACQUIRE))
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return ASYNCTIMER_DONE;
}

static int add_timer(unsigned i, asynctimer_callback callback)
{
	static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	struct witness *witness = &fleet->witness[i];
	uint64_t slack_ns = i / 5 == 2 ? MS : 0;

	*witness = (struct witness){
		.interval_ns = 2 * MS + i * 137 * US,
		.clock = clocks[i % 5 / 2],
		.policy = i % 5 % 2 ? ASYNCTIMER_FIXED_DELAY : ASYNCTIMER_FIXED_SCHEDULE,
	};
	if (i / 5 == 0)
		return asynctimer_new(reactor, witness->clock, witness->interval_ns, witness->policy,
				      callback, witness, &witness->timer);
	return asynctimer_new_shared(reactor, witness->clock, witness->interval_ns, witness->policy,
				     slack_ns, callback, witness, &witness->timer);
}

/* On `reactor`, started; with a timer that ends run when told to. 0, or a negative errno. */
static int fleet_start(asynctimer_callback callback)
{
	int r;

	fleet->pid = getpid();
	for (unsigned i = 0; i < TIMERS; i++) {
		r = add_timer(i, callback);
		if (r == 0)
			r = witness_start(&fleet->witness[i]);
		if (r < 0)
			return r;
	}
	r = asynctimer_new(reactor, CLOCK_MONOTONIC, 3 * MS, ASYNCTIMER_FIXED_SCHEDULE,
			   end_if_told, NULL, &fleet->control);
	return r < 0 ? r : asynctimer_start(fleet->control);
}

static bool caught_up(const uint64_t *until_ns)
{
	for (unsigned i = 0; i < TIMERS; i++)
		if (!witness_caught_up(&fleet->witness[i], until_ns[i]))
			return false;
	return true;
}

/* Stops those of which all that is due by until_ns is delivered; how many are left. */
static int balance(const uint64_t *until_ns)
{
	int left = 0;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct witness *witness = &fleet->witness[i];

		if (!asynctimer_is_started(witness->timer))
			continue;
		if (witness->broken || witness_caught_up(witness, until_ns[i])) {
			witness_balance(witness);
			asynctimer_stop(witness->timer);
		} else {
			left++;
		}
	}
	return left;
}

/* The attack is over: what is due by now is delivered, and the counts must agree. */
static int fleet_balance(void)
{
	uint64_t hung_ns = now_mono() + 30 * ASYNCTIMER_SECOND;
	uint64_t until_ns[TIMERS];

	asynctimer_free(fleet->control);
	for (unsigned i = 0; i < TIMERS; i++)
		until_ns[i] = now_on(fleet->witness[i].clock);
	while (balance(until_ns)) {
		int r = asynctimer_reactor_dispatch(reactor, (int64_t)(10 * MS));

		if (r < 0 && r != -EINTR)
			return r;
		if (now_mono() > hung_ns)
			return -ETIMEDOUT;
	}
	return 0;
}

/* Says, and has in the table, what was counted; fails where that was wrong. */
static void fleet_report(const char *name)
{
	uint64_t callbacks = 0, busy = 0, late = 0, early = 0, broken = 0;
	const char *what = NULL;

	for (unsigned i = 0; i < TIMERS; i++) {
		const struct witness *witness = &fleet->witness[i];

		callbacks += witness->callbacks;
		busy += witness->skipped_busy;
		late += witness->skipped_late;
		early += witness->early;
		broken += witness->broken;
		what = what ? what : witness->what;
	}
	broken += fleet->in_children;
	printf("%s: %llu callbacks, %llu busy, %llu late; %llu early, %llu broken%s%s\n", name,
	       (unsigned long long)callbacks, (unsigned long long)busy, (unsigned long long)late,
	       (unsigned long long)early, (unsigned long long)broken, what ? ": " : "",
	       what ? what : "");
	fflush(stdout);
	table_add("world", name, callbacks + busy + late, early + broken);
	ck_assert_int_eq(fleet->failed, 0);
	ck_assert_uint_gt(callbacks, 0);
	ck_assert_msg(!early && !broken, "%s", what ? what : "early, or in a child");
}

static uint64_t skipped_late(void)
{
	uint64_t late = 0;

	for (unsigned i = 0; i < TIMERS; i++)
		late += fleet->witness[i].skipped_late;
	return late;
}

/* One test of several that can't run here. */
static void skip(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void skip(const char *name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("SKIP: %s: ", name);
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
}

/* A daemon: a process with two threads in run. */

static void *run_for_fleet(void *unused)
{
	int r = asynctimer_reactor_run(reactor);

	(void)unused;
	if (r < 0)
		__atomic_store_n(&fleet->failed, r, __ATOMIC_RELAXED);
	return NULL;
}

static int daemon_run(void)
{
	pthread_t thread;
	int r = fleet_start(count_tick);

	if (r < 0)
		return r;
	if (pthread_create(&thread, NULL, run_for_fleet, NULL))
		return -EAGAIN;
	__atomic_store_n(&fleet->ready, true, __ATOMIC_RELEASE);
	r = asynctimer_reactor_run(reactor);
	pthread_join(thread, NULL);
	asynctimer_reactor_restart(reactor);
	return r < 0 ? r : fleet_balance();
}

_Noreturn static void daemon_main(void)
{
	int r;

	asynctimer_reactor_free(reactor);	/* the parent's */
	r = asynctimer_reactor_new(&reactor);
	if (r == 0)
		r = daemon_run();
	if (r < 0)
		fleet->failed = r;
	_exit(r < 0 || asynctimer_reactor_free(reactor) != 0);
}

static pid_t daemon_start(void)
{
	pid_t child;

	fleet = fleet_map();
	child = must(fork());
	if (child == 0)
		daemon_main();
	while (!__atomic_load_n(&fleet->ready, __ATOMIC_ACQUIRE)) {
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
		sched_yield();
	}
	return child;
}

static int daemon_end(pid_t child)
{
	int status;

	__atomic_store_n(&fleet->end, true, __ATOMIC_RELEASE);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

START_TEST(stopped_at_random)
{
	pid_t child = daemon_start();
	unsigned rounds = scaled(30, 3000);

	for (unsigned i = 0; i < rounds; i++) {
		int status;

		sleep_ns(random_ns(15 * MS));
		ck_assert_int_eq(kill(child, SIGSTOP), 0);
		ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
		ck_assert(WIFSTOPPED(status));
		sleep_ns(random_ns(30 * MS));
		ck_assert_int_eq(kill(child, SIGCONT), 0);
	}
	ck_assert_int_eq(daemon_end(child), 0);
	fleet_report("SIGSTOP");
	ck_assert_uint_gt(skipped_late(), 0);
}
END_TEST

/* A control group of its own for a child. */

static char group[3000];

static int group_write(const char *file, const char *value)
{
	char path[sizeof(group) + 32];
	ssize_t r;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write(fd, value, strlen(value));
	r = r < 0 ? -errno : 0;
	close(fd);
	return (int)r;
}

/* What follows key in a file of "key value" lines, or of a value alone. */
static long group_read(const char *file, const char *key)
{
	char path[sizeof(group) + 32], line[128];
	long value = -1;
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	stream = fopen(path, "re");
	while (stream && value < 0 && fgets(line, sizeof(line), stream))
		if (strncmp(line, key, strlen(key)) == 0)
			value = strcmp(line, "FROZEN\n") ? atol(line + strlen(key)) : 1;
	if (stream)
		fclose(stream);
	return value;
}

/* Of version 1, or under the group that this process is in of version 2. */
static bool group_new(const char *controller, bool *version2)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;
	char line[2048];
	FILE *own;

	*version2 = false;
	snprintf(group, sizeof(group), "/sys/fs/cgroup/%s/asynctimer-%d", controller, getpid());
	if (mkdir(group, 0755) == 0)
		return true;
	*version2 = true;
	own = fopen("/proc/self/cgroup", "re");
	while (own && fgets(line, sizeof(line), own)) {
		line[strcspn(line, "\n")] = '\0';
		for (unsigned i = 0; i < 2 && strncmp(line, "0::", 3) == 0; i++) {
			snprintf(group, sizeof(group), "%s%s/asynctimer-%d", mounts[i], line + 3,
				 getpid());
			if (statfs(mounts[i], &fs) < 0 || fs.f_type != CGROUP2_MAGIC ||
			    mkdir(group, 0755) < 0)
				continue;
			fclose(own);
			return true;
		}
	}
	if (own)
		fclose(own);
	return false;
}

static void group_free(void)
{
	uint64_t hung_ns = now_mono() + 10 * ASYNCTIMER_SECOND;

	/* Busy until its last process is really gone. */
	while (rmdir(group) < 0 && errno == EBUSY && now_mono() < hung_ns)
		sched_yield();
}

static int group_join(pid_t child)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)child);
	return group_write("cgroup.procs", pid);
}

static bool freeze(bool version2, bool frozen)
{
	uint64_t hung_ns = now_mono() + 10 * ASYNCTIMER_SECOND;
	int r = version2 ? group_write("cgroup.freeze", frozen ? "1" : "0")
			 : group_write("freezer.state", frozen ? "FROZEN" : "THAWED");

	while (r == 0 && frozen && now_mono() < hung_ns) {
		if (version2 ? group_read("cgroup.events", "frozen ") == 1
			     : group_read("freezer.state", "FROZEN") == 1)
			return true;
		sched_yield();
	}
	return r == 0 && !frozen;
}

START_TEST(frozen_at_random)
{
	unsigned rounds = scaled(15, 1500), i = 0;
	bool version2, joined;
	pid_t child;
	int status;

	if (!group_new("freezer", &version2)) {
		skip("freezer", "no control group can be made");
		return;
	}
	child = daemon_start();
	joined = group_join(child) == 0;
	for (; joined && i < rounds && freeze(version2, true); i++) {
		sleep_ns(random_ns(40 * MS));
		if (!freeze(version2, false))
			break;
		sleep_ns(random_ns(20 * MS));
	}
	freeze(version2, false);
	status = daemon_end(child);
	group_free();
	ck_assert_int_eq(status, 0);
	if (i == 0) {
		skip("freezer", "%s can't be frozen", group);
		return;
	}
	fleet_report("freezer");
	ck_assert_uint_eq(i, rounds);
	ck_assert_uint_gt(skipped_late(), 0);
}
END_TEST

static int throttle(bool version2)
{
	int r;

	if (version2)
		return group_write("cpu.max", "3000 20000");
	r = group_write("cpu.cfs_period_us", "20000");
	return r < 0 ? r : group_write("cpu.cfs_quota_us", "3000");
}

/* A process that eats the quota of the daemon's group. */
static pid_t glutton_start(void)
{
	pid_t child = must(fork());

	while (child == 0)
		if (getppid() == 1)
			_exit(0);
	return child;
}

START_TEST(throttled)
{
	uint64_t until_ns;
	bool version2;
	long periods = 0;
	pid_t child, glutton;
	int r, status;

	if (!group_new("cpu", &version2)) {
		skip("quota", "no control group can be made");
		return;
	}
	child = daemon_start();
	glutton = glutton_start();
	r = group_join(child);
	r = r < 0 ? r : group_join(glutton);
	r = r < 0 ? r : throttle(version2);
	until_ns = now_mono() + scaled(1, 60) * ASYNCTIMER_SECOND;
	while (r == 0 && now_mono() < until_ns)
		sleep_ns(20 * MS);
	if (r == 0)
		periods = group_read("cpu.stat", "nr_throttled ");
	kill(glutton, SIGKILL);
	waitpid(glutton, NULL, 0);
	group_write(version2 ? "cpu.max" : "cpu.cfs_quota_us", version2 ? "max" : "-1");
	status = daemon_end(child);
	group_free();
	ck_assert_int_eq(status, 0);
	if (periods > 0)
		fleet_report("quota");
	else
		skip("quota", "%s: %s", group, r < 0 ? strerror(-r) : "it throttles nothing");
}
END_TEST

/* Time namespaces: clocks far ahead, young, and apart. */

static int in_time_namespace(int64_t monotonic_s, int64_t boottime_s)
{
	char offsets[96];
	ssize_t r;
	int fd;

	if (unshare(CLONE_NEWTIME) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWTIME) < 0)
		return -errno;
	snprintf(offsets, sizeof(offsets), "monotonic %lld 0\nboottime %lld 0\n",
		 (long long)monotonic_s, (long long)boottime_s);
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write(fd, offsets, strlen(offsets));
	r = r < 0 ? -errno : 0;
	close(fd);
	return (int)r;
}

/* In a process of its own, whose children are in the namespace. */
_Noreturn static void daemon_in_namespace(int64_t monotonic_s, int64_t boottime_s)
{
	int r = in_time_namespace(monotonic_s, boottime_s);
	int status = 1;
	pid_t child;

	if (r < 0) {
		skip("time namespace", "%s", strerror(-r));
		_exit(77);
	}
	child = fork();
	if (child == 0) {
		fleet->clocks_apart_ns =
			(int64_t)(now_on(CLOCK_BOOTTIME) - now_on(CLOCK_MONOTONIC));
		daemon_main();
	}
	waitpid(child, &status, 0);
	_exit(status != 0);
}

static void tick_in_namespace(const char *name, int64_t monotonic_s, int64_t boottime_s)
{
	int64_t apart_ns = (int64_t)(now_on(CLOCK_BOOTTIME) - now_mono()) +
			   (boottime_s - monotonic_s) * (int64_t)ASYNCTIMER_SECOND;
	int status;
	pid_t child;

	fleet = fleet_map();
	child = must(fork());
	if (child == 0)
		daemon_in_namespace(monotonic_s, boottime_s);
	sleep_ns(scaled(300, 10000) * MS);
	__atomic_store_n(&fleet->end, true, __ATOMIC_RELEASE);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return;
	fleet_report(name);
	ck_assert_int_eq(status, 0);
	ck_assert_int_lt(llabs(fleet->clocks_apart_ns - apart_ns), (int64_t)MS * 100);
}

START_TEST(monotonic_far_ahead_of_boottime)
{
	tick_in_namespace("time namespace, + 2^32 s", INT64_C(1) << 32, 0);
}
END_TEST

START_TEST(boottime_far_ahead_of_monotonic)
{
	tick_in_namespace("time namespace, boottime ahead", 0, 1000000);
}
END_TEST

START_TEST(clocks_that_have_just_begun)
{
	int64_t monotonic_s = (int64_t)(now_mono() / ASYNCTIMER_SECOND);
	int64_t boottime_s = (int64_t)(now_on(CLOCK_BOOTTIME) / ASYNCTIMER_SECOND);

	tick_in_namespace("time namespace, just begun", -monotonic_s, -boottime_s);
}
END_TEST

/* In this process, by a thread that dispatches. */

static void fleet_here(asynctimer_callback callback)
{
	fleet = fleet_map();
	must(fleet_start(callback));
}

static void fleet_dispatch(uint64_t ns)
{
	uint64_t until_ns = now_mono() + ns;

	while (now_mono() < until_ns)
		must(asynctimer_reactor_dispatch(reactor, (int64_t)MS));
}

static void fleet_end(const char *name)
{
	must(fleet_balance());
	fleet_report(name);
}

START_TEST(without_descriptors_nothing_is_lost)
{
	struct rlimit limit, low;
	struct asynctimer *made[8] = { NULL };
	struct asynctimer *const none = NULL;
	struct asynctimer_reactor *second = NULL;
	unsigned rounds = scaled(20, 2000), count;

	fleet_here(count_tick);
	fleet_dispatch(5 * MS);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (unsigned i = 0; i < rounds; i++) {
		int r = 0;

		/* Room for none to four more. The descriptor opened and closed is the lowest free. */
		r = must(dup(0));
		close(r);
		low.rlim_cur = (rlim_t)r + i % 5;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		for (count = 0; (r = asynctimer_new(reactor, CLOCK_MONOTONIC, MS, 0, count_tick,
						    NULL, &made[count])) == 0;)
			ck_assert_uint_lt(++count, 8);
		ck_assert_int_eq(r, -EMFILE);
		ck_assert_uint_eq(count, i % 5);
		ck_assert_ptr_eq(made[count], none);
		ck_assert_int_eq(asynctimer_reactor_new(&second), -EMFILE);
		fleet_dispatch(MS);
		while (count) {
			asynctimer_free(made[--count]);
			must(asynctimer_new(reactor, CLOCK_MONOTONIC, MS, 0, count_tick, NULL,
					    &made[count]));
			asynctimer_free(made[count]);
			made[count] = NULL;
		}
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
	fleet_end("RLIMIT_NOFILE");
}
END_TEST

/* A reactor of which no half of a pair of timerfds may stay. */
START_TEST(without_descriptors_there_is_no_shared_pair)
{
	struct rlimit limit, low;
	struct asynctimer *timer = NULL;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (unsigned room = 0; room < 3; room++) {
		int fd = must(dup(0));
		int r;

		close(fd);
		low.rlim_cur = (rlim_t)fd + room;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		r = asynctimer_new_shared(reactor, CLOCK_BOOTTIME, MS, 0, 0, count_tick, NULL,
					  &timer);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		ck_assert_int_eq(r, room < 2 ? -EMFILE : 0);
	}
	asynctimer_free(timer);
}
END_TEST

/* What a child tries while its parent's timers are armed. No assertion of Check's works in it. */
_Noreturn static void child_tries(unsigned i, bool alone)
{
	struct witness *witness = &fleet->witness[i % TIMERS];

	if (i % 3 == 0)
		spin_until(CLOCK_MONOTONIC, now_mono() + 3 * MS);
	if (asynctimer_reactor_dispatch(reactor, 0) != -ECHILD ||
	    asynctimer_reactor_run(reactor) != -ECHILD ||
	    asynctimer_start(witness->timer) != -ECHILD ||
	    asynctimer_stop(witness->timer) != -ECHILD ||
	    asynctimer_set_interval(witness->timer, MS) != -ECHILD) {
		count_in_child();
		_exit(2);
	}
	asynctimer_reactor_stop(reactor);
	/* Threads that it has not got may have been in the allocator. */
	if (alone && i % 2)
		asynctimer_free(witness->timer);
	if (alone && i % 4 < 2 && asynctimer_reactor_free(reactor) != -ECHILD)
		count_in_child();
	/* To a tool that looks for leaks at an exit, the stacks of those threads are some. */
	if (!alone)
		raise(SIGKILL);
	_exit(0);
}

static void reap(unsigned *children, bool all)
{
	int status;

	while (*children && waitpid(-1, &status, all ? 0 : WNOHANG) > 0) {
		ck_assert_int_eq(status, 0);
		--*children;
	}
}

static int fork_at_times(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct witness *witness = data;

	(void)timer;
	if (getpid() != fleet->pid)
		count_in_child();
	witness_begin(witness, tick);
	if (tick->number % 64 == 0) {
		pid_t child = fork();

		if (child == 0)
			child_tries((unsigned)tick->number / 64, false);
		if (waitpid(child, NULL, 0) != child)
			__atomic_store_n(&fleet->failed, -ECHILD, __ATOMIC_RELAXED);
	}
	witness_end(witness);
	return ASYNCTIMER_DONE;
}

START_TEST(forked_between_dispatches)
{
	unsigned forks = scaled(300, 10000), children = 0;

	fleet_here(count_tick);
	for (unsigned i = 0; i < forks; i++) {
		pid_t child = must(fork());

		if (child == 0)
			child_tries(i, true);
		children++;
		must(asynctimer_reactor_dispatch(reactor, (int64_t)(i % 2) * 500000));
		/* No more of them at a time than a small machine has memory for. */
		reap(&children, children > 20);
	}
	reap(&children, true);
	fleet_end("forks between dispatches");
}
END_TEST

START_TEST(forked_while_two_threads_run)
{
	unsigned forks = scaled(100, 3000);
	pthread_t threads[2];
	int status;

	fleet_here(fork_at_times);
	for (unsigned i = 0; i < 2; i++)
		threads[i] = thread_new(run_for_fleet, NULL);
	for (unsigned i = 0; i < forks; i++) {
		pid_t child = must(fork());

		if (child == 0)
			child_tries(i, false);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, SIGKILL);
		sleep_ns(MS);
	}
	asynctimer_reactor_stop(reactor);
	for (unsigned i = 0; i < 2; i++)
		thread_join(threads[i]);
	must(asynctimer_reactor_restart(reactor));
	fleet_end("forks while threads run");
}
END_TEST

START_TEST(a_child_that_lives_on_keeps_no_freed_timer_reporting)
{
	struct witness *witness;
	pid_t child;

	fleet_here(count_tick);
	asynctimer_free(fleet->control);
	witness = fleet->witness;
	child = must(fork());
	while (child == 0) {
		if (getppid() != fleet->pid)
			_exit(0);
		sleep_ns(MS);
	}
	/* Due, and not dispatched. */
	for (unsigned i = 0; i < TIMERS; i++)
		spin_until(witness[i].clock, asynctimer_next_due_ns(witness[i].timer) + MS);
	for (unsigned i = 0; i < TIMERS; i++)
		asynctimer_free(witness[i].timer);
	/* That of the shared ones may be readable, once. */
	must(asynctimer_reactor_dispatch(reactor, 0));
	ck_assert(!is_readable(reactor));
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

/* Signals, a thousand a second for every thread, without SA_RESTART. */

#define STRUCK 4

static struct {
	pthread_t threads[STRUCK];
	uint64_t strikes;	/* atomic: handled */
	bool end;		/* atomic */
	struct asynctimer *deferred;	/* atomic: to be completed */
	uint64_t number;
	struct asynctimer *churned;
	uint64_t completions;
} storm;

static void strike(int signal)
{
	(void)signal;
	__atomic_add_fetch(&storm.strikes, 1, __ATOMIC_RELAXED);
}

static void strike_all(unsigned threads, uint64_t ns)
{
	struct sigaction action = { .sa_handler = strike };
	uint64_t until_ns = now_mono() + ns;

	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	for (uint64_t next_ns = now_mono(); next_ns < until_ns; next_ns += MS) {
		while (now_mono() < next_ns)
			sleep_ns(100 * US);
		for (unsigned i = 0; i < threads; i++)
			ck_assert_int_eq(pthread_kill(storm.threads[i], SIGUSR1), 0);
	}
}

static int defer(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	witness_begin(data, tick);
	storm.number = tick->number;
	__atomic_store_n(&storm.deferred, timer, __ATOMIC_RELEASE);
	return ASYNCTIMER_PENDING;
}

static void *complete_until_end(void *data)
{
	while (!__atomic_load_n(&storm.end, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&storm.deferred, __ATOMIC_ACQUIRE)) {
		struct asynctimer *timer = __atomic_load_n(&storm.deferred, __ATOMIC_ACQUIRE);

		if (!timer) {
			sleep_ns(100 * US);
			continue;
		}
		__atomic_store_n(&storm.deferred, NULL, __ATOMIC_RELEASE);
		witness_end(data);
		if (asynctimer_complete(timer, storm.number, 0) != 0)
			__atomic_store_n(&fleet->failed, -EALREADY, __ATOMIC_RELAXED);
		storm.completions++;
	}
	return NULL;
}

static int do_little(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	(void)data;
	spin_until(CLOCK_MONOTONIC, now_mono() + 50 * US);
	return ASYNCTIMER_DONE;
}

static void *churn_until_end(void *unused)
{
	while (!__atomic_load_n(&storm.end, __ATOMIC_ACQUIRE)) {
		if (asynctimer_start(storm.churned) != 1 || asynctimer_stop(storm.churned) != 1)
			__atomic_store_n(&fleet->failed, -EINTR, __ATOMIC_RELAXED);
		sleep_ns(150 * US);
	}
	return unused;
}

START_TEST(interrupted_a_thousand_times_a_second_all_goes_on)
{
	struct witness witness = { .interval_ns = MS, .clock = CLOCK_MONOTONIC };

	memset(&storm, 0, sizeof(storm));
	fleet_here(count_tick);
	must(asynctimer_new(reactor, CLOCK_MONOTONIC, MS, ASYNCTIMER_FIXED_SCHEDULE, defer, &witness,
			    &witness.timer));
	must(asynctimer_new(reactor, CLOCK_MONOTONIC, 100 * US, ASYNCTIMER_FIXED_SCHEDULE, do_little,
			    NULL, &storm.churned));
	must(witness_start(&witness));
	for (unsigned i = 0; i < 2; i++)
		storm.threads[i] = thread_new(run_for_fleet, NULL);
	storm.threads[2] = thread_new(complete_until_end, &witness);
	storm.threads[3] = thread_new(churn_until_end, NULL);
	strike_all(STRUCK, scaled(700, 60000) * MS);
	must(asynctimer_stop(witness.timer));
	__atomic_store_n(&storm.end, true, __ATOMIC_RELEASE);
	for (unsigned i = 2; i < STRUCK; i++)
		thread_join(storm.threads[i]);
	asynctimer_reactor_stop(reactor);
	for (unsigned i = 0; i < 2; i++)
		thread_join(storm.threads[i]);
	must(asynctimer_reactor_restart(reactor));
	printf("%llu signals, %llu deferred ticks\n", (unsigned long long)storm.strikes,
	       (unsigned long long)storm.completions);
	ck_assert_uint_gt(storm.strikes, 0);
	ck_assert_uint_gt(storm.completions, 0);
	ck_assert_uint_eq(witness.callbacks, storm.completions);
	ck_assert_uint_eq(witness.callbacks + witness.skipped_busy + witness.skipped_late,
			  witness.last.number);
	ck_assert_uint_eq(witness.early, 0);
	ck_assert_msg(!witness.broken, "%s", witness.what);
	fleet_end("EINTR in run");
}
END_TEST

static void *strike_until_end(void *unused)
{
	while (!__atomic_load_n(&storm.end, __ATOMIC_ACQUIRE))
		strike_all(1, 10 * MS);
	return unused;
}

START_TEST(interrupted_dispatch_says_so_and_loses_nothing)
{
	uint64_t until_ns, interrupted = 0;
	pthread_t striker;
	int r;

	memset(&storm, 0, sizeof(storm));
	storm.threads[0] = pthread_self();
	fleet_here(count_tick);
	striker = thread_new(strike_until_end, NULL);
	until_ns = now_mono() + scaled(500, 30000) * MS;
	for (unsigned i = 0; now_mono() < until_ns; i++) {
		r = asynctimer_reactor_dispatch(reactor, i % 2 ? -1 : (int64_t)(2 * MS));
		ck_assert(r >= 0 || r == -EINTR);
		interrupted += r == -EINTR;
	}
	printf("%llu signals, %llu interrupted dispatches\n", (unsigned long long)storm.strikes,
	       (unsigned long long)interrupted);
	fleet_end("EINTR in dispatch");
	/* On a slow machine a tick was due at each, and none waited. Now there is nothing due. */
	for (unsigned i = 0; i < 2; i++) {
		do {
			r = asynctimer_reactor_dispatch(reactor, i ? -1 : (int64_t)HOUR);
		} while (r >= 0);
		ck_assert_int_eq(r, -EINTR);
	}
	__atomic_store_n(&storm.end, true, __ATOMIC_RELEASE);
	thread_join(striker);
}
END_TEST

/* A host loop that serves nothing for a while. */
static void host_suspended(const char *name, uint32_t edge)
{
	unsigned rounds = scaled(15, 500);
	struct epoll_event event = { .events = EPOLLIN | edge };
	int host = must(epoll_create1(EPOLL_CLOEXEC));

	fleet_here(count_tick);
	must(epoll_ctl(host, EPOLL_CTL_ADD, asynctimer_reactor_fd(reactor), &event));
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t callbacks[TIMERS];
		uint64_t until_ns[TIMERS];

		sleep_ns(2 * MS + random_ns(30 * MS));
		for (unsigned k = 0; k < TIMERS; k++) {
			callbacks[k] = fleet->witness[k].callbacks;
			until_ns[k] = now_on(fleet->witness[k].clock);
		}
		while (!caught_up(until_ns)) {
			ck_assert_int_eq(epoll_wait(host, &event, 1, 20000), 1);
			must(asynctimer_reactor_dispatch(reactor, 0));
		}
		for (unsigned k = 0; k < TIMERS; k++) {
			const struct witness *witness = &fleet->witness[k];

			/* One for all that was missed, and what came due since. */
			ck_assert_uint_le(witness->callbacks - callbacks[k],
					  2 + (now_on(witness->clock) - until_ns[k]) /
						      witness->interval_ns);
		}
	}
	close(host);
	fleet_end(name);
	ck_assert_uint_gt(skipped_late(), 0);
}

START_TEST(a_host_that_was_suspended_gets_one_tick_for_all)
{
	host_suspended("suspended host", 0);
}
END_TEST

START_TEST(an_edge_triggered_host_that_was_suspended_too)
{
	host_suspended("suspended host, edge-triggered", EPOLLET);
}
END_TEST

int main(void)
{
	return RUN_TESTS("world",
			 stopped_at_random,
			 frozen_at_random,
			 throttled,
			 monotonic_far_ahead_of_boottime,
			 boottime_far_ahead_of_monotonic,
			 clocks_that_have_just_begun,
			 without_descriptors_nothing_is_lost,
			 without_descriptors_there_is_no_shared_pair,
			 forked_between_dispatches,
			 forked_while_two_threads_run,
			 a_child_that_lives_on_keeps_no_freed_timer_reporting,
			 interrupted_a_thousand_times_a_second_all_goes_on,
			 interrupted_dispatch_says_so_and_loses_nothing,
			 a_host_that_was_suspended_gets_one_tick_for_all,
			 an_edge_triggered_host_that_was_suspended_too);
}
