"""The HTTP API of tinyobs-serve as its clients use it, with the standard library only.

Numbers are read with parse_int=float: the default would turn "-0" into 0 and lose its sign.
One Client is one connection and one thread's.
"""

import datetime
import http.client
import json
import urllib.parse

MAX_SAMPLES = 1000  # of one request

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)


def to_rfc3339(timestamp_ms):
    moment = EPOCH + timestamp_ms * MILLISECOND
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (timestamp_ms % 1000)


def from_rfc3339(text):
    """Milliseconds; an answer with finer digits than it was given is an error, not rounded away."""
    head, _, fraction = text.rstrip("Z").partition(".")
    if not text.endswith("Z") or len(fraction.rstrip("0")) > 3:
        raise ValueError("not a UTC time of whole milliseconds: %r" % text)
    moment = datetime.datetime.strptime(head, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return (moment - EPOCH) // MILLISECOND + int((fraction + "000")[:3])


def ingest_body(samples):
    """samples: [(labels, type, timestamp_ms, value)], values finite."""
    metrics = []
    for labels, kind, timestamp_ms, value in samples:
        rest = dict(labels)
        metric = {"name": rest.pop("__name__"), "type": kind, "value": value, "timestamp": to_rfc3339(timestamp_ms)}
        if rest:
            metric["labels"] = rest
        metrics.append(metric)
    return json.dumps({"metrics": metrics}, allow_nan=False).encode()


def _labels(name, labels):
    return tuple(sorted({**(labels or {}), "__name__": name}.items()))


class Client:
    def __init__(self, base_url, timeout_s=20):
        address = urllib.parse.urlsplit(base_url)
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)

    def close(self):
        self._connection.close()

    def _answer(self, what):
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError("%s: HTTP %d: %s" % (what, response.status, body[:500].decode("utf-8", "replace")))
        return json.loads(body, parse_int=float)

    def start_ingest(self, body):
        """Sends a request and does not wait for the answer: that is finish_ingest."""
        self._connection.request("POST", "/v1/ingest", body, {"Content-Type": "application/json"})

    def finish_ingest(self, count):
        answer = self._answer("POST /v1/ingest")
        if answer.get("status") != "success" or answer.get("count") != count:
            raise RuntimeError("POST /v1/ingest of %d samples answered %r" % (count, answer))

    def _get(self, path, **parameters):
        target = path + ("?" + urllib.parse.urlencode(parameters) if parameters else "")
        self._connection.request("GET", target)
        return self._answer("GET " + target)

    def metric_names(self):
        return self._get("/v1/metrics/list")["metrics"] or []

    def query(self, metric, start_ms, end_ms):
        """{(labels, timestamp_ms): value} of /v1/query."""
        answer = self._get("/v1/query", metric=metric, start=to_rfc3339(start_ms), end=to_rfc3339(end_ms))
        samples = answer["metrics"] or []
        found = {
            (_labels(sample["name"], sample.get("labels")), from_rfc3339(sample["timestamp"])): float(sample["value"])
            for sample in samples
        }
        if not len(found) == len(samples) == answer["count"]:
            raise RuntimeError("/v1/query of %s: count %r, %d samples, %d of them different" % (
                metric, answer["count"], len(samples), len(found)))
        return found

    def downsample(self):
        self._connection.request("POST", "/v1/admin/downsample")
        return self._answer("POST /v1/admin/downsample")

    def query_tier(self, metric, start_ms, end_ms, resolution, agg):
        """{timestamp_ms: value} of the only series of a metric, of /v1/query/range; all of one resolution."""
        answer = self._get("/v1/query/range", metric=metric, start=to_rfc3339(start_ms), end=to_rfc3339(end_ms),
                           maxPoints=5000, resolution=resolution, agg=agg)
        (series,) = answer["data"]
        if series["resolution"] != resolution or "warnings" in answer:
            raise RuntimeError("/v1/query/range of %s at %s: %r, warnings %r" % (
                metric, resolution, series["resolution"], answer.get("warnings")))
        return {int(point["t"]): float(point["v"]) for point in series["points"]}

    def query_range(self, metric, start_ms, end_ms):
        """{(labels, timestamp_ms): value} of /v1/query/range, nothing thinned out."""
        answer = self._get("/v1/query/range", metric=metric, start=to_rfc3339(start_ms), end=to_rfc3339(end_ms),
                           maxPoints=5000)
        found = {}
        for series in answer["data"] or []:
            if series["resolution"] != "raw":
                raise RuntimeError("/v1/query/range of %s: resolution %r" % (metric, series["resolution"]))
            times = [point["t"] for point in series["points"]]
            if times != sorted(set(times)):
                raise RuntimeError("/v1/query/range of %s: points out of order: %r" % (metric, times))
            for point in series["points"]:
                found[_labels(series["metric"], series.get("labels")), int(point["t"])] = float(point["v"])
        return found
