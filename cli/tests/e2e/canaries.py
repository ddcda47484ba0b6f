"""Looks for words in every file of a folder: in the bytes, and in all that can be decompressed or read without a key.

    python canaries.py FOLDER WORD...

Prints one line for each find, "WORD<tab>HOW<tab>FILE", where HOW is

    raw     in the file's own bytes
    frame   in a zstd, gzip, zlib or framed snappy stream that begins anywhere in the file
    table   in a value or in the metadata of a Parquet file that opens without keys

and at last "looked<tab>FILES<tab>STREAMS": how many files there were, and how many streams could be decompressed.
"""

import os
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

STREAM_MAX = 1 << 24
ZSTD = b"\x28\xb5\x2f\xfd"
GZIP = b"\x1f\x8b\x08"
ZLIB = [b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"]


def starts(data, magic):
    at = data.find(magic)
    while at >= 0:
        yield at
        at = data.find(magic, at + 1)


def unzstd(data):
    """A frame and no more: what follows it is none, and would take with it what a longer read holds already."""
    out = bytearray()
    stream = pa.CompressedInputStream(pa.BufferReader(data), "zstd")
    try:
        while len(out) < STREAM_MAX and (piece := stream.read(1)):
            out += piece
    except (OSError, pa.ArrowException):
        pass
    return bytes(out)


def inflate(data, window):
    try:
        return zlib.decompressobj(window).decompress(data, STREAM_MAX)
    except zlib.error:
        return b""


def unsnap(data):
    """A snappy block: it begins with its length in 7 bits a byte."""
    length, shift = 0, 0
    for byte in data[:4]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        return b""
    if not 8 <= length <= 1 << 20:
        return b""
    try:
        return pa.Codec("snappy").decompress(data, decompressed_size=length).to_pybytes()
    except (OSError, ValueError, pa.ArrowException):
        return b""


def parquet_table(path):
    """What a file tells without keys, whatever its pages are compressed with."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
            schema, metadata = file.schema_arrow, file.metadata
            stats = [
                metadata.row_group(group).column(column)
                for group in range(metadata.num_row_groups)
                for column in range(metadata.num_columns)
            ]
    except (OSError, pa.ArrowException):
        return b""
    return "\n".join(map(str, [table.to_pylist(), schema, metadata.metadata, *stats])).encode()


def streams(data):
    for at in starts(data, ZSTD):
        yield unzstd(data[at:])
    for at in starts(data, GZIP):
        yield inflate(data[at:], 31)
    for magic in ZLIB:
        for at in starts(data, magic):
            yield inflate(data[at:], 15)
    for at in starts(data, b"sNaPpY"):
        # A framed stream: chunks of type 0 hold a checksum and a block (framing format 1.0).
        place = at + 6
        while place + 8 <= len(data):
            kind, size = data[place], int.from_bytes(data[place + 1 : place + 4], "little")
            if kind == 0:
                yield unsnap(data[place + 8 : place + 4 + size])
            place += 4 + size


def main(folder, words):
    files, found_streams = 0, 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if not os.path.isfile(path):  # a socket holds nothing
                continue
            with open(path, "rb") as file:
                data = file.read()
            files += 1
            plain = [out for out in streams(data) if out]
            found_streams += len(plain)
            table = parquet_table(path) if data[:4] == b"PAR1" else b""
            for word in words:
                wanted = word.encode()
                for how, found in [
                    ("raw", wanted in data),
                    ("frame", any(wanted in out for out in plain)),
                    ("table", wanted in table),
                ]:
                    if found:
                        print(word, how, os.path.relpath(path, folder), sep="\t")
    print("looked", files, found_streams, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
