/* SPDX-License-Identifier: MIT */
/*
 * asynctimer for C++17: a reactor, its timers and their ticks as objects.
 *
 *	asynctimer::reactor reactor;
 *	asynctimer::timer timer(reactor, 10ms, [&](const asynctimer::tick &tick) { ... });
 *
 *	timer.start();
 *	reactor.run();
 *
 * What asynctimer.h promises holds here too, and so do its words. This comment
 * says what is different in C++:
 *
 * - Objects can be moved but not copied. One that was moved from is empty: its
 *   calls throw EINVAL, but a reactor's stop does nothing, and a token's complete
 *   returns false. An object may not be moved or destroyed while another thread
 *   calls it.
 * - Errors are thrown as std::system_error. Its text has the name of the C
 *   function, whose manual page explains the error, and the reason in words; its
 *   code compares with std::errc. Calls that return bool return true if they
 *   changed something and false if it was so already; you may ignore that.
 * - Times are std::chrono::nanoseconds, to which 10ms converts by itself.
 * - An exception that leaves a callback stops the reactor. It is thrown again by
 *   run, dispatch or advance, in the first thread that returns from there.
 * - With -fno-exceptions, std::terminate is called where something would be thrown.
 */
#ifndef ASYNCTIMER_HPP
#define ASYNCTIMER_HPP

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <asynctimer.h>

/*
 * This serves as the namespace. It is the struct of the C header, because C++
 * does not let a namespace have the name of a struct. No object of it exists here.
 */
struct asynctimer {
	class reactor;
	class timer;
	struct options;
	class tick;
	class deferred;

	asynctimer() = delete;
	~asynctimer() = delete;

private:
	class errors;
	struct core;
	struct box;
	template <class Callback> struct box_of;

	[[noreturn]] static void raise(int error, const char *what);
	static int check(int r, const char *function);
	static bool complete(asynctimer *timer, std::uint64_t number, int result);
};

/*
 * Waits for its timers and runs their callbacks. It must outlive them.
 *
 * The destructor calls std::terminate, as that of a joinable std::thread does,
 * while a thread is inside the reactor, a tick is deferred or a timer exists. So
 * call shutdown first and join the threads that run the reactor or complete ticks.
 * In a forked child the threads and ticks of its parent don't count.
 */
class asynctimer::reactor {
public:
	reactor();
	static reactor new_virtual();	/* its clocks are moved by advance alone */
	reactor(reactor &&other) noexcept = default;
	reactor &operator=(reactor other) noexcept;
	~reactor();

	void run();
	int dispatch(std::chrono::nanoseconds timeout);	/* negative: without limit */
	int advance(std::chrono::nanoseconds by);
	void stop() noexcept;				/* may be called in a signal handler */
	bool restart();
	int shutdown(std::chrono::nanoseconds timeout);	/* returns how many ticks are still open */

	int fd() const;
	std::vector<asynctimer_info> list() const;
	asynctimer_reactor_stats stats() const;
	asynctimer_reactor *native() const noexcept;	/* for the C functions; nullptr if empty */

private:
	reactor(int (*make)(asynctimer_reactor **), const char *function);
	int finish(int r, const char *function);

	std::unique_ptr<core> core_;
	friend timer;
};

/* How a timer is made, and what it is if nothing is said. */
struct asynctimer::options {
	int clock = CLOCK_MONOTONIC;
	int policy = ASYNCTIMER_FIXED_SCHEDULE;
	bool shared = false;			/* true: without a descriptor of its own */
	std::chrono::nanoseconds slack{ 0 };	/* for shared timers only */
	std::string name{};
	std::function<void(int)> on_error{};	/* is told of each failure: a negative errno */
};

/*
 * Calls its callback again and again, once started. The callback is any callable,
 * also one that can only be moved. It takes a const asynctimer::tick & or nothing, and
 * returns void, or an int as in C: ASYNCTIMER_DONE, ASYNCTIMER_PENDING or a negative
 * errno. It is destroyed when nothing can call it any more.
 *
 * The destructor stops the timer and waits for a callback that runs in another
 * thread; a callback may destroy its own timer. Two timers whose callbacks destroy
 * each other do not hang. But it cannot see your locks: a thread that destroys a
 * timer while it holds a lock which the callback waits for hangs for ever. Move the
 * timer out while you hold the lock, and let go of the lock before it is destroyed.
 */
