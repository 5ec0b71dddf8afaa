"""What moves on another processor: every check measured under several arithmetics, against what is stored."""

import json
import math
import subprocess
import sys

from tqdm import tqdm

from deepatoms.claims import catalogue, checking
from deepatoms.press import arithmetic, checkout, regress, repeat

PYTEST = ["-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]


def commands(chapters):
    """Return what must pass under each setting, by its name: the unit tests, and the chapters given (paths).

    The notebooks' test compares fresh outcomes with the stored ones (press/repeat.py).
    """
    named = [word for path in chapters for word in ("--chapter", path.stem)]
    return {"unit tests": [*PYTEST, "tests", "lib", "--ignore=tests/site"],
            "chapters": [*PYTEST, *repeat.NBVAL, *map(str, chapters)],
            "regress": ["-m", "deepatoms.press", "regress", "--seed", "1", "--profile", "laptop", "--device", "cpu", *named]}


def measure(chapter):
    """Return what a chapter's checks measure in this process, as plain data by check, with its arithmetic.

    A check that cannot tell right from wrong there is named under ``broken``, with its reason.
    """
    outcomes, broken = {}, {}
    for entry in checking.registered(chapter):
        if entry.records is None and entry.scale == "laptop":
            try:
                outcomes[entry.id] = checking.run(entry, checking.Setting()).as_dict()
            except (checking.ControlError, ValueError) as error:
                broken[entry.id] = str(error)
    return {"arithmetic": arithmetic.describe(), "outcomes": outcomes, "broken": broken}


def under(setting, chapter):
    """Return what a chapter's checks measure in a process of its own that calculates under a setting."""
    done = subprocess.run([sys.executable, "-m", "deepatoms.press.portable", chapter], cwd=checkout.ROOT, check=True,
                          env=arithmetic.environment(setting), stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def passes(setting, chapters):
    """Tell which of the project's tests pass under a setting, those of the notebooks for the chapters given."""
    return {name: subprocess.run([sys.executable, *command], cwd=checkout.ROOT, check=False,
                                 env=arithmetic.environment(setting)).returncode == 0
            for name, command in tqdm(commands(chapters).items(), desc=setting)}


def spread(measured):
    """Return how a check moves over settings: its results, its spread, and that over what its tolerance allows.

    Args:
        measured: outcomes of one check as plain data, by setting.
    """
    values = [outcome["measured"] for outcome in measured.values()]
    check = catalogue.load().check(next(iter(measured.values()))["check"])
    width = 0.0 if min(values) == max(values) else max(values) - min(values)
    allowed = regress.allowed(check, values[0])
    return {"check": check.id, "results": sorted({outcome["result"] for outcome in measured.values()}), "spread": width,
            "values": dict(zip(measured, values, strict=True)), "allowed": allowed,
            "of_tolerance": 0.0 if width == 0 else width / allowed if allowed else math.inf}


def table(measured):
    """Return the spreads of all checks, widest against its tolerance first; ``measured[setting][check]`` is an outcome."""
    names = dict.fromkeys(name for found in measured.values() for name in found)
    rows = [spread({setting: found[name] for setting, found in measured.items() if name in found}) for name in names]
    return sorted(rows, key=lambda row: (-row["of_tolerance"], -row["spread"]))


def by_setting(rows):
    """Return the table of settings as text: how many checks move there from what is stored, and the widest of its tolerance."""
    said = []
    for setting in dict.fromkeys(name for row in rows for name in row["values"] if name != "stored"):
        moves = {row["check"]: _move(row, setting) for row in rows if {setting, "stored"} <= row["values"].keys()}
        widest = max(moves, key=moves.get, default="")
        moved = sum(move > 0 for move in moves.values())
        most = f", at most {moves[widest]:.2g} of its tolerance: {widest}" if moved else ""
        said.append(f"{setting:18} {moved:3} of {len(moves)} move{most}")
    return said


def _move(row, setting):
    """Return how far a check lies from what is stored, over what its tolerance allows."""
    before, now = row["values"]["stored"], row["values"][setting]
    if before == now:
        return 0.0
    return abs(now - before) / row["allowed"] if row["allowed"] else math.inf


def lines(rows):
    """Return the table as text: checks whose result changes, then those that move, each against its tolerance."""
    changed = [f"{row['check']}: {' and '.join(row['results'])}" for row in rows if len(row["results"]) > 1]
    moved = [row for row in rows if row["spread"] > 0]
    beyond = [row for row in rows if row["of_tolerance"] > 1]
    return [f"{len(rows)} checks: {len(moved)} move, {len(beyond)} beyond their tolerance, {len(changed)} change result",
            *changed, *(f"{row['check']:55} {min(row['values'].values()):11.4g} to {max(row['values'].values()):11.4g}  "
                        f"{row['of_tolerance']:8.2g} of its tolerance" for row in moved)]


def write(chapters, settings, tests=True):
    """Measure the chapters under the settings, run the tests, print the table and keep it in ``_build/portable.json``.

    Returns:
        Whether every test passes, every check runs, none changes its result and none moves beyond its tolerance.
    """
    passed = {setting: passes(setting, chapters) for setting in settings} if tests else {}
    stored = {name: outcome for path in chapters for (name, scale), outcome in regress.read(path).items()
              if scale == "laptop" and not outcome["recorded"]}
    found = {setting: [under(setting, path.stem) for path in chapters] for setting in tqdm(settings, desc="settings")}
    rows = table({"stored": stored} | {setting: _joined(each, "outcomes") for setting, each in found.items()})
    failed = [f"{setting}: {name} fail" for setting, said in passed.items() for name, good in said.items() if not good]
    failed += [f"{setting}: {said}" for setting, each in found.items() for said in _joined(each, "broken").values()]
    _keep({"failed": failed, "arithmetic": {setting: each[0]["arithmetic"] for setting, each in found.items()}, "checks": rows})
    print(*lines(rows), *by_setting(rows), *failed, sep="\n")
    return not failed and not any(len(row["results"]) > 1 or row["of_tolerance"] > 1 for row in rows)


def _joined(chapters, part):
    return {name: value for chapter in chapters for name, value in chapter[part].items()}


def _keep(report):
    path = checkout.SITE.parent / "portable.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
