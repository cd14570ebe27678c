/* SPDX-License-Identifier: MIT */
/* asynctimer.hpp: errors that are thrown, and exceptions that leave callbacks. */
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "test.hpp"

/* What the call throws, or "". */
template <class Call> static std::string text_of(Call call, int *error)
{
	try {
		call();
	} catch (const std::system_error &thrown) {
		*error = thrown.code().value();
		/* It compares as any errno does. */
		EXPECT(thrown.code() == std::error_condition(*error, std::generic_category()));
		EXPECT(std::strcmp(thrown.code().category().name(), "asynctimer") == 0);
		return thrown.what();
	}
	*error = 0;
	return "";
}

template <class Call> static bool throws(int error, const std::string &text, Call call)
{
	int thrown;
	std::string what = text_of(call, &thrown);

	if (thrown == error && what == text)
		return true;
	std::printf("it threw %d, \"%s\"\n", thrown, what.c_str());
	return false;
}

TEST(an_error_has_the_name_of_the_call_and_words)
{
	asynctimer::reactor virtual_one = asynctimer::reactor::new_virtual(), reactor;
	asynctimer::timer timer(reactor, 10ms, [] {});
	asynctimer::options options;

	EXPECT(throws(EINVAL, "asynctimer_new: Invalid argument",
		      [&] { asynctimer::timer(reactor, 0ns, [] {}); }));
	EXPECT(throws(EINVAL, "asynctimer_new: Invalid argument",
		      [&] { asynctimer::timer(reactor, -1ns, [] {}); }));
	options.slack = 1ms;
	EXPECT(throws(EINVAL, "asynctimer_new: only shared timers have slack: Invalid argument",
		      [&] { asynctimer::timer(reactor, 10ms, [] {}, options); }));
	options.shared = true;
	EXPECT(throws(EINVAL, "asynctimer_new_shared: Invalid argument",
		      [&] { asynctimer::timer(reactor, 1ms, [] {}, options); }));
	EXPECT(throws(EINVAL, "asynctimer_start_after: Invalid argument",
		      [&] { timer.start_after(-1ns); }));
	EXPECT(throws(EINVAL, "asynctimer_restart_after: Invalid argument",
		      [&] { timer.restart_after(-1ns); }));
	EXPECT(throws(EINVAL, "asynctimer_start_at: Invalid argument",
		      [&] { timer.start_at(-1ns); }));
	EXPECT(throws(EINVAL, "asynctimer_complete: Invalid argument",
		      [&] { timer.complete(1, 1); }));
	EXPECT(throws(EOPNOTSUPP, "asynctimer_reactor_run: Operation not supported",
		      [&] { virtual_one.run(); }));
	EXPECT(throws(EOPNOTSUPP, "asynctimer_reactor_dispatch: Operation not supported",
		      [&] { virtual_one.dispatch(0ns); }));
	EXPECT(throws(EOPNOTSUPP, "asynctimer_reactor_fd: Operation not supported",
		      [&] { virtual_one.fd(); }));
	EXPECT(throws(EOPNOTSUPP, "asynctimer_reactor_advance: Operation not supported",
		      [&] { reactor.advance(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_advance: Invalid argument",
		      [&] { virtual_one.advance(-1ns); }));
	virtual_one.advance(std::chrono::nanoseconds::max());
	EXPECT(throws(EOVERFLOW, "asynctimer_reactor_advance: a clock would pass its end",
		      [&] { virtual_one.advance(2ns); }));
	EXPECT(reactor.shutdown(0ns) == 0);
	EXPECT(throws(ESHUTDOWN, "asynctimer_start: the reactor was shut down",
		      [&] { timer.start(); }));
	EXPECT(throws(ESHUTDOWN, "asynctimer_reactor_restart: the reactor was shut down",
		      [&] { reactor.restart(); }));
	EXPECT(throws(ESHUTDOWN, "asynctimer_new: the reactor was shut down",
		      [&] { asynctimer::timer(reactor, 1ms, [] {}); }));
}

TEST(a_timer_that_cannot_be_made_leaves_nothing)
{
	asynctimer::reactor reactor;
	auto witness = std::make_shared<int>();
	asynctimer::options options;

	options.on_error = [witness](int) {};
	options.name = "a name that is longer than 31 bytes";
	EXPECT(throws(ERANGE, "asynctimer_set_name: Numerical result out of range",
		      [&] { asynctimer::timer(reactor, 1ms, [witness] {}, options); }));
	options.name = "";
	EXPECT(throws(EINVAL, "asynctimer_new: Invalid argument",
		      [&] { asynctimer::timer(reactor, 0ms, [witness] {}, options); }));
	options.on_error = nullptr;
	EXPECT(witness.use_count() == 1 && reactor.list().empty());
}

TEST(inside_a_callback_and_in_a_child_some_calls_are_refused)
{
	asynctimer::reactor reactor;
	unsigned calls = 0;
	asynctimer::timer timer(reactor, 1ms, [&] {
		const std::string reason =
			": a callback of this reactor, or another thread, is inside";

		EXPECT(throws(EBUSY, "asynctimer_reactor_run" + reason, [&] { reactor.run(); }));
		EXPECT(throws(EBUSY, "asynctimer_reactor_dispatch" + reason,
			      [&] { reactor.dispatch(0ns); }));
		EXPECT(throws(EBUSY, "asynctimer_reactor_shutdown" + reason,
			      [&] { reactor.shutdown(0ns); }));
		calls++;
		reactor.stop();
	});

	timer.start();
	reactor.run();
	EXPECT(calls == 1);
	EXPECT(terminates([&] {
		EXPECT(throws(ECHILD, "asynctimer_start: the reactor belongs to the parent process",
			      [&] { timer.start(); }));
		std::terminate();
	}));
}

TEST(stops_that_wait_for_each_other_throw)
{
	asynctimer::reactor reactor;
	std::vector<asynctimer::timer> timers;
	std::atomic<int> inside(0), circles(0), calls(0);

	for (std::size_t i = 0; i < 2; i++) {
		timers.emplace_back(reactor, 1ms, [&, other = 1 - i] {
			int error;

			inside++;
			while (inside < 2)
				std::this_thread::yield();
			if (text_of([&] { timers[other].stop(); }, &error) ==
			    "asynctimer_stop: each would wait for the other")
				circles++;
			if (++calls == 2)
				reactor.stop();
		});
	}
	for (asynctimer::timer &timer : timers)
		timer.start();

	std::thread loop([&] { reactor.run(); });

	reactor.run();
	loop.join();
	EXPECT(circles == 1);
}

TEST(a_time_point_of_another_clock_is_refused)
{
	asynctimer::reactor reactor;
	asynctimer::options options;
	const std::string text =
		"asynctimer_start_at: the time point is of another clock: Invalid argument";

	for (int clock : { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME }) {
		options.clock = clock;

		asynctimer::timer timer(reactor, 1h, [] {}, options);

		if (clock != CLOCK_MONOTONIC)
			EXPECT(throws(EINVAL, text,
				      [&] { timer.start_at(std::chrono::steady_clock::now()); }));
		if (clock != CLOCK_REALTIME)
			EXPECT(throws(EINVAL, text,
				      [&] { timer.start_at(std::chrono::system_clock::now()); }));
		EXPECT(!asynctimer_is_started(timer.native()));
	}
}

TEST(every_call_of_an_empty_object_throws)
{
	asynctimer::reactor full = asynctimer::reactor::new_virtual(), moved = std::move(full);
	asynctimer::timer timer;
	const std::string reason = ": Invalid argument";

	EXPECT(throws(EINVAL, "asynctimer_reactor_run" + reason, [&] { full.run(); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_dispatch" + reason, [&] { full.dispatch(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_advance" + reason, [&] { full.advance(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_restart" + reason, [&] { full.restart(); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_shutdown" + reason, [&] { full.shutdown(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_fd" + reason, [&] { full.fd(); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_list" + reason, [&] { full.list(); }));
	EXPECT(throws(EINVAL, "asynctimer_reactor_get_stats" + reason, [&] { full.stats(); }));
	EXPECT(throws(EINVAL, "asynctimer_new" + reason,
		      [&] { asynctimer::timer(full, 1ms, [] {}); }));
	EXPECT(throws(EINVAL, "asynctimer_start" + reason, [&] { timer.start(); }));
	EXPECT(throws(EINVAL, "asynctimer_start_after" + reason, [&] { timer.start_after(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_start_at" + reason, [&] { timer.start_at(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_start_at" + reason,
		      [&] { timer.start_at(std::chrono::steady_clock::now()); }));
	EXPECT(throws(EINVAL, "asynctimer_restart_after" + reason,
		      [&] { timer.restart_after(0ns); }));
	EXPECT(throws(EINVAL, "asynctimer_stop" + reason, [&] { timer.stop(); }));
	EXPECT(throws(EINVAL, "asynctimer_stop_nowait" + reason, [&] { timer.stop_nowait(); }));
	EXPECT(throws(EINVAL, "asynctimer_complete" + reason, [&] { timer.complete(1); }));
}

struct mishap : std::runtime_error {
	using std::runtime_error::runtime_error;
};

template <class Call> static std::string mishap_in(Call call)
{
	try {
		call();
	} catch (const mishap &thrown) {
		return thrown.what();
	}
	return "";
}

TEST(an_exception_leaves_by_run_dispatch_and_advance)
{
	for (int way = 0; way < 3; way++) {
		asynctimer::reactor reactor = way == 2 ? asynctimer::reactor::new_virtual()
						       : asynctimer::reactor();
		std::vector<int> errors;
		unsigned calls = 0;
		asynctimer::options options;
		auto go = [&] {
			if (way == 0)
				reactor.run();
			else if (way == 1)
				reactor.dispatch(-1ns);
			else
				reactor.advance(10ms);
		};

		options.on_error = [&](int error) { errors.push_back(error); };

		asynctimer::timer timer(reactor, 1ms, [&] {
			if (++calls == 1)
				throw mishap("first");
			reactor.stop();
		}, options);

		timer.start();
		EXPECT(mishap_in(go) == "first");
		EXPECT(calls == 1 && (errors == std::vector<int>{ -ECANCELED }));
		/* It is stopped, and what was thrown is not thrown twice. */
		EXPECT(mishap_in(go) == "" && calls == 1);
		EXPECT(reactor.restart());
		EXPECT(mishap_in(go) == "" && calls == 2);
		EXPECT(reactor.stats().failures == 1);
	}
}

TEST(what_no_exception_class_has_leaves_too)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::timer timer(reactor, 1ms, [] { throw 42; });
	int thrown = 0;

	timer.start();
	try {
		reactor.advance(1ms);
	} catch (int number) {
		thrown = number;
	}
	EXPECT(thrown == 42);
}

TEST(an_exception_out_of_on_error_leaves_by_run)
{
	asynctimer::reactor reactor;
	asynctimer::options options;
	asynctimer::deferred token;
	unsigned calls = 0;

	options.on_error = [](int error) { throw mishap(std::to_string(error)); };

	asynctimer::timer timer(reactor, 1ms, [&](const asynctimer::tick &tick) {
		if (++calls > 1)
			return -EIO;
		token = tick.defer();
		return 0;
	}, options);

	timer.start();
	reactor.dispatch(-1ns);
	/* The completion comes from a thread that is not in run. */
	EXPECT(token.complete(-EPERM));
	EXPECT(mishap_in([&] { reactor.run(); }) == std::to_string(-EPERM));
	reactor.restart();
	EXPECT(mishap_in([&] { reactor.run(); }) == std::to_string(-EIO));
}

TEST(one_of_three_threads_gets_the_exception)
{
	for (int round = 0; round < 100; round++) {
		asynctimer::reactor reactor;
		std::atomic<int> got(0), ended(0);
		asynctimer::timer timer(reactor, 100us, [] { throw mishap("in one of three"); });
		std::vector<std::thread> threads;

		for (int i = 0; i < 3; i++)
			threads.emplace_back([&] {
				got += mishap_in([&] { reactor.run(); }) == "in one of three";
				ended++;
			});
		timer.start();
		for (std::thread &thread : threads)
			thread.join();
		EXPECT(got == 1 && ended == 3);
	}
}

TEST(the_first_thread_that_returns_gets_the_exception)
{
	asynctimer::reactor reactor;
	std::atomic<bool> begun(false), returned(false);
	asynctimer::timer slow(reactor, 1ms, [&] {
		begun = true;
		while (!returned)
			std::this_thread::yield();
	});
	asynctimer::timer thrower(reactor, 1ms, [] { throw mishap("thrown"); });
	std::string in_loop;

	slow.start();

	std::thread loop([&] { in_loop = mishap_in([&] { reactor.run(); }); });

	while (!begun)
		std::this_thread::yield();
	thrower.start();
	EXPECT(mishap_in([&] { reactor.run(); }) == "thrown");
	returned = true;
	loop.join();
	EXPECT(in_loop == "");
}

TEST(of_two_exceptions_at_once_none_is_left_behind)
{
	for (int round = 0; round < 50; round++) {
		asynctimer::reactor reactor;
		std::atomic<int> inside(0), got(0);
		std::vector<asynctimer::timer> timers;
		std::vector<std::thread> threads;

		for (int i = 0; i < 2; i++)
			timers.emplace_back(reactor, 100us, [&] {
				inside++;
				while (inside < 2)
					std::this_thread::yield();
				throw mishap("two at once");
			});
		for (int i = 0; i < 3; i++)
			threads.emplace_back([&] {
				got += mishap_in([&] { reactor.run(); }) != "";
			});
		for (asynctimer::timer &timer : timers)
			timer.start();
		for (std::thread &thread : threads)
			thread.join();
		EXPECT(got == 1 || got == 2);
		EXPECT(mishap_in([&] { reactor.run(); }) == "");
	}
}

TEST(the_first_of_two_exceptions_is_kept)
{
	asynctimer::reactor reactor;
	asynctimer::options options;

	options.on_error = [](int) { throw mishap("second"); };

	asynctimer::timer timer(reactor, 1ms, [] { throw mishap("first"); }, options);

	timer.start();
	EXPECT(mishap_in([&] { reactor.run(); }) == "first");
}

TEST(an_exception_goes_before_an_error_of_the_call)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::options options;
	asynctimer::deferred token;

	options.on_error = [](int) { throw mishap("in on_error"); };

	asynctimer::timer timer(reactor, 1ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
	}, options);

	timer.start();
	reactor.advance(1ms);
	EXPECT(token.complete(-EIO));
	EXPECT(mishap_in([&] { reactor.advance(-1ns); }) == "in on_error");
}

TEST(a_callback_that_throws_may_have_destroyed_its_timer)
{
	asynctimer::reactor reactor;
	std::optional<asynctimer::timer> timer;
	auto witness = std::make_shared<int>();

	timer.emplace(reactor, 1ms, [&, witness] {
		timer.reset();
		throw mishap(witness ? "still here" : "gone");
	});
	timer->start();
	EXPECT(mishap_in([&] { reactor.run(); }) == "still here");
	EXPECT(witness.use_count() == 1 && reactor.list().empty());
}

TEST(a_tick_that_was_deferred_stays_open_though_its_callback_throws)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::deferred token;
	std::optional<asynctimer::timer> timer;

	timer.emplace(reactor, 1ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
		timer.reset();
		throw mishap("after defer");
	});
	timer->start();
	EXPECT(mishap_in([&] { reactor.advance(1ms); }) == "after defer");
	EXPECT(reactor.stats().open == 1);
	EXPECT(token.complete() && reactor.stats().open == 0 && reactor.stats().failures == 0);
}

TEST(a_tick_is_deferred_once)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::deferred token;
	asynctimer::timer timer(reactor, 1ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
		EXPECT(throws(EALREADY, "asynctimer::tick::defer: it was done before",
			      [&] { (void)tick.defer(); }));
	});

	timer.start();
	reactor.advance(1ms);
	EXPECT(reactor.stats().open == 1 && token.complete());
}

TEST(a_token_survives_a_result_that_is_none)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::deferred token;
	asynctimer::timer timer(reactor, 1ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
	});

	timer.start();
	reactor.advance(1ms);
	EXPECT(throws(EINVAL, "asynctimer_complete: Invalid argument", [&] { token.complete(1); }));
	EXPECT(reactor.stats().open == 1 && token.complete());
}
