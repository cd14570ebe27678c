/* SPDX-License-Identifier: MIT */
/*
 * What the library takes the kernel to do, each fact checked by itself, so
 * that a kernel or sandbox which differs is named and not guessed. It fails
 * where a promise of the library would be broken; what only costs time there
 * is reported.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "witness.h"

#define MS ASYNCTIMER_MILLISECOND
#define FAR (3600 * ASYNCTIMER_SECOND)
#define LONG 10000	/* ms: what doesn't come in that time does not come */

enum { OK, DIFFERS, SKIPPED };

static char why[200];

__attribute__((format(printf, 2, 3))) static int say(int outcome, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return outcome;
}

/* The fact is another: says what was seen, with printf's arguments, and ends the check. */
#define expect(condition, ...)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return say(DIFFERS, __VA_ARGS__);                                          \
	} while (0)

static uint64_t now_mono(void)
{
	return witness_now_ns(CLOCK_MONOTONIC);
}

static void sleep_ns(uint64_t ns)
{
	struct timespec span = { .tv_sec = (time_t)(ns / ASYNCTIMER_SECOND),
				 .tv_nsec = (long)(ns % ASYNCTIMER_SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &span) == EINTR)
		;
}

static int arm(int fd, int flags, uint64_t value_ns, uint64_t interval_ns)
{
	struct itimerspec when = {
		.it_interval = { .tv_sec = (time_t)(interval_ns / ASYNCTIMER_SECOND),
				 .tv_nsec = (long)(interval_ns % ASYNCTIMER_SECOND) },
		.it_value = { .tv_sec = (time_t)(value_ns / ASYNCTIMER_SECOND),
			      .tv_nsec = (long)(value_ns % ASYNCTIMER_SECOND) },
	};

	return timerfd_settime(fd, flags, &when, NULL) < 0 ? -errno : 0;
}

static int arm_at(int fd, uint64_t due_ns, uint64_t interval_ns)
{
	return arm(fd, TFD_TIMER_ABSTIME, due_ns, interval_ns);
}

/* Expirations, or a negative errno. */
static int64_t take(int fd)
{
	uint64_t count = 0;
	ssize_t r = read(fd, &count, sizeof(count));

	return r < 0 ? -errno : (int64_t)count;
}

static int readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

/* One of these for each check, closed after it. */
static struct {
	int timer, other, event, inner, outer;
} fd;

static void open_all(void)
{
	fd.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	fd.other = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	fd.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fd.inner = epoll_create1(EPOLL_CLOEXEC);
	fd.outer = epoll_create1(EPOLL_CLOEXEC);
}

static void close_all(void)
{
	close(fd.timer);
	close(fd.other);
	close(fd.event);
	close(fd.inner);
	close(fd.outer);
}

static int watch(int epoll, int operation, int what, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = what };

	return epoll_ctl(epoll, operation, what, &event) < 0 ? -errno : 0;
}

/* How many events a harvest gets. */
static int harvest(int epoll, int timeout_ms)
{
	struct epoll_event events[8];

	return epoll_wait(epoll, events, 8, timeout_ms);
}

static int clocks_have_timerfds(void)
{
	const int clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };

	for (unsigned i = 0; i < 3; i++) {
		int timer = timerfd_create(clocks[i], TFD_NONBLOCK | TFD_CLOEXEC);
		bool expired;

		expect(timer >= 0, "clock %d: %s", clocks[i], strerror(errno));
		arm_at(timer, witness_now_ns(clocks[i]) + 2 * MS, 0);
		expired = readable(timer, LONG);
		close(timer);
		expect(expired, "clock %d: an expiration did not come", clocks[i]);
	}
	return OK;
}

static int never_early(void)
{
	for (unsigned i = 0; i < 50; i++) {
		uint64_t due_ns = now_mono() + 100000 + i * 7919;
		uint64_t seen_ns;

		arm_at(fd.timer, due_ns, 0);
		while (take(fd.timer) < 0)
			expect(now_mono() < due_ns + LONG * MS, "an expiration did not come");
		seen_ns = now_mono();
		expect(seen_ns >= due_ns, "%lld ns before its clock showed the time",
		       (long long)(due_ns - seen_ns));
	}
	return OK;
}

