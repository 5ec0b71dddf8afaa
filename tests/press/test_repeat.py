"""What repeats: through the very command of `make test`, a changed meaning fails and changed last digits pass."""

import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import nbformat
import pytest

from deepatoms.claims import checking
from deepatoms.pages import chapter
from deepatoms.press import checkout, repeat

CHECKS = ("rsc.fig2/centre", "dfp.eq2/two_forms")  # tolerances of 0.05 and 1e-9
STORED = {"measured": (1.0, 1e-17), "result": ("holds", "holds")}
CHANGED = {
    "same": ({}, ""),
    "last_digit": ({"measured": (1.0 + 1e-15, -3e-17)}, ""),
    "within_tolerance": ({"measured": (1.04, 5e-10)}, ""),
    "beyond_tolerance": ({"measured": (1.06, 1e-17)}, "stored 1, now 1.06, beyond its tolerance"),
    "round_off_grown": ({"measured": (1.0, 2e-9)}, "beyond its tolerance"),
    "flipped": ({"result": ("holds", "fails")}, "Cell outputs differ"),
    "flipped_unseen": ({"result": ("holds", "fails"), "shown": STORED["result"]}, "stored as holds"),
    "missing": ({"only": 1}, "Cell outputs differ"),
    "missing_unseen": ({"only": 1, "shown": STORED["result"]}, "stored, but not measured again"),
}


def output(measured, result, shown=None, only=2):
    """A verdict cell's data and metadata, for a chapter of two checks; ``shown`` are the results that its text says."""
    found = [checking.Outcome(name, value, 2.0 * value + 1, said, "exact identity", "laptop", 0)
             for name, value, said in zip(CHECKS, measured, result, strict=True)]
    rows = [f"{one.check}: {said}" for one, said in zip(found, shown or result, strict=True)][:2 if shown else only]
    return ({"text/html": "<br>".join(rows), "text/plain": "; ".join(rows)},
            {chapter.METADATA: {"outcomes": [one.as_dict() for one in found[:only]]}})


def notebook(fresh):
    """A notebook that stores ``STORED`` and whose only cell displays ``fresh``."""
    data, metadata = output(**STORED | fresh)
    source = f"from IPython.display import display\ndisplay({data!r}, raw=True, metadata={metadata!r})"
    data, metadata = output(**STORED)
    cell = nbformat.v4.new_code_cell(source, execution_count=1, metadata={"tags": ["nbval-check-output"]}, outputs=[
        nbformat.v4.new_output("display_data", data=data, metadata=metadata)])
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """What nbval with the plugin says of each notebook; one run of pytest for all."""
    folder = tmp_path_factory.mktemp("repeat")
    for name, (fresh, _) in CHANGED.items():
        nbformat.write(notebook(fresh), folder / f"{name}.ipynb")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *repeat.NBVAL, f"--junit-xml={folder / 'said.xml'}",
                           str(folder)], cwd=checkout.ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return [("".join(case.attrib.values()), "".join(case.itertext()))
            for case in xml.parse(folder / "said.xml").iter("testcase")]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGED)
def test_nbval_sees_a_changed_meaning_and_no_changed_digit(failures, name):
    (said,) = [text for case, text in failures if re.search(rf"\b{name}\b", case)]
    assert said == "" if CHANGED[name][1] == "" else CHANGED[name][1] in said


def test_the_makefile_tests_the_chapters_with_the_same_words():
    makefile = re.sub(r"\\\n\s*", "", (checkout.ROOT / "Makefile").read_text("utf-8"))
    assert f"{' '.join(repeat.NBVAL)} notebooks" in makefile


def test_the_page_for_ci_has_the_same_words():
    page = (checkout.ROOT / "book" / "in-your-ci.md").read_text("utf-8")
    assert page.count(f"pytest {' '.join(repeat.NBVAL)} notebooks/") == 2
