/* SPDX-License-Identifier: MIT */
/* What only a real timerfd shows: any expiration count, and interrupts that are still on their way. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "test.h"
#include "util.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

static struct watched watched;

/* The one timerfd of this process. */
static int timerfd_of_the_timer(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		char link[64] = "";

		if (readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1) < 0 ||
		    strcmp(link, "anon_inode:[timerfd]") != 0)
			continue;
		ck_assert_int_eq(found, -1);
		found = atoi(entry->d_name);
	}
	closedir(dir);
	ck_assert_int_ge(found, 0);
	return found;
}

/* Expiration counts that nobody waited for, set by TFD_IOC_SET_TICKS. */

#define INTERVAL (10 * MS)

static const uint64_t counts[] = { 1, UINT64_C(1) << 32, UINT64_C(1) << 63 };

#define FOR_EACH_COUNT(i) for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++)

static bool can_set_ticks(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	int r = ioctl(fd, TFD_IOC_SET_TICKS, &counts[0]);

	close(fd);
	return r == 0;
}

/* The count becomes readable; nothing that is not due comes of it, and nothing moves. */
static void inject(uint64_t count)
{
	struct asynctimer *timer = watched.timer;
	uint64_t due_ns = asynctimer_next_due_ns(timer);
	unsigned callbacks = watched.callbacks;

	ck_assert_int_eq(ioctl(timerfd_of_the_timer(), TFD_IOC_SET_TICKS, &count), 0);
	must(asynctimer_reactor_dispatch(reactor, 0));
	if (now_mono() < due_ns) {
		ck_assert_uint_eq(watched.callbacks, callbacks);
		ck_assert_uint_eq(asynctimer_next_due_ns(timer), due_ns);
	}
}

static void set_up_timer(int policy)
{
	watched = (struct watched){ 0 };
	watch_new(&watched, CLOCK_MONOTONIC, INTERVAL, policy);
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
}

/* The next tick is the one that was due at due_ns, or what the machine is late from there. */
static void expect_tick(uint64_t due_ns)
{
	dispatch_callbacks(&watched, watched.callbacks + 1);
	ck_assert_uint_eq(watched.last.due_ns, due_ns + watched.last.skipped_late * INTERVAL);
}

