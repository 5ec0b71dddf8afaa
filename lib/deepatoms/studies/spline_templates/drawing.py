"""What the chapter on templates draws."""

import copy
import functools

import numpy as np
import torch

from deepatoms import data
from deepatoms.learning import networks, training
from deepatoms.pages import chapter, figures
from deepatoms.pages.figures import COLOURS
from deepatoms.pages.tables import Table
from deepatoms.runs import results
from deepatoms.studies.spline_templates import inner_products
from deepatoms.studies.spline_templates.checks import approximation, convexity, templates
from deepatoms.theory import partition, piecewise, splines

STEPS = 21
NOISES = (0.0, 1e-6, 1e-3, 0.03, 0.1)


def trained(batch_norm=False):
    """Return the chapter's first digits net and the test images that belong to its split."""
    return _trained(chapter.setting(), batch_norm)


@functools.lru_cache(maxsize=4)
def _trained(setting, batch_norm):
    model = templates.trained_nets(setting, batch_norm, True)[0].cpu().requires_grad_(False)
    return model, data.load("digits", "test", templates.SEEDS * setting.seed)


def digit(label, number=0, batch_norm=False):
    """Return a correctly classified test image of a class, shape (1, 8, 8)."""
    return _digit(chapter.setting(), label, number, batch_norm)


def _digit(setting, label, number=0, batch_norm=False):
    model, test = _trained(setting, batch_norm)
    right = (model(test.images).argmax(1) == test.labels) & (test.labels == label)
    return test.images[right][number]


def _picture(axes, values, shape, diverging=True, limit=None):
    limit = limit or float(np.abs(values).max()) or 1.0
    image = np.asarray(values).reshape(shape)
    axes.imshow(image, cmap=figures.SIGNED if diverging else figures.INK, vmin=-limit if diverging else 0, vmax=limit)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def max_affine_approximations():
    """A convex function under its tangents, and the sigmoid with the nearest convex function."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 2.8))
    x = np.linspace(-3, 3, 301)
    at = np.array([-2.25, -0.75, 0.75, 2.25])
    left.plot(x, x**2, color=COLOURS["grey"], linewidth=5, label="x²")
    left.plot(x, (at**2 + 2 * at * (x[:, None] - at)).max(1), color=COLOURS["blue"], label="maximum of 4 tangents")
    left.set(xlabel="x")
    left.legend(loc="upper center", fontsize=9)
    wide = np.linspace(-6, 6, 241)
    distance, nearest = approximation.nearest_convex(approximation.sigmoid(wide))
    right.plot(wide, approximation.sigmoid(wide), color=COLOURS["grey"], linewidth=5, label="sigmoid")
    right.plot(wide[1:-1], nearest[1:-1], color=COLOURS["red"], label=f"nearest convex,\noff by {distance:.2f}")
    right.set(xlabel="x")
    right.legend(loc="lower right")
    return figures.describe(
        figure, f"A maximum of tangents follows a convex function; no convex function comes nearer to the sigmoid than "
        f"{distance:.2f}. (Exact; the nearest convex function by a linear programme.)",
        "Left, a parabola with a polygon of four tangents below it. Right, the sigmoid and the nearest convex function, almost "
        "a straight line, well below the sigmoid in its upper half.",
        {"the nearest convex function is below the sigmoid in its upper half":
             bool((nearest[150:200] < approximation.sigmoid(wide)[150:200]).all())})


def errors_beyond_the_boundary():
    """The error of one point's affine map along random directions, in units of the distance to the boundary."""
    model, test = trained()
    x = test.images[:1].double() + 0.02 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    twin = _double(model)
    A, b = splines.affine_map(twin, x)
    directions = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    distance = splines.distance_to_break(twin, x.expand(20, -1, -1, -1), directions)
    at = np.linspace(0, 3, 61)
    figure, axes = figures.subplots(size=(7, 2.8))
    errors = []
    for direction, far in zip(directions, distance, strict=True):
        y = x + torch.from_numpy(at)[:, None, None, None] * far * direction
        errors.append((twin(y) - (y.flatten(1) @ A[0].T + b)).abs().amax(1))
        axes.semilogy(at, errors[-1].clamp_min(1e-16), color=COLOURS["blue"], linewidth=0.8, alpha=0.7)
    axes.axvline(1, color="black", linewidth=1, linestyle=":")
    axes.set(xlabel="distance from x, in units of the distance to the first change of code",
             ylabel="error of the map", ylim=(1e-17, 1))
    rounding, inside = 1e-10, torch.stack(errors)[:, at < 0.99]
    just_beyond, far_beyond = ((torch.stack(errors)[:, at < end] > rounding).any(1).sum() for end in (1.06, 3.1))
    return figures.describe(
        figure, f"One point's map is exact to rounding up to the first change of code. Just beyond it fails in {just_beyond} of "
        f"20 directions, at three times the distance in {far_beyond}: a unit that no live unit sees changes its code and not the "
        "map. (Digits, small CNN without batch norm, float64.)",
        "Twenty curves of the error on a logarithmic axis against the distance, all at rounding level before a dotted line at "
        f"one, where the code changes. {just_beyond} of them jump up there by many orders of magnitude.",
        {"before the first change of code the map is exact to rounding": bool((inside < rounding).all()),
         "beyond it the map fails in most directions": int(far_beyond) > 10})


