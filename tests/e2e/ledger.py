"""What was sent to a server and what it acknowledged, and whether what it answers agrees.

The promise under test: an acknowledged sample is there, bit for bit; a sample that was sent but not acknowledged may
be there or not, but a request is there whole or not at all; and nothing else is there.

A sample's key is (labels, timestamp in ms). Values are compared as the 8 bytes of the float64, so that 0.0 and
-0.0 differ and no rounding hides. One key belongs to one request; a request may be sent again.
"""

import struct
import threading


def bits(value):
    return struct.pack("<d", value)


class Ledger:
    """Thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests = []  # [(samples, acknowledged)]

    def sent(self, samples):
        """Before a request's first byte leaves: samples is [(labels, timestamp_ms, value)]. Returns its number."""
        with self._lock:
            self._requests.append([samples, False])
            return len(self._requests) - 1

    def acknowledged(self, number):
        with self._lock:
            self._requests[number][1] = True

    def counts(self):
        """(samples sent, samples acknowledged, requests not acknowledged)"""
        with self._lock:
            sent = sum(len(samples) for samples, _ in self._requests)
            acknowledged = sum(len(samples) for samples, done in self._requests if done)
            return sent, acknowledged, sum(1 for _, done in self._requests if not done)

    def metric_names(self, acknowledged_only):
        with self._lock:
            return {
                dict(labels)["__name__"]
                for samples, done in self._requests if done or not acknowledged_only
                for labels, _, _ in samples
            }

    def differences(self, answers):
        """Sentences about {(labels, timestamp_ms): value} that break the promise; [] when it is kept."""
        found = []
        with self._lock:
            expected = {}
            for number, (samples, done) in enumerate(self._requests):
                present = 0
                for labels, timestamp, value in samples:
                    key = (labels, timestamp)
                    if key in expected:
                        found.append("the test itself sent %s twice" % (key,))
                    expected[key] = value
                    if key not in answers:
                        if done:
                            found.append("acknowledged but missing: %s at %d" % (dict(labels), timestamp))
                        continue
                    present += 1
                    if bits(answers[key]) != bits(value):
                        found.append("%s at %d: sent %r, answered %r" % (
                            dict(labels), timestamp, value, answers[key]))
                if not done and 0 < present < len(samples):
                    found.append("request %d was not acknowledged and is there in part: %d of %d samples" % (
                        number, present, len(samples)))
        for labels, timestamp in answers.keys() - expected.keys():
            found.append("never sent: %s at %d" % (dict(labels), timestamp))
        return found
