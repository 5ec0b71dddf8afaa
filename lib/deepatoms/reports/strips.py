"""The small drawings of a report, as inline SVG: a number among those of its null, and one number over the layers."""

import math
from html import escape

from deepatoms.reports.entries import Entry, shown
from deepatoms.theory.signatures import named

WIDTH, HEIGHT, EDGE = 180, 16, 6
WIDE, TALL, LEFT, RIGHT, TOP, BOTTOM = 640, 190, 100, 12, 18, 34
MOST_MARKS = 60  # of one null


def number(value: float) -> str:
    """Return a number as HTML: at most four digits, a true minus sign, powers of ten as such.

    >>> number(-0.25), number(1.5e-7), number(float("inf")), number(1234)
    ('−0.25', '1.5 × 10<sup>−7</sup>', 'infinite', '1,234')
    """
    if math.isinf(value):
        return "infinite" if value > 0 else "−infinite"
    if math.isnan(value):
        return "not a number"
    mantissa, e, power = shown(value).partition("e")
    exponent = f" × 10<sup>{int(power)}</sup>" if e else ""
    return (mantissa + exponent).replace("-", "−")


def plain(value: float) -> str:
    """Return a number for a text alternative.

    >>> plain(-0.25), plain(float("inf"))
    ('minus 0.25', 'infinite')
    """
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    return ("minus " if value < 0 else "") + shown(abs(value))


def beside(entry: Entry, null: str) -> str:
    """Return in words where the value stands among those of a null.

    >>> entry = Entry("splines", "radius", 2.0, nulls={"re-initialised": [0.5, 1.0]})
    >>> beside(entry, "re-initialised")
    'larger than all 2 re-initialised: 0.5 to 1'
    """
    drawn = entry.nulls[null]
    known = [value for value in drawn if not math.isnan(value)]
    lost = f" ({len(drawn) - len(known)} of {len(drawn)} gave no number)" if len(known) < len(drawn) else ""
    if not known or entry.value is None or math.isnan(entry.value):
        return f"{null}: nothing to compare{lost}"
    low, high, value = min(known), max(known), entry.value
    place = ("the same as" if low == high == value else "larger than all" if value > high else
             "smaller than all" if value < low else "among")
    span = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    return f"{place} {len(known)} {null.replace('weights', 'with weights')}: {span}{lost}"