def _double(model):
    twin = networks.digits_cnn(batch_norm=any(isinstance(part, torch.nn.BatchNorm2d) for part in model)).double()
    twin.load_state_dict(model.state_dict())
    return twin.eval().requires_grad_(False)


def convex_and_not():
    """The same small MLP along one line, with signed and with nonnegative weights from layer 2 on; greedy against global."""
    figure, (line, scatter) = figures.subplots(1, 2, size=(7, 3))
    generator = torch.Generator().manual_seed(16)
    model = convexity.wide_mlp(generator)
    x = torch.linspace(-4, 4, 201, dtype=torch.float64)[:, None] * torch.randn(8, generator=generator).double()
    bendings, better = {}, {}
    for name, colour, change in (("signed", "red", None), ("nonnegative from layer 2", "blue", convexity.nonnegative)):
        z = (change(model) if change else model)(x)[:, 0]
        bendings[name] = float(z.diff(n=2).min())
        line.plot(np.linspace(-4, 4, 201), (z - z.min()) / (z.max() - z.min()), color=COLOURS[colour], label=name)
    line.set(xlabel="position on a line", ylabel="output, scaled to [0, 1]")
    line.set_ylim(-0.05, 1.4)
    line.legend(loc="upper left", fontsize=8.5)
    for name, colour, signed in (("signed", "red", True), ("nonnegative", "blue", False)):
        pairs = np.array([_greedy_and_global(generator, signed) for _ in range(60)])
        scatter.plot(*pairs.T, ".", color=COLOURS[colour], markersize=4, label=name)
        better[name] = pairs[:, 1] > pairs[:, 0] + 1e-9
    scatter.axline((0, 0), slope=1, color="black", linewidth=0.8)
    scatter.set(xlabel="network (greedy)", ylabel="best of all 1,024 choices", xlim=(-25, 60), ylim=(-25, 60))
    scatter.legend(loc="lower right")
    return figures.describe(
        figure, "Nonnegative weights make this network convex, and greedy matching globally optimal; this signed network is not "
        f"convex, and in {np.mean(better['signed']):.0%} of the signed networks on the right some other choice gives more. "
        "(Random networks; right, 60 of each kind, one output, all choices enumerated.)",
        "Left, one output along a line: the signed network goes up and down, the nonnegative one is a convex valley. Right, the "
        "best of all choices against the network's output: blue points lie on the diagonal, red points on it or above.",
        {"along the line the nonnegative network is convex": bendings["nonnegative from layer 2"] > -1e-10,
         "along the line the signed network is not convex": bendings["signed"] < -1e-3,
         "greedy matching is optimal in every nonnegative network": not any(better["nonnegative"]),
         "it is not in most signed ones": bool(np.mean(better["signed"]) > 0.5)})


