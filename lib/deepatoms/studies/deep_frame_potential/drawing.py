"""What the chapter on the deep frame potential draws."""

import functools
import itertools
import textwrap

import numpy as np
from scipy.stats import kendalltau, spearmanr

from deepatoms.claims import checking
from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.pages.tables import Table
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import benchmarks as others
from deepatoms.studies.deep_frame_potential import darts as darts_recorded
from deepatoms.studies.deep_frame_potential import fully_connected, trained_grid
from deepatoms.studies.deep_frame_potential import minima as recorded
from deepatoms.studies.deep_frame_potential.checks import benchmarks, bounds, darts, forward_pass, trained
from deepatoms.studies.deep_frame_potential.checks import grid as grid_checks
from deepatoms.studies.deep_frame_potential.checks.grid import Grid, budgets, envelopes
from deepatoms.studies.deep_frame_potential.rankings import (
    beyond,
    candidates,
    concordance,
    correlation,
    regrets,
    spearman,
)
from deepatoms.theory import dictionaries, frame_potential, induced

FAMILIES = {"chain (Eq. 6)": lambda sizes: induced.chain(sizes), "chain (Eq. 10)": lambda sizes: induced.chain(sizes, "analysis"),
            "residual": induced.residual, "dense": induced.dense}
LINES = {"chain": ("chain, analysis form", COLOURS["orange"], "o-"), "synthesis": ("chain of Eq. 6", COLOURS["purple"], "^:"),
         "resnet": ("residual", COLOURS["blue"], "s-"), "densenet": ("dense", COLOURS["green"], "D-")}
TRAINED = (("plain", COLOURS["blue"], "o"), ("F² in the loss", COLOURS["orange"], "s"))
CONVENTIONS = {"unit": "unit magnitudes", "gain2": "free, usual start", "best": "free, best of three starts"}


# ---- structure ----

def structure(family="residual", layers=5, width=4):
    """The induced dictionary of a fully connected network and its Gram matrix."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 3.4))
    net = FAMILIES[family]([width] * (layers + 1))
    B = net.dictionary(net.init(0)).numpy()
    picture(left, B)
    G = dictionaries.gram(B)
    picture(right, G)
    left.set(title="induced dictionary", xlabel="units, layer by layer", ylabel="constraints")
    right.set(title="Gram matrix", xlabel="units, layer by layer")
    filled = net.structural_count / net.atoms**2
    return figures.describe(
        figure, f"{family}, {layers} layers of {width} units: {net.parameter_count} parameters, {net.rows} rows, {net.atoms} "
        f"atoms; {filled:.0%} of the Gram matrix is structurally nonzero. (Exact, random weights.)",
        f"Two block matrices. Left the dictionary: a staircase of parameter blocks and identity diagonals, lower triangular. "
        f"Right the Gram matrix, symmetric; blocks of layers that share no constraint are empty. Family: {family}.")


def picture(axes, matrix):
    """Draw a matrix's absolute entries, the larger the fuller; nothing where it is zero."""
    axes.imshow(np.abs(matrix), cmap=figures.MAGNITUDE, vmin=0, vmax=1,
                aspect="auto" if matrix.shape[0] != matrix.shape[1] else "equal")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(True)


def _scale_beside(figure, axes):
    """Put the colours of ``picture`` with their numbers beside the panels."""
    bar = figure.colorbar(axes.flat[0].images[0], ax=axes, shrink=0.6, label="magnitude of an entry", ticks=[0, 0.5, 1])
    bar.solids.set_rasterized(True)
    bar.solids.set_edgecolor("face")


def families_side_by_side():
    """Figure 2a to c: three families' dictionaries above their Gram matrices."""
    layers, width = 6, 3
    figure, axes = figures.subplots(2, 3, size=(7, 4.6))
    names, fills = ("chain (Eq. 10)", "residual", "dense"), []
    for (top, bottom), name in zip(axes.T, names, strict=True):
        net = FAMILIES[name]([width] * (layers + 1))
        B = net.dictionary(net.init(0)).numpy()
        picture(top, B)
        picture(bottom, dictionaries.gram(B))
        fills.append(net.structural_count / net.atoms**2)
        top.set_title(name.partition(" (")[0])
        bottom.set_xlabel(f"{fills[-1]:.0%} filled")
    axes[0, 0].set_ylabel("dictionary")
    axes[1, 0].set_ylabel("Gram matrix")
    _scale_beside(figure, axes)
    return figures.describe(
        figure, f"Skips fill the Gram matrix: {', '.join(f'{fill:.0%}' for fill in fills)} for chain, residual and dense nets "
        f"of {layers} layers of {width} units, all in the analysis form. (Figures 1 and 2a to c; exact, random weights.)",
        "Two rows of three matrices. Above, dictionaries: a chain has blocks on the diagonal and just below it, the residual one "
        "also identity diagonals two blocks below, the dense one a full lower triangle. Below, Gram matrices: a narrow band of "
        "blocks, a wider band, and all blocks.",
        {"skips fill the Gram matrix, chain below residual below dense": fills == sorted(set(fills))})


def convolutional_dictionary(draw):
    """Figure 3: a one-dimensional convolutional dictionary, its permutation, its Gram matrix and the local interactions."""
    figure, axes = figures.subplots(1, 4, size=(7.4, 2.6), width_ratios=[5, 5, 5, 1.8])
    filters = draw.normal(size=(2, 5, 3))
    D = induced.filter_dictionary(filters, 8)
    order = induced.toeplitz_order(5, 8)
    permuted = D[induced.toeplitz_order(2, 8)][:, order]
    G = dictionaries.gram(permuted)
    for panel, matrix, title in zip(axes, (D, permuted, G, G[:25, :5]), ("channel by channel", "position by position",
                                                                       "Gram matrix", "one column"), strict=True):
        picture(panel, matrix)
        panel.set_title(title)
    blocks = G.reshape(8, 5, 8, 5).swapaxes(1, 2)
    return figures.describe(
        figure, "Sorted by position, a convolutional dictionary is block-Toeplitz, and so is its Gram matrix: one block column "
        "of local filter interactions, at offsets minus two to two, says it all. (Figure 3: two input channels, five filters of "
        "size three, eight positions, circular; exact.)",
        "Four matrices. The first is made of ten striped squares. The second, permuted, has one diagonal band of small blocks "
        "that repeat. The third is a symmetric matrix of repeated blocks along five diagonals with wrapped corners. The fourth "
        "shows the top of a single block column.",
        {"one block column says it all": all(
            np.allclose(np.roll(blocks[:, 0], place, 0), blocks[:, place]) for place in range(8)),
         "its blocks lie at offsets minus two to two": [at for at in range(8) if blocks[at, 0].any()] == [0, 1, 2, 6, 7]})


# ---- the bridge ----

