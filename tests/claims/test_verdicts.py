"""The table of verdicts, row by row, and the flags beside it."""

from types import SimpleNamespace

import pytest

from deepatoms.claims.verdicts import verdict

ROLES = {"p": "printed", "h": "hypothesis", "v": "convention", "c": "corrected"}
RESULTS = {"+": "holds", "-": "fails", "~": "inconclusive"}


def claim(roles, kind="theorem", scale_required="laptop", **more):
    checks = [SimpleNamespace(name=f"check{number}", role=ROLES[role]) for number, role in enumerate(roles)]
    return SimpleNamespace(checks=checks, kind=kind, scale_required=scale_required, revised="", reason="", **more)


def outcome(result, scale="laptop", evidence="exact identity", vacuous=False):
    return SimpleNamespace(result=RESULTS[result], scale=scale, evidence=evidence, vacuous=vacuous)


def judged(table, kind="theorem"):
    """Judge a claim written as ``"p+ h-"``: a check's role, then its result (``?``: has not run)."""
    entries = table.split()
    outcomes = {f"check{number}": [outcome(entry[1])] for number, entry in enumerate(entries) if entry[1] != "?"}
    return verdict(claim([entry[0] for entry in entries], kind), outcomes).text


@pytest.mark.parametrize("table, text", [
    ("p+", "holds"),
    ("p+ p+", "holds"),
    ("p+ h- c-", "holds"),
    ("p+ c?", "holds"),
    ("v+ v+", "holds"),
    ("p- h+", "holds under an added hypothesis"),
    ("p- h+ c+", "holds under an added hypothesis"),
    ("p- p+ h+ h+", "holds under an added hypothesis"),
    ("v+ v-", "depends on a convention"),
    ("v+ v- v~", "depends on a convention"),
    ("v- v- c+", "corrected"),
    ("v- v-", "false"),
    ("p- c+", "corrected"),
    ("p- p~ c+", "corrected"),
    ("p- h- c+", "corrected"),
    ("p- h~ c+", "corrected"),
    ("p- c+ c+", "corrected"),
    ("p-", "false"),
    ("p- h-", "false"),
    ("p- h+ h-", "false"),
    ("p- c-", "false"),
    ("p- c+ c-", "false"),
    ("p- c~", "false"),
    ("p~", "inconclusive"),
    ("p+ p~", "inconclusive"),
    ("p~ c+", "inconclusive"),
    ("v+ v~", "inconclusive"),
    ("v- v~", "inconclusive"),
    ("p?", "not tested"),
    ("p+ p?", "not tested"),
    ("p? c+", "not tested"),
    ("p- c?", "not tested"),
    ("p- h?", "not tested"),
    ("v+ v?", "not tested"),
])
def test_the_table_of_verdicts(table, text):
    assert judged(table) == text


@pytest.mark.parametrize("kind", ["figure", "table"])
@pytest.mark.parametrize("table, text", [
    ("p+", "holds"), ("p-", "disagrees"), ("p- c+", "disagrees"), ("v- v-", "disagrees"),
    ("p- h+", "holds under an added hypothesis"), ("v+ v-", "depends on a convention"), ("p~", "inconclusive")])
def test_figures_and_tables_disagree_where_theorems_are_false(table, text, kind):
    assert judged(table, kind) == text


@pytest.mark.parametrize("kind", ["equation", "statement", "definition"])
def test_equations_statements_and_definitions_are_judged_like_theorems(kind):
    assert [judged(table, kind) for table in ("p+", "p- c+", "p-")] == ["holds", "corrected", "false"]


def test_a_reduced_experiment_never_makes_a_claim_false():
    said = verdict(claim("p", scale_required="full"), {"check0": [outcome("-")]})
    assert (said.text, said.reduced, said.scale) == ("disagrees", True, "laptop")


def test_a_full_outcome_counts_where_there_are_two():
    said = verdict(claim("p", scale_required="full"), {"check0": [outcome("+"), outcome("-", "full")]})
    assert (said.text, said.reduced, said.scale) == ("false", False, "full")


def test_the_smallest_scale_among_the_checks_is_the_scale_of_the_claim():
    said = verdict(claim("pp", scale_required="full"), {"check0": [outcome("+", "full")], "check1": [outcome("+")]})
    assert (said.text, said.reduced, said.scale) == ("holds", True, "laptop")


def test_flags_and_evidence():
    said = verdict(claim("pp"), {"check0": [outcome("+", vacuous=True)], "check1": [outcome("+", evidence="exhaustive")]})
    assert said.vacuous and said.evidence == ("exact identity", "exhaustive")
    bare = claim("")
    bare.reason, bare.revised = "Nothing is stated.", "a typing error"
    said = verdict(bare, {})
    assert (said.text, said.unsupported, said.revised, said.why) == ("not tested", True, True, "Nothing is stated.")


def test_what_has_not_run_says_why():
    assert verdict(claim("p"), {}, "chapter not written").why == "chapter not written"


def test_what_was_not_tested_raises_no_flag():
    found = verdict(claim("p"), {}, "needs a recorded run")
    assert found.text == "not tested" and not (found.vacuous or found.reduced or found.unsupported or found.revised)
