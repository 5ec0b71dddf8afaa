"""The recorded results in the book: whole, with their provenance, and noticed when somebody alters one."""

import json
import pathlib
import random
import shutil
import subprocess

import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.press import regress
from deepatoms.runs import manifest, results

CHAPTERS = sorted({claim.chapter for claim in catalogue.load().claims.values()})
ENTRIES = [entry for chapter in CHAPTERS for entry in checking.registered(chapter) if entry.records]
FILES = sorted(results.folder().glob("*/*.json"))


def outcomes():
    found = {entry.id: checking.run(entry, checking.Setting()) for entry in ENTRIES}
    return {name: outcome.as_dict() for name, outcome in found.items() if outcome is not None}


def altered(value):
    """Return a result with every number in it moved, as a forger would move one."""
    if isinstance(value, dict):
        return {key: altered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [altered(inner) for inner in value]
    return value if isinstance(value, (str, bool)) or value is None else 3 * value + 1


def test_there_are_records_and_checks_that_read_them():
    """Without any, the tests below would pass by having nothing to look at."""
    assert len(FILES) > 200 and len(outcomes()) > 50


def test_every_record_is_listed_as_it_is():
    assert manifest.faults(results.folder()) == [], "make manifest lists new ones; git checkout restores altered ones"


def numbers(value, place=()):
    """Yield the places of all numbers in a record."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(inner, (*place, key))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield place


def test_one_altered_number_is_noticed_wherever_it_is(tmp_path):
    chance = random.Random(0)
    shutil.copytree(results.folder(), tmp_path / "results")
    for _ in range(72):
        source = chance.choice(FILES)
        record = json.loads(source.read_text())
        *place, last = chance.choice(list(numbers(record)))
        inner = record
        for key in place:
            inner = inner[key]
        inner[last] = inner[last] * 1.1 + 1e-9
        target = tmp_path / "results" / source.relative_to(results.folder())
        target.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        assert manifest.faults(tmp_path / "results") == [f"{source.parent.name}/{source.name} was altered"]
        shutil.copy(source, target)


def test_regress_notices_an_altered_record(tmp_path, monkeypatch):
    before = outcomes()
    for source in FILES:
        target = tmp_path / source.parent.name / source.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
        record = json.loads(target.read_text())
        record["provenance"].pop("digest", None)  # a forger would mend it
        target.write_text(json.dumps(record | {"result": altered(record["result"])}))
    monkeypatch.setenv(results.FOLDER, str(tmp_path))
    try:
        after = outcomes()
    except (checking.ControlError, ValueError):  # a control that agrees, or a recipe that is not the program's
        return
    assert any(regress.difference(before[name], after[name], seed=1) for name in before)


@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in FILES
                                  if path.parent.name != "regress"])
def test_a_record_is_whole_and_says_where_it_comes_from(path):
    record = json.loads(path.read_text())
    assert path.stem == results.key(record["configuration"])
    assert record["experiment"] == path.parent.name
    assert {"claims", "device", "date", "commit", "torch", "seconds"} <= set(record["provenance"])
    assert set(record["provenance"]["claims"]) <= set(catalogue.load().claims)
    assert path.stat().st_size < 3_000_000


# Commits of records made before a record said whether its code was committed; they were rewritten and are gone.
GONE = {"689ceff7ee72", "9cdf530b9ad0", "b886f1f1a9d1", "331e92e0accd", "07883ba905df", "f1d2227d27c4", "95b0e04e1aa1",
        "b76ac1909e38"}


def git(*words):
    return subprocess.run(["git", *words], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=False)


def test_a_record_names_a_commit_that_is_there_or_says_that_its_code_was_not_committed():
    """Whoever has no history, as beside an archive of the sources, cannot look it up."""
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("the commits are not here")
    origins = [json.loads(path.read_text())["provenance"] for path in FILES if path.parent.name != "regress"]
    named = {each["commit"] for each in origins if not each.get("uncommitted")}
    assert {name for name in named if git("merge-base", "--is-ancestor", name, "HEAD").returncode} <= GONE
    assert not GONE & {each["commit"] for each in origins if each.get("uncommitted") is not None}


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.id) for entry in ENTRIES])
def test_a_check_reads_an_experiment_that_names_its_claim(entry):
    assert entry.id.split("/")[0] in results.experiments()[entry.records].claims
