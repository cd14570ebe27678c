/* SPDX-License-Identifier: MIT */
/*
 * Spots: when to wake up for a timer with slack. The listed values were worked out
 * without the library, in integers of any size; an oracle looks at each nanosecond
 * of a window, or at each time that can be a spot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perturbation.h"
#include "spots.h"
#include "util.h"

#define MINUTE (60 * SECOND)
#define PERIODS 8
#define PERTURBATIONS 4

static const uint64_t periods_ns[PERIODS] = {
	MINUTE, 10 * SECOND, SECOND, 250 * MS, 50 * MS, 10 * MS, 5 * MS, MS
};
static const uint64_t perturbations_ns[PERTURBATIONS] = {
	0, 41270183 * US, US, MINUTE - US
};

static const struct vector {
	uint64_t due_ns, slack_ns, perturbation_ns;
	uint64_t wake_ns;
} vectors[] = {
	/* No slack; and windows in which there is no spot: their ends. */
	{ 0, 0, 0, 0 },
	{ 7, 0, 0, 7 },
	{ 1, 1, 0, 2 },
	{ 100, 30, 0, 130 },
	{ UINT64_C(61000400000), 1300000, 0, UINT64_C(61001700000) },
	{ UINT64_C(1000000000000), 500000, UINT64_C(41270183000), UINT64_C(1000000500000) },
	/* A spot at the very beginning counts, one at the very end does not. */
	{ 0, 1, 0, 0 },
	{ UINT64_C(10000000000), 1000000000, 0, UINT64_C(10000000000) },
	{ UINT64_C(59700000000), 300000000, 0, UINT64_C(59750000000) },
	{ 999999998, 2, 0, 1000000000 },
	{ 999999999, 2, 0, 1000000000 },
	/* Each period of sd-event's, in windows that have no coarser one, and in larger ones. */
	{ 1, UINT64_C(61000000000), 0, UINT64_C(60000000000) },
	{ UINT64_C(10000000000), UINT64_C(60000000000), 0, UINT64_C(60000000000) },
	{ UINT64_C(61000000000), UINT64_C(59000000000), 0, UINT64_C(110000000000) },
	{ UINT64_C(61000000000), UINT64_C(20000000000), 0, UINT64_C(80000000000) },
	{ UINT64_C(61000000000), UINT64_C(9000000000), 0, UINT64_C(69000000000) },
	{ UINT64_C(61000000001), UINT64_C(9000000000), 0, UINT64_C(70000000000) },
	{ UINT64_C(61000000001), 999999999, 0, UINT64_C(61750000000) },
	{ UINT64_C(61000000001), 1000000000, 0, UINT64_C(62000000000) },
	{ UINT64_C(61000000001), 249999999, 0, UINT64_C(61200000000) },
	{ UINT64_C(61000000001), 250000000, 0, UINT64_C(61250000000) },
	{ UINT64_C(61200000000), 52000000, 0, UINT64_C(61250000000) },
	/* The finer ones, of which the second half alone is searched. */
	{ UINT64_C(61000000001), 249000000, 0, UINT64_C(61200000000) },
	{ UINT64_C(61000000001), 100000000, 0, UINT64_C(61100000000) },
	{ UINT64_C(61000000001), 99000000, 0, UINT64_C(61050000000) },
	{ UINT64_C(61060000000), 40000000, 0, UINT64_C(61090000000) },
	{ UINT64_C(61060000000), 80000000, 0, UINT64_C(61100000000) },
	{ UINT64_C(61060000000), 80000001, 0, UINT64_C(61100000000) },
	{ UINT64_C(61060000000), 80000002, 0, UINT64_C(61140000000) },
	{ UINT64_C(61059999999), 80000000, 0, UINT64_C(61100000000) },
	{ UINT64_C(61000000001), 10000000, 0, UINT64_C(61010000000) },
	{ UINT64_C(61000000001), 9000000, 0, UINT64_C(61005000000) },
	{ UINT64_C(61000000001), 5000000, 0, UINT64_C(61005000000) },
	{ UINT64_C(61000000001), 4000000, 0, UINT64_C(61004000000) },
	{ UINT64_C(61000000001), 1000000, 0, UINT64_C(61001000000) },
	{ UINT64_C(61000400000), 700000, 0, UINT64_C(61001000000) },
	{ UINT64_C(61000400000), 1200000, 0, UINT64_C(61001000000) },
	{ UINT64_C(61000400000), 1200002, 0, UINT64_C(61001600002) },
	/* The same with a perturbation. */
	{ UINT64_C(1000000000000), UINT64_C(60000000000), UINT64_C(41270183000), UINT64_C(1001270183000) },
	{ UINT64_C(1000000000000), UINT64_C(10000000000), UINT64_C(41270183000), UINT64_C(1001270183000) },
	{ UINT64_C(1000000000000), 1000000000, UINT64_C(41270183000), UINT64_C(1000270183000) },
	{ UINT64_C(1000000000000), 250000000, UINT64_C(41270183000), UINT64_C(1000020183000) },
	{ UINT64_C(1000000000000), 100000000, UINT64_C(41270183000), UINT64_C(1000020183000) },
	{ UINT64_C(1000000000000), 20000000, UINT64_C(41270183000), UINT64_C(1000010183000) },
	{ UINT64_C(1000000000000), 7000000, UINT64_C(41270183000), UINT64_C(1000005183000) },
	{ UINT64_C(1000000000000), 2000000, UINT64_C(41270183000), UINT64_C(1000001183000) },
	/* Before the clock has come to the perturbation. */
	{ 0, 1000000000, UINT64_C(41270183000), 270183000 },
	{ 0, UINT64_C(30000000000), UINT64_C(41270183000), UINT64_C(21270183000) },
	{ 0, UINT64_C(60000000000), UINT64_C(41270183000), UINT64_C(41270183000) },
	{ UINT64_C(3000000000), UINT64_C(5000000000), UINT64_C(45000000000), UINT64_C(5000000000) },
	{ 0, UINT64_C(60000000000), UINT64_C(59999999000), UINT64_C(59999999000) },
	/* As late as times can be. */
	{ UINT64_C(4611686018427387904), UINT64_C(4611686018427387903), UINT64_C(41270183000), UINT64_C(9223372001270183000) },
	{ UINT64_C(9223372036854775803), 10, 0, UINT64_C(9223372036854775813) },
	{ UINT64_C(9223372036854775807), 0, UINT64_C(41270183000), UINT64_C(9223372036854775807) },
	{ UINT64_C(9223372036854775808), 1000000, UINT64_C(41270183000), UINT64_C(9223372036855775808) },
	{ UINT64_C(9223372035854775808), 2000000000, UINT64_C(41270183000), UINT64_C(9223372037270183000) },
	{ UINT64_C(9223372036854775808), UINT64_C(4611686018427387903), 0, UINT64_C(13835058000000000000) },
	{ UINT64_C(13835058055282163712), UINT64_C(4611686018427387903), 0, UINT64_C(18446744040000000000) },
	{ UINT64_C(13835058055282163712), UINT64_C(4611686018427387903), UINT64_C(41270183000), UINT64_C(18446744021270183000) },
};

