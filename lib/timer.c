/* SPDX-License-Identifier: MIT */
/*
 * A timer's life. Its state is started or not, and open or not; open from the
 * claim of a tick until both its callback has returned and, if that was
 * deferred, asynctimer_complete was called. While a callback or handler runs,
 * runner says where; a stop elsewhere waits for that to end. The memory goes
 * with the last of: asynctimer_free, the open tick, the stops that wait.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

#ifdef ASYNCTIMER_TEST_POINTS
void (*asynctimer__test_hook)(enum asynctimer__test_point point, struct asynctimer *timer);
#endif

/* Takes the reactor's lock: 0, -EINVAL without a timer, -ECHILD in a forked child. */
static int lock(const struct asynctimer *timer)
{
	if (!timer)
		return -EINVAL;
	if (asynctimer__in_child(timer->reactor))
		return -ECHILD;
	pthread_mutex_lock(&timer->reactor->lock);
	return 0;
}

static void unlock(const struct asynctimer *timer)
{
	pthread_mutex_unlock(&timer->reactor->lock);
}

static bool valid_interval(uint64_t interval_ns)
{
	return interval_ns > 0 && interval_ns <= ASYNCTIMER__INTERVAL_MAX;
}

static bool valid_policy(int policy, int clock)
{
	switch (policy) {
	case ASYNCTIMER_FIXED_SCHEDULE:
		return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
		       clock == CLOCK_REALTIME;
	case ASYNCTIMER_FIXED_DELAY:
		return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
	default:
		return false;
	}
}

static void link_to(struct asynctimer *timer, struct asynctimer **list)
{
	timer->next = *list;
	timer->link = list;
	if (*list)
		(*list)->link = &timer->next;
	*list = timer;
}

static void unlink_from_list(struct asynctimer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
}

static int acquire(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = timer->reactor;
	int cancel_state;
	int r = -EBUSY;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	pthread_mutex_lock(&reactor->lock);
	if (!reactor->freeing)
		r = timer->backing->acquire(timer);
	if (r == 0)
		link_to(timer, &reactor->timers);
	pthread_mutex_unlock(&reactor->lock);
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}

int asynctimer_new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
		   asynctimer_callback callback, void *data, struct asynctimer **ret)
{
	struct asynctimer *timer;
	int r;

	if (!reactor || !callback || !ret || !valid_interval(interval_ns) ||
	    !valid_policy(policy, clock))
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	timer = malloc(sizeof(*timer));
	if (!timer)
		return -ENOMEM;
	*timer = (struct asynctimer){
		.reactor = reactor,
		.backing = &asynctimer__own,
		.schedule = { .interval_ns = interval_ns, .policy = policy },
		.callback = callback,
		.data = data,
		.clock = clock,
	};
	r = acquire(timer);
	if (r < 0) {
		free(timer);
		return r;
	}
	*ret = timer;
	return 0;
}

static void release_backing(struct asynctimer *timer)
{
	if (!timer->freed)
		timer->backing->release(timer);
	timer->started = false;
	timer->freed = true;
}

void asynctimer__timer_discard(struct asynctimer *timer)
{
	release_backing(timer);
	unlink_from_list(timer);
	link_to(timer, &timer->reactor->dead);
	if (timer->release)
		timer->release(timer->data);
}

/* Gives the lock up, and with it the timer if nothing else holds that. */
static void unlock_and_let_go(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = timer->reactor;
	void (*release)(void *data) = timer->release;
	void *data = timer->data;
	bool last = timer->freed && !timer->open && !timer->waiters;
	bool nameable = reactor->freeing;

	if (last)
		unlink_from_list(timer);
	if (last && nameable)
		link_to(timer, &reactor->dead);
	pthread_mutex_unlock(&reactor->lock);
	if (!last)
		return;
	/* From here on the reactor may be gone. */
	if (!nameable)
		free(timer);
	if (release)
		release(data);
}

/* Its memory stays until the child frees the reactor: a deferred tick may name it. */
static void free_in_child(struct asynctimer *timer)
{
	if (asynctimer__is_running(timer))
		release_backing(timer);	/* the rest when that has returned */
	else if (!timer->freed)
		asynctimer__timer_discard(timer);
}

