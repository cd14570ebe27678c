/* SPDX-License-Identifier: MIT */
/*
 * The first reactor of a process, with which all share what they share. Check's
 * fork mode gives each test a process; the fixture of the others would be first.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "asynctimer.h"

static int mappings;
static int mmap_error;
static int madvise_error;
static struct asynctimer_reactor **meanwhile;	/* made while the first is, if set */

/* off_t may be wider than long, and the function then another; the library's offset is 0. */
void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, long offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, long offset);
void *__wrap_mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, long offset)
{
	if (mmap_error) {
		errno = mmap_error;
		return MAP_FAILED;
	}
	mappings++;
	return __real_mmap(at, length, protection, flags, fd, offset);
}

void *__wrap_mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(at, length, protection, flags, fd, (long)offset);
}

int __real_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length)
{
	mappings--;
	return __real_munmap(at, length);
}

int __real_madvise(void *at, size_t length, int advice);
int __wrap_madvise(void *at, size_t length, int advice);
int __wrap_madvise(void *at, size_t length, int advice)
{
	struct asynctimer_reactor **ret = meanwhile;

	meanwhile = NULL;
	if (ret)
		ck_assert_int_eq(asynctimer_reactor_new_virtual(ret), 0);
	if (madvise_error) {
		errno = madvise_error;
		return -1;
	}
	return __real_madvise(at, length, advice);
}

START_TEST(the_first_reactor_may_fail_and_leaves_nothing)
{
	struct asynctimer_reactor *reactor = NULL;

	mmap_error = ENOMEM;
	ck_assert_int_eq(asynctimer_reactor_new(&reactor), -ENOMEM);
	mmap_error = 0;
	madvise_error = EINVAL;
	ck_assert_int_eq(asynctimer_reactor_new(&reactor), -EOPNOTSUPP);
	madvise_error = ENOMEM;
	ck_assert_int_eq(asynctimer_reactor_new_virtual(&reactor), -ENOMEM);
	ck_assert_ptr_null(reactor);
	ck_assert_int_eq(mappings, 0);
	madvise_error = 0;
	ck_assert_int_eq(asynctimer_reactor_new(&reactor), 0);
	ck_assert_int_eq(asynctimer_reactor_free(reactor), 0);
	/* What all share stays. */
	ck_assert_int_eq(mappings, 1);
}
END_TEST

START_TEST(of_two_first_reactors_at_once_one_makes_what_they_share)
{
	struct asynctimer_reactor *first;
	struct asynctimer_reactor *second = NULL;

	meanwhile = &second;
	ck_assert_int_eq(asynctimer_reactor_new(&first), 0);
	ck_assert_ptr_nonnull(second);
	ck_assert_int_eq(mappings, 3);
	ck_assert_int_eq(asynctimer_reactor_free(first), 0);
	ck_assert_int_eq(asynctimer_reactor_free(second), 0);
	ck_assert_int_eq(mappings, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { the_first_reactor_may_fail_and_leaves_nothing,
				       of_two_first_reactors_at_once_one_makes_what_they_share };
	SRunner *runner = srunner_create(suite_create("first"));
	int failed;

	for (unsigned i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		TCase *tcase = tcase_create(tests[i]->name);
		Suite *suite = suite_create(tests[i]->name);

		tcase_add_test(tcase, tests[i]);
		suite_add_tcase(suite, tcase);
		srunner_add_suite(runner, suite);
	}
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
