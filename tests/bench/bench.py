#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the programs, runs cases x libraries in turn, and reports; see README.

bench.py SRCDIR BUILDDIR [--report]
"""
import csv
import fnmatch
import math
import os
import shlex
import shutil
import statistics
import subprocess
import sys

SRC, BUILD = sys.argv[1:3]
HERE = os.path.join(SRC, "tests", "bench")
BIN = os.path.join(BUILD, "tests", "bench", "bin")
RESULTS = os.path.join(BUILD, "tests", "bench", "results")
RAW = os.path.join(RESULTS, "bench.tsv")
ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
SECONDS = float(os.environ.get("BENCH_SECONDS") or 2)

PROGRAMS = {  # name: pkg-config package, or how to link it
    "asynctimer": f"-I{SRC}/include -L{BUILD}/lib/.libs -lasynctimer -Wl,-rpath,{BUILD}/lib/.libs",
    "drift": f"-I{SRC}/include -L{BUILD}/lib/.libs -lasynctimer -Wl,-rpath,{BUILD}/lib/.libs",
    "bare": "", "libev": "-lev", "libuv": "libuv", "libevent": "libevent_core",
    "sdevent": "libsystemd", "glib": "glib-2.0",
}
OURS = ("asynctimer_own", "asynctimer_shared")
REPEATERS = ("sleep", "libev_timer", "libevent", "libevent_precise", "libuv_repeat", "glib_timeout")
COLOURS = {"asynctimer": "#d7191c", "bare": "#000000", "sleep": "#999999", "libev": "#2b7bba",
           "libuv": "#ff9900", "libevent": "#1a9641", "sdevent": "#8e44ad", "glib": "#8c564b"}
DASHED = ("asynctimer_own", "libev_periodic", "libuv_repeat", "libevent_precise", "sdevent_1us", "glib_timeout")
THREADS = tuple(name + threads for name in OURS for threads in ("", "_2t", "_4t"))
COARSE = ("libev_timer", "libev_periodic", "libuv", "libevent", "libevent_precise", "sdevent_1ms")
EXACT = OURS + ("bare",) + COARSE + ("sdevent_1us", "glib")
SLACK = OURS[1:] + COARSE
CASES = {}  # name: work, timers, hz, kinds of intervals (0: all different), slack in us, libraries
for timers, hz in ((1, 100), (1, 1000), (1, 5000), (100, 100), (1000, 10), (1000, 100), (10000, 100)):
    CASES[f"exact_{timers}x{hz}"] = ("ticks", timers, hz, 1, 0, EXACT)
for timers, hz in ((10000, 100), (100000, 10), (1000000, 1)):
    for kinds in (1, 16, 1000, 0):
        CASES[f"slack_{timers}x{hz}_{kinds or 'all'}"] = ("ticks", timers, hz, kinds, 1000, SLACK)
CASES["threads_exact"] = ("ticks", 1000, 10, 1, 0, THREADS)
CASES["threads_slack"] = ("ticks", 10000, 100, 1, 1000, THREADS[3:])
CASES["restart_one"] = ("restart_one", 10000, 0.1, 1, 0, EXACT)
CASES["restart_any"] = ("restart_any", 10000, 0.1, 1, 0, EXACT)
CASES["memory"] = ("ticks", 100000, 1, 1, 1000, SLACK)
CASES["stall"] = ("stall", 1, 100, 1, 0, ("sleep",) + EXACT + ("libuv_repeat", "glib_timeout"))
CASES["drift"] = ("drift", 1, 1000, 1, 0, ("drift",))

# As bench.c prints them; series: quantiles of the lateness by hundredths, or when each callback came.
COLUMNS = ("case library timers hz kinds cost observed wakeups delivered skipped early extra "
           "p50 p99 max bytes malloced series round").split()
NUMBERS = COLUMNS[5:17]
STALL_AT, STALL_MS = 500, 10


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
        sources = [f"{HERE}/bench_{name}.c"] + ([f"{HERE}/bench.c"] if name != "drift" else [])
        command = compiler + ["-D_GNU_SOURCE", "-pthread", "-o", f"{BIN}/bench_{name}"] + sources
        done = subprocess.run(command + shlex.split(flags), text=True, stderr=subprocess.PIPE, check=False)
        if done.returncode and name == "libev" and "ev.h" in done.stderr:
            print("left out: libev (no ev.h)")
        elif done.returncode:
            sys.exit(done.stderr)
        else:
            built.append(name)
    return built


def program_of(library):
    name = library.split("_")[0]
    return "bare" if name == "sleep" else name


def run_one(case, library, number, rows):
    """One run, appended to rows; a reason if the library cannot do the case."""
    work, timers, hz, kinds, slack, _ = CASES[case]
    arguments = [case, library, work, timers, hz, kinds, slack, max(SECONDS, 3 / hz if hz >= 1 else 0)]
    done = subprocess.run([f"{BIN}/bench_{program_of(library)}"] + [str(a) for a in arguments],
                          text=True, capture_output=True, check=False)
    if done.returncode:
        return done.stderr.strip() or f"exit {done.returncode}"
    rows.append(dict(zip(COLUMNS, done.stdout.rstrip("\n").split("\t") + [str(number)])))
    return None


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)


def run_case(case, built):
    rows, cannot = [], {}
    for number in range(1, ROUNDS + 1):
        for library in CASES[case][5]:
            if library in cannot or program_of(library) not in built:
                continue
            if not any(fnmatch.fnmatch(library, p) for p in words("BENCH_LIBS")):
                continue
            progress(f"{case} {number}/{ROUNDS} {library}")
            why = run_one(case, library, number, rows)
            if why:
                cannot[library] = why
    progress("")
    for library, why in cannot.items():
        print(f"{case}: {library} left out: {why}")
    return rows


def run_drift():
    done = subprocess.run([f"{BIN}/bench_drift"], text=True, capture_output=True, check=False)
    print("drift of 1 ms with 200 us of work:", done.stdout.strip() or done.stderr.strip(), "\n")
    with open(os.path.join(RESULTS, "drift.txt"), "w", encoding="ascii") as file:
        file.write(done.stdout)


def words(variable):
    return (os.environ.get(variable) or "*").replace(",", " ").split()


def median_of(rows):
    """{case: {library: the median of each number}}, in the order of CASES."""
    medians = {case: {} for case in CASES}
    for case, of_case in medians.items():
        for library in CASES[case][5]:
            runs = [row for row in rows if (row["case"], row["library"]) == (case, library)]
            if not runs:
                continue
            of_case[library] = {n: statistics.median(float(run[n]) for run in runs) for n in NUMBERS}
            of_case[library]["rounds"] = len(runs)
            series = [[int(x) for x in run["series"].split(",")] for run in runs if run["series"]]
            if case == "stall":
                of_case[library]["series"] = series[0]
            elif series:
                of_case[library]["series"] = [statistics.median(s) for s in zip(*series)]
    return {case: of_case for case, of_case in medians.items() if of_case}


def add_ratios(of_case):
    peers = [m["cost"] for name, m in of_case.items()
             if not name.startswith("asynctimer") and name not in ("bare", "sleep") and m["cost"] > 0]
    for m in of_case.values():
        m["to_best_peer"] = ratio(m["cost"], min(peers, default=0))
        m["to_bare"] = ratio(m["cost"], of_case.get("bare", {}).get("cost", 0))
        m["to_sdevent"] = ratio(m["cost"], of_case.get("sdevent_1us", {}).get("cost", 0))
        m["to_libuv"] = ratio(m["cost"], of_case.get("libuv", {}).get("cost", 0))


def ratio(x, to):
    return x / to if x and to else math.nan


def number(x, digits=0):
    return "-" if math.isnan(x) else f"{x:,.{digits}f}"


def table(head, lines):
    widths = [max(len(line[i]) for line in [head] + lines) for i in range(len(head))]
    for line in [head] + lines:
        print("  ".join(x.ljust(w) if i == 0 else x.rjust(w) for i, (x, w) in enumerate(zip(line, widths))))
    print()


def show_ticks(of_case, big):
    head = ["", "CPU ns/tick", "x best peer", "x sd 1us", "x bare", "observed", "wake-ups/s", "ticks", "skipped", "early",
            "extra", "p50 us", "p99 us", "max us"]
    lines = [[name, number(m["cost"]), number(m["to_best_peer"], 2), number(m["to_sdevent"], 2),
              number(m["to_bare"], 2), number(m["observed"])] + [number(m[n]) for n in NUMBERS[2:7]] +
             [number(m[n] / 1000, 1) for n in ("p50", "p99", "max")] +
             ([number(m["bytes"]), number(m["malloced"])] if big else []) for name, m in of_case.items()]
    table(head + (["bytes", "malloc'ed"] if big else []), lines)


def show_restart(of_case, _):
    table(["", "ns a pair", "x best peer", "x libuv"],
          [[name, number(m["cost"], 1), number(m["to_best_peer"], 2),
            number(m["to_libuv"], 2)]
           for name, m in of_case.items()])


def deviations(name, series):
    """How far each callback is behind the grid, in ms: behind the newest point for who arms by the grid, else
    the n-th callback behind the n-th point, of which the stall took two more."""
    if name in REPEATERS:
        return [at / 1e6 - (i + 2 * (i > STALL_AT)) * STALL_MS for i, at in enumerate(series)]
    return [(at / 1e6 + 0.5) % STALL_MS - 0.5 for at in series]


def show_stall(of_case, _):
    lines = []
    for name, m in of_case.items():
        series = m["series"]
        after = [(at - series[STALL_AT]) / STALL_MS / 1e6 for at in series[STALL_AT + 1:STALL_AT + 5]]
        off = deviations(name, series)
        lines.append([name, " ".join(f"{a:.2f}" for a in after)] +
                     [number(off[i], 2) for i in (0, STALL_AT, STALL_AT + 10, len(off) - 1)])
    table(["", "after 35 ms, intervals", "off grid ms: 1st", "500th", "510th", "last"], lines)


def report(rows):
    medians = median_of(rows)
    with open(os.path.join(RESULTS, "summary.tsv"), "w", encoding="ascii") as file:
        columns = NUMBERS + ["to_best_peer", "to_sdevent", "to_bare", "to_libuv", "rounds"]
        file.write("\t".join(["case", "library"] + columns) + "\n")
        for case, of_case in medians.items():
            add_ratios(of_case)
            for name, m in of_case.items():
                file.write("\t".join([case, name] + [f"{m[c]:.4g}" if c.startswith("to_") else f"{m[c]:.1f}"
                                                     for c in columns]) + "\n")
            rounds = min(m["rounds"] for m in of_case.values())
            print(f"{case} (median of {rounds} round{'s' * (rounds > 1)})")
            show = {"ticks": show_ticks, "stall": show_stall}.get(CASES[case][0], show_restart)
            show(of_case, CASES[case][1] >= 100000)
    if shutil.which("gnuplot"):
        plot(medians)
    else:
        print("no plots: gnuplot is not installed")


def gnuplot(name, size, script):
    """script: gnuplot's, where data blocks are defined too."""
    output = os.path.join(RESULTS, name + ".svg")
    start = f"set terminal svg size {size} font 'sans,12' background 'white'\nset output '{output}'\n" \
            "set grid lc '#dddddd'\nset key outside below reverse Left\n"
    subprocess.run(["gnuplot"], input=start + script, text=True, check=True)
    print("plot:", output)


