"""What the chapter on ResNEsts draws. Every caption repeats that the guarantees are about training risk at fixed features."""

import functools
import itertools

import numpy as np

from deepatoms.claims.intervals import mean_and_interval
from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.pages.tables import Table
from deepatoms.studies.resnests import descents, tanh
from deepatoms.studies.resnests.checks.recorded import PUBLISHED
from deepatoms.studies.resnests.checks.trained import trained_task
from deepatoms.theory import resnests

WIDTHS = (2, 8, 11, 14, 16, 17, 24)
STARTS = tuple(itertools.product((-1.5, -0.5, 0.5, 1.5), (-3.0, -1.5, 0.0, 1.5, 3.0)))
STEPS = (0.0, 0.3, 0.6, 0.9, 1.2)
BLOCKS = range(1, 7)
NETS = (1, 2, 3, 4)
WIDTH_OF = {"wide: 32 rows": 32, "narrow: 3 rows": 3}
FEATURES = ("three tanh blocks", "second block predictable")


def nested_risks(seed):
    """Least training risk against the number of blocks, wide and narrow nets on two data sets."""
    figure, panels = figures.subplots(1, 2, size=(7, 3.3))
    of_width = {"narrow": [], "wide": []}
    for axes, (name, narrow, wide) in zip(panels, (("diabetes", 3, 32), ("digits", 10, 38)), strict=True):
        x, y = tanh.data(name)
        for width, colour, label in ((narrow, "red", f"narrow, M = {narrow}"), (wide, "blue", f"wide, M = {wide}")):
            for number in range(4):
                rng = np.random.default_rng([seed, width, number])
                task = tanh.Task(tanh.draw(rng, x.shape[1], y.shape[1], [3] * 6, width), x, y)
                risks = [task.coupled(blocks).infimum() for blocks in range(1, 7)]
                of_width[label.split(",")[0]].append((max(np.diff(risks)), max(risks) - resnests.linear_risk(x, y)))
                axes.plot(range(1, 7), risks, "o-", color=COLOURS[colour], markersize=3, linewidth=1.2,
                          label=label if number == 0 else None)
        axes.axhline(resnests.linear_risk(x, y), color="black", linestyle="--", linewidth=1, label="linear predictor")
        axes.set(title=name, xlabel="blocks", ylabel="least training risk")
        axes.legend(fontsize=8.5)
    return figures.describe(
        figure, "Wide nets never lose by a further block and never fall behind the linear predictor; narrow ones do both. "
        "(Training risk at fixed random features, in closed form; four nets each.)",
        "Two panels, diabetes and digits, of least training risk against one to six blocks. The curves of wide nets fall and "
        "stay below the dashed line of the linear predictor. Those of narrow nets rise and fall and lie above it.",
        {"no wide net loses by a further block or falls behind the linear predictor":
             bool(np.max(of_width["wide"]) <= 1e-9),
         "narrow nets do both": bool((np.max(of_width["narrow"], 0) > 1e-9).all())})


def critical_levels(seed):
    """All critical values of one problem, with the smallest curvature at each."""
    figure, axes = figures.subplots(size=(7, 3.3))
    problem = tanh.random_task(np.random.default_rng([seed, 7])).coupled()
    curvatures = {}
    for size in range(4):
        for subset in itertools.combinations(range(3), size):
            point = problem.critical_point(subset)
            low = curvatures[subset] = np.linalg.eigvalsh(problem.hessian(*point))[0]
            colour = COLOURS["blue"] if size == 3 else COLOURS["red"]
            axes.plot(size, problem.critical_value(subset), "o", color=colour)
            axes.annotate(f"{low:.2f}" if low < -1e-9 else "0", (size, problem.critical_value(subset)), (8, -3),
                          textcoords="offset points", fontsize=9)
    axes.set(xlabel="rank of the prediction weights", ylabel="risk", xticks=range(4), xlim=(-0.3, 3.6))
    return figures.describe(
        figure, "Eight critical values, one for each set of principal outputs that is kept. Only the full set is a minimum; "
        "every other point is a saddle with the negative curvature written beside it. (Training risk at fixed features; three "
        "outputs.)",
        "Risk against the rank of the prediction weights. One dot at rank zero is highest, three dots each at ranks one and two "
        "lie lower, one blue dot at rank three is lowest. Negative numbers stand beside all red dots, zero beside the blue one.",
        {"every critical point but the full set has negative curvature":
             all(low < -1e-9 for subset, low in curvatures.items() if len(subset) < 3),
         "the full set has none": bool(curvatures[0, 1, 2] > -1e-9)})


