"""Reads one named array of numbers out of a MATLAB level 5 file (MAT-File Format, MathWorks, R2014 revision)."""

import struct
import zlib

TYPES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
MATRIX, COMPRESSED = 14, 15
STRUCTURE = 2
HEADER = 128


def numbers(path, field):
    """The numbers of `field`, which lies in the file's only structure."""
    data = path.read_bytes()
    for kind, body in elements(data[HEADER:]):
        if kind == COMPRESSED:
            ((kind, body),) = elements(zlib.decompress(body))
        if kind == MATRIX and (found := in_structure(body, field)) is not None:
            return found
    raise ValueError(f"{path} has no {field!r}")


def elements(data):
    """(type, bytes) of each element; the small form holds up to four bytes in its tag."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:
            yield kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)]
            at += 8
            continue
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size
        if kind != COMPRESSED:
            at += -size % 8


def in_structure(body, field):
    parts = list(elements(body))
    flags = struct.unpack("<II", parts[0][1])[0]
    if flags & 0xFF != STRUCTURE:
        return None
    length = struct.unpack("<i", parts[3][1])[0]
    names = [parts[4][1][n : n + length].split(b"\0")[0].decode() for n in range(0, len(parts[4][1]), length)]
    if field not in names:
        return None
    _, (kind, raw) = list(elements(parts[5 + names.index(field)][1]))[2:4]
    return [value for (value,) in struct.iter_unpack("<" + TYPES[kind], raw)]