def accuracy_of_a_pass(setting):
    """How near a thresholding step comes to the sparse code by three measures, against coherence, for two kinds of frames."""
    figure, axes = figures.subplots(2, 3, size=(7, 4.6), sharex="row", sharey="col")
    _, shared, mu = forward_pass.equicoherent(setting)
    worst, random = forward_pass.random_accuracy(setting)
    for row, (coherence, measures, colour) in zip(axes, ((mu, shared, "blue"), (worst, random, "orange")), strict=True):
        for panel, values in zip(row, measures, strict=True):
            panel.plot(coherence, values, "o", color=COLOURS[colour], markersize=3)
    for (above, below), title in zip(axes.T, ("distance", "objective gap", "support overlap"), strict=True):
        above.set(title=title, xlabel="shared coherence", ylim=(0, 1.05))
        below.set(xlabel="worst coherence")
    axes[0, 1].set(yscale="log", ylim=(1e-3, 300))
    axes[0, 0].set_ylabel("equicoherent")
    axes[1, 0].set_ylabel("random Gaussian")
    return figures.describe(
        figure, "One thresholding step comes nearer to the sparse code when all pairs of atoms are less coherent; among random "
        "dictionaries of one size the worst pair says less. (Laptop scale: 60 and 200 dictionaries, medians over "
        "inputs. Distance and gap: 0 is exact, 1 as bad as no answer; overlap: 1 is exact.)",
        "Two rows of three scatter plots against coherence. Above, equicoherent frames: rank correlations with coherence of "
        f"distance, gap and overlap {_rank(mu, shared)}. Below, random frames: {_rank(worst, random)}.",
        {"distance and gap rise with shared coherence": bool(min(_spearman(mu, values) for values in shared[:2]) > 0.8),
         "the worst pair of a random frame says less than that": bool(
             max(abs(_spearman(worst, values)) for values in random) < 0.5)})


def _spearman(coherence, values):
    return float(spearmanr(coherence, values).statistic)


def _rank(coherence, measures):
    return ", ".join(f"{_spearman(coherence, values):.2f}" for values in measures)


# ---- chains in closed form ----

def calibration():
    """Points of the published Figure 4 against the closed form, and against what the printed bound gives."""
    figure, axes = figures.subplots(size=(7, 3.3))
    published = bounds.LABELLED | bounds.BY_VALUE
    ours, printed = ([value([3072, *hidden]) for hidden in published] for value in (_closed_form, _printed_bound))
    places, known = np.arange(len(published)), len(bounds.LABELLED)
    plotted = list(published.values())
    axes.plot(places[:known], plotted[:known], "o", markersize=11, fillstyle="none", color="black", label="published, labelled")
    axes.plot(places[known:], plotted[known:], "s", markersize=10, fillstyle="none", color=COLOURS["grey"],
              label="published, found by value")
    axes.plot(places, ours, "x", color=COLOURS["blue"], markersize=8, label="closed form")
    axes.plot(places, printed, "_", color=COLOURS["red"], markersize=14, label="Eq. 22 as printed, c = 1")
    axes.set(yscale="log", xticks=places)
    axes.set_ylabel("minimum F", labelpad=12)
    axes.set_xticklabels([", ".join(map(str, hidden)) for hidden in published], rotation=20, fontsize=8)
    axes.legend(fontsize=8)
    errors = np.abs(np.subtract(ours, plotted))[:known]
    return figures.describe(
        figure, f"The closed form for hidden layers only, input width 3072, meets the {known} labelled points of the published "
        f"Figure 4 to {errors.max():.4f}; the printed bound at c = 1 misses one of them by "
        f"{np.abs(np.subtract(printed, plotted))[:known].max():.4f}. The grey squares were found by their value, so their "
        "agreement is no evidence. (Points read off the published plot, to about 0.001.)",
        "Seven architectures along the axis, F on a logarithmic axis from 0.17 down to 0.015. A cross lies inside each of four "
        "rings and three grey squares; a red dash, the printed bound, lies above.",
        {"each closed form is nearer to the labelled point than the printed bound": all(
            abs(a - b) < abs(c - b) for a, b, c in list(zip(ours, plotted, printed, strict=True))[:known])})


def _closed_form(sizes):
    return frame_potential.chain_minimum(sizes)[1]


def _printed_bound(sizes):
    return bounds.composed_at_one(sizes[1:])


@functools.lru_cache(maxsize=1)
def _thousands():
    widths, found = [2**power for power in range(4, 12)], []
    for depth in (2, 3, 4):
        for hidden in itertools.product(widths, repeat=depth):
            sizes = [3072, *hidden]
            energy = frame_potential.lower_energy(sizes)
            parameters = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
            found.append((parameters, np.sqrt(energy / _pairs(hidden)), depth))
    return np.array(found)


def _pairs(hidden):
    return sum(a * (a - 1) for a in hidden) + 2 * sum(a * b for a, b in zip(hidden, hidden[1:], strict=False))


def diminishing_returns():
    """Thousands of fully connected architectures: parameters against a lower value of F."""
    figure, axes = figures.subplots(size=(7, 3.4))
    found = _thousands()
    told = found[found[:, 1] > 0]
    for depth, colour in ((4, "sky"), (3, "orange"), (2, "blue")):
        own = told[told[:, 2] == depth]
        axes.plot(own[:, 0], own[:, 1], ".", color=COLOURS[colour], markersize=3, rasterized=True, label=f"{depth} hidden layers")
    widths = 2 ** np.arange(4, 11)
    line = [frame_potential.chain_minimum([3072, a, 2 * a])[1] for a in widths]
    parameters = 3072 * widths + 2 * widths**2
    axes.plot(parameters, line, color="black", label="(a, 2a)")
    axes.set(xscale="log", xlabel="parameters", ylabel="minimum F", ylim=(0, None))
    axes.legend(markerscale=3, loc="upper right")
    tied = 1 - len(told) / len(found)
    slopes, rates = np.diff(line), -np.diff(np.log(line)) / np.diff(np.log(parameters))
    return figures.describe(
        figure, f"Along the family (a, 2a) each doubling of the width lowers F less, as any power law does: log F falls at a "
        f"rate per log parameter between {min(rates):.2f} and {max(rates):.2f}. Parameters alone do not fix F. Of {len(found):,} "
        f"architectures {tied:.0%} have F = 0 and are not shown: the measure cannot rank them. (Figure 4's horizontal axis; "
        "points: relaxed lower value, line: exact minimum; no training.)",
        "A cloud of points, F against parameters on a logarithmic axis, wide from top to bottom at like numbers of parameters. "
        "A black line, two layers of which the second is twice as wide, falls through it ever more slowly.",
        {"each doubling of the width along (a, 2a) lowers F, and less than the one before": bool(
            (slopes < 0).all() and (np.diff(slopes) > 0).all())})


@functools.lru_cache(maxsize=64)
def _descended(sizes, iterations=150):
    starts = [frame_potential.chain_start(sizes, [np.ones(k) for k in sizes[1:]], seed) for seed in (0, 1)]
    return min(frame_potential.descend(starts, iterations))


@functools.lru_cache(maxsize=64)
def _energies(first, middle, last):
    sizes = (first, middle, last)
    lower, attained = frame_potential.chain_bracket(sizes)
    composed = frame_potential.composed_bound(sizes, [np.full(k, 0.5) for k in sizes[1:]]) - sum(sizes[1:])
    return lower, attained, max(0.0, composed), _descended(sizes)


LAST_WIDTHS = (2, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24)


