"""The three models of the paper as torch modules for vectors: ResNEst, A-ResNEst and DenseNEst."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named


class TanhBlock(nn.Module):
    r"""The block function :math:`G(x) = \tanh(T x + b)`.

    Args:
        weight: T, tensor of shape (features, inputs).
        bias: b, tensor of shape (features,).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features, shape (samples, features)."""
        return torch.tanh(x @ self.weight.T + self.bias)


class ResNEst(nn.Module):
    r"""A chain of residual blocks without a nonlinearity at the last representation, Equation :eq:`nest-eq-1`.

    :math:`x_0 = W_0 x`, :math:`x_i = x_{i-1} + W_i G_i(x_{i-1})`, output :math:`W_{L+1} x_L`. Biases are left out, as
    in the paper: append a constant to the input.

    Args:
        weights: :math:`W_0, \dots, W_L`, matrices of shape (M, inputs), (M, :math:`K_1`), ..., (M, :math:`K_L`).
        prediction: :math:`W_{L+1}`, matrix of shape (outputs, M).
        blocks: modules :math:`G_1, \dots, G_L`, each from (samples, M) to (samples, :math:`K_i`).

    Raises:
        ValueError: when the sizes do not fit each other, or an entry is not finite.

    >>> net = random_resnest(inputs=2, outputs=1, units=[3], width=5, generator=torch.Generator().manual_seed(0))
    >>> net(torch.ones(4, 2, dtype=torch.float64)).shape
    torch.Size([4, 1])
    """

    def __init__(self, weights: Sequence[torch.Tensor], prediction: torch.Tensor, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        _demand_sizes(weights, prediction, blocks)
        self.weights = nn.ParameterList([nn.Parameter(weight.detach().clone()) for weight in weights])
        self.prediction = nn.Parameter(prediction.detach().clone())
        self.blocks = nn.ModuleList(blocks)

    @property
    def width(self) -> int:
        """M, the width of every residual representation."""
        return self.prediction.shape[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs, shape (samples, outputs), by the recursion of Equation :eq:`nest-eq-1`."""
        state = x @ self.weights[0].T
        for weight, block in zip(self.weights[1:], self.blocks, strict=True):
            state = state + block(state) @ weight.T
        return state @ self.prediction.T

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        r"""Return the features :math:`v_0 = x, v_1, \dots, v_L` of Equation :eq:`nest-eq-3`, each (samples, :math:`K_i`)."""
        return self.trace(x)[0]

    def representations(self, x: torch.Tensor) -> list[torch.Tensor]:
        r"""Return the residual representations :math:`x_0, \dots, x_L`, each of shape (samples, M)."""
        return self.trace(x)[1]

    def trace(self, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return features and representations from one pass."""
        arguments.real_array("x", x, rank=2)
        features, states = [x], [x @ self.weights[0].T]
        for weight, block in zip(self.weights[1:], self.blocks, strict=True):
            features.append(block(states[-1]))
            states.append(states[-1] + features[-1] @ weight.T)
        return features, states

    def truncated(self, blocks: int) -> ResNEst:
        """Return the ResNEst of the first ``blocks`` blocks, with shared block functions and the same prediction weights.

        Raises:
            ValueError: If there are not that many blocks.
        """
        if not 1 <= arguments.integer("blocks", blocks) <= len(self.blocks):
            arguments.refuse("blocks", blocks, f"exceeds the {len(self.blocks)} blocks of the model", "pass fewer")
        return ResNEst(list(self.weights)[:blocks + 1], self.prediction, list(self.blocks)[:blocks])


def _demand_sizes(weights, prediction, blocks):
    for name, weight in [*((f"weights[{i}]", weight) for i, weight in enumerate(weights)), ("prediction", prediction)]:
        arguments.matrix(name, weight)
    if len(weights) != len(blocks) + 1 or not blocks:
        arguments.refuse("weights", len(weights), f"matrices do not fit {len(blocks)} blocks",
                         "pass W_0, ..., W_L for L >= 1 blocks")
    for i, weight in enumerate(weights):
        if weight.shape[0] != prediction.shape[1]:
            arguments.refuse(f"weights[{i}]", weight, f"does not have M = {prediction.shape[1]} rows",
                             "give every W_i the width that the prediction weights read")


class AResNEst(nn.Module):
    r"""The augmented ResNEst :math:`\sum_i H_i v_i(x)` of Equation :eq:`nest-eq-6`.

    Every bilinear map :math:`W_{L+1} W_i` is replaced by one matrix :math:`H_i`.

    Args:
        heads: :math:`H_0, \dots, H_L`, matrices of shape (outputs, :math:`K_i`).
        source: the model whose ``features`` are used (a ResNEst or a DenseNEst).

    Raises:
        ValueError: when the heads are not one a feature.

    >>> net = random_resnest(inputs=2, outputs=1, units=[3], width=5, generator=torch.Generator().manual_seed(0))
    >>> x = torch.ones(4, 2, dtype=torch.float64)
    >>> bool(torch.allclose(augment(net)(x), net(x)))
    True
    """

    def __init__(self, heads: Sequence[torch.Tensor], source: ResNEst | DenseNEst) -> None:
        super().__init__()
        if len(heads) != len(source.blocks) + 1:
            arguments.refuse("heads", len(heads), f"matrices for {len(source.blocks) + 1} features",
                             "pass one head for the input and one for every block")
        self.heads = nn.ParameterList([nn.Parameter(arguments.matrix("heads", head).detach().clone()) for head in heads])
        self.source = source

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of the source."""
        return self.source.features(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of all heads' outputs, shape (samples, outputs)."""
        return sum(feature @ head.T for feature, head in zip(self.features(x), self.heads, strict=True))


def augment(model: ResNEst) -> AResNEst:
    r"""Return the A-ResNEst that contains a ResNEst: :math:`H_i = W_{L+1} W_i` (Fig. 2 of the paper).

    Args:
        model: a ``ResNEst``.

    >>> net = random_resnest(inputs=2, outputs=1, units=[3], width=5, generator=torch.Generator().manual_seed(0))
    >>> [tuple(head.shape) for head in augment(net).heads]
    [(1, 2), (1, 3)]
    """
    return AResNEst([(model.prediction @ weight).detach() for weight in model.weights], model)


class DenseNEst(nn.Module):
    r"""Dense blocks that concatenate, :math:`x_i = [x_{i-1}; Q_i(x_{i-1})]`, Equation :eq:`nest-eq-9`.

    The paper prints the symbol of the element-wise product; it means concatenation.

    Args:
        prediction: :math:`W_{L+1}`, matrix of shape (outputs, :math:`M_L`).
        blocks: modules :math:`Q_1, \dots, Q_L`, from (samples, :math:`M_{i-1}`) to (samples, :math:`D_i`).

    >>> net = random_densenest(inputs=2, outputs=1, units=[3, 1], generator=torch.Generator().manual_seed(0))
    >>> [feature.shape[1] for feature in net.features(torch.ones(4, 2, dtype=torch.float64))]
    [2, 3, 1]
    """

    def __init__(self, prediction: torch.Tensor, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.prediction = nn.Parameter(arguments.matrix("prediction", prediction).detach().clone())
        self.blocks = nn.ModuleList(blocks)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        r"""Return the list :math:`x, Q_1, \dots, Q_L`, each of shape (samples, :math:`D_i`)."""
        arguments.real_array("x", x, rank=2)
        parts = [x]
        for block in self.blocks:
            parts.append(block(torch.cat(parts, 1)))
        return parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs, shape (samples, outputs)."""
        for block in self.blocks:
            x = torch.cat([x, block(x)], 1)
        return x @ self.prediction.T


class _ReadsFirst(nn.Module):
    """A block function that reads the first coordinates of a wider representation."""

    def __init__(self, block, count):
        super().__init__()
        self.block, self.count = block, count

    def forward(self, x):
        return self.block(x[:, :self.count])


def dense_to_resnest(model: DenseNEst, inputs: int) -> ResNEst:
    r"""Return the wide ResNEst that computes the same function as a DenseNEst, the construction behind Proposition 4.

    :math:`W_0 = [I; 0]`, :math:`W_i` holds an identity in the rows of the i-th new features, :math:`G_i` reads the first
    :math:`M_{i-1}` coordinates. Hence :math:`W_i^\mathsf{T} W_j = 0` for :math:`i \ne j` and Assumption 4 holds.

    Args:
        model: a ``DenseNEst``.
        inputs: its number of inputs.

    Raises:
        ValueError: If the model does not read that many inputs.

    Source:
        Proposition 4 of the ResNEst paper.

    >>> dense = random_densenest(inputs=2, outputs=1, units=[3, 1], generator=torch.Generator().manual_seed(0))
    >>> x = torch.ones(4, 2, dtype=torch.float64)
    >>> float((dense_to_resnest(dense, inputs=2)(x) - dense(x)).detach().abs().max())
    0.0
    """
    like = model.prediction.detach()
    with torch.no_grad():
        sizes = [feature.shape[1] for feature in model.features(like.new_zeros(1, arguments.integer("inputs", inputs)))]
    if sum(sizes) != like.shape[1]:
        arguments.refuse("inputs", inputs, f"gives {sum(sizes)} features, but the prediction weights read {like.shape[1]}",
                         "pass the number of inputs of the DenseNEst")
    identity = torch.eye(sum(sizes), dtype=like.dtype, device=like.device)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    weights = [identity[:, start:start + size] for start, size in zip(starts, sizes, strict=True)]
    return ResNEst(weights, like, [_ReadsFirst(block, start) for block, start in
                                   zip(model.blocks, starts[1:], strict=True)])


def random_resnest(inputs: int, outputs: int, units: Sequence[int], width: int, generator: torch.Generator) -> ResNEst:
    r"""Return a ResNEst of tanh blocks with all weights N(0, 1 / fan-in), in float64.

    Args:
        inputs: number of inputs :math:`N_{in}`.
        outputs: number of outputs :math:`N_o`.
        units: :math:`K_1, \dots, K_L`.
        width: M.
        generator: torch generator.

    Raises:
        ValueError: If a size is no positive integer.

    Source:
        Standard initialisation (LeCun, 1998).

    >>> net = random_resnest(inputs=2, outputs=1, units=[3], width=5, generator=torch.Generator().manual_seed(0))
    >>> [tuple(weight.shape) for weight in net.weights]
    [(5, 2), (5, 3)]
    """
    inputs, outputs, width = (arguments.integer(name, value) for name, value in
                              (("inputs", inputs), ("outputs", outputs), ("width", width)))
    blocks = [_tanh_block(count, width, generator) for count in units]
    weights = [_normal(width, inputs, generator), *(_normal(width, count, generator) for count in units)]
    return ResNEst(weights, _normal(outputs, width, generator), blocks)


def random_densenest(inputs: int, outputs: int, units: Sequence[int], generator: torch.Generator) -> DenseNEst:
    r"""Return a DenseNEst of tanh blocks with all weights N(0, 1 / fan-in), in float64.

    Args:
        inputs: number of inputs :math:`N_{in}`.
        outputs: number of outputs :math:`N_o`.
        units: growths :math:`D_1, \dots, D_L`.
        generator: torch generator.

    Source:
        Standard initialisation (LeCun, 1998).

    >>> net = random_densenest(inputs=2, outputs=1, units=[3], generator=torch.Generator().manual_seed(0))
    >>> net(torch.ones(4, 2, dtype=torch.float64)).shape
    torch.Size([4, 1])
    """
    widths = [inputs + sum(units[:i]) for i in range(len(units) + 1)]
    blocks = [_tanh_block(count, width, generator) for count, width in zip(units, widths[:-1], strict=True)]
    return DenseNEst(_normal(outputs, widths[-1], generator), blocks)


def _tanh_block(units, width, generator):
    return TanhBlock(_normal(units, width, generator), _normal(units, width, generator)[:, 0].contiguous())


def _normal(rows, columns, generator):
    drawn = torch.randn(rows, columns, generator=generator, dtype=torch.float64, device=generator.device)
    return drawn / math.sqrt(columns)

named(__name__)
