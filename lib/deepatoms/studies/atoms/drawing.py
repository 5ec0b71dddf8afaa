"""What the chapter on atoms draws."""

import functools
import math

import numpy as np
import torch

from deepatoms.learning.networks.export import encoded
from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.studies.atoms import sparse_recovery
from deepatoms.theory import dictionaries, pursuit, recovery

SPARSITIES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
NOISES = (0.0, 1.0, 2.0, 3.0)
TRIALS = 60


def shrinkage():
    """ReLU with a bias beside the minimisers of the objective with and without the factor 1/2."""
    threshold = 0.5
    figure, axes = figures.subplots(size=(7, 2.1))
    x = np.linspace(-1, 2, 301)
    relu = np.maximum(x - threshold, 0)
    with_half, without = (_minimiser(x, threshold, each) for each in (1.0, 2.0))
    axes.plot(x, relu, color=COLOURS["sky"], linewidth=6, label="ReLU with bias λ")
    axes.plot(x, with_half, color="black", label="minimiser of ½(w − x)² + λ|w|, w ≥ 0")
    axes.plot(x, without, color=COLOURS["red"], linestyle="--", label="the same without the factor ½")
    axes.set(xlabel="x", ylabel="w", xticks=[-1, 0, threshold / 2, threshold, 1, 2],
             xticklabels=["−1", "0", "λ/2", "λ", "1", "2"])
    axes.legend(loc="upper left")
    return figures.describe(
        figure, "ReLU with bias $\\lambda$ is the minimiser of equation (dfp 1); without the factor one half the threshold is "
        "half as large. (Exact.)",
        "Three curves of w against x. ReLU and the minimiser coincide: zero up to lambda, then a line of slope one. The dashed "
        "curve, without the factor one half, leaves zero already at half of lambda.",
        {"ReLU and the minimiser differ by at most the grid's step": bool(np.abs(relu - with_half).max() <= 0.0025),
         "without the factor the curve leaves zero at half of lambda": abs(x[without > 0].min() - threshold / 2) < 0.02})


def _minimiser(x, threshold, curvature):
    candidates = np.linspace(0, 2, 801)[:, None]
    return candidates[(curvature / 2 * (candidates - x) ** 2 + threshold * candidates).argmin(0), 0]


def three_to_drag():
    """Return the still picture and the data of the figure in which a reader drags atoms of the plane."""
    figure = lines_in_the_plane(3)
    caption = ("Atoms of the plane, and how alike they are: the worst pair decides the coherence, all pairs the frame potential. "
               "All of it is computed on this page.")
    return figures.describe(figure, caption, figure.description), {"angles": [0, 50, 130]}


BENCH = 32  # dimensions of the recovery bench's own dictionaries; the learned one has 64, and all have twice as many atoms


def bench_dictionaries():
    """Return the dictionaries of the recovery bench by name."""
    drawn = dictionaries.normalize(np.random.default_rng(0).normal(size=(BENCH, 2 * BENCH)))
    spread = dictionaries.minimize_coherence(drawn).best
    return {"spikes and Hadamard": dictionaries.identity_hadamard(BENCH), "random": drawn,
            "optimised, one close pair": sparse_recovery.with_close_pair(spread, 0.97),
            "learned from photographs": sparse_recovery.learned_dictionary(seed=0)}


