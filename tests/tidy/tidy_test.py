"""Each check of tidy.py on a small tree: silent on the good one, and seeing each way it can be broken."""

import os
import tempfile
import unittest

import tidy

# What the tests forbid must not stand here either: tidy.py reads this file too.
HOME = "/" + "home/"
REGISTRY = "registry" + ".npmjs.org"

GOOD = {
    "WORKSPACE": "",
    "README.md": "See [lib](lib/README.md#tour), `lib/lsm/store.h`, `//lib/lsm:lsm`, `store.h`, `tools/run`,\n"
                 "`application/json`, `/v1/query`, `bazel-bin/tools/x`, `third_party/peers/y`, `lsm/*.h`.\n"
                 "```sh\ntools/run --x=/var/tmp\n```\n",
    "lib/README.md": "[up](../README.md) and [text](lsm/store.h)",
    "lib/include/tinyobs/db.h": "// Why.\n#ifndef TINYOBS_DB_H_\n#define TINYOBS_DB_H_\n#endif\n",
    "lib/base/check.h": "// Why.\n#ifndef TINYOBS_LIB_BASE_CHECK_H_\n#define TINYOBS_LIB_BASE_CHECK_H_\n"
                        "inline void F() { std::fprintf(stderr, \"x\"); }\n#endif\n",
    "lib/lsm/store.h": "// Why.\n#ifndef TINYOBS_LIB_LSM_STORE_H_\n#define TINYOBS_LIB_LSM_STORE_H_\n"
                       "#include \"lib/base/check.h\"\n#include \"tinyobs/db.h\"\n#endif\n",
    "lib/lsm/store.cc": "#include \"lib/lsm/store.h\"\nint n = snprintf(b, 1, \"\");  // not printf(\n",
    "lib/lsm/BUILD.bazel": "cc_library(name = \"lsm\")\n",
    "tests/lsm/store_test.cc": "TEST(Store, Works) { clock.Advance(5); }\n",
    "tools/run": "#!/bin/sh\n",
    "tools/dashboard/package-lock.json": "{\"version\": \"1\", \"integrity\": \"sha512-x\"}\n",
    "third_party/packages.txt": "[build]\nlibsnappy-dev  # why\nnodejs ? node >= 18\n",
    "third_party/libraries.bzl": "\"snappy\": {\n    \"package\": \"libsnappy-dev\",\n}\n",
    "third_party/README.md": "| `libsnappy-dev` | BSD |\n| `nodejs` | MIT |\n",
    # Produced: none of this is looked at.
    "third_party/peers/x/doc.md": "[no](nowhere.md)",
    "bazel-out/doc.md": "[no](nowhere.md)",
    "tools/dashboard/node_modules/x/README.md": "[no](nowhere.md)",
    "data/notes.md": "[no](nowhere.md)",
    "tests/fuzz/corpus/x/seed": HOME + "x",
}


