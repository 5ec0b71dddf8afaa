"""Choosing an architecture without data: a table ordered by F under a budget, beside the naive baselines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deepatoms.theory import arguments
from deepatoms.theory.frame_potential import chains, descent
from deepatoms.theory.induced.architecture import Net
from deepatoms.theory.signatures import named


@dataclass(frozen=True)
class Candidate:
    """One architecture in the ranking, and the convention for magnitudes under which its F is the least one.

    Conventions: "infimum" (free magnitudes, closed form), "unit" (filters of norm 1, descent), "free" (reached by descent),
    "given" (by the caller).
    """

    name: str
    potential: float
    convention: str
    parameters: int
    multiply_adds: int
    depth: int


@dataclass(frozen=True)
class Ranking:
    """Candidates within the budget, lowest F first, and why the measure abstains where it does."""

    rows: tuple[Candidate, ...]
    abstains: str | None

    @property
    def chosen(self) -> Candidate | None:
        """The candidate of lowest F, or None where the measure cannot tell."""
        return None if self.abstains or not self.rows else self.rows[0]

    def __str__(self):
        head = f"{'architecture':<22}{'F':>8}  {'convention':<10}{'parameters':>12}{'multiply-adds':>15}{'depth':>7}"
        lines = [f"{row.name:<22}{row.potential:>8.4f}  {row.convention:<10}{row.parameters:>12,}"
                 f"{row.multiply_adds:>15,}{row.depth:>7}" for row in self.rows]
        return "\n".join([head, *lines, *([f"abstains: {self.abstains}"] if self.abstains else [])])


def rank(candidates: Mapping[str, Net], budget: int | None = None, potentials: Mapping[str, float] | None = None,
         iterations: int = 100, magnitudes: str | None = None) -> Ranking:
    r"""Return the candidates within a parameter budget, ordered by minimum F: the rule of the paper's Section 4.2.

    Fully connected synthesis chains use the closed form (free magnitudes), all other architectures descent with unit
    magnitudes, unless ``potentials`` gives recorded values. The order of a chain and a residual network depends on that
    convention, so it stands in a column, and a table that mixes conventions abstains. Parameter count, multiply-adds and
    depth stand beside F: whoever ranks by it should know whether they would have chosen differently.

    Args:
        candidates: mapping from name to architecture.
        budget: largest parameter count; none unless given.
        potentials: mapping from name to F, where known.
        iterations: steps of descent, where needed.
        magnitudes: "unit" or "free" for descent under this one convention, whatever the architecture; None as above.

    Returns:
        A ``Ranking``; it abstains where two or more candidates tie at F = 0, or their conventions differ.

    Source: the paper, Section 4.2.

    Raises:
        ValueError: on no candidates, a budget or a number of steps below 1, or an unknown convention.

    >>> from deepatoms.theory import induced
    >>> widths = {"narrow": [3072, 8, 16], "wide": [3072, 16, 32]}
    >>> rank({name: induced.chain(k) for name, k in widths.items()}).chosen.name
    'wide'
    """
    if not candidates:
        arguments.refuse("candidates", candidates, "is empty", "pass a mapping from names to architectures")
    budget = None if budget is None else arguments.integer("budget", budget)
    potentials = potentials or {}
    return ranked([_candidate(name, net, potentials.get(name), iterations, magnitudes)
                   for name, net in candidates.items() if budget is None or net.parameter_count <= budget], budget)


def ranked(candidates: Iterable[Candidate], budget: int | None = None) -> Ranking:
    """Return candidates whose F is known, ordered, with the reason why the measure abstains if it does.

    Args:
        candidates: rows of rankings made one by one.
        budget: the parameter count that they were held to, for the reason.

    Source: the paper, Section 4.2.

    >>> ranked([Candidate("a", 0.2, "unit", 9, 9, 1), Candidate("b", 0.1, "unit", 8, 8, 1)]).chosen.name
    'b'
    """
    rows = tuple(sorted(candidates, key=lambda row: (row.potential, row.parameters)))
    return Ranking(rows, _abstains(rows, budget))


def closed_form(net: Net) -> bool:
    """Tell whether the infimum of F over free magnitudes is known in closed form: for fully connected synthesis chains.

    Source: the chapter on the deep frame potential.

    >>> from deepatoms.theory import induced
    >>> closed_form(induced.chain([4, 8])), closed_form(induced.residual([4, 8, 8]))
    (True, False)
    """
    return net.image == 1 and net.family == "chain" and net.form == "synthesis"


def _abstains(rows, budget):
    """Say why the measure cannot tell the rows apart, or None."""
    tied, conventions = [row.name for row in rows if row.potential < 1e-6], sorted({row.convention for row in rows})
    if not rows:
        return "no candidate is left" if budget is None else f"no candidate has at most {budget:,} parameters"
    if len(conventions) > 1:
        return f"conventions for magnitudes differ ({', '.join(conventions)}): F is comparable under one of them only"
    if len(tied) > 1:
        return f"{len(tied)} candidates tie at F = 0 ({', '.join(tied[:4])}{', ...' if len(tied) > 4 else ''})"
    return None


def _candidate(name, net, given, iterations, magnitudes):
    potential, convention = _potential(net, iterations, magnitudes) if given is None else (given, "given")
    return Candidate(name, potential, convention, net.parameter_count, net.multiply_adds, net.depth)


def _potential(net, iterations, magnitudes):
    if magnitudes is None and closed_form(net):
        return chains.chain_minimum([layer.channels for layer in net.layers])[1], "infimum"
    magnitudes = magnitudes or "unit"
    return descent.minimize(net, magnitudes, descent=descent.Descent(iterations)).potential, magnitudes


named(__name__)
