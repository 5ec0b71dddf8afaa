r"""The partition of a square or a cube as one complex, whose parts share their corners, edges and faces.

The units of a network are continuous: neighbours agree on what a unit is at a corner that they share, though each has an affine
map of its own. So a layer's units are kept at the corners alone, each corner is looked at once, and an edge on which a unit
changes sign is cut once for all parts around it. What a wall leaves in a part is made of what it leaves in the part's sides:
between two corners an edge, within edges a face. A corner or an edge that lies in the wall already is taken as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepatoms.theory.partition.cells import ragged
from deepatoms.theory.partition.guards import DOUBT
from deepatoms.theory.partition.polygons import Polygons
from deepatoms.theory.partition.polyhedra import Polyhedra
from deepatoms.theory.partition.segment import NOISE, ROUNDING
from deepatoms.theory.signatures import named

ABOVE, BELOW, BOTH = 1, 2, 3  # on which sides of a wall something has corners; 0: it lies in the wall
MOST = 2**30  # bytes of values at corners


class BeyondError(Exception):
    """Rounding made a cut end in no complex, or the corners outgrow memory: what is left is to be cut part by part."""


class Stand(NamedTuple):
    """Where the elements of one kind (edges, or faces) stand to a wall.

    Attributes:
        signs: ABOVE, BELOW, BOTH or 0 for each element.
        rank: The place of an element among those that are cut; anything for others.
        traces: Number of the first trace, a corner or an edge: what the wall leaves in element e is ``traces + rank[e]``.
        halves: Number of the first part above (None where it keeps the number of the whole) and of the first part below.
        touches: What of each element lies in the wall: its trace, else a side of it, else -1; None where no old corner does.
    """

    signs: np.ndarray
    rank: np.ndarray
    traces: int
    halves: tuple[int | None, int]
    touches: np.ndarray | None


class Elements:
    """Faces, as their edges; or polyhedra, as their faces. What is cut stays until :meth:`pack`.

    Args:
        parts: The sides of all elements, one element after the other.
        counts: Number of sides of each element.

    >>> Elements(np.arange(7), np.array([4, 3])).owner.tolist()
    [0, 0, 0, 0, 1, 1, 1]
    """

    def __init__(self, parts: np.ndarray, counts: np.ndarray) -> None:
        self.size = self.filled = 0
        self._parts, self._owner = np.empty(64, np.int64), np.empty(64, np.int64)
        self._starts, self._counts, self._alive = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, bool)
        self.add(parts, counts)

    @property
    def parts(self) -> np.ndarray:
        """Return the sides of all elements."""
        return self._parts[:self.filled]

    @property
    def owner(self) -> np.ndarray:
        """Return the element of each of these sides."""
        return self._owner[:self.filled]

    @property
    def starts(self) -> np.ndarray:
        """Return the place of each element's first side."""
        return self._starts[:self.size]

    @property
    def counts(self) -> np.ndarray:
        """Return the number of sides of each element."""
        return self._counts[:self.size]

    @property
    def alive(self) -> np.ndarray:
        """Tell which elements are not cut."""
        return self._alive[:self.size]

    def add(self, parts: np.ndarray, counts: np.ndarray) -> int:
        """Add elements; return the number of the first."""
        first, size, filled = self.size, self.size + len(counts), self.filled + len(parts)
        self._parts, self._owner = roomy(self._parts, filled), roomy(self._owner, filled)
        self._starts, self._counts, self._alive = (roomy(each, size) for each in (self._starts, self._counts, self._alive))
        self._parts[self.filled:filled] = parts
        self._owner[self.filled:filled] = np.arange(first, size).repeat(counts)
        self._counts[first:size] = counts
        self._starts[first:size] = counts.cumsum() - counts + self.filled
        self._alive[first:size] = True
        self.size, self.filled = size, filled
        return first

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sides of some elements, one element after the other, where each begins, and how many it has."""
        counts = self.counts[rows]
        return self.parts[ragged(self.starts[rows], counts)], counts.cumsum() - counts, counts

    def pack(self, number: np.ndarray | None) -> np.ndarray:
        """Forget what is cut, and number the sides anew; return the new number of each element that is left."""
        alive = self.alive.copy()
        parts, counts = self.parts[np.flatnonzero(alive[self.owner])], self.counts[np.flatnonzero(alive)]
        self.size = self.filled = 0
        self.add(parts if number is None else number[parts], counts)
        return alive.cumsum() - 1

    def halve(self, rows: np.ndarray, sides: Stand, traces: int) -> int:
        """Replace elements by their parts above and then those below, each closed by its trace; return the first's number."""
        parts, starts, counts = self.of(rows)
        signs = sides.signs[parts]
        cut = (signs == BOTH).nonzero()[0]
        halved, rank = np.concatenate([parts, parts]), sides.rank[parts[cut]]
        for half, first in enumerate(sides.halves):
            if first is not None:
                halved[half * len(parts) + cut] = first + rank
        # Numbers of what is kept, for a mask without a pattern takes five times as long.
        kept = np.concatenate([signs & ABOVE, (signs & BELOW) >> 1])
        ends = np.concatenate([starts, starts + len(parts)]) + np.concatenate([counts, counts])
        last = kept.cumsum(dtype=np.int64)[ends - 1]
        counts = last - np.concatenate([[0], last[:-1]])
        closed, order = np.empty(last[-1] + len(ends), np.int64), np.arange(len(ends))
        closed[last + order] = np.concatenate([order[:len(rows)], order[:len(rows)]]) + traces
        closed[np.arange(last[-1]) + order.repeat(counts)] = halved[kept.nonzero()[0]]
        self.alive[rows] = False
        return self.add(closed, counts + 1)


