"""Section 1.5: sparsity, singular values, condition number and energy of D and I + D."""

import functools

import numpy as np

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, check, examples, instances
from deepatoms.studies.skip_dictionaries.checks.ranks import small
from deepatoms.theory import skip_dictionaries as skip

N = 64


@functools.lru_cache
def draws(setting, scale, count=10, n=N):
    """Return the Gaussian matrices that the checks of a scale share."""
    return skip.gaussian(n, scale, setting.numpy(f"gaussian {scale} {n}"), count)


@functools.lru_cache
def rotations(setting, n=N):
    """Return ten orthogonal matrices."""
    return skip.orthogonal(n, setting.numpy(f"orthogonal {n}"), 10)


def masked(setting, D):
    """Set the rows to 0 where (D h)_i <= 0, for a Gaussian h: the matrix of a ReLU layer at that input."""
    h = setting.numpy("mask").normal(size=D.shape[-1])
    return D * (D @ h > 0)[..., None]


# ---- rsc.sparsity ----

@check("rsc.sparsity/fewer_nonzeros", instances(4, "matrices"))
def fewer_nonzeros(setting):
    """Count the nonzeros of D and of I + D for four kinds of D."""
    D, keep = draws(setting, 1.0)[0], setting.numpy("5 %").random((N, N)) < 0.05
    crafted = D.copy()
    crafted[np.arange(8), np.arange(8)] = -1
    kinds = (D, masked(setting, D), D * keep, np.zeros((N, N)))
    return Measurement(max(_gained(kind) for kind in kinds), _gained(crafted), count=len(kinds))


def _gained(D):
    return int((skip.residual_dictionary(D) != 0).sum() - (D != 0).sum())


@check("rsc.sparsity/count", EXHAUSTIVE)
def count(setting):
    """Compare counted nonzeros with the formula; in the control the term of the entries -1 is left out."""
    D = small()[0].astype(float)
    counted = (skip.residual_dictionary(D) != 0).sum((1, 2)) - (D != 0).sum((1, 2))
    zeros = (np.diagonal(D, axis1=1, axis2=2) == 0).sum(1)
    return Measurement((counted != skip.nonzeros_gained(D)).sum(), (counted != zeros).sum())


@check("rsc.sparsity/hoyer", instances(30, "matrices"))
def hoyer(setting):
    """Take the smallest rise of the Hoyer index from D to I + D; D with -1 on its diagonal is the control."""
    D = np.concatenate([draws(setting, scale) for scale in (0.1, 0.5, 1.0)])
    crafted = D * (1 - np.eye(N)) - np.eye(N)
    return Measurement(*((skip.hoyer_index(skip.residual_dictionary(kind)) - skip.hoyer_index(kind)).min()
                         for kind in (D, crafted)), count=len(D))


# ---- rsc.fig2 ----

@check("rsc.fig2/centre", instances(10, "matrices"))
def centre(setting):
    """Take the mean singular value of I + D; that of D is the control."""
    D = draws(setting, 0.5)
    return Measurement(*(skip.singular_values(kind).mean() for kind in (skip.residual_dictionary(D), D)),
                       vacuous=True, count=len(D))


@check("rsc.fig2/disc", instances(10, "matrices"))
def disc(setting):
    """Take the largest distance of the eigenvalues of I + D from 1; from 0 as control."""
    eigenvalues = np.linalg.eigvals(skip.residual_dictionary(draws(setting, 0.5)))
    return Measurement(*(abs(eigenvalues - point).max(1).mean() for point in (1, 0)), vacuous=True, count=len(eigenvalues))


# ---- singular values ----

@functools.lru_cache
def _families(setting):
    """Return (D, sigma(D), sigma(I + D)): 20,000 matrices, n = 2 to 8, half symmetric, and diag(1,0), diag(-1,0)."""
    draw, families = setting.numpy("families"), []
    for n, some in zip(range(2, 9), (2858, *[2857] * 6), strict=True):
        D = skip.gaussian(n, 1.0, draw, some) * draw.uniform(0.1, 4, some)[:, None, None]
        D[::2] = (D[::2] + D[::2].transpose(0, 2, 1)) / np.sqrt(2)
        families.append(np.concatenate([D, [np.diag([1.0, 0.0]), np.diag([-1.0, 0.0])]]) if n == 2 else D)
    return [(D, skip.singular_values(D), skip.singular_values(skip.residual_dictionary(D))) for D in families]


