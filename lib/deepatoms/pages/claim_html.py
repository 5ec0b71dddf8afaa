"""How checks and claims are written as HTML, in a chapter's outputs and on the scoreboard."""

import html
import math
import re

from deepatoms.claims import verdicts
from deepatoms.pages import figures

ROW = '<details class="deepatoms-check" data-result='
SYMBOLS = {"holds": "✓", "fails": "✗", "inconclusive": "?"}
MUST = {"fail": "must fail", "pass": "must pass", "oppose": "must come out the other way"}
SCALES = {"laptop": "laptop scale", "reduced": "reduced scale", "full": "full scale"}
BROKEN = ("false", "disagrees")
WORDS = {"<=": "at most", ">=": "at least", "==": "", "<": "below", ">": "above"}


def number(value, check):
    """Return a measured number in the digits that another machine repeats: those of its tolerance, at most three.

    What vanishes at that precision is shown as a bound, so that 0, 3e-17 and -3e-17 are one text. Rounding never crosses
    the criterion: the first text is taken whose numbers are judged as the value is.
    """
    if math.isinf(value):
        return _digits(value)
    meets = check.criterion.accepts(value)
    return next(text for text, ends in _texts(value, check) if all(check.criterion.accepts(end) == meets for end in ends))


def _texts(value, check):
    """Yield texts of a number with the numbers that they stand for, the shortest first, the last one exact."""
    noise, unit = _noise(check), _unit(check)
    if abs(value) < 1e-12 and noise > 1e-6:
        yield "0", (0.0,)  # nobody takes the rounding error of a share or a loss for a number
    for bound, vanishes in ((noise, abs(value) <= noise), (unit, abs(value) < unit / 2)):
        if bound and vanishes:
            yield f"at most {_digits(bound)}", (bound, -bound)
    for significant in range(_significant(value, check), 18):
        text = _digits(value, significant)
        yield text, (float(text),)


def _noise(check):
    """Return a thousandth of the criterion or the tolerance, below which a number is rounding error (0: there is none)."""
    criterion = check.criterion.value if check.criterion.op in ("<=", "<") else 0
    return max(criterion, check.tolerance.get("abs", 0)) / 1000 if any(check.tolerance.values()) else 0


def _unit(check):
    """Return the last decimal place that an absolute tolerance leaves (0: it leaves all)."""
    allowed = check.tolerance.get("abs", 0)
    return 10.0 ** -_decimals(allowed) if allowed else 0


def _decimals(allowed):
    return max(0, math.ceil(-math.log10(allowed)))


def _significant(value, check):
    """Return how many significant digits a tolerance leaves, between one and three."""
    digits = 3
    if (allowed := check.tolerance.get("abs", 0)) and value:
        digits = _decimals(allowed) + math.floor(math.log10(abs(value))) + 1
    if share := check.tolerance.get("rel", 0):
        digits = math.ceil(-math.log10(share)) + 1
    return min(max(digits, 1), 3)


def _digits(value, significant=3):
    """Return a number in significant digits.

    >>> [_digits(value) for value in (0.0, -1234.0, 0.12345, 1e-12, 2.5e-7, 123456.7, math.inf)]
    ['0', '-1234', '0.123', '1e-12', '2.5e-07', '1.23e+05', 'infinite']
    """
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else f"{value:.{significant}g}"


def typeset(digits):
    """Return the HTML of a number: a true minus sign, and powers of ten as such.

    >>> typeset("< 1e-12"), typeset("-0.5"), typeset("2.5e+05")
    ('&lt; 10<sup>−12</sup>', '−0.5', '2.5 × 10<sup>5</sup>')
    """
    def power(match):
        mantissa = "" if match[1] == "1" else f"{match[1]} × "
        return f"{mantissa}10<sup>{match[2].replace('-', '−')}{match[3]}</sup>"
    text = html.escape(digits, quote=False)
    return re.sub(r"([\d.]+)e([-]?)\+?0*(\d+)", power, text).replace("-", "−")


def criterion(check):
    """Return a criterion in words (HTML)."""
    op, value = check.criterion.op, check.criterion.value
    if op == "in":
        return f"in [{typeset(_digits(value[0]))}, {typeset(_digits(value[1]))}]"
    return f"{WORDS[op]} {typeset(_digits(value))}".strip()


