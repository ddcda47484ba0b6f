"""Vibration of bearings with a fault of one race (MFPT)."""

import json

from table import Evaluation, Figure

from . import rows
from .mat5 import numbers

JOB = """
[[job]]
name = "bearings"
kind = "vibration"
on = "window_closed"
devices = ["*-*"]
tags = ["gs"]
sample_rate = 48828.0
shaft_hz = 25.0
bearing = { balls = 8, ball_diameter = 0.235, pitch_diameter = 1.245, contact_angle = 0.0 }
"""
RATE = 48_828
START = rows.instant("2024-01-01T00:00:00Z")


def evaluate(data, folder, sites):
    site = sites("lake", JOB)
    truth = {}
    for path in sorted((data / "mfpt_bearing").glob("*.mat")):
        device = path.stem.replace("_vload_", "-").lower()
        truth[device] = "inner race" if device.startswith("inner") else "outer race"
        signal = numbers(path, "gs")
        csv = folder / f"{device}.csv"
        at = lambda n: round(START * 1e6) + round(n * 1e6 / RATE)
        rows.write(csv, ["time", "gs"], ((at(n), value) for n, value in enumerate(signal)))
        site.import_csv(csv, "time", "--time-format", "us", "--device", device)
    site.backfill("bearings", rows.rfc3339(START), rows.rfc3339(START + 7200))
    found = site.query("select device, contributions from scores where job = 'bearings'")
    parts = {row["device"]: json.loads(row["contributions"])["part"] for row in found}
    right = sum(parts.get(device) == part for device, part in truth.items())
    figures = [
        Figure("faulty race named", f"{right} of {len(truth)}", "all", "envelope spectrum: 14 of 14", "1 in 4 (chance)")
    ]
    return Evaluation("mfpt", "Each record is one window of a machine without a past.", figures, site.seconds)
