"""How the claims of the chapter on atoms are measured."""

import functools
import math
from itertools import combinations

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.linear_model import lasso_path

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, check, examples, instances
from deepatoms.theory import dictionaries, pursuit, recovery

SIMPLEX_SIZES = range(2, 17)


# ---- Equations 1 and 2 ----

@check("dfp.eq1/prox", instances(1000, of="inputs"))
def prox(setting):
    """Compare torch's ReLU with the root of the objective's derivative, found by bisection."""
    draw = setting.numpy("prox")
    x, threshold = draw.uniform(-3, 3, 1000), draw.uniform(0, 2, 1000)
    relu = torch.relu(torch.tensor(x - threshold)).numpy()
    return Measurement(np.abs(relu - _prox_by_bisection(x, threshold, curvature=1.0)).max(),
                       np.abs(relu - _prox_by_bisection(x, threshold, curvature=2.0)).max(), count=len(x))


def _prox_by_bisection(x, threshold, curvature):
    """Minimise curvature/2 (w - x)^2 + threshold w over w >= 0 by bisection on the derivative."""
    low, high = np.zeros_like(x), np.full_like(x, 4.0)
    for _ in range(60):
        middle = (low + high) / 2
        rising = curvature * (middle - x) + threshold > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return (low + high) / 2


@check("dfp.eq2/two_forms", instances(1000, of="dictionaries"))
def two_forms(setting):
    """Compare the largest cosine over all pairs of atoms, one by one, with the Gram matrix's largest entry."""
    draw = setting.numpy("two_forms")
    found = []
    for _ in range(1000):
        D = _gaussian(draw, np.exp)
        pairwise = max(abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in combinations(D.T, 2))
        unscaled = np.abs(D.T @ D - np.eye(D.shape[1])).max()
        found.append((abs(pairwise - dictionaries.mutual_coherence(D)), abs(pairwise - unscaled)))
    return Measurement(*np.max(found, axis=0), count=len(found))


def _gaussian(draw, scale=np.ones_like, dimensions=(2, 9)):
    """Draw a Gaussian dictionary, d in the closed range, k = d + 1 .. 2 d, column norms scaled at random."""
    d = int(draw.integers(dimensions[0], dimensions[1] + 1))
    k = int(draw.integers(d + 1, 2 * d + 1))
    return draw.normal(size=(d, k)) * scale(draw.normal(size=k))


# ---- the Welch bound ----

@check("dfp.welch/is_minimum", EXHAUSTIVE)
def is_minimum(setting):
    """Search four (control: three) lines of the plane exhaustively, then refine the best."""
    return Measurement(_least_planar_coherence(4) - dictionaries.welch_bound(2, 4),
                       _least_planar_coherence(3) - dictionaries.welch_bound(2, 3))


def _least_planar_coherence(lines):
    others = np.array(list(combinations(np.arange(1, 61) * math.pi / 61, lines - 1)))
    start = others[np.argmin(_planar_coherence(others))]
    return minimize(lambda angles: _planar_coherence(angles[None])[0], start, method="Nelder-Mead",
                    options={"xatol": 1e-8, "fatol": 1e-8}).fun


def _planar_coherence(others):
    angles = np.hstack([np.zeros((len(others), 1)), others])
    first, second = np.triu_indices(angles.shape[1], 1)
    return np.abs(np.cos(angles[:, first] - angles[:, second])).max(axis=1)


@check("dfp.welch/is_bound", instances(10_115, of="dictionaries"))
def is_bound(setting):
    """Compare coherence with the Welch value on Gaussian, coherence-optimised and simplex dictionaries."""
    draw = setting.numpy("is_bound")
    found = [_gaussian(draw, dimensions=(2, 16)) for _ in range(10_000)]
    found += _near_the_bound([_gaussian(draw, dimensions=(2, 16)) for _ in range(100)])
    found += map(dictionaries.simplex_frame, SIMPLEX_SIZES)
    return Measurement(min(dictionaries.mutual_coherence(D) - dictionaries.welch_bound(*D.shape) for D in found),
                       min(dictionaries.mutual_coherence(D) - dictionaries.welch_bound(D.shape[0], 2 * D.shape[1])
                           for D in found), count=len(found))


def _near_the_bound(starts):
    """Optimise dictionaries; raise unless half of the gap to the Welch value is closed in the median, and some of it in each."""
    found = [dictionaries.minimize_coherence(start, 25).best for start in starts]
    gaps = [[dictionaries.mutual_coherence(D) - dictionaries.welch_bound(*D.shape) for D in each] for each in (found, starts)]
    left = np.divide(*gaps)
    if np.median(left) > 0.5 or left.max() >= 1:
        raise ValueError(f"the optimised dictionaries keep {np.median(left):.0%} of the gap to the Welch value in the median, "
                         f"{left.max():.0%} at most: they test the bound no better than random ones")
    return found