def _largest(setting, *excesses):
    """Measure the largest of what is claimed to be small and that of the control, over all families."""
    families = _families(setting)
    return Measurement(*(max(float(excess(*family).max()) for family in families) for excess in excesses),
                       count=sum(len(D) for D, _, _ in families))


@check("rsc.singular_values_upper/violations", instances(20_000, "matrices"))
def upper(setting):
    """Take the largest excess of sigma_L(I + D) over 1 + sigma_L(D); over 1 + sigma_{L+1}(D) as control."""
    return _largest(setting, lambda D, before, after: after - 1 - before,
                    lambda D, before, after: after[:, :-1] - 1 - before[:, 1:])


@check("rsc.singular_values_lower/violations", instances(20_000, "matrices"))
def lower(setting):
    """Take the largest excess of 1 - sigma_L(D) over sigma_L(I + D); the control keeps to 2 L - 1 <= n."""
    return _largest(setting, lambda D, before, after: 1 - before - after,
                    lambda D, before, after: (1 - before - after)[:, :(D.shape[-1] + 1) // 2])


@check("rsc.singular_values_lower/weyl", instances(20_000, "matrices"))
def weyl(setting):
    """Take the largest excess of 1 - sigma_{n+1-L}(D) over sigma_L(I + D); the control takes n + 2 - L."""
    return _largest(setting, lambda D, before, after: skip.weyl_bounds(D)[0] - after,
                    lambda D, before, after: 1 - before[:, :0:-1] - after[:, 1:])


@check("rsc.concentrated/he_scale", instances(10, "matrices"))
def he_scale(setting):
    """Take the largest distance of the singular values of I + D from 1 at He's scale; s = 0.1 is the control."""
    found, control = (_distance(draws(setting, scale)) for scale in (1.41, 0.1))
    return Measurement(found.mean(), control.mean(), count=len(found))


def _distance(D):
    return abs(skip.singular_values(skip.residual_dictionary(D)) - 1).max(-1)


@check("rsc.concentrated/norm_bound", instances(20_000, "matrices"))
def norm_bound(setting):
    """Divide that distance by the norm of D; by its spectral radius as control."""
    return _largest(setting, lambda D, before, after: abs(after - 1).max(1) / before[:, 0],
                    lambda D, before, after: abs(after - 1).max(1) / _radius(D))


def _radius(D):
    return abs(np.linalg.eigvals(D)).max(-1)


# ---- condition number ----

@check("rsc.condition/all_scales", instances(801, "matrices"))
def all_scales(setting):
    """Count matrices whose condition number falls, over scales, reflections and one diagonal matrix."""
    scales = {scale: _falls(draws(setting, scale, 100)) for scale in (0.1, 0.5, 0.9, 1.0, 1.41, 2.0, 4.0)}
    mirrored = _falls(skip.reflection(setting.numpy("mirrors").normal(size=(100, N))))
    crafted = _falls(np.diag([-0.99, -0.5])[None])
    falls = np.concatenate([*scales.values(), mirrored, crafted])
    return Measurement(falls.mean(), np.concatenate([scales[0.1], scales[0.5]]).mean(), count=len(falls))


def _falls(D):
    return skip.condition_number(skip.residual_dictionary(D)) < skip.condition_number(D)


@check("rsc.condition/contraction_gaussian", instances(100, "matrices"))
def contraction_gaussian(setting):
    """Divide the median condition number of D by that of I + D at s = 0.25; s = 4 is the control."""
    drawn = [draws(setting, scale, 100) for scale in (0.25, 4.0)]
    medians = [[np.median(skip.condition_number(kind)) for kind in (D, skip.residual_dictionary(D))] for D in drawn]
    return Measurement(*(before / after for before, after in medians), count=len(drawn[0]))


@check("rsc.condition/bound", instances(2000, "matrices"))
def condition_bound(setting):
    """Divide the condition number of I + D by its bound; the control bounds by the spectral radius."""
    draw, ratios = setting.numpy("bound"), [_over_bound(np.diag([0.5, -0.5]), 0.5)]
    for n in draw.integers(2, 65, 2000):
        D, norm = draw.normal(size=(n, n)), draw.uniform(0, 0.999)
        ratios.append(_over_bound(D * (norm / np.linalg.norm(D, 2)), norm))
    nilpotent = np.array([[0.0, 0.9], [0.0, 0.0]])
    return Measurement(max(ratios), _over_bound(nilpotent, _radius(nilpotent)), count=len(ratios))


def _over_bound(D, size):
    return float(skip.condition_number(skip.residual_dictionary(D)) / skip.condition_bound(float(size)))


# ---- energy ----

def _k90_rise(D):
    return (skip.energy_dimensions(skip.residual_dictionary(D)) - skip.energy_dimensions(D)).mean()


@check("rsc.energy/together", examples(1, of="matrices"))
def together(setting):
    """Count which of condition number and k90 fall for one diagonal matrix; for the Gaussian draws as control (most)."""
    crafted = np.diag(np.r_[np.ones(32), np.full(31, -0.5), 0.01])
    return Measurement(*(max(_falling(D)) for D in (crafted[None], draws(setting, 0.5))), count=1)


def _falling(D):
    """Return for each matrix how many of its condition number and its k90 the identity lowers."""
    raised = skip.residual_dictionary(D)
    return sum((measure(raised) < measure(D)).astype(int) for measure in (skip.condition_number, skip.energy_dimensions))


@check("rsc.energy/k90", instances(10, "matrices"))
def k90(setting):
    """Take the mean rise from D to I + D of the number of singular values with 90 % of the energy."""
    D = draws(setting, 0.5)
    return Measurement(_k90_rise(D), _k90_rise(rotations(setting)), count=len(D))


@check("rsc.energy/opposite", instances(30, "matrices"))
def opposite(setting):
    """Take the smallest of these mean rises over two scales and the ReLU mask; orthogonal D is the control."""
    kinds = (draws(setting, 0.1), draws(setting, 0.5), masked(setting, draws(setting, 0.5)))
    return Measurement(min(_k90_rise(D) for D in kinds), _k90_rise(rotations(setting)), count=sum(map(len, kinds)))


@check("rsc.fig3/normalised", instances(10, "matrices"))
def normalised(setting):
    """Take the mean difference between the cumulative shares of energy of I + D and D; orthogonal D is the control."""
    return Measurement(*((skip.energy_shares(skip.residual_dictionary(D)) - skip.energy_shares(D)).mean()
                         for D in (draws(setting, 0.5), rotations(setting))), count=len(draws(setting, 0.5)))


@check("rsc.fig3/unnormalised", instances(10, "matrices"))
def unnormalised(setting):
    """Take the same without division by the total; in the control D is scaled to the energy of I + D."""
    D = draws(setting, 0.5)
    raised = skip.residual_dictionary(D)
    scaled = D * (np.linalg.norm(raised, axis=(1, 2)) / np.linalg.norm(D, axis=(1, 2)))[:, None, None]
    return Measurement(*((_cumulative(raised) - _cumulative(kind)).mean() for kind in (D, scaled)), count=len(D))


def _cumulative(D):
    return np.cumsum(skip.singular_values(D) ** 2, axis=-1)


def _effective_rank_rise(D):
    return (skip.effective_rank(skip.residual_dictionary(D)) - skip.effective_rank(D)).mean()


@check("rsc.steeper/effective_rank", instances(10, "matrices"))
def effective_rank(setting):
    """Take the mean rise of the effective rank from D to I + D, n = 128; orthogonal D is the control."""
    D = draws(setting, 0.25, n=128)
    return Measurement(_effective_rank_rise(D), _effective_rank_rise(rotations(setting, 128)), count=len(D))


@check("rsc.steeper/flatter", instances(60, "matrices"))
def flatter(setting):
    """Take the smallest mean rise over three scales, Gaussian and with ReLU's mask, n = 64; orthogonal D is the control."""
    gaussian = [draws(setting, scale) for scale in (0.1, 0.25, 0.5)]
    kinds = [*gaussian, *(masked(setting, D) for D in gaussian)]
    return Measurement(min(_effective_rank_rise(D) for D in kinds), _effective_rank_rise(rotations(setting)),
                       count=sum(map(len, kinds)))