def _greedy_and_global(generator, signed):
    weights, biases = convexity.small_net(generator, signed)
    x = torch.randn(4, generator=generator, dtype=torch.float64)
    return [float(match(weights, biases, x)[0]) for match in (splines.greedy_matching, splines.global_matching)]


def figure_one():
    """One zero with three templates: our digits net, and the recorded MNIST and CIFAR-10 nets with the classes of the paper."""
    rows = [_digits_example(), *(_recorded_example(dataset) for dataset in ("mnist", "cifar10"))]
    rows = [row for row in rows if row is not None]
    figure, grid = figures.subplots(len(rows), 4, size=(6.4, 1.9 * len(rows)), squeeze=False)
    for axes, (name, shown, names) in zip(grid, rows, strict=True):
        shape = shown["shape"][1:]
        pictures = [np.asarray(values).reshape(shown["shape"]).mean(0) for values in (shown["image"], *shown["templates"])]
        _picture(axes[0], pictures[0] - pictures[0].min(), shape, diverging=False)
        axes[0].set_title(name, fontsize=9.5)
        for each, picture, label, product in zip(axes[1:], pictures[1:], names, shown["products"], strict=True):
            _picture(each, picture, shape)
            each.set_title(f"“{label}”: {product:+.1f}", fontsize=9.5)
    as_printed = [shown["products"][0] > 0 > max(shown["products"][1:]) for _, shown, _ in rows]
    return figures.describe(
        figure, f"Fig. 1 recomputed: the true class positive, the two others shown negative, in {sum(as_printed)} of {len(rows)} "
        "rows. (Digits: this page. MNIST and CIFAR-10: recorded, 10,000 training images, 3 epochs, colours averaged.)",
        "Rows of an image and three templates in red and blue, with inner products: " + "; ".join(
            f"{name} " + ", ".join(f"{product:+.1f}" for product in shown["products"]) for name, shown, _ in rows) + ".",
        {"the true class is positive and the two others negative, in every row": all(as_printed)})


def _digits_example():
    model, test = trained()
    shown = inner_products.example(model, test.images, test.labels, "digits")
    return "digits", _decoded(shown), [str(number) for number in shown["classes"]]


def _recorded_example(dataset):
    names = {"mnist": [str(number) for number in range(10)], "cifar10": datasets_names()}[dataset]
    for record in recorded():
        chosen = record["configuration"]
        if chosen["data"] == dataset and not chosen["batch_norm"] and "example" in record["result"]:
            shown = _decoded(record["result"]["example"])
            return {"mnist": "MNIST", "cifar10": "CIFAR-10"}[dataset], shown, [names[number] for number in shown["classes"]]
    return None


def datasets_names():
    """Return CIFAR-10's class names, in the order of its labels."""
    return ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def _decoded(shown):
    return shown | {"image": inner_products.decode(shown["image"]),
                    "templates": [inner_products.decode(row) for row in shown["templates"]]}


def recorded():
    """Return the recorded full-scale runs of Fig. 1 and 2."""
    return results.records(inner_products.NAME)


# What Fig. 2 is drawn of: the digits nets start as the authors' do, and once more from torch's initialisation.
NETS = ("digits", "digits, torch's start", "MNIST", "CIFAR-10")


def nets_of(name):
    """Return summaries of trained nets for digits (this page) or a recorded data set."""
    if name == "digits":
        return templates.digits_nets(chapter.setting())
    if name == "digits, torch's start":
        return templates.torch_nets(chapter.setting())
    return templates.recorded_nets(recorded(), {"MNIST": "mnist", "CIFAR-10": "cifar10"}[name])


