"""What is built is whole: unpacked far from the checkout, it imports, and reads its catalogue, its records and its scripts."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MOST_BYTES = 3_000_000
READ = """
import json, pathlib, deepatoms
assert pathlib.Path(deepatoms.__file__).is_relative_to(pathlib.Path.cwd()), deepatoms.__file__
from deepatoms import _doors
from deepatoms.claims import catalogue
from deepatoms.runs import results
records = sorted(results.folder().glob("*/*.json"))
first = next(json.loads(path.read_text()) for path in records if path.parent.name != "regress")
assert results.records(first["experiment"], [first["configuration"]]) == [first]
print(len(records), len(catalogue.load().claims), sorted(path.name for path in _doors.book("web", "").iterdir()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lib", "book"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir",
                    source / "dist", source], check=True)
    return next((source / "dist").glob("*.whl"))


@pytest.fixture
def unpacked(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    return tmp_path


def python(folder, source):
    """Run source in a folder, with the package there before any other; without the checkout's."""
    return subprocess.run([sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_an_unpacked_wheel_reads_its_catalogue_its_records_and_its_scripts(wheel, unpacked):
    done = python(unpacked, READ)
    assert done.returncode == 0, done.stderr
    records, claims, scripts = done.stdout.split(maxsplit=2)
    assert int(records) == len(list((ROOT / "book" / "results").glob("*/*.json"))) > 0
    assert int(claims) > 0 and "explore.js" in scripts and "explore.css" in scripts
    assert wheel.stat().st_size < MOST_BYTES


@pytest.mark.slow
def test_a_package_without_its_records_says_so(unpacked):
    shutil.rmtree(unpacked / "deepatoms" / "_book")
    done = python(unpacked, READ)
    assert done.returncode and "FileNotFoundError: book/results is neither in the package" in done.stderr
    assert "set DEEPATOMS_RESULTS, or pip install --editable" in done.stderr