def arriving(setting):
    """How many descents arrive, against the width."""
    figure, axes = figures.subplots(size=(7, 2.9))
    widths, (fractions, later) = descents.ARRIVING, np.transpose(descents.arrivals(setting))
    for shares, cap, colour in zip((fractions, later), descents.CAPS, ("blue", "orange"), strict=True):
        axes.plot(widths, shares, "o-", color=COLOURS[colour], label=f"within {cap:,} steps")
    axes.legend(loc="lower right")
    axes.set(xlabel="width M (three inputs, three outputs)", ylabel="runs that arrive", ylim=(0, 1.05), xticks=widths)
    return figures.describe(
        figure, "Every width here satisfies Assumptions 3 and 4, so no local minimum is bad; yet at $M = N_o$ only "
        f"{fractions[0]:.0%} of the runs arrive within {descents.CAPS[0]:,} steps, {later[0]:.0%} within "
        f"{descents.CAPS[1]:,}. ({descents.RUNS} L-BFGS runs each; training risk at fixed features.)",
        "Fraction of runs that reach the optimum against the width, after few steps and after many. From left to right: "
        f"{', '.join(f'{f:.2f}' for f in fractions)}; then {', '.join(f'{f:.2f}' for f in later)}.",
        {"fewest runs arrive where the width equals the number of outputs": bool(fractions[0] == min(fractions) < 1)
             and bool(later[0] == min(later) < 1)})


