"""What the chapter on skip dictionaries draws."""

import copy
import functools
import math

import numpy as np
import torch

from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.pages.tables import Table
from deepatoms.studies.skip_dictionaries import comparison, counterexamples
from deepatoms.studies.skip_dictionaries import representation as recorded
from deepatoms.studies.skip_dictionaries.representation import ATOMS, curve, curves, learned_of
from deepatoms.theory import skip_dictionaries as skip

N = 64
KINDS = ("Gaussian", "orthogonal", "ReLU-masked")
SCALES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.41, 2.0, 4.0)
ANGLES = (0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 175, 180)
NOISES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
DEPTHS = (1, 2, 4, 8)
OF_KIND = dict(zip(comparison.NAMES, ("sky", "blue", "grey", "orange", "green"), strict=True))
BEFORE, AFTER = COLOURS["grey"], COLOURS["blue"]


@functools.cache
def matrix(kind, scale, n=N):
    """Return one matrix D of a kind, the same at every scale up to that factor."""
    draw = np.random.default_rng(0)
    D, h = skip.gaussian(n, 1.0, draw), draw.normal(size=n)
    if kind == "orthogonal":
        return scale * skip.orthogonal(n, draw)
    return scale * D * ((D @ h > 0)[:, None] if kind == "ReLU-masked" else 1)


# ---- activations ----

def activation_spectra(draw):
    """Figure 1: the spectrum of S(h) for several activations, and the mark of the best single S."""
    names = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "tanh": "tanh", "elu": "ELU", "gelu": "GELU",
             "sigmoid": "sigmoid, centred"}
    figure, axes = figures.subplots(2, 3, size=(7, 4), sharex=True)
    a = draw.normal(size=20_000)
    ends, inner = {}, {}
    for axis, (name, title) in zip(axes.flat, names.items(), strict=True):
        spectrum = skip.activation_matrix(name, a, centred=name == "sigmoid")
        ends[title] = spectrum.min(), spectrum.max()
        inner[name] = np.mean((spectrum > 0) & (spectrum < 1))
        axis.hist(spectrum, bins=np.linspace(-0.025, 1.025, 43), color=COLOURS["blue"], weights=np.full(len(a), 1 / len(a)))
        axis.axvline(skip.expected_slope(name), color=COLOURS["red"], linestyle="--")
        axis.set(title=title, yticks=[])
    figure.supxlabel("diagonal entries σ(a)/a of S(h); dashed: the best single S, E σ′(a)")
    return figures.describe(
        figure, "Figure 1 in a definition that makes sense: each input has its own S(h). ReLU's has two atoms, 0 and 1; the "
        "best single matrix, dashed, sits where ReLU has no mass at all. (Gaussian pre-activations.)",
        "Six histograms; the entries run " + "; ".join(f"for {name} from {low:.2f} to {high:.2f}" for name, (low, high)
                                                        in ends.items()) + ". A dashed line marks the mean slope in each.",
        {"ReLU's entries are 0 and 1": bool(inner["relu"] == 0),
         "the best single matrix sits where ReLU has no mass": 0.1 < skip.expected_slope("relu") < 0.9})


# ---- spectra ----

