/* SPDX-License-Identifier: MIT */
/*
 * Every call that the library makes fails: the first, the second, ... until a
 * run in which it was not reached; once, and from then on; with each errno. A
 * script uses the library meanwhile. Then the fault is gone: every timer that
 * was said to be started ticks, all counts add up, the reactor comes to rest
 * and can be used, and nothing is left when it is freed.
 *
 * No Check here: a run is a fraction of a millisecond, and what it leaves
 * behind must be the library's alone.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "asynctimer.h"
#include "wrap.h"

#define US ASYNCTIMER_MICROSECOND
#define MS ASYNCTIMER_MILLISECOND
#define SECOND ASYNCTIMER_SECOND
#define FOR_EVER 1000000000u
#define HUNG_NS (10 * SECOND)

/* The library's calls are wrapped, the test's own are not. */
#define LIB(call)                                                                                  \
	__extension__({                                                                            \
		__typeof__(call) result_;                                                          \
		wrap_inside = true;                                                                \
		result_ = (call);                                                                  \
		wrap_inside = false;                                                               \
		result_;                                                                           \
	})

/* How time passes. */
enum loop {
	DISPATCH,	/* in dispatch with a timeout */
	POLL,		/* dispatch without one when the descriptor is readable */
	EDGE,		/* the same, edge-triggered */
	THREADS,	/* two threads in run */
	ADVANCE		/* a virtual reactor */
};

enum trait {
	PLAIN,
	FAILS,		/* every other callback */
	OVERRUNS,	/* every fourth callback takes two intervals */
	DEFERS,		/* and is completed some turns later */
	RESTARTS	/* stops and starts itself, and changes its interval */
};

struct kind {
	enum trait trait;
	int clock;
	int policy;
	uint64_t interval_ns;
	uint64_t slack_ns;
	bool shared;
};

/* A timer under observation; several threads: its callbacks never overlap. */
struct subject {
	const struct kind *kind;
	struct asynctimer *timer;	/* NULL: it could not be made */
	uint64_t interval_ns;
	uint64_t number;
	uint64_t due_ns;
	uint64_t ended_ns;
	unsigned callbacks;		/* atomic */
	unsigned target;
	unsigned made;
	unsigned released;
	unsigned handled;
	unsigned turns;			/* that its tick is open */
	int pending;			/* atomic: its tick is deferred */
	int overruns;			/* atomic */
	bool restarted;			/* the next due may be anywhere */
};

struct scenario {
	const char *name;
	const struct kind *kinds;
	unsigned count;
	enum loop loop;
};

struct fault {
	enum wrap_call call;
	int error;
	bool happens;
};

#define SUBJECTS 48

#define EACH(subject)                                                                              \
	(struct subject *subject = subjects; subject < subjects + scenario->count; subject++)

static const struct scenario *scenario;
static const struct fault *fault;
static unsigned fault_at;
static unsigned fault_times;
static unsigned violations;	/* atomic */
static unsigned met[WRAP_CALLS];

static struct asynctimer_reactor *reactor;
static struct subject subjects[SUBJECTS];
static int64_t offset_at_first_ms;
static int outer_fd = -1;	/* of a host's loop */
static bool pending_dispatch;	/* the host's last one failed: it will try again */
static pthread_t threads[2];
static unsigned threads_running;
static int run_error;

static void describe(char *text, size_t size)
{
	snprintf(text, size, "%s: %s call %u, %s, %s%s", scenario->name, wrap_name(fault->call),
		 fault_at, fault->error ? strerror(fault->error) : "nothing done",
		 fault_times == 1 ? "once" : "from then on", fault->happens ? ", though done" : "");
}

__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...)
{
	char text[300];
	va_list arguments;

	describe(text, sizeof(text));
	printf("%s: ", text);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	/* The rest would only take long: a dead timer is waited for. */
	if (__atomic_add_fetch(&violations, 1, __ATOMIC_SEQ_CST) == 4)
		_exit(EXIT_FAILURE);
}

