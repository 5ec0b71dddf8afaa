"""Tanh ResNEsts as plain arrays: thousands of random problems, training in all weights, the diabetes and digits data.

The same formulas as ``theory.resnests.ResNEst`` (a test compares them), in numpy because a thousand small problems are drawn
in one check.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize
from sklearn.datasets import load_diabetes, load_digits

from deepatoms.theory import resnests
from deepatoms.theory.arguments import one_of


@dataclass(frozen=True, eq=False)
class Net:
    """Weights W_0, ..., W_{L+1} and, for each block, T (units, M) and b (units)."""

    weights: tuple
    blocks: tuple

    @property
    def parts(self):
        """All arrays in one order: W_0, ..., W_{L+1}, then T and b of every block."""
        return [*self.weights, *(part for block in self.blocks for part in block)]

    def with_parts(self, parts):
        """Return the net with other numbers."""
        cut = len(self.weights)
        return Net(tuple(parts[:cut]), tuple(zip(parts[cut::2], parts[cut + 1::2], strict=True)))

    def flat(self):
        """Return all weights in one vector."""
        return np.concatenate([part.ravel() for part in self.parts])

    def unflat(self, point):
        """Return the net whose weights are this vector."""
        ends = np.cumsum([part.size for part in self.parts])[:-1]
        return self.with_parts([values.reshape(part.shape)
                                for values, part in zip(np.split(point, ends), self.parts, strict=True)])

    def trace(self, x):
        """Return features v_0, ..., v_L and representations x_0, ..., x_L, each with samples first."""
        features, states = [x], [x @ self.weights[0].T]
        for W, (T, b) in zip(self.weights[1:-1], self.blocks, strict=True):
            features.append(np.tanh(states[-1] @ T.T + b))
            states.append(states[-1] + features[-1] @ W.T)
        return features, states

    def output(self, x):
        """Return the predictions."""
        return self.trace(x)[1][-1] @ self.weights[-1].T


def draw(rng, inputs, outputs, units, width, weight=1.0, last=1.0):
    """Return a net with all weights N(0, 1 / fan-in), W_1..W_L times ``weight`` and W_{L+1} times ``last``."""
    def normal(rows, columns, scale=1.0):
        return scale * rng.normal(size=(rows, columns)) / np.sqrt(columns)

    weights = (normal(width, inputs), *(normal(width, count, weight) for count in units), normal(outputs, width, last))
    return Net(weights, tuple((normal(count, width), normal(count, width)[:, 0]) for count in units))


@dataclass(frozen=True, eq=False)
class Task:
    """A net at fixed features: data, features, representations, and the coupled problem in its last two matrices."""

    net: Net
    x: np.ndarray
    y: np.ndarray

    def __post_init__(self):
        features, states = self.net.trace(self.x)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "states", states)

    def coupled(self, blocks=None):
        """Return the coupled problem of the first ``blocks`` blocks (all unless given)."""
        blocks = len(self.net.blocks) if blocks is None else blocks
        return resnests.CoupledProblem(self.states[blocks - 1], self.features[blocks], self.y)

    def gap(self):
        """Return epsilon in closed form."""
        return resnests.coupling_gap(self.features, self.states[-2], self.y)


def random_task(rng, width=16, units=(4, 4, 4), inputs=5, samples=120):
    """Return a random net on Gaussian inputs, its three targets a random linear map of them plus N(0, 1) noise."""
    x = rng.normal(size=(samples, inputs))
    y = x @ rng.normal(size=(inputs, 3)) / np.sqrt(inputs) + rng.normal(size=(samples, 3))
    return Task(draw(rng, inputs, 3, units, width), x, y)


@lru_cache(maxsize=2)
def data(name):
    """Return inputs with a constant appended and targets, samples first.

    ``"diabetes"``: 11 inputs, 1 output, standardised; ``"digits"``: 4 x 4 means of the pixels / 16, 17 inputs, 10 indicator
    outputs, not centred.
    """
    if one_of("name", name, ("diabetes", "digits")) == "diabetes":
        x, y = load_diabetes(return_X_y=True)
        x, y = ((part - part.mean(0)) / part.std(0) for part in (x, y[:, None]))
    else:
        images, labels = load_digits(return_X_y=True)
        x = images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16) / 16
        y = np.eye(10)[labels]
    return np.hstack([x, np.ones((len(x), 1))]), y


def risk(net, x, y):
    """Return the risk and its gradient in all weights (one vector)."""
    features, states = net.trace(x)
    error = states[-1] @ net.weights[-1].T - y
    return (error**2).sum() / len(y), 2 / len(y) * _pull_back(net, x, features, states, error)


def _pull_back(net, x, features, states, errors):
    """Return the sum over samples of errors times derivatives of the outputs, as one vector in the order of ``flat``."""
    weights, blocks, back = [errors.T @ states[-1]], [], errors @ net.weights[-1]
    for i in range(len(net.blocks), 0, -1):
        inner = (back @ net.weights[i]) * (1 - features[i] ** 2)
        weights.append(back.T @ features[i])
        blocks.append((inner.T @ states[i - 1], inner.sum(0)))
        back = back + inner @ net.blocks[i - 1][0]
    return np.concatenate([part.ravel() for part in
                           [back.T @ x, *weights[::-1], *(part for block in blocks[::-1] for part in block)]])


def jacobian(net, x):
    """Return the derivatives of all outputs (samples first, then outputs) in all weights."""
    features, states = net.trace(x)
    return np.stack([_rows(net, x, features, states, o) for o in range(len(net.weights[-1]))], 1).reshape(
        len(x) * len(net.weights[-1]), -1)


def _rows(net, x, features, states, output):
    samples, last = len(x), np.zeros((len(x), *net.weights[-1].shape))
    last[:, output] = states[-1]
    back, weights, blocks = np.tile(net.weights[-1][output], (samples, 1)), [last], []
    for i in range(len(net.blocks), 0, -1):
        inner = (back @ net.weights[i]) * (1 - features[i] ** 2)
        weights.append(back[:, :, None] * features[i][:, None])
        blocks.append((inner[:, :, None] * states[i - 1][:, None], inner))
        back = back + inner @ net.blocks[i - 1][0]
    parts = [back[:, :, None] * x[:, None], *weights[::-1], *(part for block in blocks[::-1] for part in block)]
    return np.hstack([part.reshape(samples, -1) for part in parts])


# The two descents below stay apart from ``learning.training``: the claims are about minimisers, to 1e-8 and closer, which
# stochastic steps of a fixed length do not reach; SciPy's second-order methods on all samples do.

def train(net, x, y, steps):
    """Return the net after ``steps`` steps of L-BFGS in all weights."""
    found = optimize.minimize(lambda point: risk(net.unflat(point), x, y), net.flat(), jac=True, method="L-BFGS-B",
                              options={"maxiter": steps, "ftol": 1e-16, "gtol": 1e-12, "maxcor": 20, "maxfun": 5 * steps})
    return net.unflat(found.x)


def descend_all(net, x, y, steps):
    """Return the net after trust-region least squares in all weights, all three tolerances 1e-15."""
    found = optimize.least_squares(lambda point: (net.unflat(point).output(x) - y).ravel(), net.flat(),
                                   lambda point: jacobian(net.unflat(point), x), method="trf", ftol=1e-15, xtol=1e-15,
                                   gtol=1e-15, max_nfev=steps)
    return net.unflat(found.x)


def solved(net, x, y):
    """Return the net with W_L and W_{L+1} at an exact minimiser of the coupled problem."""
    W, B = Task(net, x, y).coupled().critical_point(range(y.shape[1]))
    return Net((*net.weights[:-2], W, B), net.blocks)


@lru_cache(maxsize=32)
def trained(name, seed, blocks, units, spare, steps):
    """Return a net trained on a data set from a small start (width: inputs + ``spare``), then solved exactly."""
    x, y = data(name)
    first = start(np.random.default_rng([seed, blocks, spare]), name, blocks, units, spare)
    return solved(train(first, x, y, steps), x, y)


def start(rng, name, blocks, units, spare):
    """Return a net of the width inputs + ``spare`` at the small start from which ``trained`` descends."""
    x, y = data(name)
    return draw(rng, x.shape[1], y.shape[1], [units] * blocks, x.shape[1] + spare, weight=0.3, last=0.1)
