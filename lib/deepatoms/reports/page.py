"""A report as HTML: a page that needs nothing but itself, and the card of a notebook. Every text of the network's is escaped."""

import math
from collections.abc import Iterable
from html import escape

from deepatoms import _doors
from deepatoms.reports import strips
from deepatoms.reports.entries import LENSES, MISSING, VERDICTS, Entry, Report
from deepatoms.theory.signatures import named

# Nothing is fetched and no script runs, whatever a layer is called.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
COLUMNS = ("What is measured", "Value", "Held against", "Networks of the same shape", "Verdict")
KINDS = {"certified": "good", "holds": "good", "within its bound": "good", "certified in part": "middle",
         "at its bound": "middle", "not certified": "bad", "fails": "bad", "beyond its bound": "bad"}
MORE = {True: "more than the parameter count", False: "no more than the parameter count", None: ""}
READING = (
    "<b>Re-initialised</b>: your network with its layers' weights drawn anew. <b>Weights permuted</b>: its own weights, "
    "exchanged within each layer. A filled mark is your network, open ones are those; a dashed line is the theorem's "
    "threshold. All of them have as many parameters: what they have in common with yours is no more than the parameter "
    "count tells.",
)


def page(report: Report) -> str:
    """Return a whole HTML document: no script, no request, light and dark, for a phone as for a desk.

    Args:
        report: of ``deepatoms.report``.
    """
    title = escape(f"{report.network.name}: what five theories say")
    return (f'<!doctype html>\n<html lang="en" class="deepatoms-page">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
            f'<link rel="icon" href="data:,">\n</head>\n<body>\n<main>\n{card(report, level=1)}\n</main>\n</body>\n</html>\n')


def card(report: Report, level: int = 3) -> str:
    """Return the report as one HTML element with its style, for a notebook's output.

    Args:
        report: of ``deepatoms.report``.
        level: of its heading; the lenses' are one below.
    """
    style = (_doors.book("web", "install deepatoms again") / "report.css").read_text()
    parts = [_head(report, level), *(_lens(report, lens, level + 1) for lens in LENSES), _reading(report, level + 1)]
    return f'<div class="deepatoms-report">\n<style>\n{style}</style>\n' + "\n".join(filter(None, parts)) + "\n</div>"


def _head(report, level):
    network = report.network
    partial = ('<p class="partial"><strong>Partial.</strong> It was interrupted: what follows is what was through by then, and '
               'what is missing below was not looked at.</p>') if report.partial else ""
    return (f"<h{level}>{escape(network.name)}</h{level}>\n{partial}<p>{network.parameters:,} parameters in "
            f"{_count(len(network.layers), 'layer')} of weights. {escape(report.data)}</p>\n<p>{_tally(report.entries)}</p>"
            f"{_notes(report.notes)}")


def _count(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"


def _tally(entries):
    """Say how many numbers there are, and how many there are not, without judging them."""
    given, saturated = sum(entry.value is not None for entry in entries), sum(bool(entry.saturated) for entry in entries)
    parts = [_count(given, "number")] + ([f"{saturated} of them saturated, so that they say nothing"] if saturated else [])
    lost = [f"{found} {words}" for word, words in zip(MISSING, ("for which a theory does not apply", "skipped"), strict=True)
            if (found := sum(entry.verdict == word for entry in entries))]
    return "; ".join(parts) + (f". Without a number: {', '.join(lost)}." if lost else ".")


def _notes(notes):
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _lens(report, lens, level):
    entries = [entry for entry in report.entries if entry.lens == lens]
    if not entries:
        return ""
    given, missing = ([entry for entry in entries if (entry.value is None) == none] for none in (False, True))
    seconds = sum(entry.seconds for entry in entries)
    return "\n".join(filter(None, [
        f"<section>\n<h{level}>{escape(lens[:1].upper() + lens[1:])} <small>{seconds:.1f} s</small></h{level}>",
        *(strips.figure(name, members) for name, members in series(given)),
        *(strips.spectrum(entry) for entry in given if len(entry.curve) > 1), _table(lens, given), _missing(missing),
        "</section>"]))


def series(entries: Iterable[Entry]) -> list[tuple[str, list[Entry]]]:
    """Return what is measured at three places or more, by its name: the entries whose names differ after a comma only."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        name, comma, _ = entry.name.partition(", ")
        if comma and entry.value is not None and math.isfinite(entry.value):
            groups.setdefault(name, []).append(entry)
    return [(name, members) for name, members in groups.items() if len(members) > 2]


def _table(lens, entries):
    """Return the numbers of a lens; roles are said since a phone shows rows as blocks, which hides the table from readers."""
    if not entries:
        return ""
    heads = "".join(f'<th role="columnheader" scope="col">{head}</th>' for head in COLUMNS)
    rows = "\n".join(_row(entry, before) for entry, before in zip(entries, [None, *entries], strict=False))
    return (f'<table role="table" aria-label="{escape(lens)}">\n<thead role="rowgroup"><tr role="row">{heads}</tr></thead>\n'
            f'<tbody role="rowgroup">\n{rows}\n</tbody>\n</table>')


def _row(entry, before):
    """Return a row; what stands in the row before is not said again."""
    told = {getattr(before, name, "") for name in ("meaning", "theorem")}
    cells = (_value(entry), _against(entry), _nulls(entry), _verdict(entry))
    others = "".join(f'<td role="cell" data-head="{head}">{cell}</td>' for head, cell in zip(COLUMNS[1:], cells, strict=True))
    return (f'<tr role="row"><th role="rowheader" scope="row">{escape(entry.name)}'
            f'{_more(entry.meaning, told)}{_more(entry.theorem, told)}</th>{others}</tr>')


def _more(text, told=()):
    return f'<span class="more">{escape(text)}</span>' if text and text not in told else ""


def _value(entry):
    return f'<span class="value">{strips.number(entry.value)} {escape(entry.unit)}</span>{_more(entry.direction)}'


def _against(entry):
    return "no threshold" if entry.threshold is None else f"threshold {strips.number(entry.threshold)}"


def _nulls(entry):
    if not entry.nulls:
        return _more("none drawn")
    rows = "".join(f'<div class="null">{strips.strip(entry, name)}<span>{escape(strips.beside(entry, name))}</span></div>'
                   for name in entry.nulls)
    return rows + _more(MORE[entry.parameters])


def _verdict(entry):
    more = _more(entry.saturated and f"Saturated: {entry.saturated}") + _more(entry.reason)
    return f'<span class="verdict" data-kind="{KINDS.get(entry.verdict, "none")}">{escape(entry.verdict)}</span>{more}'


def _missing(entries):
    if not entries:
        return ""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.verdict, entry.reason), []).append(f"<b>{escape(entry.name)}</b>")
    lines = "".join(f"<li>{'; '.join(names)}: {escape(word)}, {escape(reason)}</li>" for (word, reason), names in groups.items())
    return f'<div class="missing">No number for<ul>{lines}</ul></div>'


def _reading(report, level):
    words = sorted({entry.verdict for entry in report.entries}, key=list(VERDICTS).index)
    meanings = "".join(f"<dt>{escape(word)}</dt><dd>{escape(VERDICTS[word])}</dd>" for word in words)
    return (f"<section>\n<h{level}>How to read this</h{level}>\n" + "".join(f"<p>{sentence}</p>" for sentence in READING)
            + (f"\n<dl>{meanings}</dl>" if words else "") + "\n</section>")


named(__name__)
