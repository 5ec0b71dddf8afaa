"""A function over many configurations, shared between processes and hosts, with an account of what became of each."""

from __future__ import annotations

import pathlib
import re
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from deepatoms.runs import claim_files, partial_states, record_files
from deepatoms.theory.arguments import refuse
from deepatoms.theory.signatures import named

Configuration = dict[str, Any]
POLL = 0.5  # seconds between two looks at what another process is at


@dataclass(frozen=True)
class Effort:
    """How much is done of a sweep, and by how many.

    Args:
        minutes: nothing is started, nor waited for, after so many; what can be continued is broken off at its next step.
        jobs: processes, through ``joblib.Parallel`` and whatever backend is set there.
        progress: show joblib's, and each step of what can be continued, with the time left.
        shard: ``"i/n"`` for the i-th of n parts of the configurations, by their index.
    """

    minutes: float | None = None
    jobs: int = 1
    progress: bool = False
    shard: str | None = None


@dataclass(frozen=True)
class Task:
    """Everything that a process needs to make one record, wherever it runs: nothing is read from its surroundings."""

    name: str
    function: Callable[[Configuration, str], Any]
    claims: tuple[str, ...]
    device: str
    folder: pathlib.Path
    deadline: float | None  # by the folder's clock, the only one that all hosts share
    progress: bool = False


