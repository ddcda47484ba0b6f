"""Does to a Forebay table what nobody should, so that a test can see whether it is noticed.

    python tamper.py TABLE KEYRING row|file|back KEPT [--s3-endpoint URL] [--s3-region REGION]

TABLE and KEYRING are as in oracle.py. `row` puts a file without its last row in the place of the table's largest, `file`
takes that file away; both keep the original in the file KEPT, from which `back` restores it. Prints the path in the table.
"""

import argparse
import io
import os
import sys

import pyarrow.parquet as pq
from oracle import active_files, add_place_options, open_place, path_of, read, rows_of
from read_with_keyring import Keyring


def main():
    parser = argparse.ArgumentParser()
    add_place_options(parser)
    parser.add_argument("deed", choices=["row", "file", "back"])
    parser.add_argument("kept")
    arguments = parser.parse_args()

    files, table = open_place(arguments)
    _, active = active_files(files, table)
    add = max(active.values(), key=lambda add: (add["size"], add["path"]))
    path = path_of(table, add)
    if arguments.deed == "back":
        with open(arguments.kept, "rb") as kept, files.open_output_stream(path) as out:
            out.write(kept.read())
    else:
        with open(arguments.kept, "wb") as kept:
            kept.write(read(files, path))
    if arguments.deed == "row":
        rows = rows_of(files, table, add, Keyring(arguments.keyring), None)
        fewer = io.BytesIO()
        pq.write_table(rows.slice(0, rows.num_rows - 1), fewer)
        with files.open_output_stream(path) as out:
            out.write(fewer.getvalue())
    if arguments.deed == "file":
        files.delete_file(path)
    print(add["path"])


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # As in oracle.py.
    os._exit(0)