def feature_reuse(setting):
    """What each block of a trained net adds: refitted risk and unpredictable share of its feature."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 3.2))
    most, fall, new = {}, {}, {}
    for name, colour in (("diabetes", "blue"), ("digits", "orange")):
        task = trained_task(setting, name)
        risks = resnests.prefix_risks(task.features, task.y)
        most[name] = 1 + int(np.argmin(np.diff(risks)))
        fall[name], new[name] = np.diff(risks), resnests.unpredictability(task.features)
        left.plot(range(7), np.array(risks) / risks[0], "o-", color=COLOURS[colour], label=name)
        right.plot(range(1, 7), new[name], "o-", color=COLOURS[colour], label=name)
    left.set(xlabel="features used, v₀ to vᵢ", ylabel="refitted risk / linear risk", ylim=(0, 1.05))
    right.set(xlabel="block i", ylabel="unpredictable share of vᵢ", ylim=(0, None))
    left.legend()
    return figures.describe(
        figure, f"Each block of these nets adds something; most is added by block {most['digits']} on digits and by block "
        f"{most['diabetes']} on diabetes. (Training risk at the trained features; six blocks of three units.)",
        "Left, the risk refitted on more and more features, relative to the linear one, falls with every block. Right, the "
        "share of each block's feature energy that earlier features do not predict.",
        {"the refitted risk falls with every block": all((steps < 0).all() for steps in fall.values()),
         "no block is predictable from the earlier ones": all(np.min(shares) > 1e-9 for shares in new.values())})


@functools.lru_cache(maxsize=8)
def _halves(seed, width):
    """Training and held-out risks of random nets on halves of diabetes: rows are halves, columns the number of blocks."""
    x, y = tanh.data("diabetes")
    risks = {"training half": [], "held-out half": []}
    for number in range(20):
        rng = np.random.default_rng([seed, 11, number])
        task = tanh.Task(tanh.draw(rng, 11, 1, [3] * 6, width), x, y)
        order = rng.permutation(len(x))
        halves = dict(zip(risks, (order[:221], order[221:]), strict=True))
        rows = {name: [] for name in risks}
        for blocks in BLOCKS:
            seen = np.hstack([task.states[blocks - 1], task.features[blocks]])
            heads = np.linalg.lstsq(seen[order[:221]], y[order[:221]], rcond=1e-10)[0]
            for name, half in halves.items():
                rows[name].append(((seen[half] @ heads - y[half]) ** 2).mean())
        for name in risks:
            risks[name].append(rows[name])
    return {name: np.array(rows) for name, rows in risks.items()}


def seen_and_unseen(seed):
    """Training and held-out risk of the first l blocks of random wide nets on halves of diabetes."""
    return _two_risks(_halves(seed, 32))


def adding_frame(setting, blocks, width, net):
    """Risks of one net as blocks are added, up to a chosen number, on the half that it was solved on and on the other."""
    rows = WIDTH_OF[width]
    risks = {name: found[net - 1] for name, found in _halves(setting.seed, rows).items()}
    figure, axes = figures.subplots(size=(7, 3))
    for (name, found), colour in zip(risks.items(), ("blue", "orange"), strict=True):
        axes.plot(BLOCKS[:blocks], found[:blocks], "o-", color=COLOURS[colour], label=name)
        axes.plot(BLOCKS[blocks - 1], found[blocks - 1], "o", color=COLOURS[colour], markersize=11, fillstyle="none")
    # One axis for all nets that the explorer shows: what differs from frame to frame is the curves, not their scale.
    every = np.array([found[:len(NETS)] for number in WIDTH_OF.values() for found in _halves(setting.seed, number).values()])
    axes.set(xlabel="blocks", ylabel="risk", xlim=(0.8, 6.2), xticks=BLOCKS, ylim=(0.9 * every.min(), 1.05 * every.max()))
    axes.legend(loc="upper right")
    return figures.describe(
        figure, f"{_added(blocks, risks)} (Diabetes, random net {net} with {rows} rows, the last matrices solved on one half: "
        "fixed features.)",
        f"Two curves over the number of blocks, drawn up to {blocks}. {_added(blocks, risks)}")


def _added(blocks, risks):
    """Say what the last block did to each risk."""
    said = "; ".join(f"{name} {found[blocks - 1]:.3f}" for name, found in risks.items())
    if blocks == 1:
        return f"One block: {said}."
    moves = [found[blocks - 1] - found[blocks - 2] for found in risks.values()]
    words = [f"{'lowers' if move < 0 else 'raises'} the {name.split()[0]} risk by {abs(move):.3f}"
             for name, move in zip(("training", "held-out"), moves, strict=True)]
    return f"Block {blocks} {words[0]} and {words[1]}: {said}."


def _two_risks(risks):
    figure, axes = figures.subplots(size=(7, 3))
    for (name, rows), colour in zip(risks.items(), ("blue", "orange"), strict=True):
        axes.fill_between(range(1, 7), *np.quantile(rows, [0.25, 0.75], axis=0), color=COLOURS[colour], alpha=0.25, linewidth=0)
        axes.plot(range(1, 7), rows.mean(0), "o-", color=COLOURS[colour], label=name)
    axes.set(xlabel="blocks", ylabel="risk")
    axes.legend()
    seen, unseen = (np.diff(rows.mean(0)) for rows in risks.values())
    return figures.describe(
        figure, "More blocks lower the training risk, as the theorem says, and raise the held-out risk, on which it is silent. "
        "(Diabetes, random wide nets, twenty random halves: mean and middle half; fixed features.)",
        "Risk against one to six blocks, of the training and of the held-out half. Shaded bands show the spread over the halves.",
        {"the mean training risk falls with every block": bool((seen < 0).all()),
         "the mean held-out risk is higher after six blocks than after one": bool(unseen.sum() > 0)})


def probes(found):
    """Training and held-out risk, and accuracy, of a linear probe after every block of a trained network."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 3.3))
    places = range(len(found))
    left.plot(places, [risk.training for risk in found], "o-", color=COLOURS["blue"], label="training")
    left.plot(places, [risk.held_out for risk in found], "o-", color=COLOURS["orange"], label="held out")
    right.plot(places, [risk.accuracy for risk in found], "o-", color=COLOURS["orange"])
    for axes in (left, right):
        axes.set(xticks=places, xlabel="block (0: the input)")
    left.set(ylabel="risk of a linear probe", ylim=(0, None))
    right.set(ylabel="held-out accuracy of the probe", ylim=(0, 1))
    left.legend(fontsize=8.5)
    accuracies = ", ".join(f"{risk.accuracy:.2f}" for risk in found)
    return figures.describe(
        figure, "Where could this network be cut? A linear probe after every block of a residual network trained on digits. (Its "
        "features are pooled and its blocks carry ReLU and strides, so Theorem 1 does not cover it; risks of linear fits.)",
        f"Left, training and held-out risk of a linear probe from the input to the last block. Right, its held-out accuracy: "
        f"{accuracies}.",
        {"the last block's training risk is below the input's": bool(found[-1].training < found[0].training)})


VARIANTS = ("standard", "bn-resnest", "a-resnest")


def accuracies_table(records):
    """Return the table of recorded accuracies of the variants on digits."""
    rows = [(record["configuration"]["variant"], f"{np.mean(found):.3f}", f"{np.std(found):.3f}", str(len(found)))
            for record in records for found in (record["result"]["accuracy"],)]
    return Table(("variant", "accuracy", "standard deviation", "seeds"), rows, "Test accuracy on digits.")


