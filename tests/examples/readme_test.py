"""README.md shows exactly the programs that the tests here compile and run.

For each PROGRAM given, README.md must hold the line <!-- tests/examples/NAME --> and, as the next
thing after it, a cpp code block with the text of the file."""

import os
import sys


def block_after(marker, readme):
    """The code block that follows `marker`, or an explanation of what is wrong."""
    if readme.count(marker + "\n") != 1:
        return None, "must hold the line %s exactly once" % marker
    rest = readme.split(marker + "\n", 1)[1].lstrip("\n")
    if not rest.startswith("```cpp\n"):
        return None, "has no ```cpp block right after %s" % marker
    code, end, _ = rest[len("```cpp\n"):].partition("\n```\n")
    if not end:
        return None, "does not close the block after %s" % marker
    return code + "\n", None


def main():
    readme = open(sys.argv[1], encoding="utf-8").read()
    failed = False
    for path in sys.argv[2:]:
        marker = "<!-- tests/examples/%s -->" % os.path.basename(path)
        code, problem = block_after(marker, readme)
        if problem is None and code != open(path, encoding="utf-8").read():
            problem = "shows another text after %s than the file has" % marker
        if problem is not None:
            print("README.md %s" % problem)
            failed = True
    sys.exit(failed)


main()