class BrokenOff(Exception):
    """A computation that is to be continued elsewhere or later; ``state`` is that of its outcome."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state


@dataclass(frozen=True)
class Outcome:
    """What became of one configuration in one process: done, recorded (by another), held (by another), late or failed."""

    key: str
    state: str
    began: bool = False
    reason: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Summary:
    """What a sweep did: configurations it started, recorded, found recorded, failed at, and those still without a record.

    >>> print(Summary("squares", 3, started=2, done=1, skipped=1, failed=1, missing=1, reasons=("{'number': 0} failed",)))
    squares: 3 configurations, 2 started, 1 recorded now, 1 skipped (recorded before), 1 failed, 1 missing
      {'number': 0} failed
    """

    name: str
    total: int
    started: int
    done: int
    skipped: int
    failed: int
    missing: int
    reasons: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n  ".join([f"{self.name}: {self.total} configurations, {self.started} started, {self.done} recorded now, "
                            f"{self.skipped} skipped (recorded before), {self.failed} failed, {self.missing} missing",
                            *self.reasons])


class RunError(RuntimeError):
    """Some configurations failed; the others were finished first."""


def sweep(name: str, configurations: Iterable[Configuration], function: Callable[[Configuration, str], Any],
          claims: Iterable[str] = (), device: str = "cpu", effort: Effort = Effort()) -> Summary:
    """Record ``function(configuration, device)`` for every configuration without a record; tell what became of each.

    Any number of sweeps on any number of hosts may share the folder: a claim file keeps each configuration to one process,
    and what another process is at is waited for, and taken over if that process dies.

    Args:
        name: the experiment.
        configurations: plain dictionaries (JSON).
        function: returns plain data; if it raises, the other configurations still run.
        claims: the IDs of the claims that read the records.
        device: passed to ``function``.
        effort: minutes, processes, shard.

    Raises:
        ValueError: if a record is damaged or the shard malformed.
        OSError: if the folder cannot be written.
    """
    wanted = {record_files.key(configuration): configuration for configuration in configurations}
    own = part(list(wanted), effort.shard)
    place = record_files.folder().absolute() / name
    before = {key for key in own if (place / f"{key}.json").exists() and record_files.read(place / f"{key}.json")}
    if todo := {key: wanted[key] for key in own if key not in before}:
        record_files.demand_room(place)
    deadline = claim_files.now(place) + 60 * effort.minutes if todo and effort.minutes is not None else None
    for key in before:  # whoever wrote the record may have been killed before it removed this
        partial_path(place, key).unlink(missing_ok=True)
    task = Task(name, function, tuple(claims), device, place, deadline, effort.progress)
    outcomes = {key: Outcome(key, "recorded") for key in before} | _until_settled(task, todo, effort.jobs, effort.progress)
    outcomes = {key: _seen(task, outcome) for key, outcome in outcomes.items()}
    return _summary(task, wanted, outcomes, effort)


def part(items: Sequence[Any], shard: str | None) -> list[Any]:
    """Return the i-th of n parts of a list, every n-th entry, for ``shard`` = ``"i/n"``; all of it for None.

    >>> part("abcde", "2/3")
    ['b', 'e']
    """
    if shard is None:
        return list(items)
    found = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", shard) if isinstance(shard, str) else None
    if found is None or int(found[1]) > int(found[2]):
        refuse("SHARD", shard, "is not i/n with 1 <= i <= n", "write SHARD=1/2 on one host and SHARD=2/2 on the other")
    return list(items)[int(found[1]) - 1::int(found[2])]


def _until_settled(task, todo, jobs, progress):
    outcomes = {}
    while todo:
        outcomes |= _pass(task, todo, jobs, progress)
        todo = {key: one for key, one in todo.items() if outcomes[key].state == "held"}
        if not _wait(task, todo):
            break
    return outcomes


def _wait(task, todo):
    """Wait until another process has settled one of the configurations, or has died over it; False if time is over."""
    while todo and (task.deadline is None or claim_files.now(task.folder) < task.deadline):
        if any((task.folder / f"{key}.json").exists() or not claim_files.holder(task.folder, key) for key in todo):
            return True
        time.sleep(POLL)
    return False


def _pass(task, todo, jobs, progress):
    """Attempt all configurations once; those over which a worker was killed again, each alone, to know which it was."""
    found = {}
    try:
        for outcome in _parallel(task, todo, jobs, progress):
            found[outcome.key] = outcome
    except TerminatedWorkerError:
        rest = {key: one for key, one in todo.items() if key not in found}
        suspects = {key: one for key, one in rest.items() if claim_files.left(task.folder, key)} or rest
        found |= {key: _alone(task, key, one) for key, one in suspects.items()}
        found |= _pass(task, {key: one for key, one in rest.items() if key not in suspects}, jobs, progress)
    return found


def _alone(task, key, configuration):
    try:
        return next(iter(_parallel(task, {key: configuration}, 2, False)))  # one job would run in this process
    except TerminatedWorkerError:
        return Outcome(key, "failed", began=True, reason="its process was killed twice; was there enough memory?")


def _parallel(task, todo, jobs, progress):
    parallel = joblib.Parallel(n_jobs=jobs, verbose=5 if progress else 0, return_as="generator_unordered")
    return parallel(joblib.delayed(attempt)(task, key, one) for key, one in todo.items())


def attempt(task: Task, key: str, configuration: Configuration) -> Outcome:
    """Make one record, unless it is there, somebody is at it or the time is over; runs in any process on any host."""
    began = False
    try:
        if (task.folder / f"{key}.json").exists():
            return Outcome(key, "recorded")
        claim = claim_files.take(task.folder, key)
        if claim is None:
            return Outcome(key, "held", reason=claim_files.holder(task.folder, key))
        with claim:
            if (task.folder / f"{key}.json").exists():
                return Outcome(key, "recorded")
            if task.deadline is not None and claim.moment >= task.deadline:
                return Outcome(key, "late")
            began = True
            return Outcome(key, _record(task, key, configuration, claim), began, reason=socket.gethostname())
    except BrokenOff as end:
        return Outcome(key, end.state, began, str(end))
    except Exception as error:  # noqa: BLE001 (told by name when the others are done)
        return Outcome(key, "failed", began, f"{type(error).__name__}: {error}", traceback.format_exc())


def _record(task, key, configuration, claim):
    started = time.perf_counter()
    partial = partial_states.PartialState(partial_path(task.folder, key), configuration, task.device,
                                          lambda partial: _go_on(task, claim, partial))
    own = (partial,) if getattr(task.function, "resumable", False) else ()
    result = task.function(configuration, task.device, *own)
    seconds = time.perf_counter() - started
    if not claim.held():  # this process stood still for so long that another took over
        return "held"
    provenance = record_files.provenance(task.claims, task.device, seconds, task.function)
    record_files.write(task.folder / f"{key}.json", task.name, configuration, result, provenance | partial.told(seconds))
    partial.path.unlink(missing_ok=True)
    return "done"


def _go_on(task, claim, partial):
    """Tell how far a computation has come; break it off when another has taken it over, or the time is over."""
    where = f"step {partial.done} of {partial.total}"
    if task.progress:
        print(f"{task.name} {partial.path.stem}: {where}, {partial.left() / 60:.0f} minutes left", file=sys.stderr, flush=True)
    if not claim.held():
        raise BrokenOff("held", claim_files.holder(task.folder, partial.path.stem))
    if task.deadline is not None and partial.done < partial.total and claim_files.now(task.folder) >= task.deadline:
        raise BrokenOff("late", where)


def partial_path(folder: pathlib.Path, key: str) -> pathlib.Path:
    """Return where the partial state of a configuration is kept."""
    return folder / f"{key}.partial"


def _seen(task, outcome):
    """Return the outcome, failed if a record that was written elsewhere is not to be seen from here."""
    if outcome.state != "done" or (task.folder / f"{outcome.key}.json").exists():
        return outcome
    return Outcome(outcome.key, "failed", True, f"its record, written on {outcome.reason}, is not in {task.folder} here; "
                                                "let both hosts see one folder under one path")


def _summary(task, wanted, outcomes, effort):
    states = Counter(outcome.state for outcome in outcomes.values())
    failures = [outcome for outcome in outcomes.values() if outcome.state == "failed"]
    held = sorted(outcome.reason for outcome in outcomes.values() if outcome.state == "held")
    reasons = [f"{wanted[one.key]} failed: {one.reason}" for one in failures]
    if late := sum(outcome.state == "late" and not outcome.began for outcome in outcomes.values()):
        reasons.append(f"{late} not started: the {effort.minutes:g} minutes were over")
    if broken_off := [outcome.reason for outcome in outcomes.values() if outcome.state == "late" and outcome.began]:
        reasons.append(f"{len(broken_off)} broken off after {effort.minutes:g} minutes, to be continued by the same command: "
                       + ", ".join(broken_off))
    if held:
        reasons.append(f"{len(held)} being computed elsewhere: " + ", ".join(held))
    missing = [key for key in wanted if not (task.folder / f"{key}.json").exists()]
    if others := [key for key in missing if key not in outcomes]:
        reasons.append(f"{len(others)} in other shards than {effort.shard}")
    return Summary(task.name, len(wanted), sum(outcome.began for outcome in outcomes.values()), states["done"],
                   states["recorded"], states["failed"], len(missing), tuple(reasons),
                   tuple(one.trace for one in failures if one.trace))


named(__name__)