def interval(ends, check):
    """Return a 95 % interval (HTML), or nothing."""
    return "" if ends is None else " [" + ", ".join(typeset(number(end, check)) for end in ends) + "]"


def plain(check, outcome):
    """Return a check's line for where there is no HTML."""
    return (f"{check.id}: {outcome.result}; measured {number(outcome.measured, check)}, criterion {check.criterion}, "
            f"control {number(outcome.control, check)}{_scale(outcome, ', ')}")


def _scale(outcome, joint):
    return "" if outcome.scale == "laptop" else joint + SCALES[outcome.scale]


def check_row(check, outcomes=(), source="", claim=None):
    """Return a check as one line that opens: what was measured, by which function, against which criterion and control.

    Its outcomes at several scales stand side by side, the largest scale first; that one's result counts. Away from its
    claim, a check names it (``claim``).
    """
    outcomes = sorted(outcomes, key=lambda outcome: verdicts.SCALES.index(outcome.scale), reverse=True)
    name = f'<span class="deepatoms-name">{prose(check.sentence) or _name(check, claim)}</span>'
    said = _line(name, check, outcomes) if outcomes else f'<b class="deepatoms-result">not run</b> {name}'
    result = html.escape(outcomes[0].result) if outcomes else "none"
    return (f'{ROW}"{result}"><summary>{said}</summary>\n'
            f"<dl>{_details(check, outcomes, source, claim)}</dl></details>")


def check_list(rows):
    """Return rows of checks as one list, in which several that hold wait under one line (HTML)."""
    held = [row for row in rows if row.startswith(f'{ROW}"holds"')]
    rest = [row for row in rows if row not in held]
    if len(held) > 1:
        of = f" of {len(rows)}" if rest else ""
        said = '<b class="deepatoms-result"><span aria-hidden="true">✓ </span>holds</b>'
        held = [f'<details class="deepatoms-held"><summary>{said} {len(held)}{of} checks</summary>\n{_joined(held)}</details>']
    return f'<div class="deepatoms-checks">\n{_joined(rest + held)}\n</div>'


def _joined(rows):
    return "\n".join(rows)


def _name(check, claim):
    name = html.escape(check.name.replace("_", " "))
    return f"{prose(claim.place)}: {name}" if claim else name


def _line(name, check, outcomes):
    result = outcomes[0].result
    measured = "; ".join(f"{_measured(check, outcome)}{_scale(outcome, ' at ')}" for outcome in outcomes)
    controls = "; ".join(typeset(number(outcome.control, check)) for outcome in outcomes)
    return (f'<b class="deepatoms-result"><span aria-hidden="true">{SYMBOLS[result]} </span>{result}</b> '
            f'{name} <span class="deepatoms-numbers">{measured} · must be {criterion(check)} · control {controls}</span>')


def _measured(check, outcome):
    unit = f" {prose(check.unit)}" if check.unit else ""
    return f"measured {typeset(number(outcome.measured, check))}{unit}{interval(outcome.interval, check)}"


def _details(check, outcomes, source, claim):
    entries = {"Claim": prose(f"{claim.place}: {claim.statement}")} if claim else {}
    entries |= {"Quantity": prose(check.quantity), "Tests": ROLES[check.role],
                "Control": f"{prose(check.control)}. It {MUST[check.control_must]}"
                           + "".join(_control(check, outcome) for outcome in outcomes) + "."}
    if outcomes:
        entries["Evidence"] = "; ".join(_evidence(outcome) for outcome in outcomes)
    entries["Check"] = _checked(html.escape(check.id), html.escape(source))
    return "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in entries.items())


def _checked(identifier, source):
    return f'<a href="{source}" data-check="{identifier}">{identifier}</a>' if source else f"<code>{identifier}</code>"


ROLES = {"printed": "the claim as printed", "hypothesis": "the claim as printed, with an added hypothesis",
         "convention": "one reading of what the paper leaves open", "corrected": "the corrected statement"}


def _control(check, outcome):
    came_out = check.criterion.judge(outcome.control, outcome.control_interval)
    return (f"; it came to {typeset(number(outcome.control, check))}{interval(outcome.control_interval, check)} and "
            f"{'is inconclusive' if came_out == 'inconclusive' else came_out}")


