"""What the theory of max-affine splines says of a network: templates, regions, neighbours, radii."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deepatoms.reports.entries import LENSES, Entry
from deepatoms.reports.subject import Found, Subject, View, Yardstick

LENS = LENSES[3]
REGIONS = Entry(
    LENS, "regions that the inputs lie in", None, unit="regions", direction="no direction",
    meaning="How many different activation codes the inputs have.",
    theorem="Max-affine spline paper, Equation 14. The number cannot exceed that of the inputs.")


def lens(subject: Subject) -> Iterator[Entry]:
    """Yield the entries of the theory of max-affine splines."""
    yield from subject.measure({REGIONS.name: (REGIONS, Yardstick("null"))}, lambda view: regions(view, subject.count(3)))


def regions(view: View, count: int) -> dict[str, Found]:
    """Return how many different codes the first inputs have, by :func:`deepatoms.theory.partition.region_codes`."""
    bits = np.concatenate([layer.bits for layer in view.codes(count)], 1)
    found = len(np.unique(bits, axis=0))
    inputs = len(np.unique(view.inputs(count).flatten(1).cpu().numpy(), axis=0))
    full = f"each of the {inputs} inputs has a region of its own: the count says nothing" if found == inputs > 1 else ""
    return {REGIONS.name: Found(found, saturated=full)}
