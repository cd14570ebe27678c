# SPDX-License-Identifier: MIT
"""Instructions per tick, by callgrind."""
import re
import shutil
import subprocess

from cases import BIN, CASES, COUNTED, program_of

RATE = 20000  # ticks per second that a program under valgrind keeps up with


def collected(case, library, slower, ticks):
    """The instructions of a program from its beginning to so many ticks."""
    c = CASES[case]
    options = {"library": library, "work": "count", "timers": c.timers, "hz": c.hz / slower, "kinds": c.kinds,
               "slack_us": int(c.slack_us * slower), "seconds": 0, "seed": 1, "processes": 1, "begin_ns": 0,
               "ticks": ticks}
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"{BIN}/bench_{program_of(library)}"]
    done = subprocess.run(command + [f"{n}={value}" for n, value in options.items()], text=True,
                          capture_output=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def count(case):
    """{library: instructions per tick}. Two runs begin alike, and one goes on for longer: the difference is that
    of steady ticks. Time does not go slower under valgrind, so the work does; but not the virtual one."""
    counts = {}
    if not shutil.which("valgrind"):
        print(f"{case}: instructions not counted: valgrind is not installed")
        return counts
    for library in COUNTED:
        rate = int(CASES[case].timers * CASES[case].hz)
        slower = 1 if library == "asynctimer_virtual" else max(1, rate / RATE)
        less, more = (CASES[case].timers + seconds * min(rate, RATE) for seconds in (1, 3))
        counts[library] = (collected(case, library, slower, more) - collected(case, library, slower, less)) \
            / (more - less)
    return counts
