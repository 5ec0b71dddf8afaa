"""What the chapter on five lenses draws."""

import numpy as np
import torch
from matplotlib.patches import Rectangle

from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.pages.tables import Table
from deepatoms.studies.five_lenses import links, measures, networks, relations, sixty
from deepatoms.studies.five_lenses.measures import MEASURES, NAMES, THEORIES, THEORY

SHADES = dict(zip(THEORIES, ("blue", "orange", "green", "purple", "red"), strict=True))
EXPLORED = {NAMES[name]: name for name in ("potential", "coherence", "density", "condition", "slack", "template_cosine",
                                           "regions", "left", "novelty")}
MARKS = {"start": ("grey", "o"), "start permuted": ("grey", "x"), "trained": ("blue", "o"), "trained permuted": ("blue", "x"),
         "shuffled labels": ("red", "o")}
COSINES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
PICTURED = 32  # atoms of the dictionary whose atom is tilted in the figure


# ---- the sixty networks ----

def matrix(records):
    """Rank correlations of all lenses: as they are below the diagonal, given the recipe above it; dots survive Holm."""
    names, given = list(MEASURES), relations.recipe(records)
    shown, kept, columns = np.eye(len(names)), [], relations.table(records)
    for fixed, order in ((None, 1), (given, -1)):
        for a, b in ((a, b) for i, a in enumerate(names) for b in names[:i]):
            place = (names.index(a), names.index(b))[::order]
            shown[place] = relations.relation(columns[a], columns[b], fixed).correlation
        survivors = relations.surviving(relations.across(records, fixed))
        kept.append([(names.index(b), names.index(a))[::order] for a, b in survivors])
    figure, axes = figures.subplots(size=(7, 6.4))
    colours = figures.SIGNED.with_extremes(bad=(0.5, 0.5, 0.5, 0.5))  # of the diagonal
    image = axes.imshow(np.ma.masked_where(np.eye(len(names)) > 0, shown), cmap=colours, vmin=-1, vmax=1, aspect="auto")
    rows, places = np.array([*kept[0], *kept[1]]).reshape(-1, 2).T
    axes.plot(places, rows, "o", color="black", markersize=3.5)
    _outline_theories(axes)
    axes.set_xticks(range(len(names)), labels=[NAMES[name] for name in names], rotation=90)
    axes.set_yticks(range(len(names)), labels=[NAMES[name] for name in names])
    figure.colorbar(image, location="top", shrink=0.6, label="rank correlation")  # on a phone the columns need the width
    return _describe_matrix(figure, records, *map(len, kept))


def _outline_theories(axes):
    start = 0
    for theory, found in THEORIES.items():
        axes.add_patch(Rectangle((start - 0.5, start - 0.5), len(found), len(found), fill=False, linewidth=1.6,
                                 edgecolor=COLOURS[SHADES[theory]]))
        start += len(found)


def _describe_matrix(figure, records, raw, given):
    total = len(relations.pairs())
    return figures.describe(
        figure, f"{len(records)} residual networks on digits: rank correlations of {len(MEASURES)} numbers, as they are "
        "(below the diagonal) and given the recipe (above it). Dots mark pairs from different theories that "
        f"survive Holm's correction: {raw} of {total} below, {given} of {total} above. Boxes hold the pairs inside one theory, "
        "which are not counted.",
        f"A square of {len(MEASURES)} rows and columns, one for each number, red for positive and blue for negative rank "
        f"correlations. Below the diagonal {raw} of {total} cells outside the five boxes carry a dot, above it {given}.",
        {"fewer pairs of numbers from different theories are related given the recipe than without it": given < raw})


def scatter(records, across, up):
    """Two lenses against each other; a lens against itself is the same lens on other inputs."""
    a, b = EXPLORED[across], EXPLORED[up]
    x, y = relations.table(records)[a], relations.table(records, "elsewhere" if a == b else "lenses")[b]
    figure, axes = figures.subplots(size=(7, 3.8))
    for name, (colour, chosen) in _groups(records).items():
        axes.plot(x[chosen], y[chosen], "o", color=COLOURS[colour], markersize=5, alpha=0.8, label=name)
    axes.set(xlabel=_label(a), ylabel=_label(b) + (", other inputs" if a == b else ""))
    axes.locator_params(nbins=5, steps=[1, 2, 5, 10])
    low, high = axes.get_xlim()
    inner = low + 0.08 * (high - low), high - 0.08 * (high - low)  # a number below a corner would leave some frames
    axes.set_xticks([tick for tick in axes.get_xticks() if inner[0] < tick < inner[1]])
    axes.yaxis.set_major_formatter("{x:.2f}")  # numbers of one width: all frames have the first one's margins
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _describe_scatter(figure, records, (a, b), (x, y))


