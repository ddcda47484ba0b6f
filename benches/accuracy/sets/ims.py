"""Four bearings run to failure (IMS, test 2), as mean acceleration each ten minutes: bearing 1 fails."""

from datetime import datetime, timezone

from table import Evaluation, Figure

from . import rows

JOB = """
[[job]]
name = "bearings"
kind = "predictive_maintenance"
schedule = "0 * * * *"
devices = ["bearing-*"]
tags = ["acceleration"]
method = "change"
short = "2h"
"""
FAULTY = "bearing-1"


def evaluate(data, folder, sites):
    site = sites("lake", JOB, window="1d")
    table = rows.read(data / "ims_features/2nd_test_resmaple_10minutes.csv")
    times = [datetime.strptime(row["Datetime"], "%Y.%m.%d.%H.%M.%S").replace(tzinfo=timezone.utc) for row in table]
    rows.write(
        folder / "ims.csv",
        ["time", "device", "acceleration"],
        (
            (at.isoformat(), f"bearing-{n}", row[f"Bearing {n}"])
            for at, row in zip(times, table)
            for n in (1, 2, 3, 4)
        ),
    )
    site.import_csv(folder / "ims.csv", "time", "--device-column", "device")
    end = times[-1].timestamp()
    site.backfill("bearings", rows.rfc3339(times[0].timestamp()), rows.rfc3339(end))
    found = site.query("select device, min(first_seen) as at from alerts where job = 'bearings' group by 1 order by 2")
    before = {row["device"]: (end - rows.instant(row["at"])) / 3600 for row in found}
    shown = ", ".join(f"{device} {hours:.1f} h" for device, hours in before.items())
    figures = [
        Figure("first warning before the end", shown, f"≥ 72 h, {FAULTY} first", "72.7 h, but sound bearings warn too"),
    ]
    return Evaluation("ims test 2", "A fire each hour over the record's 164 hours.", figures, site.seconds)
