/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define TESTS_MAX 256

enum backed_by backing = BACKING_OWN;
struct asynctimer_reactor *reactor;
static bool ends_wait;	/* a wait on the virtual clock ends with the next callback */
static int fds_before;

int must_at(int r, const char *what, const char *file, int line)
{
	if (r < 0)
		ck_abort_msg("%s:%d: %s = %d", file, line, what, r);
	return r;
}

uint64_t virtual_now_on(struct asynctimer_reactor *on, int clock)
{
	struct asynctimer *timer;
	uint64_t now_ns;

	must(asynctimer_new(on, clock, 1, SCHEDULE, on_tick, NULL, &timer));
	now_ns = asynctimer_now_ns(timer);
	asynctimer_free(timer);
	return now_ns;
}

static uint64_t real_now_on(int clock)
{
	struct timespec now;

	/* An assertion of Check's takes a lock, which a child forked meanwhile would find taken. */
	if (clock_gettime(clock, &now) < 0)
		ck_abort_msg("clock_gettime(%d) failed", clock);
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t now_on(int clock)
{
	return backing == BACKING_VIRTUAL ? virtual_now_on(reactor, clock) : real_now_on(clock);
}

void spin_until(int clock, uint64_t until_ns)
{
	uint64_t now_ns;

	while ((now_ns = now_on(clock)) < until_ns)
		if (backing == BACKING_VIRTUAL)
			must(asynctimer_reactor_advance(reactor, until_ns - now_ns));
}

/* In a callback after which the reactor stops: nothing else runs, however late it is. */
static int let_pass(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	(void)tick;
	asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	spin_until(CLOCK_MONOTONIC, *(uint64_t *)data);
	return ASYNCTIMER_DONE;
}

void let_pass_until(uint64_t until_ns)
{
	struct asynctimer *timer;

	if (backing != BACKING_VIRTUAL || now_mono() >= until_ns) {
		spin_until(CLOCK_MONOTONIC, until_ns);
		return;
	}
	must(asynctimer_new(reactor, CLOCK_MONOTONIC, 1, DELAY, let_pass, &until_ns, &timer));
	must(asynctimer_start_after(timer, 0));
	ck_assert_int_eq(asynctimer_reactor_advance(reactor, 0), 1);
	ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	asynctimer_free(timer);
}

int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

int new_reactor(struct asynctimer_reactor **ret)
{
	int r;

	if (backing != BACKING_VIRTUAL)
		return asynctimer_reactor_new(ret);
	r = asynctimer_reactor_new_virtual(ret);
	/* Times that are not 0 can be told from none. */
	return r < 0 ? r : asynctimer_reactor_advance(*ret, SECOND);
}

int new_timer(int clock, uint64_t interval_ns, int policy, asynctimer_callback callback, void *data,
	      struct asynctimer **ret)
{
	if (backing == BACKING_SHARED)
		return asynctimer_new_shared(reactor, clock, interval_ns, policy, 0, callback, data,
					     ret);
	return asynctimer_new(reactor, clock, interval_ns, policy, callback, data, ret);
}

static void set_up(void)
{
	fds_before = count_fds();
	must(new_reactor(&reactor));
}

/* The descriptors that shared timers have in common are there from the start. */
static void set_up_shared(void)
{
	struct asynctimer *timer;

	backing = BACKING_SHARED;
	set_up();
	must(new_timer(CLOCK_MONOTONIC, 1, SCHEDULE, on_tick, NULL, &timer));
	asynctimer_free(timer);
}

static void set_up_virtual(void)
{
	backing = BACKING_VIRTUAL;
	set_up();
}

static void tear_down(void)
{
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	ck_assert_int_eq(count_fds(), fds_before);
}

static const struct kind {
	enum backed_by backing;
	const char *suffix;
	void (*set_up)(void);
} kinds[] = {
	{ BACKING_OWN, "own", set_up },
	{ BACKING_SHARED, "shared", set_up_shared },
	{ BACKING_VIRTUAL, "virtual", set_up_virtual },
};

static void add_test(Suite *suite, const char *name, const TTest *test, void (*with)(void))
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, with, tear_down);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, test);
	suite_add_tcase(suite, tcase);
}

static int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int run_tests(const char *name, const TTest *const *tests)
{
	Suite *suite = suite_create(name);

	for (; *tests; tests++)
		add_test(suite, (*tests)->name, *tests, set_up);
	return run_suite(suite);
}

int run_with_backings(const char *name, const struct backed_test *tests)
{
	static char names[TESTS_MAX][128];	/* Check keeps pointers to them */
	Suite *suite = suite_create(name);
	unsigned count = 0;

	for (; tests->test; tests++)
		for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
			if (!(tests->backings & (int)kinds[i].backing))
				continue;
			if (count == TESTS_MAX)
				abort();
			snprintf(names[count], sizeof(*names), "%s_%s", tests->test->name,
				 kinds[i].suffix);
			add_test(suite, names[count++], tests->test, kinds[i].set_up);
		}
	return run_suite(suite);
}

pthread_t thread_new(void *(*function)(void *), void *data)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, function, data), 0);
	return thread;
}