static bool is_spot(uint64_t ns, unsigned period, uint64_t perturbation_ns)
{
	return (ns % MINUTE + MINUTE - perturbation_ns) % periods_ns[period] == 0;
}

/* Looks at the window's times from its end on: at each, or at those alone that are whole steps from the perturbation. */
static uint64_t oracle(uint64_t due_ns, uint64_t slack_ns, uint64_t perturbation_ns, uint64_t step_ns)
{
	uint64_t last_ns = due_ns + slack_ns - 1;

	if (slack_ns == 0)
		return due_ns;
	last_ns -= (last_ns - perturbation_ns) % step_ns;
	for (unsigned i = 0; i < PERIODS; i++) {
		uint64_t from_ns = i < 4 ? due_ns : due_ns + slack_ns / 2;

		for (uint64_t ns = last_ns; ns >= from_ns; ns -= step_ns)
			if (is_spot(ns, i, perturbation_ns))
				return ns;
	}
	return due_ns + slack_ns;
}

/* Fails by itself, since an assertion of Check's takes as long as all the rest. */
static void compare(uint64_t due_ns, uint64_t slack_ns, uint64_t perturbation_ns, uint64_t step_ns)
{
	uint64_t wake_ns = asynctimer__spots_wake_ns(due_ns, slack_ns, perturbation_ns);
	uint64_t wanted_ns = oracle(due_ns, slack_ns, perturbation_ns, step_ns);

	if (wake_ns != wanted_ns)
		ck_abort_msg("due %llu, slack %llu, perturbation %llu: %llu instead of %llu",
			     (unsigned long long)due_ns, (unsigned long long)slack_ns,
			     (unsigned long long)perturbation_ns, (unsigned long long)wake_ns,
			     (unsigned long long)wanted_ns);
}

START_TEST(the_listed_windows_have_the_listed_wake_ups)
{
	for (unsigned i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		const struct vector *v = &vectors[i];

		ck_assert_msg(asynctimer__spots_wake_ns(v->due_ns, v->slack_ns, v->perturbation_ns) ==
				      v->wake_ns, "vector %u", i);
	}
}
END_TEST