class Complex:
    """A partition of [0, 1]^dimension, and affine functions on its parts that are continuous from one to the next.

    Args:
        dimension: 2 or 3.

    Attributes:
        corners: Number of corners.
        edges: Number of edges.
        parts: Number of parts.

    >>> found = Complex(2)
    >>> found.load(found.points[:1] - 0.25)
    >>> found.cut(0)
    >>> sorted(found.polygons().sizes.tolist())
    [0.25, 0.75]
    """

    def __init__(self, dimension: int) -> None:
        if dimension == 2:
            points, edges = Polygons.square().points, np.array([[0, 1, 2, 3], [1, 2, 3, 0]])
            self.levels = [Elements(np.arange(4), np.array([4]))]
        else:
            cube = Polyhedra.cube()
            points, edges = cube.points, cube.edges.T
            faces = cube.sides.ravel().argsort(kind="stable") // 2
            self.levels = [Elements(faces, cube.edges_of_faces), Elements(np.arange(6), np.array([6]))]
        self.dimension, self.parts = dimension, 1
        self.corners, self.edges = len(points), edges.shape[1]
        self._values, self._ends = points.T.copy(), edges.copy()
        self._near, self._doubtful = np.zeros(0), np.zeros(0, bool)
        self._ranks = [np.empty(64, np.int64) for _ in range(dimension)]

    @property
    def points(self) -> np.ndarray:
        """Return the corners, shape (dimension, corners)."""
        return self._values[:self.dimension, :self.corners]

    @property
    def functions(self) -> np.ndarray:
        """Return the functions at the corners, shape (functions, corners)."""
        return self._values[self.dimension:, :self.corners]

    def load(self, functions: np.ndarray) -> None:
        """Take other functions, shape (functions, corners), each affine on every part.

        What is small beside the function's largest value, or beside those of all functions, is the rounding of 0.

        Raises:
            BeyondError: If they outgrow memory.
        """
        number = None
        if 2 * (self.points.nbytes + functions.nbytes) > MOST:
            raise BeyondError
        for level in self.levels:
            number = level.pack(number)
        largest = abs(functions).max(1, initial=0.0)
        most = largest.max(initial=0.0)
        self._near = np.maximum(ROUNDING * largest, NOISE * most)
        self._doubtful = (largest > NOISE * most) & (largest <= DOUBT * most)
        self._values = np.concatenate([self.points, functions])

    def rectified(self) -> np.ndarray:
        """Return the positive parts of the functions."""
        return self.functions * (self.functions > self._near[:, None])

    def cut(self, row: int) -> None:
        """Cut all parts where one of the functions changes sign.

        Raises:
            BeyondError: If rounding leaves no complex, or may have made the wall, or the complex outgrows memory.
        """
        values, near = self.functions[row], self._near[row]
        if self._doubtful[row] and values.min() < 0 < values.max():
            raise BeyondError
        signs = (values > near).view(np.uint8) | ((values < -near).view(np.uint8) << 1)
        if np.bitwise_or.reduce(signs) != BOTH:
            return
        stand = self._cut_edges(row, signs)
        for kind in range(len(self.levels)):
            stand = self._cut_elements(kind, stand)

    def _cut_edges(self, row, signs):
        """Cut the edges on which a function has both signs: the part above keeps the edge's number."""
        start, end = self._ends[:, :self.edges]
        both = signs[start] | signs[end]
        cut = (both == BOTH).nonzero()[0]
        old, rank, new = self.corners, self._ranked(0, cut, self.edges), self.corners + np.arange(len(cut))
        touches = None if signs.all() else np.where(signs[start] == 0, start, np.where(signs[end] == 0, end, -1))
        if touches is not None:
            touches[cut] = new
        start, end = start[cut], end[cut]
        tops = end + (signs[start] == ABOVE) * (start - end)
        bottoms = start + end - tops
        self._interpolate(row, tops, bottoms)
        self._ends[0, cut], self._ends[1, cut] = tops, new
        return Stand(both, rank, old, (None, self._join(new, bottoms)), touches)

    def _interpolate(self, row, tops, bottoms):
        """Add the corners at which a function is 0 on some edges, with all functions there."""
        size = self.corners + len(tops)
        self._values = roomy(self._values, size)
        if self._values.nbytes > MOST:
            raise BeyondError
        tops, new = self._values.take(tops, 1), self._values.take(bottoms, 1)
        values = tops[self.dimension + row]
        share = values / (values - new[self.dimension + row])
        new -= tops
        new *= share
        new += tops
        new[self.dimension + row] = 0.0
        self._values[:, self.corners:size] = new
        self.corners = size

    def _join(self, starts, ends):
        """Add edges between corners; return the number of the first."""
        first, self.edges = self.edges, self.edges + len(starts)
        self._ends = roomy(self._ends, self.edges)
        self._ends[0, first:self.edges], self._ends[1, first:self.edges] = starts, ends
        return first

    def _ranked(self, kind, cut, size):
        """Number what is cut; the numbers of all else are left as they are, for nobody reads them."""
        self._ranks[kind] = roomy(self._ranks[kind], size)
        self._ranks[kind][cut] = np.arange(len(cut))
        return self._ranks[kind]

    def _cut_elements(self, kind, sides):
        """Cut the elements of one kind that have corners on both sides of the wall."""
        level, last = self.levels[kind], kind == len(self.levels) - 1
        cut, traces, counts = (_crossed if sides.touches is None else _touched)(level, sides, edges=not kind)
        if not kind:
            first = self._join(traces[::2], traces[1::2])
        else:
            first = self.levels[kind - 1].add(traces, counts)
        if last:
            self.parts += len(cut)
        signs, touches = (None, None) if last else _stand(level, sides, cut, first)
        halves = level.halve(cut, sides, first) if len(cut) else level.size
        rank = self._ranked(kind + 1, cut, level.size)
        return Stand(signs, rank, first, (halves, halves + len(cut)), touches)

    def cells(self) -> Polygons | Polyhedra:
        """Return the parts as cells of their own.

        Raises:
            BeyondError: If rounding left no cells.
        """
        return self.polygons() if self.dimension == 2 else self.polyhedra()

    def polygons(self) -> Polygons:
        """Return the parts of a square, from edge to edge, counterclockwise.

        Raises:
            BeyondError: If the edges of a part are no polygon.
        """
        edges, starts, counts = self.levels[0].of(np.flatnonzero(self.levels[0].alive))
        ends = self._ends[:, edges].T.ravel()
        order = _paired(*_grouped(np.arange(len(counts)).repeat(2 * counts), ends)[:2])
        partner = np.empty_like(order)
        partner[order] = order.reshape(-1, 2)[:, ::-1].ravel()
        corners = self.points.T[ends[_walked(partner, starts, counts)]]
        arms = corners - corners[starts].repeat(counts, 0)
        after = arms[Polygons(corners, counts).following]
        turn = np.add.reduceat(arms[:, 0] * after[:, 1] - arms[:, 1] * after[:, 0], starts) < 0
        place = np.arange(len(edges)) - starts.repeat(counts)
        place = np.where(turn.repeat(counts), counts.repeat(counts) - 1 - place, place)
        return Polygons(corners[starts.repeat(counts) + place], counts)

    def polyhedra(self) -> Polyhedra:
        """Return the parts of a cube.

        Raises:
            BeyondError: If the faces of a part are no polyhedron.
        """
        faces, starts, face_counts = self.levels[1].of(np.flatnonzero(self.levels[1].alive))
        edges, _, counts = self.levels[0].of(faces)
        order, head, bits = _grouped(np.arange(len(face_counts)).repeat(np.add.reduceat(counts, starts)), edges)
        sides = np.arange(len(faces)).repeat(counts)[_paired(order, head)].reshape(-1, 2)
        owner, edges = head[::2] >> bits, head[::2] & ((1 << bits) - 1)
        order, head, bits = _grouped(owner.repeat(2), self._ends[:, edges].T.ravel())
        first = np.ones(len(head), bool)
        np.not_equal(head[1:], head[:-1], out=first[1:])
        places, corners, size = np.empty_like(order), head[np.flatnonzero(first)], len(face_counts)
        places[order] = first.cumsum() - 1
        found = Polyhedra(self.points.T[corners & ((1 << bits) - 1)], np.bincount(corners >> bits, minlength=size),
                          places.reshape(-1, 2), sides, np.bincount(owner, minlength=size), face_counts)
        if not found.is_sound.all():
            raise BeyondError
        return found