def last_width(last=8):
    """Lower value, minimum and descent of a two-layer chain as its last width grows."""
    middle = 6
    figure, (curve, bars) = figures.subplots(1, 2, size=(7, 3.4), width_ratios=[2, 1])
    counts = [_pairs((middle, k)) for k in LAST_WIDTHS]
    values = np.sqrt(np.array([_energies(10, middle, k) for k in LAST_WIDTHS]) / np.array(counts)[:, None])
    styles = {"relaxed lower value": (COLOURS["sky"], "-"), "exact minimum": ("black", "--"),
              "Eq. 22, c = 1": (COLOURS["red"], ":"), "descent, 150 steps": (COLOURS["orange"], "-")}
    at = LAST_WIDTHS.index(last)
    for (label, (colour, style)), column in zip(styles.items(), values.T, strict=True):
        curve.plot(LAST_WIDTHS, column, style, color=colour, label=label)
        curve.plot([last], [column[at]], "o", color=colour)
    curve.axvline(min(middle, 10), color=COLOURS["grey"], linewidth=0.8)
    curve.set(xlabel="width of the last layer", ylabel="F", ylim=(-0.01, 0.62))
    curve.legend(loc="upper left", fontsize=8)
    pure = _pure_bars(bars, (10, middle, last))
    lower, least, _, reached = values[at]
    return figures.describe(
        figure, f"Chain 10-{middle}-{last}: minimum {least:.3f}, its relaxed lower value {lower:.3f}, descent reaches "
        f"{reached:.3f}. {'F can be 0: the last layer is no wider than any other.' if least == 0 else 'F cannot be 0.'} "
        f"(Closed form; "
        f"descent from c = 1, two seeds.)",
        f"Left, four curves of F against the last width. Minimum and lower value are zero up to the smallest other width, "
        f"marked by a vertical line, then rise together; descent and the printed bound lie above. Dots mark width {last}. "
        f"Right, two bars: at the minimum {int(pure[0].sum())} of {middle} atoms of layer 1 are pure parameter, in layer "
        f"2 all {last}.",
        {"the minimum is zero exactly up to the smallest other width": [F == 0 for F in values[:, 1]] == [
            width <= middle for width in LAST_WIDTHS],
         "descent and the printed bound lie above": bool((values[:, 2:] > values[:, [1]]).all())})


def _pure_bars(bars, sizes):
    """Draw of each layer how many atoms are pure parameter at the minimum, and pure identity; return the magnitudes."""
    pure = frame_potential.attained_magnitudes(sizes)
    heights = [layer.sum() for layer in pure]
    bars.bar(["layer 1", "layer 2"], heights, color=COLOURS["blue"], label="pure parameter")
    bars.bar(["layer 1", "layer 2"], [(1 - layer).sum() for layer in pure], bottom=heights, color=COLOURS["grey"],
             label="pure identity")
    bars.set(ylim=(0, 40), ylabel="atoms")
    bars.legend(fontsize=8, loc="upper left")
    return pure


CHAINS = ((4, 20, 10), (3, 10, 9, 5), (2, 12, 12, 6), (16, 32, 32), (16, 64, 24))
STEPS = (150, 1500)


def tightness():
    """The exact minimum of five chains against descent of two lengths, its relaxation and the paper's bound."""
    figure, axes = figures.subplots(size=(7, 3.2))
    places, rows = np.arange(len(CHAINS)), []
    for sizes in CHAINS:
        lower, least = frame_potential.chain_bracket(sizes)
        printed = max(0.0, frame_potential.composed_minimum(sizes) - sum(sizes[1:]))
        rows.append([value / least for value in (least, lower, printed, *(_descended(sizes, steps) for steps in STEPS))])
    styles = (("exact minimum", "o", "grey"), ("relaxed lower value", "_", "sky"), ("Eqs. 17-22 corrected", "v", "red"),
              ("descent, 150 steps", "x", "orange"), ("descent, 1,500 steps", "+", "purple"))
    for (label, marker, colour), column, aside in zip(styles, np.array(rows).T, np.linspace(-0.24, 0.24, 5), strict=True):
        axes.plot(places + aside, column, marker, color=COLOURS[colour], label=label, markersize=9, markeredgewidth=2)
    axes.set(xticks=places, ylabel="energy / minimum", ylim=(0, 1.6))
    axes.set_xticklabels(["-".join(map(str, sizes)) for sizes in CHAINS])
    axes.legend(ncols=2, fontsize=8)
    _, lower, printed, short, long = np.array(rows).T
    return figures.describe(
        figure, f"The minimum is exact. Descent from c = 1 ends at {short.min():.2f} to {short.max():.2f} times it after 150 "
        f"steps, at {long.min():.2f} to {long.max():.2f} after 1,500. Relaxing the integers gives {lower.min():.2f} of it or "
        f"more, Equations 17 to 22, the last layer corrected, {printed.min():.2f} or more. (Laptop scale, two starts.)",
        "Five chains along the axis, energies divided by the minimum. Circles at one; dashes and triangles at or below one; "
        "crosses, short descent, above one; pluses, long descent, between.",
        {"nothing that descent reached lies below the minimum": bool((np.array(rows)[:, 3:] > 1 - 1e-9).all()),
         "ten times as many steps come nearer in every chain": bool((long < short).all()),
         "relaxed value and corrected equations lie at most at the minimum": bool((np.array(rows)[:, 1:3] <= 1 + 1e-9).all())})


# ---- the recorded grid ----

@functools.lru_cache(maxsize=1)
def grid():
    """Return all recorded minima."""
    return Grid(recorded.recorded())


def _scale(*families):
    """Say how many recorded networks of some families are drawn, unit magnitudes, and where and when they ran."""
    runs = [record for record in recorded.recorded() if record["configuration"]["family"] in families
            and record["configuration"]["magnitudes"] == "unit"]
    dates = sorted({record["provenance"]["date"] for record in runs})
    return f"{len(runs)} recorded networks, {runs[0]['provenance']['device']}, {dates[0]} to {dates[-1]}"


def depth_and_pairs():
    """Figures 5b and 6b from the recorded grid: F against depth, and residual against chain."""
    figure, (depth, pairs) = figures.subplots(1, 2, size=(7.4, 3.6))
    own = grid()
    widths = sorted({width for _, width in own.sizes()})
    for family in ("synthesis", "chain", "resnet"):
        label, colour, style = LINES[family]
        for width in widths:
            blocks = [n for n, w in own.sizes(family) if w == width]
            depth.plot([1 + 6 * n for n in blocks], [own.get(family, (n, width)) for n in blocks], style, color=colour,
                       label=label if width == widths[0] else None, markersize=4)
    depth.set(xlabel="layers", ylabel="minimum F", title="by depth", ylim=(0, None))
    depth.legend(fontsize=8, loc="lower left")
    for width in widths:
        sizes = [size for size in own.sizes("resnet") if size[1] == width and size in own.sizes("chain")]
        pairs.plot([own.get("chain", size) for size in sizes], [own.get("resnet", size) for size in sizes], "o-", markersize=4,
                   label=f"width {width}")
    lower = [own.get("resnet", size) < own.get("chain", size) for size in own.sizes("resnet") if size in own.sizes("chain")]
    pairs.axline((0.03, 0.03), slope=1, color=COLOURS["grey"], linewidth=0.8)
    pairs.set(xlabel="chain, analysis form", ylabel="residual", title="at equal parameters")
    pairs.legend(fontsize=8)
    return figures.describe(
        figure, f"With magnitudes fixed at one, {sum(lower)} of {len(lower)} residual networks lie below the chain of equal "
        f"parameters. (Figures 5b and 6b; {_scale('synthesis', 'chain', 'resnet')}; widths {', '.join(map(str, widths))}.)",
        "Left, F against the number of layers for each width, chains and residual networks. Right, F of the residual net against "
        f"F of the chain; {sum(lower)} of {len(lower)} points lie below the diagonal.",
        {"every residual network lies below its chain": all(lower)})


