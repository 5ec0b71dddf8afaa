r"""Region codes (Eq. 14), packed into bits from the start so that their distance (Eq. 15) is a Hamming distance."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from deepatoms.theory.arguments import integer, refuse
from deepatoms.theory.keepers import dense_parts
from deepatoms.theory.piecewise import Model, NotPiecewiseAffineError, demand_batch, demand_model, trace
from deepatoms.theory.signatures import named


@dataclass(frozen=True, eq=False)
class LayerCodes:
    """The codes of a batch at one layer, packed.

    Two pieces take one bit a unit; three or four take the two bits of their number and, so that any two differ in two
    places, the parity of these; more take one bit a piece. So the Hamming distance of two rows of ``bits`` is ``weight``
    times the number of unequal units.

    Attributes:
        bits: uint8, shape (batch, bytes).
        units: Number of units.
        pieces: Number of pieces a unit chooses from.
        layer: Position among the network's nonlinearities, from 0.
        operation: The tensor operation, such as ``relu``.
        network: What tells this network from others (a checksum of its weights), or None for a plain function.

    >>> codes = region_codes(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0], [3.0, 4.0]]))[0]
    >>> np.asarray(codes).tolist(), codes.bits.tolist()
    ([[0, 1], [1, 1]], [[64], [192]])
    """

    bits: np.ndarray
    units: int
    pieces: int
    layer: int = 0
    operation: str = ""
    network: int | None = None

    @property
    def weight(self) -> int:
        """Return the Hamming distance that one unequal unit makes."""
        return 1 if self.pieces <= 2 else 2

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, rows: Any) -> LayerCodes:
        rows = np.atleast_1d(rows) if not isinstance(rows, slice) else rows
        return replace(self, bits=self.bits[rows])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """Return the codes as integers, shape (batch, units)."""
        return unpack(self.bits, self.units, self.pieces).astype(dtype or np.int64)


def pack(codes: np.ndarray, pieces: int) -> np.ndarray:
    """Return integer codes, shape (batch, units), as packed bits (see :class:`LayerCodes`), one bit of all units together.

    Source:
        A parity bit makes any two of four equally far, a standard code.

    >>> pack(np.array([[0, 3]]), 4).tolist()
    [[64, 64, 0]]
    """
    if pieces <= 2:
        return np.packbits(codes.astype(np.uint8, copy=False), axis=1)
    if pieces > 4:
        return np.packbits(np.eye(pieces, dtype=np.uint8)[codes].reshape(len(codes), -1), axis=1)
    codes = codes.astype(np.uint8, copy=False)
    high, low = np.packbits(codes & 2, axis=1), np.packbits(codes & 1, axis=1)
    return np.concatenate([high, low, high ^ low], 1)


def unpack(bits: np.ndarray, units: int, pieces: int) -> np.ndarray:
    """Return packed codes as integers, shape (batch, units).

    Source:
        The inverse of :func:`pack`, standard.

    >>> unpack(np.array([[64, 64, 0]], np.uint8), 2, 4).tolist()
    [[0, 3]]
    """
    if pieces <= 2:
        return np.unpackbits(bits, axis=1, count=units)
    if pieces > 4:
        return np.unpackbits(bits, axis=1, count=units * pieces).reshape(len(bits), units, pieces).argmax(2)
    high, low, _ = (np.unpackbits(part, axis=1, count=units) for part in np.split(bits, 3, axis=1))
    return 2 * high + low


def region_codes(model: Model, x: torch.Tensor, chunk: int = 512) -> tuple[LayerCodes, ...]:
    r"""Return the code of each input at every nonlinearity of a network, in the order of execution.

    .. math:: [t^{(\ell)}(x)]_k = \arg\max_r \langle [A^{(\ell)}]_{k,r,\cdot}, z^{(\ell-1)}(x)\rangle + [B^{(\ell)}]_{k,r}

    For ReLU and its kind that is 1 above zero and 0 elsewhere, for max-pooling the position in the window, row by row, for
    ``max(dim)`` and sorting the position along the dimension; the first of equal entries counts. Inputs with equal codes at all
    layers share one affine map. Codes of one network can be compared whatever batch or chunk they come from.

    Args:
        model: A ``torch.nn.Module`` in evaluation mode, or any function of a tensor.
        x: Inputs, shape (batch, ...).
        chunk: Number of inputs whose activations are held at once: how large the batches are that the model is given.

    Returns:
        A tuple with one :class:`LayerCodes` for each nonlinearity; ``np.asarray`` turns one into integers (batch, units).

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine in x.
        ValueError: If x does not fit the model, is empty, or its samples influence each other.
        TypeError: If x is no torch tensor.

    Source:
        Eq. 14, :eq:`spl-eq-14`.

    >>> pool = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    >>> [np.asarray(codes).tolist() for codes in region_codes(pool, torch.tensor([[[[1.0, -2.0], [5.0, 0.0]]]]))]
    [[[1, 0, 1, 0]], [[2]]]
    """
    demand_model(model)
    network = fingerprint(model)
    parts = [_codes(model, part, network) for part in demand_batch(x).split(integer("chunk", chunk))]
    _demand_one_course(parts)
    return tuple(replace(layer[0], bits=np.concatenate([part.bits for part in layer])) for layer in zip(*parts, strict=True))


def _demand_one_course(parts):
    """Refuse a model that does other operations for the inputs of another chunk: its codes are not of one network."""
    courses = [[(layer.operation, layer.pieces, layer.units) for layer in part] for part in parts]
    for course in courses:
        if course != courses[0]:
            raise NotPiecewiseAffineError(f"model does other operations for other inputs of the batch ({len(courses[0])} "
                                          f"nonlinearities, then {len(course)}); do not branch in Python on the input")


def _codes(model, x, network):
    with torch.no_grad():
        found = trace(model, x)
    return [_packed(each, layer, network) for layer, each in enumerate(found.nonlinearities)]


def _packed(each, layer, network):
    codes = each.codes.cpu().numpy()
    return LayerCodes(pack(codes, each.pieces), codes.shape[1], each.pieces, layer, each.operation, network)


def fingerprint(model: Model) -> int | None:
    """Return a checksum of a module's weights and statistics; None for a function, which has none to be told apart by.

    Source:
        CRC-32, standard.

    >>> fingerprint(torch.relu) is None, fingerprint(torch.nn.ReLU())
    (True, 0)
    """
    if not isinstance(model, torch.nn.Module):
        return None
    checksum = 0
    for tensor in [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())]:
        for part in dense_parts(tensor.detach()):
            checksum = zlib.crc32(_numbers(part), checksum)
    return checksum


def _numbers(dense):
    """Return the bytes of a copy: numpy keeps what it looks at from being resized ever after."""
    return dense.cpu().clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8).numpy().data


def distance(a: LayerCodes | Sequence[LayerCodes], b: LayerCodes | Sequence[LayerCodes]) -> np.ndarray:
    r"""Return the fraction of units on which codes differ, pair by pair.

    .. math:: d(t^{(\ell)}(x_1), t^{(\ell)}(x_2)) = 1 - \frac{1}{D^{(\ell)}}\sum_k
        \mathbf 1\bigl([t^{(\ell)}(x_1)]_k = [t^{(\ell)}(x_2)]_k\bigr)

    It is a metric on codes and a pseudo-metric on inputs: two inputs of one region are at distance 0.

    Args:
        a: What :func:`region_codes` returned for one batch, or one layer of it.
        b: The same for another batch of the same network; of the same size, or of size 1 on either side.

    Returns:
        Shape (layers, batch), or (batch,) for single layers, and (0, 1) for a network without nonlinearities; float64.

    Raises:
        ValueError: If the codes belong to different networks or layers, or the batches do not fit.

    Source:
        Eq. 15, :eq:`spl-eq-15`.

    >>> codes = region_codes(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0], [3.0, 4.0]]))
    >>> distance(codes[0][0], codes[0]).tolist()
    [0.0, 0.5]
    """
    if isinstance(a, LayerCodes) and isinstance(b, LayerCodes):
        return unequal(a, b) / a.units
    a, b = ((codes,) if isinstance(codes, LayerCodes) else tuple(codes) for codes in (a, b))
    if len(a) != len(b):
        refuse("b", f"codes of {len(b)} layers", f"do not match the {len(a)} layers of a", "compare codes of one network")
    return np.stack([distance(*pair) for pair in zip(a, b, strict=True)]) if a else np.zeros((0, 1))


def unequal(a: LayerCodes, b: LayerCodes) -> np.ndarray:
    """Return the number of units on which codes differ, pair by pair, int64.

    Raises:
        ValueError: If the codes belong to different networks or layers, or the batches do not fit.

    Source:
        The sum in Eq. 15 of the spline paper, :eq:`spl-eq-15`.

    >>> codes = region_codes(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0], [3.0, 4.0]]))[0]
    >>> unequal(codes[0], codes).tolist()
    [0, 1]
    """
    demand_comparable(a, b)
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        refuse("b", f"{len(b)} codes", f"cannot be paired with the {len(a)} of a",
               "pass as many, or one; for all pairs use neighbours")
    return np.bitwise_count(a.bits ^ b.bits).sum(1, dtype=np.int64) // a.weight


def demand_comparable(a: LayerCodes, b: LayerCodes) -> None:
    """Refuse codes of different networks or layers, which count nothing when compared.

    Raises:
        ValueError: If the codes belong to different networks or layers.
        TypeError: If a or b is not a :class:`LayerCodes`.

    Source:
        What Eq. 15, :eq:`spl-eq-15`, takes for granted.

    >>> codes = region_codes(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0], [3.0, 4.0]]))[0]
    >>> demand_comparable(codes, codes)
    """
    for name, codes in (("a", a), ("b", b)):
        if not isinstance(codes, LayerCodes):
            refuse(name, codes, "is not a layer's codes", "pass what region_codes returns, or one layer of it", TypeError)
    if (a.layer, a.operation, a.units, a.pieces) != (b.layer, b.operation, b.units, b.pieces):
        refuse("b", f"codes of layer {b.layer} ({b.operation}, {b.units} units)",
               f"do not belong to layer {a.layer} ({a.operation}, {a.units} units) of a", "compare the same layer of one network")
    if a.network != b.network:
        refuse("b", f"codes of network {b.network}", f"come from another network than those of a ({a.network}), or its weights "
               "were changed in between", "compute both with the same weights")

named(__name__)
