"""Softmax, matched filters, Proposition 5, and Figures 1 and 2."""

from functools import lru_cache, wraps

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from deepatoms import data
from deepatoms.claims.checking import EXACT, Measurement, check, experiment, instances
from deepatoms.learning import networks, training
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.spline_templates import inner_products
from deepatoms.studies.spline_templates.checks.operators import normal
from deepatoms.theory import splines

SEEDS = 10
RECORDED_SEEDS = 7
CASES = ((3, 2.0), (10, 1.0), (10, 10.0), (100, 10.0))
BUDGETS = (1.0, 10.0, 25.0, 100.0)


@check("spl.softmax/argmax", instances(10_000))
def argmax(setting):
    """Count the random outputs whose largest element softmax moves."""
    z = normal(setting.torch("spl.softmax"), 10_000, 10)
    return Measurement(*(int((torch.softmax(sign * z, 1).argmax(1) != z.argmax(1)).sum()) for sign in (1, -1)))


@check("spl.softmax/rescales", instances(10_000))
def rescales(setting):
    """Measure how far the ratios softmax(z) / z are from being equal within a vector."""
    z = 1 + torch.rand(10_000, 10, generator=setting.torch("spl.softmax/rescales"), dtype=torch.float64)
    return Measurement(*(_spread(q / z) for q in (torch.softmax(z, 1), z / z.sum(1, keepdim=True))))


def _spread(ratios):
    mean = ratios.mean(1, keepdim=True)
    return float(((ratios - mean).abs() / mean).max())


@check("spl.softmax/shift_invariance", instances(10_000))
def shift_invariance(setting):
    """Shift all outputs by a common number, or one output alone, and see by how much softmax changes."""
    generator = setting.torch("spl.softmax/shift")
    z, shift = normal(generator, 10_000, 10), 20 * torch.rand(10_000, 1, generator=generator, dtype=torch.float64) - 10
    one = torch.nn.functional.one_hot(torch.tensor(0), 10)
    return Measurement(*(float((torch.softmax(z + shift * at, 1) - torch.softmax(z, 1)).abs().max()) for at in (1, one)))


@check("spl.matched_filter/white", instances(200_000))
@Remembered
def white(setting):
    """Classify ten noisy signals with matched filters and with fifty other linear banks."""
    random = setting.numpy("spl.matched_filter")
    signals = random.normal(size=(10, 20))
    signals *= 2 / np.linalg.norm(signals, axis=1, keepdims=True)
    coloured = 0.9 ** np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    return Measurement(*(_advantage(random, signals, covariance) for covariance in (np.eye(20), coloured)))


def _advantage(random, signals, covariance):
    """Accuracy of the matched filters minus that of the best other bank, on the same samples."""
    samples = 200_000
    root = np.linalg.cholesky(covariance)
    labels, x = _samples(random, signals, root, samples)
    banks = [(signals, np.zeros(10)), *_other_banks(random, signals, root, covariance)]
    accuracies = [((x @ filters.T.astype(x.dtype) + biases).argmax(1) == labels).mean() for filters, biases in banks]
    return accuracies[0] - max(accuracies[1:])


def _samples(random, signals, root, count):
    labels = random.integers(len(signals), size=count)
    return labels, (signals[labels] + random.standard_normal((count, 20)) @ root.T).astype(np.float32)


def _other_banks(random, signals, root, covariance):
    """Twenty perturbed banks, twenty whitened by a covariance (coloured noise: the right one among them), ten fitted."""
    for _ in range(20):
        yield signals + 0.2 * random.normal(size=signals.shape), np.zeros(10)
    right = not np.allclose(covariance, np.eye(20))
    for number in range(20):
        mixing = random.normal(size=(20, 20)) / 20**0.5
        yield _whitened(signals, covariance if right and number == 0 else np.eye(20) + mixing @ mixing.T)
    for _ in range(10):
        labels, x = _samples(random, signals, root, 2000)
        fitted = LogisticRegression(max_iter=200).fit(x, labels)
        yield fitted.coef_, fitted.intercept_


def _whitened(signals, covariance):
    filters = np.linalg.solve(covariance, signals.T).T
    return filters, -0.5 * (filters * signals).sum(1)


