/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_REALTIME is set at any moment, forward and back, while timers on it run.
 *
 * The clock is one of this program's own: CLOCK_MONOTONIC and an offset, which may change
 * right before and right after each reading, and before each call for a timerfd. A timerfd
 * on it is one on CLOCK_MONOTONIC that tells of a change as the kernel does: it becomes
 * readable, and the next read or settime answers ECANCELED, once. Where read has said so it
 * is disarmed: nothing may rely on what the kernel leaves armed then.
 *
 * Nothing may be early, no tick may be lost from the count, and once the clock has come to
 * rest each timer on a grid is due within its interval, and ticks.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "splitmix64.h"
#include "witness.h"

#define US ASYNCTIMER_MICROSECOND
#define MS ASYNCTIMER_MILLISECOND
#define SECOND ASYNCTIMER_SECOND
#define HUNG_NS (20 * SECOND)

/* Whether the next call sets the clock is chance, at each of these places. */
enum place { BEFORE_READING, AFTER_READING, BEFORE_SETTIME, BEFORE_READ, PLACES };
static const char *const places[PLACES] = {
	"before a reading", "after a reading", "before a settime", "before a read",
};

static bool may_be_set;
static unsigned steps[PLACES];
static uint64_t offset_ns = UINT64_C(1000000000) * SECOND;
static uint64_t random_state;
static unsigned violations;

static struct {
	bool real;		/* on the clock of our own */
	bool canceled;		/* and it has not told so yet */
} fds[1024];

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old);
ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
int __real_close(int fd);
int __wrap_close(int fd);

static unsigned any(unsigned bound)
{
	return (unsigned)(splitmix64(&random_state) >> 33) % bound;
}

static void violation(const char *what, unsigned timer)
{
	printf("timer %u: %s\n", timer, what);
	fflush(stdout);
	if (++violations == 5)
		exit(EXIT_FAILURE);
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	__real_clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static uint64_t ns_of(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_nsec;
}

/* Sometimes, by up to an hour. Every timerfd becomes readable. */
static void chance(enum place place)
{
	static const struct itimerspec at_once = { .it_value.tv_nsec = 1 };

	if (!may_be_set || any(40))
		return;
	steps[place]++;
	offset_ns += any(7200001) * MS;
	offset_ns -= 3600 * SECOND;
	for (int fd = 0; fd < 1024; fd++)
		if (fds[fd].real) {
			fds[fd].canceled = true;
			__real_timerfd_settime(fd, 0, &at_once, NULL);
		}
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_REALTIME)
		return __real_clock_gettime(clock, ret);
	chance(BEFORE_READING);
	*ret = asynctimer__timespec(monotonic_ns() + offset_ns);
	chance(AFTER_READING);
	return 0;
}

int __wrap_timerfd_create(int clock, int flags)
{
	int fd = __real_timerfd_create(clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : clock, flags);

	if (fd >= 1024)
		abort();
	if (fd >= 0)
		fds[fd].real = clock == CLOCK_REALTIME;
	return fd;
}