def scaling():
    """Figures 7b, d, f and 2e: F against parameters, family by family and pooled."""
    figure, axes = figures.subplots(1, 4, size=(7.8, 3.2), sharey=True, sharex=True)
    own = grid()
    _family_panels(axes, own)
    for points, family in zip(envelopes(own, "unit"), ("densenet", "resnet", "chain"), strict=True):
        axes[3].plot(*np.array(points).T, "o", color=LINES[family][1], markersize=3, label=LINES[family][0].split(",")[0])
    axes[3].set_title("together")
    axes[3].legend(fontsize=8, loc="upper right", handletextpad=0.2)
    axes[0].set(xscale="log", yscale="log")
    axes[0].set_ylabel("minimum F", labelpad=12)
    figure.supxlabel("parameters", fontsize=10)
    points = envelopes(own, "unit")
    within = budgets(points)
    ordered = np.array(grid_checks.ordered(points, within))
    worst = [_floor_share(own, family) for family in ("densenet", "resnet")]
    return figures.describe(
        figure, f"F against parameters with magnitudes fixed at one, family by family; from one block a group to two, F falls by "
        f"{_gains(own, 'chain')} in chains and by {_gains(own, 'resnet')} in residual networks. Of {len(within)} budgets from "
        f"{within[0]:,.0f} to {within[-1]:,.0f} parameters, dense is below residual below chain at {ordered.sum()}, and at all "
        f"above {within[~ordered].max():,.0f}. Of the F of the smallest dense network {worst[0]:.0%} is its universal floor, "
        f"of the smallest residual one {worst[1]:.0%}. (Figures 7b, d, f and 2e; {_scale('chain', 'resnet', 'densenet')}.)",
        "Four panels with logarithmic axes: chains, residual and dense networks, one curve a depth, from orange to "
        "blue as it grows, and the points of all three "
        "pooled.",
        {"F falls from each network to its neighbours of more layers or more filters in all three families": all(
            grid_checks.falls(own, family).measured == 1 for family in ("chain", "resnet", "densenet"))})


def _family_panels(axes, own):
    for panel, family in zip(axes, ("chain", "resnet", "densenet"), strict=False):
        label, colour, _ = LINES[family]
        sizes = own.sizes(family)
        depths = sorted({size[0] for size in sizes})
        counted = "layer" if family == "densenet" else "block"
        for number, first in enumerate(depths):
            line = [size for size in sizes if size[0] == first]
            ends = {0: f"{first} {counted}{'s' * (first > 1)} a group", len(depths) - 1: f"{first}"}
            panel.plot([own.get(family, size, quantity="parameters") for size in line],
                       [own.get(family, size) for size in line], "o-", markersize=3, linewidth=1.2, label=ends.get(number),
                       color=figures.ORDERED(number / (len(depths) - 1)))
        panel.set_title(label.split(",")[0])
        panel.legend(fontsize=8, loc="upper right", handlelength=1, handletextpad=0.4)


def _floor_share(own, family):
    """The universal floor of a family's smallest network divided by the F that it reached."""
    smallest = min(own.sizes(family), key=lambda size: own.get(family, size, quantity="parameters"))
    return own.get(family, smallest, quantity="floor") / own.get(family, smallest)


def _gains(own, family):
    """Return the range over widths of how much the second block of each group lowers F, as words."""
    gains = [1 - own.get(family, (2, width)) / own.get(family, (1, width)) for n, width in own.sizes(family)
             if n == 1 and (2, width) in own.sizes(family)]
    return f"{min(gains):.0%} to {max(gains):.0%}"


def _convention_ratios(own, convention):
    """Chain over residual, by (family, size), where recorded."""
    sizes = {"unit": own.deep("resnet", "chain") + [(1, 4), (1, 8)], "best": own.started("resnet", "chain"),
             "gain2": own.sizes("resnet", "free")}[convention]
    return {size: own.ratios("chain", convention, [size])[0] for size in sizes}


def flips(blocks=2, convention="unit magnitudes"):
    """Residual against both chains at equal parameters, for a depth and a convention."""
    figure, axes = figures.subplots(size=(7, 3.2))
    own, key = grid(), {text: name for name, text in CONVENTIONS.items()}[convention]
    words, at = [], 0
    for width in (4, 8):
        for family in ("resnet", "chain", "synthesis"):
            try:
                value = own.get(family, (blocks, width), key)
            except KeyError:
                axes.text(at, 0.001, "not run", rotation=90, ha="center", va="bottom", fontsize=9)
                words.append(f"{LINES[family][0]} of width {width} not run")
            else:
                axes.bar(at, value, color=LINES[family][1], label=LINES[family][0] if width == 4 else None)
                axes.text(at, value, f"{value:.3f}", ha="center", va="bottom", fontsize=9)
                words.append(f"{LINES[family][0]} of width {width} {value:.4f}")
            at += 1
        at += 1
    axes.set(xticks=[1, 5], xlim=(-0.75, 6.75), ylim=(0, 0.065), ylabel="F")
    axes.set_xticklabels(["width 4", "width 8"])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncols=3, fontsize=9)
    return figures.describe(
        figure, f"{blocks} block{'s' * (blocks > 1)} in each group, {convention}: {_order(own, key, blocks)} "
        "(Recorded; all bars of a group have the same parameters.)", "Bars of F in two groups: " + "; ".join(words) + ".")


def _order(own, key, blocks):
    sizes = [(blocks, width) for width in (4, 8) if (blocks, width) in _convention_ratios(own, key)]
    if not sizes:
        return "not run here."
    below = sum(ratio > 1 for ratio in own.ratios("chain", key, sizes))
    return f"the residual net is below its chain at {below} of {len(sizes)} widths."


