"""Prometheus and tinyobs-serve side by side, with the same data, asked the same things.

Both get the same requests, byte for byte, the first of which names all series in the order of labels. Prometheus adds
values up in that order always, ours in the order in which it got to know the series: so both add in one order, and most
sums are the same to the last bit.

A difference counts, unless one of these was shown of the very values that differ:
- Prometheus differs from itself there (promql_compare.varies) when it is asked again;
- only at random (`noisy`): more Prometheus servers, whose samples have noise in their last bits, differ there, and not much less
  than ours (promql_compare.ill_conditioned): the variance of equal values, avg_over_time() == 2, sin(x ^ 31);
- both agree a millisecond later, and the query is promql_compare.UNADJUSTED.
All are counted and shown, and the tests bound how many there may be.
"""

import http.client
import os
import time
import urllib.parse

import processes
import promql_compare
import promql_data
import remote_write

ASKED_AGAIN = 30
NOISES = 8
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Connection:
    def __init__(self, url, timeout_s=60):
        address = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)
        self.headers = {}

    def close(self):
        self._connection.close()

    def request(self, method, target, body=None, headers=None):
        """(status, content)."""
        self._connection.request(method, target, body, headers or {})
        response = self._connection.getresponse()
        self.headers = response.headers
        return response.status, response.read()

    def ask(self, method, target):
        return promql_compare.Answer(*self.request(method, target), self.headers)

    def post(self, endpoint, **parameters):
        body = urllib.parse.urlencode(parameters)
        return promql_compare.Answer(*self.request("POST", "/api/v1/" + endpoint, body, FORM))

    def load(self, data, noise=0):
        for body in data.requests(noise):
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
        self.unadjusted = []

    def close(self):
        self.prometheus.close()
        self.ours.close()

    def load(self, data):
        for name, connection in (("Prometheus", self.prometheus), ("ours", self.ours))[:1 if self._alone else 2]:
            began = time.monotonic()
            connection.load(data)
            print("%s: loaded in %.1f s" % (name, time.monotonic() - began), flush=True)

    def _compare(self, endpoint, query, **parameters):
        """(what differs or None, Prometheus' answer)."""
        is_range = endpoint == "query_range"
        theirs = self.prometheus.post(endpoint, query=query, **parameters)
        ours = self.ours.post(endpoint, query=query, **parameters)
        self.requests += 1
        found = promql_compare.difference(query, is_range, ours, theirs)
        if found and not self._excused(endpoint, query, parameters, ours, theirs, found):
            return found, theirs
        return None, theirs

    def _excused(self, endpoint, query, parameters, ours, theirs, found):
        """One of the three reasons above holds. Few queries get here."""
        where = "%s\n      %s" % (query, found)
        if promql_compare.UNADJUSTED.search(query):
            later = {name: "%.3f" % (float(value) + (name != "step") * 0.001) for name, value in parameters.items()}
            if not promql_compare.difference(query, endpoint == "query_range", *(
                    server.post(endpoint, query=query, **later) for server in (self.ours, self.prometheus))):
                self.unadjusted.append(where)
                return True
        if found.startswith(promql_compare.ORDER):
            for _ in range(ASKED_AGAIN):
                if promql_compare.order(self.prometheus.post(endpoint, query=query, **parameters)) != promql_compare.order(theirs):
                    self.unstable.append(where)
                    return True
            return False
        answers = [theirs]
        for _ in range(ASKED_AGAIN):
            answers.append(self.prometheus.post(endpoint, query=query, **parameters))
            if promql_compare.varies(ours, answers):
                self.unstable.append(where)
                return True
        noisy = []
        for seed in range(1, NOISES + 1) if self._noisy else ():
            noisy.append(self._noisy(seed).post(endpoint, query=query, **parameters))
            if promql_compare.ill_conditioned(ours, theirs, noisy):
                self.ill_conditioned.append(where)
                return True
        return False

    def instant(self, query, at_s):
        return self._compare("query", query, time=seconds(at_s))

    def range(self, query, start_s, end_s, step_s):
        return self._compare("query_range", query, start=seconds(start_s), end=seconds(end_s), step="%.3f" % step_s)

    def listing(self, target, method="GET"):
        self.requests += 1
        theirs = self.prometheus.ask(method, target)
        ranged = "start=" in target and target.startswith("/api/v1/series?")
        return promql_compare.api_difference(self.ours.ask(method, target), theirs, ranged), theirs

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
