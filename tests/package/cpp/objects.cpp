/* SPDX-License-Identifier: MIT */
/* asynctimer.hpp: what needs no exceptions. It is compiled with -fno-exceptions, too. */
#include <atomic>
#include <csignal>
#include <thread>

#include <poll.h>

#include "test.hpp"

template <class T>
constexpr bool moves_only = !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
			    std::is_nothrow_move_constructible_v<T> &&
			    std::is_nothrow_move_assignable_v<T>;
static_assert(moves_only<asynctimer::reactor>);
static_assert(moves_only<asynctimer::timer>);
static_assert(moves_only<asynctimer::deferred>);
static_assert(!std::is_copy_constructible_v<asynctimer::tick> &&
	      !std::is_move_constructible_v<asynctimer::tick>);
static_assert(!std::is_default_constructible_v<asynctimer> && !std::is_destructible_v<asynctimer>);

/* The only timer that the reactor has. */
static asynctimer_info only(const asynctimer::reactor &reactor)
{
	std::vector<asynctimer_info> infos = reactor.list();

	EXPECT(infos.size() == 1);
	return infos[0];
}

TEST(a_callback_takes_the_tick_or_nothing_and_returns_nothing_or_an_int)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	std::vector<int> errors;
	unsigned calls = 0;
	asynctimer::options options;

	options.on_error = [&](int error) { errors.push_back(error); };

	asynctimer::timer nothing(reactor, 10ms, [&] { calls += 1; }, options);
	asynctimer::timer tick(reactor, 10ms, [&](const asynctimer::tick &) { calls += 10; });
	asynctimer::timer number(reactor, 10ms, [&] {
		calls += 100;
		return -ENOENT;
	}, options);
	asynctimer::timer both(reactor, 10ms, [&](const asynctimer::tick &k) {
		calls += 1000;
		return static_cast<int>(k.number());
	}, options);
	asynctimer::timer generic(reactor, 10ms, [&](auto &&...k) {
		static_assert(sizeof...(k) == 1);
		calls += 10000;
	});

	for (asynctimer::timer *timer : { &nothing, &tick, &number, &both, &generic })
		EXPECT(timer->start());
	EXPECT(reactor.advance(10ms) == 5);
	EXPECT(calls == 11111);
	EXPECT((errors == std::vector<int>{ -ENOENT, -EINVAL }));
	EXPECT(reactor.stats().failures == 2);
}

TEST(a_tick_says_what_the_one_of_c_says)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	unsigned calls = 0, seen = 0;

	asynctimer::timer slow(reactor, 10ms, [&](const asynctimer::tick &tick) {
		if (++calls == 1) {
			EXPECT(tick.number() == 1 && tick.due() == 10ms && tick.now() == 10ms);
			EXPECT(tick.lateness() == 0ns && tick.behind() == 0ns);
			EXPECT(tick.skipped_busy() == 0 && tick.skipped_late() == 0);
			reactor.advance(25ms);
		} else if (calls == 2) {
			EXPECT(tick.number() == 4 && tick.due() == 40ms);
			EXPECT(tick.skipped_busy() == 2 && tick.skipped_late() == 0);
		}
	});
	asynctimer::timer late(reactor, 12ms, [&](const asynctimer::tick &tick) {
		if (++seen > 1)
			return;
		EXPECT(tick.number() == 2 && tick.due() == 24ms && tick.now() == 35ms);
		EXPECT(tick.lateness() == 11ms && tick.behind() == 11ms);
		EXPECT(tick.skipped_busy() == 0 && tick.skipped_late() == 1);
	});

	slow.start();
	late.start();
	reactor.advance(45ms);
	EXPECT(calls == 2 && seen == 2);
}