def figure_two():
    """Histograms of the inner products, correct and other classes, for three data sets."""
    batch_norm, areas, wrong = True, {}, {}
    figure, columns = figures.subplots(1, 4, size=(7.6, 2.7))
    for axes, name in zip(columns, NETS, strict=True):
        nets = [net["trained"] for net in nets_of(name) if net["batch_norm"] is batch_norm]
        for key, colour, label in (("correct", "green", "own class"), ("others", "red", "other classes")):
            counts = np.sum([net["histogram"][key] for net in nets], axis=0)
            low, high = nets[0]["histogram"]["low"], nets[0]["histogram"]["high"]
            axes.stairs(counts / counts.sum(), np.linspace(low, high, len(counts) + 1), fill=True, alpha=0.6,
                        color=COLOURS[colour], label=label)
        areas[name] = float(np.mean([net["auc"] for net in nets]))
        wrong[name] = sum(not net["mean_correct"] > 0 > net["mean_others"] for net in nets)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set(yticks=[], ylim=(0, 1.4 * axes.get_ylim()[1]))  # room for the legend
        axes.set_title(f"{name.replace(', ', ',' + chr(10))}\n{len(nets)} nets, area {areas[name]:.2f}", fontsize=9.5)
    columns[0].legend(loc="upper left", fontsize=8)
    figure.supxlabel("inner product with a template", fontsize=10.5)
    return figures.describe(
        figure, f"Fig. 2 recomputed. The means of the two modes have opposite signs in every net on MNIST and CIFAR-10; on "
        f"digits {wrong['digits']} of 10 nets have not, and {wrong[NETS[1]]} where torch draws the first weights, not "
        "the authors' code. (Digits: this page. Others: recorded, authors' small CNN; the paper's is the large one.)",
        "Four pairs of histograms, other classes in red to the left of own class in green. They overlap least for digits and "
        "most for CIFAR-10: the area under the curve that ranks own against other classes is "
        + ", ".join(f"{areas[name]:.2f} for {name}" for name in NETS) + ".",
        {"the means have opposite signs in every net on MNIST and CIFAR-10": wrong["MNIST"] + wrong["CIFAR-10"] == 0,
         "from torch's initialisation they have on digits too": wrong[NETS[1]] == 0,
         "the modes overlap least for digits and most for CIFAR-10": areas["digits"] > areas["MNIST"] > areas["CIFAR-10"]})


def table_two():
    """Return the table of what Fig. 2 and Eq. 12 compare, one line for each data set, with and without batch norm."""
    rows = []
    for name in NETS:
        for batch_norm in (True, False):
            nets = [net["trained"] for net in nets_of(name) if net["batch_norm"] is batch_norm]
            if nets:
                rows.append((name + (", batch norm" if batch_norm else ", biases"), *_row(nets)))
    head = ("nets", "accuracy", "own", "others", "ratio", "Eq. 12", "area", "cosine", "all ten signs", "others > 0, nets")
    return Table(head, rows, "Mean inner products with the templates of the own and of other classes, their ratio beside Eq. "
                 "12's, the area under the curve that ranks them, the cosine of templates and images, and the share of images "
                 "with all ten signs right.")


def _row(nets):
    mean = {key: np.mean([net[key] for net in nets]) for key in nets[0] if key != "histogram"}
    above = sum(net["mean_others"] > 0 for net in nets)
    return (f"{mean['accuracy']:.3f}", f"{mean['mean_correct']:.1f}", f"{mean['mean_others']:.1f}",
            f"{mean['mean_correct'] / mean['mean_others']:.1f}", "-9", f"{mean['auc']:.2f}", f"{mean['cosine']:.2f}",
            f"{mean['all_classes']:.2f}", f"{above} of {len(nets)}")