def blocks(lines):
    """lines: [(name, [(x, y)])]. The data blocks and the plot command's arguments."""
    data, plots = "", []
    for i, (name, points) in enumerate(lines):
        data += f"$d{i} << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n"
        title = name.replace("_", " ")
        width = 3 if name.startswith("asynctimer") else 1.5
        look = f"lw {width} dt {1 + (name in DASHED)} lc rgb '{COLOURS[name.split('_')[0]]}'"
        plots.append(f"$d{i} using 1:2 with STYLE {look} title '{title}'")
    return data, "plot " + ", ".join(plots) + "\n"


def panels(name, titles, groups, setup, style):
    script = setup + f"set multiplot layout 1,{len(groups)}\n"
    for title, lines in zip(titles, groups):
        if lines:
            data, command = blocks(lines)
            script += data + f"set title '{title[0]}'\n{title[1]}\n" + command.replace("STYLE", style)
    gnuplot(name, f"{640 * len(groups)},520", script + "unset multiplot\n")


def cost_lines(medians, cases, libraries):
    lines = []
    for library in libraries:
        points = [(CASES[c][1], medians[c][library]["cost"]) for c in cases
                  if library in medians.get(c, {}) and medians[c][library]["cost"] > 0]
        if points:
            lines.append((library, points))
    return lines


