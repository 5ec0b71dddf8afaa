"""What the chapter on ML-CSC draws."""

import functools

import numpy as np
import torch

from deepatoms.learning.networks.export import encoded
from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.studies.ml_csc.checks import context, theorem, trained
from deepatoms.studies.ml_csc.checks.samples import certified, thresholded
from deepatoms.theory import convolutional, multilayer, pursuit, stability

NOISES = (0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
PURSUITS = {"soft": "blue", "hard": "green", "basis, theory": "orange", "basis, practical": "red"}
WINDOW_NOISES, POSITIONS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05), (0.01, 0.1, 0.2, 0.5)
PAD = 9  # keeps a label off the ticks of a logarithmic axis on a phone, where letters are larger
CONTRASTS, CROWDS = (1.0, 0.5, 0.2, 0.05), (1, 2, 3, 4, 6)
# The two-layer bench: small enough for a page, and two spikes of it are certified up to a noise that one sees.
BENCH = multilayer.Configuration((320,), 2, (17,), (multilayer.SparseLayer(2, (75,), 3, 33),), 2, 149)


def two_layer_bench():
    """Return the still picture and the data of the figure in which layered pursuits look for the entries of two layers."""
    signals, noise = multilayer.draw(BENCH, 1, np.random.default_rng(0)), 0.02
    layers = stability.layers(signals.dictionaries, signals.codes)
    levels = [float(bound.threshold[0]) for bound in stability.soft_thresholding_bounds(layers, np.full(1, noise))]
    codes = thresholded(signals, multilayer.gaussian_noise(signals, noise, np.random.default_rng(1)), levels)
    filters = [{"filters": encoded(D.filters[0]), "atoms": D.atoms, "kernel": D.kernel[0]} for D in signals.dictionaries]
    data = {"length": BENCH.grid[0], "layers": filters, "spikes": BENCH.spikes, "noise": noise, "levels": levels}
    return _two_layers(signals, codes, noise), data


def _two_layers(signals, codes, noise):
    figure, rows = figures.subplots(3, 1, size=(7, 4.2), sharex=True)
    rows[0].plot(signals.signal[0, 0], color="black", linewidth=0.8)
    counts = []
    for axes, code, true, name in zip(rows[1:], codes, signals.codes, ("$\\Gamma_1$", "$\\Gamma_2$"), strict=True):
        axes.axhline(0, color="black", linewidth=0.6)
        for found, channel in zip(code[0], true[0], strict=True):
            place = np.flatnonzero(found)
            axes.vlines(place, 0, found[place], color=COLOURS["blue"], linewidth=2.5)
            axes.plot(np.flatnonzero(channel), channel[channel != 0], "o", color="black", markersize=7, fillstyle="none")
        counts.append((int(((code != 0) & (true != 0)).sum()), int((true != 0).sum())))
        axes.set(ylabel=name)
    rows[0].set(ylabel="X")
    rows[2].set(xlabel="position")
    told = " and ".join(f"{found} of {true} in layer {i + 1}" for i, (found, true) in enumerate(counts))
    return figures.describe(
        figure, f"The entries of two layers, looked for by a forward pass under noise {noise:g}: those it finds, those "
        "it misses and those it makes up, and the thresholds that are sure to find all (for basis pursuit they are the weights). "
        "All of it is computed on this page.",
        f"Three rows over position: a signal of short waves, and the two codes, whose true entries are rings. Stems are what "
        f"soft thresholding finds: {told}.")


