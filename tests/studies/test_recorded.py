"""The recorded results in the book: whole, with their provenance, and noticed when somebody alters one."""

import json
import shutil

import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.press import regress
from deepatoms.runs import results

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


def test_regress_notices_an_altered_record(tmp_path, monkeypatch):
    before = outcomes()
    if not before:
        pytest.skip("no check reads a complete recorded experiment yet")
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


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.id) for entry in ENTRIES])
def test_a_check_reads_an_experiment_that_names_its_claim(entry):
    assert entry.id.split("/")[0] in results.experiments()[entry.records].claims