def by_norm():
    """F of chain and residual network when every filter's norm is fixed at c, and their ratio."""
    figure, axes = figures.subplots(1, 2, size=(7.4, 3.3))
    ratios, F = recorded.ratios_by_norm(results.records(recorded.NORMS))
    _curves_by_norm(*axes, ratios, F)
    below = {blocks: [c for c in recorded.FIXED if ratios[blocks, c] < 1] for blocks in (2, 5)}
    lowest = {blocks: min(recorded.FIXED, key=lambda c: F["resnet", blocks, c]) for blocks in (2, 5)}
    last, turns = recorded.FIXED[-1], {blocks: max(norms, default=0) for blocks, norms in below.items()}
    most = {blocks: max(ratios[blocks, c] for c in recorded.FIXED) for blocks in (2, 5)}
    return figures.describe(
        figure, "The constant at which magnitudes are fixed decides the order: the chain is the lower one for c up to "
        f"{turns[2]:g} at n = 2 and {turns[5]:g} at n = 5 (ratio {ratios[2, 0.1]:.2f} and {ratios[5, 0.1]:.2f} at "
        f"c = 0.1), the residual network above that ({ratios[2, 1.0]:.2f} and {ratios[5, 1.0]:.2f} at c = 1; at most "
        f"{most[2]:.2f} and {most[5]:.2f}; {ratios[2, last]:.2f} and {ratios[5, last]:.2f} at c = {last:g}). Of these c = "
        f"{lowest[2]:g} and {lowest[5]:g} give the residual network's lowest F. (Width 4; recorded, 100 steps, three seeds.)",
        "Left, F against the norm of every filter on a logarithmic axis, chain and residual network, two depths. Right, their "
        "ratio: it rises from below one at small norms to above one, and falls again at the largest.",
        {"at c = 0.1 the chain is below the residual network, at c = 1 above": all(
            ratios[blocks, 0.1] < 1 < ratios[blocks, 1.0] for blocks in (2, 5)),
         "the chain is the lower one at every norm up to the named one, the residual network above it": all(
             below[blocks] == list(recorded.FIXED[:len(below[blocks])]) for blocks in (2, 5)),
         "the ratio falls at the largest norm": all(1 < ratios[blocks, last] < most[blocks] for blocks in (2, 5))})


def _curves_by_norm(values, order, ratios, F):
    for blocks, style in ((2, "-"), (5, "--")):
        for family in ("chain", "resnet"):
            label, colour, marker = LINES[family]
            values.plot(recorded.FIXED, [F[family, blocks, c] for c in recorded.FIXED], marker[0] + style, color=COLOURS["blue"]
                        if family == "resnet" else colour, markersize=4, label=f"{label.split(',')[0]}, n = {blocks}")
        order.plot(recorded.FIXED, [ratios[blocks, c] for c in recorded.FIXED], "o" + style, color="black", markersize=4,
                   label=f"n = {blocks}")
    order.axhline(1, color=COLOURS["grey"], linewidth=0.8)
    values.set(ylabel="F reached", ylim=(0, None))
    order.set(ylabel="F of chain / F of residual")
    for axes in (values, order):
        axes.set(xscale="log", xlabel="norm c of every filter", xticks=[0.1, 0.25, 0.5, 1, 2, 4])
        axes.set_xticklabels(["0.1", "0.25", "0.5", "1", "2", "4"])
        axes.minorticks_off()
        axes.legend(fontsize=8)


def floors():
    """Return the table of published convolutional values against the universal floor of our analysis form."""
    rows = []
    for (family, blocks, width), plotted in bounds.PUBLISHED_CONVOLUTIONAL.items():
        least = frame_potential.floor(induced.cifar(family, blocks, width))
        below = "yes" if plotted < least else "no"
        rows.append((f"{family}, {blocks} block{'s' * (blocks > 1)} a group", f"{plotted:.4f}", f"{least:.4f}", below))
    return Table(("32 filters", "published F", "floor", "below it"), rows, "Published values and the floor of the analysis form.")


def sensitivity():
    """Return the table of conventions: the range of chain over residual under each, and how often it is above 1."""
    own = grid()
    lines, kinds = [], [("analysis chain, unit magnitudes", "chain", "unit", "potential"),
            ("Eq. 6 chain, unit magnitudes", "synthesis", "unit", "potential"),
            ("analysis chain, unit, energy for each atom", "chain", "unit", "energy"),
            ("analysis chain, free, gain 2", "chain", "gain2", "potential"),
            ("analysis chain, free, best of three gains", "chain", "best", "potential")]
    fixed, _ = recorded.ratios_by_norm(results.records(recorded.NORMS))
    for name, family, convention, quantity in kinds:
        ratios = {}
        for size in own.sizes("resnet", "unit" if convention == "unit" else "free"):
            try:
                ratios[size] = _ratio(own, family, convention, size, quantity)
            except KeyError:
                continue
        ends = [f"{ratio:.2f} at {size[0]},{size[1]}" for size, ratio in sorted(ratios.items(), key=lambda one: one[1])]
        above = f"{sum(ratio > 1 for ratio in ratios.values())} of {len(ratios)}"
        lines.append((name, ends[0] if ends else "not run", ends[-1] if ends else "", above))
    lines += [_sensitivity_to_norm(fixed, norm) for norm in recorded.FIXED if norm != 1]
    return Table(("convention", "smallest ratio", "largest", "above 1"), lines,
                 "F of the chain over F of the residual network (third row: their energies for each atom), at (blocks, width).")


def _sensitivity_to_norm(fixed, norm):
    own = sorted((ratio, blocks) for (blocks, c), ratio in fixed.items() if c == norm)
    ends = [f"{ratio:.2f} at {blocks},4" for ratio, blocks in own]
    above = f"{sum(ratio > 1 for ratio, _ in own)} of {len(own)}"
    return f"analysis chain, every norm {norm:g}", ends[0], ends[-1], above


def _ratio(own, family, convention, size, quantity):
    if quantity == "potential":
        return own.ratios(family, convention, [size])[0]
    energies = [min(own.get(name, size, convention, "energies")) / own.get(name, size, convention, "atoms")
                for name in (family, "resnet")]
    return energies[0] / energies[1]


# ---- the paper's fully connected networks ----

def errors_of_fully_connected(setting):
    """Test error of the networks of Fig. 4, plain and regularised, against the least F and against the parameters."""
    draw = setting.numpy("errors of fully connected networks")
    nets = trained.FullyConnected(results.records(fully_connected.NAME), draw)
    figure, panels = figures.subplots(1, 2, size=(7.4, 3.4), sharey=True)
    for axes, values in zip(panels, (nets.potential, nets.parameters), strict=True):
        for errors, (name, colour, marker) in zip((nets.plain, nets.regularised), TRAINED, strict=True):
            axes.plot(values, errors, marker, color=colour, fillstyle="none", markersize=6, label=name)
    panels[0].set(xlabel="least F (closed form)", ylabel="test error on CIFAR-10, %")
    panels[1].set(xlabel="parameters", xscale="log")
    panels[1].legend()
    above, every = nets.potential > 0, nets.potential >= 0
    found = {(kind, name): correlation(sign * values[chosen], errors[chosen], draw)
             for kind, errors, chosen in (("plain", nets.plain, every), ("regularised", nets.regularised, every),
                                          ("above 0", nets.regularised, above))
             for name, sign, values in (("F", 1, nets.potential), ("count", -1, nets.parameters))}
    return figures.describe(figure, *_said_of_fully_connected(nets, above.sum(), found))