def findings(changes):
    """{check name without check_: [path]} on the good tree with `changes` (None removes a file)."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as root:
        for path, content in {**GOOD, **changes}.items():
            if content is None:
                continue
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(content)
        tree = tidy.Tree(root)
        found = {}
        for check in tidy.CHECKS:
            for finding in check(tree):
                found.setdefault(check.__name__[len("check_"):], []).append(finding.path)
        return found


class TidyTest(unittest.TestCase):
    def test_the_good_tree_is_good(self):
        self.assertEqual(findings({}), {})

    def expect(self, check, path, content):
        found = findings({path: content})
        self.assertIn(path, found.get(check, []), "%s does not see: %r (found %s)" % (check, content, found))

    def test_every_check_has_a_bad_tree(self):
        covered = {
            "links", "named_paths", "lib_is_silent", "tests_do_not_sleep", "includes_follow_the_arrows",
            "header_guards", "files_open_with_a_comment", "line_width", "no_traces_of_a_machine", "lock_files",
            "packages",
        }
        self.assertEqual(covered, {check.__name__[len("check_"):] for check in tidy.CHECKS})

    def test_links(self):
        self.expect("links", "README.md", "[gone](lib/gone.md)")
        self.expect("links", "lib/README.md", "[from the wrong folder](lib/README.md)")
        self.expect("links", "README.md", "![picture](docs/picture.png)")

    def test_named_paths(self):
        self.expect("named_paths", "README.md", "`lib/lsm/gone.h`")
        self.expect("named_paths", "README.md", "`gone_test.cc`")
        self.expect("named_paths", "README.md", "`//lib/gone:target`")
        self.expect("named_paths", "README.md", "`lsm/gone.*`")
        self.expect("named_paths", "README.md", "run `tools/gone --x`")
        self.expect("named_paths", "README.md", "```\ntools/gone --x\n```")

    def test_lib_is_silent(self):
        header = '#include "lib/lsm/store.h"\n'
        for line in ("std::cout << 1;", "printf(\"\");", "std::fprintf(stderr, \"\");", "puts(x);", "exit(1);"):
            self.expect("lib_is_silent", "lib/lsm/store.cc", header + line + "\n")

    def test_last_words_before_a_check_are_allowed(self):
        self.assertEqual(findings({
            "lib/lsm/store.cc":
                '#include "lib/lsm/store.h"\nstd::fprintf(stderr, "x");\nTINYOBS_CHECK(ok);\n'}), {})

    def test_tests_do_not_sleep(self):
        self.expect("tests_do_not_sleep", "tests/lsm/store_test.cc", "std::this_thread::sleep_for(1ms);\n")
        self.expect("tests_do_not_sleep", "tests/lsm/store_test.cc", "usleep(5);\n")
        self.expect("tests_do_not_sleep", "tests/e2e/a.sh", "sleep 1\n")
        self.expect("tests_do_not_sleep", "tests/e2e/a.py", "time.sleep(1)\n")
        self.expect("tests_do_not_sleep", "tests/e2e/a.mjs", "setTimeout(resolve, 500)\n")

    def test_includes_follow_the_arrows(self):
        header = '#include "lib/lsm/store.h"\n'
        self.expect("includes_follow_the_arrows", "lib/lsm/store.cc", header + '#include "lib/tsdb/head.h"\n')
        self.expect("includes_follow_the_arrows", "lib/lsm/store.cc", header + '#include "tests/testing/x.h"\n')
        self.expect("includes_follow_the_arrows", "lib/sdk/a.cc", '// Why.\n#include "lib/lsm/store.h"\n')
        self.expect("includes_follow_the_arrows", "lib/newroom/a.cc", "// Why.\n")

    def test_header_guards(self):
        self.expect("header_guards", "lib/lsm/store.h", "// Why.\n#pragma once\n")
        self.expect("header_guards", "lib/lsm/store.h", "// Why.\n#ifndef TINYOBS_STORE_H_\n#define TINYOBS_STORE_H_\n")
        self.expect("header_guards", "tools/serve/a.h", "// Why.\n#ifndef TINYOBS_A_H_\n#define TINYOBS_A_H_\n")

    def test_files_open_with_a_comment(self):
        self.expect("files_open_with_a_comment", "lib/lsm/other.cc", '#include "lib/lsm/store.h"\n')
        self.expect("files_open_with_a_comment", "lib/lsm/store.cc", "#include <string>\n")
        self.expect("files_open_with_a_comment", "lib/lsm/store.h", "#ifndef TINYOBS_LIB_LSM_STORE_H_\n")

    def test_line_width(self):
        self.expect("line_width", "lib/lsm/store.cc", '#include "lib/lsm/store.h"\n//' + "x" * 99 + "\n")

    def test_no_traces_of_a_machine(self):
        self.expect("no_traces_of_a_machine", "tools/run", "cd " + HOME + "somebody\n")
        self.expect("no_traces_of_a_machine", "tools/run", "npm --registry https://" + REGISTRY + "\n")
        self.expect("no_traces_of_a_machine", "README.md", "see issue" + " 7\n")

    def test_lock_files(self):
        path = "tools/dashboard/package-lock.json"
        self.expect("lock_files", path, '{"resolved": "https://example.org/x.tgz"}\n')

    def test_packages(self):
        self.expect("packages", "third_party/packages.txt", "[build]\nlibsnappy-dev\nlibsnappy-dev\n")
        self.expect("packages", "third_party/packages.txt", None)
        self.expect("packages", "third_party/libraries.bzl", '"package": "libother-dev",\n')
        self.expect("packages", "third_party/README.md", "| `libsnappy-dev` | BSD |\n")


if __name__ == "__main__":
    unittest.main()
