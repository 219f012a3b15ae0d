"""Starts and ends the programs of the end-to-end tests: the server under test, and what tools/setup unpacked.

All listen on a free loopback port of their own choice and print it; nothing here guesses a port or waits a fixed
time. Each is ended by its own process id, also when the test itself is killed (the kernel does it: PR_SET_PDEATHSIG).
"""

import ctypes
import os
import re
import signal
import subprocess
import threading

START_SECONDS = 30
PR_SET_PDEATHSIG = 1


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program that announces where it listens. `announcement` is a pattern whose group 1 is HOST:PORT."""

    def __init__(self, name, command, announcement, log_path, environment=None):
        self.name = name
        self._log_path = log_path
        self._address = None
        self._announced = threading.Event()
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})}, preexec_fn=_die_with_parent)
        # The output is read to its end, or the program would block on a full pipe.
        self._reader = threading.Thread(target=self._read, args=(re.compile(announcement),), daemon=True)
        self._reader.start()
        if not self._announced.wait(START_SECONDS) or self._address is None:
            self.kill()
            raise RuntimeError("%s did not say within %d s where it listens:\n%s" % (name, START_SECONDS, self.log()))
        self.url = "http://" + self._address

    def _read(self, announcement):
        with open(self._log_path, "ab") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                match = announcement.search(line.decode("utf-8", "replace"))
                if match and self._address is None:
                    self._address = match.group(1)
                    self._announced.set()
        self._announced.set()  # it ended

    def log(self):
        with open(self._log_path, "r", encoding="utf-8", errors="replace") as log:
            return log.read()[-4000:]

    def alive(self):
        return self._process.poll() is None

    def memory_mb(self, what):
        """VmRSS: resident now; VmHWM: at most so far."""
        with open("/proc/%d/status" % self._process.pid, encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(what + ":")) / 1024

    def kill(self):
        """SIGKILL: no last words, no last write."""
        self._process.kill()
        self._process.wait()
        self._reader.join(10)

    def stop(self, seconds=20):
        """SIGTERM; returns the exit status. A program that does not end in time is killed and is an error."""
        self._process.terminate()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("%s did not stop within %d s of SIGTERM:\n%s" % (self.name, seconds, self.log())) from None
        self._reader.join(10)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def _log_folder():
    return os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or os.environ["TEST_TMPDIR"]


def checkout():
    """The source tree: this file is reached through a link of Bazel's into it."""
    return os.path.normpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))


LISTENING_ON = r'msg="Listening on".* address=(127\.0\.0\.1:\d+)'  # of Prometheus' own programs


def peer(package, program):
    """The path of a program of packages.txt's [peers]."""
    peers = os.environ.get("TINYOBS_PEERS_DIR") or os.path.join(checkout(), "third_party", "peers")
    path = os.path.join(peers, package, "usr", "bin", program)
    if not os.access(path, os.X_OK):
        raise RuntimeError("there is no %s: run tools/setup, which unpacks it there" % path)
    return path


def node_exporter():
    return Process(
        "node_exporter",
        [peer("prometheus-node-exporter", "prometheus-node-exporter"), "--web.listen-address=127.0.0.1:0"],
        LISTENING_ON, os.path.join(_log_folder(), "node_exporter.log"))


def prometheus(folder):
    """Takes remote write, scrapes nothing, keeps its data in `folder`."""
    os.makedirs(folder)
    configuration = os.path.join(folder, "prometheus.yml")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write("{}\n")
    return Process(
        "prometheus",
        [peer("prometheus", "prometheus"), "--config.file=" + configuration, "--web.enable-remote-write-receiver",
         "--storage.tsdb.path=" + os.path.join(folder, "data"), "--web.listen-address=127.0.0.1:0"],
        LISTENING_ON, os.path.join(_log_folder(), "prometheus.log"))


def client(package, program, arguments):
    """A program of VictoriaMetrics that nobody asks anything: it has no address of use."""
    return Process(program, [peer(package, program), *arguments], r"(started vmagent|group .* started)",
                   os.path.join(_log_folder(), program + ".log"))


def tinyobs_serve(storage, series_max=100000, memory_mb=48, flags=()):
    program = os.environ.get("TINYOBS_SERVE") or os.path.join("tools", "serve", "tinyobs-serve")
    return Process(
        "tinyobs-serve",
        [program, "--web.listen-address=127.0.0.1:0", "--storage.path=" + storage, "--no-host-metrics", *flags],
        r"listening on http://(127\.0\.0\.1:\d+)", os.path.join(_log_folder(), "tinyobs-serve.log"),
        {"TINYOBS_MAX_CARDINALITY": str(series_max), "TINYOBS_MAX_MEMORY_MB": str(memory_mb)})