def counts_and_limit(setting):
    """Coherence and stripe count of trained networks' layers and of engineered ones, beside the contrast-free limit."""
    figure, axes = figures.subplots(size=(7, 3))
    coherence = np.geomspace(0.05, 1, 100)
    axes.plot(coherence, (1 + 1 / coherence) / 2, color="black", label="limit (1 + 1/μ)/2")
    nets = [trained.measured_layers(net) for net in trained.trained(setting)]
    for i, colour in enumerate(("orange", "red")):
        axes.plot([net[i].coherence for net in nets], [np.median(net[i].stripes) for net in nets], "o", alpha=0.7,
                  color=COLOURS[colour], label=f"trained CNN, layer {i + 1}")
    engineered = {name: certified(setting, name, 100).layers for name in ("K2-1D", "K2-compact")}
    for (name, layers), marker in zip(engineered.items(), "s^", strict=True):
        axes.plot([np.median(layer.coherence) for layer in layers], [np.median(layer.stripes) for layer in layers], marker,
                  linestyle="none", color=COLOURS["blue"], label=f"engineered, {name}")
    axes.set(xscale="log", yscale="log", xlabel="mutual coherence μ")
    axes.set_ylabel("nonzeros in the fullest stripe", labelpad=PAD)
    axes.set(xticks=[0.05, 0.1, 0.2, 0.5, 1], xticklabels=["0.05", "0.1", "0.2", "0.5", "1"])
    axes.legend(loc="upper left")
    return figures.describe(
        figure, "Feature maps of networks trained on digits hold far more nonzeros than the theorem allows, at a coherence "
        "where it allows one; only what is built for it lies below the limit. (Laptop scale, ten networks.)",
        "Stripe counts against coherence, both logarithmic. A falling black curve is the limit. The orange and red points of "
        "trained layers lie far above its right end; blue squares and triangles of engineered signals lie below it.",
        {"trained layers hold more than ten times what the theorem allows, which is one": all(
            (1 + 1 / layer.coherence) / 2 < 2 and np.median(layer.stripes) > 10 for net in nets for layer in net),
         "engineered signals lie below the limit": all(
             np.median(each.stripes) < (1 + 1 / np.median(each.coherence)) / 2 for own in engineered.values() for each in own)})


def one_signal(setting):
    """A certified two-layer signal and its codes."""
    signals = certified(setting, "K2-1D", 1).signals
    figure, rows = figures.subplots(3, 1, size=(7, 3.5), sharex=True)
    rows[0].plot(signals.signal[0, 0], color="black", linewidth=0.8)
    for axes, code, name in zip(rows[1:], signals.codes, ("$\\Gamma_1$", "$\\Gamma_2$"), strict=True):
        for channel, colour in zip(code[0], ("blue", "orange", "green", "red"), strict=False):
            place = np.flatnonzero(channel)
            axes.vlines(place, 0, channel[place], color=COLOURS[colour], linewidth=2.5)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set(ylabel=name, ylim=(-1.2, 1.2) if name == "$\\Gamma_2$" else (-0.7, 0.7))
    rows[0].set(ylabel="X")
    rows[2].set(xlabel="position")
    return figures.describe(
        figure, "A signal that is sparse at every layer: two spikes, each placing four taps, each placing one short filter. "
        "(Configuration K2-1D.)",
        "Three rows over position. The bottom row has two spikes, the middle row eight smaller ones in groups of four, the top "
        "row eight short oscillations at the same places.")


def bound_and_error(setting):
    """How much of the bound is used, over certified instances and both noises."""
    figure, panels = figures.subplots(1, 2, size=(7, 2.9), sharey=True)
    trials, ratios = theorem.harness(setting), ([], [])
    for axes, row, title in zip(panels, (0, 1), ("Gaussian noise", "shrinking noise"), strict=True):
        for name, trial in trials.items():
            ratio = np.sort(trial["ratio"][row][-1])
            ratios[row].append(ratio)
            axes.plot(np.linspace(0, 1, len(ratio)), ratio, color=COLOURS[_colour(name)], label=name)
        axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set(title=title, xlabel="fraction of instances", ylim=(0.6, 1.04))
    panels[0].set(ylabel="error / bound, last layer")
    panels[0].legend(loc="lower left")
    gaussian, shrinking = (np.concatenate(row) for row in ratios)
    return figures.describe(
        figure, f"No certified instance exceeds its bound, and noise that shrinks every coefficient reaches it in "
        f"{np.mean(shrinking > 1 - 1e-6):.0%} of the instances: the threshold is a bias that is really incurred. "
        f"({len(shrinking):,} instances, noise at nine tenths of the certified limit.)",
        f"Two panels of sorted ratios of error to bound for {len(trials)} configurations. Under Gaussian noise they run from "
        f"{gaussian.min():.2f} to {gaussian.max():.2f}, under the shrinking noise from {shrinking.min():.2f} to "
        f"{shrinking.max():.2f}; one is the dotted line.",
        {"no instance exceeds its bound": bool(max(gaussian.max(), shrinking.max()) <= 1 + 1e-9),
         "the shrinking noise reaches the bound in most instances": bool(np.mean(shrinking > 1 - 1e-6) > 0.5)})