/* Hung or crashed: say where. */
static void on_signal(int number)
{
	char text[300];

	describe(text, sizeof(text));
	printf("%s: signal %d\n", text, number);
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

static uint64_t now_ns(int clock)
{
	struct timespec now;
	bool inside = wrap_inside;

	wrap_inside = false;
	clock_gettime(clock, &now);
	wrap_inside = inside;
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/*
 * Results: a call fails for the fault alone, and as documented.
 */

static int documented_error(void)
{
	switch (fault->call) {
	case WRAP_MMAP:
		return -ENOMEM;
	case WRAP_MADVISE:
		return fault->error == EINVAL ? -EOPNOTSUPP : -fault->error;
	default:
		return -fault->error;
	}
}

static unsigned failed_before;

static int check_may_fail(int r, const char *what)
{
	if (r < 0 && (r != documented_error() || fault->happens || wrap_failed() == failed_before))
		violation("%s = %d", what, r);
	return r;
}

/* It may fail if the fault is met in it. */
#define MAY_FAIL(call) (failed_before = wrap_failed(), check_may_fail(LIB(call), #call))

#define EXPECT(call, expected)                                                                     \
	do {                                                                                       \
		int r_ = LIB(call);                                                                \
		if (r_ != (expected))                                                              \
			violation("%s = %d", #call, r_);                                           \
	} while (0)

/*
 * Ticks.
 */

/* Of CLOCK_REALTIME to CLOCK_MONOTONIC, to the millisecond: another process may set the clock. */
static int64_t offset_ms(void)
{
	return ((int64_t)now_ns(CLOCK_REALTIME) - (int64_t)now_ns(CLOCK_MONOTONIC)) / (int64_t)MS;
}

static bool clock_lies(const struct kind *kind)
{
	if (fault->call == WRAP_CLOCK_GETTIME)
		return true;
	return kind->clock == CLOCK_REALTIME && llabs(offset_ms() - offset_at_first_ms) > 1;
}

static void check_tick(struct subject *subject, const struct asynctimer_tick *tick)
{
	const struct kind *kind = subject->kind;
	uint64_t advanced = 1 + tick->skipped_busy + tick->skipped_late;

	if (tick->number != subject->number + advanced)
		violation("tick %ju after %ju, %ju skipped", (uintmax_t)tick->number,
			  (uintmax_t)subject->number, (uintmax_t)advanced - 1);
	if (tick->now_ns < tick->due_ns)
		violation("a callback before its time");
	if (clock_lies(kind))
		return;
	if (scenario->loop != ADVANCE && now_ns(kind->clock) < tick->due_ns)
		violation("a callback before its time, by the test's own clock");
	if (subject->callbacks == 0 || subject->restarted)
		return;
	if (kind->policy == ASYNCTIMER_FIXED_SCHEDULE &&
	    tick->due_ns != subject->due_ns + advanced * subject->interval_ns)
		violation("off its grid by %jd ns", (intmax_t)(tick->due_ns - subject->due_ns -
							       advanced * subject->interval_ns));
	if (kind->policy == ASYNCTIMER_FIXED_DELAY &&
	    tick->due_ns < subject->ended_ns + subject->interval_ns)
		violation("a delay that is too short");
	if (kind->policy == ASYNCTIMER_ONCE && advanced != 1)
		violation("a tick of once was skipped");
}

/* In its callback a timer of ASYNCTIMER_ONCE is stopped already. */
static void start_again(struct subject *subject)
{
	EXPECT(asynctimer_is_started(subject->timer), 0);
	EXPECT(asynctimer_restart_after(subject->timer, subject->interval_ns), 0);
	if (subject->callbacks % 2)
		EXPECT(asynctimer_start(subject->timer), 1);
	else
		EXPECT(asynctimer_start_after(subject->timer, subject->interval_ns / 2), 1);
}

static void restart(struct subject *subject)
{
	subject->restarted = true;
	if (subject->callbacks % 3 == 0) {
		EXPECT(asynctimer_restart_after(subject->timer, subject->interval_ns / 2), 1);
	} else if (subject->callbacks % 2) {
		EXPECT(asynctimer_stop(subject->timer), 1);
		EXPECT(asynctimer_start(subject->timer), 1);
	} else {
		subject->interval_ns = 3 * subject->kind->interval_ns - subject->interval_ns;
		EXPECT(asynctimer_set_interval(subject->timer, subject->interval_ns), 1);
	}
}

static void work(struct subject *subject)
{
	const struct kind *kind = subject->kind;
	uint64_t until_ns = now_ns(kind->clock) + 2 * kind->interval_ns;

	__atomic_store_n(&subject->overruns, 1, __ATOMIC_SEQ_CST);
	if (scenario->loop == ADVANCE)
		EXPECT(asynctimer_reactor_advance(reactor, 2 * kind->interval_ns), 0);
	else
		while (now_ns(kind->clock) < until_ns)
			;
	__atomic_store_n(&subject->overruns, 0, __ATOMIC_SEQ_CST);
}

static int do_as_its_kind(struct subject *subject)
{
	switch (subject->kind->trait) {
	case FAILS:
		return subject->callbacks % 2 ? -EIO : ASYNCTIMER_DONE;
	case OVERRUNS:
		if (subject->callbacks % 4 == 1)
			work(subject);
		return ASYNCTIMER_DONE;
	case DEFERS:
		subject->turns = 0;
		__atomic_store_n(&subject->pending, 1, __ATOMIC_SEQ_CST);
		return ASYNCTIMER_PENDING;
	case RESTARTS:
		restart(subject);
		return ASYNCTIMER_DONE;
	default:
		return ASYNCTIMER_DONE;
	}
}

static int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct subject *subject = data;
	int r;

	wrap_inside = false;
	if (timer != subject->timer)
		violation("a callback for another timer");
	check_tick(subject, tick);
	subject->number = tick->number;
	subject->due_ns = tick->due_ns;
	subject->restarted = false;
	__atomic_add_fetch(&subject->callbacks, 1, __ATOMIC_SEQ_CST);
	if (subject->kind->policy == ASYNCTIMER_ONCE)
		start_again(subject);
	r = do_as_its_kind(subject);
	if (scenario->loop != ADVANCE && r != ASYNCTIMER_PENDING)
		subject->ended_ns = now_ns(subject->kind->clock);
	wrap_inside = true;
	return r;
}

static void on_error(struct asynctimer *timer, int error, void *data)
{
	struct subject *subject = data;

	(void)timer;
	if (error != -EIO)
		violation("a failure of %d", error);
	subject->handled++;
}

static void on_release(void *data)
{
	struct subject *subject = data;

	subject->released++;
}

/*
 * The steps of the script.
 */

static void make_reactor(void)
{
	struct asynctimer_reactor *const untouched = (struct asynctimer_reactor *)&scenario;
	struct asynctimer_reactor *made = untouched;
	int r;

	if (scenario->loop == ADVANCE)
		r = MAY_FAIL(asynctimer_reactor_new_virtual(&made));
	else
		r = MAY_FAIL(asynctimer_reactor_new(&made));
	if (r < 0 && made != untouched)
		violation("a reactor that failed was written");
	reactor = r < 0 ? NULL : made;
	if (reactor && scenario->loop == EDGE) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLET };

		outer_fd = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(outer_fd, EPOLL_CTL_ADD, asynctimer_reactor_fd(reactor), &event);
	}
}

/* False if the timer could not be made. */
static bool try_to_make(struct subject *subject, uint64_t slack_ns)
{
	struct asynctimer *const untouched = (struct asynctimer *)&scenario;
	const struct kind *kind = subject->kind;
	struct asynctimer *timer = untouched;
	int fds = wrap_fds;
	int r;

	if (kind->shared)
		r = MAY_FAIL(asynctimer_new_shared(reactor, kind->clock, kind->interval_ns,
						   kind->policy, slack_ns, on_tick, subject,
						   &timer));
	else
		r = MAY_FAIL(asynctimer_new(reactor, kind->clock, kind->interval_ns, kind->policy,
					    on_tick, subject, &timer));
	if (r < 0 && (timer != untouched || wrap_fds != fds))
		violation("a timer that failed left something");
	subject->timer = r < 0 ? NULL : timer;
	return r == 0;
}