# ---- what a wall leaves in elements ----

def _crossed(level, sides, edges):
    """Return what a wall through no old corner cuts, the traces of its sides there, and how many (two of edges) each has."""
    hits = (sides.signs == BOTH)[level.parts].nonzero()[0]
    owner = level.owner[hits]
    there = level.alive[owner]
    if not there.all():
        there = there.nonzero()[0]
        hits, owner = hits[there], owner[there]
    traces, begins = sides.traces + sides.rank[level.parts[hits]], np.ones(len(hits), bool)
    np.not_equal(owner[1:], owner[:-1], out=begins[1:])
    first = begins.nonzero()[0]
    if edges:
        if 2 * len(first) != len(hits) or begins[1::2].any():
            raise BeyondError
        return owner[first], traces, None
    counts = np.append(first[1:], len(hits)) - first
    if (counts < 3).any():
        raise BeyondError
    return owner[first], traces, counts


def _touched(level, sides, edges):
    """Return the same where the wall meets old corners: what lies in it already is part of the trace."""
    cut = np.flatnonzero((np.bitwise_or.reduceat(sides.signs[level.parts], level.starts) == BOTH) & level.alive)
    if not len(cut):
        return cut, cut, cut
    parts, starts, counts = level.of(cut)
    signs, touches = sides.signs[parts], sides.touches[parts]
    if (signs == 0).any():  # a side in the wall of what has corners on both sides of it
        raise BeyondError
    if edges:
        return cut, _two_of_each(touches, starts, counts).ravel(), None
    flat = np.where((touches >= 0) & (signs != BOTH), touches + 1, 0)  # an edge in the wall parts a face above from one below
    if any(np.add.reduceat(np.where(signs == BELOW, -each, each), starts).any() for each in (flat, flat * flat)):
        raise BeyondError
    kept = (signs == BOTH) | ((flat > 0) & (signs == ABOVE))
    counts = np.add.reduceat(kept, starts, dtype=np.int64)
    if (counts < 3).any():
        raise BeyondError
    return cut, touches[kept], counts