@Remembered
def optimum(setting, norms, biased):
    """Largest distance of the projected-gradient optimum from Eq. 12, along x and (second) off the line of x."""
    along, off = [], []
    for classes, budget in CASES:
        generator = setting.torch(f"spl.prop5 {classes} {budget}")
        x = torch.nn.functional.normalize(normal(generator, 20), dim=0)
        bias = torch.zeros(classes, dtype=torch.float64)
        if biased:
            bias[1], bias[2] = 1.0, -1.0
        found = splines.optimise_templates(x, 0, classes, budget, norms, bias, generator).best
        products = found @ x
        along.append(float((products - splines.optimal_templates(x, 0, classes, budget) @ x).abs().max()))
        off.append(float((found - products[:, None] * x).abs().max()))
    return max(along), max(off)


@check("spl.prop5/sum_of_norms", instances(len(CASES)))
def sum_of_norms(setting):
    """Optimise free templates under the printed constraint and compare their inner products with Eq. 12."""
    return Measurement(optimum(setting, "plain", False)[0], optimum(setting, "squared", False)[0])


@check("spl.prop5/sum_of_squares", instances(len(CASES)))
def sum_of_squares(setting):
    """Optimise free templates under the sum of squared norms; unequal biases of two wrong classes break Eq. 12."""
    return Measurement(max(optimum(setting, "squared", False)), max(optimum(setting, "squared", True)))


@check("spl.dirac/one_hot", EXACT)
def one_hot(setting):
    """Evaluate the softmax probability of the true class under Eq. 12 at four budgets."""
    return Measurement(min(map(_probability, BUDGETS)), _probability(100.0))


def _probability(budget, classes=10):
    x = torch.ones(1, dtype=torch.float64)
    return float(torch.softmax(splines.optimal_templates(x, 0, classes, budget) @ x, 0)[0])


@check("spl.dirac/closed_form", EXACT)
def closed_form(setting):
    """Compare that probability with its closed form, and with 1 at a budget of 400."""
    errors = [[abs(_probability(budget) - 1 / (1 + 9 * np.exp(-exponent)))
               for exponent in ((budget * 10 / 9) ** 0.5, budget * 10 / 9)] for budget in BUDGETS]
    measured, control = np.max(errors, axis=0)
    return Measurement(max(measured, 1 - _probability(400.0)), control)


@lru_cache(maxsize=2)
def digits_nets(setting):
    """Train the small CNN for digits from ten seeds, with and without batch norm, and summarise its templates."""
    return [net for batch_norm in (True, False) for net in _ten_nets(setting, batch_norm)]


def _ten_nets(setting, batch_norm):
    seeds = range(SEEDS * setting.seed, SEEDS * (setting.seed + 1))
    trained = trained_nets(setting, batch_norm)
    untrained = [training.seeded(networks.digits_cnn, seed, batch_norm=batch_norm).eval() for seed in seeds]
    found = []
    for seed, before, after in zip(seeds, untrained, trained, strict=True):
        test = data.load("digits", "test", seed)
        images, labels = test.images[:200].to(setting.device), test.labels[:200].to(setting.device)
        states = {name: inner_products.summary(model.to(setting.device), images, labels, "digits")
                  for name, model in (("untrained", before), ("trained", after)) if batch_norm or name == "trained"}
        found.append({"batch_norm": batch_norm, "seed": seed} | states)
    return found


@Remembered
def trained_nets(setting, batch_norm):
    """Return ten trained nets, one a seed, each on its own split of the digits; 8 epochs, trained as one ensemble."""
    seeds = range(SEEDS * setting.seed, SEEDS * (setting.seed + 1))
    sets = [data.load("digits", "train", seed) for seed in seeds]
    models = [training.seeded(networks.digits_cnn, seed, batch_norm=batch_norm).to(setting.device) for seed in seeds]
    images, labels = (torch.stack([getattr(each, name) for each in sets]).to(setting.device) for name in
                      ("images", "labels"))
    return training.train(models, images, labels, training.Recipe(epochs=8, learning_rate=0.003, batch_size=100), seeds)


