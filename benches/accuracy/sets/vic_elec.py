"""Half-hourly demand of Victoria, day ahead from local midnight, second half of 2013."""

import random

from measures import coverage, mape, rcrps
from table import Evaluation, Figure

from . import rows

ZONE = "Australia/Melbourne"
START, END = "2013-06-30T14:00:00Z", "2013-12-31T13:00:00Z"
"""Midnight of 1 July and of 1 January in Melbourne."""

JOB = """
[[job]]
name = "{name}"
kind = "grid_demand"
schedule = "0 0 * * *"
timezone = "Australia/Melbourne"
devices = ["vic"]
tags = ["demand_mwh"]
holiday = "holiday"
known_ahead = {ahead}
step = "30m"
horizon = "1d"
level = 0.9
{more}
"""
JOBS = {
    "calendar": JOB.format(name="calendar", ahead='["holiday"]', more=""),
    "weather": JOB.format(
        name="weather", ahead='["holiday", "temp_forecast"]', more='temperature = "temp_forecast"'
    ),
}


def evaluate(data, folder, sites):
    site = sites("lake", "".join(JOBS.values()), window="1d")
    seeded = random.Random(2013)
    table = rows.read(data / "vic_elec/vic_elec_2012_2013.csv.gz")
    header = ["time", "demand_mwh", "temp_forecast", "holiday"]
    rows.write(
        folder / "vic.csv",
        header,
        (
            (
                row["time_utc"],
                row["demand_mwh"],
                round(float(row["temp_c"]) + seeded.gauss(0, 1.5), 3),
                int(row["holiday"] == "True"),
            )
            for row in table
        ),
    )
    site.import_csv(folder / "vic.csv", "time", "--device", "vic")
    actual = {rows.instant(row["time_utc"]): float(row["demand_mwh"]) for row in table}
    figures = []
    aims = {"calendar": "≤ 3.2", "weather": "≤ 2.8"}
    baselines = {
        "calendar": "ridge and boosting, mean: 3.28; last day of its type 4.37; a week ago 6.14",
        "weather": "ridge 2.85",
    }
    for name in JOBS:
        site.backfill(name, START, END)
        forecasts = made(site, name, actual)
        wanted = sum(rows.instant(START) <= at < rows.instant(END) for at in actual)
        if len(forecasts) != wanted:
            raise RuntimeError(f"{len(forecasts)} forecasts for {wanted} half hours")
        what = "without temperature" if name == "calendar" else "temperature with an error of σ 1.5 °C"
        figures += [
            Figure(
                f"MAPE, {what}, %",
                f"{mape((a, v) for a, _, v, _ in forecasts):.2f}",
                aims[name],
                baselines[name],
                "7.49 (a day ago)",
            ),
            Figure(
                f"90 % coverage, {what}, %",
                f"{coverage((a, lo, hi) for a, lo, _, hi in forecasts):.1f}",
                "88–93",
                "89.5 (conformal)",
            ),
            Figure(f"rCRPS of three quantiles, {what}", f"{rcrps(forecasts, 0.9):.4f}"),
        ]
    how = (
        "184 fires at local midnight, each sees only what came before it, and holidays (and temperatures) ahead; "
        "days of 46 and 50 half hours are in it."
    )
    return Evaluation("vic_elec", how, figures, site.seconds)


def made(site, job, actual):
    """(actual, lo, value, hi) of each forecast."""
    found = site.query(f"select target_time, value, lo, hi from predictions where job = '{job}'")
    return [(actual[rows.instant(row["target_time"])], row["lo"], row["value"], row["hi"]) for row in found]