def _describe_scatter(figure, records, names, values):
    raw, given = (_said(relations.relation(*values, fixed)) for fixed in (None, relations.recipe(records)))
    first, second = (NAMES[name] for name in names)
    what = f"{first} and {second}" if first != second else f"{first}, against itself on other inputs"
    return figures.describe(
        figure, f"{what}: rank correlation {raw} over {len(records)} networks, {given} given the recipe (95 % intervals, not "
        "corrected for the number of pairs).",
        f"A cloud of {len(records)} dots in three colours, {what}, for untrained networks, networks trained on true labels and "
        "networks trained on shuffled labels.")


def _said(found):
    return f"{found.correlation:.2f} [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"


def _groups(records):
    told = [record["configuration"] for record in records]
    return {"untrained": ("grey", [not one["epochs"] for one in told]),
            "true labels": ("blue", [bool(one["epochs"]) and one["labels"] == "true" for one in told]),
            "shuffled labels": ("red", [one["labels"] == "shuffled" for one in told])}


def _label(name):
    return NAMES[name] + (", log₁₀" if name in measures.LOGARITHMS else "")


def strongest(records, title, fixed=None, count=5):
    """Return how many pairs of different theories are related, and the strongest of them with their intervals, as a table."""
    found = relations.across(records, fixed)
    kept, middle = relations.surviving(found), np.median([abs(one.correlation) for one in found.values()])
    seen = relations.least(len(records), len(found), 0 if fixed is None else np.linalg.matrix_rank(fixed))
    rows = [(NAMES[pair[0]], NAMES[pair[1]], _said(found[pair]))
            for pair in sorted(found, key=lambda pair: -abs(found[pair].correlation))[:count]]
    return Table(("lens", "lens of another theory", "rank correlation [95 %]"), rows,
                 f"{title}: {len(kept)} of {len(found)} pairs related; median |correlation| {middle:.2f}, seen from {seen:.2f} "
                 "on. The strongest:")


def held_fixed(records):
    """Return how many pairs are related without and with each lens held fixed, those that take away most first, as a table."""
    found = relations.holding(records)
    rows = [(NAMES[name], *map(str, found[name])) for name in sorted(found, key=lambda name: found[name][1] - found[name][0])]
    return Table(("held fixed", "related before", "after"), rows,
                 "Pairs that are related, before and after a lens is held fixed.")


def best_with_accuracy(records):
    """Return the number most related to test accuracy over networks of one recipe, and what could have been seen, as text."""
    found = relations.with_accuracy(records)
    name = max(found, key=lambda name: abs(found[name].correlation))
    kept, seen = relations.surviving(found), relations.least(len(records), len(found))
    return (f"{len(records)} seeds of one recipe: largest for {NAMES[name]}, {_said(found[name])}; "
            f"{len(kept)} of {len(found)} survive, one alone would from {seen:.2f} on")


def repeats(**columns):
    """Return the correlation of each lens that looks at inputs with itself on other inputs, a column for each relation."""
    names = next(iter(columns.values()))
    return Table(("lens", *(title.replace("_", " ") for title in columns)),
                 [(NAMES[name], *(f"{found[name].correlation:.2f}" for found in columns.values())) for name in names],
                 "Rank correlation of each lens with itself on other inputs.")


def silence(records):
    """Return, by training, the active units over the uniqueness threshold and the share of codes below it, as a table."""
    rows = []
    for name, (_, chosen) in _groups(records).items():
        group = [record["result"] for record, in_it in zip(records, chosen, strict=True) if in_it]
        ratio, share = np.mean([[one["lenses"]["activity"], one["unique"]] for one in group], axis=0)
        rows.append((name, str(len(group)), f"{ratio:.2f}", f"{share:.4f}"))
    return Table(("training", "networks", "active units / threshold", "share of codes below it"), rows,
                 "How far codes lie from what is certainly unique.")


