"""The closing line of tools/test, from events written by hand as Bazel writes them."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "..", "..", "tools", "count_tests.py")


def configured(label, test=True):
    return {
        "id": {"targetConfigured": {"label": label}},
        "configured": {"targetKind": "rule", **({"testSize": "SMALL"} if test else {})},
    }


def summary(label, status):
    return {
        "id": {"testSummary": {"label": label}},
        "testSummary": {"overallStatus": status},
    }


def run(events, bazel_status, tail=""):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        for event in events:
            file.write(json.dumps(event) + "\n")
        file.write(tail)
        file.flush()
        done = subprocess.run(
            [sys.executable, SCRIPT, file.name, str(bazel_status)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout.splitlines()


class CountTests(unittest.TestCase):
    def test_all_passed(self):
        events = [configured("//a:t"), configured("//a:lib", test=False), summary("//a:t", "PASSED")]
        self.assertEqual(run(events, 0), (0, ["1 passed, 0 failed"]))

    def test_failed_and_timed_out_tests_are_named_and_counted(self):
        events = [configured("//a:%s" % name) for name in "xyz"]
        events += [summary("//a:x", "PASSED"), summary("//a:y", "FAILED"), summary("//a:z", "TIMEOUT")]
        code, lines = run(events, 3)
        self.assertEqual(lines, ["failed: //a:y", "failed: //a:z", "1 passed, 2 failed"])
        self.assertEqual(code, 3)

    def test_a_test_that_did_not_build_is_a_failure(self):
        code, lines = run([configured("//a:x"), configured("//a:y"), summary("//a:x", "PASSED")], 1)
        self.assertEqual(lines, ["failed: //a:y", "1 passed, 1 failed"])
        self.assertNotEqual(code, 0)

    def test_a_library_that_did_not_build_is_a_failure(self):
        code, lines = run([configured("//a:x"), summary("//a:x", "PASSED")], 1)
        self.assertEqual(lines[-1], "1 passed, 1 failed")
        self.assertNotEqual(code, 0)

    def test_no_test_at_all_is_a_failure_even_if_bazel_is_content(self):
        code, lines = run([configured("//a:lib", test=False)], 0)
        self.assertEqual(lines[-1], "0 passed, 1 failed")
        self.assertNotEqual(code, 0)

    def test_an_empty_event_file_is_a_failure(self):
        code, lines = run([], 37)
        self.assertEqual(lines[-1], "0 passed, 1 failed")
        self.assertEqual(code, 37)

    def test_a_line_cut_short_does_not_hide_the_others(self):
        code, lines = run([configured("//a:x"), summary("//a:x", "PASSED")], 0, '{"id":{"tes')
        self.assertEqual((code, lines), (0, ["1 passed, 0 failed"]))


if __name__ == "__main__":
    unittest.main()
