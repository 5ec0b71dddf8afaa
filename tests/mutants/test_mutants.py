"""The sampler of faults: its faults are faults, its sample repeats, and a weak test lets one through that a strong one kills."""

import ast
import pathlib
import subprocess

import pytest
import yaml
from tests.mutants import __main__ as mutants
from tests.mutants import faults, table

SOURCE = b'''"""Doc 1."""
from x import integer, refuse

LIMIT: int = 3


def f(a, b=2):
    """Return 1.

    >>> f(1)
    1
    """
    n = integer("a", a)
    demand_order(a, b)
    if a > b and not b:
        refuse("a", a, "is 9", "x")
    if a == b:
        return -abs(a) + min(a, b) * 2.0
    raise ValueError(f"{a + 1}")
'''
EXPECTED = {
    ("n = integer(\"a\", a)", "n = (a)"), ("demand_order(a, b)", "pass"), ("LIMIT: int = 3", "LIMIT: int = 4"),
    ("def f(a, b=2):", "def f(a, b=3):"),
    *(("if a > b and not b:", f"if {after}:") for after in (
        "a >= b and not b", "a <= b and not b", "a > b or not b", "a > b and (b)")),
    ("if a > b and not b: refuse(\"a\", a, \"is 9\", \"x\")", "pass"),
    ("if a == b:", "if a != b:"), ("if a == b:", "if not (a == b):"),
    *((("return -abs(a) + min(a, b) * 2.0"), "return " + after) for after in (
        "(abs(a)) + min(a, b) * 2.0", "-(a) + min(a, b) * 2.0", "-abs(a) - min(a, b) * 2.0", "-abs(a) + max(a, b) * 2.0",
        "-abs(a) + min(a, b) / 2.0", "-abs(a) + min(a, b) * 6.0")),
}


def test_each_fault_is_one_edit_of_code_and_never_of_a_text():
    found = faults.faults("f.py", SOURCE)
    assert {(fault.before, fault.after) for fault in found} == EXPECTED
    assert len(found) == len(EXPECTED)
    for fault in found:
        ast.parse(fault.applied(SOURCE))
        assert SOURCE.decode().split("\n")[fault.line - 1].split()[0] in fault.before


def test_every_fault_of_the_package_is_a_program():
    sources = mutants.sources(mutants.ROOT, "all")
    drawn = mutants.sample(sources, 400, 0)
    for fault in drawn:
        ast.parse(fault.applied(sources[fault.module]))
    assert drawn == mutants.sample(sources, 400, 0) != mutants.sample(sources, 400, 1)
    assert {fault.kind for fault in drawn} == {"branch", "comparison", "constant", "guard", "logic", "name", "operator", "sign"}


def test_every_module_of_the_mathematics_has_tests_of_its_own_and_all_exist():
    modules = [path.relative_to(mutants.ROOT / "lib" / "deepatoms") for path in
               (mutants.ROOT / "lib" / "deepatoms").glob("theory/**/*.py")]
    assert not [name for name in modules if name.as_posix() != "theory/__init__.py" and not table.own_tests(name.as_posix())]
    assert all((mutants.ROOT / test).exists() for tests in table.TESTS.values() for test in tests)


def test_what_is_called_equivalent_is_a_fault_of_today_and_has_a_reason():
    places = {fault.place for fault in faults.of_modules(mutants.sources(mutants.ROOT, "all"))}
    for entry in yaml.safe_load(mutants.EQUIVALENT.read_text()):
        assert entry["place"] in places, f"{entry['place']} is no fault any more; take it out"
        assert len(entry["reason"]) > 20


def test_a_room_below_its_floor_is_told():
    fates = 8 * ["killed"] + ["survived", "equivalent"]
    found = [{"module": "runs/x.py", "line": 1, "place": "here", "fate": fate} for fate in fates]
    assert mutants.rates(found) == {"runs": (9, 8 / 9)}
    assert mutants.table(found)[-2:] == ["survived  line 1: here", "runs: 88.9% of 9 killed"]


@pytest.mark.slow
@pytest.mark.parametrize(("test", "fates"), [("twice(0) == 0", ["survived"]), ("twice(3) == 6", ["killed"]),
                                             ("twice(3) == 6 and not __import__('time').sleep(2 * (twice(1) != 2))", ["killed"])])
def test_a_weak_test_lets_a_fault_through(tmp_path, monkeypatch, test, fates):
    package = tmp_path / "checkout" / "lib" / "deepatoms"
    (package / "theory").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "theory" / "twice.py").write_text("def twice(x):\n    return x * 2\n")
    (tmp_path / "checkout" / "test_twice.py").write_text(
        f"from deepatoms.theory.twice import twice\n\n\ndef test_twice():\n    assert {test}\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "checkout", check=True)
    monkeypatch.setattr(mutants, "HEAVY", ("pytest",))
    monkeypatch.setitem(table.TESTS, "theory", ("test_twice.py",))
    before = (package / "theory" / "twice.py").read_bytes()
    tree = mutants.copy(tmp_path / "checkout", tmp_path / "copy")
    every = mutants.sample(mutants.sources(tmp_path / "checkout", "theory"), 9, 0)
    chosen = [fault for fault in every if fault.kind == "operator"]
    assert [each["fate"] for each in mutants._judged(tree, chosen)] == fates
    assert (package / "theory" / "twice.py").read_bytes() == before
    assert pathlib.Path(tree, "lib/deepatoms/theory/twice.py").read_bytes() == before