/* Around a spot of each period, and not of the period before, at each nanosecond. */
START_TEST(small_windows_do_as_the_oracle_that_looks_at_each_nanosecond)
{
	enum { AROUND = 24 };

	for (unsigned i = 0; i < PERIODS * PERTURBATIONS; i++) {
		uint64_t perturbation_ns = perturbations_ns[i / PERIODS];
		uint64_t spot_ns = 10 * MINUTE + perturbation_ns + 7 * periods_ns[i % PERIODS];

		for (uint64_t due_ns = spot_ns - AROUND; due_ns <= spot_ns + AROUND; due_ns++)
			for (uint64_t slack_ns = 0; slack_ns <= AROUND; slack_ns++)
				compare(due_ns, slack_ns, perturbation_ns, 1);
	}
}
END_TEST

static uint64_t random_below(uint64_t limit)
{
	return (((uint64_t)random() << 31) ^ (uint64_t)random()) % limit;
}

START_TEST(large_windows_do_as_the_oracle_that_looks_at_each_millisecond)
{
	srandom(1);
	for (unsigned i = 0; i < 2400; i++) {
		uint64_t most_ns = 2 * periods_ns[i % PERIODS];
		uint64_t perturbation_ns = random_below(60000000) * US;
		uint64_t due_ns = 10 * MINUTE + random_below(HOUR);
		uint64_t slack_ns = random_below(most_ns);

		/* Half of them begin, or end, at a spot or next to one. */
		if (i & 8)
			due_ns = 10 * MINUTE + perturbation_ns +
				 random_below(60) * periods_ns[i % PERIODS] + random_below(3) - 1;
		if (i & 16)
			due_ns -= slack_ns;
		compare(due_ns, slack_ns, perturbation_ns, MS);
	}
}
END_TEST

START_TEST(with_equal_slack_what_is_due_later_never_wakes_up_earlier)
{
	srandom(2);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t perturbation_ns = i % 4 ? random_below(60000000) * US : 0;
		uint64_t slack_ns = 1 + random_below(2 * periods_ns[i % PERIODS]);
		uint64_t step_ns = 1 + slack_ns / (1 + random_below(1000));
		uint64_t due_ns = random_below(HOUR);
		uint64_t before_ns = 0;

		for (unsigned k = 0; k < 1000; k++) {
			uint64_t wake_ns = asynctimer__spots_wake_ns(due_ns, slack_ns, perturbation_ns);

			if (wake_ns < before_ns)
				ck_abort_msg("window %u of %u is before the one before", k, i);
			before_ns = wake_ns;
			due_ns += random_below(step_ns);
		}
	}
}
END_TEST

START_TEST(the_wake_up_is_within_the_window_up_to_the_latest_times)
{
	srandom(3);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned bits = i % 64;
		uint64_t due_ns = random_below(UINT64_C(1) << (bits < 62 ? bits : 62)) +
				  (i & 64 ? UINT64_C(1) << 63 : 0);
		uint64_t slack_ns = random_below(UINT64_C(1) << (i / 128 % 63));
		uint64_t wake_ns = asynctimer__spots_wake_ns(due_ns, slack_ns, i % 3 * 20 * SECOND);

		if (wake_ns < due_ns || wake_ns > due_ns + slack_ns)
			ck_abort_msg("window %u", i);
	}
}
END_TEST

/*
 * The perturbation.
 */

static bool is_little_endian(void)
{
	return *(const unsigned char *)&(const uint16_t){ 1 };
}

START_TEST(the_listed_ids_give_the_listed_perturbations)
{
	static const struct {
		const char *id;
		uint64_t little_us, big_us;
	} ids[] = {
		{ "621dc261-175c-4195-8e36-f6263b7a7b32\n", 58201324, 17576359 },
		{ "3d1219c7c4c5404aaa1f6d2a48adfda4\n", 13678743, 16102638 },
		{ "3d1219c7c4c5404aaa1f6d2a48adfda4", 13678743, 16102638 },
		{ "00000000000000000000000000000001", 37927936, 1 },
		{ "ffffffffffffffffffffffffffffffff", 0, 0 },
		{ "01000000-0000-0000-0000-000000000000", 1, 37927936 },
		{ "DEADBEEF-0123-4567-89AB-CDEFfedcba98\n", 22122583, 32155903 },
	};

	for (unsigned i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		uint64_t ns;

		ck_assert(asynctimer__spots_perturbation(ids[i].id, &ns));
		ck_assert_uint_eq(ns, (is_little_endian() ? ids[i].little_us : ids[i].big_us) * US);
	}
}
END_TEST

