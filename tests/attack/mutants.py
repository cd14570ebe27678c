#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make mutants: changes lib/*.c at random, one token or statement at a time, for the tests to find.

A change that does not compile, or compiles to the same code, counts for nothing. Every other
one must make a test fail, or stand in tests/attack/mutants with the reason why none can. The
quickest tests go first; a test that takes several times as long as it did without a change has
failed, too. The same seed gives the same sample, as long as lib/ is the same.
"""
import argparse
import collections
import ctypes
import glob
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
CFLAGS = "-g -O1 -fsanitize=address"
SKIPPED = 77
Mutant = collections.namedtuple("Mutant", "number file line key old new text")  # text: of the whole file

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
        with open(path, encoding="ascii") as file:
            text = file.read()
        for start, end, new in sorted(changes(text)):
            changed = text[:start] + new + text[end:]
            line = text.count("\n", 0, start)
            lines = text.count("\n", start, end) + 1
            old_line, new_line = one_line(text, line, lines), one_line(changed, line, 1)
            key = f"{name}, {([''] + FUNCTION.findall(text, 0, start))[-1]}: {old_line} -> {new_line}"
            keys[key] += 1
            if keys[key] > 1:
                key += f" ({keys[key]})"
            yield Mutant(number, name, line + 1, key, old_line, new_line, changed)
            number += 1


def explained(path):
    """The keys of tests/attack/mutants: its lines that are not indented, between empty ones."""
    with open(path, encoding="ascii") as file:
        paragraphs = file.read().split("\n====\n")[-1].strip("\n").split("\n\n")
    found = set()
    for lines in (paragraph.split("\n") for paragraph in paragraphs if paragraph.strip()):
        if len(lines) < 2 or lines[0].startswith(" "):
            sys.exit(f"{path}: no reason given: {lines[0]}")
        found.add(lines[0])
    return found


def descendants(pid):
    parents = collections.defaultdict(list)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                parents[int(file.read().rpartition(")")[2].split()[1])].append(int(entry))
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


class Worker:
    def __init__(self, source, folder, tests, clock_lock):
        self.source = os.path.join(folder, "source")
        self.build = os.path.join(folder, "build")
        self.tests = tests
        self.clock_lock = clock_lock
        self.took = {}
        self.objects = {}
        shutil.copytree(source, self.source)
        os.mkdir(self.build)
        self.must([os.path.join(self.source, "configure"), "-q", "--disable-shared", f"CFLAGS={CFLAGS}"])

    def must(self, command):
        done = subprocess.run(command, cwd=self.build, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            sys.exit(done.stdout)

    def write(self, name, text):
        with open(os.path.join(self.source, name), "w", encoding="ascii") as file:
            file.write(text)

    def read(self, name):
        with open(os.path.join(self.source, name), encoding="ascii") as file:
            return file.read()

    def object_of(self, name):
        """The optimised code, with test points; None if there is none."""
        done = subprocess.run(["cc", "-O2", "-w", "-D_GNU_SOURCE", "-DASYNCTIMER_TEST_POINTS",
                               '-DPACKAGE_VERSION=""', f"-I{self.source}/include", f"-I{self.source}/lib",
                               "-c", "-o", "object.o", os.path.join(self.source, name)],
                              cwd=self.build, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            return None
        with open(os.path.join(self.build, "object.o"), "rb") as file:
            return file.read()

    def make(self, test):
        targets = ["lib/libasynctimer.la", "tests/attack/fuzz/replay"] if test.endswith(".sh") else [test]
        return subprocess.run(["make", "-s"] + targets, cwd=self.build, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def passes(self, test):
        """Whether it does, within its time; and how it does not."""
        command = ["sh", os.path.join(self.source, test)] if test.endswith(".sh") else [test]
        limit = 10 + 5 * self.took[test] if test in self.took else 600
        environment = dict(os.environ, srcdir=self.source, ASAN_OPTIONS="detect_leaks=0")
        lock = self.clock_lock if "clock" in test else None
        if lock:
            lock.acquire()
        try:
            with open(os.path.join(self.build, "log"), "w", encoding="ascii") as log:
                status = subprocess.run(command, cwd=self.build, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, timeout=limit, check=False).returncode
        except subprocess.TimeoutExpired:
            return f"{test}, by hanging"
        finally:
            end_children()
            if lock:
                lock.release()
        return None if status in (0, SKIPPED) else test

    def measure(self):
        for test in self.tests:
            if not self.make(test):
                sys.exit(f"{test}: does not build")
            began = time.monotonic()
            failed = self.passes(test)
            if failed:
                print(f"left out, fails with no mutation: {failed}", flush=True)
                continue
            self.took[test] = time.monotonic() - began
        self.tests = sorted(self.took, key=self.took.get)

    def verdict(self, mutant):
        original = self.read(mutant.file)
        if mutant.file not in self.objects:
            self.objects[mutant.file] = self.object_of(mutant.file)
        try:
            self.write(mutant.file, mutant.text)
            code = self.object_of(mutant.file)
            if code is None:
                return "does not compile"
            if code == self.objects[mutant.file]:
                return "same code"
            for test in self.tests:
                if not self.make(test):
                    return "does not compile"
                failed = self.passes(test)
                if failed:
                    return f"killed by {failed}"
            return "SURVIVED"
        finally:
            self.write(mutant.file, original)


def work(source, folder, tests, clock_lock, todo, results):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.mkdir(folder)
    worker = Worker(source, folder, tests, clock_lock)
    worker.measure()
    for mutant in iter(todo.get, None):
        results.put((mutant, worker.verdict(mutant)))


def run(source, build, arguments, sample):
    todo, results = multiprocessing.Queue(), multiprocessing.Queue()
    clock_lock = multiprocessing.Lock()
    workers = [multiprocessing.Process(target=work, args=(source, os.path.join(build, str(i)), arguments.tests,
                                                          clock_lock, todo, results))
               for i in range(arguments.jobs)]
    for mutant in sample + [None] * len(workers):
        todo.put(mutant)
    for worker in workers:
        worker.start()
    verdicts = {}
    while len(verdicts) < len(sample):
        try:
            mutant, verdict = results.get(timeout=1)
        except multiprocessing.queues.Empty:
            if any(worker.exitcode for worker in workers):
                sys.exit("a worker failed")
            continue
        verdicts[mutant] = verdict
        print(f"{mutant.number} {mutant.file}:{mutant.line}: {verdict}\n    {mutant.old}\n    {mutant.new}",
              flush=True)
    return verdicts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="numbers of mutants, in place of a sample")
    parser.add_argument("source")
    parser.add_argument("build")
    parser.add_argument("tests", nargs="+")
    arguments = parser.parse_args()
    source, build = os.path.abspath(arguments.source), os.path.abspath(arguments.build)
    mutants = list(all_mutants(source))
    reasons = explained(os.path.join(source, "tests", "attack", "mutants"))
    for key in reasons - {mutant.key for mutant in mutants}:
        sys.exit(f"tests/attack/mutants: no such mutant any more: {key}")
    if arguments.only:
        sample = [mutants[int(number)] for number in arguments.only.split()]
    else:
        sample = random.Random(arguments.seed).sample(mutants, min(arguments.count, len(mutants)))
    print(f"{len(sample)} of {len(mutants)} mutants, seed {arguments.seed}", flush=True)
    os.makedirs(build)
    verdicts = run(source, build, arguments, sample)

    kinds = collections.Counter(verdict.split(" by ")[0] for verdict in verdicts.values())
    unexplained = [m for m, verdict in verdicts.items() if verdict == "SURVIVED" and m.key not in reasons]
    wrong = [m for m, verdict in verdicts.items() if verdict.startswith("killed") and m.key in reasons]
    print(f"{kinds['killed']} killed, {kinds['SURVIVED']} survived, {kinds['same code']} the same code, "
          f"{kinds['does not compile']} did not compile")
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