class asynctimer::timer {
public:
	timer() noexcept = default;	/* empty */
	template <class Callback>
	timer(reactor &reactor, std::chrono::nanoseconds interval, Callback &&callback,
	      options options = {});
	timer(timer &&other) noexcept;
	timer &operator=(timer other) noexcept;
	~timer();

	bool start();
	bool start_after(std::chrono::nanoseconds delay);
	bool start_at(std::chrono::nanoseconds anchor);	/* on the timer's clock */
	/* These throw EINVAL if the timer is on another clock. */
	template <class Duration>
	bool start_at(std::chrono::time_point<std::chrono::steady_clock, Duration> anchor);
	template <class Duration>
	bool start_at(std::chrono::time_point<std::chrono::system_clock, Duration> anchor);
	bool restart_after(std::chrono::nanoseconds delay);
	bool stop();
	bool stop_nowait();
	/* For a callback that returned ASYNCTIMER_PENDING. False: no such tick is open any more. */
	bool complete(std::uint64_t number, int result = 0);

	asynctimer *native() const noexcept;	/* for the C functions; nullptr if empty */

private:
	void make(reactor &reactor, std::chrono::nanoseconds interval, options options,
		  std::unique_ptr<box> box);
	bool start_at(int clock, std::chrono::nanoseconds anchor);

	asynctimer *native_ = nullptr;
};

/* What a callback is told. It is gone when the callback has returned. */
class asynctimer::tick {
public:
	std::uint64_t number() const noexcept;
	std::chrono::nanoseconds due() const noexcept;	/* on the timer's clock, as is now */
	std::chrono::nanoseconds now() const noexcept;
	std::chrono::nanoseconds lateness() const noexcept;
	std::chrono::nanoseconds behind() const noexcept;
	std::uint64_t skipped_busy() const noexcept;
	std::uint64_t skipped_late() const noexcept;

	/*
	 * The tick stays open until the token that this returns completes it, whatever
	 * the callback returns or throws. A second call throws EALREADY.
	 */
	[[nodiscard]] deferred defer() const;

private:
	tick(asynctimer *timer, const asynctimer_tick *native) noexcept;
	tick(const tick &) = delete;
	tick &operator=(const tick &) = delete;

	asynctimer *timer_;
	const asynctimer_tick *native_;
	mutable bool deferred_ = false;
	friend box;
};

/*
 * A tick whose work goes on after its callback. Any thread may complete it, also
 * when the timer has been destroyed. A token that is destroyed before that
 * completes its tick as failed, with -ECANCELED.
 */
class asynctimer::deferred {
public:
	deferred() noexcept = default;	/* empty */
	deferred(deferred &&other) noexcept;
	deferred &operator=(deferred other) noexcept;
	~deferred();

	/* result is 0 or a negative errno. False: the tick was completed before. */
	bool complete(int result = 0);

private:
	deferred(asynctimer *timer, std::uint64_t number) noexcept;

	asynctimer *timer_ = nullptr;
	std::uint64_t number_ = 0;
	friend tick;
};

/*
 * The rest is how it is done.
 */

/* The errnos, in words that fit here where those of the C library do not. */
class asynctimer::errors final : public std::error_category {
public:
	static const errors &category()
	{
		static const errors category;

		return category;
	}

	const char *name() const noexcept override
	{
		return "asynctimer";
	}

	std::string message(int error) const override
	{
		switch (error) {
		case EALREADY:
			return "it was done before";
		case EBUSY:
			return "a callback of this reactor, or another thread, is inside";
		case ECHILD:
			return "the reactor belongs to the parent process";
		case EDEADLK:
			return "each would wait for the other";
		case EOVERFLOW:
			return "a clock would pass its end";
		case ESHUTDOWN:
			return "the reactor was shut down";
		default:
			return std::generic_category().message(error);
		}
	}

	std::error_condition default_error_condition(int error) const noexcept override
	{
		return std::error_condition(error, std::generic_category());
	}
};

inline void asynctimer::raise(int error, const char *what)
{
#ifdef __cpp_exceptions
	throw std::system_error(error, errors::category(), what);
#else
	(void)error;
	(void)what;
	std::terminate();
#endif
}

inline int asynctimer::check(int r, const char *function)
{
	if (r < 0)
		raise(-r, function);
	return r;
}

