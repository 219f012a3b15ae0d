"""What a machine can know about the tree, checked file by file.

    tidy.py [ROOT]      prints `path:line: what is wrong` for each finding; exit status 1 if there is any

Each check is a function of a Tree (so tidy_test.py can hand it a small bad one) and yields Findings. A check that
needs an exception names the file and the reason in its own table below, where a reviewer sees it.

ROOT defaults to the checkout this file really lies in: under Bazel it is reached through runfiles symlinks, which
os.path.realpath follows to the source tree. A test that reads files it did not declare must not be cached: see
BUILD.bazel.
"""

import fnmatch
import os
import re
import sys
from collections import namedtuple

Finding = namedtuple("Finding", "path line text")

# Folders that are not ours: produced, downloaded, or bytes for decoders to choke on.
PRODUCED = ("bazel-*", ".git", ".cache", "data", "node_modules", "third_party/peers", "__pycache__")
BYTES = ("tests/fuzz/corpus/", "tests/golden/")

# Which rooms of lib a room may include; DESIGN's arrows. `include` is the public headers.
ARROWS = {
    "include": {"include"},
    "base": {"include"},
    "vfs": {"include", "base"},
    "sstable": {"include", "base", "vfs"},
    "lsm": {"include", "base", "vfs", "sstable"},
    "model": {"include", "base"},
    "chunk": {"include", "base", "model"},
    "tsdb": {"include", "base", "vfs", "sstable", "lsm", "model", "chunk"},
    "promql": {"include", "base", "model"},
    "rules": {"include", "base", "model", "promql"},
    "wire": {"include", "base", "model"},
    "sdk": {"include", "base", "model", "wire"},
}

# What a dying program says about a bug of its own goes to stderr: there is no caller left to answer.
MAY_PRINT = {"lib/base/check.h"}
LAST_WORDS = re.compile(r"std::fprintf\(stderr")


class Tree:
    """The text files below `root`, by path relative to it."""

    def __init__(self, root):
        self.root = root
        self.paths = []
        self.folders = {""}
        for folder, subfolders, names in os.walk(root):
            relative = os.path.relpath(folder, root).replace("./", "")
            relative = "" if relative == "." else relative + "/"
            subfolders[:] = sorted(
                name for name in subfolders if not self._produced(relative + name, name)
            )
            self.folders.update(relative + name for name in subfolders)
            for name in sorted(names):
                if not self._produced(relative + name, name):
                    self.paths.append(relative + name)
        self._known = set(self.paths)
        self._lines = {}

    @staticmethod
    def _produced(path, name):
        return any(
            fnmatch.fnmatch(path if "/" in pattern else name, pattern) and (
                pattern != "data" or path == "data")
            for pattern in PRODUCED
        )

    def exists(self, path):
        """A file, a folder or a pattern with * that matches one."""
        path = os.path.normpath(path)
        if "*" in path:
            return any(fnmatch.fnmatch(known, path) for known in self._known | self.folders)
        return path in self._known or path in self.folders or path == "."

    def lines(self, path):
        """[(number, text)] of a text file; nothing for bytes."""
        if path not in self._lines:
            with open(os.path.join(self.root, path), "rb") as file:
                content = file.read()
            text = "" if b"\0" in content else content.decode("utf-8", "replace")
            self._lines[path] = list(enumerate(text.splitlines(), 1))
        return self._lines[path]

    def select(self, prefixes, suffixes):
        for path in self.paths:
            if path.startswith(prefixes) and path.endswith(suffixes):
                yield path


def without_comment(line):
    """The line without a trailing // comment (one inside a string literal is cut too: harmless here)."""
    return line.split("//", 1)[0]


# --- Documents -------------------------------------------------------------------------------------

LINK = re.compile(r"\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"`([^`]+)`")
WORD = re.compile(r"[\w.@+*{},/:-]+")
PATH = re.compile(r"^[\w.@+*-]+(/[\w.@+*-]+)*/?$")
TOP = ("lib", "tools", "tests", "bench", "third_party")
EXTENSIONS = (
    ".h", ".cc", ".md", ".bzl", ".bazel", ".sh", ".py", ".mjs", ".ts", ".css", ".html", ".txt", ".proto",
)


def check_links(tree):
    """Every relative link of a Markdown file leads somewhere."""
    for path in tree.select("", ".md"):
        fenced = False
        for number, line in tree.lines(path):
            if line.lstrip().startswith("```"):
                fenced = not fenced
            if fenced:
                continue
            for target in LINK.findall(re.sub(r"`[^`]*`", "``", line)):
                if re.match(r"[a-z]+:", target) or target.startswith("#"):
                    continue
                target = target.split("#")[0]
                base = "" if target.startswith("/") else os.path.dirname(path)
                if not tree.exists(os.path.join(base, target.lstrip("/"))):
                    yield Finding(path, number, "link to %s, which does not exist" % target)


