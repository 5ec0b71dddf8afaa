"""Basis pursuit beside scikit-learn (one dense layer) and sporco (a convolutional one): CPU seconds to one objective."""

import bisect
import contextlib
import time

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from sklearn.decomposition import sparse_encode

from benchmarks.costs import clock
from deepatoms.runs import results
from deepatoms.theory import convolutional, dictionaries, pursuit

DENSE = {"problem": "dense", "signals": 10_000, "shape": [64, 256], "weight": 0.1}
CONVOLUTIONAL = {"problem": "convolutional", "image": 256, "filters": [36, 1, 12, 12], "weight": 0.05, "close": 1e-3}


@results.experiment("pursuit-speed", [DENSE, CONVOLUTIONAL], minutes=8, title="Time of basis pursuit beside its peers")
def pursuit_speed(configuration, device):
    """Return for each way its objective and its CPU seconds on one thread (best of three)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {"dense": dense, "convolutional": convolve}[configuration["problem"]](configuration)
    finally:
        torch.set_num_threads(before)


def measured(function, repeats=3):
    """Return the result of a function, and its best CPU and wall times in seconds."""
    times = []
    for _ in range(repeats):
        cpu, wall = clock(), time.perf_counter()
        result = function()
        times.append((clock() - cpu, time.perf_counter() - wall))
    seconds, wall = np.min(times, axis=0)
    return result, {"seconds": float(seconds), "wall": float(wall)}


# ---- one dense layer ----

def dense_problem(signals, shape):
    """Return signals and dictionary: each atom active with probability 0.03, noise 0.01."""
    rng = np.random.default_rng(0)
    D = dictionaries.normalize(rng.standard_normal(shape))
    codes = rng.standard_normal((signals, shape[1])) * (rng.random((signals, shape[1])) < 0.03)
    return codes @ D.T + 0.01 * rng.standard_normal((signals, shape[0])), D


def dense(configuration):
    """Solve 10,000 Lasso problems by our active sets and by scikit-learn's coordinate descent."""
    weight, (x, D) = configuration["weight"], dense_problem(configuration["signals"], configuration["shape"])
    ways = {"deepatoms": lambda: pursuit.sparse_basis_pursuit(x, D, weight, tolerance=1e-7),
            "scikit-learn lasso_cd": lambda: sparse_encode(x, D.T, algorithm="lasso_cd", alpha=weight)}
    found = {}
    for name, way in ways.items():
        code, times = measured(way)
        objective = (((x - code @ D.T) ** 2).sum(1) / 2 + weight * abs(code).sum(1)).mean()
        found[name] = {"objective": float(objective), "work": len(x), "unit": "signals", **times}
    return {"ways": found}


# ---- an image ----

def photograph(size=256):
    """Return a grey crop of scikit-learn's photograph, less its low frequencies (Tikhonov, weight 10): (1, size, size)."""
    grey = load_sample_image("china.jpg")[100:100 + size, 100:100 + size] @ np.array([0.2989, 0.5870, 0.1140]) / 255
    padded = np.pad(grey, 16, mode="symmetric")
    frequencies = np.meshgrid(*[2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n)) for n in padded.shape], indexing="ij")
    low = np.fft.ifft2(np.fft.fft2(padded) / (1 + 10 * sum(frequencies))).real
    return (padded - low)[16:-16, 16:-16][None]


def filters(count, channels, *kernel):
    """Return sporco's learned filters, shape (36, 1, 12, 12), and whose they are; without sporco patches of a photograph."""
    try:
        from sporco import util
    except ImportError:
        grey = load_sample_image("flower.jpg").mean(-1)
        starts = np.random.default_rng(0).integers(0, 400, (count, 2))
        learned = np.stack([grey[i:i + kernel[0], j:j + kernel[1]] for i, j in starts])
        learned, origin = learned - learned.mean((1, 2), keepdims=True), "patches of a photograph"
    else:
        learned = util.convdicts()[f"G:{kernel[0]}x{kernel[1]}x{count}"].transpose(2, 0, 1)
        origin = "learned ones that come with sporco"
    return convolutional.normalize_filters(np.ascontiguousarray(learned[:, None], dtype=float)), origin


def convolve(configuration):
    """Find for each way the iterations it needs to come close to the least objective, and time exactly these."""
    x, weight, (bank, origin) = photograph(configuration["image"]), configuration["weight"], filters(*configuration["filters"])
    image, atoms = (torch.tensor(value, dtype=torch.float32) for value in (x, bank))

    def objective(code):
        return float(((x - convolutional.synthesize(bank, code)) ** 2).sum() / 2 + weight * abs(code).sum())

    def ours(solver, **options):
        return lambda count: solver(image, atoms, weight, iterations=count, tolerance=0, **options).double().numpy()

    ways = {"deepatoms, ADMM": ours(pursuit.splitting_basis_pursuit), "deepatoms, FISTA": ours(pursuit.basis_pursuit)}
    with contextlib.suppress(ImportError):
        ways["sporco ConvBPDN"] = _sporco(x, bank, weight)
    least = objective(ways["deepatoms, ADMM"](300))
    found = {name: _to_objective(way, objective, (1 + configuration["close"]) * least) for name, way in ways.items()}
    count = found["deepatoms, ADMM"]["iterations"]
    found["deepatoms, ADMM, with gradients"] = {
        "iterations": count, "work": 1, "unit": "image with gradients",
        **measured(lambda: _gradient(image, atoms, weight, count), repeats=1)[1]}
    return {"filters": origin, "least": least, "ways": found}


def _sporco(x, bank, weight):
    """Return sporco's ADMM in single precision, without the statistics that it can do without."""
    import sporco.fft
    from sporco.admm import cbpdn
    sporco.fft.pyfftw_threads = 1

    def solve(count):
        options = cbpdn.ConvBPDN.Options({"MaxMainIter": count, "RelStopTol": 0.0, "FastSolve": True, "DataType": np.float32})
        solver = cbpdn.ConvBPDN(bank[:, 0].transpose(1, 2, 0).astype(np.float32), x[0].astype(np.float32), weight, options)
        solver.solve()
        return np.moveaxis(solver.getcoef().squeeze(), -1, 0).astype(float)

    return solve


def _to_objective(way, objective, goal):
    counts = range(5, 405, 5)
    place = bisect.bisect_left(counts, True, key=lambda count: objective(way(count)) <= goal)
    count = counts[min(place, len(counts) - 1)]
    code, times = measured(lambda: way(count))
    return {"iterations": count, "objective": objective(code), "work": 1, "unit": "image to one objective", **times}


def _gradient(image, atoms, weight, count):
    """Return the gradient of a code's energy with respect to the filters, through all iterations."""
    atoms = atoms.clone().requires_grad_()
    code = pursuit.splitting_basis_pursuit(image, atoms, weight, iterations=count, tolerance=0)
    return torch.autograd.grad((code**2).sum(), atoms)[0]
