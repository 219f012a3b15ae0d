"""Prometheus and tinyobs-serve side by side, with the same data, asked the same things.

A difference counts when Prometheus agrees with itself: it is asked ASKED_AGAIN times more, and when its own answers
differ (promql_compare.unstable) the query is counted as unstable instead. That is no way out for us: such queries are
counted, and a test bounds how many there may be.

Queries made at random are sometimes ill-conditioned: the variance of equal values, avg_over_time() == 2. What they
answer hangs on the last bit of an intermediate result, of which 1e-9 is all that is promised. For those (`forgiving`) more
Prometheus servers have the same data with one bit of noise: when the answer of one of them differs from the first one's,
the query is counted as ill-conditioned. And ours gets to know the series in the order of labels, in which it then adds
them up as Prometheus always does, so that most sums are the same to the last bit. The corpus is never forgiven.
"""

import http.client
import os
import time
import urllib.parse

import processes
import promql_compare
import promql_data
import remote_write

ASKED_AGAIN = 6
NOISES = 3
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Connection:
    def __init__(self, url, timeout_s=60):
        address = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)

    def close(self):
        self._connection.close()

    def request(self, method, target, body=None, headers=None):
        """(status, content)."""
        self._connection.request(method, target, body, headers or {})
        response = self._connection.getresponse()
        return response.status, response.read()

    def get(self, target):
        return promql_compare.Answer(*self.request("GET", target))

    def post(self, endpoint, **parameters):
        body = urllib.parse.urlencode(parameters)
        return promql_compare.Answer(*self.request("POST", "/api/v1/" + endpoint, body, FORM))

    def load(self, data, noise=0, sorted_by_labels=False):
        for body in data.requests(noise, sorted_by_labels):
            status, content = self.request("POST", "/api/v1/write", body, remote_write.HEADERS)
            if status not in (200, 204):
                raise RuntimeError("remote write answered %d: %s" % (status, content[:500].decode("utf-8", "replace")))


def seconds(offset_s):
    """A time parameter; offset_s since the origin of the data, in whole milliseconds."""
    return "%.3f" % (promql_data.ORIGIN_S + offset_s)


class Pair:
    """What both servers answer. Without one of ours (url None) Prometheus is compared with itself."""

    def __init__(self, url, prometheus_url, noisy=None):
        """noisy(seed): the Connection to a Prometheus with noise; None: nothing is forgiven."""
        self._alone = url is None
        self._noisy = noisy
        self.our_url, self.prometheus_url = url or prometheus_url, prometheus_url
        self.prometheus = Connection(prometheus_url)
        self.ours = Connection(url or prometheus_url)
        self.requests = 0
        self.unstable = []
        self.ill_conditioned = []

    def close(self):
        self.prometheus.close()
        self.ours.close()

    def load(self, data):
        for name, connection in (("Prometheus", self.prometheus), ("ours", self.ours))[:1 if self._alone else 2]:
            began = time.monotonic()
            connection.load(data, sorted_by_labels=self._noisy is not None)
            print("%s: loaded in %.1f s" % (name, time.monotonic() - began), flush=True)

    def _compare(self, endpoint, query, **parameters):
        """(what differs or None, Prometheus' answer)."""
        is_range = endpoint == "query_range"
        theirs = self.prometheus.post(endpoint, query=query, **parameters)
        ours = self.ours.post(endpoint, query=query, **parameters)
        self.requests += 1
        found = promql_compare.difference(query, is_range, ours, theirs)
        if found:
            for _ in range(ASKED_AGAIN):
                if promql_compare.unstable(theirs, self.prometheus.post(endpoint, query=query, **parameters)):
                    self.unstable.append(query)
                    return None, theirs
            for seed in range(1, NOISES + 1) if self._noisy else ():
                noisy = self._noisy(seed).post(endpoint, query=query, **parameters)
                if promql_compare.difference(query, is_range, noisy, theirs):
                    self.ill_conditioned.append("%s\n      %s" % (query, found))
                    return None, theirs
        return found, theirs

    def instant(self, query, at_s):
        return self._compare("query", query, time=seconds(at_s))

    def range(self, query, start_s, end_s, step_s):
        return self._compare("query_range", query, start=seconds(start_s), end=seconds(end_s), step="%.3f" % step_s)

    def listing(self, target):
        self.requests += 1
        theirs = self.prometheus.get(target)
        ranged = "start=" in target and not target.startswith("/api/v1/query")
        return promql_compare.api_difference(self.ours.get(target), theirs, ranged), theirs

    def formatted(self, query):
        """Of the pretty printer."""
        self.requests += 1
        theirs = self.prometheus.post("format_query", query=query)
        return promql_compare.api_difference(self.ours.post("format_query", query=query), theirs), theirs


class Servers:
    """Both, with the data; `with Servers(seed, folder) as pair`. TINYOBS_PROMQL_ALONE=1: only Prometheus, to see what a
    corpus is worth; TINYOBS_PROMQL_URL and TINYOBS_PROMETHEUS_URL: servers that run and have the data."""

    def __init__(self, seed, folder, forgiving=False):
        self._forgiving = forgiving
        self._seed = seed
        self._folder = folder
        self._started = []
        self._connections = {}  # by seed of noise
        self._pair = None

    def __enter__(self):
        ours, theirs = os.environ.get("TINYOBS_PROMQL_URL"), os.environ.get("TINYOBS_PROMETHEUS_URL")
        alone = os.environ.get("TINYOBS_PROMQL_ALONE") == "1"
        loaded = theirs and (ours or alone)
        if not loaded:
            theirs = self._prometheus("prometheus").url
            if not alone:
                self._started.append(processes.tinyobs_serve(
                    os.path.join(self._folder, "tinyobs"), memory_mb=256,
                    flags=["--no-downsampling", "--storage.retention.raw=0"]))
                ours = self._started[1].url
        self._pair = Pair(None if alone else ours, theirs, self._noisy if self._forgiving else None)
        try:
            if not loaded:
                self._pair.load(promql_data.Data(self._seed))
        except BaseException:
            self.__exit__()
            raise
        return self._pair

    def _prometheus(self, name):
        """Ready: it listens before its storage is open, and answers 503 until then."""
        process = processes.prometheus(os.path.join(self._folder, name))
        self._started.append(process)
        deadline = time.monotonic() + processes.START_SECONDS
        connection = Connection(process.url)
        while connection.request("GET", "/-/ready")[0] != 200:
            if time.monotonic() > deadline:
                raise RuntimeError("Prometheus is not ready after %d s:\n%s" % (processes.START_SECONDS, process.log()))
        connection.close()
        return process

    def _noisy(self, seed):
        if seed not in self._connections:
            connection = Connection(self._prometheus("noise%d" % seed).url)
            connection.load(promql_data.Data(self._seed), seed)
            self._connections[seed] = connection
        return self._connections[seed]

    def __exit__(self, *_):
        if self._pair:
            self._pair.close()
        for connection in self._connections.values():
            connection.close()
        for process in self._started:
            process.kill()