def recovery_bench():
    """Return the still picture and the data of the figure in which three pursuits look for the atoms of a signal."""
    named, chosen, sparsity, noise = bench_dictionaries(), "spikes and Hadamard", 5, 0.5
    figure = _three_pursuits(named[chosen], sparsity, noise)
    data = [{"name": name, "matrix": encoded(torch.from_numpy(D)), "dimension": len(D)} for name, D in named.items()]
    return figure, {"dictionaries": data, "most": BENCH // 2, "chosen": chosen, "sparsity": sparsity, "noise": noise}


def _three_pursuits(D, sparsity, noise):
    draw = np.random.default_rng(0)
    code = sparse_recovery.draw_codes(draw, D.shape[1], sparsity, 1)[:, 0]
    disturbance = draw.normal(size=len(D))
    x = D @ code + noise * disturbance / np.linalg.norm(disturbance)
    level = np.sort(abs(D.T @ x))[-sparsity - 1:][:2].mean()
    found = {"matching pursuit": pursuit.matching_pursuit(D, x[None], sparsity)[0],
             "basis pursuit": sparse_recovery.lasso_codes(D, x[:, None], noise)[:, 0],
             "thresholding": pursuit.hard_threshold(D.T @ x, level)}
    figure, panels = figures.subplots(1, 3, size=(7, 2.6), sharey=True)
    counts = {}
    for panel, (name, estimate) in zip(panels, found.items(), strict=True):
        stems(panel, estimate.round(3), COLOURS["blue"])
        panel.plot(np.flatnonzero(code), code[code != 0], "o", color="black", markersize=7, fillstyle="none")
        largest = np.argsort(-abs(estimate), kind="stable")[:sparsity]
        counts[name] = np.count_nonzero(code[largest])
        panel.set(title=name, xlabel="atom")
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    return figures.describe(
        figure, f"{sparsity} atoms in noise, looked for by three searches: the atoms that each finds, those that it misses and "
        "those that it makes up, and up to how many atoms coherence promises success. All of it is computed on this page.",
        f"Three panels with the same {sparsity} rings, the true code, and the stems of an estimate. Of the {sparsity} atoms are "
        f"found: {told}.")


def lines_in_the_plane(atoms):
    """The best arrangement of lines in the plane, and its coherence beside the Welch bound."""
    figure, (plane, curve) = figures.subplots(1, 2, size=(7, 2.8), width_ratios=[1, 1.25])
    D = dictionaries.planar_frame(atoms)
    for j, (x, y) in enumerate(D.T):
        colour = COLOURS["red"] if j < 2 else COLOURS["blue"]
        plane.plot([-x, x], [-y, y], color=COLOURS["grey"], linewidth=0.8)
        plane.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0,
                                                       "shrinkB": 0})
    plane.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", title=f"{atoms} atoms")
    plane.axis("off")
    best, bound = math.cos(math.pi / atoms), dictionaries.welch_bound(2, atoms)
    sizes = np.arange(2, 13)
    least, bounds = np.cos(np.pi / sizes), np.array([dictionaries.welch_bound(2, int(k)) for k in sizes])
    curve.plot(sizes, least, "o-", color=COLOURS["blue"], label="best possible", markersize=4)
    curve.plot(sizes, bounds, "s--", color=COLOURS["orange"], label="Welch bound", markersize=4)
    curve.plot([atoms, atoms], [best, bound], "o", color="black", markersize=9, fillstyle="none")
    curve.set(xlabel="number of atoms k", ylabel="mutual coherence", ylim=(-0.05, 1.05), xticks=sizes[::2])
    curve.legend(loc="lower right")
    meets = "The bound is met." if best - bound < 1e-9 else "No arrangement meets the bound."
    return figures.describe(
        figure, f"{atoms} atoms in the plane: least coherence {best:.3f}, Welch bound {bound:.3f}. {meets} (Exact.)",
        f"Left, {atoms} arrows in the plane at equal angles of {180 / atoms:.0f} degrees, two neighbours in red. Right, "
        f"coherence against the number of atoms: the best possible rises from 0 at two atoms towards 1; the Welch bound "
        f"lies below it from four atoms on and flattens near 0.7. Rings mark {atoms} atoms.",
        {"the best possible rises, from 0": bool(abs(least[0]) < 1e-9 and (np.diff(least) > 0).all()),
         "the Welch bound lies below it from four atoms on": bool(((least - bounds > 1e-9) == (sizes >= 4)).all()),
         "the bound flattens near 0.7": bool(np.abs(bounds[-3:] - 0.7).max() < 0.05)})


def coherence_of_sizes(draw):
    """Coherence of random and of optimised dictionaries beside the Welch bound."""
    dimension, sizes = 8, (9, 10, 12, 16, 20, 24, 32)
    figure, axes = figures.subplots(size=(7, 2.5))
    starts = [draw.normal(size=(20, dimension, k)) for k in sizes]
    random = np.array([[dictionaries.mutual_coherence(D) for D in start] for start in starts])
    best = [min(map(dictionaries.mutual_coherence, dictionaries.minimize_coherence(start[:4]).best)) for start in starts]
    axes.fill_between(sizes, random.min(1), random.max(1), color=COLOURS["grey"], alpha=0.3, linewidth=0)
    axes.plot(sizes, np.median(random, 1), "o-", color=COLOURS["grey"], label="random (median and range of 20)")
    axes.plot(sizes, best, "o-", color=COLOURS["blue"], label="optimised (best of 4)")
    welch = np.array([dictionaries.welch_bound(dimension, k) for k in sizes])
    axes.plot(sizes, welch, "s--", color=COLOURS["orange"], label="Welch bound")
    axes.plot([dimension + 1], [1 / dimension], "o", color="black", markersize=10, fillstyle="none", label="simplex frame")
    axes.set(xlabel=f"number of atoms in {dimension} dimensions", ylabel="mutual coherence", ylim=(0, 1))
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 0.98))
    return figures.describe(
        figure, f"Random dictionaries lie {np.min(np.median(random, 1) / welch):.1f} times above the Welch bound or more, "
        f"optimised ones at most {np.max(best / welch):.2f} times; of these sizes only the simplex frame meets it. "
        f"({dimension} dimensions, drawn from the seed.)",
        "Coherence against the number of atoms. A grey band of random dictionaries lies high. The optimised curve starts on "
        "the Welch bound at nine atoms, where a ring marks the simplex frame, and lies above it at the other sizes.",
        {"the optimised dictionaries lie nearer to the bound than any random one": bool((best < random.min(1)).all()),
         "only the nine atoms meet the bound": bool(best[0] < welch[0] + 1e-3 and (best[1:] > welch[1:] + 1e-3).all())})