START_TEST(what_is_no_id_gives_none_and_writes_nothing)
{
	static const char *const others[] = {
		"", "\n", "-", "uninitialized\n",
		"621dc261-175c-4195-8e36-f6263b7a7b3\n",	/* 31 digits */
		"621dc261-175c-4195-8e36-f6263b7a7b320\n",	/* 33 */
		"621dc261-175c-4195-8e36-f6263b7a7b3g\n",
		"621dc26-1175c-4195-8e36-f6263b7a7b32\n",
		"621dc261--175c-4195-8e36-f6263b7a7b32\n",
		"621dc261-175c-4195-8e36-f6263b7a-7b32\n",
		"-621dc261175c41958e36f6263b7a7b32\n",
		" 621dc261175c41958e36f6263b7a7b32\n",
		"621dc261175c41958e36f6263b7a7b32 \n",
		"00000000-0000-0000-0000-000000000000\n",
		"00000000000000000000000000000000",
	};
	uint64_t ns = 17;

	for (unsigned i = 0; i < sizeof(others) / sizeof(*others); i++)
		ck_assert_msg(!asynctimer__spots_perturbation(others[i], &ns), "%s", others[i]);
	ck_assert_uint_eq(ns, 17);
}
END_TEST

/* What the library finds in its two files, NULL: it cannot open them; and how often it opened one. */
static const char *boot_id, *machine_id;
static unsigned opened;

static int open_text(const char *text, int flags)
{
	int pipe_fds[2];

	opened++;
	ck_assert_int_eq(flags & O_CLOEXEC, O_CLOEXEC);
	if (!text) {
		errno = ENOENT;
		return -1;
	}
	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(write(pipe_fds[1], text, strlen(text)), (ssize_t)strlen(text));
	close(pipe_fds[1]);
	return pipe_fds[0];
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
	if (!strcmp(path, "/proc/sys/kernel/random/boot_id"))
		return open_text(boot_id, flags);
	if (!strcmp(path, "/etc/machine-id"))
		return open_text(machine_id, flags);
	/* Somebody else's, where the C library is linked statically. */
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

int __wrap_open64(const char *path, int flags, ...)
{
	return __wrap_open(path, flags);
}

/* In a child, for the library keeps what it has found. */
static void in_child(void (*function)(void))
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		function();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

#define expect_in_child(condition)                                                                 \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(__LINE__ % 255 + 1);                                                 \
	} while (0)

static void takes_the_boot_id(void)
{
	boot_id = "621dc261-175c-4195-8e36-f6263b7a7b32\n";
	machine_id = "3d1219c7c4c5404aaa1f6d2a48adfda4\n";
	expect_in_child(asynctimer__perturbation_ns() == (is_little_endian() ? 58201324 : 17576359) * US);
	expect_in_child(opened == 1);
	/* And keeps it. */
	boot_id = NULL;
	machine_id = NULL;
	expect_in_child(asynctimer__perturbation_ns() == (is_little_endian() ? 58201324 : 17576359) * US);
	expect_in_child(opened == 1);
}

static void takes_the_machine_id(void)
{
	machine_id = "3d1219c7c4c5404aaa1f6d2a48adfda4\n";
	expect_in_child(asynctimer__perturbation_ns() == (is_little_endian() ? 13678743 : 16102638) * US);
}

static void takes_the_machine_id_for_a_boot_id_that_is_none(void)
{
	boot_id = "";
	takes_the_machine_id();
}

static void takes_0_and_looks_again(void)
{
	expect_in_child(asynctimer__perturbation_ns() == 0);
	boot_id = "what is this?\n";
	machine_id = "uninitialized\n";
	expect_in_child(asynctimer__perturbation_ns() == 0);
	expect_in_child(opened == 4);
	boot_id = "00000000-0000-0000-0000-000000000000, and far more than an id has\n";
	expect_in_child(asynctimer__perturbation_ns() == 0);
	boot_id = "00000000-0000-0000-0000-000000000000\n";
	takes_the_machine_id();
}

START_TEST(the_perturbation_is_of_the_boot_id_else_of_the_machine_id_else_0)
{
	in_child(takes_the_boot_id);
	in_child(takes_the_machine_id);
	in_child(takes_the_machine_id_for_a_boot_id_that_is_none);
	in_child(takes_0_and_looks_again);
}
END_TEST

int main(void)
{
	return RUN_TESTS("spots", the_listed_windows_have_the_listed_wake_ups,
			 small_windows_do_as_the_oracle_that_looks_at_each_nanosecond,
			 large_windows_do_as_the_oracle_that_looks_at_each_millisecond,
			 with_equal_slack_what_is_due_later_never_wakes_up_earlier,
			 the_wake_up_is_within_the_window_up_to_the_latest_times,
			 the_listed_ids_give_the_listed_perturbations,
			 what_is_no_id_gives_none_and_writes_nothing,
			 the_perturbation_is_of_the_boot_id_else_of_the_machine_id_else_0);
}