TEST(options_say_how_a_timer_is_made)
{
	asynctimer::reactor reactor;
	asynctimer_info info;

	{
		asynctimer::timer timer(reactor, 10ms, [] {});

		info = only(reactor);
		EXPECT(info.timer == timer.native());
		EXPECT(info.clock == CLOCK_MONOTONIC && info.policy == ASYNCTIMER_FIXED_SCHEDULE);
		EXPECT(!info.shared && !info.started && info.slack_ns == 0 && info.name[0] == '\0');
		EXPECT(info.interval_ns == 10 * ASYNCTIMER_MILLISECOND);
	}

	for (bool shared : { false, true }) {
		asynctimer::options options;

		options.clock = CLOCK_BOOTTIME;
		options.policy = ASYNCTIMER_FIXED_DELAY;
		options.shared = shared;
		options.slack = shared ? 3ms : 0ms;
		options.name = "a name";

		asynctimer::timer timer(reactor, 10ms, [] {}, options);

		info = only(reactor);
		EXPECT(info.clock == CLOCK_BOOTTIME && info.policy == ASYNCTIMER_FIXED_DELAY);
		EXPECT(info.shared == shared && info.name == options.name);
		EXPECT(info.slack_ns == (shared ? 3 * ASYNCTIMER_MILLISECOND : 0));
	}
#if __cplusplus >= 202002L
	asynctimer::timer once(reactor, 10ms, [] {}, { .policy = ASYNCTIMER_ONCE, .name = "once" });

	info = only(reactor);
	EXPECT(info.policy == ASYNCTIMER_ONCE && std::string(info.name) == "once");
#endif
}

TEST(calls_say_whether_they_changed_something)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	unsigned calls = 0;
	asynctimer::timer timer(reactor, 10ms, [&] { calls++; });

	EXPECT(!timer.stop() && !timer.stop_nowait() && !timer.restart_after(1ms));
	EXPECT(timer.start() && !timer.start() && !timer.start_after(1ms) && !timer.start_at(1ms));
	EXPECT(timer.stop() && timer.start_after(1ms) && timer.stop_nowait() && !timer.stop());
	EXPECT(timer.start_at(2ms) && timer.restart_after(5ms));
	EXPECT(reactor.advance(4999us) == 0 && calls == 0);
	EXPECT(reactor.advance(1us) == 1 && calls == 1);
	EXPECT(!reactor.restart());
	reactor.stop();
	EXPECT(reactor.restart());
}

TEST(start_at_takes_time_points_of_the_timers_clock)
{
	asynctimer::reactor reactor;
	asynctimer::options options;
	auto steady = std::chrono::steady_clock::now() + 1h;
	auto system = std::chrono::ceil<std::chrono::hours>(std::chrono::system_clock::now()) + 1h;
	asynctimer::timer timer(reactor, 24h, [] {});
	auto due = [](const asynctimer::timer &of) {
		return std::chrono::nanoseconds(asynctimer_next_due_ns(of.native()));
	};

	EXPECT(timer.start_at(steady) && due(timer) == steady.time_since_epoch());
	timer.stop();
	/* Not before it, where a nanosecond is too coarse. */
	using picoseconds = std::chrono::duration<long long, std::pico>;
	std::chrono::time_point<std::chrono::steady_clock, picoseconds> fine(
		std::chrono::duration_cast<std::chrono::seconds>(steady.time_since_epoch()));

	EXPECT(timer.start_at(fine + picoseconds(1)));
	EXPECT(due(timer) == fine.time_since_epoch() + 1ns);
	options.clock = CLOCK_REALTIME;
	timer = asynctimer::timer(reactor, 24h, [] {}, options);
	EXPECT(timer.start_at(system) && due(timer) == system.time_since_epoch());
}

TEST(a_callback_may_be_a_thing_that_only_moves)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	auto owned = std::make_unique<int>(0);
	int *count = owned.get();
	asynctimer::timer timer(reactor, 10ms, [owned = std::move(owned)]() mutable { ++*owned; });
	asynctimer::timer moved = std::move(timer);

	moved.start();
	EXPECT(reactor.advance(30ms) == 3 && *count == 3);
}

TEST(the_callback_goes_with_the_timer)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	auto witness = std::make_shared<int>();
	asynctimer::options options;

	options.on_error = [witness](int) {};
	{
		asynctimer::timer timer(reactor, 10ms, [witness] {}, options);

		EXPECT(witness.use_count() == 4);
	}
	EXPECT(witness.use_count() == 2);
	EXPECT(reactor.list().empty());
}

TEST(a_callback_may_destroy_its_own_timer)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	auto witness = std::make_shared<int>();
	std::optional<asynctimer::timer> timer;
	asynctimer::timer assigned;
	unsigned calls = 0;

	timer.emplace(reactor, 10ms, [&, witness] {
		timer.reset();
		EXPECT(witness.use_count() == 3);	/* this function is still here */
		calls++;
	});
	assigned = asynctimer::timer(reactor, 10ms, [&, witness] {
		assigned = asynctimer::timer();
		EXPECT(witness.use_count() == 2);
		calls++;
	});
	timer->start();
	assigned.start();
	EXPECT(reactor.advance(100ms) == 2 && calls == 2);
	EXPECT(witness.use_count() == 1);
	EXPECT(!timer && !assigned.native() && reactor.list().empty());
}