void thread_join(pthread_t thread)
{
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* Of a stopped reactor the clock does not move; of one that was shut down none can be read. */
static bool is_stopped_virtual(struct asynctimer_reactor *on, uint64_t *now_ns)
{
	struct asynctimer *timer;
	uint64_t before_ns = *now_ns;
	int r = asynctimer_new(on, CLOCK_MONOTONIC, 1, SCHEDULE, on_tick, NULL, &timer);

	if (r == -ESHUTDOWN)
		return true;
	must(r);
	*now_ns = asynctimer_now_ns(timer);
	asynctimer_free(timer);
	return *now_ns == before_ns;
}

static void run_virtual(struct asynctimer_reactor *on)
{
	uint64_t now_ns = 0;

	do {
		must(asynctimer_reactor_advance(on, SECOND));
	} while (!is_stopped_virtual(on, &now_ns));
}

void *run_reactor(void *data)
{
	/* An assertion of Check's is a cancellation point, also one that holds. */
	if (backing == BACKING_VIRTUAL)
		run_virtual(data);
	else if (asynctimer_reactor_run(data) != 0)
		ck_abort_msg("run did not return 0");
	return NULL;
}

bool is_readable(struct asynctimer_reactor *which)
{
	struct pollfd pollfd = { .fd = asynctimer_reactor_fd(which), .events = POLLIN };

	return must(poll(&pollfd, 1, 0)) == 1;
}

int expired(void)
{
	struct pollfd timerfd = { .events = POLLIN };
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[32];
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		timerfd.fd = atoi(entry->d_name);
		if (strcmp(target, "anon_inode:[timerfd]") == 0)
			count += must(poll(&timerfd, 1, 0));
	}
	closedir(dir);
	return count;
}

void skip_all(const char *why)
{
	printf("SKIP: %s\n", why);
	exit(77);
}

struct watched *watch_new(struct watched *watched, int clock, uint64_t interval_ns, int policy)
{
	watched->clock = clock;
	if (policy == SCHEDULE)
		watched->interval_ns = interval_ns;
	must(new_timer(clock, interval_ns, policy, on_tick, watched, &watched->timer));
	return watched;
}

struct watched *watch_new_shared(struct watched *watched, int clock, uint64_t interval_ns, int policy,
				 uint64_t slack_ns)
{
	watched->clock = clock;
	if (policy == SCHEDULE)
		watched->interval_ns = interval_ns;
	must(asynctimer_new_shared(reactor, clock, interval_ns, policy, slack_ns, on_tick, watched,
				   &watched->timer));
	return watched;
}

void use_virtual_reactor(void)
{
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	must(asynctimer_reactor_new_virtual(&reactor));
}

int on_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	struct watched *watched = data;
	const struct asynctimer_tick *last = &watched->last;
	uint64_t now_ns = asynctimer_now_ns(timer);
	uint64_t advanced = 1 + tick->skipped_busy + tick->skipped_late;

	if (ends_wait)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	ck_assert_ptr_eq(timer, watched->timer);
	ck_assert_uint_le(tick->due_ns, tick->now_ns);
	ck_assert_uint_le(tick->now_ns, now_ns);
	ck_assert_uint_eq(tick->number, last->number + advanced);
	if (watched->callbacks && watched->interval_ns && !watched->restarted)
		ck_assert_uint_eq(tick->due_ns, last->due_ns + advanced * watched->interval_ns);
	watched->restarted = false;
	watched->last = *tick;
	flag_add(&watched->callbacks);
	if (watched->work_ns)
		spin_until(watched->clock, now_ns + watched->work_ns);
	if (watched->callbacks == watched->stop_after)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return watched->then ? watched->then(watched, tick) : watched->result;
}

/* The callback that ends the wait stops the reactor; others of that moment follow. */
static int advance_to_a_callback(struct asynctimer_reactor *on, uint64_t at_most_ns)
{
	int ran;

	ends_wait = true;
	ran = must(asynctimer_reactor_advance(on, at_most_ns));
	ends_wait = false;
	if (ran && asynctimer_reactor_restart(on) == 1)
		ran += must(asynctimer_reactor_advance(on, 0));
	return ran;
}

int dispatch_on(struct asynctimer_reactor *on, int64_t timeout_ns)
{
	if (backing != BACKING_VIRTUAL)
		return must(asynctimer_reactor_dispatch(on, timeout_ns));
	if (timeout_ns == 0)
		return must(asynctimer_reactor_advance(on, 0));
	return advance_to_a_callback(on, timeout_ns < 0 ? 24 * HOUR : (uint64_t)timeout_ns);
}

int dispatch(int64_t timeout_ns)
{
	return dispatch_on(reactor, timeout_ns);
}

int dispatch_until(uint64_t until_ns)
{
	uint64_t now_ns;
	int ran = 0;

	while ((now_ns = now_mono()) < until_ns)
		ran += dispatch((int64_t)(until_ns - now_ns));
	return ran + dispatch(0);
}

void dispatch_callbacks(const struct watched *watched, unsigned callbacks)
{
	uint64_t hung_ns = real_now_on(CLOCK_MONOTONIC) + 30 * SECOND;

	while (watched->callbacks < callbacks) {
		dispatch((int64_t)SECOND);
		if (real_now_on(CLOCK_MONOTONIC) > hung_ns)
			ck_abort_msg("%u of %u callbacks, then none for long", watched->callbacks,
				     callbacks);
	}
}