def _evidence(outcome):
    origin = "recorded" if outcome.recorded else "measured when the chapter ran"
    vacuous = "; vacuous, because nothing is claimed" * outcome.vacuous
    return f"{html.escape(outcome.evidence, quote=False)}, {SCALES[outcome.scale]}, {origin}{vacuous}"


def style():
    """Return the style sheet of checks and verdicts, for where the site's are not loaded (HTML)."""
    return f"<style>{figures.web('checks.css')}</style>"


def badge(verdict):
    """Return a verdict as a label (HTML)."""
    verdict = html.escape(verdict)
    return f'<b class="deepatoms-verdict" data-verdict="{verdict}">{verdict}</b>'


def flags(verdict):
    """Return the flags beside a verdict (HTML)."""
    raised = [name for name, up in (("reduced", verdict.reduced), ("vacuous", verdict.vacuous),
                                    ("unsupported", verdict.unsupported), ("criterion revised", verdict.revised)) if up]
    return "".join(f' <span class="deepatoms-flag">{name}</span>' for name in raised)


def basis(verdict):
    """Return what a verdict rests on, or why there is none (HTML)."""
    if verdict.why:
        return html.escape(verdict.why, quote=False)
    return html.escape("; ".join((*verdict.evidence, SCALES[verdict.scale])), quote=False)


def claim_line(claim, verdict):
    """Return a claim as one line: verdict, what it says, and the link to its card on the scoreboard (HTML)."""
    why = f' <span class="deepatoms-basis">({html.escape(verdict.why, quote=False)})</span>' if verdict.why else ""
    # In JupyterLab the link opens the scoreboard's source; on the site the build points it at the claim's card.
    name = html.escape(claim.id)
    card = f'<a href="../book/scoreboard.md" data-document="book/scoreboard" data-query="#{name}"><code>{name}</code></a>'
    return f'<li class="deepatoms-line">{badge(verdict.text)}{flags(verdict)} {prose(claim.statement)}{why} {card}</li>'


def verdict_list(found):
    """Return a chapter's claims, one line each: the broken ones, then under one line a verdict the others (HTML)."""
    kinds = {said: [pair for pair in found if pair[1].text == said] for said in verdicts.VERDICTS}
    broken = [pair for said in BROKEN for pair in kinds.pop(said)]
    closed = (f'<details class="deepatoms-held"><summary>{badge(said)} {len(pairs)} of {len(found)} claims</summary>\n'
              f"{_lines(pairs)}</details>\n" for said, pairs in kinds.items() if pairs)
    return _lines(broken) + "".join(closed)


def _lines(found):
    lines = "\n".join(claim_line(*pair) for pair in found)
    return f'<ul class="deepatoms-verdicts">\n{lines}\n</ul>\n' if found else ""


def claim(claim, verdict, checks, chapter=""):
    """Return a claim as a card that opens: place, verdict and statement; inside, what is wrong with it, evidence, checks."""
    remarks = "".join(f"<p><b>{name}:</b> {prose(text)}</p>" for name, text in (
        ("Issue", claim.issue), ("Corrected", claim.corrected), ("Convention", claim.decides),
        ("Reduced to", claim.reduced if verdict.reduced else ""), ("Criterion revised", claim.revised)) if text)
    name, paper, place, said = map(html.escape, (claim.id, claim.paper, claim.chapter, verdict.text))
    head = (f'<span class="deepatoms-head"><code>{name}</code> <span class="deepatoms-place">{prose(claim.place)}</span> '
            f"{badge(verdict.text)}{flags(verdict)}</span>")
    identity = f'id="{name}" data-paper="{paper}" data-chapter="{place}" data-verdict="{said}"'
    foot = " · ".join(filter(None, (basis(verdict), chapter)))
    return (f'<details class="deepatoms-claim" {identity}><summary>{head}\n<span>{prose(claim.statement)}</span></summary>\n'
            f'{remarks}<p class="deepatoms-basis">{foot}</p>\n{"".join(checks)}</details>')


def prose(text):
    """Return text of the catalogue as HTML, its ``$...$`` marked as mathematics."""
    return figures.inline(text)