def _said_of_fully_connected(nets, above, found):
    """Return caption, description and findings of the figure above; ``found``: how F and the count correlate with errors."""
    said = {key: _with_interval(each) for key, each in found.items()}
    before, after = (values.mean() for values in nets.reached)
    largest, column = abs(nets.regularised - nets.plain).max(), nets.plain[nets.potential == 0]
    return (f"The fewer parameters, the larger the error: rank correlation {said['plain', 'count']} over {len(nets.plain)} "
            f"networks, regularised {said['regularised', 'count']}. The least F: {said['plain', 'F']}, regularised "
            f"{said['regularised', 'F']}: {len(column)} networks share the value 0. Among the other {above}, regularised, F "
            f"ranks at {said['above 0', 'F']}, the count at {said['above 0', 'count']}. The regulariser lowers the F "
            f"of the trained filters from {before:.3f} to {after:.3f} on average, and no error moves by more than {largest:.1f} "
            f"points. (Mean of {nets.seeds} seeds.)",
            f"Two scatter plots of test error, from {nets.plain.min():.0f} to {nets.plain.max():.0f} %, each network twice. Left "
            f"against the least F: a column of {len(column)} networks at 0, with errors from {column.min():.0f} to "
            f"{column.max():.0f} %, and a rising cloud of the others. Right against the number of parameters: the errors fall.",
            {"the errors fall with the number of parameters, plain and regularised":
                 all(found[kind, "count"][1][0] > 0 for kind in ("plain", "regularised")),
             "parameters order the errors better than the least F, plain and regularised":
                 all(found[kind, "count"][0] > found[kind, "F"][0] for kind in ("plain", "regularised")),
             "among networks of positive least F, the error rises with it, as much as the claim asks":
                 found["above 0", "F"][1][0] > 0 and found["above 0", "F"][0] >= 0.7,
             "the regulariser lowers the mean F reached": after < before})


# ---- the paper's chains, residual and dense networks, trained ----

def errors_by_family(setting):
    """Test error of the trained chains, residual and dense networks, against their least F and against their parameters."""
    draw = setting.numpy("errors by family")
    nets = trained.Networks(trained_grid.mean_errors(results.records(trained_grid.NAME)), grid(), draw)
    figure, panels = figures.subplots(1, 2, size=(7.4, 3.4), sharey=True)
    for family in ("densenet", "resnet", "chain"):
        label, colour, marker = LINES[family]
        keys = nets.of(family)
        for axes, quantity in zip(panels, ("potential", "parameters"), strict=True):
            axes.plot(nets.values(keys, quantity), nets.known(keys), marker[0], color=colour, fillstyle="none", markersize=6,
                      label=label)
    panels[0].set(xlabel="least F (recorded)", ylabel="test error on CIFAR-10, %")
    panels[1].set(xlabel="parameters", xscale="log")
    panels[1].legend()
    groups = {"skips": ("densenet", "resnet"), "chains": ("chain",), "all": ("densenet", "resnet", "chain")}
    found = {(group, name): correlation(sign * nets.values(nets.of(*families), quantity), nets.known(nets.of(*families)), draw)
             for group, families in groups.items()
             for name, sign, quantity in (("F", 1, "potential"), ("count", -1, "parameters"))}
    return figures.describe(figure, *_said_by_family(nets, found))


def _said_by_family(nets, found):
    """Return caption, description and findings of the figure above; ``found``: how F and parameters rank errors, by group."""
    said = {key: _with_interval(each) for key, each in found.items()}
    pairs = [nets.known([("chain", *key[1:]), key]) for key in nets.of("resnet")]
    better, known = sum(residual < chain for chain, residual in pairs), nets.known(sorted(nets.errors))
    return (f"The error rises with the least F among residual and dense networks (rank correlation {said['skips', 'F']}, with "
            f"few parameters {said['skips', 'count']}), not among chains ({said['chains', 'F']}; {said['chains', 'count']}). "
            f"Over all {len(known)} networks: {said['all', 'F']}; {said['all', 'count']}. The residual net errs less than the "
            f"chain of its size in {better} of {len(pairs)} sizes. (Images of 16 x 16, ten epochs, mean of the recorded seeds; F "
            "at unit magnitudes.)",
            f"Two scatter plots of test error, from {known.min():.0f} to {known.max():.0f} %, with a marker for each family. "
            "Left against the least F, right against the number of parameters.",
            {"the error rises with the least F among residual and dense networks": found["skips", "F"][1][0] > 0,
             "it does not among chains": found["chains", "F"][1][0] <= 0})


def errors_by_depth(setting):
    """Figures 5a and 6a: test error of trained chains and residual networks against depth, and one against the other."""
    nets = trained.Networks(trained_grid.mean_errors(results.records(trained_grid.NAME)), grid(), None)
    figure, (depth, pairs) = figures.subplots(1, 2, size=(7.4, 3.4))
    for width, style in zip(trained_grid.WIDTHS, (":", "--", "-"), strict=True):
        errors = {family: nets.known(nets.of(family, widths=[width])) for family in ("chain", "resnet")}
        for family, own in errors.items():
            _, colour, marker = LINES[family]
            depth.plot(trained_grid.DEPTHS, own, marker[0] + style, color=colour, label=f"{FAMILY[family]}, width {width}")
        pairs.plot(errors["chain"], errors["resnet"], "s" + style, color="black", fillstyle="none", label=f"width {width}")
    both = nets.known(nets.of("chain", "resnet"))
    ends = [both.min() - 2, both.max() + 2]
    pairs.plot(ends, ends, color=COLOURS["grey"], linewidth=0.8)
    pairs.set(xlabel="error of the chain, %", ylabel="error of the residual network, %", xlim=ends, ylim=ends)
    depth.set(xlabel="blocks in each group", ylabel="test error on CIFAR-10, %", xticks=trained_grid.DEPTHS)
    for axes in (depth, pairs):
        axes.legend(fontsize=8)
    return figures.describe(figure, *_said_by_depth(nets))


FAMILY = {"chain": "chain", "resnet": "residual"}


def _said_by_depth(nets):
    """Return caption and description of the figure above."""
    first, last = trained_grid.DEPTHS[0], trained_grid.DEPTHS[-1]
    rises = {family: ", ".join(f"{nets.errors[family, last, width] - nets.errors[family, first, width]:+.1f}"
                               for width in trained_grid.WIDTHS) for family in FAMILY}
    gains = [nets.errors["chain", *key[1:]] - nets.errors[key] for key in nets.of("resnet")]
    return (f"From {first} to {last} blocks the chains' error changes by {rises['chain']} points (widths "
            f"{', '.join(map(str, trained_grid.WIDTHS))}), the residual networks' by {rises['resnet']}. What the skips gain lies "
            f"between {min(gains):.1f} and {max(gains):.1f} points. (Figures 5a and 6a; images of 16 x 16, ten epochs, mean of "
            "the recorded seeds.)".replace("-", "−"),
            "Left, test error against the number of blocks: three lines for chains, three for residual networks, by width. "
            "Right, the error of each residual network against that of its chain, with the diagonal on which both are equal.")


# ---- networks that others trained ----

@functools.lru_cache(maxsize=1)
def cells():
    """Return F and its rivals on the cells of NAS-Bench-201, at every setting that is recorded."""
    return benchmarks.Cells([record for name in others.NAMES for record in results.records(name)])


def _with_interval(found):
    value, (low, high) = found
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def chooser(setting):
    """Return the still picture and the data of the figure in which a reader chooses an architecture by its least F."""
    (worth, holds), nets = _worth(setting), _unit_nets()
    figure, axes = figures.subplots(size=(7, 3.2))
    for family, (name, colour, style) in LINES.items():
        own = [(net["parameters"], net["F"]) for net in nets[family]]
        axes.plot(*zip(*own, strict=True), style[0], color=colour, markersize=4, label=f"{name} ({len(own)})")
    axes.set(xscale="log", xlabel="parameters", ylabel="least F found")
    axes.legend(loc="upper right", fontsize=9)
    count = sum(map(len, nets.values()))
    figures.describe(
        figure, f"The least F of {count} recorded networks, filters of norm one, against their size. On the page the reader "
        f"chooses family, depth, width and budget; the closed form of fully connected chains is computed there. {worth}",
        f"{count} dots in four colours, one for each family: F against the number of parameters on a logarithmic axis.",
        {"on NAS-Bench-201 low F goes with accuracy on CIFAR-10": holds})
    data = {"input": fully_connected.INPUT, "classes": 10, "chains": _chains(),
            "recorded": {LINES[family][0]: own for family, own in nets.items()},
            "start": {"family": "residual", "depth": 2, "width": 16, "growth": 2, "place": [0.3, 0], "budget": 0.5}}
    return figure, data


