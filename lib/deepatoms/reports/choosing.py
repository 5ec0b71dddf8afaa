"""``deepatoms rank``: candidates of a file ordered by the frame potential, with what that order was found to be worth."""

import argparse
import sys
from collections.abc import Callable, Mapping

from tqdm import tqdm

from deepatoms.reports import loading
from deepatoms.theory import frame_potential
from deepatoms.theory.arguments import integer, refuse
from deepatoms.theory.frame_potential import Ranking
from deepatoms.theory.induced import Net

CONVENTIONS = {
    "infimum": "F is the infimum over free magnitudes, by the closed form of fully connected chains.",
    "unit": "F is the least that descent found with every filter of norm 1.",
    "free": "F is the least that descent reached with free magnitudes: no minimum, and it depends on the steps.",
}
EXAMPLE = 'from deepatoms.theory import induced; candidates = {"narrow": induced.chain([64, 16, 8]), ...}'


def candidates(text: str) -> dict[str, Net]:
    """Return the architectures of ``FILE.py`` or ``FILE.py:NAME``: a mapping from names, or a function that returns one.

    Raises:
        ValueError: no such file or name, no candidate.
        TypeError: something else than architectures of ``deepatoms.theory.induced``.
    """
    text = f"{text}:candidates" if text.endswith(".py") else text
    found, path = loading.target(text)
    found = loading.run(found, path=path) if callable(found) else found
    if not isinstance(found, Mapping) or not found:
        refuse(text, found, "is no mapping from names to architectures", EXAMPLE, TypeError)
    for name, net in found.items():
        if not isinstance(net, Net):
            refuse(f"{text}[{name!r}]", net, "is no architecture", f"describe it with deepatoms.theory.induced: {EXAMPLE}",
                   TypeError)
    return {str(name): net for name, net in found.items()}


def rank(nets: Mapping[str, Net], budget: int | None, iterations: int, magnitudes: str | None) -> tuple[Ranking, int]:
    """Return the ranking under one convention, and how many candidates Ctrl-C left out.

    The closed form where all have one, otherwise descent for all; progress goes to stderr.

    Args:
        nets: mapping from name to architecture.
        budget: largest parameter count, or None.
        iterations: steps of descent.
        magnitudes: "unit" or "free"; None chooses.
    """
    if budget is not None:
        integer("budget", budget)
    within = {name: net for name, net in nets.items() if budget is None or net.parameter_count <= budget}
    closed = magnitudes is None and all(map(frame_potential.closed_form, within.values()))
    magnitudes = None if closed else magnitudes or "unit"
    rows: list[frame_potential.Candidate] = []
    try:
        for name, net in tqdm(within.items(), desc="F", file=sys.stderr, disable=closed):
            rows += frame_potential.rank({name: net}, iterations=iterations, magnitudes=magnitudes).rows
    except KeyboardInterrupt:
        pass  # what is done is worth showing; the caller says what is missing
    return frame_potential.ranked(rows, budget), len(within) - len(rows)


def command(options: argparse.Namespace, worth: Callable[[], list[str]]) -> int:
    """Print the ranking and what it is worth; return the exit status."""
    nets = candidates(options.candidates)
    ranking, missing = rank(nets, options.budget, options.iterations, options.magnitudes)
    if missing:
        print(f"PARTIAL: interrupted; F of {missing} of {missing + len(ranking.rows)} candidates is missing.")
    print(ranking)
    print(*_about(ranking, len(nets) - missing - len(ranking.rows), options.budget), sep="\n")
    if not missing:
        _tell(worth)
    return 130 if missing else 0


def _about(ranking, over, budget):
    """Say the convention of the column, what the budget left out, and what a count would have chosen."""
    lines = ["", *(CONVENTIONS[word] for word in sorted({row.convention for row in ranking.rows}))]
    if over:
        lines.append(f"{over} with more than {budget:,} parameters left out.")
    if ranking.chosen and len(ranking.rows) > 1:
        largest = max(ranking.rows, key=lambda row: row.parameters)
        same = "the same one" if largest.name == ranking.chosen.name else largest.name
        lines.append(f"Lowest F: {ranking.chosen.name}. Most parameters: {same}.")
    return lines


def _tell(worth):
    try:
        found = worth()
    except ModuleNotFoundError as missing:
        found = [f"(It is not shown here: {missing}.)"]
    if found:
        print("\nWhat choosing by F was worth:")
        print(*(f"  {sentence}" for sentence in found), sep="\n")