static void make(struct subject *subject, const struct kind *kind)
{
	struct asynctimer *timer;
	int memory;

	*subject = (struct subject){ .kind = kind, .interval_ns = kind->interval_ns };
	if (!try_to_make(subject, kind->slack_ns)) {
		/* Tables may have grown; what fails once more takes nothing more. */
		memory = wrap_memory;
		if (fault_times == 1 || try_to_make(subject, kind->slack_ns + 1))
			return;
		if (wrap_memory != memory)
			violation("a timer that failed left %d allocations", wrap_memory - memory);
		return;
	}
	timer = subject->timer;
	subject->made++;
	asynctimer_set_release(timer, on_release);
	EXPECT(asynctimer_set_error_handler(timer, on_error), 1);
	if (asynctimer_get_reactor(timer) != reactor || asynctimer_get_data(timer) != subject)
		violation("not what the timer was made with");
}

static uint64_t timer_now_ns(const struct subject *subject)
{
	return LIB(asynctimer_now_ns(subject->timer));
}

static void start(struct subject *subject, unsigned how)
{
	int r;

	if (!subject->timer)
		return;
	subject->restarted = true;
	if (how % 3 == 0)
		r = MAY_FAIL(asynctimer_start(subject->timer));
	else if (how % 3 == 1)
		r = MAY_FAIL(asynctimer_start_after(subject->timer, how % 2 * subject->interval_ns));
	else
		r = MAY_FAIL(asynctimer_start_at(subject->timer,
						 subject->kind->clock == CLOCK_REALTIME ?
							 0 : timer_now_ns(subject)));
	if (r < 0 && (subject->kind->shared || fault->call != WRAP_SETTIME))
		violation("a start failed with %d", r);
	EXPECT(asynctimer_is_started(subject->timer), r == 1);
	/* A delay that is still open is not due yet. */
	if (subject->kind->policy != ASYNCTIMER_FIXED_DELAY &&
	    (LIB(asynctimer_next_due_ns(subject->timer)) == UINT64_MAX) != (r < 0))
		violation("a started timer is never due");
}

static void complete(struct subject *subject)
{
	__atomic_store_n(&subject->pending, 0, __ATOMIC_SEQ_CST);
	subject->ended_ns = timer_now_ns(subject);
	EXPECT(asynctimer_complete(subject->timer, subject->number, 0), 0);
}

/* What has been deferred for so many turns. */
static void complete_some(unsigned turns)
{
	for EACH(subject)
		if (subject->timer && __atomic_load_n(&subject->pending, __ATOMIC_SEQ_CST) &&
		    ++subject->turns > turns)
			complete(subject);
}

static bool is_readable(uint64_t timeout_ns)
{
	struct timespec timeout = { 0, (long)timeout_ns };
	struct pollfd inner = { .fd = asynctimer_reactor_fd(reactor), .events = POLLIN };
	struct epoll_event event;

	if (scenario->loop == EDGE) {
		inner.fd = outer_fd;
		return ppoll(&inner, 1, &timeout, NULL) == 1 && epoll_wait(outer_fd, &event, 1, 0) == 1;
	}
	return ppoll(&inner, 1, &timeout, NULL) == 1;
}

/* Lets some time pass, at most that much of it without an event. */
static void turn(uint64_t timeout_ns)
{
	int r = 0;

	switch (scenario->loop) {
	case DISPATCH:
		r = MAY_FAIL(asynctimer_reactor_dispatch(reactor, (int64_t)timeout_ns));
		break;
	case POLL:
	case EDGE:
		if (pending_dispatch || is_readable(timeout_ns))
			r = MAY_FAIL(asynctimer_reactor_dispatch(reactor, 0));
		/* Told of no event, it took none: there is no edge again. */
		pending_dispatch = r < 0 || fault->call == WRAP_EPOLL_WAIT;
		break;
	case THREADS:
		sched_yield();
		break;
	case ADVANCE:
		r = LIB(asynctimer_reactor_advance(reactor, timeout_ns));
		break;
	}
	if (r < 0 && fault->call != WRAP_EPOLL_WAIT && fault->call != WRAP_PPOLL)
		violation("dispatch failed with %d", r);
}

static void *run(void *data)
{
	int r;

	(void)data;
	r = LIB(asynctimer_reactor_run(reactor));
	if (r < 0 && (r != documented_error() || r == -EINTR || fault->call != WRAP_EPOLL_WAIT))
		violation("run = %d", r);
	if (r < 0)
		__atomic_store_n(&run_error, r, __ATOMIC_SEQ_CST);
	return NULL;
}

static void begin_threads(void)
{
	if (scenario->loop != THREADS)
		return;
	for (; threads_running < 2; threads_running++)
		if (pthread_create(&threads[threads_running], NULL, run, NULL) != 0)
			abort();
}

/* The fault must be gone: what wakes the threads may have been it. */
static void join_threads(void)
{
	wrap_inside = true;
	asynctimer_reactor_stop(reactor);
	wrap_inside = false;
	for (; threads_running; threads_running--)
		pthread_join(threads[threads_running - 1], NULL);
}

static void end_threads(void)
{
	if (scenario->loop != THREADS || !reactor)
		return;
	join_threads();
	EXPECT(asynctimer_reactor_restart(reactor), 1);
}

static void stop(struct subject *subject, bool nowait)
{
	uint64_t until_ns = now_ns(CLOCK_MONOTONIC) + MS;
	int started;

	if (!subject->timer)
		return;
	/* A stop has to wait if it can be had. */
	while (scenario->loop == THREADS && subject->kind->trait == OVERRUNS &&
	       !__atomic_load_n(&subject->overruns, __ATOMIC_SEQ_CST) &&
	       now_ns(CLOCK_MONOTONIC) < until_ns)
		sched_yield();
	started = LIB(asynctimer_is_started(subject->timer));
	if (nowait && scenario->loop != THREADS)
		EXPECT(asynctimer_stop_nowait(subject->timer), started);
	else
		EXPECT(asynctimer_stop(subject->timer), started);
}

static void set_interval(struct subject *subject)
{
	if (!subject->timer || subject->kind->trait == RESTARTS || scenario->loop == THREADS)
		return;
	subject->restarted = true;
	subject->interval_ns += 10 * US;
	EXPECT(asynctimer_set_interval(subject->timer, subject->interval_ns), 1);
}

