"""The catalogue of claims: what each paper says, and the criterion fixed before its check was written."""

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from deepatoms.claims.verdicts import SCALES
from deepatoms.theory.arguments import one_of, refuse

KINDS = ("theorem", "equation", "statement", "figure", "table", "definition")
ROLES = ("printed", "hypothesis", "convention", "corrected")
CONTROLS = {"fails": "fail", "passes": "pass"}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq,
    "in": lambda number, ends: ends[0] <= number <= ends[1]}


def _number(name: str, value: object) -> None:
    """YAML reads ``1e-6`` as text: only a number with a point is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        refuse(name, value, "is not a finite number", "write a number, powers of ten with a point: 1.0e-6", TypeError)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        refuse(name, value, "says nothing", "write what it is in words")


@dataclass(frozen=True)
class Criterion:
    """A comparison of one number with a fixed value (``in``: a closed interval)."""

    op: str
    value: Any

    def __post_init__(self) -> None:
        one_of("criterion op", self.op, list(OPERATORS))
        if self.op != "in":
            return _number("criterion value", self.value)
        if not isinstance(self.value, list) or len(self.value) != 2:
            refuse("criterion value", self.value, "is no pair", "write [low, high] for the operator in")
        for end in self.value:
            _number("criterion value", end)
        if self.value[0] > self.value[1]:
            refuse("criterion value", self.value, "is not ordered", "write [low, high] with low <= high")

    def accepts(self, number: float) -> bool:
        """Tell whether the number meets the criterion."""
        return bool(OPERATORS[self.op](number, self.value))

    def judge(self, number: float, interval: tuple[float, float] | None = None) -> str:
        """Return ``"holds"``, ``"fails"`` or, when the 95 % interval straddles the criterion, ``"inconclusive"``."""
        if interval is None:
            return "holds" if self.accepts(number) else "fails"
        ends = {self.accepts(end) for end in interval}
        if self._splits(interval) or len(ends) == 2:
            return "inconclusive"
        return "holds" if ends.pop() else "fails"

    def _splits(self, interval: tuple[float, float]) -> bool:
        """A point or an interval criterion can lie strictly inside the measured interval while both ends fail it."""
        inner = self.value if self.op == "in" else [self.value] if self.op == "==" else []
        return any(interval[0] < edge < interval[1] for edge in inner)

    def __str__(self) -> str:
        return f"in [{self.value[0]:g}, {self.value[1]:g}]" if self.op == "in" else f"{self.op} {self.value:g}"


@dataclass(frozen=True)
class Check:
    """One number to measure: its criterion, the control that must come out the other way, its tolerance."""

    id: str
    name: str
    role: str
    quantity: str
    criterion: Criterion
    controls: dict[str, str]
    tolerance: dict[str, float]
    sentence: str = ""  # what the number is, for the page: "codes missed by l1 inside the printed limit"
    unit: str = ""

    def __post_init__(self) -> None:
        _text(f"{self.id}: name", self.name)
        one_of(f"{self.id}: role", self.role, ROLES)
        _text(f"{self.id}: quantity", self.quantity)
        _mapping(f"{self.id}: controls", self.controls, list(CONTROLS))
        _mapping(f"{self.id}: tolerance", self.tolerance, ["abs", "rel"])
        for outcome, text in self.controls.items():
            _text(f"{self.id}: controls {outcome}", text)
        for name, value in self.tolerance.items():
            _number(f"{self.id}: tolerance {name}", value)
            if value < 0:
                refuse(f"{self.id}: tolerance {name}", value, "is negative", "write a number >= 0")

    @property
    def control_must(self) -> str:
        """Return ``"fail"``, ``"pass"`` or, where the catalogue names a control for either outcome, ``"oppose"``."""
        return "oppose" if len(self.controls) == 2 else CONTROLS[next(iter(self.controls))]

    @property
    def control(self) -> str:
        """Return the controls in words, each after what it must do."""
        return "; ".join(f"{outcome}: {text}" for outcome, text in self.controls.items())


def _mapping(name: str, value: Any, keys: list[str]) -> None:
    if not isinstance(value, dict) or not value:
        refuse(name, value, "is empty", "name at least one of " + ", ".join(keys))
    for key in value:
        one_of(name, key, keys)


@dataclass(frozen=True)
class Claim:
    """One claim of one paper, in our words, with its checks."""

    id: str
    paper: str
    place: str
    kind: str
    statement: str
    chapter: str
    scale_required: str
    checks: tuple[Check, ...]
    issue: str = ""
    corrected: str = ""
    reduced: str = ""
    decides: str = ""
    reason: str = ""
    revised: str = ""

    def __post_init__(self) -> None:
        one_of(f"{self.id}: kind", self.kind, KINDS)
        one_of(f"{self.id}: scale_required", self.scale_required, (SCALES[0], SCALES[-1]))
        for name in ("place", "statement", "chapter"):
            _text(f"{self.id}: {name}", getattr(self, name))
        _once(f"{self.id}: check", [check.name for check in self.checks])
        self._demand_verdict()

    def _demand_verdict(self) -> None:
        """Every claim can come to a verdict: without a check of the printed claim there would be none to give."""
        roles = {check.role for check in self.checks}
        if not self.checks and not self.reason:
            refuse(f"{self.id}: checks", [], "are none", "add a check, or say in reason why there is nothing to check")
        if self.checks and not roles & {"printed", "convention"}:
            refuse(f"{self.id}: roles", sorted(roles), "do not test the claim", "add a check with role printed or convention")
        if "corrected" in roles and not self.corrected:
            refuse(f"{self.id}: corrected", self.corrected, "is empty", "write the statement that its check tests")


def _once(name: str, keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            refuse(name, key, "is there twice", "give each its own")
        seen.add(key)


@dataclass(frozen=True)
class Catalogue:
    """All papers and claims, by their keys."""

    papers: dict[str, dict]
    claims: dict[str, Claim]
    checks: dict[str, Check] = field(repr=False)

    def chapter(self, name: str) -> list[Claim]:
        """Return the claims that a chapter tests, in the catalogue's order; raise KeyError for an unknown chapter."""
        found = [claim for claim in self.claims.values() if claim.chapter == name]
        if not found:
            known = ", ".join(sorted({claim.chapter for claim in self.claims.values()}))
            raise KeyError(f"chapter = {name!r} is not in the catalogue; the chapters are {known}")
        return found

    def check(self, identifier: str) -> Check:
        """Return the check called ``claim/name``; raise KeyError with near matches when there is none."""
        if identifier not in self.checks:
            claim = identifier.split("/")[0]
            near = [known for known in self.checks if known.startswith(claim + "/")] or ["none for that claim"]
            raise KeyError(f"check = {identifier!r} is not in the catalogue; checks of {claim}: {', '.join(near)}")
        return self.checks[identifier]


