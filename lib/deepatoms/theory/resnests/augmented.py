"""The augmented problem: its exact optimum, refitted on every prefix of features, and linear predictability."""

from collections.abc import Sequence

from array_api_compat import array_namespace

from deepatoms.theory import arguments
from deepatoms.theory.arrays import Array
from deepatoms.theory.signatures import named


def augmented_risk(features: Sequence[Array], y: Array) -> float:
    r"""Return the least risk of the augmented problem, :math:`\min_H \tfrac1N \sum_n \lVert \sum_i H_i v_i - y \rVert^2`.

    Equation :eq:`nest-eq-7` with squared loss: least squares on all features together, by singular value decomposition,
    so that collinear features do no harm.

    Args:
        features: list of :math:`v_i`, each of shape (samples, :math:`K_i`).
        y: targets, shape (samples, outputs).

    Returns:
        The least mean squared error, a float (squared errors summed over outputs).

    Raises:
        ValueError: when features and targets differ in length or hold entries that are not finite.

    >>> import numpy as np
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> round(augmented_risk([x, x**2], x**2 - x), 12)
    0.0
    """
    stacked = side_by_side(features, y)
    return float((unexplained(stacked, y) ** 2).sum()) / y.shape[0]


def linear_risk(x: Array, y: Array) -> float:
    """Return the risk of the best linear predictor from one array (without intercept: append a constant).

    Args:
        x: shape (samples, inputs).
        y: targets, shape (samples, outputs).

    Raises:
        ValueError: If x and y differ in length or hold entries that are not finite.

    Source:
        Least squares, standard; the linear predictor of the ResNEst paper.

    >>> import numpy as np
    >>> round(linear_risk(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]])), 6)
    1.0
    """
    return augmented_risk([x], y)


def prefix_risks(features: Sequence[Array], y: Array) -> list[float]:
    r"""Return the optimum refitted on every prefix :math:`v_0, \dots, v_i`; it cannot increase with i.

    Refitting matters: the parts of one joint minimiser say nothing when features are collinear.

    Args:
        features: list of :math:`v_i`, each of shape (samples, :math:`K_i`).
        y: targets, shape (samples, outputs).

    Returns:
        A list of floats, one a feature.

    Raises:
        ValueError: If features and targets differ in length or hold entries that are not finite.

    Source:
        Equation :eq:`nest-eq-7` on each prefix.

    >>> import numpy as np
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> [round(risk, 4) for risk in prefix_risks([x, x, x**2], x**2)]
    [1.8095, 1.8095, 0.0]
    """
    return [augmented_risk(features[:i + 1], y) for i in range(len(features))]


