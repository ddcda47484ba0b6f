"""Labelled records of the Numenta Anomaly Benchmark, one setting for all; a regression test, as the settings saw one."""

import json

from measures import nab
from table import Evaluation, Figure

from . import rows

JOB = """
[[job]]
name = "machines"
kind = "predictive_maintenance"
schedule = "0 * * * *"
devices = ["*"]
tags = ["value"]
method = "change"
spread = "levels"
points_min = 96
"""
NAMES = {
    "machine_temperature_system_failure": ("≥ 90", "94.1 (EWMA chosen on it)", "82.0 (ARTime)"),
    "ambient_temperature_system_failure": ("≥ 90", "85.9 (EWMA)", "91.4 (ARTime)"),
    "cpu_utilization_asg_misconfiguration": ("–", "–", "–"),
}


def evaluate(data, folder, sites):
    windows = json.loads((data / "nab/combined_windows.json").read_text())
    figures, seconds = [], 0.0
    for name, (aim, baseline, published) in NAMES.items():
        site = sites(name, JOB, window="1d")
        path = data / f"nab/{name}.csv"
        site.import_csv(path, "timestamp", "--device", name, "--time-format", "%Y-%m-%d %H:%M:%S")
        times = sorted({rows.instant(row["timestamp"]) for row in rows.read(path)})
        site.backfill("machines", rows.rfc3339(times[0]), rows.rfc3339(times[-1]))
        begun = site.query("select alert_id, min(first_seen) as at from alerts group by 1 order by 2")
        begun = [rows.instant(row["at"]) for row in begun]
        spans = [tuple(map(rows.instant, span)) for span in windows[f"realKnownCause/{name}.csv"]]
        delays = [
            min((at - a for at in begun if a <= at <= b), default=None) for a, b in spans
        ]
        days = (times[-1] - times[0]) / 86_400
        shown = ", ".join("missed" if delay is None else f"{delay / 3600:.1f} h" for delay in delays)
        figures += [
            Figure(f"{name}: NAB score", f"{nab(times, spans, begun):.1f}", aim, baseline, "0 (silent)", published),
            Figure(f"{name}: warnings a day; delays", f"{len(begun) / days:.2f}; {shown}"),
        ]
        seconds += site.seconds
    how = "A fire each hour; a warning's `first_seen` counts as the detection. Windows are those of NAB."
    return Evaluation("nab", how, figures, seconds)
