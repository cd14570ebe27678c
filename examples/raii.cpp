/* SPDX-License-Identifier: MIT */
/*
 * Reactor and Timer as C++ objects (C++11). The callback is any function
 * object; what it throws becomes the tick's failure, since no exception may
 * cross the library.
 *
 * c++ -std=c++11 raii.cpp $(pkg-config --cflags --libs asynctimer)
 */
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <asynctimer.h>

static int check(int r, const char *what)
{
	if (r < 0)
		throw std::system_error(-r, std::system_category(), what);
	return r;
}

/* What is being thrown, as a negative errno. */
static int thrown() noexcept
{
	try {
		throw;
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	} catch (const std::system_error &error) {
		const std::error_condition condition = error.code().default_error_condition();

		if (condition.category() != std::generic_category() || condition.value() <= 0)
			return -EIO;
		return -condition.value();
	} catch (...) {
		return -EIO;
	}
}

class Reactor {
public:
	Reactor() { check(asynctimer_reactor_new(&reactor_), "asynctimer_reactor_new"); }
	~Reactor() { asynctimer_reactor_free(reactor_); }
	Reactor(const Reactor &) = delete;
	Reactor &operator=(const Reactor &) = delete;
	void run() { check(asynctimer_reactor_run(reactor_), "asynctimer_reactor_run"); }
	void stop() noexcept { asynctimer_reactor_stop(reactor_); }
	asynctimer_reactor *get() const noexcept { return reactor_; }

private:
	asynctimer_reactor *reactor_ = nullptr;
};

/* The library frees it with the last tick, so a callback may destroy its own Timer. */
struct Callbacks {
	std::function<int(const asynctimer_tick &)> tick;
	std::function<void(int)> error;
};

extern "C" {
static int call_tick(asynctimer *, const asynctimer_tick *tick, void *data) noexcept
{
	try {
		return static_cast<Callbacks *>(data)->tick(*tick);
	} catch (...) {
		return thrown();
	}
}

static void call_error(asynctimer *, int error, void *data) noexcept
{
	try {
		static_cast<Callbacks *>(data)->error(error);
	} catch (...) {
		std::fputs("raii: an error handler threw: let it catch what it calls\n", stderr);
	}
}

static void release(void *data) noexcept
{
	delete static_cast<Callbacks *>(data);
}
}

/* Destroyed before its Reactor; that stops it and waits for a callback in another thread. */
class Timer {
public:
	Timer(Reactor &reactor, int clock, uint64_t interval_ns, int policy, Callbacks callbacks)
	{
		std::unique_ptr<Callbacks> data(new Callbacks(std::move(callbacks)));
		asynctimer *timer;

		check(asynctimer_new(reactor.get(), clock, interval_ns, policy, call_tick,
				     data.get(), &timer), "asynctimer_new");
		if (data->error)
			asynctimer_set_error_handler(timer, call_error);
		data.release();
		asynctimer_set_release(timer, release);
		timer_.reset(timer);
	}

	void start() { check(asynctimer_start(timer_.get()), "asynctimer_start"); }
	bool stop() { return check(asynctimer_stop(timer_.get()), "asynctimer_stop"); }
	asynctimer *get() const noexcept { return timer_.get(); }

private:
	struct Free {
		void operator()(asynctimer *timer) const noexcept { asynctimer_free(timer); }
	};
	std::unique_ptr<asynctimer, Free> timer_;
};

/* A heartbeat that fails twice, and a timer that destroys itself in its first callback. */
static void run()
{
	const uint64_t interval_ns = 20 * ASYNCTIMER_MILLISECOND;
	Reactor reactor;
	int callbacks = 0;
	Timer heartbeat(reactor, CLOCK_MONOTONIC, interval_ns, ASYNCTIMER_FIXED_SCHEDULE, {
		[&](const asynctimer_tick &) -> int {
			std::printf("callback %d\n", ++callbacks);
			if (callbacks == 2)
				throw std::system_error(EAGAIN, std::generic_category());
			if (callbacks == 3)
				throw std::runtime_error("no errno");
			if (callbacks == 5)
				reactor.stop();
			return ASYNCTIMER_DONE;
		},
		[](int error) { std::printf("failed: %s\n", std::strerror(-error)); },
	});
	std::shared_ptr<const char> witness("once", [](const char *) { std::puts("released"); });
	std::unique_ptr<Timer> once;

	once.reset(new Timer(reactor, CLOCK_MONOTONIC, interval_ns, ASYNCTIMER_FIXED_DELAY, {
		[witness, &once](const asynctimer_tick &) -> int {
			once.reset();
			std::puts(witness.get());	/* still here, and so is this function */
			return ASYNCTIMER_DONE;
		}, nullptr,
	}));
	witness.reset();
	once->start();
	heartbeat.start();
	reactor.run();
}

int main()
{
	try {
		run();
	} catch (const std::system_error &error) {
		std::fprintf(stderr, "raii: %s: see ERRORS in its manual page\n", error.what());
		return 1;
	}
	return 0;
}
