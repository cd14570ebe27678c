/* SPDX-License-Identifier: MIT */
/*
 * Threads under SCHED_FIFO: whoever holds the lock of their reactor runs with their
 * priority while they wait for it, and so is not held up by others in between.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"
#include "util.h"

#define PRIORITY 20

static struct asynctimer_reactor *made;
static int holder;		/* the thread that holds the lock */
static int boosted;

static int set_policy(int policy, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(0, policy, &param) < 0 ? -errno : 0;
}

/* The priority that the kernel gives a thread now: field 18 of proc(5)'s stat, below 0 for a real-time one. */
static int priority_of(int thread)
{
	char path[64], line[1024], *after_name;
	FILE *file;
	int priority;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	/* The name may have anything in it. */
	after_name = strrchr(line, ')');
	ck_assert_ptr_nonnull(after_name);
	ck_assert_int_eq(sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
					    "%*d %*d %d", &priority), 1);
	return priority;
}

static void *hold(void *data)
{
	pthread_mutex_lock(&made->lock);
	__atomic_store_n(&holder, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	await(flag_get(&boosted));
	pthread_mutex_unlock(&made->lock);
	return data;
}

static void *wait_for_it(void *data)
{
	must(set_policy(SCHED_FIFO, PRIORITY));
	must(asynctimer_reactor_restart(made));
	return data;
}

static void *make_it(void *data)
{
	must(set_policy(SCHED_FIFO, PRIORITY));
	must(asynctimer_reactor_new(&made));
	return data;
}

/* What is no boost would hang. */
START_TEST(who_holds_the_lock_of_a_reactor_made_under_fifo_is_boosted)
{
	pthread_t low, high;

	thread_join(thread_new(make_it, NULL));
	low = thread_new(hold, NULL);
	await(__atomic_load_n(&holder, __ATOMIC_SEQ_CST));
	ck_assert_int_ge(priority_of(holder), 0);
	high = thread_new(wait_for_it, NULL);
	await(priority_of(holder) == -1 - PRIORITY);
	flag_set(&boosted);
	thread_join(low);
	thread_join(high);
	ck_assert_int_eq(asynctimer_reactor_free(made), 0);
}
END_TEST

int main(void)
{
	if (set_policy(SCHED_FIFO, 1) < 0)
		skip_all("no thread may be under a real-time policy here");
	set_policy(SCHED_OTHER, 0);
	return RUN_TESTS("real_time", who_holds_the_lock_of_a_reactor_made_under_fifo_is_boosted);
}