def spectra(draw):
    """Figure 2: eigenvalues in the complex plane and singular values of D and I + D."""
    scale, ends = 0.5, {}
    figure, (plane, histogram) = figures.subplots(1, 2, size=(7, 3.3))
    D = skip.gaussian(N, scale, draw, 10)
    for kind, colour, name in ((D, BEFORE, "D"), (skip.residual_dictionary(D), AFTER, "I + D")):
        ends[name] = [float(end(skip.singular_values(kind))) for end in (np.min, np.max)]
        eigenvalues = np.linalg.eigvals(kind[:2]).ravel()
        plane.plot(eigenvalues.real, eigenvalues.imag, ".", color=colour, markersize=3, label=name)
        histogram.hist(skip.singular_values(kind).ravel(), bins=np.linspace(0, 2, 41), color=colour, alpha=0.7)
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 100))
    for centre in (0, 1):
        plane.plot(centre + scale * circle.real, scale * circle.imag, color="black", linewidth=0.8)
    plane.set(aspect="equal", xlabel="real part", ylabel="imaginary part", title="eigenvalues")
    plane.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=2, markerscale=3)
    histogram.set(xlabel="singular value", yticks=[], title="singular values")
    return figures.describe(
        figure, f"Figure 2 for Gaussian D, n = {N}, s = {scale}: the eigenvalues move from a disc around 0 to one around 1, as "
        "printed; the singular values spread to both sides of 1.",
        "Left, two discs of points of radius one half in the complex plane, one around 0, one around 1. Right, histograms of "
        "singular values: " + "; ".join(f"those of {name} run from {low:.2f} to {high:.2f}" for name, (low, high) in ends.items())
        + ".", {"singular values of I + D lie on both sides of 1": ends["I + D"][0] < 0.8 and ends["I + D"][1] > 1.2})


def weyl_band(draw):
    """The singular values of I + D between Weyl's bounds, and the lower bound as printed."""
    n, scale = 16, 0.6
    figure, axes = figures.subplots(size=(7, 3.2))
    D = skip.gaussian(n, scale, draw)
    D[:, 0] = -np.eye(n)[0]  # an eigenvalue -1: what the printed bound overlooks
    lower, upper = skip.weyl_bounds(D)
    L, sigma, printed = np.arange(1, n + 1), skip.singular_values(skip.residual_dictionary(D)), skip.printed_lower_bound(D)
    axes.fill_between(L, np.maximum(lower, 0), upper, color=COLOURS["sky"], alpha=0.35, linewidth=0, label="Weyl")
    axes.plot(L, sigma, "o-", color=AFTER, markersize=4, label="σ of I + D")
    axes.plot(L, printed, "s--", color=COLOURS["red"], markersize=3, label="printed lower bound")
    axes.set(xlabel="L", ylabel="σ$_L$")
    axes.legend()
    return figures.describe(
        figure, f"Weyl's bounds hold for every L; the lower bound as printed lies above the singular value at "
        f"{int((printed > sigma).sum())} of {n}. (One Gaussian D with an eigenvalue −1.)",
        f"Singular values of I + D fall from {sigma[0]:.1f} to {sigma[-1]:.1f} inside a shaded band. The printed lower bound "
        f"rises with L, from {printed[0]:.1f} to {printed[-1]:.1f}, and crosses them.",
        {"every singular value lies between Weyl's bounds": bool((lower - 1e-9 <= sigma).all() and (sigma <= upper + 1e-9).all()),
         "the printed bound lies above some singular value": bool((printed > sigma).any())})


def conditioning(draw):
    """Median condition numbers of D and I + D against the scale, and the bound for contractions."""
    count = 20
    figure, axes = figures.subplots(size=(7, 3.3))
    scales = np.geomspace(0.05, 4, 14)
    unit = skip.gaussian(N, 1.0, draw, count)
    norm = np.median(np.linalg.norm(unit, 2, axis=(1, 2)))
    alone = np.array([np.median(skip.condition_number(s * unit)) for s in scales])
    added = np.array([np.median(skip.condition_number(skip.residual_dictionary(s * unit))) for s in scales])
    axes.plot(scales, alone, "o-", color=BEFORE, label="D", markersize=3)
    axes.plot(scales, added, "o-", color=AFTER, label="I + D", markersize=3)
    inside = scales[scales * norm < 0.98]
    axes.plot(inside, [skip.condition_bound(float(s * norm)) for s in inside], color=COLOURS["red"], linestyle="--",
              label="(1 + ‖D‖) / (1 − ‖D‖)")
    axes.axvline(math.sqrt(2), color="black", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="scale s (dotted: He initialisation)", ylabel="condition number")
    axes.legend()
    return figures.describe(
        figure, f"The skip connection improves the condition number of Gaussian D, n = {N}, at small scales; the bound speaks "
        f"only where ‖D‖ < 1. (Median of {count}.)",
        f"Condition number against scale, both logarithmic. D: level near {alone[0]:.0f}. I + D: rises from {added[0]:.2f} and "
        f"runs close to D from s = 1.41 on. The dashed bound ends near s = {inside[-1]:.2f}.",
        {"the skip improves the condition number up to s = 0.5": bool((added < alone)[scales <= 0.5].all()),
         "from s = 1.41 on the two medians differ by less than a factor of two":
             bool((abs(np.log2(added / alone))[scales >= comparison.HE] < 1).all())})


