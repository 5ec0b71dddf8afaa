"""What a report holds: one entry for each number, and the report that lists them. Plain data, no computing and no drawing."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from deepatoms.theory.signatures import named

LENSES = ("frame potential", "sparse coding", "skip dictionaries", "splines", "residual features")
DIRECTIONS = ("lower is better", "higher is better", "no direction")
NULLS = ("re-initialised", "weights permuted")
MISSING = ("does not apply", "skipped")  # the verdicts of an entry without a number
VERDICTS = {
    "certified": "The theorem's condition is met for every input that was looked at.",
    "certified in part": "The theorem's condition is met for some inputs and not for others.",
    "not certified": "The theorem's condition is not met: it promises nothing, and forbids nothing.",
    "holds": "The theorem's assumption holds.",
    "fails": "The theorem's assumption does not hold, so the theorem does not speak of this network.",
    "at its bound": "The number is the bound itself, to one in a thousand.",
    "within its bound": "The number lies on the side of the bound that the theorem names.",
    "beyond its bound": "The number lies on the wrong side of the bound: the network does not have what the theorem "
                        "asks for.",
    "beyond its null": "No network drawn for the null gives a number as large, or none as small.",
    "within its null": "The null gives numbers as large and numbers as small: this one does not tell the network from them.",
    "saturated": "The number cannot be larger (or smaller) whatever the network is, so it says nothing.",
    "no yardstick": "There is neither a threshold nor a null to hold the number against.",
    "does not apply": "The theory is not about networks or data of this kind; the reason is given.",
    "skipped": "It could be computed, but was not: the reason is given.",
}


@dataclass(frozen=True)
class Entry:
    """One number of a report, or the reason why there is none.

    Attributes:
        lens: The theory that the number belongs to, one of ``LENSES``.
        name: What it is called; the layer's name follows a comma.
        value: The number, or None where there is none.
        unit: Its unit.
        direction: One of ``DIRECTIONS``.
        meaning: One sentence that says what it is.
        theorem: Which statement it comes from.
        threshold: What that statement compares it with, or None.
        verdict: One of ``VERDICTS``.
        nulls: For each of ``NULLS`` that was drawn, the same number of each network drawn.
        saturated: The reason why the number says nothing, or "".
        parameters: Whether the number tells more than the parameter count, which every network of a null shares with this one:
            True where it differs from all of the re-initialised, False where it is theirs; None where none were drawn.
        reason: Why there is no number, or what stands in its way.
        seconds: How long it took, nulls included.
        curve: What the number is read from, where that is a falling row of numbers: singular values.
        null_curves: For each null that was drawn, the same row of each network drawn.
    """

    lens: str
    name: str
    value: float | int | None
    unit: str = ""
    direction: str = "no direction"
    meaning: str = ""
    theorem: str = ""
    threshold: float | None = None
    verdict: str = "no yardstick"
    nulls: dict[str, list[float]] = field(default_factory=dict)
    saturated: str = ""
    parameters: bool | None = None
    reason: str = ""
    seconds: float = 0.0
    curve: tuple[float, ...] = ()
    null_curves: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The value as a table shows it: four digits, or a dash."""
        return "-" if self.value is None else shown(self.value)


@dataclass(frozen=True)
class Network:
    """What a report is about: its name, its number of parameters, and its layers of weights in the order they are used."""

    name: str
    parameters: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What five theories say of one network: entries, no total.

    Attributes:
        network: What was looked at.
        data: A sentence on the inputs and labels.
        entries: The numbers, lens by lens.
        partial: Whether it was interrupted.
        notes: What a reader of all of it has to know.
    """

    network: Network
    data: str
    entries: tuple[Entry, ...]
    partial: bool = False
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of a name."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(f"{name!r}; the report has {', '.join(repr(entry.name) for entry in self.entries)}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that ``json.dumps`` takes; numbers that are not finite become words."""
        return _plain(asdict(self))

    def __str__(self) -> str:
        """Return a table for the terminal."""
        heads = [f"{self.network.name}: {self.network.parameters:,} parameters, {len(self.network.layers)} layers of "
                 f"weights",
                 self.data]
        if self.partial:
            heads.append("PARTIAL: interrupted before all lenses were through.")
        parts = [_table(lens, [entry for entry in self.entries if entry.lens == lens]) for lens in LENSES]
        notes = [textwrap.fill(f"* {note}", 118, subsequent_indent="  ") for note in self.notes]
        return "\n\n".join(["\n".join(heads), *filter(None, parts), *(["\n".join(notes)] if notes else [])])

    def _repr_html_(self) -> str:
        """Return the report as a page shows it, for a notebook."""
        try:
            from deepatoms.reports import page
        except ImportError:  # without the packages that draw, the terminal's table stands in
            return f"<pre>{html.escape(str(self))}</pre>"
        return page.card(self)


def shown(value: float) -> str:
    """Return a number in at most four digits, whole numbers in full.

    >>> shown(0.123456), shown(12), shown(1234567.0), shown(float("inf"))
    ('0.1235', '12', '1.235e+06', 'inf')
    """
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(lens, entries):
    rows = [(entry.name, f"{entry.shown} {entry.unit}".strip(), _against(entry), entry.verdict) for entry in entries
            if entry.value is not None]
    width = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = ["  ".join([*(cell.ljust(size) for cell, size in zip(row, width, strict=False)), row[3]]) for row in rows]
    for (verdict, reason), names in _missing(entries).items():
        lines.append(textwrap.fill(f"{'; '.join(names)}: {verdict}, {reason}", 116, subsequent_indent="    "))
    return "\n".join([lens.upper(), *(f"  {line}" for line in lines)]) if lines else ""


def _missing(entries):
    """Return the names that are missing for one reason, together."""
    found: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.value is None:
            found.setdefault((entry.verdict, entry.reason), []).append(entry.name)
    return found


def _against(entry):
    """Return what the number is held against: its threshold, and the span of each null."""
    parts = [] if entry.threshold is None else [f"threshold {shown(entry.threshold)}"]
    for null, values in entry.nulls.items():
        finite = [value for value in values if not math.isnan(value)]
        if finite:
            parts.append(f"{null} {shown(min(finite))} to {shown(max(finite))}")
    return "; ".join(parts)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


named(__name__)
