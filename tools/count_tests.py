"""Counts test targets in Bazel's build event file (JSON, one event a line).

    count_tests.py EVENTS BAZEL_STATUS

Prints the failed targets, then the closing line `N passed, N failed`, and exits 0 only if Bazel did and at least one
test passed. Events, not the printed summary: its wording depends on options, and a test whose build failed has no
line of its own. A failure that belongs to no test (a broken library, a pattern that matches nothing) counts as one.
"""

import json
import sys


def read_events(path):
    """Every event; a last line cut short (Bazel was killed) is left out."""
    events = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                events.append(json.loads(line))
            except ValueError:
                pass
    return events


def count(events, bazel_status):
    """(passed labels, failed labels, explanation of a failure without a test or "")."""
    tests = set()
    verdicts = {}
    for event in events:
        identity = event.get("id", {})
        if "targetConfigured" in identity and "testSize" in event.get("configured", {}):
            tests.add(identity["targetConfigured"]["label"])
        if "testSummary" in identity and "testSummary" in event:
            label = identity["testSummary"]["label"]
            verdict = event["testSummary"].get("overallStatus", "NO_STATUS")
            verdicts.setdefault(label, set()).add(verdict)
    good = {"PASSED", "FLAKY"}
    passed = {label for label, seen in verdicts.items() if seen <= good}
    failed = (tests | set(verdicts)) - passed
    if not failed and bazel_status != 0:
        return passed, failed, "bazel failed outside the tests (exit status %d, see above)" % bazel_status
    if not failed and not passed:
        return passed, failed, "no test was run"
    return passed, failed, ""


def main():
    events_path, bazel_status = sys.argv[1], int(sys.argv[2])
    passed, failed, explanation = count(read_events(events_path), bazel_status)
    for label in sorted(failed):
        print("failed: %s" % label)
    if explanation:
        print("failed: %s" % explanation)
    failures = len(failed) + (1 if explanation else 0)
    print("%d passed, %d failed" % (len(passed), failures), flush=True)
    return 0 if failures == 0 and bazel_status == 0 else bazel_status or 1


if __name__ == "__main__":
    sys.exit(main())