static int past_fires(void)
{
	unsigned sooner = 0;

	for (unsigned i = 0; i < 200; i++) {
		arm_at(fd.timer, i % 2 ? 1 : now_mono() - 1, 0);
		sooner += (unsigned)readable(fd.timer, 0);
		expect(readable(fd.timer, LONG), "%s never expired",
		       i % 2 ? "1 ns" : "the time just gone");
	}
	return say(OK, "%u of 200 before settime returned", sooner);
}

static int past_goes_on_on_its_grid(void)
{
	uint64_t anchor_ns = now_mono() - 95 * MS;
	int64_t count;
	uint64_t before_ns, after_ns;

	arm_at(fd.timer, anchor_ns, 10 * MS);
	expect(readable(fd.timer, LONG), "it never expired");
	before_ns = now_mono();
	count = take(fd.timer);
	after_ns = now_mono();
	expect(count >= (int64_t)((before_ns - anchor_ns) / (10 * MS) + 1) &&
		       count <= (int64_t)((after_ns - anchor_ns) / (10 * MS) + 1),
	       "%lld expirations", (long long)count);
	expect(readable(fd.timer, LONG), "it expired only once");
	expect((now_mono() - anchor_ns) / (10 * MS) >= (uint64_t)count, "again before its time");
	return OK;
}

static int zero_disarms(void)
{
	arm_at(fd.timer, now_mono() + 2 * MS, MS);
	arm(fd.timer, 0, 0, 0);
	expect(!readable(fd.timer, 10), "disarmed, it expired");
	return OK;
}

static int settime_clears(void)
{
	for (unsigned i = 0; i < 2; i++) {
		arm_at(fd.timer, 1, 0);
		expect(readable(fd.timer, LONG), "it never expired");
		if (i)
			arm(fd.timer, 0, 0, 0);
		else
			arm_at(fd.timer, now_mono() + FAR, 0);
		expect(!readable(fd.timer, 0), "%s, it stays readable", i ? "disarmed" : "armed");
		expect(take(fd.timer) == -EAGAIN, "%s, a read gives an old count",
		       i ? "disarmed" : "armed");
	}
	return OK;
}

static int nothing_to_read(void)
{
	int64_t r = take(fd.timer);

	expect(r == -EAGAIN, "a read gives %lld", (long long)r);
	return OK;
}

static int keeps_the_grid(void)
{
	uint64_t first_ns = now_mono() + MS, interval_ns = 700000;

	arm_at(fd.timer, first_ns, interval_ns);
	for (uint64_t had = 0, i = 0; i < 5; i++) {
		uint64_t before_ns, after_ns, lowest, highest;

		sleep_ns(3 * MS);
		expect(readable(fd.timer, LONG), "after %llu expirations no more",
		       (unsigned long long)had);
		before_ns = now_mono();
		had += (uint64_t)take(fd.timer);
		after_ns = now_mono();
		lowest = (before_ns - first_ns) / interval_ns + 1;
		highest = (after_ns - first_ns) / interval_ns + 1;
		/* An interrupt that is still on its way hides one. */
		expect(had + 1 >= lowest && had <= highest, "%llu expirations instead of %llu",
		       (unsigned long long)had, (unsigned long long)lowest);
	}
	return OK;
}

static int no_storm(void)
{
	unsigned long long ticks = 0;
	char path[64], line[128];
	FILE *info;

	arm_at(fd.timer, now_mono() + MS, 1);
	sleep_ns(20 * MS);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd.timer);
	info = fopen(path, "re");
	if (!info)
		return say(SKIPPED, "no /proc/self/fdinfo");
	while (fgets(line, sizeof(line), info))
		sscanf(line, "ticks: %llu", &ticks);
	fclose(info);
	expect(ticks == 1, "%llu interrupts for a count nobody read", ticks);
	return OK;
}

static int takes_the_longest(void)
{
	int r = arm_at(fd.timer, INT64_MAX, UINT64_C(1) << 62);

	expect(r == 0, "settime: %s", strerror(-r));
	expect(!readable(fd.timer, 2), "it expired at once");
	r = arm(fd.timer, 0, UINT64_C(1) << 62, 0);
	expect(r == 0, "settime: %s", strerror(-r));
	expect(!readable(fd.timer, 2), "it expired at once");
	return OK;
}