# ---- uniqueness and recovery ----

@functools.lru_cache(maxsize=4)
def _optimised(setting, count):
    """Coherence-optimised dictionaries of the three sizes of the catalogue, ``count`` of each, drawn anew."""
    draw = setting.numpy("optimised")
    sizes = ((8, 12), (12, 18), (16, 20))
    return [D for size in sizes for D in dictionaries.minimize_coherence(draw.normal(size=(count, *size))).best]


def _largest_below(bound):
    """Return the largest integer below a bound, away from the tie at equality."""
    return math.ceil(bound - 1e-9) - 1


def _unique_sparsity(D):
    mu = min(1.0, float(dictionaries.mutual_coherence(D)))
    return _largest_below(dictionaries.uniqueness_threshold(mu))


@check("dfp.uniq/exhaustive", instances(300, of="codes"))
def exhaustive(setting):
    """Search all supports of the same size for a second representation."""
    draw = setting.numpy("exhaustive")
    designs = [dictionaries.identity_hadamard(16)] * 150 + _optimised(setting, 50)
    others = [_has_another(D, *_sparse(draw, D, int(draw.integers(1, _unique_sparsity(D) + 1)))) for D in designs]
    fence = np.zeros(32)
    fence[[0, 4, 8, 12]] = 1
    return Measurement(sum(others), _has_another(dictionaries.identity_hadamard(16), fence, 4), count=len(others))


def _sparse(draw, D, sparsity):
    code = np.zeros(D.shape[1])
    code[draw.choice(D.shape[1], sparsity, replace=False)] = draw.normal(size=sparsity)
    return code, sparsity


def _has_another(D, code, sparsity):
    return len(recovery.representations(D, D @ code, sparsity)) > 1


def _missed(D, code):
    """Tell whether least l1 misses a code by more than 1e-6."""
    return np.abs(recovery.least_l1(D, D @ code) - code).max() > 1e-6


def _code(draw, atoms, support, signs):
    code = np.zeros(atoms)
    code[support] = draw.uniform(1, 2, len(support)) * signs
    return code


def _random_signs(draw, size):
    return draw.choice([-1.0, 1.0], size)


@functools.lru_cache(maxsize=4)
def _simplex_misses(setting):
    """Tell the misses on simplex frames, d = 3..15, for every sparsity inside the printed bound except the ties."""
    draw = setting.numpy("simplex_misses")
    pairs = [(d, s) for d in range(3, 16) for s in range(1, _largest_below(dictionaries.two_orthobases_threshold(1 / d)) + 1)
             if 2 * s != d + 1]
    return [_missed(dictionaries.simplex_frame(d), _code(draw, d + 1, draw.choice(d + 1, s, replace=False), 1.0))
            for d, s in pairs]


@check("dfp.l1/general", instances(93, of="codes"))
def general(setting):
    """Count codes that least l1 misses on simplex frames; control on identity + Hadamard."""
    draw = setting.numpy("general")
    D = dictionaries.identity_hadamard(16)
    control = sum(_missed(D, _code(draw, 32, draw.choice(32, s, replace=False), _random_signs(draw, s)))
                  for s in (1, 2, 3) for _ in range(100))
    return Measurement(sum(_simplex_misses(setting)), control, count=len(_simplex_misses(setting)))


@check("dfp.l1/two_orthobases", instances(300, of="codes"))
def two_orthobases(setting):
    """Count misses on identity + Hadamard, half of the supports inside a picket fence and its dual."""
    draw = setting.numpy("two_orthobases")
    misses = []
    for dimension in (8, 16, 32):
        D = dictionaries.identity_hadamard(dimension)
        most = _largest_below(dictionaries.two_orthobases_threshold(1 / math.sqrt(dimension)))
        for instance in range(100):
            pool = _fence_and_dual(dimension) if instance % 2 else np.arange(2 * dimension)
            support = draw.choice(pool, draw.integers(1, most + 1), replace=False)
            misses.append(_missed(D, _code(draw, 2 * dimension, support, _random_signs(draw, len(support)))))
    return Measurement(sum(misses), sum(_simplex_misses(setting)), count=len(misses))


