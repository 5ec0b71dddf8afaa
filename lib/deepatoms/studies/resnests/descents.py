"""Small experiments on the coupled problem: one-dimensional landscapes, arrivals of descent, predictable features."""

from dataclasses import dataclass

import numpy as np

from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.theory import resnests

ARRIVING = (3, 4, 5, 6, 8, 10)  # the widths from which descent starts
RUNS = 40  # descents at each width
CAPS = (500, 5000)  # steps after which it is asked whether they have arrived
KEPT = 60  # points of a path, at most


@dataclass(frozen=True)
class Plane:
    """The risk for M = N_o = 1 as a function of b = W_{L+1} and w = W_L, from the second moments of (x, v, y)."""

    moments: np.ndarray  # of (x_{L-1}, v_L, y), 3 x 3

    def risk(self, b, w):
        """Return the risk at one or many points (b, w)."""
        (xx, xv, xy), (_, vv, vy), (*_, yy) = self.moments
        return b**2 * (xx + 2 * w * xv + w**2 * vv) - 2 * b * (xy + w * vy) + yy

    def slope(self, b, w):
        """Return the derivatives in b and w."""
        (xx, xv, xy), (_, vv, vy), _ = self.moments
        return 2 * b * (xx + 2 * w * xv + w**2 * vv) - 2 * (xy + w * vy), 2 * b**2 * (xv + w * vv) - 2 * b * vy

    def minimum(self):
        """Return the only minimiser (b, w): with c = b w the risk is a convex quadratic in (b, c)."""
        b, c = np.linalg.solve(self.moments[:2, :2], self.moments[:2, 2])
        return b, c / b

    def valley(self):
        """Return the risk approached at infinity, that of a predictor which uses v alone."""
        return self.moments[2, 2] - self.moments[1, 2] ** 2 / self.moments[1, 1]

    def descents(self, starts, steps=20_000):
        """Return at most ``KEPT`` points of gradient descent from several starts and its end, shape (points, 2, starts).

        Not ``learning.training``: it is the path that is shown, of two numbers with their exact derivatives.
        """
        (b, w), path = np.array(starts, float).T, []
        chosen = set(np.unique(np.geomspace(1, steps, KEPT).astype(int)))
        for step in range(steps):
            if step in chosen or step == 0:
                path.append((b, w))
            db, dw = self.slope(b, w)
            # the curvature grows with both: a step that shrinks with it follows the flow without overshooting
            scale = 0.05 / (1 + self.moments[1, 1] * (w**2 + b**2))
            b, w = b - scale * db, w - scale * dw
        return np.array([*path, (b, w)])


def plane():
    """Return a landscape whose minimum lies at b > 0: y = x / 2 + v plus noise (moments in closed form)."""
    moments = np.array([[1.0, 0.3, 0.0], [0.3, 1.0, 0.0], [0.0, 0.0, 0.0]])
    weight = np.array([0.5, 1.0])
    moments[:2, 2] = moments[2, :2] = moments[:2, :2] @ weight
    moments[2, 2] = weight @ moments[:2, :2] @ weight + 0.1
    return Plane(moments)


@Remembered
def arrivals(setting):
    """Return, for each width of ``ARRIVING``, the fraction of ``RUNS`` descents that reach the optimum within each of ``CAPS``.

    N_in = N_o = 3, one block of 4, L-BFGS from starts of size 0.1, within 1e-8 of the augmented optimum: Assumptions 3 and 4
    hold from M = 3 on.
    """
    rng = setting.numpy("arrivals")
    return [np.mean([arrival(rng, width) for _ in range(RUNS)], 0).tolist() for width in ARRIVING]


def arrival(rng, width):
    """Tell for one run whether it has arrived after each of ``CAPS``; the second part goes on from the end of the first."""
    task, arrived, before = tanh.random_task(rng, width, (4,), inputs=3), [], 0
    problem, least = task.coupled().compressed(), resnests.augmented_risk(task.features, task.y)
    point = 0.1 * rng.normal(size=(width, 4)), 0.1 * rng.normal(size=(3, width))
    for cap in CAPS:
        if not any(arrived):
            end = resnests.lbfgs(problem, *point, steps=cap - before)
            point, before = (end.W, end.B), cap
        arrived.append(end.risk - least < 1e-8)
    return arrived


def diabetes_gap(rng, width, predictable=False):
    """Return epsilon and [W_0 W_1 W_2] of a random net of three blocks of 3 on diabetes.

    With ``predictable`` the second block puts out a random linear map of the input and the first block's feature.
    """
    x, y = tanh.data("diabetes")
    net = tanh.draw(rng, 11, 1, [3] * 3, width)
    features, states = [x], [x @ net.weights[0].T]
    for i, (T, b) in enumerate(net.blocks):
        made = np.tanh(states[-1] @ T.T + b)
        if predictable and i == 1:
            made = np.hstack(features) @ rng.normal(size=(14, 3)) / np.sqrt(14)
        features.append(made)
        states.append(states[-1] + made @ net.weights[i + 1].T)
    return resnests.coupling_gap(features, states[-2], y), list(net.weights[:3])