def energy_curves():
    """Figure 3: cumulative shares of energy for three kinds of D."""
    figure, axes = figures.subplots(1, 3, size=(7, 3), sharey=True)
    needed = {}
    for axis, (kind, scale) in zip(axes, (("Gaussian", 0.5), ("orthogonal", 1.0), ("ReLU-masked", 0.5)), strict=True):
        D = matrix(kind, scale)
        for shown, colour, name in ((D, BEFORE, "D"), (skip.residual_dictionary(D), AFTER, "I + D")):
            k90 = needed[kind, name] = int(skip.energy_dimensions(shown))
            axis.plot(np.arange(1, N + 1), skip.energy_shares(shown), color=colour, label=f"{name}: {k90}")
        axis.axhline(0.9, color="black", linewidth=0.8, linestyle=":")
        axis.set(title=kind, xlabel="largest k")
        axis.legend(title="90 % in", loc="lower right")
    axes[0].set_ylabel("share of energy")
    ruined = float(skip.condition_number(skip.residual_dictionary(matrix("orthogonal", 1.0))))
    return figures.describe(
        figure, f"Figure 3, normalised: adding the identity spreads the energy of Gaussian and masked D, s = 0.5, and "
        f"concentrates it for orthogonal D, whose condition number goes from 1 to {_number(ruined)}. (n = {N}.)",
        "Three panels of rising curves. Gaussian and ReLU-masked: the curve of I + D lies below that of D. Orthogonal: D is a "
        "straight line and I + D lies above it.",
        {"the identity spreads the energy of Gaussian and masked D":
             all(needed[kind, "I + D"] > needed[kind, "D"] for kind in ("Gaussian", "ReLU-masked")),
         "the identity concentrates the energy of orthogonal D": needed["orthogonal", "I + D"] < needed["orthogonal", "D"]})


def spectrum_of(kind, scale):
    """An explorer's frame: singular values of D and I + D, with condition numbers and k90."""
    D = matrix(kind, scale)
    figure, axes = figures.subplots(size=(7, 3.2))
    said = []
    for spectrum, colour, name in ((D, BEFORE, "D"), (skip.residual_dictionary(D), AFTER, "I + D")):
        kappa, k90 = float(skip.condition_number(spectrum)), int(skip.energy_dimensions(spectrum))
        said.append(f"{name} κ {_number(kappa)}, 90 % of its energy in {k90}")
        axes.plot(np.arange(1, N + 1), skip.singular_values(spectrum), ".-", color=colour, label=name, markersize=4)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="L", ylabel="σ$_L$", ylim=(0, max(2.2, 2.2 * scale + 0.8)))
    axes.legend()
    return figures.describe(figure, f"{kind} D, s = {scale}, n = {N}: {'; '.join(said)}.",
                            f"Falling singular values of {kind} D at scale {scale} and of I + D. {'. '.join(said)}.")