class Scale:
    """Where numbers stand between two ends: evenly, or by their ratio where they are positive and span more than a hundred."""

    def __init__(self, values: list[float], start: float, end: float):
        self.log = min(values) > 0 and max(values) > 100 * min(values)
        self.low, self.high = (self._seen(end) for end in (min(values), max(values)))
        self.start, self.end = start, end

    def _seen(self, value):
        return math.log10(value) if self.log else value

    def __call__(self, value: float) -> float:
        """Return the place of a value, in the drawing's units, to a tenth."""
        if self.high == self.low:
            return round((self.start + self.end) / 2, 1)
        share = (self._seen(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def _shared(entry):
    """Return all finite numbers that an entry's strips show; the threshold where it does not dwarf them."""
    values = [value for value in [entry.value, *sum(entry.nulls.values(), [])] if math.isfinite(value)]
    span = max(values, default=0) - min(values, default=0)
    near = entry.threshold is not None and values and min(values) - 2 * span <= entry.threshold <= max(values) + 2 * span
    return values + [entry.threshold] if near else values


def strip(entry: Entry, null: str) -> str:
    """Return a strip: the value filled, each network of a null open, the threshold dashed; an entry's strips have one scale."""
    values, drawn = _shared(entry), [value for value in entry.nulls[null] if math.isfinite(value)]
    if entry.value is None or not math.isfinite(entry.value) or not drawn:
        return ""
    at, middle = Scale(values, EDGE, WIDTH - EDGE), HEIGHT / 2
    said = f"{entry.name}: {plain(entry.value)}, {beside(entry, null)}"
    threshold, limit = "", entry.threshold
    if limit is not None and limit in values:
        threshold = f'<line class="threshold" x1="{at(limit)}" x2="{at(limit)}" y1="0" y2="{HEIGHT}"/>'
        said += f"; threshold {plain(limit)}"
    marks = "".join(f'<circle class="other" cx="{at(value)}" cy="{middle}" r="3.5"/>' for value in drawn[:MOST_MARKS])
    own = at(entry.value)
    return (f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">'
            f'<line class="axis" x1="0" x2="{WIDTH}" y1="{middle}" y2="{middle}"/>{threshold}{marks}'
            f'<path class="own" d="M{own - 5:.1f} {middle}l5 -6 5 6 -5 6z"/></svg>')


def figure(name: str, entries: list[Entry]) -> str:
    """Return a drawing of one number over layers or blocks, in their order, with the span of each null and the threshold.

    Args:
        name: what they have in common.
        entries: at least two with finite values; what follows the comma of each name is its place.
    """
    places = [entry.name.partition(", ")[2] for entry in entries]
    values = [entry.value for entry in entries if entry.value is not None]
    drawn = [value for entry in entries for value in sum(entry.nulls.values(), []) if math.isfinite(value)]
    limits = [entry.threshold for entry in entries if entry.threshold is not None and math.isfinite(entry.threshold)]
    up = Scale([*values, *drawn, *limits], TALL - BOTTOM, TOP)
    across = Scale([0, len(values) - 1], LEFT + 12, WIDE - RIGHT - 12)
    said = f"{name}, {places[0]} to {places[-1]}: " + ", ".join(plain(value) for value in values)
    parts = [_axes(up, [*values, *drawn], across, places), _spans(entries, up, across), _limits(entries, limits, up, across),
             '<polyline class="line" points="' + " ".join(f"{across(i)},{up(each)}" for i, each in enumerate(values)) + '"/>',
             *(f'<circle class="own" cx="{across(i)}" cy="{up(each)}" r="4"/>' for i, each in enumerate(values))]
    unit = f", {entries[0].unit}" if entries[0].unit else ""
    spans = "; bars: from the least to the most of the networks of its shape" if drawn else ""
    dashes = f"; dashed: the threshold{f', {shown(limits[0])}' if len(set(limits)) == 1 else 's'}" if limits else ""
    return (f'<figure><svg class="series" viewBox="0 0 {WIDE} {TALL}" role="img" aria-label="{escape(said)}">'
            f'{"".join(parts)}</svg>'
            f'<figcaption>{escape(name + unit)}{spans}{dashes}{", logarithmic" if up.log else ""}.</figcaption></figure>')


def spectrum(entry: Entry) -> str:
    """Return a drawing of the singular values that an entry is read from, those of the networks of its nulls behind.

    The values stand below it once more, as a list that a keyboard opens.

    Args:
        entry: with a curve of at least two numbers.
    """
    others = [row for rows in entry.null_curves.values() for row in rows if len(row) == len(entry.curve)]
    finite = [value for row in [entry.curve, *others] for value in row if math.isfinite(value)]
    up, across = Scale(finite, TALL - BOTTOM, TOP), Scale([0, len(entry.curve) - 1], LEFT + 12, WIDE - RIGHT - 12)
    title = f"Singular values of {entry.name.partition(' of ')[2]}, the median over the inputs"
    dots = "".join(f'<circle class="own" cx="{across(i)}" cy="{up(value)}" r="4"/>' for i, value in enumerate(entry.curve))
    energy = across(min((entry.value or 1) - 0.5, len(entry.curve) - 1))
    parts = [_axes(up, finite, across, ["first", *[""] * (len(entry.curve) - 2), f"number {len(entry.curve)}"]),
             *(_row(row[:len(entry.curve)], up, across, "faint") for row in others[:MOST_MARKS]),
             f'<line class="threshold" x1="{energy}" x2="{energy}" y1="{TOP}" y2="{TALL - BOTTOM}"/>',
             _row(entry.curve, up, across, "line"), dots if len(entry.curve) <= MOST_MARKS else ""]
    return (f'<figure><svg class="series" viewBox="0 0 {WIDE} {TALL}" role="img" aria-label="{escape(_told(title, entry))}">'
            f'{"".join(parts)}</svg><figcaption>{escape(title)}{", logarithmic" if up.log else ""}'
            f'{"; thin: networks of its shape" if others else ""}; dashed: nine tenths of the energy lie left of it, in the '
            f"median.</figcaption><details><summary>The values</summary><ol>"
            f"{''.join(f'<li>{number(value)}</li>' for value in entry.curve)}</ol></details></figure>")


def _row(values, up, across, kind):
    points = " ".join(f"{across(i)},{up(value)}" for i, value in enumerate(values) if math.isfinite(value))
    return f'<polyline class="{kind}" points="{points}"/>'


def _told(title, entry):
    """Say in words what the drawing of a spectrum shows: the ends, how fast it falls, and the ends of the others."""
    first, last = entry.curve[0], entry.curve[-1]
    said = [f"{title}: {len(entry.curve)} values from {plain(first)} down to {plain(last)}",
            f"nine tenths of the energy in {plain(entry.value or 0)} of them"]
    for null, rows in entry.null_curves.items():
        ends = " and ".join(f"{place} {plain(min(values))} to {plain(max(values))}" for place, values in (
            ("first", [row[0] for row in rows]), ("last", [row[-1] for row in rows])))
        said.append(f"{len(rows)} {null}: {ends}")
    return "; ".join(said)


def _axes(up, values, across, places):
    ends = "".join(f'<text x="{LEFT - 8}" y="{up(value) + 4:.1f}" text-anchor="end">{escape(shown(value))}</text>'
                   for value in sorted({min(values), max(values)}))
    names = "".join(f'<text x="{across(i)}" y="{TALL - 10}" text-anchor="{anchor}">{escape(_cut(places[i]))}</text>'
                    for i, anchor in ((0, "start"), (len(places) - 1, "end")))
    return f'<line class="axis" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{TALL - BOTTOM + 6}" y2="{TALL - BOTTOM + 6}"/>{ends}{names}'


def _cut(text):
    return text if len(text) <= 28 else text[:27] + "…"


def _spans(entries, up, across):
    found = []
    for i, entry in enumerate(entries):
        for k, values in enumerate(entry.nulls.values()):
            finite = [value for value in values if math.isfinite(value)]
            if finite:
                x = f"{across(i) + 7 * (k + 1):.1f}"
                found.append(f'<line class="span" x1="{x}" x2="{x}" y1="{up(min(finite))}" y2="{up(max(finite)) - 1:.1f}"/>')
    return "".join(found)


def _limits(entries, limits, up, across):
    """One line where there is one threshold, otherwise a dash at each place that has one."""
    if len(set(limits)) == 1:
        return f'<line class="threshold" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{up(limits[0])}" y2="{up(limits[0])}"/>'
    return "".join(f'<line class="threshold" x1="{across(i) - 9}" x2="{across(i) + 9}" y1="{up(each.threshold)}" '
                   f'y2="{up(each.threshold)}"/>' for i, each in enumerate(entries) if each.threshold in limits)


named(__name__)