def accuracy(records):
    """Each lens's relation with test accuracy given the recipe, among networks trained on the true labels."""
    chosen = relations.honest(records)
    found = relations.with_accuracy(chosen, relations.recipe(chosen))
    kept = relations.surviving(found)
    figure, axes = figures.subplots(size=(7, 4.4))
    for row, (name, one) in enumerate(found.items()):
        colour = COLOURS[SHADES[THEORY[name]]]
        axes.plot(one.interval, (row, row), color=colour, linewidth=1.4)
        axes.plot(one.correlation, row, "o", color=colour, markersize=7, markerfacecolor=colour if name in kept else "none")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(found)), labels=[NAMES[name] for name in found])
    axes.set(xlim=(-1, 1), ylim=(len(found) - 0.5, -0.5), xlabel="partial rank correlation with test accuracy")
    said = ", ".join(NAMES[name] for name in kept) or "none"
    seen = relations.least(len(chosen), len(found), np.linalg.matrix_rank(relations.recipe(chosen)))
    return figures.describe(
        figure, f"{len(chosen)} networks trained on the true labels: each number against test accuracy, given "
        f"width, units, depth and epochs. Filled dots survive Holm's correction for {len(found)} numbers: {said}; one alone "
        f"would from {seen:.2f} on. Bars are 95 % intervals without correction; colours are theories.",
        f"{len(found)} rows, each a dot with a horizontal bar about it; {len(kept)} dots are filled. A vertical line marks zero.")


# ---- five conditions ----

def conditions(records):
    """Every lens in five conditions, five seeds each, in units of its own spread."""
    figure, axes = figures.subplots(size=(7, 6.2))
    columns = {condition: relations.in_condition(records, condition) for condition in sixty.CONDITIONS}
    for row, name in enumerate(MEASURES):
        together = np.concatenate([columns[condition][name] for condition in sixty.CONDITIONS])
        for place, (condition, (colour, marker)) in enumerate(MARKS.items()):
            values = (columns[condition][name] - together.mean()) / together.std()
            axes.plot(values, np.full(len(values), row + 0.15 * (place - 2)), marker, color=COLOURS[colour], markersize=4,
                      label=condition if not row else None)
    axes.set_yticks(range(len(MEASURES)), labels=[NAMES[name] for name in MEASURES])
    axes.set(ylim=(len(MEASURES) - 0.5, -0.5), xlabel="value, in standard deviations of its row")
    for boundary in np.cumsum([len(found) for found in THEORIES.values()])[:-1]:
        axes.axhline(boundary - 0.5, color="black", linewidth=0.6)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return _describe_conditions(figure, records)


def _describe_conditions(figure, records):
    weights, labels, null = (relations.apart(records, *pair) for pair in (
        ("trained", "trained permuted"), ("trained", "shuffled labels"), ("start", "start permuted")))
    return figures.describe(
        figure, f"One architecture, {len(records)} seeds in each of five conditions. {len(weights)} of {len(MEASURES)} numbers "
        f"tell every trained network from every one with permuted weights, {len(labels)} tell true from shuffled labels, and "
        f"{len(null)} an untrained network from its permutation, which is a draw of the same distribution.",
        f"{len(MEASURES)} rows of dots and crosses in groups by theory, each row with five clusters of {len(records)} marks: "
        "untrained, untrained permuted, trained, trained permuted, trained on shuffled labels.",
        {"more numbers tell trained networks from permuted ones than untrained networks from permuted ones":
             len(weights) > len(null)})


def apart_table(records):
    """Return which lenses tell conditions apart, by theory, as a table."""
    pairs = {"weights": ("trained", "trained permuted"), "labels": ("trained", "shuffled labels"),
             "training": ("start", "trained"), "null": ("start", "start permuted")}
    found = {title: relations.apart(records, *pair) for title, pair in pairs.items()}
    rows = [(NAMES[name], THEORY[name], *("apart" if name in kept else "·" for kept in found.values())) for name in MEASURES]
    return Table(("lens", "theory", *found), rows, "Which lenses tell trained networks from others: with permuted weights, with "
                 "shuffled labels, before training; and the null, two untrained ones.")


