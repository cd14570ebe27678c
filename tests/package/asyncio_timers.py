# SPDX-License-Identifier: MIT
# What examples/embed_asyncio.py does beside ticking: test_embed.sh runs this. No
# test sleeps and hopes: each waits for ticks, and those come.
import asyncio, gc, inspect, os, sys, time, weakref

sys.path.insert(0, sys.argv[1])
from embed_asyncio import Timer

MS = 1_000_000


class Ticks:
    """A callback that keeps each tick, and a wait for so many of them."""

    def __init__(self):
        self.seen, self.condition, self.timer = [], asyncio.Event(), None

    def __call__(self):
        self.seen.append(self.timer.tick)
        self.condition.set()

    async def until(self, count):
        while len(self.seen) < count:
            self.condition.clear()
            await self.condition.wait()


def counted(ticks):
    number = 0
    for tick in ticks:
        assert tick.number == number + 1 + tick.skipped_busy + tick.skipped_late
        assert tick.now_ns >= tick.due_ns
        number = tick.number


async def it_says_what_start_and_stop_changed():
    ticks = Ticks()
    timer = ticks.timer = Timer(MS, ticks)
    assert timer.stop() is False
    assert timer.start() is True and timer.start() is False
    await ticks.until(5)
    assert timer.stop() is True and timer.stop() is False
    counted(ticks.seen)
    assert all((tick.due_ns - ticks.seen[0].due_ns) % MS == 0 for tick in ticks.seen)
    assert timer.start() is True
    await ticks.until(10)
    timer.stop()


async def a_stop_in_the_callback_is_the_end():
    ticks = Ticks()

    def callback():
        ticks()
        timer.stop()

    timer = ticks.timer = Timer(MS, callback)
    timer.start()
    await ticks.until(1)
    beside = Ticks()
    beside.timer = Timer(MS, beside)
    beside.timer.start()
    await beside.until(5)
    beside.timer.stop()
    assert len(ticks.seen) == 1


async def async_callbacks_do_not_overlap():
    ticks, running = Ticks(), False

    async def callback():
        nonlocal running
        assert not running
        running = True
        await asyncio.sleep(0.0025)
        running = False
        ticks()

    timer = ticks.timer = Timer(MS, callback)
    timer.start()
    await ticks.until(5)
    timer.stop()
    counted(ticks.seen)
    assert all(tick.skipped_busy >= 2 for tick in ticks.seen[1:])


async def a_fixed_delay_counts_from_the_end():
    ticks, ends = Ticks(), []

    async def callback():
        await asyncio.sleep(0.002)
        ends.append(time.monotonic_ns())
        ticks()

    timer = ticks.timer = Timer(3 * MS, callback, "FIXED_DELAY")
    timer.start()
    await ticks.until(5)
    timer.stop()
    assert [tick.number for tick in ticks.seen[:5]] == [1, 2, 3, 4, 5]
    assert all(tick.now_ns >= end + 3 * MS for end, tick in zip(ends, ticks.seen[1:]))


async def a_failure_is_told_and_the_timer_goes_on():
    for kind in "sync", "async":
        told, ticks = [], Ticks()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        def callback():
            ticks()
            raise KeyError(kind)

        async def async_callback():
            callback()

        timer = ticks.timer = Timer(MS, callback if kind == "sync" else async_callback)
        timer.start()
        await ticks.until(3)
        timer.stop()
        await asyncio.sleep(0)      # the last task's end
        assert [repr(context["exception"]) for context in told] == [f"KeyError('{kind}')"] * len(ticks.seen)


async def what_cannot_be_is_refused():
    for arguments in ((0, print), (-1, print), (2**62 + 1, print), (MS, print, "SOMETIMES")):
        try:
            Timer(*arguments)
        except ValueError:
            continue
        raise AssertionError(arguments)


async def a_started_timer_stays_and_others_go():
    ticks = Ticks()
    ticks.timer = weakref.proxy(timer := Timer(MS, ticks))
    dropped = weakref.ref(timer)
    timer.start()
    del timer
    gc.collect()
    await ticks.until(3)
    dropped().stop()
    gc.collect()
    assert dropped() is None


async def a_tick_is_left_open():
    begun = asyncio.Event()

    async def callback():
        begun.set()
        await asyncio.Event().wait()

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)   # of the task left pending
    Timer(MS, callback).start()
    await begun.wait()


def a_loop_takes_its_timers_along():
    loop = asyncio.new_event_loop()     # which, unlike asyncio.run, ends no tasks
    loop.run_until_complete(a_tick_is_left_open())
    loop.close()


def descriptors():
    gc.collect()
    return sorted(os.listdir("/proc/self/fd"))


before = descriptors()
for test in (it_says_what_start_and_stop_changed, a_stop_in_the_callback_is_the_end,
             async_callbacks_do_not_overlap, a_fixed_delay_counts_from_the_end,
             a_failure_is_told_and_the_timer_goes_on, what_cannot_be_is_refused,
             a_started_timer_stays_and_others_go, a_loop_takes_its_timers_along):
    asyncio.run(test()) if inspect.iscoroutinefunction(test) else test()
    assert descriptors() == before, f"{test.__name__} left a descriptor open"
    print("ok:", test.__name__)