inline bool asynctimer::complete(asynctimer *timer, std::uint64_t number, int result)
{
	int r = asynctimer_complete(timer, number, result);

	return r != -EALREADY && check(r, "asynctimer_complete") == 0;
}

/* What stays where it is when the reactor is moved. */
struct asynctimer::core {
	asynctimer_reactor *native = nullptr;
	std::mutex lock;
	std::exception_ptr thrown;

	/* The first one is kept; those that come before it is thrown again are its consequence. */
	void keep(std::exception_ptr exception)
	{
		{
			std::lock_guard<std::mutex> hold(lock);

			if (!thrown)
				thrown.swap(exception);
		}
		asynctimer_reactor_stop(native);
	}

	void throw_again()
	{
		std::exception_ptr exception;

		{
			std::lock_guard<std::mutex> hold(lock);

			exception.swap(thrown);
		}
		if (exception)
			std::rethrow_exception(exception);
	}
};

/* What the C timer has as its data. */
struct asynctimer::box {
	core *of = nullptr;
	std::function<void(int)> on_error;
	bool owned = true;	/* false: its timer's destructor has begun */

	virtual ~box() = default;
	virtual int call(const tick &tick) = 0;

	static int on_tick(asynctimer *timer, const asynctimer_tick *native, void *data) noexcept
	{
		box *self = static_cast<box *>(data);
		tick tick(timer, native);
		int result = self->guard([&] { return self->call(tick); });

		return tick.deferred_ ? static_cast<int>(ASYNCTIMER_PENDING) : result;
	}

	static void on_failure(asynctimer *, int error, void *data) noexcept
	{
		box *self = static_cast<box *>(data);

		self->guard([&] {
			self->on_error(error);
			return 0;
		});
	}

	static void release(void *data) noexcept
	{
		box *self = static_cast<box *>(data);

		if (self->owned)
			std::terminate();
		delete self;
	}

	template <class Call> int guard(Call call) noexcept
	{
#ifdef __cpp_exceptions
		std::exception_ptr exception;

		try {
			return call();
		} catch (...) {
			exception = std::current_exception();
		}
		/* Out of the catch, so that this thread has no part in it afterwards. */
		of->keep(std::move(exception));
		return -ECANCELED;
#else
		return call();
#endif
	}
};

template <class Callback> struct asynctimer::box_of final : box {
	Callback callback;

	template <class From>
	explicit box_of(From &&from) : callback(std::forward<From>(from))
	{
	}

	int call(const tick &tick) override
	{
		if constexpr (std::is_invocable_v<Callback &, const asynctimer::tick &>)
			return result_of([&]() -> decltype(auto) { return callback(tick); });
		else
			return result_of([&]() -> decltype(auto) { return callback(); });
	}

	template <class Call> static int result_of(Call call)
	{
		using Result = std::invoke_result_t<Call>;

		static_assert(std::is_void_v<Result> || std::is_same_v<Result, int>,
			      "a callback returns void, or int as in C");
		if constexpr (std::is_void_v<Result>) {
			call();
			return ASYNCTIMER_DONE;
		} else {
			return call();
		}
	}
};

inline asynctimer::reactor::reactor(int (*make)(asynctimer_reactor **), const char *function)
	: core_(std::make_unique<core>())
{
	check(make(&core_->native), function);
}

inline asynctimer::reactor::reactor() : reactor(asynctimer_reactor_new, "asynctimer_reactor_new")
{
}

inline asynctimer::reactor asynctimer::reactor::new_virtual()
{
	return reactor(asynctimer_reactor_new_virtual, "asynctimer_reactor_new_virtual");
}

inline asynctimer::reactor &asynctimer::reactor::operator=(reactor other) noexcept
{
	core_.swap(other.core_);
	return *this;
}

inline asynctimer::reactor::~reactor()
{
	int r = asynctimer_reactor_free(native());

	/* A forked child is told that it is one, and what it inherited is freed. */
	if (r < 0 && r != -ECHILD)
		std::terminate();
}

inline asynctimer_reactor *asynctimer::reactor::native() const noexcept
{
	return core_ ? core_->native : nullptr;
}

/* What left a callback goes before an error of the call. */
inline int asynctimer::reactor::finish(int r, const char *function)
{
	if (core_)
		core_->throw_again();
	return check(r, function);
}

