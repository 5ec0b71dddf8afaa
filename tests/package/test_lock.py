"""The lock names what the extras need on every system, each file by its hash, and nothing else."""

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deepatoms.press import checkout

PROJECT = tomllib.loads((checkout.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TOOLS = {"pip"}  # a virtual environment has its own
# What torch's builds for a GPU bring: torch comes before the lock, from the index of one's choice, with what its build needs.
GPU = re.compile(r"(nvidia|cuda|triton|pytorch-triton)\b")
WHEEL = {"one.py": "", "one-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: one\nVersion: 1\n",
         "one-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
         "one-1.dist-info/RECORD": ""}


def pins(file):
    """Return the pins of a file of requirements, those of other systems too: {"numpy==2.0.0": the hashes of its files, ...}."""
    text = re.sub(r"^#.*\n", "", (checkout.ROOT / file).read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.split("--hash=sha256:") for line in text.replace("\\\n", "").splitlines()]
    return {parts[0].strip(): parts[1:] for parts in lines}


def locked():
    """Return the names of what the lock pins for this system and Python."""
    return {canonicalize_name(each.name) for each in map(Requirement, pins("requirements.lock")) if _applies(each, ())}


def needed(roots):
    """Return the names of all packages that requirements need on this machine, however many steps away."""
    queue, seen = [Requirement(root) for root in roots], set()
    while queue:
        wanted = queue.pop()
        known = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if known not in seen:
            seen.add(known)
            further = map(Requirement, PROJECT["dependencies"] if known[0] == "deepatoms" else _requires(wanted.name))
            queue += [each for each in further if _applies(each, wanted.extras)]
            queue += [Requirement(line) for extra in wanted.extras if known[0] == "deepatoms"
                      for line in PROJECT["optional-dependencies"][extra]]
    return {name for name, _ in seen} - {"deepatoms"}


def _requires(name):
    try:
        found = requires(name) or []
    except PackageNotFoundError:
        return []
    return [each for each in found if not GPU.match(each)] if name == "torch" else found


def _applies(requirement, extras):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})


def test_all_that_is_needed_is_locked():
    assert needed(["deepatoms[book,lab,pdf,test]"]) - locked() <= TOOLS


def test_nothing_else_is_locked():
    assert locked() - needed(["deepatoms[book,lab,pdf,test]"]) == set()


def test_the_lock_serves_other_systems():
    assert any(pin.startswith("appnope==") and "darwin" in pin for pin in pins("requirements.lock"))


def test_each_pin_has_its_hashes_and_conda_is_given_the_same_pins():
    hashed, plain = pins("requirements.lock"), pins("requirements.txt")
    assert list(hashed) == list(plain) and all(re.fullmatch(r"[\w.-]+==\S+( ; .*)?", pin) for pin in hashed)
    assert not [pin for pin, found in hashed.items() if not found or any(len(each.strip()) != 64 for each in found)]


@pytest.mark.parametrize("altered", (False, True))
def test_make_refuses_a_file_that_was_altered(tmp_path, altered):
    command = re.search(r"\$\(BIN\)/(pip install .*) -r requirements\.lock", (checkout.ROOT / "Makefile").read_text("utf-8"))[1]
    wheel = tmp_path / "one-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes() + b"x" * altered).hexdigest()
    (tmp_path / "lock").write_text(f"one==1 --hash=sha256:{digest}\n", "utf-8")
    offline = ["--dry-run", "--no-index", "--find-links", str(tmp_path), "-r", str(tmp_path / "lock")]
    done = subprocess.run([sys.executable, "-m", *command.split(), *offline], capture_output=True, text=True, check=False)
    assert bool(done.returncode) == altered and ("DO NOT MATCH THE HASHES" in done.stderr) == altered


def test_a_requirement_of_a_requirement_and_of_an_extra_is_seen():
    assert {"iniconfig", "markupsafe"} <= needed(["jinja2", "pytest"]) and "pluggy" in needed(["deepatoms[test]"])
    assert "pluggy" not in needed(["deepatoms"])


def test_what_a_build_of_torch_for_a_gpu_brings_is_not_asked_of_the_lock(monkeypatch):
    """And all else that torch needs is, whatever its name begins with further on; other packages bring nothing unasked."""
    lines = ["filelock", "nvidia-cublas==13.1; platform_system == 'Linux'", "cuda-bindings>=13", "triton==3.7.1", "cudatext"]
    monkeypatch.setattr(sys.modules[__name__], "requires", lambda name: lines)
    assert _requires("torch") == ["filelock", "cudatext"] and _requires("numpy") == lines
