/* SPDX-License-Identifier: MIT */
/*
 * A timer's life. Its state is started or not, and open or not; open from the
 * claim of a tick until both its callback has returned and, if that was
 * deferred, asynctimer_complete was called. While a callback or handler runs,
 * a frame of the reactor says where; a stop elsewhere waits for that to end.
 * The memory goes with the last of: asynctimer_free, the open tick, the stops
 * that wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "probes.h"
#include "wake.h"

#ifdef ASYNCTIMER_TEST_POINTS
void (*asynctimer__test_hook)(enum asynctimer__test_point point, struct asynctimer *timer);
#endif

static struct asynctimer_reactor *reactor_of(const struct asynctimer *timer)
{
	return timer->source->reactor;
}

static uint64_t now_ns_of(const struct asynctimer *timer)
{
	return asynctimer__source_now_ns(timer->source);
}

/* Takes the reactor's lock: 0, -EINVAL without a timer, -ECHILD in a forked child. */
static int lock(const struct asynctimer *timer)
{
	if (!timer)
		return -EINVAL;
	if (asynctimer__in_child(reactor_of(timer)))
		return -ECHILD;
	TEST_POINT(ENTERS, timer);
	pthread_mutex_lock(&reactor_of(timer)->lock);
	return 0;
}

static void unlock(const struct asynctimer *timer)
{
	pthread_mutex_unlock(&reactor_of(timer)->lock);
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

static int acquire(struct asynctimer_reactor *reactor, int clock, bool own, uint64_t slack_ns,
		   struct asynctimer **ret)
{
	unsigned which = clock == CLOCK_MONOTONIC ? 0 : clock == CLOCK_BOOTTIME ? 1 : 2;

	if (reactor->freeing)
		return -EBUSY;
	if (reactor->virtual)
		which = 0;
	else if (own)
		return asynctimer__own_acquire(&reactor->own_sources[which], ret);
	return asynctimer__shared_acquire(&reactor->shared[which], slack_ns, ret);
}

/* The arguments but for the reactor and ret, which the caller has checked. */
static int new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
	       bool own, uint64_t slack_ns, asynctimer_callback callback, void *data,
	       struct asynctimer **ret)
{
	struct asynctimer *timer;
	int cancel_state;
	int r;

	if (!reactor)
		return -EINVAL;
	if (asynctimer__in_child(reactor))
		return -ECHILD;
	if (!callback || !ret || !valid_interval(interval_ns) || slack_ns >= interval_ns ||
	    !valid_policy(policy, clock))
		return -EINVAL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	pthread_mutex_lock(&reactor->lock);
	r = acquire(reactor, clock, own, slack_ns, &timer);
	if (r == 0) {
		timer->schedule.interval_ns = interval_ns;
		timer->schedule.policy = (uint8_t)policy;
		timer->callback = callback;
		timer->data = data;
		*ret = timer;
	}
	pthread_mutex_unlock(&reactor->lock);
	pthread_setcancelstate(cancel_state, NULL);
	return r;
}

int asynctimer_new(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns, int policy,
		   asynctimer_callback callback, void *data, struct asynctimer **ret)
{
	return new(reactor, clock, interval_ns, policy, true, 0, callback, data, ret);
}

int asynctimer_new_shared(struct asynctimer_reactor *reactor, int clock, uint64_t interval_ns,
			  int policy, uint64_t slack_ns, asynctimer_callback callback, void *data,
			  struct asynctimer **ret)
{
	return new(reactor, clock, interval_ns, policy, false, slack_ns, callback, data, ret);
}

/* It needs no more wake-ups and takes no more starts. */
static void retire(struct asynctimer *timer)
{
	if (timer->freed)
		return;
	if (timer->started && !asynctimer__in_child(reactor_of(timer)))
		PROBE(stop, timer);
	timer->source->backing->retire(timer);
	timer->started = false;
	timer->freed = true;
}

void asynctimer__timer_discard(struct asynctimer *timer)
{
	if (timer->released)
		return;
	retire(timer);
	timer->released = true;
	if (timer->release)
		timer->release(timer->data);
}

/* Gives the lock up, and with it the timer if nothing else holds that. */
static void unlock_and_let_go(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = reactor_of(timer);
	void (*release)(void *data) = timer->release;
	void *data = timer->data;
	bool last = timer->freed && !timer->open && !timer->waiters;

	if (last && reactor->freeing) {
		timer->released = true;
	} else if (last) {
		asynctimer__names_remove(&reactor->names, timer);
		timer->source->backing->release(timer);
	}
	pthread_mutex_unlock(&reactor->lock);
	/* From here on the reactor may be gone. */
	TEST_POINT(LETS_GO, NULL);
	if (last && release)
		release(data);
}

