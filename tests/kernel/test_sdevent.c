/* SPDX-License-Identifier: MIT */
/*
 * Processes that use this library and processes that use sd-event wake up at the same
 * moments. One process of each arms a timer for the same windows. What the kernel has
 * been told is compared, so nobody has to wait for a minute: a timerfd's remaining time
 * is in /proc/self/fdinfo, and the clock is read just before and just after that.
 */
#include "util.h"

#ifdef HAVE_LIBSYSTEMD
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define WINDOWS 60

static const uint64_t slacks_ns[] = { 250 * MS, SECOND, 60 * SECOND };

/* All in microseconds, for sd-event knows no less. */
static struct window {
	uint64_t due_ns, slack_ns;
} windows[WINDOWS];

/* When the process wakes up: not before the one, not after the other. */
struct moment {
	uint64_t from_ns, to_ns;
};

/* For how long the file /proc/self/fdinfo/NAME, of a timerfd, is armed; 0: for nothing, or it is of none. */
static uint64_t remaining_ns(const char *name)
{
	char path[300], line[100];
	unsigned long long s = 0, ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", name);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "it_value: (%llu, %llu)", &s, &ns) == 2)
			break;
	if (file)
		fclose(file);
	return s * SECOND + ns;
}

/* When the one timerfd of this process that is armed expires. */
static struct moment armed(void)
{
	struct moment moment = { 0, 0 };
	DIR *dir = opendir("/proc/self/fdinfo");
	const struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		uint64_t before_ns = now_mono();
		uint64_t ns = remaining_ns(entry->d_name);

		if (!ns)
			continue;
		ck_assert_uint_eq(moment.to_ns, 0);
		moment = (struct moment){ before_ns + ns, now_mono() + ns };
	}
	closedir(dir);
	ck_assert_uint_gt(moment.to_ns, 0);
	return moment;
}

static int never(sd_event_source *source, uint64_t us, void *data)
{
	(void)source;
	(void)us;
	(void)data;
	ck_abort_msg("sd-event's timer ran");
}

static struct moment sd_event_moment(const struct window *window)
{
	sd_event *event;
	sd_event_source *source;
	struct moment moment;

	must(sd_event_new(&event));
	must(sd_event_add_time(event, &source, CLOCK_MONOTONIC, window->due_ns / US,
			       window->slack_ns / US, never, NULL));
	ck_assert_int_eq(sd_event_prepare(event), 0);
	moment = armed();
	sd_event_source_unref(source);
	sd_event_unref(event);
	return moment;
}

static struct moment our_moment(const struct window *window)
{
	struct asynctimer_reactor *alone;
	struct watched watched = { .result = 0 };
	struct moment moment;

	must(asynctimer_reactor_new(&alone));
	must(asynctimer_new_shared(alone, CLOCK_MONOTONIC, HOUR, ONCE, window->slack_ns, on_tick,
				   &watched, &watched.timer));
	must(asynctimer_start_at(watched.timer, window->due_ns));
	moment = armed();
	asynctimer_free(watched.timer);
	must(asynctimer_reactor_free(alone));
	return moment;
}

/* In a process of its own: the moments of all windows. */
static void find_moments(struct moment (*find)(const struct window *window), struct moment *ret)
{
	int fds[2], status;
	pid_t child;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		for (unsigned i = 0; i < WINDOWS; i++)
			ret[i] = find(&windows[i]);
		_exit(write(fds[1], ret, WINDOWS * sizeof(*ret)) != WINDOWS * sizeof(*ret));
	}
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], ret, WINDOWS * sizeof(*ret)), WINDOWS * sizeof(*ret));
	close(fds[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

START_TEST(with_equal_slack_both_wake_up_at_the_same_moments)
{
	static struct moment ours[WINDOWS], theirs[WINDOWS];
	/* Not in the first minute after the boot, for sd-event may find no spot there. */
	uint64_t due_ns = now_mono() / US * US + 120 * SECOND;

	for (unsigned i = 0; i < WINDOWS; i++) {
		windows[i].slack_ns = slacks_ns[i % 3];
		windows[i].due_ns = due_ns;
		due_ns += 7654321 * US;
	}
	find_moments(our_moment, ours);
	find_moments(sd_event_moment, theirs);
	for (unsigned i = 0; i < WINDOWS; i++) {
		printf("due %.6f, slack %.3f s: ours %.6f to %.6f, sd-event's %.6f to %.6f\n",
		       (double)windows[i].due_ns / 1e9, (double)windows[i].slack_ns / 1e9,
		       (double)ours[i].from_ns / 1e9, (double)ours[i].to_ns / 1e9,
		       (double)theirs[i].from_ns / 1e9, (double)theirs[i].to_ns / 1e9);
		ck_assert_uint_ge(ours[i].to_ns, windows[i].due_ns);
		ck_assert_uint_le(ours[i].from_ns, windows[i].due_ns + windows[i].slack_ns);
		ck_assert_uint_le(ours[i].from_ns, theirs[i].to_ns);
		ck_assert_uint_le(theirs[i].from_ns, ours[i].to_ns);
	}
}
END_TEST

int main(void)
{
	if (access("/proc/self/fdinfo", R_OK) < 0)
		skip_all("/proc/self/fdinfo is not here");
	return RUN_TESTS("sdevent", with_equal_slack_both_wake_up_at_the_same_moments);
}
#else
int main(void)
{
	skip_all("libsystemd is not here");
}
#endif