def _colour(name):
    return {"K2-1D": "blue", "K3-1D": "orange", "K2-compact": "green", "K2-2D": "red", "K3-2D": "purple"}[name]


@functools.lru_cache(maxsize=2)
def _sweep(setting):
    """Return exact-support rates and median errors by pursuit, layer and noise, and certified fractions."""
    count = 30
    drawn = certified(setting, "K2-1D", count)
    rates, errors, zones = {name: [] for name in PURSUITS}, {name: [] for name in PURSUITS}, []
    for size in NOISES:
        noise = multilayer.gaussian_noise(drawn.signals, size, setting.numpy("sweep"))
        soft, hard = (bounds(drawn.layers, np.full(count, size)) for bounds in
                      (stability.soft_thresholding_bounds, stability.hard_thresholding_bounds))
        theory = [bound.weight for bound in stability.basis_pursuit_bounds(drawn.layers, np.full(count, size))]
        found = {"soft": thresholded(drawn.signals, noise, [np.maximum(b.threshold, 0) for b in soft]),
                 "hard": thresholded(drawn.signals, noise, [np.maximum(b.threshold, 0) for b in hard], "hard"),
                 "basis, theory": context.sparse_layers(drawn.signals, noise, theory),
                 "basis, practical": context.sparse_layers(drawn.signals, noise, [4 * size] * 2)}
        for name, codes in found.items():
            rates[name].append([1 - wrong.mean() for wrong in drawn.signals.wrong_supports(codes)])
            errors[name].append([np.median(error) for error in drawn.signals.errors(codes)])
        zones.append([soft[-1].holds.mean(), hard[-1].holds.mean()])
    return {k: np.array(v) for k, v in rates.items()}, {k: np.array(v) for k, v in errors.items()}, np.array(zones)


def rates_against_noise(setting):
    """The phase picture: how often each pursuit finds the exact support, by noise and layer."""
    rates, _, _ = _sweep(setting)
    drawn = certified(setting, "K2-1D", 30)
    limits = [np.min(stability.largest_certified_noise(drawn.layers, kind=kind)) for kind in ("soft", "hard")]
    figure, panels = figures.subplots(1, 2, size=(7, 3), sharey=True)
    for layer, axes in enumerate(panels):
        # where curves are equal the wider ones show beside the narrower
        for (name, colour), width in zip(PURSUITS.items(), (7, 4.5, 2.5, 1.2), strict=True):
            axes.plot(NOISES, rates[name][:, layer], "o-", color=COLOURS[colour], label=name, markersize=4, linewidth=width)
        axes.axvspan(NOISES[0], limits[0], color=COLOURS["blue"], alpha=0.12, linewidth=0)
        axes.axvspan(limits[0], limits[1], color=COLOURS["green"], alpha=0.12, linewidth=0)
        axes.set(xscale="log", xlabel="noise on a patch, $\\epsilon_0$", title=f"layer {layer + 1}")
    panels[0].set(ylabel="exact supports")
    panels[0].legend(loc="lower left")
    return figures.describe(
        figure, "Hard thresholding finds the exact support furthest. Basis pursuit with the theory's weights loses layer 2 at "
        "noise at which soft thresholding is still certified. Shaded: certified for soft "
        "(blue) and for hard thresholding (blue and green). (Laptop scale, 30 signals; where curves are equal, the wider "
        "lie behind.)",
        "Two panels of exact-support rates against noise on a logarithmic axis. In layer 2 the first noise at which a curve is "
        "below one half: " + "; ".join(f"{name} {_lost(rate)}" for name, rate in rates.items()) + ".",
        {"hard thresholding finds at least as many supports as any other at every noise":
             all(bool((rates["hard"] >= rate - 0.1).all()) for rate in rates.values()),
         "basis pursuit with the theory's weights fails in layer 2 where soft thresholding is certified":
             bool((rates["basis, theory"][:, 1][np.array(NOISES) <= limits[0]] < 0.5).any())})


def _lost(rate):
    """Return the first noise at which fewer than half of the supports of layer 2 are found, as words."""
    below = np.flatnonzero(rate[:, 1] < 0.5)
    return f"{NOISES[below[0]]:.2g}" if len(below) else "none"


