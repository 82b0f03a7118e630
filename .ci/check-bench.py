"""Holds what `onceward bench --json` measured to the counters that its load must have.

    check-bench.py OPERATIONS CROWD <document

OPERATIONS of each run, and how many of a crowd wait in mix waiters. No timing is looked at.
"""

import json
import sys

WRONG = ("errors", "executed_twice", "not_executed", "wrong_replays")


def expected(mix, operations, crowd, counters):
    first = {"acquired": operations, "completed": operations}
    if mix == "mixed":
        replays = counters["replayed"]
        fresh = operations - replays
        return {"acquired": fresh, "completed": fresh, "replayed": replays}
    if mix == "waiters":
        return {**first, "waited": operations * crowd, "in_progress": counters["in_progress"]}
    return {
        "first": first,
        "replay": {"replayed": operations},
        "conflict": {"in_progress": operations},
        "mismatch": {"mismatched": operations},
    }[mix]


def main():
    operations, crowd = map(int, sys.argv[1:])
    document = json.load(sys.stdin)
    mixes = [series["load"]["mix"] for series in document["series"]]
    assert len(set(mixes)) == 6, mixes
    for series in document["series"]:
        mix = series["load"]["mix"]
        for run in series["runs"]:
            counters = run["counters"]
            where = f"{series['target']['address']} {mix}: {counters}"
            assert run["failure"] is None, f"{where}: {run['failure']}"
            assert not any(counters[name] for name in WRONG), where
            want = expected(mix, operations, crowd, counters)
            assert {name: n for name, n in counters.items() if n} == {
                name: n for name, n in want.items() if n
            }, f"{where}, expected {want}"
            assert sum(l["count"] for name, l in run["latency"].items() if name != "all") == run["round_trips"], where
    print(f"{document['series'][0]['target']['address']}: {', '.join(mixes)} counted exactly")


main()