static int slack_is_not_for_timerfd(void)
{
	uint64_t least_ns = UINT64_MAX;
	int slack = prctl(PR_GET_TIMERSLACK);

	if (prctl(PR_SET_TIMERSLACK, 100 * MS) < 0)
		return say(SKIPPED, "prctl: %s", strerror(errno));
	for (unsigned i = 0; i < 10; i++) {
		uint64_t due_ns = now_mono() + MS, late_ns;

		arm_at(fd.timer, due_ns, 0);
		readable(fd.timer, LONG);
		late_ns = now_mono() - due_ns;
		least_ns = late_ns < least_ns ? late_ns : least_ns;
	}
	prctl(PR_SET_TIMERSLACK, slack);
	expect(least_ns < 50 * MS, "at least %llu us late with 100 ms of slack",
	       (unsigned long long)least_ns / 1000);
	return OK;
}

static int step_ns(long ns)
{
	struct timex timex = { .modes = ADJ_SETOFFSET | ADJ_NANO };

	timex.time.tv_sec = ns < 0 ? -1 : 0;
	timex.time.tv_usec = ns < 0 ? 1000000000 + ns : ns;
	return clock_adjtime(CLOCK_REALTIME, &timex) < 0 ? -errno : 0;
}

static int clock_set_cancels(void)
{
	const int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
	uint64_t far_ns = witness_now_ns(CLOCK_REALTIME) + FAR;
	int r = arm(fd.other, flags, far_ns, 0);
	int64_t count;

	expect(r == 0, "settime: %s", strerror(-r));
	r = step_ns(1);
	if (r < 0)
		return say(SKIPPED, "clock_adjtime: %s", strerror(-r));
	r = readable(fd.other, LONG);
	count = take(fd.other);
	step_ns(-1);
	expect(r, "the clock set by 1 ns is not reported");
	expect(count == -ECANCELED, "a read gives %lld", (long long)count);
	return OK;
}

static int settime_after_a_clock_set(void)
{
	const int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
	int r;

	arm(fd.other, flags, witness_now_ns(CLOCK_REALTIME) + FAR, 0);
	r = step_ns(1);
	if (r < 0)
		return say(SKIPPED, "clock_adjtime: %s", strerror(-r));
	step_ns(-1);
	r = arm(fd.other, flags, witness_now_ns(CLOCK_REALTIME) + 2 * MS, 0);
	expect(r == 0 || r == -ECANCELED, "settime: %s", strerror(-r));
	expect(readable(fd.other, LONG), "settime said %s and did not arm", r ? "ECANCELED" : "0");
	return OK;
}

/* As the library leaves a timer that is stopped. */
static int end_of_time_is_told(void)
{
	const int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
	const uint64_t end_ns = UINT64_MAX;
	int64_t count;
	int r;

	watch(fd.inner, EPOLL_CTL_ADD, fd.other, EPOLLIN | EPOLLET);
	for (int by_read = 0; by_read < 2; by_read++) {
		r = arm(fd.other, flags, end_ns, 0);
		expect(r == 0, "settime: %s", strerror(-r));
		expect(harvest(fd.inner, 0) == 0, "armed for the end of time, it expired");
		r = step_ns(1);
		if (r < 0)
			return say(SKIPPED, "clock_adjtime: %s", strerror(-r));
		step_ns(-1);
		expect(harvest(fd.inner, LONG) == 1, "that the clock was set is no edge");
		count = by_read ? take(fd.other) : arm(fd.other, flags, end_ns, 0);
		expect(count == -ECANCELED, "a %s gives %lld", by_read ? "read" : "settime",
		       (long long)count);
		count = by_read ? take(fd.other) : arm(fd.other, flags, end_ns, 0);
		expect(count == (by_read ? -EAGAIN : 0), "another %s gives %lld",
		       by_read ? "read" : "settime", (long long)count);
	}
	/* Also if it was set between a reading of the clock and this. */
	step_ns(1);
	step_ns(-1);
	r = arm(fd.other, flags, witness_now_ns(CLOCK_REALTIME) + 2 * MS, 0);
	expect(r == -ECANCELED, "settime for a time to come gives %d", r);
	expect(harvest(fd.inner, LONG) == 1 && take(fd.other) == 1, "and has not armed it");
	return OK;
}