def _worth(setting):
    """Return what the claims on NAS-Bench-201 say of F, with their numbers, and whether low F goes with accuracy there."""
    wanted = ("dfp.nas201_rank/cifar10", "dfp.nas201_count/beats_parameters", "dfp.nas201_beyond/equal_parameters")
    entries = {entry.id: entry for entry in checking.registered("deep-frame-potential") if entry.id in wanted}
    outcomes = [checking.run(entries[name], setting) for name in wanted]
    rank, beside, equal = (outcome.measured for outcome in outcomes)
    sign = "lower" if beside < 0 else "higher"
    return (f"Is low F good? On NAS-Bench-201 it goes with accuracy on CIFAR-10 (rank correlation {rank:.2f}). Its correlation "
            f"is {abs(beside):.2f} {sign} than that of the number of parameters, on the data set of three where it does best. "
            f"Over pairs of cells with equally many parameters, the share that it orders rightly less the share "
            f"that it orders wrongly is {equal:.2f} where it does worst (0 is a coin).", outcomes[0].interval[0] > 0)


def saturation():
    """Return the table of how chains keep up with residual networks, width by width, from two blocks to the most recorded."""
    own, lines = grid(), []
    sizes = own.deep("chain", "resnet", magnitudes="unit")
    for width in sorted({width for _, width in sizes}):
        ends = [(2, width), (max(blocks for blocks, other in sizes if other == width), width)]
        share = grid_checks.slope(own, "chain", ends) / grid_checks.slope(own, "resnet", ends)
        lines.append((str(width), f"{share:.2f}", *(f"{ratio:.2f}" for ratio in own.ratios("chain", "unit", ends))))
    return Table(("width", "fall of the chain's log F, residual 1", "chain / residual at n = 2", "at the most blocks"), lines,
                 "How fast F falls with the parameters along depth, and its ratio, by width. (Recorded, unit magnitudes.)")


def _unit_nets():
    """Return by family the recorded networks with filters of norm one, as the chooser takes them."""
    nets = {family: [] for family in LINES}
    for record in recorded.recorded():
        configuration, result = record["configuration"], record["result"]
        if configuration["magnitudes"] == "unit":
            width, depth = configuration.get("width", configuration.get("growth")), result["layers"]
            kind = "growth" if configuration["family"] == "densenet" else "width"
            name = f"{LINES[configuration['family']][0]}, {depth} layers, {kind} {width}"
            nets[configuration["family"]].append(_net(name, depth, width, result))
    return nets


def _chains():
    """Return the fully connected networks of Figure 4 whose widths grow by one factor, with the closed form of F."""
    shapes = [shape for shape in fully_connected.SHAPES if len({b / a for a, b in itertools.pairwise(shape)}) == 1]
    sizes = [[width * factor for factor in shape] for width in fully_connected.WIDTHS[:4] for shape in shapes]
    return [_net("-".join(map(str, hidden)), len(hidden), hidden[0], fully_connected.standing(hidden)) for hidden in sizes]


def _net(name, depth, width, result):
    return {"name": name, "depth": depth, "width": width, "parameters": result["parameters"], "F": result["potential"]}


def choosing(setting):
    """Return in two sentences what F is worth for choosing among networks that others trained."""
    own, draw = cells(), setting.numpy("answer")
    scores, accuracies = own.scores("cifar10"), own.accuracies("cifar10")
    low, count, start = (_with_interval(correlation(scores[name], accuracies, draw))
                         for name in ("F, minimum", "parameters", "F, random filters"))
    same, used = (_with_interval(concordance(scores["F, minimum"], accuracies, own.groups[kind], draw))
                  for kind in ("same operations", "same in use"))
    left = _with_interval(beyond(scores["F, minimum"], scores["parameters"], accuracies, draw))
    return textwrap.fill(
        f"Choose by F? Over {len(accuracies)} networks of NAS-Bench-201, which others trained, low minimum F ranks the accuracy "
        f"on CIFAR-10 with correlation {low}; the number of parameters with {count}; F of random filters with {start}. At equal "
        f"numbers of parameters {left} is left. Of two networks made of the same six operations F orders more pairs rightly than "
        f"wrongly by {same} (1 would be all of them, 0 a coin); where the same operations lie on a path from input to output, by "
        f"{used}. {_in_darts(draw)}", 74)


def _in_darts(draw):
    """Return the same in a sentence for the DARTS space."""
    own = darts_networks()
    scores, accuracies = own.scores("cifar10"), own.accuracies("cifar10")
    low, count = (_with_interval(correlation(scores[name], accuracies, draw)) for name in ("F, minimum", "parameters"))
    left = _with_interval(beyond(scores["F, minimum"], scores["parameters"], accuracies, draw))
    return (f"Over {len(accuracies)} networks of the DARTS space, whose accuracies a surrogate tells, the correlation is {low}, "
            f"that of the number of parameters {count}, and at equal numbers {left} is left to low F.")


def accuracy_against_potential(setting):
    """Accuracy of the cells of NAS-Bench-201 against the minimum F and against the number of parameters."""
    figure, panels = figures.subplots(1, 2, size=(7.4, 3.6), sharey=True)
    own, draw = cells(), setting.numpy("accuracy against potential")
    accuracies, poolings = own.accuracies("cifar10"), -own.scores("cifar10")["few poolings"]
    lowest, columns = 75, {"minimum F": -own.low(), "million parameters": own.column("params")}
    for panel, (title, values) in zip(panels, columns.items(), strict=True):
        for count, colour in enumerate(("blue", "green", "orange", "red")):
            chosen = poolings == count if count < 3 else poolings >= 3
            panel.plot(values[chosen], accuracies[chosen], ".", color=COLOURS[colour], markersize=4,
                       label=str(count) if count < 3 else "3 or more")
        panel.set(xlabel=title, ylim=(lowest, 92))
    panels[0].set_ylabel("accuracy on CIFAR-10, %")
    panels[0].legend(title="poolings", fontsize=8, markerscale=2, loc="lower left")
    F, parameters = (correlation(sign * values, accuracies, draw) for sign, values in zip((-1, 1), columns.values(), strict=True))
    return figures.describe(
        figure, f"Low F goes with high accuracy: rank correlation {_with_interval(F)} on {len(accuracies)} cells of "
        f"NAS-Bench-201, that of the parameter count {_with_interval(parameters)}. (Three cells of four channels, unit "
        f"magnitudes, lowest of three seeds; accuracies as published; {sum(accuracies < lowest)} cells below {lowest} % not "
        "shown.)",
        "Two scatter plots of accuracy, coloured by the number of poolings in the cell. Left against minimum F, right against "
        f"the number of parameters. Mean F of cells without pooling {columns['minimum F'][poolings == 0].mean():.4f}, with three "
        f"or more {columns['minimum F'][poolings >= 3].mean():.4f}.",
        {"low F goes with high accuracy": F[1][0] > 0})