def typed():
    """Return the still picture and the data of the figure into which a reader types a matrix; it begins at minus the identity."""
    D = -np.eye(2)
    figure, axes = figures.subplots(size=(5, 2.2))
    for at, (matrix_, colour, name) in enumerate(((D, BEFORE, "D"), (skip.residual_dictionary(D), AFTER, "I + D"))):
        axes.bar([3 * at, 3 * at + 1], skip.singular_values(matrix_), color=colour, label=name)
    axes.set(xticks=[0.5, 3.5], xticklabels=["D", "I + D"], ylabel="singular values", ylim=(0, 1.3))
    figures.describe(figure, "A matrix D and the same with the identity added: rank, condition number and singular values, and "
                     "which claims it breaks. All of it is computed on this page.",
                     "Two bars of height one for D, minus the identity in the plane, and none for I + D, which is zero.")
    return figure, {"start": "\n".join("  ".join(f"{value:g}" for value in row) for row in D)}


def _number(value):
    return "∞" if math.isinf(value) else format(value, ".3g")


def turned(angle):
    """An explorer's frame: what I + D makes of the unit circle when D turns space about an axis in the picture."""
    figure, axes = figures.subplots(size=(5, 2.8))
    narrow = 2 * math.cos(math.radians(angle) / 2) if angle < 180 else 0.0
    turn = np.linspace(0, 2 * np.pi, 80)
    axes.plot(np.cos(turn), np.sin(turn), color=BEFORE, linewidth=0.8)
    axes.fill(2 * np.cos(turn), narrow * np.sin(turn), color=COLOURS["sky"], alpha=0.35)
    axes.plot(2 * np.cos(turn), narrow * np.sin(turn), color=AFTER)
    axes.set(xlim=(-2.2, 2.2), ylim=(-2.1, 2.1), aspect="equal")
    axes.axis("off")
    kappa = "infinite" if narrow == 0 else f"{2 / narrow:.3g}"
    return figures.describe(
        figure, f"D turns space by {angle}° about the long axis. D has condition number 1; I + D has {kappa}.",
        f"A unit circle and its image under I + D: an ellipse with half axes 2 and {narrow:.2f}.")


# ---- stability and propagation ----

def stability_growth():
    """The recursion's bound, step by step, for several denominators."""
    figure, axes = figures.subplots(size=(7, 3))
    steps, found = np.arange(1, 9), []
    for denominator, colour in ((1.0, "blue"), (0.5, "orange"), (0.25, "red")):
        bounds = skip.stability_recursion(1.0, [1 - denominator] * 8, [1] * 8)
        found.append(bounds)
        axes.plot(steps, bounds, "o-", color=COLOURS[colour], label=f"denominator {denominator:g}", markersize=4)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set(yscale="log", xlabel="layers towards the input", ylabel="bound / ε²")
    axes.legend()
    return figures.describe(
        figure, "The recursion's bound multiplies by at least four a layer: it is never \"the maximum error\". (Exact.)",
        "Three straight lines on a logarithmic scale, rising " + "; ".join(f"from {bounds[0]:g} to {bounds[-1]:.1e}"
                                                                           for bounds in found) + " after eight layers.",
        {"every bound multiplies by at least four a layer": bool((np.diff(np.log(found)) >= math.log(4) - 1e-9).all())})