/* Where the kernel refuses, the old tick stays. With threads a callback may come in between, and the grid is unknown. */
static void restart_after(struct subject *subject, uint64_t delay_ns)
{
	uint64_t due_ns;
	int started, r;

	if (!subject->timer)
		return;
	due_ns = LIB(asynctimer_next_due_ns(subject->timer));
	started = LIB(asynctimer_is_started(subject->timer));
	if (scenario->loop == THREADS && started)
		return;
	subject->restarted = true;
	r = MAY_FAIL(asynctimer_restart_after(subject->timer, delay_ns));
	if (r < 0 && (subject->kind->shared || fault->call != WRAP_SETTIME))
		violation("a restart failed with %d", r);
	EXPECT(asynctimer_is_started(subject->timer), started);
	if (r >= 0 && r != started)
		violation("restart_after = %d of a timer that %s", r, started ? "runs" : "is stopped");
	if (r < 0 && LIB(asynctimer_next_due_ns(subject->timer)) != due_ns)
		violation("a restart that failed moved the tick");
}

/* To copy what there is cannot fail. */
static void look(void)
{
	struct asynctimer_info infos[SUBJECTS];
	struct asynctimer_reactor_stats stats = { 0 };
	unsigned timers = 0;

	for EACH(subject)
		timers += subject->timer != NULL;
	EXPECT(asynctimer_reactor_list(reactor, SUBJECTS, sizeof(*infos), infos), (int)timers);
	EXPECT(asynctimer_reactor_get_stats(reactor, sizeof(stats), &stats), 0);
	if (stats.timers != timers)
		violation("%ju timers instead of %u", (uintmax_t)stats.timers, timers);
	for (unsigned i = 0; i < timers; i++)
		EXPECT(asynctimer_get_info(infos[i].timer, sizeof(*infos), &infos[i]), 0);
}

static bool expects_tick(const struct subject *subject)
{
	return subject->timer && LIB(asynctimer_is_started(subject->timer));
}

static void script(void)
{
	uint64_t timeout_ns = scenario->loop == ADVANCE ? MS : 100 * US;

	make_reactor();
	if (!reactor)
		return;
	for EACH(subject)
		make(subject, &scenario->kinds[subject - subjects]);
	begin_threads();
	for EACH(subject)
		start(subject, (unsigned)(subject - subjects));
	set_interval(&subjects[3]);
	for (unsigned i = 0; i < 6; i++) {
		turn(timeout_ns);
		complete_some(2);
	}
	/* Stopped in all ways, in all states; half of them are started again. */
	for EACH(subject) {
		if ((subject - subjects) % 3 == 1)
			set_interval(subject);
		else if ((subject - subjects) % 3 == 2)
			stop(subject, (subject - subjects) % 2);
	}
	look();
	turn(timeout_ns);
	for EACH(subject)
		if (!expects_tick(subject) && (subject - subjects) % 2)
			start(subject, 0);
	/* Later, at once, and what is stopped. */
	for EACH(subject)
		restart_after(subject, (subject - subjects) % 3 * 20 * US);
	wrap_inside = true;
	if (scenario->loop == POLL || scenario->loop == EDGE)
		asynctimer_free_nowait(subjects[0].timer);
	else
		asynctimer_free(subjects[0].timer);
	wrap_inside = false;
	subjects[0].timer = NULL;
	turn(timeout_ns);
	complete_some(1);
}

/*
 * After the fault.
 */

static bool all_ticked(void)
{
	for EACH(subject)
		if (subject->target &&
		    __atomic_load_n(&subject->callbacks, __ATOMIC_SEQ_CST) < subject->target)
			return false;
	return true;
}

/* No timer is silently dead. */
static void check_alive(void)
{
	uint64_t hung_ns = now_ns(CLOCK_MONOTONIC) + HUNG_NS;

	for EACH(subject) {
		subject->target = 0;
		if (expects_tick(subject))
			subject->target =
				__atomic_load_n(&subject->callbacks, __ATOMIC_SEQ_CST) + 2;
	}
	while (!all_ticked() && now_ns(CLOCK_MONOTONIC) < hung_ns) {
		turn(scenario->loop == ADVANCE ? MS : 500 * MS);
		complete_some(0);
	}
	if (all_ticked())
		return;
	for EACH(subject)
		if (subject->callbacks < subject->target)
			violation("timer %u is dead: %u callbacks of %u", (unsigned)(subject - subjects),
				  subject->callbacks, subject->target);
}

static int on_wake(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)timer;
	(void)tick;
	__atomic_store_n((int *)data, 1, __ATOMIC_SEQ_CST);
	return ASYNCTIMER_DONE;
}

/* What is due at once wakes the reactor. */
static void check_wakes(void)
{
	uint64_t hung_ns = now_ns(CLOCK_MONOTONIC) + HUNG_NS;
	struct asynctimer *timer = NULL;
	int woken = 0;

	EXPECT(asynctimer_new_shared(reactor, CLOCK_MONOTONIC, SECOND, ASYNCTIMER_FIXED_DELAY, 0,
				     on_wake, &woken, &timer), 0);
	EXPECT(asynctimer_start_after(timer, 0), 1);
	while (!__atomic_load_n(&woken, __ATOMIC_SEQ_CST) && now_ns(CLOCK_MONOTONIC) < hung_ns)
		turn(500 * MS);
	if (!woken)
		violation("a start wakes nobody");
	wrap_inside = true;
	asynctimer_free(timer);
	wrap_inside = false;
}

static void check_counts(const struct subject *subject)
{
	struct asynctimer_stats stats = { 0 };
	struct asynctimer_info info = { 0 };

	EXPECT(asynctimer_get_stats(subject->timer, &stats), 0);
	EXPECT(asynctimer_get_info(subject->timer, sizeof(info), &info), 0);
	if (info.timer != subject->timer || info.data != subject || info.started || info.open ||
	    info.number != subject->number || info.interval_ns != subject->interval_ns ||
	    memcmp(&info.stats, &stats, sizeof(stats)) != 0)
		violation("what is told about a timer is off");
	if (stats.callbacks != subject->callbacks || stats.failures != subject->handled ||
	    stats.callbacks + stats.skipped_busy + stats.skipped_late != subject->number)
		violation("the counts are off");
	if (stats.busy_since_ns)
		violation("a tick is open that was completed");
}