/* With the callback or handler running in another thread: waits until that has ended. */
static void await_end(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = timer->reactor;
	uint64_t run = timer->run;

	TEST_POINT(STOP_WAITS, timer);
	timer->waiters++;
	reactor->inside++;
	while (timer->runner && timer->run == run)
		pthread_cond_wait(&reactor->ended, &reactor->lock);
	reactor->inside--;
	timer->waiters--;
}

static bool runs_elsewhere(const struct asynctimer *timer)
{
	return timer->runner && timer->runner->thread != asynctimer__this_thread();
}

/* Called with the lock held, and gives it up. */
static void free_locked(struct asynctimer *timer)
{
	struct wait wait;

	if (timer->freed) {
		unlock(timer);
		return;
	}
	release_backing(timer);
	if (runs_elsewhere(timer) &&
	    asynctimer__wait_enter(&wait, timer, timer->runner->thread) == 0)
		await_end(timer);
	unlock_and_let_go(timer);
}

void asynctimer_free(struct asynctimer *timer)
{
	int cancel_state;

	if (!timer)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (lock(timer) < 0)
		free_in_child(timer);
	else
		free_locked(timer);
	pthread_setcancelstate(cancel_state, NULL);
}

void asynctimer_set_release(struct asynctimer *timer, void (*release)(void *data))
{
	if (lock(timer) < 0)
		return;
	timer->release = release;
	unlock(timer);
}

int asynctimer_set_interval(struct asynctimer *timer, uint64_t interval_ns)
{
	struct schedule *schedule;
	int r = lock(timer);

	if (r < 0)
		return r;
	schedule = &timer->schedule;
	if (timer->freed || !valid_interval(interval_ns)) {
		r = -EINVAL;
	} else if (schedule->interval_ns != interval_ns) {
		r = 1;
		if (timer->started)
			asynctimer__schedule_set_interval(schedule, interval_ns,
							  asynctimer__now_ns(timer->clock));
		else
			schedule->interval_ns = interval_ns;
		/* An open tick's completion arms it. */
		if (timer->started && timer->open)
			timer->backing->disarm(timer);
		else if (timer->started)
			timer->backing->arm(timer);
	}
	unlock(timer);
	return r;
}

int asynctimer_set_error_handler(struct asynctimer *timer, asynctimer_error_handler handler)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (timer->freed)
		r = -EINVAL;
	else
		r = timer->error_handler != handler;
	if (r == 1)
		timer->error_handler = handler;
	unlock(timer);
	return r;
}

/* With the schedule set: the timer is started. */
static int start(struct asynctimer *timer)
{
	int r = timer->open ? 0 : timer->backing->arm(timer);

	if (r < 0)
		return r;
	timer->started = true;
	return 1;
}

/* Takes the lock if the timer can be started: 1; else 0 or an error, without it. */
static int lock_to_start(struct asynctimer *timer)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (!timer->freed && !timer->started)
		return 1;
	r = timer->freed ? -EINVAL : 0;
	unlock(timer);
	return r;
}

int asynctimer_start(struct asynctimer *timer)
{
	int r = lock_to_start(timer);

	if (r < 1)
		return r;
	asynctimer__schedule_start(&timer->schedule, asynctimer__now_ns(timer->clock));
	r = start(timer);
	unlock(timer);
	return r;
}

int asynctimer_start_after(struct asynctimer *timer, uint64_t delay_ns)
{
	uint64_t now_ns;
	int r = delay_ns > ASYNCTIMER__INTERVAL_MAX ? -EINVAL : lock_to_start(timer);

	if (r < 1)
		return r;
	now_ns = asynctimer__now_ns(timer->clock);
	asynctimer__schedule_start_at(&timer->schedule, now_ns + delay_ns, now_ns);
	r = start(timer);
	unlock(timer);
	return r;
}

int asynctimer_start_at(struct asynctimer *timer, uint64_t anchor_ns)
{
	int r = anchor_ns > INT64_MAX ? -EINVAL : lock_to_start(timer);

	if (r < 1)
		return r;
	asynctimer__schedule_start_at(&timer->schedule, anchor_ns, asynctimer__now_ns(timer->clock));
	r = start(timer);
	unlock(timer);
	return r;
}

