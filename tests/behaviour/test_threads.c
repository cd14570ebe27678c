/* SPDX-License-Identifier: MIT */
/* One reactor, several threads. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "util.h"

#define RUNNERS 4

static void run_in_threads(pthread_t threads[RUNNERS])
{
	for (unsigned i = 0; i < RUNNERS; i++)
		threads[i] = thread_new(run_reactor, reactor);
}

static void join_all(pthread_t threads[RUNNERS])
{
	for (unsigned i = 0; i < RUNNERS; i++)
		thread_join(threads[i]);
}

/* on_tick changes watched without a lock, too. */
struct serial {
	struct watched watched;
	int inside;
};

static int alone(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct serial *serial = watched->data;

	(void)tick;
	ck_assert_int_eq(flag_add(&serial->inside), 1);
	sched_yield();
	flag_clear(&serial->inside);
	return watched->result;
}

START_TEST(callbacks_of_one_timer_never_overlap)
{
	enum { COUNT = 60 };
	static struct serial serials[COUNT];
	struct watched clock = { .stop_after = 60 };
	pthread_t threads[RUNNERS];

	for (unsigned i = 0; i < COUNT; i++) {
		serials[i].watched.then = alone;
		serials[i].watched.data = &serials[i];
		/* From always overrun to easy. */
		watch_new(&serials[i].watched, CLOCK_MONOTONIC, (1 + i * i) * 2 * US, (int)i % 2);
		must(asynctimer_start(serials[i].watched.timer));
	}
	watch_new(&clock, CLOCK_MONOTONIC, 5 * MS, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start(clock.timer));
	run_in_threads(threads);
	join_all(threads);
	for (unsigned i = 0; i < COUNT; i++) {
		struct asynctimer_stats stats;

		must(asynctimer_get_stats(serials[i].watched.timer, &stats));
		ck_assert_uint_eq(stats.callbacks, serials[i].watched.callbacks);
		ck_assert_uint_ge(stats.callbacks, 1);
		ck_assert_uint_eq(stats.busy_since_ns, 0);
	}
}
END_TEST

struct waiting {
	int signalled;
	int entered;
};

static int wait_for_the_other(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct waiting *waiting = watched->data;

	(void)tick;
	flag_set(&waiting->entered);
	await(flag_get(&waiting->signalled));
	return ASYNCTIMER_DONE;
}

static int signal_the_other(struct watched *watched, const struct asynctimer_tick *tick)
{
	struct waiting *waiting = watched->data;

	(void)tick;
	flag_set(&waiting->signalled);
	asynctimer_reactor_stop(reactor);
	return ASYNCTIMER_DONE;
}

