"""No file and no text is ever run: what would do so is named here, each with the test that holds its guard."""

import ast
import pathlib

import pytest

import deepatoms

PACKAGE = pathlib.Path(deepatoms.__file__).parent
# Calls that run what a file or a text says, or that write where an archive says.
RUNS = {"eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.load", "marshal.loads",
        "shelve.open", "joblib.load", "yaml.unsafe_load", "yaml.full_load", "shutil.unpack_archive", "tempfile.mktemp"}
UNPACKS = {"extract", "extractall"}
# An argument without which a call runs what it reads: pickled objects, tags of YAML, a shell.
NEEDS = {"torch.load": "weights_only", "np.load": "allow_pickle", "yaml.load": "Loader"}
# The person's own lines, shown in the panel before they run (tests/reports/test_panel.py).
ALLOWED = {("reports/panel.py", "exec")}
# Only with --trust (tests/reports/test_command.py: nothing in a checkpoint runs without it).
ASKED = {("reports/loading.py", "torch.load", "not trust")}


def calls(tree):
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.fixture(scope="module")
def sources():
    return {path.relative_to(PACKAGE).as_posix(): calls(ast.parse(path.read_text("utf-8"))) for path in PACKAGE.rglob("*.py")}


def dangerous(place, found):
    """Return the calls of a source that could run what they read."""
    running = [(name, node) for name, node in found if name in RUNS or name.split(".")[-1] in UNPACKS]
    return [f"{place}:{node.lineno}: {name}" for name, node in found
            if (name, node) in running and (place, name) not in ALLOWED or not _guarded(place, name, node)]


def _guarded(place, name, node):
    words = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if words.get("shell", "False") != "False" or words.get("verify", "True") != "True":
        return False
    if name == "yaml.load":
        return len(node.args) == 2 and ast.unparse(node.args[1]) in ("yaml.CSafeLoader", "yaml.SafeLoader")
    safe = {"weights_only": "True", "allow_pickle": "False"}.get(NEEDS.get(name, ""))
    given = words.get(NEEDS.get(name, ""))
    return name not in NEEDS or given == safe or (place, name, given) in ASKED


def test_no_source_runs_what_it_reads(sources):
    assert len(sources) > 200
    assert [fault for place in sources for fault in dangerous(place, sources[place])] == []


@pytest.mark.parametrize("line", [
    "eval(text)", "exec(text)", "pickle.loads(text)", "yaml.load(text)", "yaml.load(text, yaml.Loader)", "torch.load(path)",
    "torch.load(path, weights_only=False)", "np.load(path)", "np.load(path, allow_pickle=True)", "members.extractall(folder)",
    "subprocess.run(line, shell=True)", "requests.get(url, verify=False)", "torch.load(path, weights_only=not trust)"])
def test_such_a_call_is_seen(line):
    assert dangerous("data/x.py", calls(ast.parse(line)))


def test_what_is_guarded_is_let_through():
    lines = ("torch.load(a, weights_only=True); yaml.load(a, yaml.CSafeLoader); np.load(a, allow_pickle=False); "
             "subprocess.run(a); re.compile_(a); model.eval()")
    assert not dangerous("data/x.py", calls(ast.parse(lines)))


def test_what_is_allowed_is_there(sources):
    """An exception that nothing needs any more would hide the next call."""
    found = {(place, name) for place in sources for name, _ in sources[place]}
    assert ALLOWED | {(place, name) for place, name, _ in ASKED} <= found