def proposition_five():
    """Inner products of the optimal templates under the printed and under the corrected constraint, beside Eq. 12."""
    classes, budget = 10, 10.0
    x = torch.nn.functional.normalize(torch.arange(1.0, 21, dtype=torch.float64), dim=0)
    figure, axes = figures.subplots(size=(7, 2.6))
    at, products = np.arange(classes), {}
    for shift, (name, norms, colour) in enumerate((("sum of norms (printed)", "plain", "orange"),
                                                   ("sum of squared norms", "squared", "blue"))):
        found = splines.optimise_templates(x, 0, classes, budget, norms, generator=torch.Generator().manual_seed(0)).best
        products[norms] = found @ x
        axes.bar(at + 0.4 * shift - 0.2, products[norms], 0.4, color=COLOURS[colour], label=name)
    printed = splines.optimal_templates(x, 0, classes, budget) @ x
    axes.plot(at, printed, "k_", markersize=14, markeredgewidth=2, label="Eq. 12")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="class (0 is the true one)", ylabel="inner product with a template", xticks=at)
    axes.legend()
    return figures.describe(
        figure, "Under the printed budget everything goes to the true class; Eq. 12 is the optimum for squared norms. (Projected "
        "gradient, ten classes, budget 10.)",
        "Bars of inner products for ten classes. Sum of norms: one tall bar for the true class, zero for the others. Squared "
        "norms: a lower bar for the true class and small negative ones for all others, each on the mark of Eq. 12.",
        {"under the printed budget the other classes get nothing": bool(products["plain"][1:].abs().max() < 1e-3),
         "for squared norms the optimum is that of Eq. 12": bool((products["squared"] - printed).abs().max() < 1e-3)})


def residual_net():
    """Train a small residual net on the chapter's digits; return it with its test images."""
    return _residual_net(chapter.setting())


@functools.lru_cache(maxsize=1)
def _residual_net(setting):
    train, test = (data.load("digits", split, setting.seed) for split in ("train", "test"))
    model = training.seeded(networks.residual_cnn, setting.seed, shape=(1, 8, 8), widths=(8, 16), blocks=2)
    model = training.train_one(model, train.images, train.labels, training.Recipe(3, 0.003, 100), setting.seed)
    return model.requires_grad_(False), test


def templates_by_block():
    """One image's template of its own class, split exactly into one part for the stem and one for each block."""
    number = 0
    model, test = residual_net()
    x, label = test.images[number:number + 1], int(test.labels[number])
    parts = splines.block_templates(model, x)[0, :, label]
    whole = splines.affine_map(model, x)[0][0, label]
    shown = [*parts, whole]
    titles = ["stem", *(f"block {block}" for block in range(1, len(parts))), "sum"]
    figure, axes = figures.subplots(1, len(shown) + 1, size=(7.4, 1.9))
    _picture(axes[0], x[0, 0], (8, 8), diverging=False)
    axes[0].set_title("x", fontsize=9.5)
    limit = max(float(each.abs().max()) for each in shown)
    for each, values, title in zip(axes[1:], shown, titles, strict=True):
        _picture(each, values, (8, 8), limit=limit)
        each.set_title(f"{title}\n{float(values @ x.flatten()):+.1f}", fontsize=9.5)
    off = float((parts.sum(0) - whole).norm() / whole.norm())
    return figures.describe(
        figure, "The template of a residual network is the sum of one template for each block; the numbers are inner products "
        f"with x, and add up too. (Digits, {len(parts) - 1} blocks, one test image.)",
        "A digit, then its class's template split over the stem and the blocks, and the sum, all in one colour scale of red and "
        "blue; above each stands its inner product.", {"the parts add up to the template": off < 1e-5})


def digit_pad(label=7):
    """Return the still picture and the data of the figure in which a reader draws: the residual net and some test digits."""
    model, test = residual_net()
    twin = copy.deepcopy(model).double()
    x = test.images[test.labels == label][:1].double()
    A, scores = splines.affine_map(twin, x)[0][0].flatten(1), twin(x)[0]
    examples = {str(each): [networks.encoded(image) for image in test.images[test.labels == each][:3]] for each in range(10)}
    data = {"layers": networks.as_layers(twin), "shape": [1, 8, 8], "examples": examples, "first": label}
    return _still_pad(x, A, scores), data


