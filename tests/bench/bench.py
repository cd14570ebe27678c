#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the programs, runs cases x libraries in turn, and reports; see README.

bench.py SRCDIR BUILDDIR [--report]
"""
import csv
import fnmatch
import os
import shlex
import subprocess
import sys
import time

from cases import BIN, CASES, COLUMNS, COMMON, HERE, OWN_TABLE, PROGRAMS, RESULTS, program_of
from count import count
from report import report

RAW = os.path.join(RESULTS, "bench.tsv")
BEFORE = os.environ.get("BENCH_BEFORE")
ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
SECONDS = float(os.environ.get("BENCH_SECONDS") or 2)


def build():
    """Compiles what can be compiled; the names of the programs that are there."""
    os.makedirs(BIN, exist_ok=True)
    compiler = shlex.split(os.environ.get("CC") or "cc") + shlex.split(os.environ.get("CFLAGS") or "-O2")
    built = []
    for name, flags in PROGRAMS.items():
        if flags and "-l" not in flags:
            found = subprocess.run(["pkg-config", "--cflags", "--libs", flags], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            if found.returncode:
                print(f"left out: {name} (pkg-config finds no {flags})")
                continue
            flags = found.stdout
        sources = [f"{HERE}/bench_{name}.c"] + [f"{HERE}/{c}" for c in COMMON]
        command = compiler + ["-D_GNU_SOURCE", "-pthread", "-o", f"{BIN}/bench_{name}"] + sources
        done = subprocess.run(command + shlex.split(flags), text=True, stderr=subprocess.PIPE, check=False)
        if done.returncode and name == "libev" and "ev.h" in done.stderr:
            print("left out: libev (no ev.h)")
        elif done.returncode:
            sys.exit(done.stderr)
        else:
            built.append(name)
    return built


def command_of(case, library, **more):
    """What makes one run of the case."""
    c = CASES[case]
    library = library.removesuffix("_before")
    options = {"library": library, "work": c.work, "timers": c.timers, "hz": c.hz, "kinds": c.kinds,
               "slack_us": c.slack_us, "seconds": seconds_of(case), **more}
    return [f"{BIN}/bench_{program_of(library)}"] + [f"{n}={value}" for n, value in options.items()]


def seconds_of(case):
    return max(SECONDS, CASES[case].seconds)


def environment_of(library):
    """What has a program take this library, and why not if there is no such."""
    if not library.endswith("_before"):
        return os.environ, None
    if not BEFORE:
        return None, "BENCH_BEFORE names no other build"
    path = os.path.join(BEFORE, "lib", ".libs")
    if not os.path.exists(os.path.join(path, "libasynctimer.so")):
        return None, f"there is no {path}/libasynctimer.so"
    return {**os.environ, "LD_LIBRARY_PATH": path}, None


def run_one(case, library, number):
    """The columns of one run, and why not if the library cannot do the case. Of a library a+b each half of the
    processes is a program of its own, and both begin at once."""
    halves = library.split("+")
    count = CASES[case].processes // len(halves)
    begin_ns = time.monotonic_ns() + 3 * 10**9 + CASES[case].processes * 2 * 10**7
    runs = []
    for i, half in enumerate(halves):
        environment, why = environment_of(half)
        if why:
            return None, why
        command = command_of(case, half, seed=number * len(halves) + i, processes=count, begin_ns=begin_ns)
        runs.append(subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE))
    outputs = [run.communicate() for run in runs]
    for run, (_, errors) in zip(runs, outputs):
        if run.returncode:
            return None, errors.strip() or f"exit {run.returncode}"
    results = [dict(column.split("=") for column in output.split()) for output, _ in outputs]
    return combine(results, seconds_of(case)) if CASES[case].work == "machine" else results[0], None


def combine(halves, seconds):
    """Of the processes of a machine_* case. The machine wakes at a moment: a callback that runs 1 ms or more after
    the last one before it, in whatever process."""
    ticks = [int(half["delivered"]) for half in halves]
    times = sorted(int(ns) for half in halves for ns in half["series"].split(",") if ns)
    moments = 1 + sum(later - earlier >= 10**6 for earlier, later in zip(times, times[1:]))
    return {"cost": sum(float(half["cost"]) * n for half, n in zip(halves, ticks)) / sum(ticks),
            "delivered": sum(ticks), "wakeups": sum(float(half["wakeups"]) for half in halves),
            "moments": moments / seconds}


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)


def run_case(case, built):
    rows, cannot = [], {}
    for number in range(1, ROUNDS + 1):
        for library in CASES[case].libraries:
            if library in cannot or not all(program_of(half) in built for half in library.split("+")):
                continue
            if library == "asynctimer_virtual" or not chosen(library, "BENCH_LIBS"):
                continue
            progress(f"{case} {number}/{ROUNDS} {library}")
            row, why = run_one(case, library, number)
            if why:
                cannot[library] = why
            else:
                rows.append({"case": case, "library": library, "round": number, **row})
    if os.environ.get("BENCH_COUNT") and CASES[case].work == "ticks":
        progress(f"{case} counted")
        add_counts(rows, case)
    progress("")
    for library, why in cannot.items():
        print(f"{case}: {library} left out: {why}")
    return rows


def add_counts(rows, case):
    for library, instructions in count(case).items():
        of_library = [row for row in rows if row["library"] == library]
        if not of_library:
            of_library = [{"case": case, "library": library, "round": 1}]
            rows += of_library
        for row in of_library:
            row["instructions"] = instructions


def run_own_table(case):
    """A program that prints what it found by itself."""
    done = subprocess.run([f"{BIN}/bench_{program_of(CASES[case].libraries[0])}"], text=True, capture_output=True,
                          check=False)
    print(f"{case}, {OWN_TABLE[CASES[case].work]}:\n{done.stdout or done.stderr}")
    with open(os.path.join(RESULTS, f"{case}.txt"), "w", encoding="ascii") as file:
        file.write(done.stdout)


def chosen(name, variable):
    """Whether one of the variable's patterns fits the name; without any, each does."""
    patterns = (os.environ.get(variable) or "*").replace(",", " ").split()
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def read_rows():
    if not os.path.exists(RAW):
        return []
    with open(RAW, newline="", encoding="ascii") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if reader.fieldnames != COLUMNS:
            print(f"{RAW} is of another version of the bench and begun anew")
            return []
        return list(reader)


def write_rows(rows):
    with open(RAW, "w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    os.makedirs(RESULTS, exist_ok=True)
    rows = read_rows()
    if "--report" not in sys.argv:
        built = build()
        for case in CASES:
            if not chosen(case, "BENCH_CASES"):
                continue
            if CASES[case].work in OWN_TABLE:
                run_own_table(case)
                continue
            new = run_case(case, built)
            replaced = {(row["case"], row["library"]) for row in new}
            rows = [row for row in rows if (row["case"], row["library"]) not in replaced] + new
            write_rows(rows)
    report(rows)


main()