static int ticks_can_be_set(void)
{
	uint64_t ticks = 5;
	int64_t count;

	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	arm_at(fd.timer, now_mono() + FAR, FAR);
	if (ioctl(fd.timer, _IOW('T', 0, uint64_t), &ticks) < 0)
		return say(SKIPPED, "TFD_IOC_SET_TICKS: %s", strerror(errno));
	expect(harvest(fd.inner, LONG) == 1, "a count that was set is no edge");
	count = take(fd.timer);
	expect(count == 5, "a read gives %lld", (long long)count);
	return OK;
}

static int limit_is_emfile(void)
{
	struct rlimit limit, none;
	int made[3], errors[3];

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return say(SKIPPED, "getrlimit: %s", strerror(errno));
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	made[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	errors[0] = errno;
	made[1] = epoll_create1(0);
	errors[1] = errno;
	made[2] = eventfd(0, 0);
	errors[2] = errno;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; i < 3; i++)
		expect(made[i] < 0 && errors[i] == EMFILE, "call %u of 3 gives %d, %s", i, made[i],
		       strerror(errors[i]));
	return OK;
}

static int edge_comes_once(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	for (unsigned i = 0; i < 3; i++) {
		/* Readable since the last time: nobody reads it. */
		arm_at(fd.timer, i % 2 ? 1 : now_mono() + MS, 0);
		expect(harvest(fd.inner, LONG) == 1, "an expiration is no edge, armed anew %u times", i);
		expect(harvest(fd.inner, 0) == 0, "it is reported again");
	}
	expect(readable(fd.timer, 0), "reported, it is not readable any more");
	return OK;
}

static int settime_takes_the_edge_away(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	for (unsigned i = 0; i < 2; i++) {
		arm_at(fd.timer, 1, 0);
		expect(readable(fd.inner, LONG), "it never expired");
		if (i)
			arm(fd.timer, 0, 0, 0);
		else
			arm_at(fd.timer, now_mono() + FAR, 0);
		expect(!readable(fd.inner, 0) && harvest(fd.inner, 0) == 0,
		       "%s, it is reported all the same", i ? "disarmed" : "armed for later");
	}
	arm_at(fd.timer, 1, 0);
	expect(harvest(fd.inner, LONG) == 1, "armed anew, it is not reported");
	return OK;
}

static int periodic_has_one_edge(void)
{
	int64_t count;

	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	arm_at(fd.timer, now_mono() + MS, MS);
	expect(harvest(fd.inner, LONG) == 1, "no event");
	sleep_ns(5 * MS);
	expect(harvest(fd.inner, 0) == 0, "not read, it is reported again");
	count = take(fd.timer);
	expect(count >= 5, "after 5 intervals a read gives %lld", (long long)count);
	expect(harvest(fd.inner, LONG) == 1, "read, it is not reported any more");
	return OK;
}

