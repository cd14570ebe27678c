/* SPDX-License-Identifier: MIT */
/*
 * A small service in C++17: a timer per session, backups made in a thread of their own,
 * two threads that run all callbacks, and an end within 2 s of SIGTERM or SIGINT. So that
 * there is something to see, it closes its sessions one by one and then ends itself.
 *
 * c++ -std=c++17 -pthread cpp_service.cpp $(pkg-config --cflags --libs asynctimer)
 */
#include <csignal>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include <unistd.h>

#include <asynctimer.hpp>

using namespace std::chrono_literals;

static asynctimer::options named(const std::string &name)
{
	asynctimer::options options;

	options.name = name;
	return options;
}

class service {
public:
	service();
	void open_session(const std::string &name);
	int run_until_signal();

private:
	struct session {
		asynctimer::timer timer;
		unsigned pings = 0;
	};

	void ping(const std::string &name);
	void close_a_session();
	void back_up(asynctimer::deferred done);
	void run_callbacks();

	/* The reactor comes first, because it must outlive the timers. */
	asynctimer::reactor reactor;
	std::mutex lock;			/* over the sessions */
	std::map<std::string, session> sessions;
	std::thread worker;
	asynctimer::timer backup, closer;
	int status = 0;
};

service::service()
	: backup(reactor, 50ms, [this](const asynctimer::tick &tick) { back_up(tick.defer()); },
		 named("backup")),
	  closer(reactor, 100ms, [this] { close_a_session(); }, named("closer"))
{
	backup.start();
	closer.start();
}

void service::open_session(const std::string &name)
{
	std::lock_guard<std::mutex> hold(lock);
	session &added = sessions[name];

	added.timer = asynctimer::timer(reactor, 10ms, [=] { ping(name); }, named(name));
	added.timer.start();
}

void service::ping(const std::string &name)
{
	std::lock_guard<std::mutex> hold(lock);
	auto found = sessions.find(name);

	if (found != sessions.end())
		found->second.pings++;
}

/*
 * A timer's destructor waits for its callback. Here the callback, ping, takes our lock, so
 * to erase the session while we hold that would hang: ping waits for us, we wait for ping.
 * The session is therefore moved out under the lock, and destroyed after it.
 */
void service::close_a_session()
{
	session closed;
	std::string name;
	{
		std::lock_guard<std::mutex> hold(lock);
		auto first = sessions.begin();

		if (first == sessions.end()) {
			kill(getpid(), SIGTERM);
			return;
		}
		name = first->first;
		closed = std::move(first->second);
		sessions.erase(first);
	}
	std::printf("%s: closed after %u pings\n", name.c_str(), closed.pings);
}

/* The next backup begins when this one is done; then this thread has nothing more to do. */
void service::back_up(asynctimer::deferred done)
{
	if (worker.joinable())
		worker.join();
	worker = std::thread([done = std::move(done)]() mutable {
		std::this_thread::sleep_for(20ms);	/* the work */
		std::printf("backup: made\n");
		done.complete();
	});
}

/* What left a callback as an exception arrives here; the service then ends. */
void service::run_callbacks()
{
	try {
		reactor.run();
	} catch (const std::exception &error) {
		std::fprintf(stderr, "cpp_service: %s\n", error.what());
		status = 1;
		kill(getpid(), SIGTERM);
	}
}

int service::run_until_signal()
{
	std::thread first([this] { run_callbacks(); });
	std::thread second([this] { run_callbacks(); });
	sigset_t signals;
	int signal;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigwait(&signals, &signal);
	if (reactor.shutdown(2s) > 0) {
		for (const asynctimer_info &info : reactor.list())
			if (info.open)
				std::printf("in the way: %s\n", info.name);
		std::fflush(stdout);
		std::_Exit(1);	/* and destroy nothing: who is in the way still uses it */
	}
	first.join();
	second.join();
	if (worker.joinable())
		worker.join();
	std::printf("nobody was in the way\n");
	return status;
}

int main()
{
	sigset_t signals;

	/* Blocked in every thread, for sigwait: a handler could not call shutdown. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, nullptr);
	try {
		service running;

		for (const char *name : { "ann", "ben", "cleo" })
			running.open_session(name);
		return running.run_until_signal();
	} catch (const std::exception &error) {
		std::fprintf(stderr, "cpp_service: %s\n", error.what());
		return 1;
	}
}