def mnist_nets(records):
    """Return the recorded summaries of the authors' small CNN on MNIST in the form of :func:`digits_nets`."""
    return recorded_nets(records, "mnist")


def recorded_nets(records, dataset):
    """Return the recorded summaries for one data set."""
    return [record["configuration"] | record["result"] for record in records if record["configuration"]["data"] == dataset]


def of_nets(identifier, recorded=True):
    """Register a function of trained nets: on digits in the page, and on the recorded MNIST nets at full scale.

    Fig. 2a stands for a large CNN, which the recorded small one cannot replace: there ``recorded`` is False.
    """
    def decorate(function):
        @wraps(function)
        def laptop(setting):
            return function(digits_nets(setting))

        @wraps(function)
        def full(setting, records):
            return function(mnist_nets(records))

        check(identifier, experiment(SEEDS))(laptop)
        if recorded:
            check(identifier, experiment(RECORDED_SEEDS), scale="full", records="template-inner-products")(full)
        return function

    return decorate


def column(nets, key, batch_norm, state="trained"):
    """Return one number of each net, as an array over seeds."""
    return np.array([net[state][key] for net in nets if net["batch_norm"] is batch_norm])


@of_nets("spl.fig1_top/shown_classes")
def shown_classes(nets):
    """Count the correctly classified zeros whose template is positive and those of 3 and 7 negative, without batch norm."""
    return Measurement(column(nets, "shown", False).mean(), column(nets, "exchanged", False).mean())


@of_nets("spl.fig1_top/not_all_classes")
def not_all_classes(nets):
    """Count the correctly classified images with the true class positive and all nine others negative."""
    x = torch.ones(1, dtype=torch.float64)
    ideal = splines.optimal_templates(x, 0, 10, 1.0) @ x
    return Measurement(column(nets, "all_classes", False).mean(), float(ideal[0] > 0 and bool((ideal[1:] < 0).all())))


@of_nets("spl.fig2a/separation", recorded=False)
def separation(nets):
    """Rank the correct-class products among those of other classes (area under the ROC curve), with batch norm."""
    return Measurement(column(nets, "auc", True).mean(), column(nets, "auc", True, "untrained").mean())


@of_nets("spl.fig2a/opposite_signs", recorded=False)
def opposite_signs(nets):
    """Take the smaller of the two mean margins, and the smallest of these over the seeds, with batch norm."""
    return Measurement(_margins(nets, "trained"), _margins(nets, "untrained"))


def _margins(nets, state):
    correct, others = (column(nets, key, True, state) for key in ("mean_correct", "mean_others"))
    return float(np.minimum(correct, -others).min())


@of_nets("spl.fig2a/no_batch_norm", recorded=False)
def no_batch_norm(nets):
    """Compare the areas under the ROC curve with and without batch norm."""
    areas = column(nets, "auc", True).mean()
    return Measurement(abs(areas - column(nets, "auc", False).mean()),
                       abs(areas - column(nets, "auc", True, "untrained").mean()))


@of_nets("spl.fig2_confirms/signs")
def signs(nets):
    """Measure the signs of the two modes: the smaller margin, the smallest over the seeds."""
    return Measurement(_margins(nets, "trained"), _margins(nets, "untrained"))


@of_nets("spl.fig2_confirms/values")
def values(nets):
    """Measure how far the nine other products of an image are from Eq. 12's ratio -1/9."""
    products = _free_templates() @ _direction()
    own, others = products[:1], products[None, 1:]
    return Measurement(column(nets, "deviation", True).mean(), inner_products.deviation(own, others))


@of_nets("spl.fig2_confirms/collinear")
def collinear(nets):
    """Measure the cosine between an image and the template of its class."""
    own = _free_templates()[0]
    ideal = torch.cosine_similarity(own, _direction(), 0).abs()
    return Measurement(column(nets, "cosine", True).mean(), float(ideal))


def _direction():
    return torch.nn.functional.normalize(torch.arange(1.0, 21, dtype=torch.float64), dim=0)


@lru_cache(maxsize=1)
def _free_templates():
    return splines.optimise_templates(_direction(), 0, 10, 10.0, generator=torch.Generator().manual_seed(0)).best