TEST(what_was_moved_from_is_empty)
{
	asynctimer::reactor first = asynctimer::reactor::new_virtual();
	asynctimer_reactor *native = first.native();
	asynctimer::reactor reactor = std::move(first);
	auto witness = std::make_shared<int>();
	asynctimer::timer timer(reactor, 10ms, [witness] {});
	asynctimer *c = timer.native();
	asynctimer::timer moved = std::move(timer);
	asynctimer::deferred none;

	EXPECT(!first.native() && reactor.native() == native);
	EXPECT(!timer.native() && moved.native() == c);
	first.stop();
	moved = std::move(*&moved);
	reactor = std::move(*&reactor);
	EXPECT(moved.native() == c && reactor.native() == native && moved.start());
	EXPECT(witness.use_count() == 2);
	moved = std::move(timer);
	EXPECT(witness.use_count() == 1 && !moved.native() && reactor.list().empty());
	EXPECT(!none.complete());
}

TEST(a_moved_reactor_goes_on_with_its_timers)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual(), other;
	unsigned calls = 0;

	{
		asynctimer::timer timer(reactor, 10ms, [&] { calls++; });

		timer.start();
		other = std::move(reactor);
		EXPECT(other.advance(20ms) == 2 && calls == 2);
		EXPECT(asynctimer_get_reactor(timer.native()) == other.native());
	}
	reactor = std::move(other);
	EXPECT(reactor.advance(20ms) == 0);
}

TEST(the_destructor_waits_for_a_callback_in_another_thread)
{
	for (int round = 0; round < 50; round++) {
		asynctimer::reactor reactor;
		std::atomic<bool> begun(false);
		bool ended = false;	/* not atomic: the wait orders it */
		std::thread loop([&] { reactor.run(); });
		asynctimer::options options;

		options.shared = round % 2;
		{
			asynctimer::timer timer(reactor, 1ms, [&] {
				begun = true;
				while (reactor.list()[0].started)
					std::this_thread::yield();
				ended = true;
			}, options);

			timer.start();
			while (!begun)
				std::this_thread::yield();
		}
		EXPECT(ended);
		reactor.stop();
		loop.join();
	}
}

TEST(timers_whose_callbacks_destroy_each_other_do_not_hang)
{
	asynctimer::reactor reactor;
	std::unique_ptr<asynctimer::timer> timers[2];
	std::atomic<int> inside(0), calls(0);

	for (int i = 0; i < 2; i++) {
		timers[i] = std::make_unique<asynctimer::timer>(reactor, 1ms, [&, other = 1 - i] {
			inside++;
			while (inside < 2)
				std::this_thread::yield();
			timers[other].reset();
			if (++calls == 2)
				reactor.stop();
		});
	}
	for (auto &timer : timers)
		timer->start();

	std::thread loop([&] { reactor.run(); });

	reactor.run();
	loop.join();
	EXPECT(calls == 2 && reactor.list().empty());
}

TEST(a_deferred_tick_is_open_until_its_token_completes_it)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::deferred token;
	unsigned calls = 0;
	asynctimer::timer timer(reactor, 10ms, [&](const asynctimer::tick &tick) {
		EXPECT(tick.number() == (calls ? 5 : 1) && tick.skipped_busy() == (calls ? 3 : 0));
		calls++;
		token = tick.defer();
	});

	timer.start();
	EXPECT(reactor.advance(45ms) == 1);
	EXPECT(only(reactor).open == 2);
	EXPECT(token.complete() && !token.complete());
	EXPECT(only(reactor).open == 0 && only(reactor).stats.failures == 0);
	EXPECT(reactor.advance(5ms) == 1 && calls == 2);
	EXPECT(token.complete(-EIO) && only(reactor).stats.failures == 1);
}