inline void asynctimer::reactor::run()
{
	finish(asynctimer_reactor_run(native()), "asynctimer_reactor_run");
}

inline int asynctimer::reactor::dispatch(std::chrono::nanoseconds timeout)
{
	return finish(asynctimer_reactor_dispatch(native(), timeout.count()),
		      "asynctimer_reactor_dispatch");
}

inline int asynctimer::reactor::advance(std::chrono::nanoseconds by)
{
	int r = -EINVAL;

	if (by.count() >= 0)
		r = asynctimer_reactor_advance(native(), static_cast<std::uint64_t>(by.count()));
	return finish(r, "asynctimer_reactor_advance");
}

inline void asynctimer::reactor::stop() noexcept
{
	asynctimer_reactor_stop(native());
}

inline bool asynctimer::reactor::restart()
{
	return check(asynctimer_reactor_restart(native()), "asynctimer_reactor_restart");
}

inline int asynctimer::reactor::shutdown(std::chrono::nanoseconds timeout)
{
	return check(asynctimer_reactor_shutdown(native(), timeout.count()),
		     "asynctimer_reactor_shutdown");
}

inline int asynctimer::reactor::fd() const
{
	return check(asynctimer_reactor_fd(native()), "asynctimer_reactor_fd");
}

inline std::vector<asynctimer_info> asynctimer::reactor::list() const
{
	std::vector<asynctimer_info> infos;
	std::size_t room;

	/* Again if there are more by then. */
	do {
		room = infos.size();
		infos.resize(static_cast<std::size_t>(
			check(asynctimer_reactor_list(native(), static_cast<std::uint32_t>(room),
						      sizeof(asynctimer_info), infos.data()),
			      "asynctimer_reactor_list")));
	} while (infos.size() > room);
	return infos;
}

inline asynctimer_reactor_stats asynctimer::reactor::stats() const
{
	asynctimer_reactor_stats stats;

	check(asynctimer_reactor_get_stats(native(), sizeof(stats), &stats),
	      "asynctimer_reactor_get_stats");
	return stats;
}

template <class Callback>
asynctimer::timer::timer(asynctimer::reactor &reactor, std::chrono::nanoseconds interval,
			 Callback &&callback, asynctimer::options options)
	: timer()
{
	make(reactor, interval, std::move(options),
	     std::make_unique<box_of<std::decay_t<Callback>>>(std::forward<Callback>(callback)));
}

inline void asynctimer::timer::make(asynctimer::reactor &reactor, std::chrono::nanoseconds interval,
				    asynctimer::options options,
				    std::unique_ptr<asynctimer::box> box)
{
	std::uint64_t interval_ns = static_cast<std::uint64_t>(interval.count());

	box->of = reactor.core_.get();
	box->on_error = std::move(options.on_error);
	if (options.shared)
		check(asynctimer_new_shared(reactor.native(), options.clock, interval_ns,
					    options.policy,
					    static_cast<std::uint64_t>(options.slack.count()),
					    box::on_tick, box.get(), &native_),
		      "asynctimer_new_shared");
	else if (options.slack.count() != 0)
		raise(EINVAL, "asynctimer_new: only shared timers have slack");
	else
		check(asynctimer_new(reactor.native(), options.clock, interval_ns, options.policy,
				     box::on_tick, box.get(), &native_),
		      "asynctimer_new");
	asynctimer_set_release(native_, box::release);
	if (box->on_error)
		asynctimer_set_error_handler(native_, box::on_failure);
	box.release();	/* it is the C timer's now */
	check(asynctimer_set_name(native_, options.name.c_str()), "asynctimer_set_name");
}

inline asynctimer::timer::timer(timer &&other) noexcept
	: native_(std::exchange(other.native_, nullptr))
{
}

inline asynctimer::timer &asynctimer::timer::operator=(timer other) noexcept
{
	std::swap(native_, other.native_);
	return *this;
}

inline asynctimer::timer::~timer()
{
	if (!native_)
		return;
	static_cast<box *>(asynctimer_get_data(native_))->owned = false;
	asynctimer_free(native_);
}

inline asynctimer *asynctimer::timer::native() const noexcept
{
	return native_;
}

inline bool asynctimer::timer::start()
{
	return check(asynctimer_start(native_), "asynctimer_start");
}

