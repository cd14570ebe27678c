# SPDX-License-Identifier: MIT
"""What is measured: the programs, the libraries, the cases, and the columns of a result."""
import os
import sys
from typing import NamedTuple

SRC, BUILD = sys.argv[1:3]
HERE = os.path.join(SRC, "tests", "bench")
BIN = os.path.join(BUILD, "tests", "bench", "bin")
RESULTS = os.path.join(BUILD, "tests", "bench", "results")

# LD_LIBRARY_PATH comes before this rpath.
LINKED = f"-I{SRC}/include -L{BUILD}/lib/.libs -lasynctimer -Wl,-rpath,{BUILD}/lib/.libs,--enable-new-dtags"
PROGRAMS = {  # name: pkg-config package, or how to link it
    "asynctimer": LINKED, "drift": LINKED, "hold": LINKED, "rt": LINKED, "bare": "", "libev": "-lev", "libuv": "libuv",
    "libevent": "libevent_core", "sdevent": "libsystemd", "glib": "glib-2.0",
}
COMMON = ("bench.c", "machine.c", "measure.c", "observe.c", "optimum.c", "restart.c")  # of all programs
# Works whose program does all of it, and what its table is about.
OWN_TABLE = {"drift": "1 ms with 200 us of work", "hold": "the longest hold of a lock in a call, CPU time"}
COUNTED = ("asynctimer_virtual", "asynctimer_shared")  # instructions per tick; the first in no other way
OURS = ("asynctimer_own", "asynctimer_shared")
REPEATERS = ("sleep", "libev_timer", "libevent", "libevent_precise", "libuv_repeat", "glib_timeout")
THREADS = tuple(name + threads for name in OURS for threads in ("", "_2t", "_4t"))
COARSE = ("libev_timer", "libev_periodic", "libuv", "libevent", "libevent_precise", "sdevent_1ms")
EXACT = OURS + COUNTED[:1] + ("bare",) + COARSE + ("sdevent_1us", "glib")
SLACK = OURS[1:] + COUNTED[:1] + COARSE
# a+b: half of the processes with the one, half with the other.
MACHINE = ("asynctimer_shared", "asynctimer_shared_before", "asynctimer_shared+sdevent",
           "asynctimer_shared_before+sdevent", "sdevent", "glib_seconds")
RT = tuple(f"rt_{kind}{beside}" for kind in ("own", "shared")
           for beside in ("", "_calls", "_calls_before", "_hog", "_hog_before"))
SPIN = ("asynctimer_shared", "asynctimer_shared_spin", "bare", "nanosleep", "libev_timer", "libuv", "sdevent_1us")
COALESCE = ("asynctimer_shared", "asynctimer_shared_before", "sdevent")


class Case(NamedTuple):
    """Work for some libraries."""
    work: str
    timers: int
    hz: float
    libraries: tuple
    kinds: int = 1  # of intervals; 0: all different
    slack_us: int = 0
    seconds: float = 0  # at least
    processes: int = 1  # with so many timers each


CASES = {}
for timers, hz in ((1, 100), (1, 1000), (1, 5000), (100, 100), (1000, 10), (1000, 100), (10000, 100)):
    CASES[f"exact_{timers}x{hz}"] = Case("ticks", timers, hz, EXACT)
for timers, hz in ((10000, 100), (100000, 10), (1000000, 1)):
    for kinds in (1, 16, 1000, 0):
        CASES[f"slack_{timers}x{hz}_{kinds or 'all'}"] = \
            Case("ticks", timers, hz, SLACK, kinds, slack_us=1000, seconds=3 if hz == 1 else 0)
CASES["threads_exact"] = Case("ticks", 1000, 10, THREADS)
CASES["threads_slack"] = Case("ticks", 10000, 100, THREADS[3:], slack_us=1000)
for timers, hz, slack_ms in ((200, 10, 10), (1000, 10, 3), (200, 1, 100)):
    CASES[f"coalesce_{timers}x{hz}"] = Case("coalesce", timers, hz, COALESCE, slack_us=1000 * slack_ms, seconds=5)
for processes in (10, 50):
    for slack_ms in (100, 500):
        CASES[f"machine_{processes}x5_{slack_ms}ms"] = \
            Case("machine", 5, 1, MACHINE, slack_us=1000 * slack_ms, seconds=8, processes=processes)
for timers, hz in ((1, 1000), (100, 100), (1, 5000)):
    CASES[f"spin_{timers}x{hz}"] = Case("spin", timers, hz, SPIN, seconds=5)
CASES["rt_1x1000"] = Case("rt", 1, 1000, RT, seconds=10)
CASES["rt_hold"] = Case("hold", 100000, 1 / 3600, ("hold",))
CASES["restart_one"] = Case("restart_one", 10000, 0.1, EXACT)
CASES["restart_any"] = Case("restart_any", 10000, 0.1, EXACT)
CASES["restart_after_one"] = Case("again_one", 10000, 0.1, EXACT)
CASES["restart_after_any"] = Case("again_any", 10000, 0.1, EXACT)
CASES["restart_after_million"] = Case("again_any", 1000000, 0.1, EXACT)
CASES["idle_timeouts"] = Case("idle", 100001, 1 / 30, EXACT, seconds=10)
CASES["memory"] = Case("ticks", 100000, 1, SLACK, slack_us=1000, seconds=3)
CASES["stall"] = Case("stall", 1, 100, ("sleep",) + EXACT + ("libuv_repeat", "glib_timeout"))
CASES["drift"] = Case("drift", 1, 1000, ("drift",))

# A program prints those that it knows. series: quantiles of the lateness by hundredths, or when
# each callback came. moments: see combine in bench.py.
NUMBERS = ("cost observed wakeups delivered skipped early extra p50 p90 p99 max waited "
           "bytes malloced least moments instructions").split()
COLUMNS = ["case", "library", "round"] + NUMBERS + ["series"]
STALL_AT, STALL_MS = 500, 10


def program_of(library):
    """The program that has the library in it."""
    name = library.split("_")[0]
    return "bare" if name in ("sleep", "nanosleep") else name
