"""Net load of Dutch feeders, a quarter of an hour a step, a day ahead from local midnight."""

from measures import coverage, mae
from table import Evaluation, Figure

from . import rows

JOB = """
[[job]]
name = "feeder"
kind = "grid_demand"
schedule = "0 0 * * *"
timezone = "Europe/Amsterdam"
devices = ["*"]
tags = ["load"]
temperature = "{temperature}"
regressors = {regressors}
known_ahead = {ahead}
step = "15m"
horizon = "1d"
level = 0.9
"""
WEEK = 7 * 86_400


def evaluate(data, folder, sites):
    figures, seconds = [], 0.0
    for name, read in (("287", pid_287), ("HAL", combined("HAL")), ("MNZL", combined("MNZL"))):
        header, table, temperature, regressors = read(data / "openstef_nl")
        known = regressors + ([temperature] if temperature else [])
        quoted = lambda names: "[" + ", ".join(f'"{one}"' for one in names) + "]"
        job = JOB.format(temperature=temperature, regressors=quoted(regressors), ahead=quoted(known))
        if not temperature:
            job = job.replace('temperature = ""\n', "")
        site = sites(name, job, window="1d")
        rows.write(folder / f"{name}.csv", header, table)
        site.import_csv(folder / f"{name}.csv", "time", "--device", name)
        actual = {rows.instant(row[0]): float(row[1]) for row in table if row[1] != ""}
        first, last = min(actual), max(actual)
        # A third of the record is history alone.
        begin = first + (last - first) / 3
        site.backfill("feeder", rows.rfc3339(begin), rows.rfc3339(last))
        found = site.query("select target_time, value, lo, hi, model_version from predictions where job = 'feeder'")
        both = [
            (actual[at], row, actual[at - WEEK])
            for row in found
            if (at := rows.instant(row["target_time"])) in actual and at - WEEK in actual
        ]
        ours = mae((a, row["value"]) for a, row, _ in both)
        naive = mae((a, week) for a, _, week in both)
        spread = max(actual.values()) - min(actual.values())
        versions = sorted({row["model_version"].split(" ")[0] for row in found})
        figures += [
            Figure(
                f"{name}: skill against a week ago",
                f"{1 - ours / naive:+.3f} ({', '.join(versions)})",
                "> 0, else the baseline",
                f"MAE {ours:.3f} against {naive:.3f} MW; {100 * ours / spread:.2f} % against {100 * naive / spread:.2f} % of the range",
                "0",
                "287, all of it: 6.62 % (LightGBM), 8.43 % (naive)" if name == "287" else "–",
            ),
            Figure(
                f"{name}: 90 % coverage, %",
                f"{coverage((a, row['lo'], row['hi']) for a, row, _ in both):.1f}",
                "88–93",
            ),
        ]
        seconds += site.seconds
    how = "The last two thirds of each record, weather known ahead; judged where the load a week before is known too."
    return Evaluation("openstef_nl", how, figures, seconds)


def pid_287(folder):
    table = rows.read(folder / "pid_287.csv.gz")
    names = ["temp", "radiation", "windspeed_100m"]
    body = [[row["index"].replace(" ", "T"), row["load"], *(row[name] for name in names)] for row in table]
    return ["time", "load", *names], body, "temp", names[1:]


def combined(name):
    def read(folder):
        table = rows.read(folder / f"{name}.csv")
        names = ["radiation", "windspeed_100m"]
        body = [
            [row["datetime"].replace(" ", "T"), row["total_substation"], *(row[one] for one in names)] for row in table
        ]
        return ["time", "load", *names], body, "", names

    return read
