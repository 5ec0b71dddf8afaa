r"""Exact nearest neighbours under the partition distance, through faiss' Hamming search."""

from dataclasses import dataclass

import numpy as np

from deepatoms import _doors
from deepatoms.theory.arguments import integer, refuse
from deepatoms.theory.partition.codes import LayerCodes, demand_comparable
from deepatoms.theory.signatures import named

CACHED = 2**18  # bytes


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest codes of each query, with weights that share the last places among all that tie for them.

    Attributes:
        distances: Eq. 15, ascending, shape (queries, found); infinite where a query has fewer ties than others.
        indices: Rows of the base, shape (queries, found); -1 there.
        weights: Shape (queries, found): 1/k for each of the k nearest; those that tie for the last places share what is
            left, so an average over neighbours does not depend on the order of ties. Each row sums to 1.
    """

    distances: np.ndarray
    indices: np.ndarray
    weights: np.ndarray

    def average(self, values: np.ndarray) -> np.ndarray:
        """Return the tie-averaged mean of ``values`` (queries, found), one number a query."""
        return np.where(self.weights > 0, self.weights * values, 0).sum(1)


def neighbours(codes: LayerCodes, queries: LayerCodes, k: int) -> Neighbours:
    r"""Return the k nearest codes of each query under Eq. 15, and all that tie with the last of them.

    Exhaustive and exact, on packed bits as they lie (faiss' ``knn_hamming``, which copies no base).

    Args:
        codes: The base: one layer's :class:`~deepatoms.theory.partition.LayerCodes`.
        queries: Codes of the queries at the same layer of the same network.
        k: Number of neighbours.

    Returns:
        :class:`Neighbours`; its first k columns are k nearest codes.

    Raises:
        ValueError: If k exceeds the base, a set is empty, or the codes belong to different networks or layers.

    Source:
        Section 7.3, :eq:`spl-eq-15`.

    >>> import torch
    >>> from deepatoms.theory.partition import region_codes
    >>> codes = region_codes(torch.nn.ReLU(), torch.tensor([[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]]))[0]
    >>> found = neighbours(codes, codes[0], 2)
    >>> found.distances.tolist(), found.indices.tolist(), found.weights.tolist()
    ([[0.0, 0.5]], [[0, 1]], [[0.5, 0.5]])
    """
    demand_comparable(codes, queries)
    for name, given in (("codes", codes), ("queries", queries)):
        if not len(given):
            refuse(name, "an empty set", "has no neighbours", "pass at least one code")
    if integer("k", k) > len(codes):
        refuse("k", k, f"exceeds the {len(codes)} codes of the base", f"ask for at most {len(codes)} neighbours")
    distances, indices = _with_ties(codes.bits, queries.bits, k)
    last = distances[:, k - 1:k]
    kept = distances <= last
    scale = codes.weight * codes.units
    return Neighbours(np.where(kept, distances / scale, np.inf), np.where(kept, indices, -1), _weights(distances, last, k))


def _with_ties(base, queries, k):
    """Ask for more until every query's list ends beyond its k-th distance (or holds the whole base)."""
    base, queries, asked = np.ascontiguousarray(base), np.ascontiguousarray(queries), min(2 * k, len(base))
    distances, indices = _search(queries, base, asked)
    while asked < len(base) and (short := distances[:, -1] <= distances[:, k - 1]).any():
        asked = min(4 * asked, len(base))
        longer = [np.full((len(queries), asked), filler, dtype) for filler, dtype in ((2**30, np.int32), (-1, np.int64))]
        for whole, before, after in zip(longer, (distances, indices), _search(queries[short], base, asked), strict=True):
            whole[:, :before.shape[1]] = before
            whole[short] = after
        distances, indices = longer
    width = int((distances <= distances[:, k - 1:k]).sum(1).max())
    return distances[:, :width], indices[:, :width]


def _search(queries, base, asked):
    """Pass the base in batches that stay in the processor's cache while all queries go by: three times as fast."""
    _doors.demand("neighbours", "faiss", "faiss")
    import faiss  # only here: it takes a third of a second to import
    usual, faiss.cvar.hamming_batch_size = faiss.cvar.hamming_batch_size, max(1, CACHED // base.shape[1])
    try:
        return faiss.knn_hamming(queries, base, asked)
    finally:
        faiss.cvar.hamming_batch_size = usual


def _weights(distances, last, k):
    nearer, tied = distances < last, distances == last
    share = (k - nearer.sum(1, keepdims=True)) / tied.sum(1, keepdims=True)
    return (nearer + tied * share) / k

named(__name__)