def _is_path(tree, word):
    """Whether a word of a document means a file or folder of this tree."""
    if not PATH.match(word) or word.startswith(("http", "www.")):
        return False
    if any(fnmatch.fnmatch(word, pattern + end) for pattern in PRODUCED for end in ("", "/*")):
        return False
    first = word.split("/")[0]
    if "/" in word.rstrip("/"):
        return first in tree.folders or "lib/" + first in tree.folders
    return word.endswith(EXTENSIONS) and not word.startswith(("*", "."))


def _resolves(tree, document, word):
    folder = os.path.dirname(document)
    places = ("", folder, "lib", "lib/include", os.path.join(folder, ".."))
    if any(tree.exists(os.path.join(place, word)) for place in places):
        return True
    # A label may name a target below the folder: lib/lsm:store is cut at the colon before; a program that Bazel
    # builds (tools/serve/tinyobs-serve) is named in the BUILD file beside it.
    build = os.path.join(os.path.dirname(word), "BUILD.bazel")
    if tree.exists(build) and '"%s"' % os.path.basename(word) in "\n".join(
        line for _, line in tree.lines(build)
    ):
        return True
    return "/" not in word and any(os.path.basename(known) == word for known in tree.paths)


def check_named_paths(tree):
    """Every path a Markdown file names, in backticks or in a code block, exists."""
    for path in tree.select("", ".md"):
        fenced = False
        for number, line in tree.lines(path):
            if line.lstrip().startswith("```"):
                fenced = not fenced
                continue
            words = []
            commands = [line] if fenced else []
            for code in CODE.findall(line):
                if " " in code:
                    commands.append(code)
                else:
                    words += WORD.findall(code)
            # Of a command or a code block only what starts with a top-level folder: the rest may be anybody's.
            for command in commands:
                words += [
                    word for word in WORD.findall(command)
                    if "/" in word and word.lstrip("./").split("/")[0] in TOP
                ]
            for word in words:
                word = word.rstrip(".,:").split(":")[0] if not word.startswith(":") else ""
                if word.startswith("//"):
                    word = word[2:].replace("/...", "")
                    if not word or word.startswith("-"):
                        continue
                word = re.sub(r"^\./", "", word)
                if "{" in word:
                    continue
                if _is_path(tree, word) and not _resolves(tree, path, word):
                    yield Finding(path, number, "names %s, which does not exist" % word)


# --- Code ------------------------------------------------------------------------------------------

PRINTS = re.compile(r"std::(cout|cerr|clog)\b|(?<![\w])(std::)?(printf|fprintf|vprintf|puts|putchar)\s*\(")
EXITS = re.compile(r"(?<![\w.>])(std::)?(exit|_exit|quick_exit)\s*\(")


def check_lib_is_silent(tree):
    """A library neither prints nor ends the process: it answers with a Status."""
    for path in tree.select("lib/", (".h", ".cc")):
        if path in MAY_PRINT:
            continue
        for number, line in tree.lines(path):
            code = without_comment(line)
            if LAST_WORDS.search(code) and any(
                "TINYOBS_CHECK(" in text for _, text in tree.lines(path)[number:number + 1]
            ):
                continue
            if PRINTS.search(code):
                yield Finding(path, number, "prints: a library answers with a Status")
            if EXITS.search(code):
                yield Finding(path, number, "ends the process: a library answers with a Status")


SLEEPS = {
    (".cc", ".h"): re.compile(r"\bsleep_(for|until)\b|\b(u|nano)?sleep\s*\(|absl::SleepFor"),
    (".py",): re.compile(r"\btime\.sleep\b|\bfrom time import .*sleep"),
    (".sh",): re.compile(r"(^|[\s;&|(])sleep\s+[\d.$]"),
    (".mjs", ".ts", ".js"): re.compile(r"timers/promises|\bsleep\s*\(|resolve\s*,\s*\d+\s*\)"),
}


def check_tests_do_not_sleep(tree):
    """A test waits for a condition or moves a clock: a sleep is too short on a slow machine, too long elsewhere."""
    for suffixes, pattern in SLEEPS.items():
        for path in tree.select("tests/", suffixes):
            for number, line in tree.lines(path):
                if path != "tests/tidy/tidy_test.py" and pattern.search(without_comment(line)):
                    yield Finding(path, number, "sleeps: wait on a condition or move the clock")


INCLUDE = re.compile(r'^\s*#\s*include\s+"(lib/(\w+)/|tinyobs/|tools/|tests/|bench/)')


def check_includes_follow_the_arrows(tree):
    """No room includes one it may not know. Bazel forbids the dependency; this also catches a header that is
    reached without one, for instance through another target's deps."""
    for path in tree.select("lib/", (".h", ".cc")):
        room = path.split("/")[1]
        allowed = ARROWS.get(room)
        if allowed is None:
            yield Finding(path, 1, "room %s has no arrows: add it to ARROWS" % room)
            continue
        for number, line in tree.lines(path):
            match = INCLUDE.match(line)
            if not match:
                continue
            other = match.group(2) or match.group(1).rstrip("/").replace("tinyobs", "include")
            if other != room and other not in allowed:
                yield Finding(path, number, "%s must not know %s" % (room, other))


