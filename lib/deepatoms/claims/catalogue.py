"""The catalogue of claims: what each paper says, and the criterion fixed before anything was measured."""

import operator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

import yaml

OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq,
             "in": lambda number, ends: ends[0] <= number <= ends[1]}


@dataclass(frozen=True)
class Criterion:
    """A comparison of one number with a fixed value (``in``: a closed interval)."""

    op: str
    value: float | list

    def accepts(self, number):
        """Tell whether the number meets the criterion."""
        return bool(OPERATORS[self.op](number, self.value))

    def judge(self, number, interval=None):
        """Return ``"holds"``, ``"fails"`` or, when the 95 % interval straddles the criterion, ``"inconclusive"``."""
        if interval is None:
            return "holds" if self.accepts(number) else "fails"
        ends = {self.accepts(end) for end in interval}
        if self._splits(interval) or len(ends) == 2:
            return "inconclusive"
        return "holds" if ends.pop() else "fails"

    def _splits(self, interval):
        """A point or an interval criterion can lie strictly inside the measured interval while both ends fail it."""
        inner = self.value if self.op == "in" else [self.value] if self.op == "==" else []
        return any(interval[0] < edge < interval[1] for edge in inner)

    def __str__(self):
        return f"in [{self.value[0]:g}, {self.value[1]:g}]" if self.op == "in" else f"{self.op} {self.value:g}"


@dataclass(frozen=True)
class Check:
    """One number to measure: its criterion, the control that must come out the other way, its tolerance."""

    id: str
    name: str
    role: str
    quantity: str
    criterion: Criterion
    control: str
    tolerance: dict

    @property
    def control_must(self):
        """Return ``"fail"``, ``"pass"`` or, where the catalogue names a control for either outcome, ``"oppose"``."""
        named = {word for word in ("fail", "pass") if f"{word}s:" in self.control or f"{word}es:" in self.control}
        return "oppose" if len(named) == 2 else named.pop()


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


@dataclass(frozen=True)
class Catalogue:
    """All papers and claims, by their keys."""

    papers: dict
    claims: dict[str, Claim]
    checks: dict[str, Check] = field(repr=False)

    def chapter(self, name):
        """Return the claims that a chapter tests, in the catalogue's order; raise KeyError for an unknown chapter."""
        found = [claim for claim in self.claims.values() if claim.chapter == name]
        if not found:
            known = ", ".join(sorted({claim.chapter for claim in self.claims.values()}))
            raise KeyError(f"chapter = {name!r} is not in the catalogue; the chapters are {known}")
        return found

    def check(self, identifier):
        """Return the check called ``claim/name``; raise KeyError with near matches when there is none."""
        if identifier not in self.checks:
            claim = identifier.split("/")[0]
            near = [known for known in self.checks if known.startswith(claim + "/")] or ["none for that claim"]
            raise KeyError(f"check = {identifier!r} is not in the catalogue; checks of {claim}: {', '.join(near)}")
        return self.checks[identifier]


@lru_cache(maxsize=1)
def load():
    """Return the catalogue that is shipped with the package.

    >>> load().claims["dfp.eq2"].place
    'Eq. 2'
    """
    data = yaml.load(files("deepatoms.claims").joinpath("claims.yml").read_text("utf-8"), yaml.CSafeLoader)
    claims = {entry["id"]: _claim(entry) for entry in data["claims"]}
    checks = {check.id: check for claim in claims.values() for check in claim.checks}
    return Catalogue({paper["key"]: paper for paper in data["papers"]}, claims, checks)


def _claim(entry):
    checks = tuple(_check(entry["id"], check) for check in entry["checks"])
    return Claim(**{**entry, "checks": checks})


def _check(claim, entry):
    return Check(id=f"{claim}/{entry['name']}", **{**entry, "criterion": Criterion(**entry["criterion"])})