# ---- one network now ----

def live(seed, epochs=32):
    """Return the numbers of one network that is trained now: untrained, trained, its weights permuted; as a table."""
    begun = networks.start(64, 16, 4, seed)
    found = networks.trained(begun, epochs, "true", seed)
    x, y = measures.halves(seed)[0]
    models = {"untrained": begun, "trained": found, "permuted": networks.permuted(found, seed)}
    rows = {name: measures.measured(model, x, y) for name, model in models.items()}
    first = ("test accuracy", "", *(f"{sixty.accuracy(model, x, y):.3f}" for model in models.values()))
    lines = [(_label(name), THEORY[name], *(f"{row[name]:.3g}" for row in rows.values())) for name in MEASURES]
    return Table(("lens", "theory", *models), [first, *lines], "One network, trained now.")


# ---- the exact links ----

def one_template(seed):
    """One block's contribution on the way out of a region: spline template, sparse code and feature."""
    model = links.thresholded(seed)
    start = torch.rand(1, networks.PIXELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    steps, template, code, wall = links.path(model, start, block=-1, output=0)
    figure, axes = figures.subplots(size=(7, 3.2))
    inside = steps <= wall
    axes.plot(steps, code, color=COLOURS["orange"], linewidth=4, alpha=0.5, label="sparse code, and ResNEst feature: H γ")
    axes.plot(steps, template, "--", color=COLOURS["blue"], label="spline template: T x, plus a constant")
    axes.axvline(wall, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="step from the input (dotted: the region's wall)", ylabel="last block's part of output 0")
    axes.legend()
    apart = abs(template - code)
    return figures.describe(
        figure, "One block of a random network with thresholds. Up to the wall the three descriptions give one number; beyond it "
        "the code changes its support and the old template no longer speaks. Largest difference inside: "
        f"{apart[inside].max():.0e}; beyond: {apart[~inside].max():.2g}.",
        "A broad and a dashed line against the step. They lie on each other up to a dotted vertical line and part beyond it.",
        {"template and code agree up to the wall": bool(apart[inside].max() < 1e-9),
         "template and code part beyond the wall": bool(apart[~inside].max() > 1e-3)})


def tilt():
    """F, the coherence and the missed signals of an orthonormal dictionary, one atom of which is tilted towards another."""
    rows = links.rotation(COSINES, PICTURED)
    figure, axes = figures.subplots(size=(7, 3.2))
    cosine, F, coherence, missed = (np.array([row[name] for row in rows]) for name in ("cosine", "F", "coherence", "missed"))
    axes.plot(cosine, coherence, "s-", color=COLOURS["orange"], markersize=4, label="coherence")
    axes.plot(cosine, F, "o-", color=COLOURS["blue"], markersize=4, label="frame potential F")
    axes.plot(cosine[missed > 0], F[missed > 0], "x", color=COLOURS["red"], markersize=10, label="pursuit fails")
    axes.axhline(5**-0.5, color=COLOURS["grey"], linewidth=0.8)
    axes.annotate("six lines: both", (0.62, 5**-0.5 - 0.08), color=COLOURS["grey"])
    axes.set(xlabel="cosine between the two atoms", ylim=(-0.03, 1.03))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0.95))
    return figures.describe(
        figure, f"{PICTURED} orthonormal atoms, one tilted towards another: F reaches {F.max():.3f} while the coherence goes to "
        f"{coherence.max():.3f}, and from a cosine of {cosine[missed > 0].min():g} on noise of norm 1/10 makes pursuit choose "
        "the wrong atom. The six lines (grey: their F, which is their coherence) have a higher F, and no such noise.",
        "The coherence rises along the diagonal to one. F stays near the bottom; red crosses mark its last dots, where pursuit "
        "fails. A grey line at 0.45 marks the six lines.",
        {"pursuit fails at a frame potential below that of the six lines": bool(F[missed > 0].max() < 5**-0.5),
         "pursuit succeeds while the two atoms lie apart": bool((missed[cosine < 0.9] == 0).all())})
