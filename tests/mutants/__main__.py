"""Do the tests bite? ``make mutants``: put single faults into the code, one at a time, and see whether a test fails.

A sample of faults is drawn with a seed. Each is put into a copy of the tree (the checkout is never touched) and meets the
module's own tests alone: its doctests, and those that ``table.py`` names. What fails, or does not end in five times its
usual time, is killed. ``equivalent.yml`` lists survivors that change nothing anybody could see, each with its reason.

Why not a kept tool. mutmut 3 makes all mutants of a module at once, behind trampolines that change what doctests and
``torch.fx`` see; it leaves code outside functions alone, takes whichever tests reach a line for its tests, and draws no
sample. cosmic-ray edits the checkout in place, has one test command for all modules and starts a process for each mutant:
three seconds of importing torch, where a fork of a process that has it takes none. Neither drops a guard.
"""

import argparse
import itertools
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml
from tests.mutants.faults import of_modules
from tests.mutants.table import own_tests

ROOT = pathlib.Path(__file__).parents[2]
EQUIVALENT = pathlib.Path(__file__).with_name("equivalent.yml")
FLOORS = {"theory": 0.9, "claims": 0.9, "runs": 0.9}  # elsewhere 0.8
FEW = 20  # mutants of a room below which its rate says nothing
MEMORY = 8 << 30
HEAVY = ("numpy", "scipy.optimize", "scipy.sparse.linalg", "torch", "torch.fx", "hypothesis", "pytest", "yaml")


def main(arguments=None):
    """Draw faults, run the tests of each, print the table; the status is 1 when a room lies below its floor."""
    options = _options(arguments)
    chosen = sample(sources(ROOT, options.module), options.count, options.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy(ROOT, pathlib.Path(folder) / "tree")
        found = list(_judged(tree, chosen))
    report = {"seed": options.seed, "module": options.module, "faults": found}
    options.into.parent.mkdir(parents=True, exist_ok=True)
    options.into.write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(table(found)))
    return int(any(rate < FLOORS.get(room, 0.8) for room, (mutants, rate) in rates(found).items() if mutants >= FEW))


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--module", default="theory", help="a part of lib/deepatoms: theory, runs/sweeps.py ...")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "_build" / "mutants.json")
    return parser.parse_args(arguments)


def sources(root, part):
    """Return the sources of the modules under a part of the package that have tests of their own."""
    package = root / "lib" / "deepatoms"
    names = [path.relative_to(package).as_posix() for path in sorted(package.rglob("*.py"))]
    return {name: (package / name).read_bytes() for name in names
            if own_tests(name) and (name == part or name.startswith(part.rstrip("/") + "/") or part in ("", "all"))}


def sample(modules, count, seed):
    """Return ``count`` faults of the modules, each kind as often as there are places for it, in the order of the modules.

    Constants are most of the places, and those of an axis die at once: drawn alike they would hide the guards.
    """
    every, kinds = list(of_modules(modules)), {}
    for index in random.Random(seed).sample(range(len(every)), len(every)):
        kinds.setdefault(every[index].kind, []).append(index)
    rounds = itertools.zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    drawn = [index for each in rounds for index in each if index is not None]
    return [every[index] for index in sorted(drawn[:count])]


def copy(root, tree):
    """Copy what git knows or would know of a checkout; return the copy."""
    listed = subprocess.run(["git", "ls-files", "-zco", "--exclude-standard"], cwd=root, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tree / name)
    return tree


def _judged(tree, chosen):
    for name in HEAVY:  # what takes long to import; nothing of deepatoms, which each child imports for itself
        __import__(name)
    equivalent = {entry["place"] for entry in yaml.safe_load(EQUIVALENT.read_text()) or []}
    usual = {}
    for number, fault in enumerate(chosen, 1):
        tests = own_tests(fault.module)
        if tests not in usual:
            usual[tests] = _baseline(tree, fault.module)
        fate = "equivalent" if fault.place in equivalent else judge(tree, fault, 5 * usual[tests] + 20)
        print(f"{number}/{len(chosen)} {fate:10} {fault.module}:{fault.line}  {fault.before}  ->  {fault.after}", flush=True)
        yield {"module": fault.module, "line": fault.line, "place": fault.place, "fate": fate}


def _baseline(tree, module):
    start = time.monotonic()
    if not passes(tree, module, 600):
        raise SystemExit(f"the tests of {module} fail without any fault; mend them first")
    return time.monotonic() - start


def judge(tree, fault, seconds):
    """Return whether a fault is killed or survives; the copy is as before afterwards."""
    path = tree / "lib" / "deepatoms" / fault.module
    whole = path.read_bytes()
    try:
        path.write_bytes(fault.applied(whole))
        return "survived" if passes(tree, fault.module, seconds) else "killed"
    finally:
        path.write_bytes(whole)


def passes(tree, module, seconds):
    """Tell whether a module's own tests pass within some seconds, in a fork of this process."""
    shutil.rmtree(tree / ".hypothesis", ignore_errors=True)  # examples that an earlier fault has left
    child = os.fork()
    if not child:
        _test(tree, module)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _test(tree, module):
    """Run the tests and end: the child never returns."""
    status = 1
    try:
        os.setsid()
        os.chdir(tree)
        sys.dont_write_bytecode = True  # a fault of the same length, in the same second, would be taken from a cache
        sys.path[:0] = [str(tree / "lib"), str(tree)]
        for name in [name for name in sys.modules if name.split(".")[0] in ("deepatoms", "tests")]:
            del sys.modules[name]
        os.environ |= {"PYTHONPATH": str(tree / "lib"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tree.parent),
                       "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # nbval alone takes two seconds to import
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        import pytest
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0",
                                  f"--rootdir={tree}", f"lib/deepatoms/{module}", *own_tests(module)],
                                 [_QuickFirst(tree.parent / "durations.json")]))
    finally:
        os._exit(status)


class _QuickFirst:
    """A pytest plugin: tests in the order of the time that each took before, so that what dies soon dies cheaply."""

    def __init__(self, path):
        self.path, self.seconds = path, json.loads(path.read_text()) if path.exists() else {}

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = max(self.seconds.get(report.nodeid, 0.0), report.duration)

    def pytest_sessionfinish(self, exitstatus):
        if not exitstatus:  # of a run without a fault, or of a survivor
            self.path.write_text(json.dumps(self.seconds))


def rates(found):
    """Return for each room the mutants that are not equivalent, and the part of them that was killed."""
    rooms = {}
    for each in found:
        if each["fate"] != "equivalent":
            rooms.setdefault(each["module"].split("/")[0], []).append(each["fate"] == "killed")
    return {room: (len(fates), sum(fates) / len(fates)) for room, fates in rooms.items()}


def table(found):
    """Return the lines of the table: module, mutants, killed, equivalent, and the survivors by place."""
    lines = [f"{'module':44}{'mutants':>8}{'killed':>8}{'equivalent':>12}"]
    for module in sorted({each["module"] for each in found}):
        fates = [each["fate"] for each in found if each["module"] == module]
        lines.append(f"{module:44}{len(fates):8}{fates.count('killed'):8}{fates.count('equivalent'):12}")
    lines += [f"survived  line {each['line']}: {each['place']}" for each in found if each["fate"] == "survived"]
    return lines + [f"{room}: {rate:.1%} of {mutants} killed" for room, (mutants, rate) in sorted(rates(found).items())]


if __name__ == "__main__":
    sys.exit(main())