/* 1, or 0 if it was stopped. An open tick's successor is armed by its completion: then nothing is. */
static int stop(struct asynctimer *timer)
{
	int r = timer->started;

	if (r)
		timer->backing->disarm(timer);
	timer->started = false;
	return r;
}

int asynctimer_stop(struct asynctimer *timer)
{
	struct wait wait;
	int cancel_state;
	int r = lock(timer);

	if (r < 0)
		return r;
	if (!runs_elsewhere(timer)) {
		r = stop(timer);
		unlock(timer);
		return r;
	}
	r = asynctimer__wait_enter(&wait, timer, timer->runner->thread);
	if (r < 0) {
		unlock(timer);
		return r;
	}
	r = stop(timer);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	await_end(timer);
	unlock_and_let_go(timer);
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}

int asynctimer_stop_nowait(struct asynctimer *timer)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	r = stop(timer);
	unlock(timer);
	return r;
}

static void begin_run(struct asynctimer *timer, struct frame *frame)
{
	frame->timer = timer;
	timer->runner = frame;
	timer->run = ++timer->reactor->runs;
}

static void end_run(struct asynctimer *timer)
{
	timer->runner->timer = NULL;
	timer->runner = NULL;
	if (timer->waiters) {
		asynctimer__waits_end(timer);
		pthread_cond_broadcast(&timer->reactor->ended);
	}
}

/*
 * Back from the user's code: takes the lock again. False in a forked child,
 * where nothing may be touched but what the child has freed in there.
 */
static bool relock(struct asynctimer_reactor *reactor, struct frame *frame)
{
	if (!frame->reactor)
		return false;
	if (asynctimer__in_child(reactor)) {
		if (frame->timer && frame->timer->freed)
			asynctimer__timer_discard(frame->timer);
		return false;
	}
	pthread_mutex_lock(&reactor->lock);
	return true;
}

static void count_begin(struct asynctimer *timer, const struct asynctimer_tick *tick)
{
	uint64_t lateness_ns = tick->now_ns - tick->due_ns;

	timer->begun_ns = tick->now_ns;
	timer->skipped_busy += tick->skipped_busy;
	timer->skipped_late += tick->skipped_late;
	timer->lateness_sum_ns += lateness_ns;
	if (timer->lateness_max_ns < lateness_ns)
		timer->lateness_max_ns = lateness_ns;
}

static void count_end(struct asynctimer *timer, uint64_t now_ns)
{
	uint64_t duration_ns = now_ns > timer->begun_ns ? now_ns - timer->begun_ns : 0;

	timer->duration_sum_ns += duration_ns;
	if (timer->duration_max_ns < duration_ns)
		timer->duration_max_ns = duration_ns;
}

static void complete_tick(struct asynctimer *timer, uint64_t now_ns)
{
	uint64_t before_ns = timer->schedule.next_ns;

	count_end(timer, now_ns);
	timer->open = false;
	timer->reactor->open--;
	if (timer->started)
		asynctimer__schedule_complete(&timer->schedule, now_ns);
	if (!timer->freed)
		timer->backing->completed(timer, now_ns, before_ns);
}

/*
 * The tick, running in frame, ended with result at now_ns; a failure goes to
 * the handler first. Called and returns with the lock held, the timer then
 * perhaps gone; false as asynctimer__timer_run.
 */
static bool end_tick(struct asynctimer *timer, struct frame *frame, int result, uint64_t now_ns)
{
	struct asynctimer_reactor *reactor = timer->reactor;
	asynctimer_error_handler handler = timer->error_handler;

	timer->completed = true;
	if (result < 0)
		timer->failures++;
	if (result < 0 && handler && !timer->freed) {
		pthread_mutex_unlock(&reactor->lock);
		handler(timer, result, timer->data);
		if (!relock(reactor, frame))
			return false;
		now_ns = asynctimer__now_ns(timer->clock);
	}
	complete_tick(timer, now_ns);
	end_run(timer);
	if (timer->freed) {
		unlock_and_let_go(timer);
		return relock(reactor, frame);
	}
	return true;
}