/* With nothing started the descriptor is not readable, after what was on its way. */
static void check_rest(void)
{
	uint64_t hung_ns = now_ns(CLOCK_MONOTONIC) + SECOND;
	struct pollfd inner = { .fd = asynctimer_reactor_fd(reactor), .events = POLLIN };
	int r;

	if (scenario->loop == ADVANCE) {
		EXPECT(asynctimer_reactor_advance(reactor, SECOND), 0);
		return;
	}
	while ((r = ppoll(&inner, 1, &(struct timespec){ 0, 250000 }, NULL)) == 1 && now_ns(CLOCK_MONOTONIC) < hung_ns)
		EXPECT(asynctimer_reactor_dispatch(reactor, 0), 0);
	if (r != 0)
		violation("a reactor at rest is readable for ever");
}

static void free_all(void)
{
	/* Some before, the rest by the reactor. */
	for EACH(subject) {
		wrap_inside = true;
		if ((subject - subjects) % 4 == 1)
			asynctimer_free(subject->timer);
		else if ((subject - subjects) % 4 == 3)
			asynctimer_free_nowait(subject->timer);
		wrap_inside = false;
	}
	EXPECT(asynctimer_reactor_free(reactor), 0);
	for EACH(subject)
		if (subject->released != subject->made)
			violation("released %u times", subject->released);
	if (outer_fd >= 0)
		close(outer_fd);
	outer_fd = -1;
	reactor = NULL;
}

static void recover(void)
{
	end_threads();
	if (!reactor) {
		make_reactor();
		memset(subjects, 0, sizeof(subjects));
	}
	begin_threads();
	/* A wake-up that could not be written is lost; an edge is not even told of later ones. */
	if (fault->call == WRAP_WRITE && fault->error == EPERM) {
		if (scenario->loop == EDGE)
			EXPECT(asynctimer_reactor_restart(reactor), 0);
		check_wakes();
	}
	check_alive();
	for EACH(subject)
		stop(subject, false);
	end_threads();
	complete_some(0);
	check_rest();
	for EACH(subject)
		if (subject->timer)
			check_counts(subject);
	for EACH(subject) {
		if (!subject->timer && subject != subjects)
			make(subject, &scenario->kinds[subject - subjects]);
		start(subject, 0);
	}
	begin_threads();
	check_alive();
	end_threads();
	complete_some(0);
	free_all();
}

/* From here on, the fault. */
static void refuse(void)
{
	wrap_fail((struct wrap_fault){ fault->call, fault_at, fault_times, fault->error,
				       fault->happens });
}

/* True if the fault was met. */
static bool run_case(unsigned at, unsigned times)
{
	int fds = count_fds(), memory = wrap_memory, library_fds = wrap_fds;
	size_t mapped = wrap_mapped;
	unsigned failed;

	fault_at = at;
	fault_times = times;
	offset_at_first_ms = offset_ms();
	pending_dispatch = false;
	alarm(60);
	refuse();
	script();
	failed = wrap_end();
	met[fault->call] += failed > 0;
	recover();
	if (wrap_memory != memory)
		violation("%d allocations leaked", wrap_memory - memory);
	if (wrap_mapped != mapped)
		violation("%zd bytes still mapped", (ssize_t)(wrap_mapped - mapped));
	if (wrap_fds != library_fds || count_fds() != fds)
		violation("descriptors left open: %d", count_fds() - fds);
	return failed > 0;
}

#define MONO CLOCK_MONOTONIC
#define BOOT CLOCK_BOOTTIME
#define REAL CLOCK_REALTIME
#define SCHEDULE ASYNCTIMER_FIXED_SCHEDULE
#define DELAY ASYNCTIMER_FIXED_DELAY
#define ONCE ASYNCTIMER_ONCE

static const struct kind own[] = {
	{ PLAIN, MONO, SCHEDULE, 50 * US, 0, false },
	{ OVERRUNS, MONO, SCHEDULE, 50 * US, 0, false },
	{ PLAIN, BOOT, DELAY, 55 * US, 0, false },
	{ FAILS, REAL, SCHEDULE, 60 * US, 0, false },
	{ DEFERS, MONO, SCHEDULE, 35 * US, 0, false },
	{ DEFERS, BOOT, DELAY, 45 * US, 0, false },
	{ RESTARTS, MONO, DELAY, 65 * US, 0, false },
	{ RESTARTS, REAL, SCHEDULE, 65 * US, 0, false },
	{ OVERRUNS, REAL, SCHEDULE, 70 * US, 0, false },
	{ PLAIN, MONO, SCHEDULE, 75 * US, 0, false },
};

static const struct kind shared[] = {
	{ PLAIN, MONO, SCHEDULE, 50 * US, 0, true },
	{ OVERRUNS, MONO, SCHEDULE, 50 * US, 30 * US, true },
	{ PLAIN, MONO, DELAY, 55 * US, 0, true },
	{ FAILS, REAL, SCHEDULE, 60 * US, 0, true },
	{ DEFERS, MONO, SCHEDULE, 35 * US, 0, true },
	{ DEFERS, MONO, DELAY, 45 * US, 10 * US, true },
	{ RESTARTS, MONO, DELAY, 65 * US, 0, true },
	{ RESTARTS, REAL, SCHEDULE, 65 * US, 50 * US, true },
	{ OVERRUNS, REAL, SCHEDULE, 70 * US, 20 * US, true },
	{ PLAIN, MONO, SCHEDULE, 75 * US, 40 * US, true },
};

/* Each callback starts its timer again. With threads a stop could come in between: here are none. */
static const struct kind own_once[] = {
	{ PLAIN, MONO, ONCE, 50 * US, 0, false },
	{ OVERRUNS, MONO, ONCE, 50 * US, 0, false },
	{ PLAIN, REAL, ONCE, 55 * US, 0, false },
	{ FAILS, BOOT, ONCE, 60 * US, 0, false },
	{ DEFERS, MONO, ONCE, 35 * US, 0, false },
	{ DEFERS, REAL, ONCE, 45 * US, 0, false },
	{ OVERRUNS, REAL, ONCE, 70 * US, 0, false },
};

static const struct kind shared_once[] = {
	{ PLAIN, MONO, ONCE, 50 * US, 0, true },
	{ OVERRUNS, MONO, ONCE, 50 * US, 30 * US, true },
	{ PLAIN, REAL, ONCE, 55 * US, 0, true },
	{ FAILS, MONO, ONCE, 60 * US, 10 * US, true },
	{ DEFERS, MONO, ONCE, 35 * US, 0, true },
	{ DEFERS, REAL, ONCE, 45 * US, 10 * US, true },
	{ OVERRUNS, REAL, ONCE, 70 * US, 20 * US, true },
};

