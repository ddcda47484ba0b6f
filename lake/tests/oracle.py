"""Reads a Forebay table without our code: the Delta log by itself, the files with PyArrow and the keyring.

    python oracle.py TABLE KEYRING [--values COLUMN] [--day DAY] [--s3-endpoint URL] [--s3-region REGION]

TABLE is the table's folder, or s3://bucket/path with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
Prints one JSON object:

    version   the newest version in the log
    files     how many files it has
    count     how many rows
    distinct  how many different (gateway, lane, epoch, seq)
    epochs    for each [gateway, lane, epoch]: how many different seqs, the least and the greatest
    opened    how many files were opened: with --day those whose statistics in the log may hold a time of that UTC day,
              of whose rows only those of that day count
    values    with --values: each value of the column as text, and how often it is there

A file that is missing, damaged or has another number of rows than its commit says ends it with exit code 1.
"""

import argparse
import collections
import datetime
import io
import json
import os
import re
import sys
import urllib.parse

import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from read_with_keyring import Keyring

ENTRY = re.compile(r"^(\d{20})\.json$")
CHECKPOINT = re.compile(r"^(\d{20})\.checkpoint\.parquet$")
IDENTITY = ["gateway", "lane", "epoch", "seq"]


def open_place(arguments):
    """The file system and the table's path in it."""
    url = urllib.parse.urlsplit(arguments.table)
    if url.scheme != "s3":
        return pafs.LocalFileSystem(), arguments.table.rstrip("/")
    options = {"region": arguments.s3_region}
    if arguments.s3_endpoint:
        endpoint = urllib.parse.urlsplit(arguments.s3_endpoint)
        options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    path = urllib.parse.unquote(f"{url.netloc}{url.path}").rstrip("/")
    return pafs.S3FileSystem(**options), path


def names_in(files, folder):
    return [info.base_name for info in files.get_file_info(pafs.FileSelector(folder))]


def read(files, path):
    with files.open_input_stream(path) as stream:
        return stream.read()


def active_files(files, table):
    """The newest version, and its Add actions by path: the last checkpoint, then every entry after it."""
    log = f"{table}/_delta_log"
    names = names_in(files, log)
    entries = sorted(int(m[1]) for m in map(ENTRY.match, names) if m)
    checkpoints = sorted(int(m[1]) for m in map(CHECKPOINT.match, names) if m)
    active, version = {}, -1
    if checkpoints:
        version = checkpoints[-1]
        rows = pq.read_table(io.BytesIO(read(files, f"{log}/{version:020}.checkpoint.parquet")), columns=["add"])
        for add in rows["add"].to_pylist():
            if add is not None and add["path"] is not None:
                active[add["path"]] = add
    for entry in (entry for entry in entries if entry > version):
        if entry != version + 1:
            sys.exit(f"the log has no entry {version + 1}")
        version = entry
        for line in read(files, f"{log}/{entry:020}.json").splitlines():
            action = json.loads(line)
            if "remove" in action:
                active.pop(action["remove"]["path"], None)
            if "add" in action:
                active[action["add"]["path"]] = action["add"]
    return version, active


def path_of(table, add):
    """A path in the log is URI-encoded."""
    return f"{table}/{urllib.parse.unquote(add['path'])}"


def rows_of(files, table, add, keyring, columns):
    path = path_of(table, add)
    factory = pe.CryptoFactory(lambda config: keyring)
    keys = factory.file_decryption_properties(pe.KmsConnectionConfig())
    data = io.BytesIO(read(files, path))
    sealed = data.getbuffer()[:4] == b"PARE"
    with pq.ParquetFile(data, decryption_properties=keys if sealed else None) as file:
        rows = file.read(columns)
    claimed = json.loads(add["stats"])["numRecords"] if add.get("stats") else rows.num_rows
    if claimed != rows.num_rows:
        sys.exit(f"{path} has {rows.num_rows} rows instead of {claimed}")
    return rows


def may_hold(add, day):
    """By Delta's own statistics, as Spark and others skip files."""
    stats = json.loads(add["stats"])
    # Spark skips by bounds only where it knows how many values are missing.
    assert stats["tightBounds"] is False and stats["nullCount"] == {"event_time": 0}
    bound = lambda name: datetime.date.fromisoformat(stats[name]["event_time"][:10])
    return bound("minValues") <= day <= bound("maxValues")


def of_day(rows, day):
    start = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)
    time = rows["event_time"]
    within = pc.and_(pc.greater_equal(time, start), pc.less(time, start + datetime.timedelta(days=1)))
    return rows.filter(within)


def add_place_options(parser):
    parser.add_argument("table")
    parser.add_argument("keyring")
    parser.add_argument("--s3-endpoint")
    parser.add_argument("--s3-region", default="us-east-1")


def main():
    parser = argparse.ArgumentParser()
    add_place_options(parser)
    parser.add_argument("--values")
    parser.add_argument("--day", type=datetime.date.fromisoformat)
    arguments = parser.parse_args()

    files, table = open_place(arguments)
    keyring = Keyring(arguments.keyring)
    version, active = active_files(files, table)
    columns = IDENTITY + [c for c in [arguments.values] if c and c not in IDENTITY]
    if arguments.day:
        columns.append("event_time")
    opened = [add for add in active.values() if not arguments.day or may_hold(add, arguments.day)]
    count, seqs, values = 0, collections.defaultdict(set), collections.Counter()
    for add in opened:
        rows = rows_of(files, table, add, keyring, columns)
        if arguments.day:
            rows = of_day(rows, arguments.day)
        count += rows.num_rows
        for gateway, lane, epoch, seq in zip(*(rows[name].to_pylist() for name in IDENTITY)):
            seqs[gateway, lane, epoch].add(seq)
        if arguments.values:
            values.update(map(str, rows[arguments.values].to_pylist()))
    found = {
        "version": version,
        "files": len(active),
        "opened": len(opened),
        "count": count,
        "distinct": sum(map(len, seqs.values())),
        "epochs": [[*key, len(of), min(of), max(of)] for key, of in sorted(seqs.items())],
    }
    if arguments.values:
        found["values"] = dict(sorted(values.items()))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # PyArrow's S3 client may abort while the interpreter takes itself down: everything is said by now.
    os._exit(0)