def plot(medians):
    exact = cost_lines(medians, [f"exact_{n}x100" for n in (1, 100, 1000, 10000)], EXACT)
    slack = cost_lines(medians, [f"slack_{n}_1" for n in ("10000x100", "100000x10", "1000000x1")], SLACK)
    if exact or slack:
        panels("cpu", [("exact, 100 Hz each", ""), ("slack 1 ms, a million ticks a second in all", "")],
               [exact, slack], "set logscale xy\nset xlabel 'timers'\nset ylabel 'CPU ns per tick delivered'\n"
               "set format xy '%.0f'\n", "linespoints")
    for case in ("exact_1x1000", "exact_100x100", "exact_1000x100"):
        lines = [(name, [(max(ns, 1000) / 1000, i / (len(m["series"]) - 1)) for i, ns in enumerate(m["series"])])
                 for name, m in medians.get(case, {}).items() if m["delivered"]]
        if lines:
            _, timers, hz, *_ = CASES[case]
            panels("lateness_" + case, [(f"lateness against the grid, {timers} x {hz} Hz", "")], [lines],
                   "set logscale x\nset xlabel 'lateness, us'\nset ylabel 'share of the ticks'\n"
                   "set yrange [0:1]\n", "lines")
    if "stall" in medians:
        lines = [(name, list(enumerate(deviations(name, m["series"])))) for name, m in medians["stall"].items()]
        near = [(name, points[STALL_AT - 10:STALL_AT + 30]) for name, points in lines if name != "sleep"]
        lines = [(name, points[::10]) for name, points in lines]
        panels("drift", [("callback time against the ideal grid", "set yrange [*:*]"),
                         ("the same around the work of 35 ms", "set yrange [-10:30]")], [lines, near],
               "set xlabel 'callback (10 ms timer, 2 ms of work, once 35 ms)'\nset ylabel 'ms behind the grid'\n",
               "lines")


def main():
    os.makedirs(RESULTS, exist_ok=True)
    rows = []
    if os.path.exists(RAW):
        with open(RAW, newline="", encoding="ascii") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    if "--report" not in sys.argv:
        built = build()
        for case in CASES:
            if not any(fnmatch.fnmatch(case, pattern) for pattern in words("BENCH_CASES")):
                continue
            if case == "drift":
                run_drift()
                continue
            new = run_case(case, built)
            replaced = {(row["case"], row["library"]) for row in new}
            rows = [row for row in rows if (row["case"], row["library"]) not in replaced] + new
            with open(RAW, "w", newline="", encoding="ascii") as file:
                writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    report(rows)


main()
