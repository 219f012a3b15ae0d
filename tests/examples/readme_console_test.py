"""The shell sessions in README.md print what README.md shows.

Each ```console block is run, line by line after its `$ `, against a fresh server; what follows a command up to the next one
is its expected output, to the letter. Only the address differs: the server listens on a free port, and localhost:8080 in
a command becomes that address. `tinyobs` is the built command line.
"""

import os
import re
import subprocess
import sys
import tempfile


def sessions(readme):
    """[(command, expected output)] of all console blocks; a command ends at the first line not continued by a backslash."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", readme, re.M | re.S):
        command, expected, continued = None, [], False
        for line in block.splitlines():
            if continued:
                command += "\n" + line
                continued = _is_open(command)
            elif line.startswith("$ "):
                if command is not None:
                    found.append((command, "\n".join(expected)))
                command, expected = line[2:], []
                continued = _is_open(command)
            else:
                expected.append(line)
        if command is not None:
            found.append((command, "\n".join(expected)))
    return found


def _is_open(command):
    """Whether the shell would ask for another line: a trailing backslash or an open single quote."""
    return command.endswith("\\") or command.count("'") % 2 == 1


def main():
    readme_path, server_path, cli_path = sys.argv[1:]
    examples = sessions(open(readme_path, encoding="utf-8").read())
    if len(examples) < 4:
        sys.exit("README.md has %d console examples, expected at least 4" % len(examples))
    storage = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
    server = subprocess.Popen(
        [server_path, "--web.listen-address=127.0.0.1:0", "--storage.path=" + storage, "--no-host-metrics"],
        stdout=subprocess.PIPE, text=True)
    failed = 0
    try:
        address = re.search(r"http://(\S+)", server.stdout.readline()).group(1)
        environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(cli_path)) + ":" + os.environ["PATH"])
        for command, expected in examples:
            run = command.replace("localhost:8080", address)
            run = re.sub(r"^(tinyobs \S+)", r"\1 --server http://" + address, run)
            result = subprocess.run(
                ["bash", "-c", run], env=environment, timeout=30, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if result.stdout.strip("\n") != expected.strip("\n"):
                failed += 1
                print("$ %s\nREADME.md shows:\n%s\nit prints:\n%s" % (command, expected, result.stdout))
    finally:
        server.terminate()
        server.wait(30)
    print("%d examples of README.md run, %d differ" % (len(examples), failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