def errors_against_noise(setting):
    """The sense in which basis pursuit is better: errors as the noise vanishes."""
    _, errors, _ = _sweep(setting)
    figure, panels = figures.subplots(1, 2, size=(7, 3), sharey=True)
    for layer, axes in enumerate(panels):
        for name, colour in PURSUITS.items():
            axes.plot(NOISES, errors[name][:, layer], "o-", color=COLOURS[colour], label=name, markersize=4)
        axes.set(xscale="log", yscale="log", xlabel="noise on a patch, $\\epsilon_0$", title=f"layer {layer + 1}")
    panels[0].set_ylabel("median error", labelpad=PAD)
    panels[1].legend(loc="lower right", handlelength=1)
    return figures.describe(
        figure, "The error of basis pursuit shrinks with the noise, that of soft thresholding keeps the bias of its "
        "thresholds; hard thresholding has the smallest error of all on these very sparse signals. (Laptop scale, 30 signals.)",
        "Two panels of errors against noise, both logarithmic. From the least noise to the largest the median error of layer 1 "
        "goes " + "; ".join(f"for {name} from {error[0, 0]:.2g} to {error[-1, 0]:.2g}" for name, error in errors.items()) + ".",
        {"at the least noise basis pursuit errs less than soft thresholding in both layers":
             bool((errors["basis, practical"][0] < errors["soft"][0]).all()),
         "at the least noise hard thresholding errs least": all(bool((errors["hard"][0] <= error[0]).all())
                                                                for error in errors.values())})


def trained_coherence(setting):
    """Coherence of random and of trained filters beside the Welch bound."""
    sizes = [((25,), 2), ((25,), 4), ((64,), 2), ((5, 5), 4), ((8, 8), 4)]
    figure, axes = figures.subplots(size=(7, 3))
    above = []
    for place, (kernel, atoms) in enumerate(sizes):
        start = torch.randn(20, atoms, 1, *kernel, dtype=torch.float64, generator=setting.torch(f"filters {place}"))
        random = np.median([float(convolutional.filter_coherence(f)) for f in start])
        best = float(min(map(convolutional.filter_coherence, multilayer.first_layer(atoms, kernel, setting.seed))))
        welch = convolutional.filter_welch_bound(atoms, 1, kernel)
        above.append((random / welch, best / welch))
        for value, mark, colour, label in ((random, "x", "grey", "random"), (best, "o", "blue", "trained"),
                                           (welch, "_", "orange", "Welch bound")):
            axes.plot(place, value, mark, color=COLOURS[colour], markersize=9, markeredgewidth=2.5,
                      label=label if place == 0 else None)
    axes.set(ylabel="mutual coherence", ylim=(0, None), xticks=range(len(sizes)),
             xticklabels=[f"{m} × {'×'.join(map(str, kernel))}" for kernel, m in sizes], xlabel="filters × support")
    axes.legend(loc="upper right")
    return figures.describe(
        figure, f"Training brings the coherence of filters from {min(first for first, _ in above):.1f} times the Welch bound or "
        f"more to {max(last for _, last in above):.2f} times or less. (Laptop scale, best of eight starts; random: median of "
        "20.)",
        "Five sizes of filters on the horizontal axis. Grey crosses of random filters lie high, blue points of trained filters "
        "a little above the orange dashes of the Welch bound.",
        {"training halves the distance to the Welch bound at every size":
             all(last - 1 < (first - 1) / 2 for first, last in above)})