@lru_cache(maxsize=1)
def load() -> Catalogue:
    """Return the catalogue that is shipped with the package.

    >>> load().claims["dfp.eq2"].place
    'Eq. 2'
    """
    return read(files("deepatoms.claims").joinpath("claims.yml").read_text("utf-8"))


def read(text: str) -> Catalogue:
    """Return the catalogue that a YAML text holds; refuse, by claim, value and remedy, what it cannot mean."""
    data = yaml.load(text, yaml.CSafeLoader)
    papers = {paper["key"]: paper for paper in data["papers"]}
    _once("paper", [paper["key"] for paper in data["papers"]])
    _once("claim id", [entry.get("id", "") for entry in data["claims"]])
    for entry in data["claims"]:
        one_of(f"{entry.get('id')}: paper", entry.get("paper"), list(papers))
        one_of(f"{entry.get('id')}: chapter", entry.get("chapter"), data["chapters"])
    claims = {entry["id"]: _claim(entry) for entry in data["claims"]}
    return Catalogue(papers, claims, {check.id: check for claim in claims.values() for check in claim.checks})


def _claim(entry: dict) -> Claim:
    checks = tuple(_check(entry["id"], check) for check in entry.get("checks") or ())
    return _made(Claim, entry["id"], {**entry, "checks": checks})


def _check(claim: str, entry: dict) -> Check:
    name = f"{claim}/{entry.get('name')}"
    try:
        criterion = _made(Criterion, name, entry.get("criterion") or {})
    except (TypeError, ValueError) as fault:
        raise type(fault)(f"{name}: {fault}") from None
    return _made(Check, name, {**entry, "id": name, "criterion": criterion})


def _made(kind: Any, name: str, entry: dict) -> Any:
    """Build an entry; a field that is missing or misspelt is refused by the name of what it belongs to."""
    known = {each.name: each for each in fields(kind)}
    for key in entry:
        one_of(f"{name}: field", key, list(known))
    missing = [each for each in known if each not in entry and known[each].default is MISSING]
    if missing:
        refuse(f"{name}: fields", sorted(entry), "lack " + ", ".join(missing), "add them")
    return kind(**entry)
