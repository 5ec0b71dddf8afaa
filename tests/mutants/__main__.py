"""Do the tests bite? ``make mutants``: put single faults into the code, one at a time, and see whether a test fails.

A sample of faults is drawn with a seed. Each is put into a copy of the tree (the checkout is never touched) and meets the
module's own tests alone: its doctests, and those that ``table.py`` names (``workers.py`` runs them). What fails, or does
not end in five times its usual time, is killed. ``equivalent.yml`` lists survivors that change nothing anybody could see,
each with its reason.

Why not a kept tool. mutmut 3 makes all mutants of a module at once, behind trampolines that change what doctests and
``torch.fx`` see; it leaves code outside functions alone, takes whichever tests reach a line for its tests, and draws no
sample. cosmic-ray edits the checkout in place, has one test command for all modules and starts a process for each mutant:
three seconds of importing torch, where a fork of a process that has it takes none. Neither drops a guard.
"""

import argparse
import itertools
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import yaml
from tests.mutants import workers
from tests.mutants.faults import of_modules
from tests.mutants.table import own_tests

ROOT = pathlib.Path(__file__).parents[2]
EQUIVALENT = pathlib.Path(__file__).with_name("equivalent.yml")
FLOORS = {"theory": 0.9, "claims": 0.9, "runs": 0.9}  # elsewhere 0.8
FEW = 20  # mutants of a room below which its rate says nothing


def main(arguments=None):
    """Draw faults, run the tests of each, print the table; the status is 1 when a room lies below its floor."""
    options = _options(arguments)
    chosen = sample(sources(ROOT, options.module), options.count, options.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy(ROOT, pathlib.Path(folder) / "tree")
        found = list(_judged(tree, chosen, options.into.parent / "mutants"))
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
    parser.add_argument("--into", type=lambda text: pathlib.Path(text).absolute(), default=ROOT / "_build" / "mutants.json")
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


def _judged(tree, chosen, kept=None):
    """Yield what became of each fault, those with the same tests together."""
    equivalent = {entry["place"] for entry in yaml.safe_load(EQUIVALENT.read_text()) or []}
    groups = {}
    for fault in chosen:
        groups.setdefault(own_tests(fault.module), []).append(fault)
    for group in groups.values():
        yield from (_told(fault, "equivalent", 0.0) for fault in group if fault.place in equivalent)
        open_ones = [fault for fault in group if fault.place not in equivalent]
        if open_ones:
            yield from (_told(open_ones[index], fate, seconds)
                        for index, fate, seconds in workers.judged(tree, open_ones, kept or tree.parent / "seen"))


def _told(fault, fate, seconds):
    print(f"{fate:10} {seconds:6.1f} s  {fault.module}:{fault.line}  {fault.before}  ->  {fault.after}", flush=True)
    return {"module": fault.module, "line": fault.line, "place": fault.place, "fate": fate, "seconds": round(seconds, 2)}


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
    for room, (mutants, rate) in sorted(rates(found).items()):
        low, high = wilson(rate, mutants)
        lines.append(f"{room}: {rate:.1%} of {mutants} killed (95 % interval {low:.0%} to {high:.0%})")
    return [*lines, f"{sum(each['seconds'] for each in found) / max(len(found), 1):.1f} CPU seconds for each fault"]


def wilson(rate, count, z=1.96):
    """Return Wilson's interval of a rate.

    >>> [round(end, 2) for end in wilson(0.9, 100)]
    [0.83, 0.94]
    """
    middle, half = rate + z * z / (2 * count), z * math.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


if __name__ == "__main__":
    sys.exit(main())