def cost_of_depth(setting):
    """What each further layer costs in certified noise."""
    figure, axes = figures.subplots(size=(7, 3.2))
    price = {}
    for name, shift in (("K3-1D", -0.06), ("K3-2D", 0.06)):
        drawn = certified(setting, name, 40)
        for kind, colour, mark in (("soft", "blue", "o"), ("hard", "green", "s")):
            limits = [np.median(stability.largest_certified_noise(drawn.layers[:depth], kind=kind)) for depth in (1, 2, 3)]
            price[kind, name] = np.divide(limits[:-1], limits[1:])
            axes.plot(np.arange(1, 4) + shift, limits, mark + ("-" if name == "K3-1D" else "--"), color=COLOURS[colour],
                      label=f"{kind}, {name}")
    start = np.median(stability.largest_certified_noise(certified(setting, "K3-1D", 40).layers[:1]))
    axes.plot([1, 2, 3], start / (2 * np.sqrt(2)) ** np.arange(3), ":", color="black", label="÷ 2√p a layer")
    axes.set(yscale="log", xticks=[1, 2, 3], xlabel="layers certified", ylabel="largest noise")
    axes.set(yticks=[0.02, 0.05, 0.1, 0.2], yticklabels=["0.02", "0.05", "0.1", "0.2"])
    axes.minorticks_off()
    axes.legend(loc="lower left", fontsize=9)
    return figures.describe(
        figure, "Each further layer divides the noise that soft thresholding bears by "
        f"{min(price['soft', 'K3-1D'].min(), price['soft', 'K3-2D'].min()):.1f} to "
        f"{max(price['soft', 'K3-1D'].max(), price['soft', 'K3-2D'].max()):.1f} ($2\\sqrt p$ is 2.8 where $p = 2$); hard "
        "thresholding, which incurs no bias, pays nothing here. (Laptop scale, medians of 40 signals.)",
        "Largest certified noise against the number of layers, logarithmic. Each layer divides it by: " + "; ".join(
            f"{kind}, {name}, {' and '.join(f'{each:.2f}' for each in factors)}" for (kind, name), factors in price.items())
        + ".",
        {"every layer more than halves the noise that soft thresholding bears":
             all(bool((factors > 2).all()) for (kind, _), factors in price.items() if kind == "soft"),
         "further layers cost hard thresholding nothing":
             all(bool((abs(factors - 1) < 0.01).all()) for (kind, _), factors in price.items() if kind == "hard")})


def digits_rebuilt(setting, shown=6):
    """What the first code of a trained network still says of the digit, beside what basis pursuit says with its filters."""
    net = trained.trained(setting)[0]
    images = trained.test_images(setting)[:shown].double()
    filters = net.filters[0]
    thresholds = -(net.model[0].bias / net.model[0].weight.flatten(1).norm(dim=1)).detach().double()
    code = net.codes[0][:shown]
    basis = pursuit.basis_pursuit(images, filters, 0.1, nonnegative=True, iterations=5000)
    rows = {"digit": images, "forward pass": _fitted(images, _unshifted(filters, code)),
            "basis pursuit": _fitted(images, convolutional.synthesize(filters, basis))}
    figure, panels = figures.subplots(3, shown, size=(7, 3.6))
    for axes, (name, pictures) in zip(panels, rows.items(), strict=True):
        for axis, picture in zip(axes, pictures, strict=True):
            axis.imshow(picture[0].numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name.split()[0])  # all of it would not fit a phone
    left = {name: float(((rows[name] - images) ** 2).sum() / (images**2).sum()) for name in list(rows)[1:]}
    return figures.describe(
        figure, f"A trained network's first code, put back through its own filters, misses {left['forward pass']:.0%} of the "
        f"digits' energy (best scale); nonnegative basis pursuit with the same filters misses {left['basis pursuit']:.0%}. "
        f"{int((thresholds < 0).sum())} of {len(thresholds)} biases are positive: thresholds below zero. (Laptop scale, one "
        "network.)",
        "Three rows of six digits: the images, their reconstructions from the forward pass, and those from basis pursuit; all "
        "can be read.")


def _unshifted(filters, code):
    """Return the synthesis of a code computed with padding on both sides, which is shifted by one position."""
    return convolutional.synthesize(filters, code.roll((-1, -1), (-2, -1)))


def _fitted(images, pictures):
    scale = (images * pictures).sum((1, 2, 3), keepdim=True) / (pictures**2).sum((1, 2, 3), keepdim=True)
    return scale * pictures