TEST(a_token_completes_in_another_thread_after_the_timer_was_destroyed)
{
	for (int round = 0; round < 50; round++) {
		asynctimer::reactor reactor;
		auto witness = std::make_shared<int>();
		std::optional<asynctimer::timer> timer;
		std::thread worker;

		timer.emplace(reactor, 1ms, [&, witness](const asynctimer::tick &tick) {
			worker = std::thread([token = tick.defer()]() mutable {
				EXPECT(token.complete());
			});
			timer.reset();
			if (round % 2)
				worker.join();
			reactor.stop();
		});
		timer->start();
		reactor.run();
		if (worker.joinable())
			worker.join();
		EXPECT(witness.use_count() == 1 && reactor.list().empty());
	}
}

TEST(a_callback_lives_until_its_deferred_tick_is_completed)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	auto witness = std::make_shared<int>();
	asynctimer::deferred token;
	{
		asynctimer::timer timer(reactor, 10ms, [&, witness](const asynctimer::tick &tick) {
			token = tick.defer();
		});

		timer.start();
		reactor.advance(10ms);
	}
	EXPECT(witness.use_count() == 2 && reactor.list().size() == 1);
	EXPECT(token.complete());
	EXPECT(witness.use_count() == 1 && reactor.list().empty());
}

TEST(a_token_that_is_destroyed_completes_its_tick_as_failed)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	std::vector<int> errors;
	asynctimer::options options;
	asynctimer::deferred token;

	options.on_error = [&](int error) { errors.push_back(error); };

	asynctimer::timer timer(reactor, 10ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
	}, options);

	timer.start();
	reactor.advance(10ms);
	{
		asynctimer::deferred moved = std::move(token);

		EXPECT(!token.complete() && errors.empty());
	}
	EXPECT((errors == std::vector<int>{ -ECANCELED }));
	reactor.advance(10ms);
	token = asynctimer::deferred();
	EXPECT(errors.size() == 2);
	reactor.advance(10ms);
	token = std::move(*&token);
	EXPECT(errors.size() == 2 && token.complete());
}

TEST(a_token_completes_before_the_callback_returns_whatever_that_returns)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	asynctimer::timer timer(reactor, 10ms, [&](const asynctimer::tick &tick) {
		EXPECT(tick.defer().complete());
		EXPECT(only(reactor).open == 1);
		return -EIO;
	});

	timer.start();
	EXPECT(reactor.advance(20ms) == 2);
	EXPECT(only(reactor).open == 0 && reactor.stats().failures == 0);
}

TEST(a_completion_may_destroy_its_token)
{
	struct job {
		asynctimer::deferred token;
	};
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	auto owned = std::make_unique<job>();
	job *kept = owned.get();
	{
		asynctimer::timer timer(reactor, 10ms,
					[owned = std::move(owned)](const asynctimer::tick &tick) {
						owned->token = tick.defer();
					});

		timer.start();
		reactor.advance(10ms);
	}
	EXPECT(kept->token.complete());
	EXPECT(reactor.list().empty());
}

TEST(a_pending_tick_is_completed_by_its_number)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	std::vector<int> errors;
	asynctimer::options options;

	options.on_error = [&](int error) { errors.push_back(error); };

	asynctimer::timer timer(reactor, 10ms, [] { return int(ASYNCTIMER_PENDING); }, options);

	timer.start();
	reactor.advance(10ms);
	EXPECT(!timer.complete(2) && only(reactor).open == 2);
	EXPECT(timer.complete(1) && only(reactor).open == 0 && !timer.complete(1));
	reactor.advance(10ms);
	EXPECT(timer.complete(2, -EIO) && (errors == std::vector<int>{ -EIO }));
}

TEST(list_has_every_timer_and_stats_count_them)
{
	asynctimer::reactor reactor = asynctimer::reactor::new_virtual();
	std::vector<asynctimer::timer> timers;

	EXPECT(reactor.list().empty() && reactor.stats().timers == 0);
	for (unsigned i = 0; i < 50; i++) {
		timers.emplace_back(reactor, 10ms, [] {});
		EXPECT(reactor.list().size() == i + 1);
	}
	timers[7].start();
	EXPECT(reactor.stats().timers == 50 && reactor.stats().started == 1);
	for (const asynctimer_info &info : reactor.list())
		EXPECT(info.started == (info.timer == timers[7].native()));
}

