"""Reading and writing of the sets' files."""

import csv
import gzip
from datetime import datetime, timezone


def read(path, delimiter=","):
    """Rows of a CSV file, plain or gzip, as dictionaries."""
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        out.writerows(rows)


def instant(text):
    """Seconds since 1970 of a time in UTC; a time without a zone is UTC."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return at.timestamp()


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
