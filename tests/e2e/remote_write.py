"""The bytes of Prometheus' remote write 1.0, by hand: a protobuf WriteRequest in a Snappy block.

Snappy allows a block of literals only, so nothing is compressed here and the standard library is enough.

A value is a float, or the 8 bytes of its bits (little-endian) where a float would lose them: NaNs with a payload.
"""

import struct

STALE = struct.pack("<Q", 0x7FF0000000000002)  # "the series ends here", and no value
LITERAL_MAX = 1 << 16


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, content):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def value_bits(value):
    return value if isinstance(value, bytes) else struct.pack("<d", value)


def time_series(labels, samples):
    """labels: [(name, value)] sorted by name; samples: [(timestamp_ms, value)] in the order of time."""
    parts = [field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in labels]
    parts += [field(2, b"\x09" + value_bits(value) + b"\x10" + varint(at)) for at, value in samples]
    return field(1, b"".join(parts))


def snappy(content):
    parts = [varint(len(content))]
    for begin in range(0, len(content), LITERAL_MAX):
        literal = content[begin:begin + LITERAL_MAX]
        parts += [b"\xf4", struct.pack("<H", len(literal) - 1), literal]  # 61 << 2: a length of two bytes follows
    return b"".join(parts)


def write_request(series):
    """series: [(labels, samples)]; the body of a POST /api/v1/write."""
    return snappy(b"".join(time_series(labels, samples) for labels, samples in series))


HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
