/* SPDX-License-Identifier: MIT */
/* Five ticks, 200 ms apart: c++ -std=c++17 hello.cpp $(pkg-config --cflags --libs asynctimer) */
#include <asynctimer.hpp>
#include <iostream>

using namespace std::chrono_literals;

int main()
{
	asynctimer::reactor reactor;
	asynctimer::timer timer(reactor, 200ms, [&](const asynctimer::tick &tick) {
		std::cout << "tick " << tick.number() << ", " << tick.lateness() / 1us << " us late\n";
		if (tick.number() >= 5)
			reactor.stop();
	});

	timer.start();
	reactor.run();
}