/* Until the eventfd tells it to end, which a thread that is left out sees too. */
static void *harvest_edges(void *data)
{
	int *edges = data;
	bool told = false;

	while (!told) {
		struct epoll_event events[8];
		int count = epoll_wait(fd.inner, events, 8, LONG);

		if (count <= 0 && errno != EINTR)
			break;
		for (int i = 0; i < count; i++)
			if (events[i].data.fd == fd.event)
				told = true;
			else
				__atomic_add_fetch(edges, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int edge_goes_to_one(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	watch(fd.inner, EPOLL_CTL_ADD, fd.event, EPOLLIN);
	for (unsigned i = 0; i < 20; i++) {
		pthread_t threads[3];
		int edges = 0;

		for (unsigned n = 0; n < 3; n++)
			if (pthread_create(&threads[n], NULL, harvest_edges, &edges))
				return say(SKIPPED, "no thread");
		arm_at(fd.timer, now_mono() + MS, 0);
		for (uint64_t hung_ns = now_mono() + LONG * MS;
		     !__atomic_load_n(&edges, __ATOMIC_SEQ_CST) && now_mono() < hung_ns;)
			sleep_ns(MS / 10);
		eventfd_write(fd.event, 1);
		for (unsigned n = 0; n < 3; n++)
			pthread_join(threads[n], NULL);
		take(fd.event);
		expect(edges == 1, "of three threads %d were told of one expiration", edges);
	}
	return OK;
}

/* The eventfd stays readable, as that of a stopped reactor does. */
static int takes_turns(void)
{
	unsigned timer = 0, other = 0;

	watch(fd.inner, EPOLL_CTL_ADD, fd.event, EPOLLIN);
	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	watch(fd.inner, EPOLL_CTL_ADD, fd.other, EPOLLIN | EPOLLET);
	eventfd_write(fd.event, 1);
	arm_at(fd.timer, 1, 0);
	arm_at(fd.other, 1, 0);
	readable(fd.timer, LONG);
	readable(fd.other, LONG);
	for (unsigned i = 0; i < 10; i++) {
		struct epoll_event event;

		expect(epoll_wait(fd.inner, &event, 1, LONG) == 1, "no event");
		timer += event.data.fd == fd.timer;
		other += event.data.fd == fd.other;
	}
	expect(timer == 1 && other == 1, "in 10 harvests of one event two edges came %u and %u times",
	       timer, other);
	return OK;
}

static int del_ends_events(void)
{
	int copy = dup(fd.timer);
	int r;

	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	arm_at(fd.timer, 1, 0);
	readable(fd.inner, LONG);
	watch(fd.inner, EPOLL_CTL_DEL, fd.timer, 0);
	close(fd.timer);
	r = harvest(fd.inner, 0);
	fd.timer = copy;
	expect(r == 0, "removed, it is reported while another descriptor of it is open");
	return OK;
}

static int nests(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	expect(watch(fd.outer, EPOLL_CTL_ADD, fd.inner, EPOLLIN) == 0, "an epoll takes no epoll");
	arm_at(fd.timer, now_mono() + 2 * MS, 0);
	expect(harvest(fd.outer, 0) == 0, "reported with nothing to report");
	for (unsigned i = 0; i < 3; i++) {
		expect(harvest(fd.outer, LONG) == 1, "an epoll does not report one, look %u", i);
		expect(readable(fd.inner, 0), "poll does not report one, look %u", i);
	}
	expect(harvest(fd.inner, 0) == 1, "to look took the edge away");
	expect(harvest(fd.outer, 0) == 0 && !readable(fd.inner, 0),
	       "harvested, it is still reported");
	return OK;
}

/* One that is there already or not, harvested in between or not. */
static int every_expiration_is_an_edge(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	watch(fd.inner, EPOLL_CTL_ADD, fd.other, EPOLLIN | EPOLLET);
	watch(fd.outer, EPOLL_CTL_ADD, fd.inner, EPOLLIN | EPOLLET);
	for (unsigned i = 0; i < 3; i++) {
		arm_at(fd.timer, 1, 0);
		expect(harvest(fd.outer, LONG) == 1, "expiration %u is no edge", i);
		expect(harvest(fd.outer, 0) == 0, "it is reported again");
		arm_at(fd.other, 1, 0);
		expect(harvest(fd.outer, LONG) == 1, "another one, %u, is no edge", i);
		if (i)
			expect(harvest(fd.inner, 0) == 2, "not both are reported");
	}
	return OK;
}

static int every_write_is_an_edge(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.event, EPOLLIN);
	watch(fd.outer, EPOLL_CTL_ADD, fd.inner, EPOLLIN | EPOLLET);
	for (unsigned i = 0; i < 3; i++) {
		/* Readable already at the second. */
		eventfd_write(fd.event, 1);
		expect(harvest(fd.outer, LONG) == 1, "write %u is no edge", i);
		harvest(fd.inner, 0);
		while (harvest(fd.outer, 0) > 0)
			;
	}
	return OK;
}

static int eventfd_counts(void)
{
	expect(take(fd.event) == -EAGAIN, "a new one is readable");
	eventfd_write(fd.event, 1);
	eventfd_write(fd.event, 2);
	expect(take(fd.event) == 3, "two writes are not read as their sum");
	expect(take(fd.event) == -EAGAIN, "a read does not empty it");
	eventfd_write(fd.event, UINT64_MAX - 1);
	expect(eventfd_write(fd.event, 1) < 0 && errno == EAGAIN, "full, a write is not EAGAIN");
	expect(readable(fd.event, 0), "full, it is not readable");
	return OK;
}

static void ignore(int signal)
{
	(void)signal;
}

/* Forks a child that sends SIGUSR1 until it is killed. */
static pid_t start_nagging(void)
{
	struct sigaction action = { .sa_handler = ignore, .sa_flags = SA_RESTART };
	pid_t parent = getpid();
	pid_t child;

	sigaction(SIGUSR1, &action, NULL);
	child = fork();
	while (child == 0) {
		if (kill(parent, SIGUSR1) < 0 || getppid() != parent)
			_exit(0);
		sleep_ns(MS);
	}
	return child;
}

static int signals_end_a_wait(void)
{
	pid_t child = start_nagging();
	int r = epoll_wait(fd.inner, &(struct epoll_event){ 0 }, 1, LONG);
	int error = errno;

	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	expect(r < 0 && error == EINTR, "SA_RESTART: epoll_wait gives %d", r);
	return OK;
}

/* What another thread may do to a thread that waits in epoll_wait. */
static void *harvest_one(void *data)
{
	int *got = data;
	int r;

	do {
		r = harvest(fd.inner, LONG);
	} while (r < 0 && errno == EINTR);
	__atomic_store_n(got, r, __ATOMIC_SEQ_CST);
	return NULL;
}

static void by_settime(void)
{
	arm_at(fd.timer, now_mono() + MS, 0);
}

static void by_add(void)
{
	watch(fd.inner, EPOLL_CTL_ADD, fd.other, EPOLLIN | EPOLLET);
}

static void by_write(void)
{
	eventfd_write(fd.event, 1);
}

static int wakes_a_waiting_thread(void)
{
	static const struct {
		void (*wake)(void);
		const char *name;
	} ways[] = { { by_settime, "a settime" }, { by_add, "the addition of a readable descriptor" },
		     { by_write, "a write" } };

	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	watch(fd.inner, EPOLL_CTL_ADD, fd.event, EPOLLIN);
	arm_at(fd.other, 1, 0);
	for (unsigned i = 0; i < 3; i++) {
		pthread_t thread;
		int got = -1;

		if (pthread_create(&thread, NULL, harvest_one, &got))
			return say(SKIPPED, "no thread");
		sleep_ns(2 * MS);	/* most likely it waits by then; if not, it is as good */
		ways[i].wake();
		pthread_join(thread, NULL);
		expect(got >= 1, "%s of another thread does not end an epoll_wait", ways[i].name);
	}
	return OK;
}

static pid_t plain_fork(void)
{
	return fork();
}

static pid_t raw_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static bool child_says_yes(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

static int wiped_on_fork(void)
{
	pid_t (*const ways[])(void) = { plain_fork, raw_clone };
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	volatile uint64_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool wiped = true;

	expect(page != MAP_FAILED, "mmap: %s", strerror(errno));
	expect(madvise((void *)page, size, MADV_WIPEONFORK) == 0, "madvise: %s", strerror(errno));
	*page = 1;
	for (unsigned i = 0; i < 2; i++) {
		pid_t child = ways[i]();

		if (child == 0) {
			pid_t grandchild;

			*page += 7;
			grandchild = *page == 7 ? fork() : -1;
			if (grandchild == 0)
				_exit(*page != 0);
			_exit(grandchild < 0 || !child_says_yes(grandchild) || *page != 7);
		}
		wiped &= child_says_yes(child) && *page == 1;
	}
	munmap((void *)page, size);
	expect(wiped, "a child does not find zeroes, or its parent does");
	return OK;
}

static int child_may_close(void)
{
	pid_t child;

	watch(fd.inner, EPOLL_CTL_ADD, fd.timer, EPOLLIN | EPOLLET);
	arm_at(fd.timer, now_mono() + 5 * MS, 0);
	child = fork();
	if (child == 0) {
		close_all();
		_exit(0);
	}
	expect(child_says_yes(child), "no child");
	expect(harvest(fd.inner, LONG) == 1, "a timer that a child closed is not reported");
	return OK;
}

static const struct {
	const char *name;
	const char *without;	/* what is broken; NULL: it costs time alone */
	int (*check)(void);
} facts[] = {
	{ "monotonic, boottime and realtime have timerfds", "no timers on that clock",
	  clocks_have_timerfds },
	{ "a timerfd is not readable before its clock shows the time", NULL, never_early },
	{ "an absolute time that is past expires at once", "due ticks are lost", past_fires },
	{ "a periodic one armed for the past goes on on its grid", "ticks are lost",
	  past_goes_on_on_its_grid },
	{ "value 0 disarms", "a stopped timer wakes the reactor for ever", zero_disarms },
	{ "settime takes readiness away", "shared timers spin", settime_clears },
	{ "a read of nothing is EAGAIN", "a stale event blocks the reactor", nothing_to_read },
	{ "a periodic timerfd keeps its grid and counts what nobody read", "ticks are lost",
	  keeps_the_grid },
	{ "a periodic timerfd that nobody reads interrupts once", NULL, no_storm },
	{ "2^63 - 1 ns and intervals of 2^62 ns can be armed", "start fails", takes_the_longest },
	{ "timer slack is not for timerfds", NULL, slack_is_not_for_timerfd },
	{ "CANCEL_ON_SET tells of a clock set by any amount", "realtime grids miss a set back",
	  clock_set_cancels },
	{ "settime arms, though it may say ECANCELED", "realtime timers go silent",
	  settime_after_a_clock_set },
	{ "descriptors beyond RLIMIT_NOFILE are EMFILE", "another error than documented",
	  limit_is_emfile },
	{ "armed for the end of time with CANCEL_ON_SET, it is told of a clock set",
	  "realtime grids miss a set back between a start and its arming", end_of_time_is_told },
	{ "TFD_IOC_SET_TICKS sets the count and makes it readable", NULL, ticks_can_be_set },
	{ "edge-triggered, each arming is reported once, read or not", "shared timers fall silent",
	  edge_comes_once },
	{ "settime takes an edge away that nobody has got yet", "stopped timers wake the reactor",
	  settime_takes_the_edge_away },
	{ "a periodic timerfd has no second edge until it is read", "overruns spin",
	  periodic_has_one_edge },
	{ "of several threads one is told of an edge", "threads wake each other for nothing",
	  edge_goes_to_one },
	{ "what a full harvest leaves comes in the next ones", "own timers starve", takes_turns },
	{ "EPOLL_CTL_DEL ends the events, copies or not", "freed timers spin", del_ends_events },
	{ "an epoll in poll or epoll is readable until its edges are harvested",
	  "a host loop sleeps on, or spins", nests },
	{ "every expiration is an edge to an outer epoll", "edge-triggered hosts sleep on",
	  every_expiration_is_an_edge },
	{ "every eventfd write is an edge to an outer epoll", "edge-triggered hosts sleep on",
	  every_write_is_an_edge },
	{ "an eventfd adds up, and stays readable when full", "a stop is lost", eventfd_counts },
	{ "a signal ends epoll_wait in spite of SA_RESTART", "dispatch is deaf to signals",
	  signals_end_a_wait },
	{ "settime, epoll_ctl and write wake a waiting thread", "starts go unseen",
	  wakes_a_waiting_thread },
	{ "MADV_WIPEONFORK: forked children find zeroes", "children disturb their parent",
	  wiped_on_fork },
	{ "a child that closes disturbs nothing", "children disturb their parent",
	  child_may_close },
};

int main(void)
{
	static const char *const words[] = { "ok", "differs", "skipped" };
	unsigned counts[3] = { 0 };
	int status = 0;
	struct utsname kernel;
	char name[sizeof(kernel.sysname) + sizeof(kernel.release) + 1];

	uname(&kernel);
	snprintf(name, sizeof(name), "%s %s", kernel.sysname, kernel.release);
	for (unsigned i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
		int outcome;

		*why = '\0';
		open_all();
		outcome = facts[i].check();
		close_all();
		counts[outcome]++;
		printf("%s\t%s%s%s\n", words[outcome], facts[i].name, *why ? "\t" : "", why);
		if (outcome != DIFFERS)
			continue;
		printf("\t%s\n", facts[i].without ? facts[i].without : "(costs time alone)");
		status |= facts[i].without != NULL;
	}
	printf("%s: %u facts as expected, %u differ, %u skipped\n", name, counts[OK],
	       counts[DIFFERS], counts[SKIPPED]);
	if (counts[SKIPPED])
		printf("SKIP: %u kernel facts, see above\n", counts[SKIPPED]);
	table_add("kernel_facts", name, counts[OK] + counts[DIFFERS], counts[DIFFERS]);
	return status;
}
