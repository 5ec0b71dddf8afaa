"""What is stored in the chapters: normal form, within the size limit, every claim measured, descriptions on figures."""

import nbformat
import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.press import checkout, notebooks, regress

CHAPTERS = [pytest.param(path, id=path.stem) for path in sorted(checkout.NOTEBOOKS.glob("*.ipynb"))]


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_stored_chapter_is_in_normal_form(path):
    found = notebooks.faults(path)
    assert not found, f"{path.name}: {'; '.join(found)}. Mend it with: make store CHAPTER={path.stem}"


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_chapter_is_at_most_two_megabytes(path):
    assert path.stat().st_size <= 2_000_000


@pytest.mark.parametrize("path", CHAPTERS)
def test_every_check_of_a_chapter_is_registered_and_stored(path):
    """Catalogue, register and stored outcomes match one to one (those that await a recording, or its experiment, aside)."""
    planned = {check.id for claim in catalogue.load().chapter(path.stem) for check in claim.checks}
    registered = checking.registered(path.stem)
    assert {entry.id for entry in registered} <= planned
    unwritten = planned - {entry.id for entry in registered}
    assert all(catalogue.load().claims[check.split("/")[0]].scale_required == "full" for check in unwritten)
    live = {(entry.id, entry.scale) for entry in registered if entry.records is None}
    assert live <= set(regress.read(path))


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_chapter_has_parameters_and_no_core_widget(path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["hide-cell", "parameters"]
    assert {"profile", "device", "seed"} <= {line.split()[0] for line in code[0].source.splitlines()}
    assert not [cell.source for cell in code if "ipywidgets" in cell.source]


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_shown_cell_has_sixteen_lines_at_most(path):
    hidden = {"hide-cell", "hide-input", "remove-input", "solution"}
    shown = [cell.source for cell in nbformat.read(path, as_version=4).cells
             if cell.cell_type == "code" and not hidden & set(cell.metadata.get("tags", []))]
    assert shown and max(len(source.splitlines()) for source in shown) <= 16


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_recorded_outcome_equals_a_fresh_computation_from_the_records(path):
    stored = regress.read(path)
    setting = checking.Setting()
    for entry in checking.registered(path.stem):
        if entry.records is not None and (fresh := checking.run(entry, setting)) is not None:
            assert not regress.difference(stored.get((entry.id, entry.scale)), fresh.as_dict(), setting.seed)