inline bool asynctimer::timer::start_after(std::chrono::nanoseconds delay)
{
	return check(asynctimer_start_after(native_, static_cast<std::uint64_t>(delay.count())),
		     "asynctimer_start_after");
}

inline bool asynctimer::timer::start_at(std::chrono::nanoseconds anchor)
{
	return check(asynctimer_start_at(native_, static_cast<std::uint64_t>(anchor.count())),
		     "asynctimer_start_at");
}

inline bool asynctimer::timer::start_at(int clock, std::chrono::nanoseconds anchor)
{
	asynctimer_info info;

	check(asynctimer_get_info(native_, sizeof(info), &info), "asynctimer_start_at");
	if (info.clock != clock)
		raise(EINVAL, "asynctimer_start_at: the time point is of another clock");
	return start_at(anchor);
}

template <class Duration>
bool asynctimer::timer::start_at(
	std::chrono::time_point<std::chrono::steady_clock, Duration> anchor)
{
	return start_at(CLOCK_MONOTONIC,
			std::chrono::ceil<std::chrono::nanoseconds>(anchor.time_since_epoch()));
}

template <class Duration>
bool asynctimer::timer::start_at(
	std::chrono::time_point<std::chrono::system_clock, Duration> anchor)
{
	return start_at(CLOCK_REALTIME,
			std::chrono::ceil<std::chrono::nanoseconds>(anchor.time_since_epoch()));
}

inline bool asynctimer::timer::restart_after(std::chrono::nanoseconds delay)
{
	return check(asynctimer_restart_after(native_, static_cast<std::uint64_t>(delay.count())),
		     "asynctimer_restart_after");
}

inline bool asynctimer::timer::stop()
{
	return check(asynctimer_stop(native_), "asynctimer_stop");
}

inline bool asynctimer::timer::stop_nowait()
{
	return check(asynctimer_stop_nowait(native_), "asynctimer_stop_nowait");
}

inline bool asynctimer::timer::complete(std::uint64_t number, int result)
{
	return asynctimer::complete(native_, number, result);
}

inline asynctimer::tick::tick(asynctimer *timer, const asynctimer_tick *native) noexcept
	: timer_(timer), native_(native)
{
}

inline std::uint64_t asynctimer::tick::number() const noexcept
{
	return native_->number;
}

inline std::chrono::nanoseconds asynctimer::tick::due() const noexcept
{
	return std::chrono::nanoseconds(native_->due_ns);
}

inline std::chrono::nanoseconds asynctimer::tick::now() const noexcept
{
	return std::chrono::nanoseconds(native_->now_ns);
}

inline std::chrono::nanoseconds asynctimer::tick::lateness() const noexcept
{
	return now() - due();
}

inline std::chrono::nanoseconds asynctimer::tick::behind() const noexcept
{
	return std::chrono::nanoseconds(native_->behind_ns);
}

inline std::uint64_t asynctimer::tick::skipped_busy() const noexcept
{
	return native_->skipped_busy;
}

inline std::uint64_t asynctimer::tick::skipped_late() const noexcept
{
	return native_->skipped_late;
}

inline asynctimer::deferred asynctimer::tick::defer() const
{
	if (deferred_)
		raise(EALREADY, "asynctimer::tick::defer");
	deferred_ = true;
	return deferred(timer_, native_->number);
}

inline asynctimer::deferred::deferred(asynctimer *timer, std::uint64_t number) noexcept
	: timer_(timer), number_(number)
{
}

inline asynctimer::deferred::deferred(deferred &&other) noexcept
	: timer_(std::exchange(other.timer_, nullptr)), number_(other.number_)
{
}

inline asynctimer::deferred &asynctimer::deferred::operator=(deferred other) noexcept
{
	std::swap(timer_, other.timer_);
	std::swap(number_, other.number_);
	return *this;
}

inline asynctimer::deferred::~deferred()
{
	if (timer_)
		asynctimer_complete(timer_, number_, -ECANCELED);
}

/* The completion may destroy the token, so it is emptied before that. */
inline bool asynctimer::deferred::complete(int result)
{
	if (!timer_)
		return false;
	if (result > 0)
		raise(EINVAL, "asynctimer_complete");
	return asynctimer::complete(std::exchange(timer_, nullptr), number_, result);
}

#endif
