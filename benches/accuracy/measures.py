"""What results are judged by. Written from the definitions, and shared with nothing that computes results."""

import math


def mape(pairs):
    """Mean absolute percentage error in percent of (actual, forecast)."""
    return 100 * mean(abs(f - a) / abs(a) for a, f in pairs)


def mae(pairs):
    return mean(abs(f - a) for a, f in pairs)


def rmse(pairs):
    return math.sqrt(mean((f - a) ** 2 for a, f in pairs))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def coverage(bounds):
    """Share in percent of (actual, lo, hi) within its bounds."""
    return 100 * mean(lo <= a <= hi for a, lo, hi in bounds)


def rcrps(forecasts, level):
    """Continuous ranked probability score over the range of the actual values, of (actual, lo, value, hi).

    Twice the mean pinball loss over the quantiles that a forecast has: the lower bound, the value as the median and the
    upper bound. With three quantiles it is coarse, and not comparable to a score over many.
    """
    tail = (1 - level) / 2
    losses = []
    for actual, lo, value, hi in forecasts:
        for share, quantile in ((tail, lo), (0.5, value), (1 - tail, hi)):
            error = actual - quantile
            losses.append(max(share * error, (share - 1) * error))
    actual = [forecast[0] for forecast in forecasts]
    return 2 * mean(losses) / (max(actual) - min(actual))


class Confusion:
    """Counts over (is anomalous, was flagged)."""

    def __init__(self, rows):
        rows = list(rows)
        self.tp = sum(truth and flag for truth, flag in rows)
        self.fp = sum(flag and not truth for truth, flag in rows)
        self.fn = sum(truth and not flag for truth, flag in rows)
        self.tn = len(rows) - self.tp - self.fp - self.fn

    def f1(self):
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn)

    def false_alarm_rate(self):
        """Percent of sound rows that were flagged."""
        return 100 * self.fp / (self.fp + self.tn)

    def missed(self):
        """Percent of anomalous rows that were not flagged."""
        return 100 * self.fn / (self.fn + self.tp)


def nab(times, windows, detections):
    """Score of the Numenta Anomaly Benchmark, standard profile, normalised to 100 (Lavin and Ahmad 2015).

    `times` of the rows and (first, last) of `windows`, ascending. The first 15 % of the rows, at most 750, are not judged.
    """
    probation = min(int(0.15 * len(times)), 750)
    rows = {at: row for row, at in enumerate(times)}
    spans = [(first_at_or_after(times, a), last_at_or_before(times, b)) for a, b in windows]
    found = {}
    false = 0.0
    for at in detections:
        row = rows.get(at)
        if row is None:
            row = first_at_or_after(times, at)
        if row < probation or row >= len(times):
            continue
        inside = next((i for i, (a, b) in enumerate(spans) if a <= row <= b), None)
        if inside is not None:
            a, b = spans[inside]
            gain = sigmoid(-(b - row + 1) / (b - a + 1)) / sigmoid(-1.0)
            found[inside] = max(found.get(inside, -1.0), gain)
            continue
        before = [(a, b) for a, b in spans if b < row]
        if before:
            a, b = before[-1]
            false += 0.11 * sigmoid((row - b) / (b - a))
        else:
            false -= 0.11
    raw = sum(found.values()) + false - (len(spans) - len(found))
    return 100 * (raw + len(spans)) / (2 * len(spans))


def sigmoid(x):
    return -1.0 if x > 3 else 2 / (1 + math.exp(5 * x)) - 1


def first_at_or_after(times, at):
    return next((row for row, time in enumerate(times) if time >= at), len(times))


def last_at_or_before(times, at):
    return max(row for row, time in enumerate(times) if time <= at)
