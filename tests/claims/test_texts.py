"""What the catalogue says can be read: mathematics is TeX, and every check has a sentence for the page."""

import re

import pytest

from deepatoms.claims import catalogue

RAW = re.compile(r"""<=|>=|!=|->|\|\||\^|\\|\b\w+_\w|\b\d(\.\d+)?e[-+]?\d|[*/+=<>]
    |\b(mu|lambda|eta|epsilon|eps|sigma|kappa|Gamma|beta|sqrt|sum_\w*|max_\w*|log10|argmin|infty)\b""", re.VERBOSE)
ALLOWED = re.compile(r"""`[^`]*`|\$[^$]*\$        # code and TeX
    |\b\d+/\d+\b|\band/or\b|\b[A-Z]\w*/[A-Z]\w*   # fractions in words, pairs of names
    |\b(32|28|16|8)x\1\b|\bC\+\+""", re.VERBOSE)


def texts(claim):
    """Yield every text of a claim that a page shows, with its place."""
    for name in ("statement", "issue", "corrected", "reduced", "decides", "reason", "revised"):
        yield f"{claim.id}: {name}", getattr(claim, name)
    for check in claim.checks:
        yield f"{check.id}: quantity", check.quantity
        yield f"{check.id}: controls", check.control
        yield f"{check.id}: sentence", check.sentence


def raw(text):
    """Return the mathematics that stands in a text outside TeX."""
    return [match[0] for match in RAW.finditer(ALLOWED.sub(" ", text))]


@pytest.mark.parametrize("text, found", [
    ("at most $\\mu \\le 1$, 3/4 of all", []), ("mu <= 1", ["mu", "<="]), ("||x||^2", ["||", "||", "^"]), ("W_1 x", ["W_1"])])
def test_raw_mathematics_is_seen(text, found):
    assert raw(text) == found


@pytest.mark.parametrize("chapter", sorted({claim.chapter for claim in catalogue.load().claims.values()}))
def test_mathematics_is_tex_and_every_check_has_a_sentence(chapter):
    claims = catalogue.load().chapter(chapter)
    assert {place: raw(text) for claim in claims for place, text in texts(claim) if raw(text)} == {}
    assert [check.id for claim in claims for check in claim.checks if not check.sentence] == []
    assert [check.id for claim in claims for check in claim.checks if len(check.sentence) > 140] == []
