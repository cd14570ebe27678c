/* SPDX-License-Identifier: MIT */
/* What the tests of asynctimer.hpp share. Each names itself as a claim, and main runs them all. */
#ifndef TEST_HPP
#define TEST_HPP

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <asynctimer.hpp>

using namespace std::chrono_literals;

struct test {
	const char *name;
	void (*run)();
};

inline std::vector<test> &tests()
{
	static std::vector<test> all;

	return all;
}

inline bool add(const char *name, void (*run)())
{
	tests().push_back({ name, run });
	return true;
}

#define TEST(name)                                          \
	static void name();                                 \
	static const bool name##_is_added = add(#name, name); \
	static void name()

#define EXPECT(condition) expect(condition, #condition, __FILE__, __LINE__)

inline void expect(bool so, const char *condition, const char *file, int line)
{
	if (so)
		return;
	std::printf("%s:%d: not so: %s\n", file, line, condition);
	std::fflush(stdout);
	std::_Exit(1);
}

/* Does std::terminate end a process that calls this? */
template <class Call> bool terminates(Call call)
{
	int status = 0;
	pid_t child;

	std::fflush(stdout);
	child = fork();
	if (child == 0) {
		std::set_terminate([] { _exit(42); });
		call();
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status));
	EXPECT(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 42);
	return WEXITSTATUS(status) == 42;
}

#endif