def _fence_and_dual(dimension):
    """Return the positions of a picket fence (a subgroup of about sqrt d positions) and of its dual in the Hadamard half."""
    bits = dimension.bit_length() - 1
    fence = np.arange(0, dimension, 2 ** (bits - bits // 2))
    dual = np.arange(2 ** (bits - bits // 2))
    return np.concatenate([fence, dimension + dual])


@check("dfp.l1/general_bound", instances(1000, of="codes"))
def general_bound(setting):
    """Count misses below the general bound on simplex frames, orthobases and coherence-optimised dictionaries."""
    draw = setting.numpy("general_bound")
    simplex = [dictionaries.simplex_frame(d) for d in range(3, 16)]
    signed = [*map(dictionaries.identity_hadamard, (8, 16, 32)), *_optimised(setting, 50)[::15]]
    misses = []
    for instance in range(1000):
        one_sign = instance % 2 == 0
        family = simplex if one_sign else signed
        D = family[instance // 2 % len(family)]
        support = draw.choice(D.shape[1], draw.integers(1, _unique_sparsity(D) + 1), replace=False)
        signs = 1.0 if one_sign else _random_signs(draw, len(support))
        misses.append(_missed(D, _code(draw, D.shape[1], support, signs)))
    control = sum(_missed(D, _code(draw, D.shape[1], draw.choice(D.shape[1], D.shape[1] // 2 + 1, replace=False), 1.0))
                  for D in simplex)
    return Measurement(sum(misses), control, count=len(misses))


# ---- greedy recovery (Tropp, 2004) ----

@check("dfp.tropp/greedy", instances(1000, of="codes"))
def greedy(setting):
    """Count codes whose support orthogonal matching pursuit misses below the general bound, and (control) beyond it."""
    draw = setting.numpy("greedy")
    simplex = [dictionaries.simplex_frame(d) for d in range(3, 16)]
    family = [*simplex, *map(dictionaries.identity_hadamard, (8, 16, 32)), *_optimised(setting, 50)[::15]]
    inside = [family[instance % len(family)] for instance in range(1000)]
    missed = [_greedy_misses(D, _code(draw, D.shape[1], draw.choice(D.shape[1], s, replace=False), _random_signs(draw, s)))
              for D in inside for s in [int(draw.integers(1, _unique_sparsity(D) + 1))]]
    beyond = [_greedy_misses(D, _code(draw, D.shape[1], np.arange(D.shape[1] // 2 + 1), 1.0)) for D in simplex]
    return Measurement(sum(missed), sum(beyond), count=len(missed))


def _greedy_misses(D, code):
    found = pursuit.matching_pursuit(D, (D @ code)[None], np.count_nonzero(code))[0]
    return bool(((found != 0) != (code != 0)).any())


# ---- stability of the LASSO ----

@check("dfp.eq4/any_lambda", examples(1, of="signals"))
def any_lambda(setting):
    """Compare error and bound on the named adverse instance, for a small and (control) a larger lambda."""
    D = dictionaries.simplex_frame(31)
    code = np.zeros(32)
    code[0] = 10.0
    adverse = D @ np.concatenate([np.full(15, -1.0), np.full(17, 15 / 17)])
    x = D @ code + 0.1 * adverse / np.linalg.norm(adverse)
    small, large = (_lasso(D, x, [weight], gap=1e-12)[:, 0] for weight in (0.001, 0.1))
    return Measurement(_error_over_bound(D, x, code, small, 0.1), _error_over_bound(D, x, code, large, 0.1), count=1)


def _lasso(D, x, lambdas, gap=1e-10):
    """Return minimisers of ||x - D w||^2 + lambda ||w||_1 (no factor 1/2, as printed), one column for each lambda."""
    _, codes, gaps = lasso_path(D, x, alphas=np.asarray(lambdas) / (2 * len(x)), tol=1e-14, max_iter=1_000_000)
    # scikit-learn halves the objective and divides it by the number of rows.
    if (worst := 2 * len(x) * gaps.max()) > gap:
        raise ArithmeticError(f"duality gap = {worst:.1e} exceeds {gap:.0e}; raise max_iter")
    return codes


def _error_over_bound(D, x, code, estimate, noise, residual=None):
    """Return error^2 (1 - mu (4 s - 1)) / (noise + residual)^2 as printed, at most 1 where the theorem holds."""
    residual = np.linalg.norm(x - D @ estimate) if residual is None else residual
    room = 1 - float(dictionaries.mutual_coherence(D)) * (4 * np.count_nonzero(code) - 1)
    if room <= 0:
        raise ValueError(f"sparsity = {np.count_nonzero(code)} is outside the theorem's condition; draw fewer nonzeros")
    return ((estimate - code) ** 2).sum() * room / (noise + residual) ** 2


@check("dfp.eq4/residual_delta", instances(1000, of="signals"))
def residual_delta(setting):
    """Compare error and bound where the residual is at least the noise."""
    draw = setting.numpy("residual_delta")
    found = [_stability_instance(draw, *family, adverse=bool(instance % 2))
             for family, count in _stability_families() for instance in range(count)]
    return Measurement(*np.max(found, axis=0), count=len(found))


def _stability_families():
    """The six families (dictionary, sparsity) of the catalogue with the number of instances of each, 1,000 in all."""
    hadamard, simplex = dictionaries.identity_hadamard, dictionaries.simplex_frame
    families = [(hadamard(16), 1), (hadamard(64), 1), (hadamard(64), 2), *((simplex(15), s) for s in (1, 2, 3))]
    return zip(families, (167, 167, 167, 167, 166, 166), strict=True)


def _stability_instance(draw, D, sparsity, adverse):
    support = draw.choice(D.shape[1], sparsity, replace=False)
    code = _code(draw, D.shape[1], support, _random_signs(draw, sparsity))
    noise = 0.1 * np.linalg.norm(code)
    direction = -D @ np.sign(code) if adverse else draw.normal(size=D.shape[0])
    x = D @ code + noise * direction / np.linalg.norm(direction)
    estimate = _smallest_lambda_with_residual_above(D, x, noise)
    return (_error_over_bound(D, x, code, estimate, noise),
            _error_over_bound(D, x, code, np.zeros_like(code), noise, residual=noise))


def _smallest_lambda_with_residual_above(D, x, noise):
    """Return the LASSO solution for the last lambda of 0.8^i max|2 D^T x| before the residual falls below the noise."""
    codes = _lasso(D, x, np.abs(2 * D.T @ x).max() * 0.8 ** np.arange(24))
    below = np.flatnonzero(np.linalg.norm(x[:, None] - D @ codes, axis=0) < noise)
    if not len(below):
        raise ArithmeticError("the residual stays above the noise on the whole path; take more values of lambda")
    return codes[:, below[0] - 1]


# ---- the frame potential ----

@check("dfp.eq12/below_coherence", instances(10_015, of="dictionaries"))
def below_coherence(setting):
    """Compare F^2 with mu^2 on Gaussian dictionaries, chains with their structural N, and simplex frames."""
    draw = setting.numpy("below_coherence")
    found = [(D, _pairs(D)) for D in (_gaussian(draw) for _ in range(5000))]
    found += [_random_chain(draw) for _ in range(5000)]
    simplex = [(D, _pairs(D)) for D in map(dictionaries.simplex_frame, SIMPLEX_SIZES)]
    return Measurement(max(map(_excess, found + simplex)), max(_excess((D, pairs // 2)) for D, pairs in simplex),
                       count=len(found) + len(simplex))


def _pairs(D):
    return D.shape[1] * (D.shape[1] - 1)


def _excess(entry):
    D, pairs = entry
    return dictionaries.frame_energy(D) / pairs - dictionaries.mutual_coherence(D) ** 2


def _random_chain(draw):
    """Return the dictionary of Eq. 6 for a chain of 2-4 layers of 2-5 units, and its structural number of pairs."""
    widths = draw.integers(2, 6, size=draw.integers(3, 6))
    rows, columns = np.cumsum([0, *widths[:-1]]), np.cumsum([0, *widths[1:]])
    D = np.zeros((rows[-1], columns[-1]))
    for j, (below, above) in enumerate(zip(widths, widths[1:], strict=False)):
        D[rows[j]:rows[j] + below, columns[j]:columns[j] + above] = draw.normal(size=(below, above))
        if j + 2 < len(widths):
            D[rows[j + 1]:rows[j + 1] + above, columns[j]:columns[j] + above] = -np.eye(above)
    support = (D != 0).astype(float)
    return D, int(((support.T @ support) > 0).sum() - D.shape[1])


@check("dfp.etf/simplex", examples(20, of="frames"))
def simplex(setting):
    """Compare F^2 with mu^2 on equiangular tight frames; control on random frames of the same sizes."""
    draw = setting.numpy("simplex")
    frames = [*map(dictionaries.simplex_frame, range(2, 21)), dictionaries.six_lines()]
    return Measurement(max(abs(_excess((D, _pairs(D)))) for D in frames),
                       min(abs(_excess((D, _pairs(D)))) for D in (draw.normal(size=frame.shape) for frame in frames)),
                       count=len(frames))


@check("dfp.one_sided/same_bound", instances(10_015, of="dictionaries"))
def same_bound(setting):
    """Compare one-sided coherence with F on dictionaries of unequal norms; control divides by the larger norm."""
    draw = setting.numpy("same_bound")
    found = [_gaussian(draw, np.exp) for _ in range(10_000)] + [*map(dictionaries.simplex_frame, SIMPLEX_SIZES)]
    return Measurement(min(dictionaries.one_sided_coherence(D) - dictionaries.frame_potential(D) for D in found),
                       min(_by_larger_norm(D) - dictionaries.frame_potential(D) for D in found), count=len(found))


def _by_larger_norm(D):
    squares = (D**2).sum(0)
    products = np.abs(D.T @ D) / np.maximum.outer(squares, squares)
    return (products - np.diag(np.diag(products))).max()


@check("dfp.strongly_convex/midpoint", instances(1000, of="pairs of dictionaries"))
def midpoint(setting):
    """Compare F^2 at the midpoint of A and QA with the mean of its values at the ends."""
    draw = setting.numpy("midpoint")
    ends = dictionaries.minimize_frame_potential(draw.normal(size=(1000, 4, 9))).best
    rotated = _rotations(draw, 1000, 4) @ ends
    squared = [[dictionaries.frame_potential(D) ** 2 for D in designs] for designs in (ends, rotated, (ends + rotated) / 2)]
    norms = [(designs**2).sum((1, 2)) for designs in (ends, rotated, (ends + rotated) / 2)]
    return Measurement(_convexity(*squared).min(), _convexity(*norms).min(), count=len(ends))


def _convexity(first, second, middle):
    return (np.asarray(first) + np.asarray(second)) / 2 - np.asarray(middle)


def _rotations(draw, count, dimension):
    """Draw rotations (determinant 1), uniformly, by QR with the signs fixed."""
    Q, R = np.linalg.qr(draw.normal(size=(count, dimension, dimension)))
    Q = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]
    Q[:, :, 0] *= np.linalg.det(Q)[:, None]
    return Q


@check("dfp.strongly_convex/invariance", instances(1000, of="dictionaries"))
def invariance(setting):
    """Compare F^2 before and after an orthogonal map, column signs and scalings; control: any invertible map."""
    draw = setting.numpy("invariance")
    found = []
    for _ in range(1000):
        A = draw.normal(size=(4, 9))
        scales = np.exp(draw.normal(size=9)) * draw.choice([-1.0, 1.0], 9)
        before = dictionaries.frame_potential(A) ** 2
        found.append([abs(dictionaries.frame_potential(Q @ (A * scales)) ** 2 - before)
                      for Q in (_rotations(draw, 1, 4)[0], draw.normal(size=(4, 4)))])
    return Measurement(*np.max(found, axis=0), count=len(found))


@check("dfp.benedetto/all_seeds", instances(300, of="starts"))
def all_seeds(setting):
    """Run gradient descent from 100 random starts at each of three sizes; control: the same descent on coherence."""
    draw = setting.numpy("all_seeds")
    starts = [draw.normal(size=(100, d, k)) for d, k in ((4, 9), (8, 12), (16, 64))]
    excess = [_frame_excess(D) for start in starts for D in dictionaries.minimize_frame_potential(start).best]
    control = [_coherence_excess(D) for start in starts for D in _descend_coherence(start)]
    return Measurement(max(excess), max(control), count=len(excess))


def _frame_excess(D):
    least = dictionaries.tight_frame_minimum(*D.shape)
    return (dictionaries.frame_energy(D) + D.shape[1]) / least - 1


def _coherence_excess(D):
    return dictionaries.mutual_coherence(D) / dictionaries.welch_bound(*D.shape) - 1


def _descend_coherence(D):
    """The same descent, with the subgradient of the largest |G_ij| in place of the frame potential's gradient."""
    iterations = 300
    step = D.shape[-2] / (8 * D.shape[-1])
    D = D / np.linalg.norm(D, axis=-2, keepdims=True)
    batch = np.arange(len(D))
    for _ in range(iterations):
        products = np.swapaxes(D, 1, 2) @ D * (1 - np.eye(D.shape[-1]))
        i, j = np.unravel_index(np.abs(products).reshape(len(D), -1).argmax(1), products.shape[1:])
        sign = np.sign(products[batch, i, j])[:, None]
        gradient = np.zeros_like(D)
        gradient[batch, :, i], gradient[batch, :, j] = sign * D[batch, :, j], sign * D[batch, :, i]
        D = D - step * (gradient - (gradient * D).sum(-2, keepdims=True) * D)
        D = D / np.linalg.norm(D, axis=-2, keepdims=True)
    return D
