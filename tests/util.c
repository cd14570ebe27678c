/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "util.h"

struct asynctimer_reactor *reactor;
static int fds_before;

int must_at(int r, const char *what, const char *file, int line)
{
	if (r < 0)
		ck_abort_msg("%s:%d: %s = %d", file, line, what, r);
	return r;
}

uint64_t now_on(int clock)
{
	struct timespec now;

	/* An assertion of Check's takes a lock, which a child forked meanwhile would find taken. */
	if (clock_gettime(clock, &now) < 0)
		ck_abort_msg("clock_gettime(%d) failed", clock);
	return (uint64_t)now.tv_sec * ASYNCTIMER_SECOND + (uint64_t)now.tv_nsec;
}

void spin_until(int clock, uint64_t until_ns)
{
	while (now_on(clock) < until_ns)
		;
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

static void set_up(void)
{
	fds_before = count_fds();
	must(asynctimer_reactor_new(&reactor));
}

static void tear_down(void)
{
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	ck_assert_int_eq(count_fds(), fds_before);
}

int run_tests(const char *name, const TTest *const *tests)
{
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	for (; *tests; tests++) {
		TCase *tcase = tcase_create((*tests)->name);

		tcase_add_checked_fixture(tcase, set_up, tear_down);
		tcase_set_timeout(tcase, 120);
		tcase_add_test(tcase, *tests);
		suite_add_tcase(suite, tcase);
	}
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
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

void *run_reactor(void *data)
{
	ck_assert_int_eq(asynctimer_reactor_run(data), 0);
	return NULL;
}

int readable(struct asynctimer_reactor *of)
{
	struct epoll_event events[1024];

	return must(epoll_wait(asynctimer_reactor_fd(of), events, 1024, 0));
}

void skip_all(const char *why)
{
	printf("SKIP: %s\n", why);
	exit(77);
}

struct watched *watch_new(struct watched *watched, int clock, uint64_t interval_ns, int policy)
{
	watched->clock = clock;
	if (policy == ASYNCTIMER_FIXED_SCHEDULE)
		watched->interval_ns = interval_ns;
	must(asynctimer_new(reactor, clock, interval_ns, policy, on_tick, watched, &watched->timer));
	return watched;
}

struct watched *watch_new_shared(struct watched *watched, int clock, uint64_t interval_ns, int policy,
				 uint64_t slack_ns)
{
	watched->clock = clock;
	if (policy == ASYNCTIMER_FIXED_SCHEDULE)
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

	ck_assert_ptr_eq(timer, watched->timer);
	ck_assert_uint_le(tick->due_ns, tick->now_ns);
	ck_assert_uint_le(tick->now_ns, now_ns);
	ck_assert_uint_eq(tick->number, last->number + advanced);
	if (watched->callbacks && watched->interval_ns && !watched->restarted)
		ck_assert_uint_eq(tick->due_ns, last->due_ns + advanced * watched->interval_ns);
	watched->restarted = false;
	watched->last = *tick;
	watched->callbacks++;
	if (watched->work_ns)
		spin_until(watched->clock, now_ns + watched->work_ns);
	if (watched->callbacks == watched->stop_after)
		asynctimer_reactor_stop(asynctimer_get_reactor(timer));
	return watched->then ? watched->then(watched, tick) : watched->result;
}

int dispatch_until(uint64_t until_ns)
{
	uint64_t now_ns;
	int ran = 0;

	while ((now_ns = now_mono()) < until_ns)
		ran += must(asynctimer_reactor_dispatch(reactor, (int64_t)(until_ns - now_ns)));
	return ran + must(asynctimer_reactor_dispatch(reactor, 0));
}

void dispatch_callbacks(const struct watched *watched, unsigned callbacks)
{
	uint64_t hung_ns = now_mono() + 30 * ASYNCTIMER_SECOND;

	while (watched->callbacks < callbacks) {
		must(asynctimer_reactor_dispatch(reactor, (int64_t)ASYNCTIMER_SECOND));
		if (now_mono() > hung_ns)
			ck_abort_msg("%u of %u callbacks, then none for long", watched->callbacks,
				     callbacks);
	}
}