/* Alone on its clock: what isn't armed for it is armed for nothing. */
static const struct kind lone[] = {
	{ PLAIN, BOOT, SCHEDULE, 50 * US, 0, true },
	{ PLAIN, MONO, SCHEDULE, 1000 * US, 0, true },
	{ PLAIN, BOOT, DELAY, 300 * US, 0, true },
	{ OVERRUNS, REAL, SCHEDULE, 400 * US, 0, true },
};

static const struct kind mixed[] = {
	{ PLAIN, MONO, SCHEDULE, 50 * US, 0, true },
	{ OVERRUNS, MONO, SCHEDULE, 50 * US, 0, false },
	{ OVERRUNS, BOOT, DELAY, 55 * US, 20 * US, true },
	{ FAILS, REAL, SCHEDULE, 60 * US, 0, false },
	{ DEFERS, MONO, SCHEDULE, 35 * US, 30 * US, true },
	{ DEFERS, BOOT, DELAY, 45 * US, 0, false },
};

/* More lanes, and more timers in one, than there is room for at first. */
static struct kind many[SUBJECTS];

static void set_many(void)
{
	for (unsigned i = 0; i < SUBJECTS; i++)
		many[i] = (struct kind){ PLAIN, MONO, SCHEDULE, 500 * US,
					 i < SUBJECTS / 2 ? i * US : 0, true };
}

#define COUNT(kinds) (sizeof(kinds) / sizeof(*(kinds)))

static const struct scenario scenarios[] = {
	{ "virtual", shared, COUNT(shared), ADVANCE },
	{ "virtual, many", many, SUBJECTS, ADVANCE },
	{ "own, dispatch", own, COUNT(own), DISPATCH },
	{ "own, edge", own, COUNT(own), EDGE },
	{ "shared, dispatch", shared, COUNT(shared), DISPATCH },
	{ "shared, edge", shared, COUNT(shared), EDGE },
	{ "lone, poll", lone, COUNT(lone), POLL },
	{ "mixed, threads", mixed, COUNT(mixed), THREADS },
	{ "once, own, dispatch", own_once, COUNT(own_once), DISPATCH },
	{ "once, own, edge", own_once, COUNT(own_once), EDGE },
	{ "once, shared, poll", shared_once, COUNT(shared_once), POLL },
	{ "once, virtual", shared_once, COUNT(shared_once), ADVANCE },
};

static const struct fault faults[] = {
	{ WRAP_CALLOC, ENOMEM, false },
	{ WRAP_REALLOC, ENOMEM, false },
	{ WRAP_MEMALIGN, ENOMEM, false },
	{ WRAP_TSEARCH, ENOMEM, false },
	{ WRAP_MMAP, ENOMEM, false },
	{ WRAP_MMAP, EAGAIN, false },
	{ WRAP_MUNMAP, ENOMEM, true },
	{ WRAP_MADVISE, ENOMEM, false },
	{ WRAP_MADVISE, EINVAL, false },
	{ WRAP_MPROTECT, ENOMEM, false },
	{ WRAP_ATTR_INIT, ENOMEM, false },
	{ WRAP_MUTEX_INIT, ENOMEM, false },
	{ WRAP_MUTEX_INIT, EAGAIN, false },
	{ WRAP_COND_INIT, ENOMEM, false },
	{ WRAP_COND_INIT, EAGAIN, false },
	{ WRAP_COND_WAIT, 0, false },
	{ WRAP_EPOLL_CREATE1, EMFILE, false },
	{ WRAP_EPOLL_CREATE1, ENFILE, false },
	{ WRAP_EPOLL_CREATE1, ENOMEM, false },
	{ WRAP_EPOLL_ADD, ENOMEM, false },
	{ WRAP_EPOLL_ADD, ENOSPC, false },
	{ WRAP_EPOLL_ADD, EPERM, false },
	{ WRAP_EPOLL_DEL, ENOENT, false },
	{ WRAP_EPOLL_DEL, ENOMEM, false },
	{ WRAP_EPOLL_WAIT, EINTR, false },
	{ WRAP_EPOLL_WAIT, EBADF, false },
	{ WRAP_EPOLL_WAIT, ENOMEM, false },
	{ WRAP_EPOLL_WAIT, 0, false },
	{ WRAP_PPOLL, EINTR, false },
	{ WRAP_PPOLL, ENOMEM, false },
	{ WRAP_PPOLL, 0, false },
	{ WRAP_EVENTFD, EMFILE, false },
	{ WRAP_EVENTFD, ENFILE, false },
	{ WRAP_EVENTFD, ENOMEM, false },
	{ WRAP_EVENTFD, ENODEV, false },
	{ WRAP_TIMERFD_CREATE, EMFILE, false },
	{ WRAP_TIMERFD_CREATE, ENFILE, false },
	{ WRAP_TIMERFD_CREATE, ENOMEM, false },
	{ WRAP_TIMERFD_CREATE, ENODEV, false },
	{ WRAP_SETTIME, EINVAL, false },
	{ WRAP_SETTIME, EPERM, false },
	{ WRAP_SETTIME, ECANCELED, true },
	{ WRAP_READ, EAGAIN, false },
	{ WRAP_READ, EINTR, false },
	{ WRAP_READ, ECANCELED, false },
	{ WRAP_READ, ECANCELED, true },
	{ WRAP_READ, EIO, false },
	{ WRAP_READ, 0, false },
	{ WRAP_READ, 0, true },
	{ WRAP_WRITE, EAGAIN, true },
	{ WRAP_WRITE, EINTR, false },
	{ WRAP_WRITE, EPERM, false },
	{ WRAP_CLOSE, EINTR, true },
	{ WRAP_CLOSE, EIO, true },
	{ WRAP_CLOCK_GETTIME, EINVAL, false },
	{ WRAP_CLOCK_GETTIME, EFAULT, false },
};

/* An interrupted write is made again for as long as that takes; without a clock no time passes. */
static unsigned from_then_on(void)
{
	if (fault->call == WRAP_CLOCK_GETTIME)
		return 3;
	return fault->call == WRAP_WRITE && fault->error == EINTR ? 1000 : FOR_EVER;
}

