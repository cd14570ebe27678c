/* SPDX-License-Identifier: MIT */
/* Timers that are stopped or released, by whom and where it is not easy; and forks. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenes.h"

static _Atomic int inside, answered;
static int answer;	/* of the child's stop */

/* A callback of 300 ms is stopped by another thread. */
static void long_callback(struct timer *timer)
{
	(void)timer;
	count++;
	inside = 1;
	sleep_ns(300 * MS);
	inside = 0;
}

static void *stop_from_outside(void *data)
{
	(void)data;
	while (!inside)
		sleep_ns(MS);
	peer->stop(&ticker);
	int still = inside;
	unsigned before = count;

	sleep_ns(500 * MS);
	if (count != before)
		tell(0, "runs again afterwards");
	tell(!still, still ? "returns while it runs" : "waits for its end");
}

static void need_threads(void)
{
	if (!peer->threads)
		tell(0, "not allowed");
}

void stop_from_thread(void)
{
	need_threads();
	peer->open();
	start(&ticker, REPEAT, 20 * MS, long_callback);
	in_thread(stop_from_outside, NULL);
	peer->run();
}

/* The same, but the callback waits for a lock that the other thread holds. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void wants_lock(struct timer *timer)
{
	(void)timer;
	inside = 1;
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
}

static void *stop_with_lock(void *data)
{
	int (*stop)(struct timer *) = *(int (**)(struct timer *))data;

	pthread_mutex_lock(&mutex);
	while (!inside)
		sleep_ns(MS);
	sleep_ns(50 * MS);
	stop(&ticker);
	tell(1, "returns");
}

static void stop_holding_lock_by(int (*stop)(struct timer *))
{
	static int (*by)(struct timer *);

	need_threads();
	by = stop;
	peer->open();
	start(&ticker, REPEAT, 200 * MS, wants_lock);
	in_thread(stop_with_lock, &by);
	peer->run();
}

void stop_holding_lock(void)
{
	stop_holding_lock_by(peer->stop);
}

void stop_holding_lock_nowait(void)
{
	stop_holding_lock_by(peer->stop_nowait ? peer->stop_nowait : peer->stop);
}

/* Two loops in two threads; two callbacks that run at the same time stop each other's timer. */
static pthread_barrier_t both;

static void stop_each_other(struct timer *timer)
{
	static int returned;

	pthread_barrier_wait(&both);
	int r = peer->stop(timer == &ticker ? &other : &ticker);

	if (r == -EDEADLK)
		answered = 1;
	if (__atomic_add_fetch(&returned, 1, __ATOMIC_SEQ_CST) == 2)
		tell(1, answered ? "one gets -EDEADLK" : "both return");
	sleep_ns(100 * MS);
}

static void *second_loop(void *data)
{
	(void)data;
	peer->open();
	start(&other, REPEAT, 50 * MS, stop_each_other);
	peer->run();
	return NULL;
}

void stop_crosswise(void)
{
	need_threads();
	pthread_barrier_init(&both, NULL, 2);
	in_thread(second_loop, NULL);
	peer->open();
	start(&ticker, REPEAT, 50 * MS, stop_each_other);
	peer->run();
}

/* Keeps a loop alive that ends without timers. */
static void tick_on(struct timer *timer)
{
	(void)timer;
}

/* Of 20 timers that are all due, the first to run stops, or releases, the others. */
static void (*deal_with)(struct timer *timer);

static void stop_it(struct timer *timer)
{
	peer->stop(timer);
}

static void judge_batch(void)
{
	if (count == 1)
		tell(1, "none of them runs");
	tell(0, "%u of %u run nevertheless", count - 1, MANY - 1);
}

static void deal_with_the_others(struct timer *timer)
{
	if (count++)
		return;
	for (unsigned i = 0; i < MANY; i++)
		if (&many[i] != timer)
			deal_with(&many[i]);
	judge_in(200 * MS, judge_batch);
}

static void block_past_all(struct timer *timer)
{
	(void)timer;
	busy(200 * MS);
}

static void batch(void (*how)(struct timer *timer))
{
	deal_with = how;
	peer->open();
	for (unsigned i = 0; i < MANY; i++)
		start(&many[i], ONCE, 100 * MS, deal_with_the_others);
	start(&ticker, ONCE, 10 * MS, block_past_all);
	start(&other, REPEAT, 50 * MS, tick_on);
	peer->run();
}

void stop_in_batch(void)
{
	batch(stop_it);
}

void free_in_batch(void)
{
	batch(peer->release);
}

/* A repeating timer is released in its own callback. */
static void judge_free(void)
{
	if (count == 1)
		tell(1, "allowed");
	tell(0, "it runs %u times more", count - 1);
}

static void free_itself(struct timer *timer)
{
	if (!count++)
		peer->release(timer);
}

void free_own(void)
{
	peer->open();
	start(&ticker, REPEAT, 10 * MS, free_itself);
	start(&other, REPEAT, 10 * MS, tick_on);
	judge_in(200 * MS, judge_free);
	peer->run();
}

/* A forked child stops the timer that it inherited. */
static void judge_parent(void)
{
	int ticks_on = count >= 6;

	if (answer == ECHILD)
		tell(ticks_on, ticks_on ? "ticks on; the child gets -ECHILD" : "stops; the child gets -ECHILD");
	tell(ticks_on, ticks_on ? "ticks on" : "stops");
}

static void stop_in_child(struct timer *timer)
{
	int status;

	note(timer);
	if (count != 3)
		return;
	pid_t pid = must(fork(), "fork");

	if (!pid)
		_exit(-peer->stop(timer) & 0xff);
	waitpid(pid, &status, 0);
	answer = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	judge_in(300 * MS, judge_parent);
}

void fork_stop(void)
{
	peer->open();
	start(&ticker, REPEAT, 20 * MS, stop_in_child);
	peer->run();
}

/* The child goes on with the loop and its timer, and so does the parent. */
static int child_fd;	/* the child writes a byte per tick */

static void in_child(struct timer *timer)
{
	(void)timer;
	if (write(child_fd, "", 1) != 1)
		_exit(1);
}

/* Each has some 14 ticks, if they have not 14 together. */
static void judge_both(void)
{
	char ticks[100];
	ssize_t childs = read(child_fd, ticks, sizeof(ticks));

	if (childs <= 0)
		tell(0, "it does not");
	if ((unsigned)childs + count < 20)
		tell(0, "it takes the parent's ticks");
	tell(1, "it does");
}

void fork_go_on(void)
{
	int fds[2];

	must(pipe2(fds, O_NONBLOCK), "pipe2");
	peer->open();
	start(&ticker, REPEAT, 40 * MS, note);
	pid_t pid = must(fork(), "fork");

	child_fd = fds[!pid];
	close(fds[!!pid]);
	if (pid) {
		judge_in(600 * MS, judge_both);
		peer->run();
	}
	ticker.on_tick = in_child;
	alarm(1);
	if (peer->after_fork && peer->after_fork() < 0)
		_exit(1);
	peer->run();
	_exit(1);
}
