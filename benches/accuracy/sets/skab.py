"""Skoltech's pump rig: the first 400 rows of a file train, the rest is judged row by row."""

from measures import Confusion
from table import Evaluation, Figure

from . import rows

JOB = """
[[job]]
name = "rig"
kind = "predictive_maintenance"
on = "window_closed"
devices = ["valve1-*"]
tags = ["*"]
method = "multivariate"
train = "400 rows"
"""
TRAIN_ROWS = 400


def evaluate(data, folder, sites):
    site = sites("lake", JOB)
    truth = {}
    for path in sorted((data / "skab/valve1").glob("*.csv")):
        table = rows.read(path, ";")
        device = f"valve1-{path.stem}"
        tags = [name for name in table[0] if name not in ("datetime", "anomaly", "changepoint")]
        site.import_csv(
            path, "datetime", "--device", device, "--separator", ";", "--time-format", "%Y-%m-%d %H:%M:%S",
            "--tags", ",".join(tags),
        )  # fmt: skip
        for row in table[TRAIN_ROWS:]:
            truth[device, rows.instant(row["datetime"])] = float(row["anomaly"]) > 0.5
    first, last = min(at for _, at in truth), max(at for _, at in truth)
    site.backfill("rig", rows.rfc3339(first - 3600), rows.rfc3339(last + 7200))
    found = site.query("select device, event_time, anomalous from scores where job = 'rig'")
    flagged = {(row["device"], rows.instant(row["event_time"])): row["anomalous"] for row in found}
    counts = Confusion((label, flagged.get(key, False)) for key, label in truth.items())
    always = Confusion((label, True) for label in truth.values())
    begun = site.query("select device, alert_id, min(first_seen) as at from alerts where job = 'rig' group by 1, 2")
    labels = {key for key, label in truth.items() if label}
    false = sum((row["device"], rows.instant(row["at"])) not in labels for row in begun)
    figures = [
        Figure("F1", f"{counts.f1():.3f}", "≥ 0.82", "T² of a 30-row mean, 10 × its training maximum: 0.803",
               f"{always.f1():.3f} (always)", "0.78 (Conv-AE)"),
        Figure("false-alarm rate, %", f"{counts.false_alarm_rate():.1f}", "≤ 20", "26.6", "100 (always)"),
        Figure("missed, %", f"{counts.missed():.1f}", "–", "17.5", "0 (always)"),
        Figure("rows judged, %", f"{100 * sum(key in flagged for key in truth) / len(truth):.1f}"),
        Figure("warnings that begin outside a labelled fault", f"{false} in {len(truth) / 3600:.1f} h of rig time"),
    ]  # fmt: skip
    how = "16 files of valve1, all with one setting; each row after the 400th is judged against its label."
    return Evaluation("skab valve1", how, figures, site.seconds)