def four_variants(records):
    """Accuracy above the ResNEst's: recorded paired runs on digits beside the published table."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 3.3), sharey=False)
    accuracies = {record["configuration"]["variant"]: np.array(record["result"]["accuracy"]) for record in records}
    words, beaten = [], {}
    for place, variant in enumerate(VARIANTS):
        ours = 100 * (accuracies[variant] - accuracies["resnest"])
        published = np.subtract(PUBLISHED[variant], PUBLISHED["resnest"])
        spread = ours.mean() - mean_and_interval(ours)[1][0]
        left.plot(place + np.linspace(-0.15, 0.15, len(ours)), ours, ".", color=COLOURS["grey"], markersize=4)
        left.errorbar(place, ours.mean(), spread, fmt="o", color=COLOURS["blue"], capsize=4)
        right.plot(place + np.linspace(-0.15, 0.15, 8), published, "o", color=COLOURS["orange"], markersize=4)
        words.append(f"{variant} {ours.mean():+.1f} points, plus or minus {spread:.1f}")
        beaten[variant] = ours.mean() - spread, published.min()
    for axes, title in ((left, f"digits, {len(accuracies['resnest'])} paired seeds"), (right, "published, CIFAR")):
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=title, xticks=range(3), xticklabels=VARIANTS, ylabel="accuracy above ResNEst, points")
    return figures.describe(
        figure, "BN-ResNEst and A-ResNEst beat the ResNEst on digits, too. (Test accuracy after training end to end: the "
        "theorems compare training risks at fixed features and imply none of these orderings. Digits recorded, with mean and "
        "its 95 % interval; eight published cells each.)",
        f"Left, differences to the ResNEst on digits, {len(ours)} dots each with their mean: {'; '.join(words)}. Right, the "
        f"published differences, from {min(low for _, low in beaten.values()):.1f} points up.",
        {"the 95 % intervals of BN-ResNEst and A-ResNEst over the ResNEst on digits lie above 0":
             bool(beaten["bn-resnest"][0] > 0 and beaten["a-resnest"][0] > 0),
         "the published differences are positive in all cells": all(low > 0 for _, low in beaten.values())})


def gap_frame(width, features):
    """Epsilon against the width, and the singular values that Assumption 4 asks about."""
    figure, (curve, bars) = figures.subplots(1, 2, size=(7, 3.2), width_ratios=[1.4, 1])
    predictable = features == FEATURES[1]
    gaps = [_gap(each, predictable)[0] for each in WIDTHS]
    _, weights = _gap(width, predictable)
    held = resnests.assumption_4(weights)
    curve.semilogy(WIDTHS, np.maximum(gaps, 1e-16), "o-", color=COLOURS["blue"])
    curve.plot([width], [max(_gap(width, predictable)[0], 1e-16)], "o", color="black", markersize=10, fillstyle="none")
    curve.axvline(17, color=COLOURS["grey"], linestyle="--", linewidth=1)
    curve.set(xlabel="width M", ylabel="gap ε", ylim=(1e-17, 2))
    values = np.linalg.svd(np.hstack(weights), compute_uv=False)
    bars.bar(range(1, 18), np.pad(values, (0, 17 - len(values))), color=COLOURS["blue"])
    bars.set(xlabel="singular value", ylabel="size", title="[W₀ W₁ W₂]", ylim=(0, 3.9))
    gap = max(_gap(width, predictable)[0], 0)
    return figures.describe(
        figure, f"M = {width}, {features}: gap {gap:.1e}; {held}. (Diabetes, training risk at fixed random features.)",
        f"Left, the gap on a logarithmic axis against the width, dropping to rounding error; a dashed line marks seventeen, "
        f"the width that Assumption 4 needs, a ring width {width}. Right, bars of the singular values, "
        f"{held.rank} of 17 above zero.",
        {"the gap drops to rounding error, at seventeen at the latest": gaps[0] > 0.1 and max(
            gap for size, gap in zip(WIDTHS, gaps, strict=True) if size >= 17) < 1e-12})


@functools.lru_cache(maxsize=64)
def _gap(width, predictable):
    return descents.diabetes_gap(np.random.default_rng([width, 3]), width, predictable)


@functools.lru_cache(maxsize=1)
def _paths():
    return descents.plane().descents(STARTS)


def arrives(path):
    """Tell whether a path of gradient descent ends at the minimum, not in the valley."""
    plane = descents.plane()
    return bool(plane.risk(*path[-1]) - plane.risk(*plane.minimum()) < 1e-3)


def runaways():
    """Return (b, w) of the explorer's starts from which descent runs down the valley."""
    return [start for number, start in enumerate(STARTS) if not arrives(_paths()[:, :, number])]


