"""Basis pursuit beside scikit-learn (one dense layer) and sporco (a convolutional one); prints objectives and seconds.

sporco is wanted by this script only: ``pip install sporco``. Without it the second table shows our side alone.
"""

import time

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from sklearn.decomposition import sparse_encode

from deepatoms.theory import convolutional, dictionaries, multilayer, pursuit


def timed(function):
    """Return a function's result and its wall time."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def dense(weight=0.1, signals=10_000):
    """10,000 signals, 256 atoms in 64 dimensions, each atom active with probability 0.03, noise 0.01."""
    rng = np.random.default_rng(0)
    D = dictionaries.normalize(rng.standard_normal((64, 256)))
    codes = rng.standard_normal((signals, 256)) * (rng.random((signals, 256)) < 0.03)
    x = codes @ D.T + 0.01 * rng.standard_normal((signals, 64))
    rows = {"scikit-learn lasso_cd": lambda: sparse_encode(x, D.T, algorithm="lasso_cd", alpha=weight),
            "sparse_basis_pursuit": lambda: pursuit.sparse_basis_pursuit(x, D, weight, tolerance=1e-7)}
    for name, call in rows.items():
        code, seconds = timed(call)
        objective = (((x - code @ D.T) ** 2).sum(1) / 2 + weight * abs(code).sum(1)).mean()
        print(f"{name:24} objective {objective:.7f}  {seconds:6.2f} s")


def photograph():
    """The grey crop of the photograph, less its low frequencies (Tikhonov, weight 10), shape (1, 256, 256)."""
    grey = load_sample_image("china.jpg")[100:356, 100:356] @ np.array([0.2989, 0.5870, 0.1140]) / 255
    padded = np.pad(grey, 16, mode="symmetric")
    frequencies = np.meshgrid(*[2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(size)) for size in padded.shape], indexing="ij")
    low = np.fft.ifft2(np.fft.fft2(padded) / (1 + 10 * sum(frequencies))).real
    return (padded - low)[16:-16, 16:-16][None]


def filters():
    """sporco's learned dictionary of 36 filters of 12 x 12, unit norm; trained ones of ours where sporco is missing."""
    try:
        from sporco import util
    except ModuleNotFoundError:
        return multilayer.first_layer(36, (12, 12), designs=1)[0]
    learned = util.convdicts()["G:12x12x36"].transpose(2, 0, 1)[:, None]
    return convolutional.normalize(np.ascontiguousarray(learned))


def conv(weight=0.05):
    """One image, 36 filters of 12 x 12: our FISTA in float32 beside sporco's ADMM."""
    x, bank = photograph(), filters()

    def objective(code):
        return ((x - convolutional.synthesize(bank, code)) ** 2).sum() / 2 + weight * abs(code).sum()

    for iterations in (50, 100, 200):
        code, seconds = timed(lambda count=iterations: pursuit.basis_pursuit(
            torch.tensor(x, dtype=torch.float32), torch.tensor(bank, dtype=torch.float32), weight, iterations=count,
            tolerance=0))
        print(f"basis_pursuit, {iterations:3} it.    objective {objective(code.double().numpy()):.3f}  {seconds:6.2f} s")
    try:
        from sporco.admm import cbpdn
    except ModuleNotFoundError:
        print("sporco is not installed")
        return
    options = cbpdn.ConvBPDN.Options({"MaxMainIter": 200, "RelStopTol": 5e-3, "AuxVarObj": False})
    solver = cbpdn.ConvBPDN(bank[:, 0].transpose(1, 2, 0), x[0], weight, options)
    _, seconds = timed(solver.solve)
    code = np.moveaxis(solver.getcoef().squeeze(), -1, 0)
    print(f"sporco ConvBPDN          objective {objective(code):.3f}  {seconds:6.2f} s")


if __name__ == "__main__":
    dense()
    conv()