bool asynctimer__timer_run(struct asynctimer *timer, uint64_t now_ns, struct frame *frame)
{
	struct asynctimer_reactor *reactor = timer->reactor;
	int clock = timer->clock;
	struct asynctimer_tick tick;
	int result;

	asynctimer__schedule_claim(&timer->schedule, now_ns, &tick);
	count_begin(timer, &tick);
	timer->open = true;
	timer->completed = false;
	reactor->open++;
	begin_run(timer, frame);
	pthread_mutex_unlock(&reactor->lock);

	TEST_POINT(CLAIMED, timer);
	result = timer->callback(timer, &tick, timer->data);
	TEST_POINT(RETURNED, timer);
	now_ns = asynctimer__now_ns(clock);
	if (!relock(reactor, frame))
		return false;

	if (result == ASYNCTIMER_PENDING && !timer->completed) {
		end_run(timer);
		return true;
	}
	if (result == ASYNCTIMER_PENDING) {
		/* The complete may have come after the callback's end. */
		now_ns = asynctimer__now_ns(clock);
		result = timer->result;
	} else if (result > 0) {
		result = -EINVAL;
	}
	return end_tick(timer, frame, result, now_ns);
}

/* The callback has returned: this thread ends its tick, and gives the lock up. */
static int complete_deferred(struct asynctimer *timer, int result)
{
	struct asynctimer_reactor *reactor = timer->reactor;
	uint64_t now_ns = asynctimer__now_ns(timer->clock);
	struct frame frame;
	int r = -ECHILD;

	asynctimer__frame_push(&frame, reactor);
	reactor->inside++;
	begin_run(timer, &frame);
	if (end_tick(timer, &frame, result, now_ns)) {
		reactor->inside--;
		pthread_mutex_unlock(&reactor->lock);
		r = 0;
	}
	asynctimer__frame_pop(&frame);
	return r;
}

int asynctimer_complete(struct asynctimer *timer, uint64_t number, int result)
{
	int r = result > 0 ? -EINVAL : lock(timer);

	if (r < 0)
		return r;
	if (!timer->open || timer->completed || timer->schedule.number != number) {
		r = -EALREADY;
	} else if (!timer->runner) {
		return complete_deferred(timer, result);
	} else {
		timer->completed = true;
		timer->result = result;
	}
	unlock(timer);
	return r;
}

int asynctimer_is_started(const struct asynctimer *timer)
{
	int r = 0;

	if (lock(timer) == 0) {
		r = timer->started;
		unlock(timer);
	}
	return r;
}

uint64_t asynctimer_now_ns(const struct asynctimer *timer)
{
	return timer ? asynctimer__now_ns(timer->clock) : 0;
}

uint64_t asynctimer_next_due_ns(const struct asynctimer *timer)
{
	uint64_t due_ns = ASYNCTIMER__NEVER;

	if (lock(timer) < 0)
		return due_ns;
	if (timer->started &&
	    !(timer->open && timer->schedule.policy == ASYNCTIMER_FIXED_DELAY))
		due_ns = timer->schedule.next_ns;
	unlock(timer);
	return due_ns;
}

int asynctimer_get_stats(const struct asynctimer *timer, struct asynctimer_stats *ret)
{
	int r = ret ? lock(timer) : -EINVAL;

	if (r < 0)
		return r;
	*ret = (struct asynctimer_stats){
		.callbacks = timer->schedule.number - timer->skipped_busy - timer->skipped_late,
		.skipped_busy = timer->skipped_busy,
		.skipped_late = timer->skipped_late,
		.failures = timer->failures,
		.lateness_sum_ns = timer->lateness_sum_ns,
		.lateness_max_ns = timer->lateness_max_ns,
		.duration_sum_ns = timer->duration_sum_ns,
		.duration_max_ns = timer->duration_max_ns,
		.busy_since_ns = timer->open ? timer->begun_ns : 0,
	};
	unlock(timer);
	return 0;
}

struct asynctimer_reactor *asynctimer_get_reactor(const struct asynctimer *timer)
{
	return timer ? timer->reactor : NULL;
}

void *asynctimer_get_data(const struct asynctimer *timer)
{
	return timer ? timer->data : NULL;
}