def _still_pad(x, A, scores):
    figure = figures.Figure(figsize=(7.2, 3))
    grid = figure.add_gridspec(2, 7)
    _picture(figure.add_subplot(grid[:, :2]), x[0, 0], (8, 8), diverging=False)
    for number in range(10):
        axes = figure.add_subplot(grid[number // 5, 2 + number % 5])
        _picture(axes, A[number], (8, 8), limit=float(A.abs().amax()))
        axes.set_title(f"“{number}” {float(scores[number]):+.1f}", fontsize=9)
    best = int(scores.argmax())
    return figures.describe(
        figure, "Draw, erase, add noise: the scores are continuous in the drawing, the templates are not; the line below says by "
        "how much the last change moved either. All of it is computed on this page, by the residual net whose blocks are split "
        "below. (Digits, residual net.)",
        f"Left a small handwritten digit, right the templates of the ten classes in orange and blue, each with its score; "
        f"{best} scores most.")


@functools.lru_cache(maxsize=4)
def _morph(setting, first, second):
    """Return morphed images, their templates, scores, biases and how many units changed their code at each step."""
    model, _ = _trained(setting, False)
    at = torch.linspace(0, 1, STEPS)[:, None, None, None]
    x = (1 - at) * _digit(setting, first) + at * _digit(setting, second)
    A, b = splines.affine_map(model, x)
    codes = piecewise.trace(model, x).codes
    return x, A, A.flatten(2) @ x.flatten(1)[..., None], model(x), (codes[1:] != codes[:-1]).sum(1)


def morph_frame(digits, step):
    """Ten templates of an image on the way from one digit to another, with scores and code changes along the way."""
    first, second = (int(part) for part in digits.split(" to "))
    x, A, products, scores, changes = _morph(chapter.setting(), first, second)
    figure = figures.Figure(figsize=(7.2, 4.8))
    grid = figure.add_gridspec(3, 6, height_ratios=[1, 1, 1.2])
    _picture(figure.add_subplot(grid[0, 0]), x[step, 0], (8, 8), diverging=False)
    limit = float(A.abs().amax())
    for number in range(10):
        axes = figure.add_subplot(grid[number // 5, 1 + number % 5])
        _picture(axes, A[step, number], (8, 8), limit=limit)
        axes.set_title(f"“{number}”\n{float(products[step, number, 0]):+.1f}".replace("-", "−"), fontsize=9)
    axes = figure.add_subplot(grid[2, :])
    for number, colour in ((first, "blue"), (second, "orange")):
        axes.plot(np.arange(STEPS), scores[:, number], color=COLOURS[colour], label=f"score of “{number}”")
    units = axes.twinx()
    units.bar(np.arange(STEPS - 1) + 0.5, changes, 0.3, color=COLOURS["grey"], alpha=0.5)
    units.set(ylabel="units that\nchange code", ylim=(0, 2.5 * float(changes.max())), yticks=[0, int(changes.max())])
    units.spines["right"].set_visible(True)
    axes.axvline(step, color="black", linewidth=1)
    axes.set(xlabel="step", ylabel="score", xlim=(-0.5, STEPS - 0.5), ylim=(0, 1.35 * float(scores.max())), yticks=[0, 5, 10])
    axes.legend(fontsize=9, loc="upper center", ncols=2)
    changed = int(changes[step - 1]) if step else 0
    return figures.describe(
        figure, f"Step {step} from {first} to {second}: {changed} units changed their code since the step before, and the "
        "templates with them. (Digits, small CNN without batch norm.)",
        f"Left, the morphed image. Around it the templates of the ten classes in red and blue with their inner products. "
        f"Below, the scores of {first} and {second} are continuous lines that cross, grey bars count code changes at each "
        f"step, a vertical line marks step {step}.",
        {"templates change from step to step exactly where units change their code":
             bool(((A[1:] - A[:-1]).abs().flatten(1).amax(1) > 1e-6).eq(changes > 0).all())})


def segment():
    """Return the net, the ends of the segment, its code changes, positions, the score of class 3 and the points."""
    return _segment(chapter.setting())


@functools.lru_cache(maxsize=1)
def _segment(setting):
    model, start, end = _trained(setting, False)[0], _digit(setting, 3), _digit(setting, 8)
    twin = _double(model)
    cuts = partition.slice_segment(twin, start.double(), end.double())
    at = torch.linspace(0, 1, 161, dtype=torch.float64)
    points = start + at[:, None, None, None] * (end - start).double()
    return twin, start.double(), end.double(), cuts, at.numpy(), twin(points)[:, 3].numpy(), points


def segment_frame(position):
    """The score of class 3 on a segment from a 3 to an 8, its affine pieces, and one point's own affine map."""
    model, start, end, cuts, at, scores, points = segment()
    x = start + position * (end - start)
    A, b = splines.affine_map(model, x[None])
    line = (points.flatten(1) @ A[0, 3] + b[0, 3]).numpy()
    low, high = cuts[cuts < position].max(initial=0.0), cuts[cuts > position].min(initial=1.0)
    figure, axes = figures.subplots(size=(7, 3.1))
    axes.vlines(cuts, 0, 0.05, color=COLOURS["grey"], linewidth=0.4, transform=axes.get_xaxis_transform())
    axes.plot(at, scores, color=COLOURS["blue"], linewidth=3, label="score of “3”")
    axes.plot(at, line, color=COLOURS["red"], linewidth=1.2, label="affine map at the point")
    axes.axvspan(low, high, color=COLOURS["orange"], alpha=0.5, linewidth=0, label="its region")
    axes.plot([position], [float(A[0, 3] @ x.flatten() + b[0, 3])], "o", color="black")
    axes.set(xlabel="position between the 3 and the 8", ylim=(scores.min() - 3, scores.max() + 3), xlim=(0, 1))
    axes.legend(loc="upper right")
    return figures.describe(
        figure, f"{len(cuts) + 1} affine pieces lie between the two images; the map of the point at {position:.2f} is exact "
        f"on {high - low:.4f} of the way and drifts off beyond. (Digits, small CNN without batch norm.)",
        f"A score that falls along the segment, smooth to the eye. Short grey ticks below mark {len(cuts)} code changes. A "
        f"straight red line touches the curve at a black dot at {position:.2f} and leaves it farther away; the dot's own "
        f"region is a sliver.",
        {"on the point's own piece the map is exact": _off(line, scores, at, low, high) < 1e-9,
         "on the whole segment it is off by more than a tenth": float(abs(line - scores).max()) > 0.1})


def _off(line, scores, at, low, high):
    """Return the largest difference on an interval (zero where no sample lies in it)."""
    return float(abs(line - scores)[(at >= low) & (at <= high)].max(initial=0.0))


def canvas_net():
    """Train a small CNN without batch norm on digits in the middle of a wide black canvas; return it with its test images."""
    return _canvas_net(chapter.setting())


@functools.lru_cache(maxsize=1)
def _canvas_net(setting):
    train, test = (data.load("digits", split, setting.seed) for split in ("train", "test"))
    model = training.seeded(networks.digits_cnn, setting.seed, shape=(1, 16, 16), batch_norm=False, widths=(8, 16, 32))
    recipe = training.Recipe(4, 0.005, 50)
    model = training.train_one(model, _on_canvas(train.images), train.labels, recipe, setting.seed)
    return model.double().requires_grad_(False), _on_canvas(test.images).double(), test.labels


def _on_canvas(images):
    return torch.nn.functional.pad(images, (4, 4, 4, 4))


def last_entry_twin(model):
    """Return a network that selects the last instead of the first of equal entries, up to a flip of images.

    Flipping all filters makes the network act on flipped images as before, while pooling windows are read backwards.
    """
    twin = copy.deepcopy(model)
    for layer in twin:
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.copy_(layer.weight.flip(-1, -2))
    last = twin[-1].weight
    last.copy_(last.reshape(10, -1, 2, 2).flip(-1, -2).flatten(1))
    return twin


def tie_frame(digit_shown, noise):
    """One image's template under two tie rules, with noise added to image and background."""
    model, images, labels = canvas_net()
    x = images[labels == digit_shown][:1]
    x = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    first = splines.affine_map(model, x)[0][0, digit_shown]
    last = splines.affine_map(last_entry_twin(model), x.flip(-1, -2))[0][0, digit_shown]
    last = last.reshape(16, 16).flip(0, 1).flatten()
    figure, axes = figures.subplots(1, 4, size=(7.2, 2.1))
    _picture(axes[0], x[0, 0] - x.min(), (16, 16), diverging=False)
    axes[0].set_title("x", fontsize=9.5)
    limit = float(first.abs().max())
    products = [float(each @ x.flatten()) for each in (first, last)]
    for each, values, title in zip(axes[1:], (first, last, first - last),
                                   (f"first entry: {products[0]:.6f}", f"last entry: {products[1]:.6f}", "difference"),
                                   strict=True):
        _picture(each, values, (16, 16), limit=limit)
        each.set_title(title, fontsize=9.5)
    moved_by = float((first - last).norm() / first.norm())
    return figures.describe(
        figure, f"A {digit_shown} with noise of {noise:g}: the tie rule moves the template by {100 * moved_by:.0f} % and its "
        f"inner product by {abs(products[0] - products[1]):.1g}. (Digits on a canvas, small CNN without batch norm.)",
        f"The image, its template when pooling takes the first of equal entries, its template when it takes the last, and "
        f"their difference, which is {'empty' if moved_by < 1e-6 else 'visible'}; both inner products are {products[0]:.2f}.",
        _of_ties(moved_by, products, noise))


def _of_ties(moved_by, products, noise):
    """Return what a frame says of ties: with noise there are none that matter, without they move the template."""
    said = {"the tie rule leaves the inner product as it is": abs(products[0] - products[1]) < 1e-8}
    if noise:
        return said | {"with noise the tie rule moves no template": moved_by < 1e-6}
    return said | {"without noise it moves every template shown": moved_by > 1e-3}


def common_row(strength):
    """Add one row to all rows of the classifier: predictions stay, the signs of the inner products do not."""
    model, test = trained(batch_norm=True)
    images, labels = test.images[:200], test.labels[:200]
    changed = _with_common_row(model, strength)
    figure, axes = figures.subplots(size=(7, 2.6))
    products, _, _ = inner_products.measure(changed, images, labels)
    own, others = inner_products.split(products, labels)
    edges = np.linspace(-25, 45, 57)
    for values, colour, label in ((own, "green", "own class"), (others.flatten(), "red", "other classes")):
        counts = np.histogram(values, edges)[0]
        axes.stairs(counts / counts.sum(), edges, fill=True, alpha=0.6, color=COLOURS[colour], label=label)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="inner product with a template", yticks=[], ylim=(0, 0.35))
    axes.legend()
    moved_by = (torch.softmax(changed(images), 1) - torch.softmax(model(images), 1)).abs().max()
    return figures.describe(
        figure, f"A common row of strength {strength:g} moves the mean of the other classes to {float(others.mean()):+.1f}; "
        f"no probability moves by more than {float(moved_by):.1g}. (Digits, small CNN with batch norm.)",
        f"Two histograms of inner products, own class to the right of the other classes; with strength {strength:g} the mean "
        f"of the other classes is {float(others.mean()):.1f} and that of the own class {float(own.mean()):.1f}.",
        {"a common row moves no probability by more than a ten-thousandth": float(moved_by) < 1e-4})


def _with_common_row(model, strength):
    twin = networks.digits_cnn(batch_norm=True)
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        # The direction of the mean feature: what every image has in common.
        features = torch.nn.Sequential(*list(model)[:-1])(trained(True)[1].images).mean(0)
        twin[-1].weight += strength * features / features.norm()
    return twin.eval().requires_grad_(False)


