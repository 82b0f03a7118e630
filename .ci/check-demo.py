"""Holds one report of `onceward demo --json` against what the demo promises: check-demo.py FILE INTENTS."""

import json
import sys


def faults(report, intents):
    rules = [
        ("intents", lambda n: n == intents, f"is the {intents} asked for"),
        ("attempts", lambda n: n > intents, "is above the intents: callers retried"),
        ("executions", lambda n: n >= intents, "covers every intent"),
        ("duplicates_without", lambda n: n > 0, "is above 0: the faults do bite"),
        ("duplicates_with", lambda n: n == 0, "is 0"),
        ("replays", lambda n: n > 0, "is above 0"),
        ("replays_differing", lambda n: n == 0, "is 0"),
        ("mismatches", lambda n: n > 0, "is above 0: some keys were reused for another payload"),
        ("takeovers", lambda n: n > 0, "is above 0: owners were killed before their side effect"),
        ("in_doubt_resolved", lambda n: n > 0, "is above 0: owners were killed around theirs"),
    ]
    for name, holds, want in rules:
        got = report.get(name)
        if not isinstance(got, int) or isinstance(got, bool) or not holds(got):
            yield f"{name} is {got!r}; expected that it {want}"


def main():
    path, intents = sys.argv[1], int(sys.argv[2])
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    print(json.dumps(report, sort_keys=True))
    found = list(faults(report, intents))
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


main()