/* ECANCELED, if it has not been told yet. */
static int tell(int fd)
{
	if (!fds[fd].canceled)
		return 0;
	fds[fd].canceled = false;
	errno = ECANCELED;
	return -1;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
	struct itimerspec ours = *when;
	uint64_t due_ns = ns_of(&when->it_value);

	if (!fds[fd].real)
		return __real_timerfd_settime(fd, flags, when, old);
	if (flags != (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		abort();
	chance(BEFORE_SETTIME);
	ours.it_value = asynctimer__timespec(due_ns > offset_ns ? due_ns - offset_ns : 1);
	if (__real_timerfd_settime(fd, TFD_TIMER_ABSTIME, &ours, old) < 0)
		abort();
	return tell(fd);
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
	static const struct itimerspec never = { 0 };

	if (!fds[fd].real)
		return __real_read(fd, buffer, size);
	chance(BEFORE_READ);
	if (tell(fd) == 0)
		return __real_read(fd, buffer, size);
	__real_timerfd_settime(fd, 0, &never, NULL);
	errno = ECANCELED;
	return -1;
}

int __wrap_close(int fd)
{
	fds[fd].real = fds[fd].canceled = false;
	return __real_close(fd);
}

/*
 * The timers.
 */

static struct subject {
	int policy;
	bool own;
	uint64_t slack_ns;
	struct asynctimer *timer;
	uint64_t number;
	unsigned callbacks;
	bool pending;		/* tick number is deferred */
	bool waits;		/* for a first tick, which was asked for on a clock that may have been set since */
} subjects[] = {
	{ ASYNCTIMER_FIXED_SCHEDULE, true, 0, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_FIXED_SCHEDULE, true, 0, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_FIXED_SCHEDULE, true, 0, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_FIXED_SCHEDULE, false, 0, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_FIXED_SCHEDULE, false, 0, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_FIXED_SCHEDULE, false, 30 * US, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_ONCE, true, 0, 0, 0, 0, 0, 0 },
	{ ASYNCTIMER_ONCE, false, 0, 0, 0, 0, 0, 0 },
};

#define COUNT (sizeof(subjects) / sizeof(*subjects))
#define LONGEST_NS (300 * US)

static struct asynctimer_reactor *reactor;

static void must(int r)
{
	if (r < 0) {
		printf("failed: %s\n", strerror(-r));
		exit(EXIT_FAILURE);
	}
}

static uint64_t any_interval_ns(void)
{
	return 50 * US + any(250) * US;
}

static void start(struct subject *subject)
{
	must(asynctimer_start_after(subject->timer, any(100) * US));
	subject->waits = true;
}

/* For up to two and a half intervals. */
static void work(void)
{
	uint64_t until_ns = monotonic_ns() + any(750) * US;

	while (monotonic_ns() < until_ns)
		;
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *subject = data;
	unsigned index = (unsigned)(subject - subjects);

	if (tick->number != subject->number + 1 + tick->skipped_busy + tick->skipped_late)
		violation("a tick is not accounted for", index);
	if (tick->now_ns < tick->due_ns)
		violation("a callback before its time", index);
	if (subject->policy == ASYNCTIMER_ONCE && tick->number != subject->number + 1)
		violation("a tick of once was skipped", index);
	subject->number = tick->number;
	subject->callbacks++;
	subject->waits = false;
	if (any(3) == 0)
		work();
	if (subject->policy == ASYNCTIMER_ONCE)
		start(subject);
	else if (any(10) == 0)
		must(asynctimer_set_interval(timer, any_interval_ns()));
	if (any(10) == 0) {
		subject->pending = true;
		return ASYNCTIMER_PENDING;
	}
	return any(10) ? ASYNCTIMER_DONE : -EIO;
}

static void on_failure(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	(void)data;
	if (any(3) == 0)
		work();
}

static void make(struct subject *subject)
{
	if (subject->own)
		must(asynctimer_new(reactor, CLOCK_REALTIME, any_interval_ns(), subject->policy, on_tick,
				    subject, &subject->timer));
	else
		must(asynctimer_new_shared(reactor, CLOCK_REALTIME, any_interval_ns(), subject->policy,
					   subject->slack_ns, on_tick, subject, &subject->timer));
	must(asynctimer_set_error_handler(subject->timer, on_failure));
	start(subject);
}

static void complete(struct subject *subject)
{
	if (!subject->pending)
		return;
	subject->pending = false;
	must(asynctimer_complete(subject->timer, subject->number, any(2) ? 0 : -EIO));
}

static void act(void)
{
	struct subject *subject = &subjects[any(COUNT)];

	switch (any(6)) {
	case 0:
		must(asynctimer_set_interval(subject->timer, any_interval_ns()));
		break;
	case 1:
		must(asynctimer_stop(subject->timer));
		start(subject);
		break;
	case 2:
		must(asynctimer_restart_after(subject->timer, any(100) * US));
		subject->waits = true;
		break;
	default:
		complete(subject);
	}
}

static void dispatch_for(uint64_t ns)
{
	uint64_t until_ns = monotonic_ns() + ns;

	do
		must(asynctimer_reactor_dispatch(reactor, 0));
	while (monotonic_ns() < until_ns);
}

/* On its grid it is due within an interval. */
static bool is_due_in_time(const struct subject *subject)
{
	uint64_t due_ns = asynctimer_next_due_ns(subject->timer);

	return due_ns <= asynctimer_now_ns(subject->timer) + LONGEST_NS;
}

/* The clock is at rest, and the timers get the time to see what became of it. */
static void check_subject(struct subject *subject)
{
	unsigned index = (unsigned)(subject - subjects), before;
	uint64_t hung_ns;

	/* It may wait for a time that the clock was set back from. */
	if (subject->waits) {
		must(asynctimer_stop(subject->timer));
		start(subject);
	} else if (subject->policy == ASYNCTIMER_FIXED_SCHEDULE && !is_due_in_time(subject)) {
		violation("silent for longer than its interval", index);
	}
	before = subject->callbacks;
	hung_ns = monotonic_ns() + HUNG_NS;
	while (subject->callbacks == before && monotonic_ns() < hung_ns) {
		must(asynctimer_reactor_dispatch(reactor, (int64_t)MS));
		complete(subject);
	}
	if (subject->callbacks == before)
		violation("dead", index);
}

static void round_of_steps(void)
{
	may_be_set = true;
	for (unsigned i = 0; i < 20; i++) {
		act();
		must(asynctimer_reactor_dispatch(reactor, (int64_t)(200 * US)));
	}
	may_be_set = false;
	for (unsigned i = 0; i < COUNT; i++)
		complete(&subjects[i]);
	dispatch_for(MS);
	for (unsigned i = 0; i < COUNT; i++)
		check_subject(&subjects[i]);
}

static unsigned sum_of_steps(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < PLACES; i++)
		sum += steps[i];
	return sum;
}

static void report(uint64_t seed)
{
	unsigned callbacks = 0;

	for (unsigned i = 0; i < COUNT; i++)
		callbacks += subjects[i].callbacks;
	for (unsigned i = 0; i < PLACES; i++)
		printf("%-18s the clock was set %u times\n", places[i], steps[i]);
	printf("%u callbacks, %u violations, seed %" PRIu64 "\n", callbacks, violations, seed);
	table_add("steps of the clock", "at any moment", sum_of_steps(), violations);
}

/* ASYNCTIMER_LONG_TESTS=1: for some minutes. ASYNCTIMER_SEED: for the same choices once more. */
int main(void)
{
	const char *given = getenv("ASYNCTIMER_SEED");
	uint64_t seed = given && *given ? strtoull(given, NULL, 0) : monotonic_ns();
	unsigned most = getenv("ASYNCTIMER_LONG_TESTS") ? 200000 : 3000;

	random_state = seed;
	must(asynctimer_reactor_new(&reactor));
	for (unsigned i = 0; i < COUNT; i++)
		make(&subjects[i]);
	while (sum_of_steps() < most)
		round_of_steps();
	for (unsigned i = 0; i < COUNT; i++)
		complete(&subjects[i]);
	must(asynctimer_reactor_free(reactor));
	report(seed);
	for (unsigned i = 0; i < PLACES; i++)
		if (!steps[i]) {
			printf("the clock was never set %s\n", places[i]);
			violations++;
		}
	return violations ? EXIT_FAILURE : EXIT_SUCCESS;
}
