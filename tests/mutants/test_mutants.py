"""The sampler of faults: its faults are faults, its sample repeats, and a weak test lets one through that a strong one kills."""

import ast
import contextlib
import mmap
import os
import pathlib
import signal
import subprocess
import time
import types

import pytest
import yaml
from tests.mutants import __main__ as mutants
from tests.mutants import faults, table, workers

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
    assert all((mutants.ROOT / test).exists() for tests in (*table.TESTS.values(), *table.EVERY.values()) for test in tests)


def test_what_is_called_equivalent_is_a_fault_of_today_and_has_a_reason():
    places = {fault.place for fault in faults.of_modules(mutants.sources(mutants.ROOT, "all"))}
    for entry in yaml.safe_load(mutants.EQUIVALENT.read_text()):
        assert entry["place"] in places, f"{entry['place']} is no fault any more; take it out"
        assert len(entry["reason"]) > 20


def test_a_room_below_its_floor_is_told():
    fates = 8 * ["killed"] + ["survived", "equivalent"]
    found = [{"module": "runs/x.py", "line": 1, "place": "here", "fate": fate, "seconds": 1.5} for fate in fates]
    assert mutants.rates(found) == {"runs": (9, 8 / 9)}
    assert mutants.table(found)[-3:] == ["survived  line 1: here", "runs: 88.9% of 9 killed (95 % interval 56% to 98%)",
                                         "1.5 CPU seconds for each fault"]


MODULE = '''"""A module with a fault in each line that matters."""
import functools

LIMIT = 3


def table():
    return [5 * 2]


TABLE = table()


def seen(x):
    return x * 2


def unseen(x):
    return x * 3


def never(x):
    return x * 4


def shared(x):
    return x * 5


@functools.cache
def cached(x):
    return x * 6


def started(x):
    return x * 7


def hanging(x):
    while x:
        x = x - 1
    return 0


def default(x=8):
    return x


def moody(x):
    return x * 9
'''
TESTS = '''
import os
import subprocess
import types
import sys
import pytest
from deepatoms.theory import little
from deepatoms.theory.little import cached, seen, shared

STATE = []


@pytest.fixture(scope="module")
def given():
    return shared(2)


def test_seen():
    assert seen(3) == 6


def test_unseen():
    assert little.unseen(0) == 0


def test_a_fixture_made_earlier(given):
    assert given == 10 or STATE


def test_a_fixture_made_for_another(given):
    assert given == 10


def test_cached_before():
    assert cached(2) in (12, 1 / 3)


def test_cached():
    assert cached(2) == 12


def test_started():
    program = "from deepatoms.theory import little; print(little.started(2))"
    assert subprocess.check_output([sys.executable, "-c", program]) == b"14\\n"


def test_hanging():
    assert little.hanging(2) == 0


def test_module():
    assert little.LIMIT == 3 and little.TABLE == [10] and little.default() == 8


def test_that_leans_on_another_1():
    STATE.append(1)


def test_that_leans_on_another_2():
    assert little.moody(0) == 0 and STATE
'''
FATES = {"return [5 * 2]": "killed", "LIMIT = 3": "killed", "def default(x=8):": "killed", "return x * 2": "killed",
         "return x * 3": "survived", "return x * 4": "survived", "return x * 5": "killed", "return x * 6": "killed",
         "return x * 7": "killed", "x = x - 1": "killed", "return x * 9": "survived"}


def test_the_quickest_tests_come_first_and_what_is_beyond_the_budget_is_left_out(monkeypatch):
    monkeypatch.setattr(workers, "BUDGET", 5)
    seen = {name: {"cpu": cpu, "seconds": 2 * cpu} for name, cpu in (("a", 3), ("b", 1), ("c", 2), ("d", 9))}
    assert workers._within(seen, seen) == ["b", "c"] and workers._within(seen, ["d"]) == ["d"]
    assert workers._usual(seen, ["b", "c"]) == (3, 6) and workers._within(seen, []) == []


def test_a_fault_that_no_test_reaches_survives(tmp_path, monkeypatch):
    """It ended in an error, and what ends in an error counts as killed."""
    monkeypatch.setattr(workers, "exchanged", lambda *_: True)
    monkeypatch.setattr(workers, "_forget", lambda: None)
    fault = types.SimpleNamespace(applied=lambda whole: whole)
    assert workers._Server(tmp_path, [], {}, [])._run(fault, b"", tmp_path, [], []) == workers.SURVIVED


