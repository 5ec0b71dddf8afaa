"""A record says which code made it, and when that has changed since; the list of records notices each that is altered."""

import hashlib
import subprocess
import sys

import pytest

from deepatoms.runs import manifest, origins, record_files, results
from deepatoms.studies.resnests import digits

HEAD = '"""Doc."""\n\n\ndef f(x):\n    """Return x."""\n    return x + 1  # why\n'


def test_a_digest_is_of_what_a_module_does(tmp_path):
    def digest(text):
        path = tmp_path / f"{hashlib.sha256(text.encode()).hexdigest()[:9]}.py"
        path.write_text(text)
        return origins.digest(path)

    same = [HEAD, HEAD.replace("Doc.", "Another."), HEAD.replace("Return x.", "Give x."), HEAD.replace("  # why", ""),
            HEAD.replace("x + 1", "(x +\n            1)")]
    assert len(set(map(digest, same))) == 1
    assert digest(HEAD.replace("x + 1", "x + 2")) != digest(HEAD) != digest(HEAD.replace("def f(x)", "def f(x=1)"))


def test_the_code_of_an_experiment_is_its_module_and_all_that_it_imports():
    code = origins.code(digits.variant)
    assert {"deepatoms.studies.resnests.digits", "deepatoms.learning.ensembles", "deepatoms.theory.arguments"} <= set(code)
    assert not [name for name in code if name.split(".")[1] in origins.HOUSE]
    assert origins.changed(code) == []
    assert origins.changed(code | {"deepatoms.learning.ensembles": "0" * 12, "deepatoms.gone": "1" * 12}) == [
        "deepatoms.learning.ensembles", "deepatoms.gone"]


def test_a_record_tells_when_its_code_has_changed(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path / "records"))
    (tmp_path / "mine.py").write_text("def square(configuration, device):\n    return configuration['number'] ** 2\n")
    program = ("import mine\nfrom deepatoms.runs import record_files, results\n"
               "print(record_files.age(results.run('squares', [{'number': 3}], mine.square)[0]))")

    def said():
        return subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert said() == "\n"
    (tmp_path / "mine.py").write_text("def square(configuration, device):\n    return 2 * configuration['number']\n")
    assert said() == "made before mine changed\n"
    record = results.all_records("squares")[0]
    del record["provenance"]["code"]
    assert record_files.age(record) == "made before code was noted"


def test_the_list_takes_new_records_and_refuses_altered_ones(tmp_path):
    one, other = tmp_path / "squares" / "a.json", tmp_path / "squares" / "b.json"
    one.parent.mkdir()
    one.write_text("1\n")
    assert manifest.faults(tmp_path) == ["squares/a.json is not listed"]
    assert manifest.add(tmp_path) == 1 and manifest.faults(tmp_path) == []
    other.write_text("2\n")
    one.write_text("3\n")
    assert manifest.faults(tmp_path) == ["squares/a.json was altered", "squares/b.json is not listed"]
    with pytest.raises(ValueError, match=r"a\.json was altered"):
        manifest.add(tmp_path)
    one.unlink()
    assert "squares/a.json is not there" in manifest.faults(tmp_path)
    one.write_text("1\n")
    assert manifest.add(tmp_path) == 1 and manifest.add(tmp_path) == 0
    check = subprocess.run(["sha256sum", "--check", "--quiet", manifest.NAME], cwd=tmp_path, check=False)
    assert check.returncode == 0