def augmented_optimum(features: Sequence[Array], y: Array) -> list[Array]:
    r"""Return the minimiser :math:`H_0^*, \dots, H_L^*` of least norm.

    Args:
        features: list of :math:`v_i`, each of shape (samples, :math:`K_i`).
        y: targets, shape (samples, outputs).

    Returns:
        List of matrices of shape (outputs, :math:`K_i`).

    Raises:
        ValueError: If features and targets differ in length or hold entries that are not finite.

    Source:
        Equation :eq:`nest-eq-7`, by least squares.

    >>> import numpy as np
    >>> x = np.array([[1.0], [2.0]])
    >>> [round(float(head[0, 0]), 6) for head in augmented_optimum([x, x], x)]
    [0.5, 0.5]
    """
    heads = least_squares(side_by_side(features, y), y).T
    ends = [0]
    for feature in features:
        ends.append(ends[-1] + feature.shape[1])
    return [heads[:, start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]


def augmented_hessian(features: Sequence[Array], prediction: Array | None = None) -> Array:
    r"""Return the Hessian of the augmented problem in :math:`[H_0 \cdots H_L]` (row-major), always positive semidefinite.

    Squared loss: :math:`\tfrac2N I \otimes V^\mathsf{T} V`, of which the factor of one output is returned. Cross-entropy of
    logits p: :math:`\tfrac1N \sum_n (\operatorname{diag} s_n - s_n s_n^\mathsf{T}) \otimes v_n v_n^\mathsf{T}` with
    :math:`s = \operatorname{softmax} p`.

    Args:
        features: list of :math:`v_i`, each of shape (samples, :math:`K_i`).
        prediction: logits of shape (samples, outputs) for cross-entropy; None for squared loss.

    Raises:
        ValueError: If the features differ in length or hold entries that are not finite.

    Source:
        Equation :eq:`nest-eq-7`, differentiated twice; standard for both losses.

    >>> import numpy as np
    >>> augmented_hessian([np.array([[1.0], [3.0]])])
    array([[10.]])
    """
    stacked = side_by_side(features)
    xp, samples = array_namespace(stacked), stacked.shape[0]
    if prediction is None:
        return 2 / samples * (stacked.T @ stacked)
    weights = xp.exp(prediction - xp.max(prediction, axis=1, keepdims=True))
    soft = weights / xp.sum(weights, axis=1, keepdims=True)
    outputs, width = soft.shape[1], stacked.shape[1]
    rows = []
    for i in range(outputs):
        curved = [(1.0 * (i == j) - soft[:, j]) * soft[:, i] for j in range(outputs)]
        rows.append(xp.concat([stacked.T @ (weight[:, None] * stacked) for weight in curved], axis=1))
    return xp.reshape(xp.concat(rows, axis=0), (outputs * width, outputs * width)) / samples


def unpredictability(features: Sequence[Array]) -> list[float]:
    r"""Return, for each feature, the fraction of its energy that no linear map of the earlier features predicts.

    Args:
        features: list of :math:`v_i`, each of shape (samples, :math:`K_i`).

    Returns:
        List of floats in [0, 1], one for each feature after :math:`v_0`; 0: linearly predictable.

    Raises:
        ValueError: If the features differ in length or hold entries that are not finite.

    Source:
        Ours; a feature of fraction 0 is what the ResNEst paper calls linearly predictable.

    >>> import numpy as np
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> [round(fraction, 3) for fraction in unpredictability([x, 2 * x, x**2])]
    [0.0, 0.055]
    """
    side_by_side(features)
    return [float((unexplained(side_by_side(features[:i]), features[i]) ** 2).sum() / (features[i] ** 2).sum())
            for i in range(1, len(features))]


def side_by_side(features: Sequence[Array], y: Array | None = None) -> Array:
    """Return all features side by side, shape (samples, K_0 + ... + K_L), after checking their lengths.

    Raises:
        ValueError: If there are no features, or features and targets differ in length or hold entries that
            are not finite.

    Source:
        Standard; the vector of all features in Equation :eq:`nest-eq-7`.

    >>> import numpy as np
    >>> side_by_side([np.ones((3, 1)), np.ones((3, 2))]).shape
    (3, 3)
    """
    if not features:
        arguments.refuse("features", features, "is empty", "pass at least v_0")
    for i, feature in enumerate(features):
        arguments.matrix(f"features[{i}]", feature)
        if feature.shape[0] != features[0].shape[0]:
            arguments.refuse(f"features[{i}]", feature, f"does not have the {features[0].shape[0]} samples of features[0]",
                             "pass features of the same samples")
    if y is not None:
        arguments.matrix("y", y)
        if y.shape[0] != features[0].shape[0]:
            arguments.refuse("y", y, f"does not have the {features[0].shape[0]} samples of the features",
                             "pass one row of targets for each sample")
    return array_namespace(*features).concat(list(features), axis=1)


def column_basis(matrix: Array) -> Array:
    """Return an orthonormal basis of the columns' span (numerical rank, singular values below rounding dropped).

    Raises:
        ValueError: If matrix is no matrix of finite numbers.

    Source:
        Standard.

    >>> import numpy as np
    >>> column_basis(np.ones((4, 2))).shape
    (4, 1)
    """
    xp = array_namespace(arguments.real_array("matrix", matrix, 2))
    left, values, _ = xp.linalg.svd(matrix, full_matrices=False)
    return left[:, values > values[0] * max(matrix.shape) * xp.finfo(matrix.dtype).eps]


def project(matrix: Array, y: Array) -> Array:
    """Return the projection of the columns of ``y`` onto the span of the columns of ``matrix``.

    Raises:
        ValueError: If matrix or y is not finite.

    Source:
        Standard.

    >>> import numpy as np
    >>> project(np.array([[1.0], [0.0]]), np.array([[3.0], [4.0]])).ravel().tolist()
    [3.0, 0.0]
    """
    basis = column_basis(matrix)
    return basis @ (basis.T @ arguments.real_array("y", y))


def unexplained(matrix: Array, y: Array) -> Array:
    """Return what least squares on ``matrix`` leaves of ``y``.

    Raises:
        ValueError: If matrix or y is not finite.

    Source:
        Standard.

    >>> import numpy as np
    >>> unexplained(np.array([[1.0], [0.0]]), np.array([[3.0], [4.0]])).ravel().tolist()
    [0.0, 4.0]
    """
    return y - project(matrix, y)


def least_squares(matrix: Array, y: Array) -> Array:
    """Return the least-squares solution of least norm, shape (columns of matrix, columns of y).

    Raises:
        ValueError: If matrix is not finite.

    Source:
        Standard.

    >>> import numpy as np
    >>> least_squares(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]])).round(9).tolist()
    [[1.0]]
    """
    xp = array_namespace(arguments.real_array("matrix", matrix, 2))
    left, values, right = xp.linalg.svd(matrix, full_matrices=False)
    kept = values > values[0] * max(matrix.shape) * xp.finfo(matrix.dtype).eps
    return right[kept, :].T @ ((left[:, kept].T @ y) / values[kept][:, None])

named(__name__)
