r"""K-SVD: a dictionary learned from signals, the reference that a layer's own dictionary is compared with."""

import numpy as np
import scipy.linalg

from deepatoms.theory import arguments, dictionaries
from deepatoms.theory.pursuit import matching_pursuit


def learn(X, atoms, sparsity, iterations, seed=0):
    r"""Learn a dictionary by alternating sparse coding and one best rank-one update an atom (Aharon, Elad, Bruckstein).

    It lowers :math:`\sum \lVert x - D w \rVert^2` under :math:`\lVert w \rVert_0 \le k`, without a guarantee of the minimum.
    The coding is done for all signals at once, which halves the time of a library that loops over them (``benchmarks/ksvd.py``).

    Args:
        X: signals of shape (samples, n), numpy.
        atoms: K, at most the number of signals that are not zero.
        sparsity: k.
        iterations: sweeps over the atoms.
        seed: draws the first atoms from the signals, and the order of the updates.

    Returns:
        Matrix of shape (n, K) with atoms of norm 1.
    """
    usable = np.flatnonzero(abs(arguments.matrix("X", X)).max(1) > 0)
    if arguments.integer("atoms", atoms) > len(usable):
        arguments.refuse("atoms", atoms, f"exceeds the {len(usable)} signals that are not zero", "ask for fewer atoms")
    draw = np.random.default_rng(seed)
    D = dictionaries.normalize(X[draw.choice(usable, atoms, replace=False)].T)
    for _ in range(arguments.integer("iterations", iterations)):
        codes = matching_pursuit(D, X, sparsity)
        left = X - codes @ D.T
        for atom in draw.permutation(atoms):
            _update(D, codes, left, atom)
    return D


def _update(D, codes, left, atom):
    """Replace an atom and its coefficients by the best rank-one fit; an atom without users becomes the worst signal."""
    users = np.flatnonzero(codes[:, atom])
    if not len(users):
        worst = left[(left**2).sum(1).argmax()]
        if worst.any():
            D[:, atom] = worst / np.linalg.norm(worst)
        return
    without = left[users] + np.outer(codes[users, atom], D[:, atom])
    last = without.shape[1] - 1
    D[:, atom] = scipy.linalg.eigh(without.T @ without, subset_by_index=(last, last))[1][:, 0]
    codes[users, atom] = without @ D[:, atom]
    left[users] = without - np.outer(codes[users, atom], D[:, atom])
