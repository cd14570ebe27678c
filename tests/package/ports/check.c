/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define PASSED 64	/* a test that exits by itself has not */

struct TCase {
	const TTest *test;
	void (*set_up)(void);
	void (*tear_down)(void);
	time_t timeout;
	struct TCase *next;
};

struct Suite {
	const char *name;
	struct TCase *first;
	struct TCase **end;
	int tests;
	int failed;
};

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

void check_failed(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("%s:%d: ", file, line);
	vprintf(format, arguments);
	printf("\n");
	fflush(stdout);
	va_end(arguments);
	_exit(EXIT_FAILURE);
}

Suite *suite_create(const char *name)
{
	Suite *suite = allocate(sizeof(*suite));

	suite->name = name;
	suite->end = &suite->first;
	return suite;
}

void suite_add_tcase(Suite *suite, TCase *tcase)
{
	*suite->end = tcase;
	suite->end = &tcase->next;
}

TCase *tcase_create(const char *name)
{
	(void)name;
	return allocate(sizeof(TCase));
}

void tcase_add_checked_fixture(TCase *tcase, void (*set_up)(void), void (*tear_down)(void))
{
	tcase->set_up = set_up;
	tcase->tear_down = tear_down;
}

void tcase_set_timeout(TCase *tcase, double seconds)
{
	tcase->timeout = (time_t)seconds;
}

void tcase_add_test(TCase *tcase, const TTest *test)
{
	tcase->test = test;
}

SRunner *srunner_create(Suite *suite)
{
	return suite;
}

static _Noreturn void run(const TCase *tcase, const sigset_t *mask)
{
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, mask, NULL);
	tcase->set_up();
	tcase->test->function();
	tcase->tear_down();
	fflush(stdout);
	_exit(PASSED);
}

/* With SIGCHLD blocked. Whatever the test left behind ends with it. */
static bool passes(const TCase *tcase, const sigset_t *chld, const sigset_t *mask)
{
	const struct timespec timeout = { .tv_sec = tcase->timeout };
	int status = 0, signal_number;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0)
		run(tcase, mask);
	setpgid(pid, pid);
	do {
		signal_number = sigtimedwait(chld, NULL, &timeout);
	} while (signal_number < 0 && errno == EINTR);
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (signal_number < 0)
		printf("%s: no end after %d s\n", tcase->test->name, (int)tcase->timeout);
	else if (WIFSIGNALED(status))
		printf("%s: ended by signal %d\n", tcase->test->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) != PASSED)
		printf("%s: failed\n", tcase->test->name);
	return signal_number >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == PASSED;
}

void srunner_run_all(SRunner *runner, int verbosity)
{
	sigset_t chld, mask;

	(void)verbosity;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &mask);
	printf("Running suite(s): %s\n", runner->name);
	for (TCase *tcase = runner->first; tcase; tcase = tcase->next) {
		runner->tests++;
		runner->failed += !passes(tcase, &chld, &mask);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
	printf("%d%%: Checks: %d, Failures: %d\n",
	       100 * (runner->tests - runner->failed) / runner->tests, runner->tests,
	       runner->failed);
}

int srunner_ntests_failed(SRunner *runner)
{
	return runner->failed;
}

void srunner_free(SRunner *runner)
{
	while (runner->first) {
		TCase *tcase = runner->first;

		runner->first = tcase->next;
		free(tcase);
	}
	free(runner);
}