def kink(noise, depth):
    """An explorer's frame: output error of a one-unit net whose input noise crosses a kink, and three bounds."""
    figure, axes = figures.subplots(size=(7, 3.3))
    weights, biases = [np.diag([2.0, 0.0])] * depth, [np.zeros(2)] * depth
    start, sizes = np.array([-0.1, 0.0]), np.geomspace(0.01, 2, 60)
    errors = np.array([_moved(start, size, weights, biases) for size in sizes])
    corrected = sizes * skip.residual_bound(1.0, weights)
    axes.plot(sizes, corrected, color=COLOURS["green"], label="∏(1 + ‖W‖) ε")
    axes.plot(sizes, errors, color=AFTER, linewidth=2.5, label="actual error")
    axes.plot(sizes, sizes, color=COLOURS["orange"], linestyle="--", label="∏‖I + S(h)W‖ ε, S(h) kept")
    axes.plot(sizes, sizes / 2, color=COLOURS["red"], linestyle="--", label="printed")
    error = _moved(start, noise, weights, biases)
    axes.plot([noise], [error], "o", color="black", fillstyle="none", markersize=10)
    axes.set(xscale="log", yscale="log", xlabel="noise ε", ylabel="output error", ylim=(3e-3, 3e4))
    axes.legend(loc="upper left")
    past = "past the kink at 0.1, where S(h) changes" if noise > 0.1 else "before the kink at 0.1"
    return figures.describe(
        figure, f"{depth} layer{'s' if depth > 1 else ''}, noise {noise:g}, {past}: error {error:.3g}, printed bound "
        f"{noise / 2:.3g}, with S(h) kept {noise:.3g}, corrected {skip.residual_bound(noise, weights):.3g}. (Exact.)",
        f"Output error against noise on logarithmic scales. The error follows the dashed line of S(h) kept up to 0.1 and then "
        f"climbs away, towards the corrected bound above. The printed bound lies below all. A ring marks noise {noise:g}.",
        {"up to the kink the error is the noise": bool(np.allclose(errors[sizes <= 0.1], sizes[sizes <= 0.1])),
         "behind it the error lies above the noise, and not above the corrected bound": bool(
             (errors > sizes)[sizes > 0.1].all() and (errors <= corrected).all()),
         "the printed bound lies below all": bool((sizes / 2 < np.minimum(errors, corrected)).all())})


def _moved(start, size, weights, biases):
    ends = [skip.residual_forward(h, weights, biases) for h in (start, start + [size, 0.0])]
    return float(np.linalg.norm(ends[1] - ends[0]))