def _two_of_each(touches, starts, counts):
    """Return the two corners of each face that lie in the wall, and no third."""
    low = np.minimum.reduceat(np.where(touches < 0, np.iinfo(np.int64).max, touches), starts)
    high = np.maximum.reduceat(touches, starts)
    if (low >= high).any() or ((touches >= 0) & (touches != low.repeat(counts)) & (touches != high.repeat(counts))).any():
        raise BeyondError
    return np.stack([low, high], 1)


def _stand(level, sides, cut, first):
    """Return on which sides of the wall elements lie, and what of each lies in it."""
    if sides.touches is None:
        signs = sides.signs[level.parts[level.starts]]
        signs[cut] = BOTH
        return signs, None
    signs = np.bitwise_or.reduceat(sides.signs[level.parts], level.starts)
    flat = np.where(sides.signs[level.parts] == 0, level.parts, -1)
    if ((np.add.reduceat(flat >= 0, level.starts, dtype=np.int64) > 1) & (signs != 0) & level.alive).any():
        raise BeyondError
    touches = np.maximum.reduceat(flat, level.starts)
    touches[cut] = first + np.arange(len(cut))
    return signs, touches


# ---- from shared elements to cells ----

def _grouped(owner, numbers):
    """Sort by owner and then by number: return the order, both in one integer, and of how many bits the number is.

    The place stands in the same integer, so that nothing is gathered: integers sort fastest alone.
    """
    bits, place = int(numbers.max(initial=0)).bit_length(), len(owner).bit_length()
    if int(owner.max(initial=0)).bit_length() + bits + place > 63:
        raise BeyondError
    keys = (owner << bits | numbers) << place | np.arange(len(owner))
    keys.sort()
    return keys & ((1 << place) - 1), keys >> place, bits


def _paired(order, head):
    """Return the order if every number stands twice with its owner, and not four times."""
    same = head[1:] == head[:-1]
    if len(head) % 2 or not same[::2].all() or same[1::2].any():
        raise BeyondError
    return order


def _walked(partner, starts, counts):
    """Return the ends of edges in the order in which one comes by: across an edge, to the same corner of the next edge."""
    walked, here, begin, left = np.empty(len(partner) // 2, np.int64), 2 * starts, starts, counts
    for step in range(int(counts.max(initial=0))):
        walked[begin + step] = here
        here, more = partner[here ^ 1], left > step + 1
        if (here == walked[begin])[more].any() or (here != walked[begin])[~more].any():  # two loops, or none
            raise BeyondError
        here, begin, left = here[more], begin[more], left[more]
    return walked


def roomy(array: np.ndarray, needed: int) -> np.ndarray:
    """Return an array with room for so many in its last axis: itself, or one twice as long.

    Source:
        Standard.

    >>> roomy(np.ones(2), 3).shape
    (6,)
    """
    if needed <= array.shape[-1]:
        return array
    larger = np.empty((*array.shape[:-1], 2 * needed), array.dtype)
    larger[..., :array.shape[-1]] = array
    return larger


named(__name__)