/* Its memory stays until the child frees the reactor: a deferred tick may name it. */
static void free_in_child(struct asynctimer *timer)
{
	if (asynctimer__is_running(timer))
		retire(timer);		/* the rest when that has returned */
	else
		asynctimer__timer_discard(timer);
}

/* Where the timer's callback or handler runs; only while it does. */
static struct frame *frame_of(const struct asynctimer *timer)
{
	struct frame *frame = reactor_of(timer)->frames;

	while (frame->timer != timer)
		frame = frame->next;
	return frame;
}

static bool runs_elsewhere(const struct asynctimer *timer)
{
	return timer->running && frame_of(timer)->thread != asynctimer__this_thread();
}

/* With the callback or handler running in another thread: waits until that has ended. */
static void await_end(struct asynctimer *timer)
{
	struct asynctimer_reactor *reactor = reactor_of(timer);
	uint64_t run = frame_of(timer)->run;

	TEST_POINT(STOP_WAITS, timer);
	timer->waiters++;
	reactor->inside++;
	while (timer->running && frame_of(timer)->run == run)
		pthread_cond_wait(&reactor->ended, &reactor->lock);
	TEST_POINT(STOP_WAITED, timer);
	reactor->inside--;
	timer->waiters--;
}

void asynctimer_free(struct asynctimer *timer)
{
	struct wait wait;
	int cancel_state;

	if (!timer)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	if (lock(timer) < 0) {
		free_in_child(timer);
	} else if (timer->freed) {
		unlock(timer);
	} else {
		retire(timer);
		if (runs_elsewhere(timer) &&
		    asynctimer__wait_enter(&wait, timer, frame_of(timer)->thread) == 0)
			await_end(timer);
		unlock_and_let_go(timer);
	}
	pthread_setcancelstate(cancel_state, NULL);
}

void asynctimer_set_release(struct asynctimer *timer, void (*release)(void *data))
{
	if (lock(timer) < 0)
		return;
	timer->release = release;
	unlock(timer);
}

static void set_interval(struct asynctimer *timer, uint64_t interval_ns)
{
	const struct backing *backing = timer->source->backing;
	uint64_t now_ns;

	if (!timer->started) {
		timer->schedule.interval_ns = interval_ns;
		return;
	}
	backing->disarm(timer);
	now_ns = now_ns_of(timer);
	asynctimer__schedule_set_interval(&timer->schedule, interval_ns, timer->anchor_ns, now_ns);
	/* An open tick's completion arms it. */
	if (!timer->open && backing->arm(timer, now_ns) < 0)
		asynctimer__retry(reactor_of(timer));
}

int asynctimer_set_interval(struct asynctimer *timer, uint64_t interval_ns)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (timer->freed || !valid_interval(interval_ns) ||
	    interval_ns <= timer->source->backing->slack_ns(timer))
		r = -EINVAL;
	else
		r = timer->schedule.interval_ns != interval_ns;
	if (r == 1)
		set_interval(timer, interval_ns);
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

int asynctimer_set_name(struct asynctimer *timer, const char *name)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (timer->freed)
		r = -EINVAL;
	else if (!name || !*name)
		r = asynctimer__names_remove(&reactor_of(timer)->names, timer);
	else if (strnlen(name, ASYNCTIMER__NAME_SIZE) == ASYNCTIMER__NAME_SIZE)
		r = -ERANGE;
	else
		r = asynctimer__names_set(&reactor_of(timer)->names, timer, name);
	unlock(timer);
	return r;
}

/* Takes the lock if the timer can be started: 1; else 0 or an error, without it. */
static int lock_to_start(struct asynctimer *timer, bool valid)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	if (valid && !timer->freed && !timer->started)
		return 1;
	r = valid && !timer->freed ? 0 : -EINVAL;
	unlock(timer);
	return r;
}

/* With the schedule set: the timer is started. Gives the lock up. */
static int start_and_unlock(struct asynctimer *timer, uint64_t now_ns)
{
	int r = 0;

	/* An open tick's completion arms it. */
	if (!timer->open)
		r = timer->source->backing->arm(timer, now_ns);
	timer->started = r == 0;
	if (r == 0)
		PROBE(start, timer);
	unlock(timer);
	return r < 0 ? r : 1;
}

int asynctimer_start(struct asynctimer *timer)
{
	uint64_t now_ns;
	int r = lock_to_start(timer, true);

	if (r < 1)
		return r;
	now_ns = now_ns_of(timer);
	timer->anchor_ns = now_ns;
	asynctimer__schedule_start(&timer->schedule, now_ns);
	return start_and_unlock(timer, now_ns);
}

