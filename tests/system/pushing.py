# SPDX-License-Identifier: Apache-2.0
"""Pushes samples into a running flyball by remote write, without a library: protobuf and snappy by hand."""
import struct
import time
import urllib.request


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def snappy(data):
    """One literal after the other: valid, not small."""
    out = varint(len(data))
    for i in range(0, len(data), 60):
        part = data[i:i + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out


newest = 0


def push(web, samples, at=None):
    """samples: (name, labels, value); value None: a staleness marker. Without a time: now, and later than the push before."""
    global newest
    if at is None:
        newest = t = max(int(time.time() * 1000), newest + 1)
    else:
        t = int(at * 1000)
    body = b""
    for name, labels, value in samples:
        pairs = sorted({"__name__": name, **labels}.items())
        bits = struct.pack("<Q", 0x7ff0000000000002) if value is None else struct.pack("<d", value)
        body += field(1, b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in pairs)
                      + field(2, b"\x09" + bits + b"\x10" + varint(t)))
    request = urllib.request.Request(web + "/api/v1/write", snappy(body),
                                     {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})
    with urllib.request.urlopen(request, timeout=5) as r:
        assert r.status == 204