def two_codes_of_one_signal():
    """A picket fence: the same signal from four spikes and from four Hadamard atoms."""
    figure, axes = figures.subplots(3, 1, size=(7, 2.7), sharex=False)
    D = dictionaries.identity_hadamard(16)
    fence = np.zeros(32)
    fence[[0, 4, 8, 12]] = 1
    found = recovery.representations(D, D @ fence, 4)
    other = np.zeros(32)
    support = next(each for each in found if each.min() >= 16)
    other[support] = np.linalg.lstsq(D[:, support], D @ fence, rcond=None)[0]
    for row, (values, title) in zip(axes, ((D @ fence, "the signal"), (fence, "one code: four spikes"),
                                           (other, "another code: four Hadamard atoms")), strict=True):
        stems(row, values, COLOURS["orange"] if row is axes[0] else COLOURS["blue"])
        row.set(ylim=(-0.1, 1.2), yticks=[0, 1])
        row.set_title(title, loc="left", fontsize=10)
    axes[2].set_xlabel("atom: spikes 0 to 15, Hadamard 16 to 31")
    return figures.describe(
        figure, "One signal with two equally sparse codes, at $1/\\mu = 4$ atoms, where uniqueness ends for two orthogonal "
        "bases. (Exact; identity and Hadamard basis, 16 dimensions.)",
        "Three rows of stems. The signal has four equal spikes at equal distances. The first code uses the four spike "
        "atoms there. The second uses four Hadamard atoms and no spike at all.")


def stems(axes, values, colour, **options):
    """Draw nonzero values as stems on a thin line of ink."""
    positions = np.flatnonzero(np.abs(values) > 1e-9)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.vlines(positions, 0, values[positions], color=colour, linewidth=2)
    axes.plot(positions, values[positions], "o", color=colour, markersize=5, **options)
    axes.set_xlim(-0.03 * len(values), 1.02 * len(values))


def descents(draw):
    """Frame potential and coherence along gradient descent on the frame potential."""
    dimension, atoms, starts = 4, 9, 30
    figure, (left, right) = figures.subplots(1, 2, size=(7, 2.4))
    D = dictionaries.normalize(draw.normal(size=(dimension, atoms * starts))).reshape(dimension, starts, atoms).swapaxes(0, 1)
    steps, energies, coherences = [0], [], []
    least, welch = dictionaries.tight_frame_minimum(dimension, atoms), dictionaries.welch_bound(dimension, atoms)
    while True:
        energies.append([(dictionaries.frame_energy(each) + atoms) / least - 1 for each in D])
        coherences.append([dictionaries.mutual_coherence(each) for each in D])
        if steps[-1] == 160:
            break
        D = dictionaries.minimize_frame_potential(D, 8).best
        steps.append(steps[-1] + 8)
    left.semilogy(steps, np.maximum(energies, 1e-16), color=COLOURS["blue"], linewidth=0.9, alpha=0.7)
    left.set(xlabel="steps", title="excess of frame energy", ylim=(1e-16, 2))
    right.plot(steps, coherences, color=COLOURS["red"], linewidth=0.9, alpha=0.7)
    right.axhline(welch, color="black", linestyle="--", linewidth=1.2)
    right.text(160, welch - 0.02, "Welch bound", ha="right", va="top")
    right.set(xlabel="steps", title="mutual coherence", ylim=(0, 1))
    return figures.describe(
        figure, f"Descent on the frame potential reaches the least value from all {starts} random starts; coherence stays at "
        f"{np.min(coherences[-1]) / welch:.1f} times its own bound or more. ({atoms} atoms in {dimension} dimensions.)",
        "Left, curves of the excess over the least frame energy fall on a logarithmic axis down to rounding. Right, the "
        "coherence of the same dictionaries ends above the dashed Welch bound.",
        {"every start ends within 1e-6 of the least frame energy": bool(np.max(energies[-1]) < 1e-6),
         "every coherence ends at 1.3 times the Welch bound or more": bool(np.min(coherences[-1]) > 1.3 * welch)})