/* The slow callback ends only once the other one ran: in one thread neither would. */
static void slow_beside_other(bool together, bool slow_first)
{
	struct waiting waiting = { .signalled = 0 };
	struct watched slow = { .then = wait_for_the_other, .data = &waiting };
	struct watched other = { .then = signal_the_other, .data = &waiting };
	pthread_t threads[RUNNERS];

	watch_new(&slow, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	watch_new(&other, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	if (together) {
		must(asynctimer_start_after((slow_first ? &slow : &other)->timer, 0));
		await(expired() == 1);
		must(asynctimer_start_after((slow_first ? &other : &slow)->timer, 0));
		await(expired() == 2);
		run_in_threads(threads);
	} else {
		run_in_threads(threads);
		must(asynctimer_start_after(slow.timer, 0));
		await(flag_get(&waiting.entered));
		must(asynctimer_start_after(other.timer, 0));
	}
	join_all(threads);
	ck_assert_uint_eq(other.callbacks, 1);
	asynctimer_free(slow.timer);
	asynctimer_free(other.timer);
	must(asynctimer_reactor_restart(reactor));
	must(asynctimer_reactor_dispatch(reactor, 0));
}

START_TEST(a_slow_callback_delays_no_other_while_a_thread_idles)
{
	for (unsigned i = 0; i < 30; i++) {
		slow_beside_other(true, true);
		slow_beside_other(true, false);
		slow_beside_other(false, true);
	}
}
END_TEST

/* As many slow callbacks as threads but one, all due at once with many others. */
START_TEST(three_slow_callbacks_delay_no_other_while_a_fourth_thread_idles)
{
	enum { SLOW = RUNNERS - 1, OTHERS = 200 };
	struct waiting waiting = { .signalled = 0 };
	struct watched slow[SLOW] = { { .callbacks = 0 } };
	static struct watched others[OTHERS];
	struct watched last = { .then = signal_the_other, .data = &waiting };
	pthread_t threads[RUNNERS];

	for (unsigned i = 0; i < SLOW; i++) {
		slow[i] = (struct watched){ .then = wait_for_the_other, .data = &waiting };
		watch_new(&slow[i], CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_start_after(slow[i].timer, 0));
	}
	for (unsigned i = 0; i < OTHERS; i++) {
		watch_new(&others[i], CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_start_after(others[i].timer, 0));
	}
	watch_new(&last, CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_start_after(last.timer, 0));
	await(expired() == SLOW + OTHERS + 1);
	run_in_threads(threads);
	join_all(threads);
	ck_assert_uint_eq(last.callbacks, 1);
}
END_TEST

static int be_refused(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)tick;
	ck_assert_int_eq(asynctimer_reactor_run(reactor), -EBUSY);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, 0), -EBUSY);
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), -EBUSY);
	return watched->result;
}

static unsigned handled;

static void be_refused_in_handler(struct asynctimer *timer, int error, void *data)
{
	(void)timer;
	(void)error;
	be_refused(data, NULL);
	handled++;
}

START_TEST(run_inside_a_callback_or_handler_is_refused)
{
	struct watched watched = { .then = be_refused };

	watch_new(&watched, CLOCK_MONOTONIC, 100 * US, ASYNCTIMER_FIXED_SCHEDULE);
	must(asynctimer_set_error_handler(watched.timer, be_refused_in_handler));
	must(asynctimer_start(watched.timer));
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	watched.result = -EIO;
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	watched.result = ASYNCTIMER_PENDING;
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
	must(asynctimer_complete(watched.timer, watched.last.number, -EIO));
	ck_assert_uint_eq(handled, 2);
	/* And no longer afterwards. */
	watched.result = 0;
	ck_assert_int_eq(asynctimer_reactor_dispatch(reactor, -1), 1);
}
END_TEST

static int idle;

static int count_in(struct watched *watched, const struct asynctimer_tick *tick)
{
	(void)watched;
	(void)tick;
	flag_add(&idle);
	await(flag_get(&idle) >= RUNNERS);
	return ASYNCTIMER_DONE;
}

/* Returns once every thread is inside run: as many callbacks as threads had to meet. */
static void run_in_threads_and_meet(pthread_t threads[RUNNERS])
{
	struct watched meet[RUNNERS] = { { .callbacks = 0 } };

	flag_clear(&idle);
	for (unsigned i = 0; i < RUNNERS; i++) {
		meet[i].then = count_in;
		watch_new(&meet[i], CLOCK_MONOTONIC, HOUR, ASYNCTIMER_FIXED_SCHEDULE);
		must(asynctimer_start_after(meet[i].timer, 0));
	}
	run_in_threads(threads);
	await(flag_get(&idle) == RUNNERS);
	for (unsigned i = 0; i < RUNNERS; i++)
		asynctimer_free(meet[i].timer);
}

static void *stop_in_thread(void *data)
{
	asynctimer_reactor_stop(data);
	return NULL;
}

START_TEST(one_stop_lets_every_run_return_and_is_sticky)
{
	pthread_t threads[RUNNERS];

	for (unsigned i = 0; i < 50; i++) {
		run_in_threads_and_meet(threads);
		thread_join(thread_new(stop_in_thread, reactor));
		join_all(threads);
		/* Later ones as well. */
		run_in_threads(threads);
		join_all(threads);
		ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	}
}
END_TEST

