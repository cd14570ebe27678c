# SPDX-License-Identifier: MIT
"""The drawings, by gnuplot."""
import os
import subprocess

from cases import CASES, EXACT, MACHINE, RESULTS, SLACK, STALL_AT

COLOURS = {"asynctimer": "#d7191c", "bare": "#000000", "nanosleep": "#999999", "sleep": "#999999", "libev": "#2b7bba",
           "libuv": "#ff9900", "libevent": "#1a9641", "sdevent": "#8e44ad", "glib": "#8c564b",
           "asynctimer_shared_before": "#f4a6a7", "asynctimer_shared+sdevent": "#e377c2",
           "asynctimer_shared_before+sdevent": "#f7c6e0"}
DASHED = ("asynctimer_own", "libev_periodic", "libuv_repeat", "libevent_precise", "sdevent_1us", "glib_timeout",
          "asynctimer_shared_spin")
# What to see.
CPU = "The lower, the cheaper: the more ticks share a wake-up, the less each of them costs."
LATENESS = "The further left a line, the more punctual: who spins (thick, dashed) begins when a tick is due, " \
           "and not when the kernel has woken it."
WAKEUPS = "The lower, the longer the machine sleeps: processes that agree on when to wake up share these moments."
DRIFT = "A line that stays at 0 keeps its schedule, also after the one callback that was too long."


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
        colour = COLOURS.get(name) or COLOURS[name.split("_")[0]]
        look = f"lw {width} dt {1 + (name in DASHED)} lc rgb '{colour}'"
        plots.append(f"$d{i} using 1:2 with STYLE {look} title '{title}'")
    return data, "plot " + ", ".join(plots) + "\n"


def panels(name, sentence, titles, groups, setup, style):
    """One drawing: side by side a panel for each group of lines."""
    script = setup + f"set multiplot layout 1,{len(groups)} title '{sentence}'\n"
    for title, lines in zip(titles, groups):
        if lines:
            data, command = blocks(lines)
            script += data + f"set title '{title[0]}'\n{title[1]}\n" + command.replace("STYLE", style)
    gnuplot(name, f"{640 * len(groups)},520", script + "unset multiplot\n")


def cost_lines(medians, cases, libraries):
    lines = []
    for library in libraries:
        points = [(CASES[c].timers, medians[c][library]["cost"]) for c in cases
                  if library in medians.get(c, {}) and medians[c][library]["cost"] > 0]
        if points:
            lines.append((library, points))
    return lines


def plot_cost(medians):
    exact = cost_lines(medians, [f"exact_{n}x100" for n in (1, 100, 1000, 10000)], EXACT)
    slack = cost_lines(medians, [f"slack_{n}_1" for n in ("10000x100", "100000x10", "1000000x1")], SLACK)
    if exact or slack:
        panels("cpu", CPU, [("exact, 100 Hz each", ""), ("slack 1 ms, a million ticks a second in all", "")],
               [exact, slack], "set logscale xy\nset xlabel 'timers'\nset ylabel 'CPU ns per tick delivered'\n"
               "set format xy '%.0f'\n", "linespoints")


def plot_lateness(medians):
    """The share of the ticks by their lateness."""
    groups, titles = [], []
    for case in [c for c in medians if CASES[c].work == "spin"]:
        groups.append([(name, [(max(ns, 10) / 1000, i / (len(m["series"]) - 1)) for i, ns in enumerate(m["series"])])
                       for name, m in medians[case].items() if m["delivered"]])
        titles.append((f"{CASES[case].timers} x {CASES[case].hz} Hz", ""))
    if groups:
        panels("lateness", LATENESS, titles, groups,
               "set logscale x\nset xlabel 'lateness, us'\nset ylabel 'share of the ticks'\nset yrange [0:1]\n",
               "lines")


def plot_wakeups(medians):
    """Bars: a group for each case, in it one for each library."""
    cases = [c for c in medians if CASES[c].work == "machine"]
    if not cases:
        return
    wide = 0.8 / len(MACHINE)
    groups = [[(name, [(i + wide * j, medians[case][name][what] / unit) for i, case in enumerate(cases)
                       if name in medians[case]])
               for j, name in enumerate(MACHINE) if any(name in medians[case] for case in cases)]
              for what, unit in (("moments", 1), ("cost", 1000))]
    names = [c.removeprefix("machine_").replace("_", ", ") for c in cases]
    ticks = ", ".join(f"'{name}' {i + 0.4 - wide / 2}" for i, name in enumerate(names))
    panels("wakeups", WAKEUPS, [("moments per second at which any of the processes wakes up", "set yrange [0.5:*]"),
                                ("CPU us per tick", "set yrange [0.5:*]")], groups,
           f"set logscale y\nset boxwidth {wide}\nset style fill solid\nset xtics ({ticks})\n"
           "set xlabel 'processes x timers of 1 s, slack'\n", "boxes")


def plot_drift(medians):
    if "stall" not in medians:
        return
    lines = [(name, list(enumerate(m["deviations"]))) for name, m in medians["stall"].items()]
    near = [(name, points[STALL_AT - 10:STALL_AT + 30]) for name, points in lines if name != "sleep"]
    lines = [(name, points[::10]) for name, points in lines]
    panels("drift", DRIFT, [("callback time against the ideal grid", "set yrange [*:*]"),
                            ("the same around the work of 35 ms", "set yrange [-10:30]")], [lines, near],
           "set xlabel 'callback (10 ms timer, 2 ms of work, once 35 ms)'\nset ylabel 'ms behind the grid'\n",
           "lines")


def plot(medians):
    plot_cost(medians)
    plot_lateness(medians)
    plot_wakeups(medians)
    plot_drift(medians)
