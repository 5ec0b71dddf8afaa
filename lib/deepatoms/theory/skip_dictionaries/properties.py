r"""Properties of a dictionary in Skretting and Engan's definitions, and how sparsely it represents signals.

Atoms are normalised first. The definitions follow the authors' own program; ``mu`` is
:func:`~deepatoms.theory.dictionaries.mutual_coherence`.
"""

import numpy as np

from deepatoms.theory import arguments, dictionaries
from deepatoms.theory.signatures import named


def frame_bounds(D: np.ndarray) -> tuple[float, float]:
    r"""Return the frame bounds A and B: smallest nonzero and largest eigenvalue of :math:`D D^\mathsf{T}`, atoms of norm 1.

    Args:
        D: matrix of shape (n, K), numpy, without zero columns.

    Raises:
        ValueError: If D is not a finite matrix without zero columns.

    Source:
        Skretting and Engan (2011).

    >>> A, B = frame_bounds(np.hstack([np.eye(2), np.eye(2)]))
    >>> round(float(A), 9), round(float(B), 9)
    (2.0, 2.0)
    """
    eigenvalues = np.linalg.svd(dictionaries.normalize(D), compute_uv=False) ** 2
    return eigenvalues[eigenvalues > 1e-12 * eigenvalues[0]].min(), eigenvalues[0]


def nearest_coherence(D: np.ndarray) -> float:
    r"""Return :math:`\mu_\mathrm{avg}`, the mean over atoms of the largest absolute cosine with another atom.

    Args:
        D: matrix of shape (n, K), numpy, without zero columns.

    Raises:
        ValueError: If D is not a finite matrix without zero columns.

    Source:
        Skretting and Engan (2011).

    >>> float(nearest_coherence(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).round(6))
    0.666667
    """
    return _cosines(D).max(1).mean()


def mean_square_coherence(D: np.ndarray) -> float:
    r"""Return :math:`\mu_\mathrm{mse} = \lVert D^\mathsf{T} D \rVert_F / K`: :math:`1/\sqrt n` exactly for a tight frame.

    Args:
        D: matrix of shape (n, K), numpy, without zero columns.

    Raises:
        ValueError: If D is not a finite matrix without zero columns.

    Source:
        Skretting and Engan (2011).

    >>> float(mean_square_coherence(np.eye(4)))
    0.5
    """
    return np.linalg.norm(dictionaries.gram(D)) / D.shape[1]


def babel(D: np.ndarray, atoms: int) -> float:
    r"""Return the Babel function :math:`\mu_1(p)`: the largest sum of absolute cosines of one atom with p others.

    Args:
        D: matrix of shape (n, K), numpy, without zero columns.
        atoms: p, smaller than K.

    Raises:
        ValueError: If the atoms are not a positive integer smaller than K, or D has a zero column.

    Source:
        Tropp (2004).

    >>> float(babel(dictionaries.simplex_frame(3), 2).round(6))
    0.666667
    """
    if arguments.integer("atoms", atoms) >= D.shape[1]:
        arguments.refuse("atoms", atoms, f"is not smaller than the {D.shape[1]} atoms", "compare with the others only")
    return np.sort(_cosines(D), axis=1)[:, -atoms:].sum(1).max()


def signal_to_noise(X: np.ndarray, approximation: np.ndarray) -> float:
    r"""Return the signal-to-noise ratio :math:`10 \log_{10} (\sum \lVert x \rVert^2 / \sum \lVert x - \hat x \rVert^2)`, in dB.

    Args:
        X: signals of shape (samples, n).
        approximation: of the same shape.

    Raises:
        ValueError: If X or its approximation is not a finite matrix, or their shapes differ.

    Source:
        Standard.

    >>> float(signal_to_noise(np.array([[10.0]]), np.array([[9.0]])))
    20.0
    """
    arguments.matrix("X", X)
    if arguments.matrix("approximation", approximation).shape != X.shape:
        arguments.refuse("approximation", approximation, f"does not match X of shape {X.shape}", "approximate every signal")
    return 10 * np.log10((X**2).sum() / ((X - approximation) ** 2).sum())


def _cosines(D):
    gram = abs(dictionaries.gram(D))
    np.fill_diagonal(gram, 0.0)
    return gram

named(__name__)