def rivals(setting):
    """Return the table of scores: rank correlations on three data sets, within groups, and the regret of choosing."""
    own, draw = cells(), setting.numpy("rivals")
    counted = {"overlaps, N(G)/K": own.overlaps, "convolutions in use": own.convolutions_in_use}
    sets = {name: (own.scores(name) | counted, own.accuracies(name)) for name in benchmarks.SETS}
    scores, accuracies = sets["cifar10"]
    drawn = candidates(len(accuracies), 10, 2000, draw)
    lines = []
    for name in scores:
        ranks = [_with_interval(correlation(*benchmarks.valid(found[name], known), draw)) for found, known in sets.values()]
        score, known, *groups = benchmarks.valid(scores[name], accuracies, *own.groups.values())
        within = [concordance(score, known, each, draw)[0] for each in groups]
        loss = regrets(np.nan_to_num(scores[name], nan=-np.inf), accuracies, drawn).mean()
        numbers = np.round([kendalltau(score, known).statistic, *within, loss], 2) + 0.0  # which takes the sign from a zero
        lines.append((name, *ranks, *(f"{value:.2f}" for value in numbers)))
    chance = (accuracies[drawn].max(1) - accuracies[drawn].mean(1)).mean()
    lines.append(("chance", *"0000000", f"{chance:.2f}"))
    with_count, with_overlaps = (float(spearman(scores["F, minimum"], other)) for other in (scores["parameters"], own.overlaps))
    return Table(("score", "CIFAR-10", "CIFAR-100", "ImageNet16-120", "Kendall", "equal parameters", "same operations",
                  "same in use", "regret, points"), lines,
                 "Rank correlation with accuracy [95 %]; on CIFAR-10 also Kendall's, over all pairs and in groups, and the "
                 "regret. (In use: on a path from input to output.) Low F itself correlates "
                 f"{with_overlaps:.2f} with N(G)/K, {with_count:.2f} with the number of parameters.")


def settings(setting):
    """Return the table of how F ranks at each recorded setting, on the cells that all of them have."""
    own, draw = cells(), setting.numpy("settings")
    known = {name: own.low(one) for name, one in (others.OTHERS | {"3 cells": others.LEAD, "1 cell, free": others.FREE}).items()
             if results.key(one) in own.results}
    *scores, accuracies, groups = benchmarks.valid(*known.values(), own.accuracies("cifar10"), own.groups["same operations"])
    lines = []
    for name, score in zip(known, scores, strict=True):
        rank, same = correlation(score, accuracies, draw), concordance(score, accuracies, groups, draw)[0]
        lines.append((name, _with_interval(rank), f"{same:.2f}"))
    return Table(("setting", "rank correlation [95 %]", "same operations"), lines,
                 f"How F ranks the accuracies of {len(accuracies):,} cells on CIFAR-10, by how it was computed.")


@functools.lru_cache(maxsize=1)
def darts_networks():
    """Return F and its rivals on the networks of the DARTS space, as recorded."""
    return darts.DartsNetworks([darts_recorded.merged(results.records(darts_recorded.NAME))])


POOLINGS = {"to 2": (0, 2), "3 or 4": (3, 4), "5 or 6": (5, 6), "7 and more": (7, 16)}


def accuracy_in_darts(setting):
    """Accuracy of networks of the DARTS space against the minimum F and against the number of parameters."""
    figure, panels = figures.subplots(1, 2, size=(7.4, 3.6), sharey=True)
    own, draw = darts_networks(), setting.numpy("accuracy in the DARTS space")
    accuracies = own.accuracies("cifar10")
    columns = {"minimum F": -own.low(), "million parameters": own.column("params")}
    for panel, (title, values) in zip(panels, columns.items(), strict=True):
        for (name, (least, most)), colour in zip(POOLINGS.items(), ("blue", "green", "orange", "red"), strict=True):
            chosen = (own.poolings >= least) & (own.poolings <= most)
            panel.plot(values[chosen], accuracies[chosen], ".", color=COLOURS[colour], markersize=4, label=name)
        panel.set_xlabel(title)
    panels[0].set_ylabel("accuracy on CIFAR-10, %")
    panels[1].legend(title="poolings", fontsize=8, markerscale=2, loc="lower right")
    F, parameters = (correlation(sign * values, accuracies, draw) for sign, values in zip((-1, 1), columns.values(), strict=True))
    fewest, most = (columns["minimum F"][chosen].mean() for chosen in (own.poolings <= 2, own.poolings >= 7))
    return figures.describe(
        figure, "Low F ranks the accuracies worse than the number of parameters does: rank correlation "
        f"{_with_interval(F)} against {_with_interval(parameters)}, on {len(accuracies)} networks of the DARTS space. (A normal "
        "and a reduction cell of four channels, unit magnitudes, lowest of three seeds; accuracies of the surrogate.)",
        f"Two scatter plots of accuracy, coloured by the number of poolings in both cells. Left against minimum F, right against "
        f"the number of parameters. Mean F with at most two poolings {fewest:.4f}, with seven or more {most:.4f}.",
        {"low F ranks the accuracies worse than the number of parameters does": F[0] < parameters[0]})


def rivals_in_darts(setting):
    """Return the table of scores in the DARTS space: rank correlations, Kendall's, and the regret of choosing."""
    own, draw = darts_networks(), setting.numpy("rivals in the DARTS space")
    scores, accuracies = own.scores("cifar10"), own.accuracies("cifar10")
    drawn = candidates(len(accuracies), 10, 2000, draw)
    lines = []
    for name, score in scores.items():
        rank = _with_interval(correlation(*benchmarks.valid(score, accuracies), draw))
        tau = kendalltau(*benchmarks.valid(score, accuracies)).statistic
        loss = regrets(np.nan_to_num(score, nan=-np.inf), accuracies, drawn).mean()
        lines.append((name, rank, f"{tau:.2f}", f"{loss:.2f}"))
    chance = (accuracies[drawn].max(1) - accuracies[drawn].mean(1)).mean()
    lines.append(("chance", "0", "0", f"{chance:.2f}"))
    with_count, with_poolings = (float(spearman(scores["F, minimum"], scores[name])) for name in ("parameters", "few poolings"))
    return Table(("score", "rank correlation [95 %]", "Kendall", "regret, points"), lines,
                 "Rank correlation with accuracy in the DARTS space, and the accuracy lost by choosing among ten. Low F "
                 f"itself correlates {with_count:.2f} with the number of parameters, {with_poolings:.2f} with few poolings.")


def ranking(found):
    """Return a ranking as a table; its caption says what is chosen, or why the measure abstains."""
    rows = [(row.name, f"{row.potential:.4f}", row.convention, f"{row.parameters:,}", f"{row.multiply_adds:,}", str(row.depth))
            for row in found.rows]
    says = f"abstains: {found.abstains}." if found.abstains else f"chooses {found.chosen.name}."
    return Table(("architecture", "F", "convention", "parameters", "multiply-adds", "depth"), rows, f"The lowest F {says}")
