# SPDX-License-Identifier: MIT
"""Medians of the rounds, ratios between libraries, and a table per case."""
import math
import os
import shutil
import statistics

from cases import CASES, NUMBERS, REPEATERS, RESULTS, STALL_AT, STALL_MS
from plot import plot


def median_of(rows):
    """{case: {library: the median of each number}}, in the order of CASES."""
    medians = {case: {} for case in CASES}
    for case, of_case in medians.items():
        for library in CASES[case].libraries:
            runs = [row for row in rows if (row["case"], row["library"]) == (case, library)]
            if not runs:
                continue
            of_case[library] = {n: statistics.median(float(run.get(n) or 0) for run in runs) for n in NUMBERS}
            of_case[library]["rounds"] = len(runs)
            series = [[int(x) for x in run["series"].split(",")] for run in runs if run.get("series")]
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


def show_ticks(case, of_case):
    head = ["", "CPU ns/tick", "x best peer", "x sd 1us", "x bare", "observed", "wake-ups/s", "ticks", "skipped",
            "early", "extra", "p50 us", "p90 us", "p99 us", "max us"]
    more = ["bytes", "malloced"] if case.timers >= 100000 else []
    more += ["instructions"] if any(m["instructions"] for m in of_case.values()) else []
    lines = []
    for name, m in of_case.items():
        lines.append([name, number(m["cost"] or math.nan)] +
                     [number(m[n], 2) for n in ("to_best_peer", "to_sdevent", "to_bare")] +
                     [number(m[n]) for n in ("observed", "wakeups", "delivered", "skipped", "early", "extra")] +
                     [number(m[n] / 1000, 1) for n in ("p50", "p90", "p99", "max")] +
                     [number(m[n] or math.nan) for n in more])
    table(head + more, lines)


def show_coalesce(_, of_case):
    table(["", "CPU ns/tick", "wake-ups/s", "least", "x least", "ticks", "skipped", "early", "p50 us", "max us"],
          [[name, number(m["cost"]), number(m["wakeups"], 1), number(m["least"], 1),
            number(ratio(m["wakeups"], m["least"]), 2)] +
           [number(m[n]) for n in ("delivered", "skipped", "early")] +
           [number(m[n] / 1000, 1) for n in ("p50", "max")] for name, m in of_case.items()])


def show_machine(_, of_case):
    before = of_case.get("asynctimer_shared_before", {}).get("cost", 0)
    table(["", "moments/s", "wake-ups/s", "CPU ns/tick", "x before", "ticks"],
          [[name, number(m["moments"], 1), number(m["wakeups"], 1), number(m["cost"]),
            number(ratio(m["cost"], before), 2), number(m["delivered"])] for name, m in of_case.items()])


def show_spin(_, of_case):
    without = of_case.get("asynctimer_shared", {"cost": 0, "p99": 0})
    table(["", "p50 us", "p90 us", "p99 us", "x without", "max us", "CPU ns/tick", "x without", "ticks", "skipped",
           "early"],
          [[name] + [number(m[n] / 1000, 2) for n in ("p50", "p90", "p99")] +
           [number(ratio(m["p99"], without["p99"]), 2), number(m["max"] / 1000, 1), number(m["cost"]),
            number(ratio(m["cost"], without["cost"]), 2)] +
           [number(m[n]) for n in ("delivered", "skipped", "early")] for name, m in of_case.items()])


def show_rt(_, of_case):
    table(["", "ticks", "skipped", "early", "p50 us", "p99 us", "worst us"],
          [[name] + [number(m[n]) for n in ("delivered", "skipped", "early")] +
           [number(m[n] / 1000, 1) for n in ("p50", "p99", "waited")] for name, m in of_case.items()])


def show_restart(_, of_case):
    table(["", "CPU ns", "x best peer", "x libuv"],
          [[name, number(m["cost"], 1), number(m["to_best_peer"], 2), number(m["to_libuv"], 2)]
           for name, m in of_case.items()])


def show_idle(_, of_case):
    table(["", "CPU ns", "x best peer", "x libuv", "restarts"],
          [[name, number(m["cost"], 1), number(m["to_best_peer"], 2), number(m["to_libuv"], 2),
            number(m["delivered"])] for name, m in of_case.items()])


def deviations(name, series):
    """How far each callback is behind the grid, in ms: behind the newest point for who arms by the grid, else
    the n-th callback behind the n-th point, of which the stall took two more."""
    if name in REPEATERS:
        return [at / 1e6 - (i + 2 * (i > STALL_AT)) * STALL_MS for i, at in enumerate(series)]
    return [(at / 1e6 + 0.5) % STALL_MS - 0.5 for at in series]


def show_stall(_, of_case):
    lines = []
    for name, m in of_case.items():
        series = m["series"]
        after = [(at - series[STALL_AT]) / STALL_MS / 1e6 for at in series[STALL_AT + 1:STALL_AT + 5]]
        off = m["deviations"] = deviations(name, series)
        lines.append([name, " ".join(f"{a:.2f}" for a in after)] +
                     [number(off[i], 2) for i in (0, STALL_AT, STALL_AT + 10, len(off) - 1)])
    table(["", "after 35 ms, intervals", "off grid ms: 1st", "500th", "510th", "last"], lines)


SHOW = {"ticks": show_ticks, "coalesce": show_coalesce, "machine": show_machine, "spin": show_spin, "rt": show_rt,
        "stall": show_stall, "restart_one": show_restart, "restart_any": show_restart, "again_one": show_restart,
        "again_any": show_restart, "idle": show_idle}


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
            SHOW[CASES[case].work](CASES[case], of_case)
    if shutil.which("gnuplot"):
        plot(medians)
    else:
        print("no plots: gnuplot is not installed")