TEST(shutdown_says_how_many_ticks_are_open)
{
	asynctimer::reactor reactor;
	std::optional<asynctimer::deferred> token;
	asynctimer::timer timer(reactor, 1ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
	});
	std::thread worker;

	timer.start();
	EXPECT(reactor.dispatch(-1ns) == 1);
	EXPECT(reactor.shutdown(0ns) == 1 && reactor.shutdown(1ms) == 1);
	worker = std::thread([&] { token.reset(); });
	EXPECT(reactor.shutdown(-1ns) == 0);
	worker.join();
	reactor.run();	/* returns at once */
}

TEST(the_descriptor_is_readable_when_dispatch_has_work)
{
	asynctimer::reactor reactor;
	unsigned calls = 0;
	asynctimer::options options;

	options.policy = ASYNCTIMER_ONCE;

	asynctimer::timer timer(reactor, 1ms, [&] { calls++; }, options);
	pollfd polled = { reactor.fd(), POLLIN, 0 };

	EXPECT(poll(&polled, 1, 0) == 0 && reactor.dispatch(0ns) == 0);
	timer.start();
	EXPECT(poll(&polled, 1, -1) == 1);
	EXPECT(reactor.dispatch(0ns) == 1 && calls == 1);
}

static asynctimer::reactor *stopped_by_signal;

TEST(stop_may_be_called_in_a_signal_handler)
{
	asynctimer::reactor reactor;
	asynctimer::timer timer(reactor, 1ms, [] { std::raise(SIGUSR1); });

	stopped_by_signal = &reactor;
	std::signal(SIGUSR1, [](int) { stopped_by_signal->stop(); });
	timer.start();
	reactor.run();
	std::signal(SIGUSR1, SIG_DFL);
}

TEST(the_reactors_destructor_terminates_while_something_uses_it)
{
	EXPECT(!terminates([] { asynctimer::reactor reactor; }));
	/* In a callback of its own. */
	EXPECT(terminates([] {
		auto reactor = std::make_unique<asynctimer::reactor>();
		asynctimer::timer timer(*reactor, 1ms, [&] { reactor.reset(); });

		timer.start();
		reactor->run();
	}));
	/* A thread is inside. */
	EXPECT(terminates([] {
		auto reactor = std::make_unique<asynctimer::reactor>();
		std::atomic<bool> begun(false);
		asynctimer::timer timer(*reactor, 1ms, [&] { begun = true; });
		std::thread loop([&] { reactor->run(); });

		timer.start();
		while (!begun)
			std::this_thread::yield();
		reactor.reset();
	}));
	/* A tick is deferred. */
	EXPECT(terminates([] {
		auto reactor = std::make_unique<asynctimer::reactor>();
		asynctimer::deferred token;
		{
			asynctimer::timer timer(*reactor, 1ms, [&](const asynctimer::tick &tick) {
				token = tick.defer();
			});

			timer.start();
			reactor->dispatch(-1ns);
		}
		reactor.reset();
	}));
	/* A timer exists. */
	EXPECT(terminates([] {
		auto reactor = std::make_unique<asynctimer::reactor>();
		asynctimer::timer timer(*reactor, 1ms, [] {});

		reactor.reset();
	}));
	/* Another one takes its place. */
	EXPECT(terminates([] {
		asynctimer::reactor reactor;
		asynctimer::timer timer(reactor, 1ms, [] {});

		reactor = asynctimer::reactor();
	}));
}

TEST(in_a_forked_child_the_destructors_free_what_it_inherited)
{
	std::atomic<bool> begun(false);
	asynctimer::deferred token;
	auto reactor = std::make_unique<asynctimer::reactor>();
	auto timer = std::make_unique<asynctimer::timer>(*reactor, 1ms, [&](const asynctimer::tick &tick) {
		token = tick.defer();
		begun = true;
	});
	std::thread loop([&] { reactor->run(); });

	timer->start();
	while (!begun)
		std::this_thread::yield();
	EXPECT(!terminates([&] {
		timer.reset();
		reactor.reset();
	}));
	EXPECT(!terminates([&] {
		token = asynctimer::deferred();
		timer.reset();
		reactor.reset();
	}));
	reactor->stop();
	loop.join();
	token.complete();
}

#ifndef __cpp_exceptions
TEST(without_exceptions_an_error_terminates)
{
	EXPECT(terminates([] { asynctimer::timer().start(); }));
}
#endif

int main()
{
	for (const test &test : tests()) {
		std::printf("%s\n", test.name);
		std::fflush(stdout);
		test.run();
	}
	std::printf("ok: %zu tests\n", tests().size());
}
