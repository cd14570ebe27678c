#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make mutants: changes lib/*.c at random, one token or statement at a time, for the tests to find.

A change that does not compile, or compiles to the same code, counts for nothing. Every other
one must make a test fail, or stand in tests/attack/mutants with the reason why none can. The
same seed gives the same sample, but for lines of lib/ that are other ones.

All is built once, by make. For a mutant its file alone is compiled, and a program linked before it
runs, by the commands that make printed. A program is not run if it comes out as it was. Several
run at once: the quickest first, and those that have failed for mutants of the same file. The
first assertion that fails, or a test that makes no progress for long, ends all of them; it
counts if it does the same again, alone.
"""
import argparse
import collections
import ctypes
import glob
import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
SKIPPED = 77
BASELINE_LIMIT = 600  # seconds without progress
# A reason that begins so is of a mutant that tests kill, but not in every run.
ONLY_A_SET_CLOCK = "Only a set clock shows it"
ONLY_SANITIZERS = "Only a sanitizer shows it"
ONLY_BPFTRACE = "Only bpftrace shows it"  # which none of the tests that are run here starts
Mutant = collections.namedtuple("Mutant", "number file line key old new change")

OPERATORS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "&": "|", "|": "&", "<<": ">>", ">>": "<<",
    "+=": "-=", "-=": "+=", "|=": "&=", "&=": "|=",
}
# In this order: comments and texts first, so that nothing in them is taken for code.
TOKEN = re.compile(r"""
    (?P<skip>/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|^\#(?:[^\n]*\\\n)*[^\n]*|_Static_assert\(.*?\);)
  | (?P<condition>\b(?:if|while)\ \()
  | (?P<name>[A-Za-z_]\w*)
  | (?P<number>\d\w*)
  | (?P<step>\+\+|--)
  | (?P<operator>(?<=\ )(?:<<|>>|[<>=!+\-|&]=|&&|\|\||[<>+\-*/%&|])(?=[\ \n]))
  | (?P<not>!(?=[\w(]))
""", re.X | re.S | re.M)
# Of a line or more, indented, and neither a declaration nor a jump.
STATEMENT = re.compile(r"^(\t+)(?!return\b|goto\b|break\b|continue\b|case\b|default\b|else\b)"
                       r"([a-z_*(+\-][^;{}=\n]*?(?:\([^;{}]*\)|[\w\])]\ [-+|&]?=\ [^;{}]*|\+\+|--));$", re.M)
DECLARATION = re.compile(r"(?:(?:static|const|struct|enum|unsigned|volatile)\b|\w+ \**\w+(?:\[.*\])?(?:,| =|$))")
FUNCTION = re.compile(r"^[a-z].*?(\w+)\(", re.M)


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def end_of_parenthesis(text, at):
    depth = 0
    while True:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at
        at += 1


def changes_of_number(word):
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([uUlL]*)", word)
    if not match:
        return []
    value = int(match[1], 0)
    return [f"{n}{match[2]}" for n in ({0, value + 1} - {value} if value == 1 else {value + 1})]


def changes(text):
    """All of (start, end, replacement) that are made of the text of a file."""
    for match in TOKEN.finditer(text):
        word, kind = match[0], match.lastgroup
        if kind == "operator" and word in OPERATORS:
            yield match.start(), match.end(), OPERATORS[word]
        elif kind == "step":
            yield match.start(), match.end(), {"++": "--", "--": "++"}[word]
        elif kind == "not":
            yield match.start(), match.end(), ""
        elif kind == "number":
            for new in changes_of_number(word):
                yield match.start(), match.end(), new
        elif kind == "name" and word in ("true", "false"):
            yield match.start(), match.end(), "false" if word == "true" else "true"
        elif kind == "condition":
            end = end_of_parenthesis(text, match.end() - 1)
            for new in ("0",) if word.startswith("while") else ("0", "1"):
                yield match.end(), end, new
    for match in STATEMENT.finditer(text):
        if not DECLARATION.match(match[2]):
            yield match.start(2), match.end(2), ""


def one_line(text, first, count):
    return " ".join(" ".join(text.split("\n")[first:first + count]).split())


def all_mutants(source):
    number = 0
    keys = collections.Counter()
    for path in sorted(glob.glob(os.path.join(source, "lib", "*.c"))):
        name = "lib/" + os.path.basename(path)
        text = read(path)
        for start, end, new in sorted(changes(text)):
            changed = text[:start] + new + text[end:]
            line = text.count("\n", 0, start)
            lines = text.count("\n", start, end) + 1
            old_line, new_line = one_line(text, line, lines), one_line(changed, line, 1)
            key = f"{name}, {([''] + FUNCTION.findall(text, 0, start))[-1]}: {old_line} -> {new_line}"
            keys[key] += 1
            if keys[key] > 1:
                key += f" ({keys[key]})"
            yield Mutant(number, name, line + 1, key, old_line, new_line, (start, end, new))
            number += 1


def reasons_for(path):
    """The reason by key of tests/attack/mutants: its lines that are not indented, between empty ones."""
    paragraphs = read(path).split("\n====\n")[-1].strip("\n").split("\n\n")
    found = {}
    for lines in (paragraph.split("\n") for paragraph in paragraphs if paragraph.strip()):
        if len(lines) < 2 or lines[0].startswith(" "):
            sys.exit(f"{path}: no reason given: {lines[0]}")
        found[lines[0]] = " ".join(line.strip() for line in lines[1:])
    return found


def sampled(mutants, seed, count):
    """By a hash of each one's key: where lib/ is changed, those of other lines stay in the sample or out of it."""
    return sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())[:count]


def current_reasons(source, mutants):
    reasons = reasons_for(os.path.join(source, "tests", "attack", "mutants"))
    gone = reasons.keys() - {mutant.key for mutant in mutants}
    if gone:
        sys.exit("\n".join(f"tests/attack/mutants: no such mutant any more: {key}" for key in sorted(gone)))
    return reasons


def descendants(pid):
    parents = collections.defaultdict(list)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(read(f"/proc/{entry}/stat").rpartition(")")[2].split()[1])].append(int(entry))
        except OSError:
            pass
    todo, found = [pid], []
    while todo:
        children = parents[todo.pop()]
        todo += children
        found += children
    return found


def end_children():
    """This process is the reaper of what its children leave behind, in whatever process group."""
    while True:
        left = descendants(os.getpid())
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


class Commands:
    """What make printed: how each object, archive and program is made."""
    def __init__(self, build, log):
        self.objects, self.archives, self.programs = {}, collections.defaultdict(list), {}
        for line in log.split("\n"):
            command = re.sub(r"^libtool: (?:compile|link): |-MT \S+ -MD -MP -MF \S+ |&&\\$", "", line)
            if match := re.search(r" -o (\S+\.o)\b", command):
                self.objects[match[1]] = command
            elif match := re.match(r"ar cru? (\S+\.a) (.*)", command):
                for name in match[2].split():
                    self.archives[name].append(match[1])
            elif match := re.search(r" -o (\S+) ", command):
                self.programs[match[1]] = command
        self.made_of = collections.defaultdict(list)
        for path in glob.glob(os.path.join(build, "**", ".deps", "*.P*o"), recursive=True):
            name = re.sub(r"\.Pl?o$", ".o", os.path.relpath(path, build).replace(".deps/", ""))
            for source in set(re.findall(r"/(lib/\w+\.c)\b", read(path))):
                self.made_of[source].append(name)


def make_all(source, build, cflags, jobs, programs):
    """Returns what it printed: so it is told nothing of what the make above it was told."""
    os.mkdir(build)
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    for command in ([os.path.join(source, "configure"), "-q", "--disable-shared", "--disable-examples",
                     "--disable-tools", f"CFLAGS={cflags}"], ["make", "V=1", f"-j{jobs}"] + programs):
        done = subprocess.run(command, cwd=build, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            sys.exit(done.stdout)
    return done.stdout


def program_of(test):
    return "tests/attack/fuzz/replay" if test.endswith(".sh") else test


class Running:
    """A test that runs, or one case of it. Check writes a line per case as soon as it ends."""
    def __init__(self, worker, test, case=None):
        self.test, self.limit = test, worker.limits.get(test, BASELINE_LIMIT)
        self.lines = os.path.join(worker.build, test.replace("/", "-") + ".tap")
        self.began = self.grew = time.monotonic()
        self.gap, self.text = 0, ""
        write(self.lines, "")
        environment = dict(os.environ, srcdir=worker.source, ASAN_OPTIONS="detect_leaks=0", MALLOC_PERTURB_="165",
                           CK_TAP_LOG_FILE_NAME=self.lines, **({"CK_RUN_CASE": case} if case else {}))
        with open(os.path.join(worker.build, "log"), "w", encoding="ascii") as log:
            self.process = subprocess.Popen(
                ["sh", os.path.join(worker.source, test)] if test.endswith(".sh") else [test],
                cwd=worker.build, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def look(self):
        """None while it runs; then "" or how it failed."""
        status = self.process.poll()
        text, now = read(self.lines), time.monotonic()
        self.gap = max(self.gap, now - self.grew)
        if text != self.text or status is not None:
            self.text, self.grew = text, now
        if match := re.search(r"^not ok \d+ - [^:]*:([^:]*):", self.text, re.M):
            return match[1]
        if status is not None:
            return "" if status in (0, SKIPPED) else f"status {status}"
        return "hanging" if now - self.grew > self.limit else None

    def hung_case(self, cases):
        """Its name, by the order in which the cases of the test run."""
        at = self.text.count("\nok ") + self.text.startswith("ok ")
        return cases[at] if at < len(cases) else None


class Worker:
    def __init__(self, source, build, commands, arguments):
        self.source, self.build, self.commands, self.at_once = source, build, commands, arguments.at_once
        self.clock_tests = arguments.clock_tests.split()
        self.tests = arguments.tests + self.clock_tests
        self.took, self.limits, self.cases = {}, {}, {}
        self.code, self.kept, self.original = {}, {}, {}
        self.kills = collections.Counter()
        for test in self.tests:
            self.original[test] = self.program(test)
        os.mkdir(os.path.join(build, "mutant"))

    def run(self, command):
        return subprocess.run(command, cwd=self.build, shell=isinstance(command, str), check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def program(self, test):
        with open(os.path.join(self.build, program_of(test)), "rb") as file:
            return file.read()

    def optimised(self, name, text):
        """The code with test points; None if there is none, or it would be whatever the compiler likes."""
        path = os.path.join(self.build, "mutant", os.path.basename(name))
        write(path, text)
        if not self.run(["cc", "-O2", "-Werror=maybe-uninitialized", "-D_GNU_SOURCE", "-DASYNCTIMER_TEST_POINTS",
                         '-DPACKAGE_VERSION=""', f"-I{self.source}/include", f"-I{self.source}/lib",
                         "-c", "-o", "object.o", path]):
            return None
        with open(os.path.join(self.build, "object.o"), "rb") as file:
            return file.read()

    def compile(self, name, path):
        """Makes anew the objects of that file in lib/, of the text at path, and the archives they are in."""
        for made in self.commands.made_of[name]:
            self.keep(made)
            command = self.commands.objects[made].replace(f"{self.source}/{name}", path)
            if not self.run(command.replace(" -I. ", f" -I{os.path.dirname(path)} -I. ", 1)):
                return False
            for archive in self.commands.archives[made]:
                self.keep(archive)
                if not self.run(["ar", "r", archive, made]):
                    return False
        return True

    def keep(self, made):
        with open(os.path.join(self.build, made), "rb") as file:
            self.kept.setdefault(made, file.read())

    def restore(self):
        for made, content in self.kept.items():
            with open(os.path.join(self.build, made), "wb") as file:
                file.write(content)
        self.kept = {}

    def await_one(self, running):
        """The first that ends, and how."""
        while True:
            for one in running:
                how = one.look()
                if how is not None:
                    return one, how
            time.sleep(0.05)

    def fails_again(self, test, how, one):
        case = one.hung_case(self.cases[test]) if how == "hanging" else how if how in self.cases[test] else None
        again = Running(self, test, case)
        how = self.await_one([again])[1]
        end_children()
        return bool(how)

    def learn(self, ended):
        self.took[ended.test] = time.monotonic() - ended.began
        self.limits[ended.test] = 3 + 5 * ended.gap
        self.cases[ended.test] = re.findall(r"^ok \d+ - [^:]*:([^:]*):", ended.text, re.M)

    def measure(self):
        """Every test in the way it will be run, so what it took is what it takes."""
        todo, running, failed = list(self.tests), [], []
        while todo or running:
            while todo and len(running) < (1 if todo[0] in self.clock_tests else self.at_once):
                running.append(Running(self, todo.pop(0)))
            one, how = self.await_one(running)
            running.remove(one)
            if how:
                failed.append(one.test)
            else:
                self.learn(one)
        for test in failed:
            end_children()
            one, how = self.await_one([Running(self, test)])
            if how:
                print(f"left out, fails with no mutation: {test}, {how}", flush=True)
            else:
                self.learn(one)
        end_children()

    def in_order(self, name):
        """The tests: what sets the clock last, for it runs alone."""
        return sorted(self.took, key=lambda test: (test in self.clock_tests,
                                                   self.took[test] / (1 + self.kills[name, test])))

    def link(self, test):
        """Whether there is a program, and it differs."""
        if not self.run(self.commands.programs[program_of(test)]):
            return False
        return self.program(test) != self.original[test]

    def killed_by(self, name):
        todo, running, by_chance = self.in_order(name), [], ""
        while todo or running:
            while todo and len(running) < (1 if todo[0] in self.clock_tests else self.at_once):
                test = todo.pop(0)
                if self.link(test):
                    running.append(Running(self, test))
            if not running:
                break
            one, how = self.await_one(running)
            running.remove(one)
            if not how:
                continue
            end_children()
            if self.fails_again(one.test, how, one):
                self.kills[name, one.test] += 1
                return f"killed by {one.test}, {how}"
            by_chance = f", though {one.test} failed once: {how}"
            todo = [other.test for other in running] + todo
            running = []
        return f"SURVIVED{by_chance}"

    def verdict(self, mutant):
        text = read(os.path.join(self.source, mutant.file))
        start, end, new = mutant.change
        if mutant.file not in self.code:
            self.code[mutant.file] = self.optimised(mutant.file, text)
        code = self.optimised(mutant.file, text[:start] + new + text[end:])
        if code is None:
            return "does not compile"
        if code == self.code[mutant.file]:
            return "same code"
        path = os.path.join(self.build, "mutant", os.path.basename(mutant.file))
        try:
            return self.killed_by(mutant.file) if self.compile(mutant.file, path) else "does not compile"
        finally:
            end_children()
            self.restore()
            os.unlink(path)


def work(source, build, commands, arguments, todo, results):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    worker = Worker(source, build, commands, arguments)
    worker.measure()
    for mutant in iter(todo.get, None):
        began = time.monotonic()
        results.put((mutant, worker.verdict(mutant), time.monotonic() - began))


def run(source, build, arguments, sample):
    todo, results = multiprocessing.Queue(), multiprocessing.Queue()
    tests = arguments.tests + arguments.clock_tests.split()
    os.mkdir(build)
    builds = [os.path.join(build, str(i)) for i in range(arguments.jobs)]
    log = make_all(source, builds[0], arguments.cflags, arguments.jobs, sorted(set(map(program_of, tests))))
    for copy in builds[1:]:
        shutil.copytree(builds[0], copy, symlinks=True)
    commands = Commands(builds[0], log)
    workers = [multiprocessing.Process(target=work, args=(source, copy, commands, arguments, todo, results))
               for copy in builds]
    for mutant in sample + [None] * len(workers):
        todo.put(mutant)
    for worker in workers:
        worker.start()
    verdicts = {}
    while len(verdicts) < len(sample):
        try:
            mutant, verdict, took = results.get(timeout=1)
        except multiprocessing.queues.Empty:
            if any(worker.exitcode for worker in workers):
                sys.exit("a worker failed")
            continue
        verdicts[mutant] = verdict
        print(f"{mutant.number} {mutant.file}:{mutant.line}: {verdict} ({took:.1f} s)\n"
              f"    {mutant.old}\n    {mutant.new}", flush=True)
    return verdicts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="only that tests/attack/mutants is current")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once, each in a build of its own")
    parser.add_argument("--at-once", type=int, default=4, help="tests at once, for each: most of them wait")
    parser.add_argument("--cflags", default="-g -O1")
    parser.add_argument("--only", default="", help="numbers of mutants, in place of a sample")
    parser.add_argument("--clock-tests", default="", help="those that set the clock")
    parser.add_argument("source")
    parser.add_argument("build", nargs="?")
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args()
    source = os.path.abspath(arguments.source)
    mutants = list(all_mutants(source))
    reasons = current_reasons(source, mutants)
    if arguments.check:
        print(f"{len(reasons)} of {len(mutants)} mutants are explained")
        sys.exit(0)
    if arguments.only:
        sample = [mutants[int(number)] for number in arguments.only.split()]
    else:
        sample = sampled(mutants, arguments.seed, arguments.count)
    print(f"{len(sample)} of {len(mutants)} mutants, seed {arguments.seed}", flush=True)
    verdicts = run(source, os.path.abspath(arguments.build), arguments, sample)

    kinds = collections.Counter(re.split(" by |,", verdict)[0] for verdict in verdicts.values())
    survived = [m for m, verdict in verdicts.items() if verdict.startswith("SURVIVED")]
    unexplained = [m for m in survived if m.key not in reasons
                   or (arguments.clock_tests and reasons[m.key].startswith(ONLY_A_SET_CLOCK))
                   or ("-fsanitize" in arguments.cflags and reasons[m.key].startswith(ONLY_SANITIZERS))]
    wrong = [m for m, verdict in verdicts.items() if verdict.startswith("killed") and m.key in reasons
             and not reasons[m.key].startswith((ONLY_A_SET_CLOCK, ONLY_SANITIZERS, ONLY_BPFTRACE))]
    print(f"{kinds['killed']} killed, {kinds['SURVIVED']} survived, {kinds['same code']} the same code, "
          f"{kinds['does not compile']} did not compile; {len(unexplained)} that survived are not explained")
    for mutant in unexplained:
        print(f"not in tests/attack/mutants: {mutant.key}")
    for mutant in wrong:
        print(f"in tests/attack/mutants, but killed: {mutant.key}")
    table = os.environ.get("ASYNCTIMER_TABLE")
    if table:
        with open(table, "a", encoding="ascii") as file:
            file.write(f"mutants\tseed {arguments.seed}\t{len(sample)}\t{len(unexplained) + len(wrong)}\n")
    sys.exit(bool(unexplained or wrong))


main()
