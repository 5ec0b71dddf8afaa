"""Every claim again: chapters run afresh with another seed, device or profile, against what is stored."""

import datetime
import json
import os
import tempfile
import time

import joblib
import nbformat
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from deepatoms.claims import catalogue, mirrors
from deepatoms.pages import figures
from deepatoms.pages.chapter import stored
from deepatoms.press import arithmetic, checkout, notebooks
from deepatoms.runs import results


def regress(paths, seed, profile, device, results_folder=None):
    """Run the chapters afresh (two at a time); return a report of what no longer holds.

    At the full profile they see an empty folder of results, so that no recorded value can pass for a measurement, or
    ``results_folder``, made in earlier calls on the same device; at laptop they recompute from the records what the chapter
    shows as recorded.
    """
    with tempfile.TemporaryDirectory() as empty:
        empty = os.path.abspath(results_folder) if results_folder else empty
        fresh = joblib.Parallel(n_jobs=1 if device == "cuda" else 2, return_as="generator")(
            joblib.delayed(_fresh)(path, empty, seed=seed, profile=profile, device=device) for path in paths)
        reports = [_compare(path, *found, seed) for path, found in
                   zip(paths, tqdm(fresh, total=len(paths), desc="regress"), strict=True)]
    return {"seed": seed, "profile": profile, "device": results.provenance((), device_name(device), 0)["device"],
            "arithmetic": arithmetic.describe(), "date": datetime.date.today().isoformat(), "chapters": reports}


def device_name(device):
    """Return the device that ``auto`` stands for on this machine."""
    import torch
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _fresh(path, empty, **parameters):
    """Return outcomes and figures' findings of a fresh run, why it broke off (empty if it did not), and its seconds."""
    if parameters["profile"] == "full":
        os.environ[results.FOLDER] = empty
    started = time.perf_counter()
    try:
        done = notebooks.run(path, **parameters)
        outcomes, shown, stopped = stored(done), figures.findings(done), ""
    except PapermillExecutionError as error:
        outcomes, shown, stopped = {}, {}, f"its run stopped with {error.ename}: {error.evalue}"
    return outcomes, shown, stopped, time.perf_counter() - started


def read(path):
    """Return the outcomes stored in a chapter."""
    return stored(nbformat.read(path, as_version=4))


def _compare(path, fresh, shown, stopped, seconds, seed):
    before = read(path)
    broken = [stopped] if stopped else differences(before, fresh, seed) + mirrored(before, fresh)
    broken += [f"figure: not in this run: {said}" for said, held in shown.items() if not held]
    return {"chapter": path.stem, "checks": len(fresh), "seconds": round(seconds, 1), "broken": broken}


def differences(before, now, seed):
    """Say what two sets of outcomes do not share: checks, results, and with the same seed numbers within the tolerance.

    Args:
        before: the stored outcomes, by check and scale.
        now: the fresh ones; what is stored as recorded may be missing from them.
        seed: the seed of the fresh ones.

    Returns:
        One sentence for each difference; an empty list where there is none.
    """
    broken = [said for key, outcome in sorted(now.items()) if (said := difference(before.get(key), outcome, seed))]
    return broken + [f"{name} at {scale}: stored, but not measured again" for (name, scale), outcome in sorted(before.items())
                     if (name, scale) not in now and not outcome["recorded"]]


def difference(before, now, seed):
    """Say how a fresh outcome differs from the stored one, in its result or beyond its tolerance; else the empty text."""
    if before is None:
        return f"{now['check']} at {now['scale']}: measured, but not stored; run make store"
    if before["result"] != now["result"]:
        return (f"{now['check']}: stored as {before['result']} ({before['measured']:.4g}), "
                f"now {now['result']} ({now['measured']:.4g})")
    same = seed == before["seed"] or now["recorded"]
    check = catalogue.load().check(now["check"])
    if same and not within(check, before["measured"], now["measured"]):
        return (f"{now['check']}: stored {before['measured']:.6g}, now {now['measured']:.6g}, beyond its tolerance "
                f"({allowed(check, before['measured']):.2g})")
    return ""


def mirrored(before, now):
    """Say which checks' controls follow from the measured number by one formula in two runs with different seeds."""
    both = [(outcome, now[key]) for key, outcome in sorted(before.items())
            if key in now and not outcome["recorded"] and outcome["seed"] != now[key]["seed"]]
    found = {pair[0]["check"]: mirrors.mirror([(each["measured"], each["control"]) for each in pair]) for pair in both}
    return [f"{check}: at both seeds its control is {formula} of the measured x; measure it on altered data"
            for check, formula in found.items() if formula]


def within(check, before, now):
    """Tell whether two measurements of a check agree up to its tolerance; both may be infinite."""
    return before == now or abs(before - now) <= allowed(check, before)


def allowed(check, before):
    """Return how far a measurement may lie from an earlier one: absolute (``abs``) or relative to it (``rel``)."""
    return check.tolerance.get("abs", 0) + check.tolerance.get("rel", 0) * abs(before)


def write(report):
    """Write a report where the scoreboard finds it (``full``) or beside the built site (``laptop``); return the path."""
    folder = results.folder() if report["profile"] == "full" else checkout.SITE.parent
    path = folder / "regress" / f"{report['profile']}-{report['device'].split()[0].lower()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
