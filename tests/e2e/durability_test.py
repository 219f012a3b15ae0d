"""Acknowledged samples survive kill -9: the built server, a real exporter, real processes.

Method. Node exporter is scraped SCRAPES times; each scrape is cut into /v1/ingest requests of random size, sent by
several connections at once. In each round the server is killed with SIGKILL at a random request, while others are
in flight, and started again on the same folder; a part of the unacknowledged requests is sent again, as a client would.
After every restart and at the end (once more after an orderly stop) everything the server answers is compared with the
ledger (ledger.py says what is promised).

The seed is printed; TINYOBS_TEST_SEED repeats it (the choices, not the timing of two processes). Without it each run
takes another one, so that repeated runs search:

    bazel test --runs_per_test=20 //tests/e2e:durability_test
"""

import http.client
import os
import queue
import random
import sys
import tempfile
import threading
import time

import client
import ledger
import processes
import scraping

SCRAPES = 150  # more than a chunk of 120 samples holds
ROUNDS = 6
SENDERS = 4
NOT_ACKNOWLEDGED = (OSError, http.client.HTTPException)


class Sender:
    """Sends requests of one round over SENDERS connections and kills the server at one of them."""

    def __init__(self, server, book, kill_at, delay_s):
        self._server = server
        self._book = book
        self._kill_at = kill_at
        self._delay_s = delay_s
        self._started = 0
        self._lock = threading.Lock()
        self._work = queue.SimpleQueue()
        self._errors = []
        self._kill_now = threading.Event()
        self.unsent = []
        self.unacknowledged = []  # [(number in the ledger, samples)]

    def _before_answer(self):
        """Called when a request has left and its answer has not been read."""
        with self._lock:
            self._started += 1
            if self._started == self._kill_at:
                self._kill_now.set()

    def _run(self):
        connection = client.Client(self._server.url)
        try:
            while True:
                try:
                    number, samples = self._work.get_nowait()
                except queue.Empty:
                    return
                if number is None:
                    number = self._book.sent([(labels, at, value) for labels, _, at, value in samples])
                try:
                    connection.start_ingest(client.ingest_body(samples))
                    self._before_answer()
                    connection.finish_ingest(len(samples))
                    self._book.acknowledged(number)
                except NOT_ACKNOWLEDGED as error:
                    if not self._kill_now.is_set():
                        raise RuntimeError("the server failed before it was killed: %r" % error) from error
                    with self._lock:
                        self.unacknowledged.append((number, samples))
                    return  # this connection is dead, and so is the server
        except Exception as error:  # pylint: disable=broad-except
            self._errors.append(error)
            self._kill_now.set()
        finally:
            connection.close()

    def send(self, requests):
        """requests: [(number in the ledger or None, samples)]. Returns when all threads are done and the server is
        dead."""
        for request in requests:
            self._work.put(request)
        threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        if not self._kill_now.wait(60):
            self._errors.append(RuntimeError("request %d never left" % self._kill_at))
        # Some moment of the processing of that request: not a wait for anything.
        threading.Event().wait(self._delay_s)
        self._server.kill()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        while not self._work.empty():
            self.unsent.append(self._work.get())


def cut(samples, source):
    """Requests of 1 to MAX_SAMPLES samples, in order."""
    requests = []
    while samples:
        size = min(source.choice((1, 7, 50, 200, client.MAX_SAMPLES)), len(samples))
        requests.append((None, samples[:size]))
        samples = samples[size:]
    return requests


def check(server, book, window, what):
    """Compares everything the server answers with the ledger. Returns the number of samples."""
    connection = client.Client(server.url)
    try:
        names = set(connection.metric_names())
        missing = book.metric_names(acknowledged_only=True) - names
        unknown = names - book.metric_names(acknowledged_only=False)
        if missing or unknown:
            raise RuntimeError("%s: /v1/metrics/list lacks %s and invents %s" % (what, sorted(missing), sorted(unknown)))
        raw, ranges = {}, {}
        for name in sorted(names):
            raw.update(connection.query(name, *window))
            ranges.update(connection.query_range(name, *window))
    finally:
        connection.close()
    for endpoint, answers in (("/v1/query", raw), ("/v1/query/range", ranges)):
        found = book.differences(answers)
        if found:
            raise RuntimeError("%s: %s: %d differences:\n  %s" % (what, endpoint, len(found), "\n  ".join(found[:20])))
    return len(raw)


def main():
    seed = int(os.environ.get("TINYOBS_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed %d (repeat with --test_env=TINYOBS_TEST_SEED=%d)" % (seed, seed), flush=True)
    source = random.Random(seed)
    began = time.monotonic()
    storage = tempfile.mkdtemp(prefix="store.", dir=os.environ["TEST_TMPDIR"])
    now_ms = int(time.time() * 1000)
    first_ms = now_ms - SCRAPES * (scraping.SCRAPE_STEP_MS + 10)
    window = (first_ms, now_ms)
    book = ledger.Ledger()
    in_flight = 0
    pending = []
    with processes.node_exporter() as exporter:
        scraper = scraping.Scraper(exporter.url, first_ms)
        for number in range(ROUNDS):
            requests = list(pending)
            for _ in range(SCRAPES // ROUNDS):
                requests += cut(scraper.scrape(), source)
            # With the least memory the store flushes and compacts while it is killed.
            with processes.tinyobs_serve(storage, memory_mb=source.choice((4, 48))) as server:
                check(server, book, window, "after kill %d" % number)
                sender = Sender(server, book, source.randint(1, len(requests)), source.choice((0, 0.001, 0.005)))
                sender.send(requests)
            in_flight += len(sender.unacknowledged)
            # A client sends again what was not acknowledged, or gives it up. What never left goes with the next round.
            pending = [request for request in sender.unacknowledged if source.random() < 0.5] + sender.unsent
    if in_flight == 0:
        raise RuntimeError("no kill met a request in flight: this run proved nothing")
    with processes.tinyobs_serve(storage) as server:
        connection = client.Client(server.url)
        for number, samples in pending:
            if number is None:
                number = book.sent([(labels, at, value) for labels, _, at, value in samples])
            connection.start_ingest(client.ingest_body(samples))
            connection.finish_ingest(len(samples))
            book.acknowledged(number)
        connection.close()
        check(server, book, window, "after the last kill")
        status = server.stop()
        if status != 0:
            raise RuntimeError("exit status %d after SIGTERM:\n%s" % (status, server.log()))
    with processes.tinyobs_serve(storage) as server:
        stored = check(server, book, window, "after an orderly stop")
    sent, acknowledged, lost = book.counts()
    print("%d scrapes, %d samples sent, %d acknowledged and found bit-identical, %d stored; %d kills met %d requests in "
          "flight (%d never acknowledged); %d NaN or infinite left out; %.1f s" % (
              scraper.scrapes, sent, acknowledged, stored, ROUNDS, in_flight, lost, scraper.left_out,
              time.monotonic() - began))


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as failure:
        print("FAILED: %s" % failure)
        sys.exit(1)