def trained_noise(setting, draw):
    """Measured gain of input noise through trained nets of each kind, beside the bounds of the residual one."""
    count = 40
    figure, axes = figures.subplots(size=(7, 3.5))
    sizes = np.geomspace(1e-4, 3, 12)
    x = comparison.digits(setting, "test")[0][0][:count].double().cpu().numpy()
    directions = draw.normal(size=x.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    gains = {}
    for kind, name in comparison.NAMES.items():
        gains[kind] = _gains(comparison.networks(setting, kind)[0], x, directions, sizes)
        axes.plot(sizes, gains[kind], "o-", markersize=3, color=COLOURS[OF_KIND[kind]], label=name)
    weights, biases = _resnet(setting)
    sharp = [max(skip.largest_slope(h, h + size * step, weights, biases)
                 for h, step in zip(x[:8], directions[:8], strict=True)) for size in sizes]
    axes.plot(sizes, sharp, color="black", linewidth=1, label="ResNet: largest slope met (8 images)")
    product = float(skip.residual_bound(1.0, weights))
    axes.axhline(product, color="black", linestyle="--", linewidth=1, label="ResNet: ∏(1 + ‖W‖)")
    axes.set(xscale="log", yscale="log", xlabel="noise ε", ylabel="largest error / ε")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figures.describe(
        figure, f"Noise through trained nets of {comparison.DEPTH} layers: the sparse net, which has no bound of "
        f"this kind, gains {gains['sparse'][0]:.0f} at the least noise and {max(gains['sparse']):.0f} at most. The slope met "
        f"between the two inputs, {max(sharp):.0f}, is a sharper bound for the ResNet than the product of norms, "
        f"{product:.0f}. (Digits, largest of {count} test images, random directions.)",
        "Largest error over noise against noise, logarithmic, one curve a kind of net. A "
        "thin line, the largest slope met, lies below the dashed product of norms.",
        {"the slope met is a sharper bound than the product of norms": max(sharp) < product})


def _gains(net, x, directions, sizes):
    net = copy.deepcopy(net).double().cpu()
    inputs = [torch.from_numpy(x), *(torch.from_numpy(x + size * directions) for size in sizes)]
    ends = [comparison.layer_features(net, one)[-1] for one in inputs]
    return [np.linalg.norm(end - ends[0], axis=1).max() / size for end, size in zip(ends[1:], sizes, strict=True)]


def _resnet(setting):
    net = comparison.networks(setting, "resnet")[0]
    biases = [layer.linear.bias.detach().double().cpu().numpy() for layer in net.layers]
    return comparison.layer_weights(net), biases


# ---- trained nets ----

def trained_conditions(setting):
    """Condition numbers and coherences of the trained layers' dictionaries, layer by layer."""
    figure, axes = figures.subplots(1, 2, size=(7, 3.3))
    layers, middles = np.arange(1, comparison.DEPTH + 1), {}
    for kind, name in comparison.NAMES.items():
        for axis, values in zip(axes, (comparison.condition_numbers, comparison.coherences), strict=True):
            low, middle, high = np.quantile(values(setting, kind), (0.0, 0.5, 1.0), axis=0, method="nearest")
            middles[kind, axis is axes[0]] = middle
            if np.isfinite(high).all():
                axis.fill_between(layers, low, high, color=COLOURS[OF_KIND[kind]], alpha=0.2, linewidth=0)
            if np.isfinite(middle).all():
                axis.plot(layers, middle, "o-", color=COLOURS[OF_KIND[kind]], label=name, markersize=4)
    axes[0].set(yscale="log", xlabel="layer", ylabel="condition number", xticks=layers)
    axes[1].set(xlabel="layer", ylabel="mutual coherence", xticks=layers)
    axes[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    gains = middles["linear", True] / middles["resnet_bn", True]
    return figures.describe(
        figure, "Trained residual layers are better conditioned and less coherent than linear ones. With batch normalisation "
        f"the first layer gains least, a factor of {gains[0]:.1f} against {gains[1:].min():.0f} and more. Median plain ReLU "
        "layers have no finite condition number and are left out on the left. (Digits, median and range over seeds.)",
        "Left, condition number by layer, medians from first to last: " + "; ".join(
            f"{name} {_told(middles[kind, True])}" for kind, name in comparison.NAMES.items()) + ". Right, mutual coherence: "
        + "; ".join(f"{name} {_told(middles[kind, False])}" for kind, name in comparison.NAMES.items()) + ".",
        {"residual layers are better conditioned and less coherent than linear ones in every layer":
             all(bool((middles["resnet", left] < middles["linear", left]).all()) for left in (True, False)),
         "with batch normalisation the first layer gains least": bool(gains[0] < gains[1:].min()),
         "no median condition number of a plain ReLU layer is finite": bool(np.isinf(middles["plain", True]).all())})


def _told(values):
    """Return the first and the last of some numbers as words."""
    return " to ".join(f"{value:.2g}" if np.isfinite(value) else "infinite" for value in (values[0], values[-1]))


def representation(setting):
    """Signal-to-noise ratio of the last layer's features against the number of atoms, own dictionary and K-SVD."""
    members = 3
    figure, axes = figures.subplots(size=(7, 3.5))
    own = {kind: curves(setting, kind)[:members].mean(0) for kind in comparison.NAMES}
    for kind, name in comparison.NAMES.items():
        axes.plot(ATOMS, own[kind], "o-", color=COLOURS[OF_KIND[kind]], label=name, markersize=4)
    learned = {kind: _reference(setting, kind) for kind in ("resnet", "linear")}
    for kind, values in learned.items():
        axes.plot(ATOMS, values, "--", color=COLOURS[OF_KIND[kind]], label=f"K-SVD on {comparison.NAMES[kind]}")
    axes.set(xscale="log", xticks=ATOMS, xticklabels=ATOMS, xlabel="atoms used", ylabel="SNR (dB)")
    axes.minorticks_off()
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figures.describe(
        figure, "A layer's own dictionary represents its features more sparsely in linear and plain nets than in the residual "
        f"ones with ReLU; a dictionary learned by K-SVD is better than any of these, by {_lead(learned, own):.1f} dB or more at "
        f"{ATOMS[-1]} atoms. (Digits, last layer, test images.)",
        "Signal-to-noise ratio against number of atoms, in dB at the largest number: " + "; ".join(
            f"{name} {own[kind][-1]:.1f}" for kind, name in comparison.NAMES.items()) + "; K-SVD on " + "; on ".join(
            f"{comparison.NAMES[kind]} {values[-1]:.1f}" for kind, values in learned.items()) + ".",
        {"linear and plain nets lie above both ResNets at every number of atoms":
             bool((np.minimum(own["linear"], own["plain"]) > np.maximum(own["resnet"], own["resnet_bn"])).all()),
         "K-SVD lies above every net's own dictionary at the largest number of atoms": _lead(learned, own) > 0})


def _lead(learned, own):
    """Return by how much the worst learned dictionary leads the best of the nets' own, with the most atoms."""
    return float(min(values[-1] for values in learned.values()) - max(values[-1] for values in own.values()))


@functools.lru_cache
def _reference(setting, kind):
    return curve(learned_of(setting, kind, 0), comparison.features(setting, kind, "test")[0][-1])


def photographs(records):
    """The recorded comparison on patches of photographs: own dictionaries and K-SVD."""
    figure, axes = figures.subplots(size=(7, 3.5))
    leads = {}
    for record in records:
        kind, (own, learned) = record["configuration"]["kind"], (np.mean(record["result"][name], 0) for name in ("own", "ksvd"))
        axes.plot(ATOMS, own, "o-", color=COLOURS[OF_KIND[kind]], label=comparison.NAMES[kind], markersize=4)
        axes.plot(ATOMS, learned, "--", color=COLOURS[OF_KIND[kind]], linewidth=1)
        leads[kind] = learned - own
    axes.set(xscale="log", xticks=ATOMS, xticklabels=ATOMS, xlabel="atoms used", ylabel="SNR (dB)")
    axes.minorticks_off()
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    made = records[0]["provenance"]
    return figures.describe(
        figure, "The same on 8 × 8 patches of two photographs: solid, a layer's own "
        f"dictionary; dashed, K-SVD on its features. (Recorded {made['date']}, commit {made['commit']}, five seeds.)",
        "Signal-to-noise ratio against number of atoms for five kinds of net. At 16 atoms K-SVD leads the own dictionary by "
        + "; ".join(f"{lead[-1]:.1f} dB ({comparison.NAMES[kind]})" for kind, lead in leads.items()) + ".",
        {"K-SVD lies above the own dictionary in all kinds but the sparse one":
             all(bool((lead > 0).all()) for kind, lead in leads.items() if kind != "sparse")})


def optimisation(setting):
    """Condition number, Jacobian from end to end, and training loss of eight starts of 32 layers, best loss on top."""
    figure, axes = figures.subplots(1, 3, size=(7, 3.8), sharey=True)
    starts = sorted(comparison.DEEP, key=lambda start: comparison.log_losses(setting, *start).mean())
    for place, start in enumerate(starts):
        colour = COLOURS["blue" if start[0] == "resnet" else "orange"]
        axes[0].plot(np.median(comparison.start_conditions(setting, *start)), -place, "s", color=colour)
        low, middle, high = np.quantile(comparison.start_spectra(setting, *start), (0.25, 0.5, 1.0))
        axes[1].plot(np.maximum([low, high], FLOOR), [-place] * 2, color=colour, linewidth=5, alpha=0.5, solid_capstyle="butt")
        axes[1].plot(max(middle, FLOOR), -place, "s", color=colour)
        losses = np.exp(comparison.log_losses(setting, *start))
        axes[2].plot(losses, np.full(len(losses), -place), "o", color=colour, alpha=0.6, markersize=4)
    for axis, title, label in zip(axes, ("each layer", "end to end", "after five epochs"),
                                  ("condition number", "singular values", "training loss"), strict=True):
        axis.set(xscale="log", title=title, xlabel=label)
    axes[1].axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes[0].set(yticks=[-place for place in range(len(starts))], yticklabels=[_start(start) for start in starts])
    return figures.describe(figure, *_optimisation_told(setting, starts))


FLOOR = 1e-17  # below it a singular value is drawn at the edge


def _start(start):
    kind, weights, scale = start
    return f"{'ResNet' if kind == 'resnet' else f'plain, {weights}'}, s = {scale:g}"


def _optimisation_told(setting, starts):
    """Return caption, description and findings of ``optimisation``."""
    losses = {start: comparison.log_losses(setting, *start) for start in starts}
    dead, gaussian, orthogonal, residual = (losses[start] for start in (
        ("plain", "orthogonal", 0.5), ("plain", "Gaussian", comparison.HE), ("plain", "orthogonal", comparison.HE),
        ("resnet", "Gaussian", 0.5)))
    gain, gap = (gaussian - orthogonal).mean(), (gaussian[:len(residual)] - residual).mean()
    conditions, scales = {start: np.median(comparison.start_conditions(setting, *start)) for start in starts}, (0.1, 0.5, 1.0)
    climbing = [losses["resnet", "Gaussian", scale].mean() for scale in (*scales, comparison.HE)]
    return (f"Thirty-two layers, eight starts, best on top. Plain nets at s = 1.41: a condition number of 1 lowers the log loss "
            f"by {gain:.2f}, {gain / gap:.0%} of what residual nets with s = 0.5 gain. At s = 0.5 plain nets stay at ln 10, with "
            "either condition number; residual nets get worse with every larger s. (Digits, a dot a net; squares are "
            "medians, bars run from the lower quartile to the largest singular value.)",
            "Three panels with a row a start. From the top, condition number of a layer and mean log loss: " + "; ".join(
                f"{_start(start)}, {conditions[start]:.3g}, {losses[start].mean():.2f}" for start in starts) + ".",
            {"at s = 1.41 plain nets of condition number 1 train faster than those of 200": bool(gain > 0),
             "at s = 0.5 no plain net trains": bool(abs(np.exp(np.r_[dead, losses["plain", "Gaussian", 0.5]])
                                                        - math.log(10)).max() < 0.01),
             "residual nets get worse with every larger scale": bool((np.diff(climbing) > 0).all()),
             "the residual nets with the smallest scale are best of all": starts[0] == ("resnet", "Gaussian", 0.1),
             "residual nets at He's scale stretch some directions more than a million times":
                 bool(comparison.start_spectra(setting, "resnet", "Gaussian", comparison.HE)[:, 0].min() > 1e6),
             "at He's scale residual layers are better conditioned than plain Gaussian ones":
                 bool(conditions["resnet", "Gaussian", comparison.HE] < conditions["plain", "Gaussian", comparison.HE])})


# ---- tables ----

WORDS = {"accuracy": "accuracy", "+/-": "its standard deviation", "kappa": r"condition number $\kappa$", "mu": r"coherence $\mu$",
         "mu_avg": r"mean of each atom's largest cosine", "mu_mse": "root mean square cosine", "babel_4": "Babel function at 4",
         "A": "lower frame bound $A$", "B": "upper frame bound $B$", "k90": "dimensions of 90 % of the energy"}


def numbers(rows, caption):
    """Return the table of rows of numbers by name, one column for each: it fits a page."""
    keys = next(iter(rows.values()))
    return Table(("", *rows), [(WORDS.get(key, key), *(f"{row[key]:.3g}" for row in rows.values())) for key in keys], caption)


def counterexamples_table():
    """Return the table of statements with their smallest counterexamples."""
    rows = [(statement, f"D = {D.tolist()}", f"{before:g} → {after:g}")
            for statement, D, (before, after) in counterexamples.listed()]
    return Table(("statement", "smallest counterexample", "D → I + D"), rows,
                 "The smallest integer matrix that breaks each statement.")


def photographs_differences(records):
    """Return the table of recorded differences on photographs."""
    return Table(("", "accuracy − ResNet, points", "coherence − linear"), recorded.photographs_differences(records),
                 "Differences of nets of one seed, mean and 95 % interval over five seeds.")