/* Until a run in which it is not met, or so many; how many it was met in. */
static unsigned run_each(unsigned times, unsigned most)
{
	/* Whether a stop has to wait is chance. */
	unsigned chances = scenario->loop == THREADS && fault->call == WRAP_COND_WAIT ? 20 : 1;
	unsigned at = 1;

	while (at <= most && chances)
		if (run_case(at, times))
			at++;
		else
			chances--;
	return at - 1;
}

static unsigned run_scenario(unsigned most)
{
	unsigned injected = 0;

	for (fault = faults; fault < faults + COUNT(faults); fault++) {
		/* What arms is called in most places. */
		unsigned here = fault->call == WRAP_SETTIME && most < FOR_EVER ? 9 * most : most;

		injected += run_each(1, here);
		injected += run_each(from_then_on(), here);
	}
	fault--;
	return injected;
}

/* What is made once a process can only fail in a new one. */
static unsigned run_first_use(void)
{
	static const struct fault first[] = {
		{ WRAP_MMAP, ENOMEM, false },
		{ WRAP_MADVISE, ENOMEM, false },
		{ WRAP_MADVISE, EINVAL, false },
		{ WRAP_ATTR_INIT, ENOMEM, false },
		{ WRAP_MUTEX_INIT, EAGAIN, false },
	};

	scenario = &scenarios[0];
	for (fault = first; fault < first + COUNT(first); fault++) {
		pid_t child = fork();
		int status;

		fault_at = 1;
		fault_times = 1;
		if (child == 0) {
			size_t mapped = wrap_mapped;

			refuse();
			make_reactor();
			if (reactor || wrap_end() != 1 || wrap_memory || wrap_mapped != mapped)
				violation("at first use: not refused, or something left");
			_exit(violations > 0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			violation("at first use");
	}
	make_reactor();
	EXPECT(asynctimer_reactor_free(reactor), 0);
	return COUNT(first);
}

/*
 * Refused for long, the reactor tries again, but no thread spins: each turn of
 * a loop waits a millisecond, or is for a tick, a millisecond after the last.
 * There are three tries a timer in each at most.
 */

static const struct kind refused[] = {
	{ PLAIN, MONO, DELAY, MS, 0, false },
	{ PLAIN, BOOT, SCHEDULE, MS, 0, true },
	{ PLAIN, MONO, SCHEDULE, MS, 0, false },
	{ PLAIN, REAL, SCHEDULE, MS, 0, true },
};

/* The only one: nothing but what was refused has its host call. */
static const struct kind sole[] = {
	{ PLAIN, MONO, DELAY, MS, 0, false },
};

static const struct scenario paces[] = {
	{ "pace, dispatch", refused, COUNT(refused), DISPATCH },
	{ "pace, poll", refused, COUNT(refused), POLL },
	{ "pace, edge", refused, COUNT(refused), EDGE },
	{ "pace, run", refused, COUNT(refused), THREADS },
	{ "pace, sole, poll", sole, COUNT(sole), POLL },
	{ "pace, sole, edge", sole, COUNT(sole), EDGE },
};

/* With a new reactor; refuse is still to be called. */
static void begin_refusal(const struct fault *refusal, unsigned at, unsigned times)
{
	fault = refusal;
	fault_at = at;
	fault_times = times;
	alarm(60);
	make_reactor();
}

static void run_pace(const struct fault *refusal)
{
	unsigned loops = scenario->loop == THREADS ? 2 : 1;
	unsigned failed, most;
	uint64_t begin_ns;

	begin_refusal(refusal, 1, FOR_EVER);
	for EACH(subject) {
		make(subject, &scenario->kinds[subject - subjects]);
		start(subject, 0);
	}
	begin_ns = now_ns(MONO);
	refuse();
	begin_threads();
	while (now_ns(MONO) < begin_ns + 40 * MS)
		turn(100 * US);
	failed = wrap_end();
	most = 3 * COUNT(refused) * loops * (unsigned)((now_ns(MONO) - begin_ns) / MS + 3);
	if (failed == 0 || failed > most)
		violation("%u tries, not 1 to %u", failed, most);
	check_alive();
	end_threads();
	free_all();
}

/* A wake-up that could not be written is not taken for one that is under way. */
static void run_lost_wake(void)
{
	static const struct fault refusal = { WRAP_WRITE, EPERM, false };

	begin_refusal(&refusal, 1, 1);
	make(&subjects[0], &refused[1]);
	make(&subjects[1], &refused[2]);
	refuse();
	EXPECT(asynctimer_start_after(subjects[0].timer, 0), 1);
	if (wrap_end() != 1)
		violation("a start that is due at once woke nobody");
	EXPECT(asynctimer_stop(subjects[0].timer), 1);
	check_wakes();
	memset(&subjects[2], 0, 2 * sizeof(*subjects));
	free_all();
}

/* Between its calls a host waits for the descriptor: that says that there is something to try again. */
static void run_refused_outside(void)
{
	static const struct fault refusal = { WRAP_SETTIME, EPERM, false };

	begin_refusal(&refusal, 2, 1);
	make(&subjects[0], &sole[0]);
	start(&subjects[0], 0);
	refuse();
	set_interval(&subjects[0]);
	if (wrap_end() != 1)
		violation("set_interval did not disarm and arm");
	check_alive();
	free_all();
}

/*
 * A shutdown succeeds whatever is refused: what the kernel would not disarm runs
 * no callback, whom the eventfd could not wake leaves at the next stop, and a
 * wait that ends at once waits again.
 */

static const struct scenario shutdowns[] = {
	{ "shutdown, own", own, COUNT(own), DISPATCH },
	{ "shutdown, shared", shared, COUNT(shared), POLL },
	{ "shutdown, virtual", shared, COUNT(shared), ADVANCE },
	{ "shutdown, threads", mixed, COUNT(mixed), THREADS },
};

static unsigned deferred(void)
{
	unsigned count = 0;

	for EACH(subject)
		count += (unsigned)__atomic_load_n(&subject->pending, __ATOMIC_SEQ_CST);
	return count;
}

static void defer_all(void)
{
	unsigned count = 0;

	for EACH(subject)
		count += subject->kind->trait == DEFERS;
	while (deferred() < count)
		turn(scenario->loop == ADVANCE ? MS : 100 * US);
}

/* Once the shutdown waits for them. */
static void *complete_all(void *data)
{
	const unsigned *waits = data;

	while (__atomic_load_n(&wrap_calls[WRAP_COND_WAIT], __ATOMIC_SEQ_CST) == *waits)
		sched_yield();
	complete_some(0);
	return NULL;
}

static void check_shut(void)
{
	struct asynctimer_reactor_stats before = { 0 }, after = { 0 };
	struct asynctimer *none = NULL;

	EXPECT(asynctimer_reactor_get_stats(reactor, sizeof(before), &before), 0);
	if (before.started || before.open || before.busy_ns)
		violation("a shutdown left something");
	for EACH(subject) {
		EXPECT(asynctimer_start(subject->timer), -ESHUTDOWN);
		EXPECT(asynctimer_restart_after(subject->timer, 0), -ESHUTDOWN);
	}
	EXPECT(asynctimer_new_shared(reactor, MONO, MS, ONCE, 0, on_wake, NULL, &none), -ESHUTDOWN);
	EXPECT(asynctimer_reactor_restart(reactor), -ESHUTDOWN);
	EXPECT(asynctimer_reactor_shutdown(reactor, -1), 0);
	if (scenario->loop == THREADS)
		join_threads();
	else if (scenario->loop == ADVANCE)
		EXPECT(asynctimer_reactor_advance(reactor, SECOND), 0);
	else
		EXPECT(asynctimer_reactor_dispatch(reactor, (int64_t)SECOND), 0);
	EXPECT(asynctimer_reactor_get_stats(reactor, sizeof(after), &after), 0);
	if (memcmp(&before, &after, sizeof(after)) != 0)
		violation("a callback after the shutdown");
}

/* True if the fault was met. */
static bool run_shutdown(const struct fault *refusal, unsigned at, unsigned times)
{
	int fds = count_fds(), memory = wrap_memory;
	pthread_t completer;
	unsigned open, failed, waits;

	begin_refusal(refusal, at, times);
	for EACH(subject)
		make(subject, &scenario->kinds[subject - subjects]);
	begin_threads();
	for EACH(subject)
		start(subject, 0);
	defer_all();
	open = deferred();
	refuse();
	if (LIB(asynctimer_reactor_shutdown(reactor, 0)) < (int)open)
		violation("a shutdown that does not see what is open");
	waits = __atomic_load_n(&wrap_calls[WRAP_COND_WAIT], __ATOMIC_SEQ_CST);
	if (pthread_create(&completer, NULL, complete_all, &waits) != 0)
		abort();
	EXPECT(asynctimer_reactor_shutdown(reactor, at % 2 ? (int64_t)HUNG_NS : -1), 0);
	pthread_join(completer, NULL);
	failed = wrap_end();
	check_shut();
	free_all();
	if (wrap_memory != memory || count_fds() != fds)
		violation("a shutdown left memory or descriptors");
	return failed > 0;
}

static unsigned run_shutdowns(void)
{
	static const struct fault refusals[] = {
		{ WRAP_SETTIME, EPERM, false },
		{ WRAP_SETTIME, ECANCELED, true },
		{ WRAP_WRITE, EPERM, false },
		{ WRAP_WRITE, EAGAIN, true },
		{ WRAP_WRITE, EINTR, false },
		{ WRAP_COND_WAIT, 0, false },
		{ WRAP_COND_WAIT, ETIMEDOUT, false },
	};
	unsigned injected = 0;

	for (unsigned i = 0; i < COUNT(refusals); i++)
		for (unsigned at = 1; at <= 12; at++) {
			fault = &refusals[i];
			injected += run_shutdown(fault, at, 1);
			injected += run_shutdown(fault, at, from_then_on());
		}
	return injected;
}

static void report(const char *name, unsigned injected, unsigned violated)
{
	const char *path = getenv("ASYNCTIMER_TABLE");
	FILE *table = path ? fopen(path, "a") : NULL;

	printf("%-18s %6u faults injected, %u violations\n", name, injected, violated);
	fflush(stdout);
	if (!table)
		return;
	fprintf(table, "faults\t%s\t%u\t%u\n", name, injected, violated);
	fclose(table);
}

/* ASYNCTIMER_LONG_TESTS=1: every call, however late; else the first few of each. */
int main(int argc, char **argv)
{
	unsigned most = getenv("ASYNCTIMER_LONG_TESTS") ? FOR_EVER : 3;
	unsigned injected, before = 0;

	signal(SIGALRM, on_signal);
	signal(SIGSEGV, on_signal);
	signal(SIGABRT, on_signal);
	set_many();
	injected = run_first_use();
	for (scenario = scenarios; scenario < scenarios + COUNT(scenarios); scenario++) {
		unsigned here;

		if (argc > 1 && strcmp(argv[1], scenario->name) != 0)
			continue;
		here = run_scenario(most);
		report(scenario->name, here, violations - before);
		before = violations;
		injected += here;
	}
	for (scenario = shutdowns; scenario < shutdowns + COUNT(shutdowns); scenario++) {
		unsigned here;

		if (argc > 1 && strcmp(argv[1], scenario->name) != 0)
			continue;
		here = run_shutdowns();
		report(scenario->name, here, violations - before);
		before = violations;
		injected += here;
	}
	scenario = &paces[1];
	run_lost_wake();
	report("lost wake-up", 1, violations - before);
	before = violations;
	injected++;
	for (scenario = paces; argc < 2 && scenario < paces + COUNT(paces); scenario++) {
		unsigned here = 1;

		run_pace(&(const struct fault){ WRAP_SETTIME, EPERM, false });
		/* Nobody reads the timerfd of a sole delay. */
		if (scenario->kinds != sole) {
			run_pace(&(const struct fault){ WRAP_READ, EIO, false });
			here++;
		}
		report(scenario->name, here, violations - before);
		before = violations;
		injected += here;
		if (scenario->kinds != sole)
			continue;
		run_refused_outside();
		report("refused outside", 1, violations - before);
		before = violations;
		injected++;
	}
	for (fault = faults; argc < 2 && fault < faults + COUNT(faults); fault++)
		if (!met[fault->call]) {
			printf("%s was never called\n", wrap_name(fault->call));
			/* A stop waits if it comes during a callback: as it happens. */
			violations += fault->call != WRAP_COND_WAIT;
		}
	printf("%u faults injected, %u violations\n", injected, violations);
	return violations ? EXIT_FAILURE : EXIT_SUCCESS;
}