START_TEST(a_count_while_armed_is_not_believed)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_COUNT(i) {
		uint64_t due_ns;

		set_up_timer(policy);
		for (int k = 0; k < 3; k++) {
			due_ns = asynctimer_next_due_ns(watched.timer);
			inject(counts[i]);
			if (watched.last.due_ns < due_ns)
				expect_tick(due_ns);
		}
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(a_count_together_with_a_due_tick_is_that_tick)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_COUNT(i) {
		uint64_t due_ns;

		set_up_timer(policy);
		due_ns = asynctimer_next_due_ns(watched.timer);
		spin_until(CLOCK_MONOTONIC, due_ns + MS);
		inject(counts[i]);
		ck_assert_uint_eq(watched.callbacks, 1);
		ck_assert_uint_eq(watched.last.due_ns,
				  due_ns + watched.last.skipped_late * INTERVAL);
		dispatch_callbacks(&watched, 3);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/*
 * No clock says that the grid has come so far: it is the count that skips.
 */
START_TEST(a_count_while_deferred_says_how_far_the_grid_has_come)
{
	for (uint64_t count = 1; count <= 5; count++) {
		uint64_t number, due_ns;

		set_up_timer(ASYNCTIMER_FIXED_SCHEDULE);
		watched.result = ASYNCTIMER_PENDING;
		dispatch_callbacks(&watched, 1);
		number = watched.last.number;
		due_ns = watched.last.due_ns;
		inject(count);
		ck_assert_uint_eq(watched.callbacks, 1);
		watched.result = ASYNCTIMER_DONE;
		memset(asynctimer__compared, 0, sizeof(asynctimer__compared));
		ck_assert_int_eq(asynctimer_complete(watched.timer, number, 0), 0);
		/* Unless the machine has slept over what was injected. */
		if (now_mono() < due_ns + (count - 1) * INTERVAL)
			ck_assert_uint_eq(asynctimer__compared[1].ahead, 1);
		ck_assert_uint_ge(asynctimer_next_due_ns(watched.timer),
				  due_ns + (1 + count) * INTERVAL);
		dispatch_callbacks(&watched, 2);
		ck_assert_uint_ge(watched.last.skipped_busy, count);
		ck_assert_uint_ge(watched.last.due_ns, due_ns + (1 + count) * INTERVAL);
		dispatch_callbacks(&watched, 4);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(the_count_is_never_ahead_of_a_clock_that_nobody_sets)
{
	watched = (struct watched){ .work_ns = 350 * US };
	watch_new(&watched, CLOCK_MONOTONIC, 200 * US, ASYNCTIMER_FIXED_SCHEDULE);
	memset(asynctimer__compared, 0, sizeof(asynctimer__compared));
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
	dispatch_callbacks(&watched, 500);
	for (int completion = 0; completion < 2; completion++) {
		ck_assert_uint_gt(asynctimer__compared[completion].same, 0);
		/* At a completion a point may come due between the reading and the count. */
		if (!completion)
			ck_assert_uint_eq(asynctimer__compared[completion].ahead, 0);
	}
}
END_TEST

START_TEST(a_delay_does_not_look_at_the_count)
{
	FOR_EACH_COUNT(i) {
		uint64_t number, due_ns;

		set_up_timer(ASYNCTIMER_FIXED_DELAY);
		watched.result = ASYNCTIMER_PENDING;
		dispatch_callbacks(&watched, 1);
		number = watched.last.number;
		inject(counts[i]);
		ck_assert_uint_eq(watched.callbacks, 1);
		watched.result = ASYNCTIMER_DONE;
		ck_assert_int_eq(asynctimer_complete(watched.timer, number, 0), 0);
		due_ns = asynctimer_next_due_ns(watched.timer);
		must(asynctimer_reactor_dispatch(reactor, 0));
		if (watched.callbacks == 1)
			expect_tick(due_ns);
		dispatch_callbacks(&watched, 4);
		asynctimer_free(watched.timer);
	}
}
END_TEST

START_TEST(a_count_while_stopped_is_nothing)
{
	FOR_BOTH_POLICIES(policy) FOR_EACH_COUNT(i) {
		set_up_timer(policy);
		dispatch_callbacks(&watched, 1);
		ck_assert_int_eq(asynctimer_stop(watched.timer), 1);
		inject(counts[i]);
		ck_assert_uint_eq(watched.callbacks, 1);
		/* And once more, still readable when it is started. */
		ck_assert_int_eq(ioctl(timerfd_of_the_timer(), TFD_IOC_SET_TICKS, &counts[i]), 0);
		watched.restarted = true;
		ck_assert_int_eq(asynctimer_start(watched.timer), 1);
		expect_tick(asynctimer_next_due_ns(watched.timer));
		dispatch_callbacks(&watched, 4);
		asynctimer_free(watched.timer);
	}
}
END_TEST

/*
 * Deferred ticks completed on another CPU within microseconds of a grid
 * point: the interrupt of a point before the completion may still be on its
 * way, and a point after it may be read away with the overrun.
 */

#define SHORT_INTERVAL (400 * US)
#define ROUNDS 1500

static struct {
	uint64_t number;	/* atomic: 0, or the tick to complete */
	uint64_t at_ns;
	uint64_t before_ns, after_ns;	/* around its completion */
	bool quit;		/* atomic */
} job;

static cpu_set_t cpus[2];

static bool find_two_cpus(void)
{
	cpu_set_t allowed;
	int found = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return false;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			CPU_SET(cpu, &cpus[found++]);
	return found == 2;
}

static void *complete_jobs(void *unused)
{
	(void)unused;
	pthread_setaffinity_np(pthread_self(), sizeof(cpus[1]), &cpus[1]);
	while (!__atomic_load_n(&job.quit, __ATOMIC_ACQUIRE)) {
		uint64_t number = __atomic_load_n(&job.number, __ATOMIC_ACQUIRE);

		if (!number) {
			sched_yield();
			continue;
		}
		spin_until(CLOCK_MONOTONIC, job.at_ns);
		job.before_ns = now_mono();
		must(asynctimer_complete(watched.timer, number, 0));
		job.after_ns = now_mono();
		__atomic_store_n(&job.number, 0, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void await_job(void)
{
	while (__atomic_load_n(&job.number, __ATOMIC_ACQUIRE))
		sched_yield();
}

static uint64_t previous_due_ns;
static uint64_t returned_ns;	/* the previous callback had, by then: where that was late, it ended the tick */

static int post_job(struct watched *self, const struct asynctimer_tick *tick)
{
	/* Claimed while the completion has not returned, perhaps. */
	await_job();
	if (self->callbacks > 1) {
		ck_assert_uint_gt(tick->due_ns, job.before_ns);
		ck_assert_uint_ge(tick->skipped_busy,
				  (job.before_ns - previous_due_ns) / SHORT_INTERVAL);
		ck_assert_uint_le(tick->skipped_busy,
				  ((job.after_ns > returned_ns ? job.after_ns : returned_ns) -
				   previous_due_ns) / SHORT_INTERVAL);
		ck_assert_uint_lt(tick->now_ns - tick->due_ns, SHORT_INTERVAL);
	}
	previous_due_ns = tick->due_ns;
	/* From 5 us before one of the next two points to 30 us after it. */
	job.at_ns = tick->due_ns + (uint64_t)(1 + random() % 2) * SHORT_INTERVAL - 5 * US +
		    (uint64_t)random() % (35 * US);
	__atomic_store_n(&job.number, tick->number, __ATOMIC_RELEASE);
	return ASYNCTIMER_PENDING;
}

static pthread_t start_completer(void)
{
	pthread_t thread;

	srandom(5);
	watched = (struct watched){ .then = post_job };
	watch_new(&watched, CLOCK_MONOTONIC, SHORT_INTERVAL, ASYNCTIMER_FIXED_SCHEDULE);
	ck_assert_int_eq(pthread_setaffinity_np(pthread_self(), sizeof(cpus[0]), &cpus[0]), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, complete_jobs, NULL), 0);
	ck_assert_int_eq(asynctimer_start(watched.timer), 1);
	return thread;
}

static void end_completer(pthread_t thread)
{
	await_job();
	__atomic_store_n(&job.quit, true, __ATOMIC_RELEASE);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(no_point_up_to_a_completion_on_another_cpu_is_delivered)
{
	pthread_t thread = start_completer();

	for (unsigned i = 1; i <= ROUNDS; i++) {
		dispatch_callbacks(&watched, i);
		returned_ns = now_mono();
	}
	end_completer(thread);
}
END_TEST

/* The timerfd's expirations to be read, and the time to the next one (0: none, or past). */
static void look_into(int fd, unsigned long long *ticks, uint64_t *left_ns)
{
	unsigned long long seconds, ns;
	char path[64], line[128];
	int found = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	ck_assert_ptr_nonnull(info);
	while (fgets(line, sizeof(line), info)) {
		found += sscanf(line, "ticks: %llu", ticks) == 1;
		if (sscanf(line, "it_value: (%llu, %llu)", &seconds, &ns) == 2) {
			*left_ns = seconds * ASYNCTIMER_SECOND + ns;
			found++;
		}
	}
	fclose(info);
	ck_assert_int_eq(found, 2);
}

START_TEST(no_point_after_a_completion_on_another_cpu_is_lost)
{
	pthread_t thread = start_completer();
	int fd = timerfd_of_the_timer();
	unsigned armed = 0;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		unsigned long long ticks;
		uint64_t due_ns, before_ns, left_ns = 0;

		dispatch_callbacks(&watched, i);
		returned_ns = now_mono();
		/* Of some the overrun is reported before their completion. */
		while (i % 2 && now_mono() < job.at_ns - 20 * US)
			must(asynctimer_reactor_dispatch(reactor, 0));
		await_job();
		/* The kernel's next expiration is readable, on its way, or that of the next tick. */
		due_ns = asynctimer_next_due_ns(watched.timer);
		before_ns = now_mono();
		look_into(fd, &ticks, &left_ns);
		/* Or the completion has counted it, and the reactor knows. */
		if (ticks || !left_ns || is_readable(reactor))
			continue;
		armed++;
		ck_assert_uint_le(before_ns + left_ns, due_ns);
		ck_assert_uint_ge(now_mono() + left_ns, due_ns);
	}
	ck_assert_uint_gt(armed, 0);
	end_completer(thread);
}
END_TEST

int main(void)
{
	bool set_ticks = can_set_ticks();
	bool two_cpus = find_two_cpus();
	int failed = 0;

	if (set_ticks)
		failed |= RUN_TESTS("expiration counts", a_count_while_armed_is_not_believed,
				    a_count_together_with_a_due_tick_is_that_tick,
				    a_count_while_deferred_says_how_far_the_grid_has_come,
				    the_count_is_never_ahead_of_a_clock_that_nobody_sets,
				    a_delay_does_not_look_at_the_count,
				    a_count_while_stopped_is_nothing);
	if (two_cpus)
		failed |= RUN_TESTS("completions on another CPU",
				    no_point_up_to_a_completion_on_another_cpu_is_delivered,
				    no_point_after_a_completion_on_another_cpu_is_lost);
	if (failed)
		return failed;
	if (!set_ticks)
		skip_all("no TFD_IOC_SET_TICKS (CONFIG_CHECKPOINT_RESTORE, and a program of 64 bits)");
	if (!two_cpus)
		skip_all("completions on another CPU need two CPUs");
	return EXIT_SUCCESS;
}