def galleries(learned, random):
    """Learned and random atoms as small pictures, and the distribution of their cosines."""
    figure, axes = figures.subplots(1, 3, size=(7, 2.5), width_ratios=[1, 1, 1.35])
    for place, D, title in zip(axes, (learned, random), ("learned", "random"), strict=False):
        place.imshow(mosaic(D[:, :64]), cmap="gray")
        place.set_title(title)
        place.axis("off")
    bins = np.linspace(0, 1, 41)
    largest = {}
    for D, colour, name in ((learned, "blue", "learned"), (random, "grey", "random")):
        cosines = np.abs(dictionaries.gram(D)[np.triu_indices(D.shape[1], 1)])
        largest[name] = cosines.max()
        axes[2].hist(cosines, bins, density=True, histtype="step", linewidth=1.8, color=COLOURS[colour], label=name)
        axes[2].plot([cosines.max()], [0.02], "v", color=COLOURS[colour], markersize=7, clip_on=False)
    welch = dictionaries.welch_bound(*learned.shape)
    axes[2].axvline(welch, color=COLOURS["orange"], linestyle="--", label="Welch bound")
    axes[2].set(xlabel="|cosine| of two atoms", ylabel="density", yscale="log", ylim=(0.01, 30))
    axes[2].legend()
    return figures.describe(
        figure, f"Learned atoms are edges and waves, and some pairs are close: the largest cosine (triangle) is "
        f"{largest['learned']:.2f}, of random atoms {largest['random']:.2f}, and the Welch bound is {welch:.2f}. "
        f"({learned.shape[1]} atoms of {learned.shape[0]} pixels.)",
        "Two mosaics of sixty-four atoms: the learned ones show oriented edges and waves, the random ones noise. Histogram "
        "of absolute cosines on a logarithmic axis: learned atoms have a long tail to the right, where a triangle marks the "
        "largest; the random tail ends sooner; a dashed line to the left is the Welch bound.",
        {"the closest pair is closer among learned atoms than among random ones": bool(largest["learned"] > largest["random"]),
         "the closest random pair is at twice the Welch bound or more": bool(largest["random"] > 2 * welch)})


def mosaic(D):
    """Return atoms as one picture, each scaled to its own largest magnitude, a white line between neighbours."""
    columns = 8
    side = math.isqrt(D.shape[0])
    tiles = (D / np.abs(D).max(0)).T.reshape(-1, columns, side, side)
    return np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=1.0).swapaxes(1, 2).reshape(
        len(tiles) * (side + 1), columns * (side + 1))[:-1, :-1]