def guard_of(path):
    """TINYOBS_LIB_LSM_STORE_H_; public headers TINYOBS_DB_H_."""
    if path.startswith("lib/include/"):
        path = path[len("lib/include/"):]
    else:
        path = "tinyobs/" + path
    return re.sub(r"\W", "_", path).upper() + "_"


def check_header_guards(tree):
    for path in tree.select(("lib/", "tools/", "tests/", "bench/"), ".h"):
        guard = guard_of(path)
        directives = [
            (number, line.split("//")[0].strip()) for number, line in tree.lines(path)
            if line.startswith("#")
        ]
        wanted = ["#ifndef " + guard, "#define " + guard]
        if [line for _, line in directives[:2]] != wanted:
            yield Finding(path, directives[0][0] if directives else 1, "header guard must be %s" % guard)


def check_files_open_with_a_comment(tree):
    """The first lines say what the file is for and why it is built this way. The source of a header of the same name
    may open with that header instead: one place, not two that drift."""
    for path in tree.select(("lib/", "tools/"), (".h", ".cc")):
        lines = tree.lines(path)
        first = lines[0][1] if lines else ""
        own = re.match(r'#include "(.*/%s\.h)"$' % re.escape(os.path.basename(path)[:-len(".cc")]), first)
        if path.endswith(".cc") and own and (
            tree.exists(own.group(1)) or tree.exists("lib/include/" + own.group(1))
        ):
            continue
        if not first.startswith("//"):
            yield Finding(path, 1, "does not open with a comment")


def check_line_width(tree):
    for path in tree.select("lib/", (".h", ".cc")):
        for number, line in tree.lines(path):
            if len(line) > 100:
                yield Finding(path, number, "%d columns, at most 100" % len(line))


# --- Everything ------------------------------------------------------------------------------------

# Written so that this file does not contain what it forbids.
MACHINE = re.compile(r"(?<![\w.~$}/-])/(?:" + "work|root|home|Users" + r")/\w")
HOSTS = re.compile("|".join(
    host.replace(" ", r"\.") for host in (
        "registry npmjs", "registry yarnpkg", "registry npmmirror", "pypi org", "pythonhosted org", "deb debian org",
        "snapshot debian org", "proxy golang org", "crates io", "mirror bazel build",
    )
))
TRACKER = re.compile(r"\bissue" + r" #?\d")


def check_no_traces_of_a_machine(tree):
    """No path of somebody's machine, no package host, no number of somebody's task list."""
    for path in tree.paths:
        if path.startswith(BYTES):
            continue
        for number, line in tree.lines(path):
            if MACHINE.search(line):
                yield Finding(path, number, "an absolute path of one machine")
            if HOSTS.search(line):
                yield Finding(path, number, "a package host: the user's own configuration decides that")
            if TRACKER.search(line) and not path.endswith("package-lock.json"):
                yield Finding(path, number, "a task number: say what it is about")


def check_lock_files(tree):
    """package-lock.json carries versions and checksums, not where somebody once downloaded from."""
    for path in tree.paths:
        if os.path.basename(path) != "package-lock.json":
            continue
        for number, line in tree.lines(path):
            if re.search(r'"resolved"\s*:\s*"https?:', line):
                yield Finding(path, number, "a download address (npm config set omit-lockfile-registry-resolved true)")


def check_packages(tree):
    """third_party/libraries.bzl names only packages of packages.txt, and README.md has the licence of each."""
    if not tree.exists("third_party/packages.txt"):
        yield Finding("third_party/packages.txt", 1, "does not exist")
        return
    listed = {}
    group = ""
    for number, line in tree.lines("third_party/packages.txt"):
        line = line.split("#")[0].strip()
        if line.startswith("["):
            group = line
        elif line:
            name = line.split()[0]
            if name in listed:
                yield Finding("third_party/packages.txt", number, "%s is listed twice" % name)
            listed[name] = group
    if tree.exists("third_party/libraries.bzl"):
        for number, line in tree.lines("third_party/libraries.bzl"):
            for names in re.findall(r'"package": "([^"]*)"', line):
                for name in names.split():
                    if name not in listed:
                        yield Finding("third_party/libraries.bzl", number, "%s is not in packages.txt" % name)
    if tree.exists("third_party/README.md"):
        readme = "\n".join(line for _, line in tree.lines("third_party/README.md"))
        for name in sorted(listed):
            if "`%s`" % name not in readme:
                yield Finding("third_party/README.md", 1, "has no licence of %s" % name)


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.realpath(__file__)), "..", "..")
    tree = Tree(os.path.normpath(root))
    if not tree.exists("WORKSPACE"):
        print("%s is not the checkout: no WORKSPACE" % tree.root)
        return 1
    count = 0
    for check in CHECKS:
        for finding in check(tree):
            print("%s:%d: %s  [%s]" % (finding + (check.__name__,)))
            count += 1
    print("%d files, %d checks, %d findings" % (len(tree.paths), len(CHECKS), count))
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
