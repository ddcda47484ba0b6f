"""The rows of the table, and the page that holds them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Figure:
    """One figure beside what it is held against."""

    measure: str
    ours: str
    aim: str = "–"
    baseline: str = "–"
    trivial: str = "–"
    """What chance, or an alarm that never ends, reaches."""
    published: str = "–"


@dataclass
class Evaluation:
    """What one set of data gave."""

    name: str
    how: str
    figures: list
    seconds: float


def markdown(evaluations):
    lines = [
        "| Data | Measure | Forebay | Aim | Named baseline | Chance or always | Best published | Jobs took |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in evaluations:
        for figure in one.figures:
            cells = (one.name, figure.measure, figure.ours, figure.aim, figure.baseline, figure.trivial, figure.published)
            lines.append("| " + " | ".join((*cells, f"{one.seconds:.0f} s")) + " |")
    lines.append("")
    for one in evaluations:
        lines += [f"**{one.name}.** {one.how}", ""]
    return "\n".join(lines)


BEGIN = "<!-- figures: written by cargo xtask evaluate -->"
END = "<!-- end of figures -->"


def rewrite(page, evaluations):
    """Puts the table between the page's marks."""
    page = Path(page)
    text = page.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{markdown(evaluations)}{END}{tail}")
