#!/usr/bin/env python3
"""Runs the conformance cases with the plain Python client against the real daemon.

    run.py --daemon PATH [--client DIR] [--cases DIR] [--only TEXT]

README.md beside this file lays down the format of the cases, and what this needs of a client.
Python's standard library only. Ends with 0 if every case holds.
"""

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 10.0  # Seconds that an answer which is due may take on a busy machine.
DEFAULTS = {
    "begin": {
        "fingerprint": "none", "lease": 30000, "retention": 86400000, "policy": "takeover",
        "wait": 0, "result_hint": None, "checkpoint_hint": 0,
    },
    "complete": {"status": 200, "metadata": [], "body": "", "fingerprint": None},
    "renew": {"lease": 30000, "fingerprint": None},
    "get": {"wait": 0},
    "resolve": {"status": 200, "metadata": [], "body": "", "fingerprint": None},
    "list": {"state": None, "older_than": None, "entries_max": 100},
}
FLAGS = {  # The daemon's, for the limits that cases set.
    "memory_bytes": "--memory", "waiters_per_key_max": "--waiters-per-key-max", "waiters_max": "--waiters-max",
}


class Fault(Exception):
    """A step that did not go as the case says."""


def read_cases(folder):
    """Every case of every file, each with its steps."""
    cases = []
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if "case" in row:
                cases.append({**row, "place": f"{path.name}:{number}", "steps": []})
            else:
                cases[-1]["steps"].append((number, row))
    return cases


def octets(value):
    if isinstance(value, str):
        return value.encode()
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return (value["repeat"] * value["count"]).encode()


def padded(label, size):
    return label.encode("ascii").ljust(size, b"\0")


def digest(value):
    return padded(value, 32) if isinstance(value, str) else octets(value)