int asynctimer_start_after(struct asynctimer *timer, uint64_t delay_ns)
{
	uint64_t now_ns;
	int r = lock_to_start(timer, delay_ns <= ASYNCTIMER__INTERVAL_MAX);

	if (r < 1)
		return r;
	now_ns = now_ns_of(timer);
	timer->anchor_ns = now_ns + delay_ns;
	asynctimer__schedule_start_at(&timer->schedule, timer->anchor_ns, now_ns);
	return start_and_unlock(timer, now_ns);
}

int asynctimer_start_at(struct asynctimer *timer, uint64_t anchor_ns)
{
	uint64_t now_ns;
	int r = lock_to_start(timer, anchor_ns <= INT64_MAX);

	if (r < 1)
		return r;
	now_ns = now_ns_of(timer);
	timer->anchor_ns = anchor_ns;
	asynctimer__schedule_start_at(&timer->schedule, anchor_ns, now_ns);
	return start_and_unlock(timer, now_ns);
}

/* 1, or 0 if it was stopped. An open tick's successor is armed by its completion: then nothing is. */
static int stop(struct asynctimer *timer)
{
	int r = timer->started;

	if (r) {
		timer->source->backing->disarm(timer);
		PROBE(stop, timer);
	}
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
	r = asynctimer__wait_enter(&wait, timer, frame_of(timer)->thread);
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

void asynctimer__frame_push(struct frame *frame, struct asynctimer_reactor *reactor)
{
	*frame = (struct frame){ .reactor = reactor, .next = reactor->frames };
	reactor->frames = frame;
	reactor->inside++;
	asynctimer__thread_enters(frame);
}

void asynctimer__frame_pop(struct frame *frame, bool locked)
{
	struct asynctimer_reactor *reactor = frame->reactor;

	if (locked) {
		struct frame **link = &reactor->frames;

		while (*link != frame)
			link = &(*link)->next;
		*link = frame->next;
		reactor->inside--;
		pthread_mutex_unlock(&reactor->lock);
	}
	asynctimer__thread_leaves(frame);
}

static void begin_run(struct asynctimer *timer, struct frame *frame)
{
	frame->timer = timer;
	frame->run = ++frame->reactor->runs;
	timer->running = true;
}

static void end_run(struct asynctimer *timer, struct frame *frame)
{
	frame->timer = NULL;
	timer->running = false;
	if (timer->waiters) {
		asynctimer__waits_end(timer);
		pthread_cond_broadcast(&frame->reactor->ended);
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

	if (tick->skipped_busy | tick->skipped_late) {
		timer->skipped_busy += tick->skipped_busy;
		timer->skipped_late += tick->skipped_late;
	}
	timer->lateness_sum_ns += lateness_ns;
	if (timer->lateness_max_ns < lateness_ns)
		timer->lateness_max_ns = lateness_ns;
}

static void count_end(struct asynctimer *timer, uint64_t begun_ns, uint64_t now_ns)
{
	uint64_t duration_ns = now_ns > begun_ns ? now_ns - begun_ns : 0;

	timer->duration_sum_ns += duration_ns;
	if (timer->duration_max_ns < duration_ns)
		timer->duration_max_ns = duration_ns;
	PROBE(tick_end, timer, duration_ns);
}

static void complete_tick(struct asynctimer *timer, const struct source *source,
			  struct frame *frame, uint64_t now_ns)
{
	uint64_t before_ns = timer->schedule.node.due_ns;

	count_end(timer, frame->begun_ns, now_ns);
	timer->open = false;
	frame->reactor->open--;
	if (timer->started)
		asynctimer__schedule_complete(&timer->schedule, now_ns);
	if (!timer->freed)
		source->backing->completed(timer, source, frame, now_ns, before_ns);
}

/*
 * The tick, running in frame, ended with result; a failure goes to the handler
 * first. *now_ns is the reading it ended at, or one after its release. Called
 * and returns with the lock held, the timer then perhaps gone; false as
 * asynctimer__timer_run.
 */
static bool end_tick(struct asynctimer *timer, const struct source *source, struct frame *frame,
		     int result, uint64_t *now_ns)
{
	struct asynctimer_reactor *reactor = frame->reactor;

	timer->completed = true;
	if (result < 0) {
		asynctimer_error_handler handler = timer->freed ? NULL : timer->error_handler;

		timer->failures++;
		if (handler) {
			pthread_mutex_unlock(&reactor->lock);
			handler(timer, result, timer->data);
			TEST_POINT(HANDLED, timer);
			if (!relock(reactor, frame))
				return false;
			*now_ns = asynctimer__source_now_ns(source);
		}
	}
	complete_tick(timer, source, frame, *now_ns);
	end_run(timer, frame);
	if (timer->freed) {
		struct source gone = *source;	/* it may go with the timer */

		unlock_and_let_go(timer);
		if (!relock(reactor, frame))
			return false;
		/* The release may have taken its time. */
		*now_ns = asynctimer__source_now_ns(&gone);
	}
	return true;
}

bool asynctimer__timer_run(struct asynctimer *timer, const struct source *source,
			   struct frame *frame, uint64_t *now_ns)
{
	struct asynctimer_reactor *reactor = frame->reactor;
	struct asynctimer_tick tick;
	int result;

	TEST_POINT(DUE, timer);
	asynctimer__schedule_claim(&timer->schedule, *now_ns, &tick);
	count_begin(timer, &tick);
	timer->open = true;
	timer->completed = false;
	frame->begun_ns = *now_ns;
	reactor->open++;
	begin_run(timer, frame);
	PROBE(tick_start, timer, &tick);
	pthread_mutex_unlock(&reactor->lock);

	TEST_POINT(CLAIMED, timer);
	result = timer->callback(timer, &tick, timer->data);
	TEST_POINT(RETURNED, timer);
	if (!relock(reactor, frame))
		return false;
	/* Read with the lock held: no complete that came before the callback's end is later than this. */
	*now_ns = asynctimer__source_now_ns(source);

	if (result == ASYNCTIMER_PENDING && !timer->completed) {
		timer->begun_ns = frame->begun_ns;
		end_run(timer, frame);
		return true;
	}
	if (result == ASYNCTIMER_PENDING)
		result = frame->result;
	else if (result > 0)
		result = -EINVAL;
	return end_tick(timer, source, frame, result, now_ns);
}

/* The callback has returned: this thread ends its tick, and gives the lock up. */
static int complete_deferred(struct asynctimer *timer, int result)
{
	struct asynctimer_reactor *reactor = reactor_of(timer);
	uint64_t now_ns = now_ns_of(timer);
	struct frame frame;
	bool parent;

	asynctimer__frame_push(&frame, reactor);
	frame.begun_ns = timer->begun_ns;
	begin_run(timer, &frame);
	parent = end_tick(timer, timer->source, &frame, result, &now_ns);
	asynctimer__frame_pop(&frame, parent);
	return parent ? 0 : -ECHILD;
}

int asynctimer_complete(struct asynctimer *timer, uint64_t number, int result)
{
	int r = lock(timer);

	if (r < 0)
		return r;
	TEST_POINT(COMPLETES, timer);
	if (result > 0) {
		r = -EINVAL;
	} else if (!timer->open || timer->completed || timer->schedule.number != number) {
		r = -EALREADY;
	} else if (!timer->running) {
		return complete_deferred(timer, result);
	} else {
		timer->completed = true;
		frame_of(timer)->result = result;
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
	uint64_t now_ns;

	if (!timer)
		return 0;
	if (!reactor_of(timer)->virtual || lock(timer) < 0)
		return now_ns_of(timer);
	now_ns = now_ns_of(timer);
	unlock(timer);
	return now_ns;
}

uint64_t asynctimer_next_due_ns(const struct asynctimer *timer)
{
	uint64_t due_ns = ASYNCTIMER__NEVER;

	if (lock(timer) < 0)
		return due_ns;
	if (timer->started &&
	    !(timer->open && timer->schedule.policy == ASYNCTIMER_FIXED_DELAY))
		due_ns = timer->schedule.node.due_ns;
	unlock(timer);
	return due_ns;
}

int asynctimer_get_stats(const struct asynctimer *timer, struct asynctimer_stats *ret)
{
	uint64_t busy_since_ns = 0;
	int r = lock(timer);

	if (r < 0)
		return r;
	if (!ret) {
		unlock(timer);
		return -EINVAL;
	}
	if (timer->open)
		busy_since_ns = timer->running ? frame_of(timer)->begun_ns : timer->begun_ns;
	*ret = (struct asynctimer_stats){
		.callbacks = timer->schedule.number - timer->skipped_busy - timer->skipped_late,
		.skipped_busy = timer->skipped_busy,
		.skipped_late = timer->skipped_late,
		.failures = timer->failures,
		.lateness_sum_ns = timer->lateness_sum_ns,
		.lateness_max_ns = timer->lateness_max_ns,
		.duration_sum_ns = timer->duration_sum_ns,
		.duration_max_ns = timer->duration_max_ns,
		.busy_since_ns = busy_since_ns,
	};
	unlock(timer);
	return 0;
}

struct asynctimer_reactor *asynctimer_get_reactor(const struct asynctimer *timer)
{
	return timer ? reactor_of(timer) : NULL;
}

void *asynctimer_get_data(const struct asynctimer *timer)
{
	return timer ? timer->data : NULL;
}