def valley_frame(b, w):
    """The descents for one row and one output, with the path of gradient descent from a start."""
    figure, axes = figures.subplots(size=(6, 3.8))
    plane, grid = descents.plane(), np.meshgrid(np.linspace(-2, 2, 61), np.linspace(-8, 8, 81))
    axes.contour(*grid, plane.risk(*grid), levels=[0.12, 0.25, 0.5, 0.9, 1.25, 1.65, 2.5, 5, 10, 25], linewidths=0.8,
                 colors=COLOURS["grey"])
    path = _paths()[:, :, STARTS.index((b, w))] if (b, w) in STARTS else plane.descents([(b, w)])[:, :, 0]
    best = plane.minimum()
    axes.plot(*path.T, color=COLOURS["red"])
    axes.plot([b], [w], "o", color=COLOURS["red"])
    axes.plot(*best, "*", color=COLOURS["blue"], markersize=13)
    axes.set(xlabel="b (prediction weight)", ylabel="w (last block weight)", xlim=(-2, 2), ylim=(-8, 8), xticks=range(-2, 3))
    end, least = plane.risk(*path[-1]), plane.risk(*best)
    said = "arrives at the minimum" if arrives(path) else "runs down a valley to infinity"
    return figures.describe(
        figure, f"From b = {b:g}, w = {w:g} descent {said}: risk {end:.3f} after 20,000 steps, least risk {least:.3f}, "
        f"valley floor {plane.valley():.3f}. (Training risk for $M = N_o = 1$, exact moments.)",
        f"Contours of the risk over b and w, with a star at the only minimum, at positive b. A red path starts at {b:g}, {w:g} "
        f"and {said}.")


@functools.lru_cache(maxsize=4)
def _saddle(rank):
    problem = tanh.random_task(np.random.default_rng(5)).coupled().compressed()
    point = problem.critical_point(range(rank))
    return problem, point, problem.escape_direction(*point)


def escape_frame(rank, step):
    """The risk along the escape direction from a saddle, and the singular values of the prediction weights."""
    figure, (curve, bars) = figures.subplots(1, 2, size=(7, 3.2), width_ratios=[1.3, 1])
    problem, point, direction = _saddle(rank)
    walk = np.linspace(0, 1.5, 41)
    risks = np.array([problem.risk(*_moved(point, direction, s)) for s in walk])
    here, bent = risks[0], problem.curvature(*point, *direction)
    curve.plot(walk, risks, color=COLOURS["blue"], label="risk")
    curve.plot(walk[:24], here + bent * walk[:24] ** 2 / 2, "--", color=COLOURS["orange"], label="second order")
    curve.axhline(problem.infimum(), color="black", linewidth=0.8, linestyle=":", label="least risk")
    W, B = _moved(point, direction, step)
    curve.plot([step], [problem.risk(W, B)], "o", color=COLOURS["red"], markersize=8)
    curve.set(xlabel="way along the escape direction", ylabel="risk")
    curve.yaxis.set_major_formatter("{x:.2f}")
    curve.legend(loc="center left", fontsize=8.5)
    bars.bar([1, 2, 3], np.linalg.svd(B, compute_uv=False), color=COLOURS["blue"])
    bars.set(xlabel="singular value", title="last matrix", xticks=[1, 2, 3], ylim=(0, 1.05 * np.linalg.norm(_saddle(2)[1][1], 2)))
    return figures.describe(
        figure, f"A saddle of rank {rank}, {step:g} along its escape direction: risk {problem.risk(W, B):.4f}, "
        f"at the saddle {here:.4f}, curvature {bent:.2f}. (Training risk at fixed features; three outputs.)",
        f"Left, the risk along the direction starts flat, bends down as the dashed parabola does, and "
        f"{'later rises' if risks.argmin() < len(walk) - 1 else 'falls to the end'}; a dot at {step:g}. Right, the three "
        f"singular values of the prediction weights, {rank} of them nonzero at the saddle.",
        {"the risk bends down as the parabola does": bool(
            bent < 0 and np.isclose(risks[1] - here, bent * walk[1]**2 / 2, 0.01))})


def _moved(point, direction, step):
    return tuple(part + step * move for part, move in zip(point, direction, strict=True))
