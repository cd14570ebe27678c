/* SPDX-License-Identifier: MIT */
/*
 * As much of Check as the unit tests use, in one file each, so that they run
 * where there is a C library and no Check built for it. Each test has a process
 * of its own, as with Check.
 */
#ifndef PORTS_CHECK_H
#define PORTS_CHECK_H

#include <stdint.h>
#include <string.h>

typedef struct TTest {
	const char *name;
	void (*function)(void);
} TTest;

#define START_TEST(test)                                                                           \
	static void test##_function(void);                                                         \
	static const TTest test##_ttest = { #test, test##_function };                              \
	static const TTest *const test = &test##_ttest;                                            \
	static void test##_function(void)
#define END_TEST

/* Ends the test as failed. */
__attribute__((format(printf, 3, 4))) _Noreturn void check_failed(const char *file, int line,
								    const char *format, ...);

#define ck_abort_msg(...) check_failed(__FILE__, __LINE__, __VA_ARGS__)
#define ck_assert_msg(condition, ...)                                                              \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg(__VA_ARGS__);                                                 \
	} while (0)
#define ck_assert(condition) ck_assert_msg(condition, "not true: %s", #condition)

#define check_numbers(type, format, x, op, y)                                                      \
	do {                                                                                       \
		type check_x = (x);                                                                \
		type check_y = (y);                                                                \
		ck_assert_msg(check_x op check_y, "not true: %s %s %s: %" format " and %" format,  \
			      #x, #op, #y, check_x, check_y);                                      \
	} while (0)
#define ck_assert_int_eq(x, y) check_numbers(intmax_t, "jd", x, ==, y)
#define ck_assert_int_ge(x, y) check_numbers(intmax_t, "jd", x, >=, y)
#define ck_assert_int_gt(x, y) check_numbers(intmax_t, "jd", x, >, y)
#define ck_assert_int_le(x, y) check_numbers(intmax_t, "jd", x, <=, y)
#define ck_assert_int_lt(x, y) check_numbers(intmax_t, "jd", x, <, y)
#define ck_assert_int_ne(x, y) check_numbers(intmax_t, "jd", x, !=, y)
#define ck_assert_uint_eq(x, y) check_numbers(uintmax_t, "ju", x, ==, y)
#define ck_assert_uint_ge(x, y) check_numbers(uintmax_t, "ju", x, >=, y)
#define ck_assert_uint_gt(x, y) check_numbers(uintmax_t, "ju", x, >, y)
#define ck_assert_uint_le(x, y) check_numbers(uintmax_t, "ju", x, <=, y)
#define ck_assert_uint_lt(x, y) check_numbers(uintmax_t, "ju", x, <, y)
#define ck_assert_uint_ne(x, y) check_numbers(uintmax_t, "ju", x, !=, y)
#define ck_assert_ptr_eq(x, y) check_numbers(const void *, "p", x, ==, y)
#define ck_assert_ptr_ne(x, y) check_numbers(const void *, "p", x, !=, y)
#define ck_assert_ptr_null(x) check_numbers(const void *, "p", x, ==, NULL)
#define ck_assert_ptr_nonnull(x) check_numbers(const void *, "p", x, !=, NULL)
#define ck_assert_mem_eq(x, y, size) ck_assert(memcmp((x), (y), (size)) == 0)
#define ck_assert_str_eq(x, y)                                                                     \
	do {                                                                                       \
		const char *check_x = (x), *check_y = (y);                                         \
		ck_assert_msg(strcmp(check_x, check_y) == 0, "not equal: %s, %s: \"%s\", \"%s\"",  \
			      #x, #y, check_x, check_y);                                           \
	} while (0)

/* Here a suite is its tests, and a test case is one test. */
typedef struct Suite Suite;
typedef struct Suite SRunner;
typedef struct TCase TCase;
enum { CK_NORMAL };

Suite *suite_create(const char *name);
void suite_add_tcase(Suite *suite, TCase *tcase);
TCase *tcase_create(const char *name);
void tcase_add_checked_fixture(TCase *tcase, void (*set_up)(void), void (*tear_down)(void));
void tcase_set_timeout(TCase *tcase, double seconds);
void tcase_add_test(TCase *tcase, const TTest *test);
SRunner *srunner_create(Suite *suite);
void srunner_run_all(SRunner *runner, int verbosity);
int srunner_ntests_failed(SRunner *runner);
void srunner_free(SRunner *runner);

#endif