def test_a_place_for_the_report_may_be_relative():
    """The tests run in another folder."""
    assert mutants._options(["--into", "a.json"]).into == pathlib.Path("a.json").absolute()


@pytest.mark.slow
@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ,
                    reason="it forks its process, which must hold no other tests: pytest tests/mutants runs it")
def test_what_a_test_sees_is_killed_and_what_none_sees_survives(tmp_path, monkeypatch):
    """Through a name imported, a fixture of several tests, a cache, a process, an import, an endless loop; and a test that
    fails by itself kills nothing."""
    checkout = tmp_path / "checkout"
    little = checkout / "lib" / "deepatoms" / "theory" / "little.py"
    little.parent.mkdir(parents=True)
    (checkout / "lib" / "deepatoms" / "__init__.py").write_text("")
    little.write_text(MODULE)
    (checkout / "test_little.py").write_text(TESTS)
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    monkeypatch.setattr(workers, "HEAVY", ())
    monkeypatch.setitem(table.TESTS, "theory", ("test_little.py",))
    monkeypatch.setattr(table, "EVERY", {})
    tree = mutants.copy(checkout, tmp_path / "copy" / "tree")
    chosen = [fault for fault in mutants.sample(mutants.sources(checkout, "theory"), 99, 0)
              if fault.kind == "operator" or fault.before in ("LIMIT = 3", "def default(x=8):")]
    found = [(each["place"].split(" | ")[2], each["fate"]) for each in mutants._judged(tree, chosen)]
    assert len(found) == len(FATES) and dict(found) == FATES
    assert pathlib.Path(tree, "lib/deepatoms/theory/little.py").read_text() == MODULE == little.read_text()


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="children are told where there is a /proc")
def test_a_test_starts_what_it_starts_and_sets_to_work_not_what_an_earlier_one_left_alive(monkeypatch, tmp_path):
    """The same holds for a fixture that several tests share: each of them has what it started."""
    watcher, shared = workers._Watcher(tmp_path, [], tmp_path / "seen.json"), object()

    def starts(work, *definitions):
        monkeypatch.setattr(workers, "_fails", lambda item, following: bool(work()))
        fixtures = types.SimpleNamespace(name2fixturedefs={"given": definitions})
        return watcher._watched(types.SimpleNamespace(_fixtureinfo=fixtures), None)["starts"]

    def set_up(work):
        setting = watcher.pytest_fixture_setup(shared)
        next(setting)
        work()
        with pytest.raises(StopIteration):
            setting.send(None)

    with contextlib.ExitStack() as left:
        def start():
            left.child = left.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            work()

        def work():
            left.child.stdin.write(b"1\n")
            left.child.stdin.flush()
            assert left.child.stdout.readline() == b"1\n"
            time.sleep(0.1)  # until it stands still again

        assert not starts(lambda: None) and starts(start)
        assert [starts(lambda: None), starts(work), starts(lambda: None)] == [False, True, False]
        set_up(start)
        assert starts(lambda: None, shared) and not starts(lambda: None)


@pytest.mark.parametrize(("end", "said"), [(lambda: os._exit(3), "exit status 3"),
                                           (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL")])
def test_it_is_told_how_a_process_of_tests_has_ended_early_and_what_to_run(monkeypatch, tmp_path, end, said):
    monkeypatch.setattr(workers, "_pytest", lambda tree, chosen, plugin: end())
    chosen = [types.SimpleNamespace(module="runs/x.py")]
    for begun in (lambda: workers._seen(tmp_path, chosen, tmp_path / "kept"),
                  lambda: list(workers._served(tmp_path, chosen, types.SimpleNamespace()))):
        with pytest.raises(SystemExit, match=f"the tests of runs/x.py ended early, with {said}; .*: pytest tests/runs$"):
            begun()


def test_what_is_kept_may_be_named_from_where_one_stands(monkeypatch, tmp_path):
    """The process that writes it stands in the copy of the tree."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "_pytest", lambda tree, chosen, plugin: (
        os.chdir("/"), plugin.path.write_text("[[], {}]"), os._exit(0)))
    assert workers._seen(tmp_path, [types.SimpleNamespace(module="runs/x.py")], pathlib.Path("kept")) == ({}, [])


def test_a_process_that_holds_much_already_has_its_room_beside_it():
    before = workers._held()
    kept = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert before == 0 or workers._held() - before > 1 << 29
    kept.close()
