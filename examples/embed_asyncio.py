#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Timers in asyncio, which watches the reactor's descriptor. A callback takes no
arguments and may be async: its tick is then open until the coroutine ends.
Run by itself, this echoes its standard input between the ticks of one timer."""
import asyncio, ctypes, errno, inspect, os, sys, time, weakref

library = ctypes.CDLL("libasynctimer.so.0")
POLICIES = {"FIXED_SCHEDULE": 0, "FIXED_DELAY": 1}
DONE, PENDING = 0, 0x70656E64


class Tick(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("number", "due_ns", "now_ns", "skipped_busy", "skipped_late", "behind_ns")]


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Tick), ctypes.py_object)
def on_tick(_, tick, timer):
    timer.tick = Tick.from_buffer_copy(tick.contents)
    try:
        result = timer.callback()
        if not inspect.isawaitable(result):
            return DONE
        timer.defer(asyncio.ensure_future(result))
        return PENDING
    except Exception as error:
        return failed(error)


def failed(error):
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a timer's callback failed", "exception": error})
    return -errno.EIO


def call(name, *arguments):
    result = getattr(library, "asynctimer_" + name)(*arguments)
    if result < 0:
        raise OSError(-result, "asynctimer_" + name + ": " + os.strerror(-result))
    return result


class Reactor:
    """A loop has one. It goes with the loop, and so do the timers that are left."""

    def __init__(self, loop):
        self.pointer = ctypes.c_void_p()
        self.started = set()    # timers, which are not collected while they are in here
        self.tasks = set()
        self.open = {}          # the number of the open tick, by the address of its timer
        call("reactor_new", ctypes.byref(self.pointer))
        loop.add_reader(call("reactor_fd", self.pointer),
                        call, "reactor_dispatch", self.pointer, ctypes.c_int64(0))
        weakref.finalize(loop, self.free, self.pointer, self.open)
        loop.asynctimer_reactor = self

    @staticmethod
    def free(pointer, open_ticks):
        for timer, number in open_ticks.items():
            library.asynctimer_complete(ctypes.c_void_p(timer), ctypes.c_uint64(number), 0)
        library.asynctimer_reactor_free(pointer)
        pointer.value = None


class Timer:
    """Is made in a running loop. start and stop return whether they changed anything."""

    def __init__(self, interval_ns, callback, schedule_policy="FIXED_SCHEDULE"):
        if schedule_policy not in POLICIES or not 1 <= interval_ns <= 2**62:
            raise ValueError("no such schedule_policy, or interval_ns is not 1 to 2**62")
        loop = asyncio.get_running_loop()
        self.reactor = getattr(loop, "asynctimer_reactor", None) or Reactor(loop)
        self.callback = callback
        self.tick = None        # of the last callback
        self.pointer = ctypes.c_void_p()
        call("new", self.reactor.pointer, time.CLOCK_MONOTONIC, ctypes.c_uint64(interval_ns),
             POLICIES[schedule_policy], on_tick, ctypes.py_object(self), ctypes.byref(self.pointer))
        weakref.finalize(self, self.free, self.reactor.pointer, self.pointer)

    @staticmethod
    def free(reactor, pointer):
        if reactor:             # else it took the timer with it
            library.asynctimer_free(pointer)

    def start(self):
        self.reactor.started.add(self)
        return call("start", self.pointer) == 1

    def stop(self):
        self.reactor.started.discard(self)
        return call("stop", self.pointer) == 1

    def defer(self, task):
        self.reactor.tasks.add(task)
        self.reactor.open[self.pointer.value] = self.tick.number
        task.add_done_callback(self.complete)

    def complete(self, task):
        self.reactor.tasks.discard(task)
        number = ctypes.c_uint64(self.reactor.open.pop(self.pointer.value))
        if task.cancelled():
            result = -errno.ECANCELED
        else:
            result = failed(task.exception()) if task.exception() else 0
        call("complete", self.pointer, number, result)


async def main():
    def tell():
        print("tick", timer.tick.number, "due", timer.tick.due_ns, flush=True)

    async def tell_later():
        await asyncio.sleep(0.001)
        tell()

    timer = Timer(20_000_000, tell_later if "-a" in sys.argv else tell)
    timer.start()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        print(line.decode(), end="", flush=True)
    timer.stop()


if __name__ == "__main__":
    asyncio.run(main())