def guarantee_and_practice(named, patches, draw):
    """What greedy pursuit recovers, dictionary by dictionary, beside what coherence certifies."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 2.6))
    limits, first, last = {}, {}, {}
    for (name, D), colour, mark in zip(named.items(), ("blue", "grey", "orange"), "os^", strict=False):
        rates = [sparse_recovery.greedy_recovery(D, s, draw, 60) for s in SPARSITIES]
        left.plot(SPARSITIES, rates, f"{mark}-", color=COLOURS[colour], label=name, markersize=4)
        limits[name] = dictionaries.uniqueness_threshold(float(dictionaries.mutual_coherence(D)))
        left.axvline(limits[name], color=COLOURS[colour], linestyle=":", linewidth=1.4)
        kept = [sparse_recovery.support_stability(D, patches, s, 0.1, draw) for s in SPARSITIES]
        right.plot(SPARSITIES, kept, f"{mark}-", color=COLOURS[colour], markersize=4)
        first[name] = max(size for size, rate in zip(SPARSITIES, rates, strict=True) if rate == 1)
        last[name] = kept[-1]
    left.set(xlabel="atoms in the code", title="supports found exactly", ylim=(-0.03, 1.05), xticks=[1, 8, 16, 24])
    right.set(xlabel="atoms in the code", title="atoms chosen again", ylim=(-0.03, 1.05), xticks=[1, 8, 16, 24])
    right.legend(*left.get_legend_handles_labels(), loc="lower left")
    return figures.describe(
        figure, f"Practice and guarantee (dotted): all 60 codes are found up to {_each(first)} atoms, and certified below "
        f"{_each(limits, '.1f')}. On held-out patches, under noise of one tenth of their norm, codes of "
        f"{SPARSITIES[-1]} atoms keep {_each(last, '.0%')} of them. (Laptop: 60 codes a point; {patches.shape[1]} patches.)",
        "Left, the share of random supports found exactly against the number of atoms, one curve a dictionary; dotted vertical "
        f"lines, the certified limits, at {_each(limits, '.1f')}. Right, the share of atoms chosen again after noise on "
        "held-out patches.",
        {"every certified code is found": all(first[name] >= max(s for s in SPARSITIES if s < limits[name]) for name in named),
         "no dictionary keeps nine tenths of its longest codes under noise": max(last.values()) < 0.9})


def _each(values, digits="d"):
    """Return the values of named dictionaries as words."""
    return ", ".join(f"{value:{digits}} ({name})" for name, value in values.items())


@functools.lru_cache(maxsize=2)
def _trials(seed):
    """Solve the LASSO for every sparsity and noise of the explorer; the codes, the estimates and the rates."""
    draw, D = np.random.default_rng([seed, 7]), dictionaries.identity_hadamard(64)
    solved = {}
    for sparsity in SPARSITIES:
        codes = sparse_recovery.draw_codes(draw, D.shape[1], sparsity, TRIALS)
        disturbance = draw.normal(size=(D.shape[0], TRIALS))
        disturbance /= np.linalg.norm(disturbance, axis=0)
        for noise in NOISES:
            solved[sparsity, noise] = codes, disturbance, _solve(D, codes, disturbance, noise)
    return solved


def _solve(D, codes, disturbance, noise):
    estimates = sparse_recovery.lasso_codes(D, D @ codes + noise * disturbance, noise)
    return estimates, float(sparse_recovery.largest_are_true(codes, estimates).mean())


def recovery_frame(sparsity, noise):
    """One code and its LASSO estimate, and the rate of recovery beside the theorem's limits."""
    seed = 0
    figure, (code, rate) = figures.subplots(1, 2, size=(7, 2.8), width_ratios=[1.25, 1])
    solved = _trials(seed)
    codes, _, (estimates, share) = solved[sparsity, noise]
    mu = 1 / 8
    stems(code, estimates[:, 0].round(3), COLOURS["blue"], label="LASSO")
    code.plot(np.flatnonzero(codes[:, 0]), codes[codes[:, 0] != 0, 0], "o", color="black", markersize=9, fillstyle="none",
              label="true")
    code.set(xlabel="atom", ylim=(-2.6, 3.4), title=f"{sparsity} of 128 atoms, noise {noise:g}")
    code.legend(loc="upper right", ncols=2, columnspacing=0.8, handletextpad=0.2)
    stable, unique, bases = dictionaries.stability_threshold(mu), dictionaries.uniqueness_threshold(mu), 1 / mu
    rate.axvspan(0.5, stable, color=COLOURS["green"], alpha=0.25, linewidth=0)
    for limit in (unique, bases):
        rate.axvline(limit, color=COLOURS["orange"], linestyle="--", linewidth=1.2)
    rate.plot(SPARSITIES, [solved[s, noise][2][1] for s in SPARSITIES], "o-", color=COLOURS["blue"], markersize=4)
    rate.plot([sparsity], [share], "o", color="black", markersize=10, fillstyle="none")
    rate.set(xlabel="atoms in the code", title="supports found", ylim=(-0.03, 1.05), xticks=[1, 8, 16, 24], xlim=(0.5, 24.5))
    covered = _covered(sparsity, stable, unique, bases)
    return figures.describe(
        figure, f"{sparsity} of 128 atoms, noise {noise:g}: {share:.0%} of the supports found; {covered}. "
                f"({TRIALS} draws in 64 dimensions.)",
        f"Left, a true code of {sparsity} entries as rings and the estimate as stems. Right, the share of supports found "
        f"against the number of atoms at noise {noise:g}; a green band up to {stable:g} atoms is covered by the stability "
        f"theorem; dashed lines at {unique:g} and {bases:g} are the limits of uniqueness in general and "
        f"for two bases. The ring marks {sparsity} atoms, {share:.0%}.")


def _covered(sparsity, stable, unique, bases):
    """Say which promise covers a sparsity: the general ones, or that of two orthogonal bases."""
    if sparsity < stable:
        return "inside the stability theorem"
    if sparsity < unique:
        return "beyond the stability theorem, unique for every dictionary of this coherence"
    return "unique for two orthogonal bases" if sparsity < bases else "beyond these guarantees"
