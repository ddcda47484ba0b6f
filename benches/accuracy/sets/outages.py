"""Power and communication lost on simulated feeders: seeded, with meters that drop readings on healthy days."""

import random

from table import Evaluation, Figure

from . import rows

FEEDERS, METERS, DAYS, STEP = 6, 25, 30, 900
START = rows.instant("2024-03-01T00:00:00Z")
JOB = """
[[job]]
name = "outages"
kind = "grid_outage"
schedule = "0 * * * *"
tags = ["kwh"]
last_gasp = "last_gasp"
feeders = {{ {feeders} }}
"""


def evaluate(data, folder, sites):
    names = [f"f{n:02}" for n in range(1, FEEDERS + 1)]
    job = JOB.format(feeders=", ".join(f'{name} = ["{name}-*"]' for name in names))
    site = sites("lake", job, window="1d")
    seeded = random.Random(5)
    truth = [event for name in names for event in planned(name, seeded)]
    rows.write(folder / "meters.csv", ["time", "device", "kwh", "last_gasp"], readings(names, truth, seeded))
    site.import_csv(folder / "meters.csv", "time", "--device-column", "device")
    end = START + DAYS * 86_400
    site.backfill("outages", rows.rfc3339(START + 86_400), rows.rfc3339(end))
    found = [
        (row["device"], row["kind"], rows.instant(row["from_time"]), rows.instant(row["to_time"] or rows.rfc3339(end)))
        for row in site.query(
            "select event_id, device, kind, min(from_time) as from_time, max(to_time) as to_time "
            "from events where job = 'outages' group by 1, 2, 3"
        )
    ]
    losses = [event for event in truth if event[1] == "power_loss"]
    hits = sum(any(matches(event, one) for one in found) for event in losses)
    called = sum(
        any(one[1] == "power_loss" and overlaps(event, one) for one in found)
        for event in truth
        if event[1] == "communication_loss"
    )
    false = sum(
        one[1] == "power_loss" and not any(overlaps(event, one) for event in losses) for one in found
    )
    silent = [event for event in truth if event[1] == "communication_loss"]
    told = sum(any(matches(event, one) for one in found) for event in silent)
    months = FEEDERS * DAYS / 30
    figures = [
        Figure("power losses found", f"{hits} of {len(losses)}", "≥ 95 %"),
        Figure("false power losses a feeder and month", f"{false / months:.2f}", "≤ 1"),
        Figure("communication losses called power losses", f"{called} of {len(silent)}", "none"),
        Figure("communication losses found", f"{told} of {len(silent)}"),
    ]
    how = (
        f"{FEEDERS} feeders of {METERS} meters for {DAYS} days; 2 % of readings and half of the last gasps get lost, power "
        "fails for 30 min to 6 h for all or for a branch of the meters, concentrators fall silent without a last gasp."
    )
    return Evaluation("simulated outages", how, figures, site.seconds)


def planned(feeder, seeded):
    """(feeder, kind, from, to, meters) of five losses of power and five of communication, a day or more apart."""
    days = seeded.sample(range(2, DAYS - 1), 10)
    for n, day in enumerate(days):
        kind = "power_loss" if n % 2 == 0 else "communication_loss"
        begin = START + day * 86_400 + seeded.randrange(0, 17 * 4) * STEP
        length = seeded.randrange(2, 24) * STEP
        share = 1.0 if seeded.random() < 0.5 else 0.5
        meters = set(seeded.sample(range(METERS), round(share * METERS)))
        yield feeder, kind, begin, begin + length, meters


def readings(names, truth, seeded):
    for name in names:
        events = [event for event in truth if event[0] == name]
        for meter in range(METERS):
            device = f"{name}-{meter:02}"
            for step in range(DAYS * 86_400 // STEP):
                at = START + step * STEP
                away = [event for event in events if meter in event[4] and event[2] < at <= event[3]]
                if not away and seeded.random() > 0.02:
                    yield rows.rfc3339(at), device, f"{seeded.uniform(0.05, 0.6):.3f}", ""
            for _, kind, begin, _, meters in events:
                if kind == "power_loss" and meter in meters and seeded.random() < 0.5:
                    yield rows.rfc3339(begin + 1), device, "", "1"


def overlaps(event, one):
    return event[0] == one[0] and event[2] < one[3] and one[2] < event[3]


def matches(event, one):
    return event[1] == one[1] and overlaps(event, one)