static void on_signal(int number)
{
	(void)number;
	asynctimer_reactor_stop(reactor);
}

START_TEST(a_signal_handler_stops_every_run)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t threads[RUNNERS];

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	for (unsigned i = 0; i < RUNNERS; i++) {
		run_in_threads_and_meet(threads);
		pthread_kill(threads[i], SIGUSR1);
		join_all(threads);
		ck_assert_int_eq(asynctimer_reactor_restart(reactor), 1);
	}
}
END_TEST

/*
 * Anything from everywhere. Controllers take turns by a lock per place; the
 * callback of a place checks what the last one left it allowed to do.
 */
#define PLACES 12
#define CONTROLLERS 3

struct content {
	struct place *place;
	int allowed;	/* cleared when stop has returned, set before start */
	int inside;
	int gone;	/* set by the release; the memory stays to be looked at */
	uint64_t number;
	uint64_t open;	/* the tick that shall be completed, or 0 */
	struct content *next;
};

struct place {
	pthread_mutex_t lock;
	struct asynctimer *timer;
	struct content *content;
};

static struct place places[PLACES];
static int ended;
static int callbacks_seen;

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

static int on_any_tick(struct asynctimer *timer, const struct asynctimer_tick *tick, void *data)
{
	static __thread unsigned seed = 1;
	struct content *content = data;
	unsigned what = next_random(&seed) % 12;

	ck_assert_int_eq(flag_get(&content->gone), 0);
	ck_assert_int_eq(flag_get(&content->allowed), 1);
	ck_assert_int_eq(flag_add(&content->inside), 1);
	ck_assert_uint_eq(tick->number, content->number + 1 + tick->skipped_busy + tick->skipped_late);
	ck_assert_uint_le(tick->due_ns, now_mono());
	content->number = tick->number;
	flag_add(&callbacks_seen);
	if (what == 0)
		asynctimer_stop(timer);
	if (what == 1)
		asynctimer_set_interval(timer, 20 * US + next_random(&seed) % 100 * US);
	if (what == 2)
		sched_yield();
	if (what == 3 || what == 4)
		__atomic_store_n(&content->open, tick->number, __ATOMIC_SEQ_CST);
	flag_clear(&content->inside);
	return what == 3 || what == 4 ? ASYNCTIMER_PENDING : what == 5 ? -EIO : ASYNCTIMER_DONE;
}

static void on_any_error(struct asynctimer *timer, int error, void *data)
{
	struct content *content = data;

	(void)timer;
	ck_assert_int_eq(error, -EIO);
	ck_assert_int_eq(flag_get(&content->gone), 0);
	ck_assert_int_eq(flag_add(&content->inside), 1);
	flag_clear(&content->inside);
}

static void on_any_release(void *data)
{
	struct content *content = data;

	ck_assert_int_eq(flag_get(&content->inside), 0);
	ck_assert_int_eq(flag_add(&content->gone), 1);
}

static void fill(struct place *place, unsigned *seed)
{
	struct content *content = calloc(1, sizeof(*content));

	ck_assert_ptr_nonnull(content);
	content->place = place;
	content->next = place->content;
	place->content = content;
	must(asynctimer_new(reactor, CLOCK_MONOTONIC, 20 * US + next_random(seed) % 200 * US,
			    (int)(next_random(seed) % 2), on_any_tick, content, &place->timer));
	asynctimer_set_release(place->timer, on_any_release);
	must(asynctimer_set_error_handler(place->timer, on_any_error));
}

static void complete_open(struct place *place, int result)
{
	uint64_t open = __atomic_exchange_n(&place->content->open, 0, __ATOMIC_SEQ_CST);
	int r = open ? asynctimer_complete(place->timer, open, result) : 0;

	ck_assert_int_eq(r, 0);
}