def window_frame(setting, noise, position):
    """The interval of thresholds of each layer at one noise, and whether the supports come out right."""
    drawn = certified(setting, "K2-1D", 1)
    bounds = stability.soft_thresholding_bounds(drawn.layers, np.full(1, noise), position=position)
    worst = multilayer.worst_noise(drawn.signals, max(noise, 1e-9))
    codes = thresholded(drawn.signals, worst, [np.maximum(bound.threshold, 0) for bound in bounds])
    wrong = [bool(w[0]) for w in drawn.signals.wrong_supports(codes)]
    figure, axes = figures.subplots(size=(7, 2.4))
    for place, bound in enumerate(bounds):
        lower, upper = float(bound.lower[0]), float(bound.upper[0])
        colour = COLOURS["green"] if lower < upper else COLOURS["red"]
        axes.plot([lower, upper], [-place, -place], color=colour, linewidth=10, solid_capstyle="butt", alpha=0.6)
        axes.plot(float(bound.threshold[0]), -place, "|", color="black", markersize=22, markeredgewidth=3)
    axes.set(yticks=[0, -1], yticklabels=["layer 1", "layer 2"], ylim=(-1.6, 0.6), xlim=(0, 1.3), xlabel="threshold β")
    said = [f"layer {i + 1}: window {'open' if bool(b.lower[0] < b.upper[0]) else 'empty'}, support {'lost' if w else 'found'}"
            for i, (b, w) in enumerate(zip(bounds, wrong, strict=True))]
    return figures.describe(figure, f"Noise {noise:g}, thresholds {position:.0%} into their windows: {'; '.join(said)}. "
                            "(One K2-1D signal, shrinking noise.)",
                            "One horizontal bar a layer, the admissible thresholds: green while open, red once its ends have "
                            "crossed; a black mark is the threshold used. " + "; ".join(said) + ".")


@functools.lru_cache(maxsize=64)
def _crowded(setting, contrast, crowd):
    """Return exact-support rate and median error of four pursuits on one layer: groups of entries 1 down to the contrast."""
    count, noise = 20, 0.003
    draw = setting.numpy(f"crowd {contrast} {crowd}")
    pool = multilayer.first_layer(4, (25,), setting.seed)
    code = np.zeros((count, 4, 600))
    for row in code:
        for start in (0, 200, 400):
            places = start + draw.choice(25, crowd, replace=False)
            row[draw.integers(4, size=crowd), places] = np.linspace(1, contrast, crowd) * draw.choice([-1, 1], crowd)
    D = convolutional.ConvolutionalDictionary(torch.from_numpy(pool[np.arange(count) % len(pool)]), (600,))
    signals = multilayer.Signals([D], [torch.from_numpy(code)], D.synthesize(torch.from_numpy(code)))
    layer, error = stability.layers([D], signals.codes)[0], multilayer.gaussian_noise(signals, noise, draw)
    lower, upper = stability.threshold_interval(layer, noise)
    middle = np.maximum((lower + upper) / 2, 0)
    found = {"soft": thresholded(signals, error, [np.maximum(lower + 0.01 * (upper - lower), 0)]),
             "hard": thresholded(signals, error, [middle], "hard"), "basis": context.sparse_layers(signals, error, [4 * noise])}
    rates = {name: 1 - signals.wrong_supports(codes)[0].mean() for name, codes in found.items()}
    rates["best threshold"] = context.separable(signals, error).mean()
    return rates, {name: np.median(signals.errors(codes)[0]) for name, codes in found.items()}


def _counted(count):
    return "1 nonzero" if count == 1 else f"{count} nonzeros"


def crowd_frame(setting, contrast, nonzeros):
    """Exact supports and errors of the pursuits at one contrast and one number of nonzeros a stripe."""
    rates, errors = _crowded(setting, contrast, nonzeros)
    colours = [COLOURS[name] for name in ("blue", "green", "red", "grey")]
    figure, (left, right) = figures.subplots(1, 2, size=(7, 2.9))
    left.bar([name.split()[0] for name in rates], list(rates.values()), color=colours)
    left.set(ylim=(0, 1.05), ylabel="exact supports")
    right.bar(list(errors), list(errors.values()), color=colours)
    right.set(yscale="log", ylim=(1e-4, 5))
    right.set_ylabel("median error", labelpad=PAD)
    said = ", ".join(f"{name} {rate:.0%}" for name, rate in rates.items())
    sizes = f"sizes from 1 to {contrast:g}" if nonzeros > 1 and contrast < 1 else "size 1"
    return figures.describe(figure, f"{_counted(nonzeros)} in 25 positions, {sizes}; exact supports: {said}. "
                            "(Layer 1 of K2-1D, 20 signals, noise 0.003.)",
                            f"Two bar charts. Left, exact supports: {said}. Right, median errors, logarithmic: "
                            + ", ".join(f"{name} {error:.3f}" for name, error in errors.items()) + ".")