class Daemon:
    """One daemon on ports of its own, with a clock that moves by hand."""

    def __init__(self, path, folder, config):
        flags = [text for name, value in config.items() for text in (FLAGS[name], str(value))]
        self.unix = str(pathlib.Path(folder) / "s")
        self.process = subprocess.Popen(
            [path, "serve", "--test-clock", "--listen", "127.0.0.1:0", "--unix", self.unix, *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        started = json.loads(self._line())
        host, port = next(at for at in started["listening"] if not at.startswith("unix:")).rsplit(":", 1)
        self.tcp = (host, int(port))

    def _line(self):
        """The daemon's next line; a daemon that says nothing is ended."""
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            raise Fault(f"the daemon ended ({self.process.wait()}) or said nothing in {PATIENCE} s")
        return line

    def advance(self, ms):
        self.process.stdin.write(f"advance {ms}\n")
        self.process.stdin.flush()
        line = self._line()
        if not line.startswith("now "):
            raise Fault(f"expected `now MS` from the daemon, got {line!r}")

    def shut_down(self):
        """Ends it in good order (S17); a daemon that does not end is ended, and reported."""
        self.process.stdin.close()
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        status = self.process.wait()
        timer.cancel()
        self.process.stdout.close()
        if status != 0:
            raise Fault(f"the daemon ended with {status}, not 0, after its standard input")


class Course:
    """The way through one case."""

    def __init__(self, module, daemon, address):
        self.module, self.daemon = module, daemon
        self.client = module.Client(address, "default")
        self.tokens = {}  # label: (fence, attempt id)
        self.pending = {}  # name: (handle, label of its attempt)

    def take(self, step):
        step = dict(step)
        if "advance" in step:
            self.daemon.advance(step["advance"])
        elif "shutdown" in step:
            self.daemon.shut_down()
        elif "answered" in step:
            handle, label = self.pending.pop(step["answered"])
            try:
                answer = self.tell(lambda: handle.result(PATIENCE))
            except TimeoutError:
                raise Fault(f"`{step['answered']}` still waits") from None
            self.judge(answer, step["expect"], label)
        elif "unanswered" in step:
            self.still_waits(step["unanswered"])
        elif "race" in step:
            self.race(step)
        else:
            expect, name = step.pop("expect", None), step.pop("pending", None)
            operation, label = step.pop("do"), step.get("attempt")
            if name is not None:
                self.send(name, operation, step, label)
            elif operation == "list":
                self.judge(self.tell(lambda: self.list(step)), expect, None)
            else:
                self.judge(self.tell(lambda: self.call(operation, step)), expect, label)

    def arguments(self, operation, step):
        """The client's arguments for a step's."""
        given = {**DEFAULTS.get(operation, {}), **step}
        if operation in ("stats", "ping"):
            return [], given
        identity = [octets(given.pop("scope", "")), octets(given.pop("key", "k"))]
        if operation == "begin":
            given["attempt"] = padded(given["attempt"], 16)
            asked = given["fingerprint"]
            given["fingerprint"] = None if asked == "none" else asked if asked == "later" else digest(asked)
            return identity, given
        if "token" in given:
            fence, attempt = self.token(given.pop("token"))
            forged = given.get("attempt")
            given["attempt"] = attempt if forged is None else padded(forged, 16)
            given.setdefault("fence", fence)
        if "fence" in given:
            given["fence"] = self.fence(given["fence"])
        if given.get("fingerprint") is not None:
            given["fingerprint"] = digest(given["fingerprint"])
        if "metadata" in given:
            given["metadata"] = [(octets(name), octets(value)) for name, value in given["metadata"]]
        if "body" in given:
            given["body"] = None if given.pop("declined", False) else octets(given["body"])
        if "bytes" in given:
            given["bytes"] = octets(given["bytes"])
        return identity, given

    def token(self, label):
        if label not in self.tokens:
            raise Fault(f"no token `{label}` yet")
        return self.tokens[label]

    def fence(self, written):
        if isinstance(written, int):
            return written
        label, offset = re.fullmatch(r"([^+-]+)([+-]\d+)?", written).groups()
        return self.token(label)[0] + int(offset or 0)

    def call(self, operation, step):
        identity, given = self.arguments(operation, step)
        return getattr(self.client, operation)(*identity, **given)

    def list(self, step):
        """Follows the pages to the last."""
        given, cursor, entries = {**DEFAULTS["list"], **step}, 0, []
        while cursor is not None:
            page = self.client.list(cursor=cursor, **given)
            entries += page["entries"]
            cursor = page["next"]
        return {"entries": entries}

    def tell(self, ask):
        """What the client answers, be it an outcome or an error."""
        try:
            return ask()
        except self.module.Error as error:
            return {"error": error.code, "field": error.field}

    def judge(self, answer, expect, label):
        """Compares first: a step's `>A` means the token from before its own answer."""
        wanted = {"outcome": expect} if isinstance(expect, str) else expect
        self.compare(answer, wanted)
        if answer.get("outcome") == "acquired" and label is not None:
            if answer["attempt_id"] != padded(label, 16):
                raise Fault("acquired for another attempt id")
            self.tokens[label] = (answer["fence"], answer["attempt_id"])

    def compare(self, answer, wanted):
        for name, value in wanted.items():
            if name not in answer:
                raise Fault(f"no `{name}` in {short(answer)}")
            if not self.equal(name, answer[name], value):
                raise Fault(f"`{name}`: expected {short(value)}, got {short(answer[name])}\n  answer: {short(answer)}")

    def equal(self, name, got, wanted):
        if name == "fence" and isinstance(wanted, str):
            if wanted.startswith(">"):
                return got > self.token(wanted[1:])[0]
            return got == self.token(wanted)[0]
        if isinstance(got, list) and name == "entries":
            return self.entries_equal(got, wanted)
        if isinstance(got, bytes):
            return wanted is not None and got == octets(wanted)
        if name == "metadata":
            return [tuple(pair) for pair in got] == [(octets(n), octets(v)) for n, v in wanted]
        return got == wanted

    def entries_equal(self, got, wanted):
        """Order means nothing; scope and key say which entry is which."""
        if len(got) != len(wanted):
            return False
        for entry in wanted:
            same = [
                have for have in got
                if all(name not in entry or have[name] == octets(entry[name]) for name in ("scope", "key"))
            ]
            if not same:
                return False
            self.compare(same[0], entry)
        return True

    def waiters(self):
        return self.client.stats()["waiters"]

    def send(self, name, operation, step, label):
        """Sends an operation that must wait, and sees it registered."""
        before = self.waiters()
        identity, given = self.arguments(operation, step)
        handle = getattr(self.client, "send_" + operation)(*identity, **given)
        deadline = time.monotonic() + PATIENCE
        while self.waiters() != before + 1:
            if finished(handle, self.module):
                raise Fault(f"`{name}` must wait, and was answered")
            if time.monotonic() > deadline:
                raise Fault(f"`{name}` was neither answered nor counted as waiting")
        self.pending[name] = (handle, label)

    def still_waits(self, name):
        """Once the waiters counted are the unfinished, whatever was answered has arrived."""
        deadline = time.monotonic() + PATIENCE
        while True:
            unfinished = sum(not finished(handle, self.module) for handle, _ in self.pending.values())
            waiters = self.waiters()
            if finished(self.pending[name][0], self.module):
                raise Fault(f"`{name}` was answered, and must still wait")
            if waiters == unfinished:
                return
            if time.monotonic() > deadline:
                raise Fault(f"{waiters} waiters counted while {unfinished} wait")

    def race(self, step):
        callers, expect = step.pop("race"), step.pop("expect")
        operation, handles = step.pop("do"), []
        for caller in range(callers):
            identity, given = self.arguments(operation, {**step, "attempt": f"race-{caller}"})
            handles.append(self.client.send_begin(*identity, **given))
        counts = {}
        for handle in handles:
            answer = self.tell(lambda: handle.result(PATIENCE))
            word = answer.get("outcome", answer.get("error"))
            counts[word] = counts.get(word, 0) + 1
        if counts != expect:
            raise Fault(f"expected {expect}, got {counts}")


def finished(handle, module):
    try:
        handle.result(0)
    except TimeoutError:
        return False
    except module.Error:
        pass
    return True


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


def run(case, module, daemon_path, transport):
    """None if the case holds, else what went wrong and where."""
    with tempfile.TemporaryDirectory(prefix="ow") as folder, contextlib.ExitStack() as ends:
        at = "start"
        try:
            daemon = Daemon(daemon_path, folder, case.get("config", {}))
            ends.callback(daemon.process.kill)
            course = Course(module, daemon, daemon.tcp if transport == "tcp" else daemon.unix)
            ends.callback(course.client.close)
            for number, (line, step) in enumerate(case["steps"], 1):
                at = f"step {number} (line {line})"
                course.take(step)
            at = "end"
            daemon.shut_down()
        except Exception as fault:  # A client under test may raise anything; the next case runs.
            kind = "" if isinstance(fault, Fault) else type(fault).__name__ + ": "
            return f"{case['place']}: {case['case']} {case['rules']}\n  {transport}, {at}: {kind}{fault}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", required=True, help="the `onceward` binary")
    parser.add_argument("--client", default=str(HERE), help="folder that holds onceward.py")
    parser.add_argument("--cases", default=str(HERE / "cases"), help="folder that holds the cases")
    parser.add_argument("--only", default="", help="cases whose place or name holds this text")
    options = parser.parse_args()
    sys.path.insert(0, options.client)
    module = __import__("onceward")
    cases = [case for case in read_cases(options.cases) if options.only in f"{case['place']} {case['case']}"]
    runs = [(case, transport) for transport in ("tcp", "unix") for case in cases]
    failures = [run(case, module, options.daemon, transport) for case, transport in runs]
    failed = [failure for failure in failures if failure]
    for failure in failed:
        print(failure)
    print(f"{len(cases)} cases, each over TCP and over a Unix socket: {len(failed)} fail")
    sys.exit(1 if failed or not runs else 0)


if __name__ == "__main__":
    main()