/* The tick of a freed timer that stayed deferred. */
static void let_go(struct place *place)
{
	struct content *content = place->content;

	asynctimer_free(place->timer);
	/* Nothing of it runs in another thread now; its tick may be open still. */
	flag_clear(&content->allowed);
	ck_assert_int_eq(flag_get(&content->inside), 0);
	complete_open(place, -EIO);
	ck_assert_int_eq(flag_get(&content->gone), 1);
}

static void act(struct place *place, unsigned *seed)
{
	struct content *content = place->content;
	struct asynctimer_stats stats;
	uint64_t number;

	switch (next_random(seed) % 10) {
	case 0:
	case 1:
	case 2:
		flag_set(&content->allowed);
		ck_assert_int_ge(asynctimer_start_after(place->timer, next_random(seed) % 50 * US), 0);
		break;
	case 3:
	case 4:
		ck_assert_int_ge(asynctimer_stop(place->timer), 0);
		flag_clear(&content->allowed);
		ck_assert_int_eq(flag_get(&content->inside), 0);
		number = content->number;
		ck_assert_int_eq(asynctimer_is_started(place->timer), 0);
		ck_assert_int_eq(asynctimer_get_stats(place->timer, &stats), 0);
		ck_assert_uint_eq(stats.callbacks + stats.skipped_busy + stats.skipped_late, number);
		break;
	case 5:
		ck_assert_int_ge(asynctimer_stop_nowait(place->timer), 0);
		break;
	case 6:
		let_go(place);
		fill(place, seed);
		break;
	case 7:
		ck_assert_int_ge(asynctimer_set_interval(place->timer,
							 20 * US + next_random(seed) % 100 * US), 0);
		break;
	case 8:
		ck_assert_int_eq(asynctimer_get_stats(place->timer, &stats), 0);
		asynctimer_next_due_ns(place->timer);
		break;
	default:
		complete_open(place, next_random(seed) % 2 ? -EIO : 0);
	}
}

static void *control(void *data)
{
	unsigned seed = (unsigned)(uintptr_t)data;

	while (!flag_get(&ended)) {
		struct place *place = &places[next_random(&seed) % PLACES];

		pthread_mutex_lock(&place->lock);
		act(place, &seed);
		pthread_mutex_unlock(&place->lock);
	}
	return NULL;
}

START_TEST(anything_from_everywhere_keeps_the_promises)
{
	pthread_t runners[RUNNERS], controllers[CONTROLLERS];
	unsigned seed = 7;

	for (unsigned i = 0; i < PLACES; i++) {
		pthread_mutex_init(&places[i].lock, NULL);
		fill(&places[i], &seed);
	}
	run_in_threads(runners);
	for (unsigned i = 0; i < CONTROLLERS; i++)
		controllers[i] = thread_new(control, (void *)(uintptr_t)(i + 1));
	/* Some time for races to show; what they would break is checked by flags. */
	for (uint64_t end_ns = now_mono() + ASYNCTIMER_SECOND; now_mono() < end_ns;)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	flag_set(&ended);
	for (unsigned i = 0; i < CONTROLLERS; i++)
		thread_join(controllers[i]);
	asynctimer_reactor_stop(reactor);
	join_all(runners);
	ck_assert_int_gt(flag_get(&callbacks_seen), 0);
	for (unsigned i = 0; i < PLACES; i++) {
		let_go(&places[i]);
		while (places[i].content) {
			struct content *content = places[i].content;

			ck_assert_int_eq(content->gone, 1);
			places[i].content = content->next;
			free(content);
		}
		pthread_mutex_destroy(&places[i].lock);
	}
}
END_TEST

int main(void)
{
	return RUN_TESTS("threads",
			 callbacks_of_one_timer_never_overlap,
			 a_slow_callback_delays_no_other_while_a_thread_idles,
			 three_slow_callbacks_delay_no_other_while_a_fourth_thread_idles,
			 run_inside_a_callback_or_handler_is_refused,
			 one_stop_lets_every_run_return_and_is_sticky,
			 a_signal_handler_stops_every_run,
			 anything_from_everywhere_keeps_the_promises);
}
