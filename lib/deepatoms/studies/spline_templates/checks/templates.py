"""Softmax, matched filters, Proposition 5, and Figures 1 and 2."""

from functools import lru_cache, wraps

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from deepatoms import data
from deepatoms.claims.checking import Measurement, check, examples, experiment, instances
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.learning import networks, training
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.spline_templates import inner_products
from deepatoms.studies.spline_templates.checks.operators import normal
from deepatoms.theory import splines

SEEDS = 10
CASES = ((3, 2.0), (10, 1.0), (10, 10.0), (100, 10.0))
DRAWS = 5
BUDGETS = (1.0, 10.0, 25.0, 100.0)


@check("spl.softmax/argmax", instances(10_000, of="vectors"))
def argmax(setting):
    """Count the random outputs whose largest element softmax moves."""
    z = normal(setting.torch("spl.softmax"), 10_000, 10)
    return Measurement(*(int((torch.softmax(sign * z, 1).argmax(1) != z.argmax(1)).sum()) for sign in (1, -1)), count=len(z))


@check("spl.softmax/rescales", instances(10_000, of="vectors"))
def rescales(setting):
    """Measure how far the ratios softmax(z) / z are from being equal within a vector."""
    z = 1 + torch.rand(10_000, 10, generator=setting.torch("spl.softmax/rescales"), dtype=torch.float64)
    return Measurement(*(_spread(q / z) for q in (torch.softmax(z, 1), z / z.sum(1, keepdim=True))), count=len(z))


def _spread(ratios):
    mean = ratios.mean(1, keepdim=True)
    return float(((ratios - mean).abs() / mean).max())


@check("spl.softmax/shift_invariance", instances(10_000, of="vectors"))
def shift_invariance(setting):
    """Shift all outputs by a common number, or one output alone, and see by how much softmax changes."""
    generator = setting.torch("spl.softmax/shift")
    z, shift = normal(generator, 10_000, 10), 20 * torch.rand(10_000, 1, generator=generator, dtype=torch.float64) - 10
    one = torch.nn.functional.one_hot(torch.tensor(0), 10)
    moves = (float((torch.softmax(z + shift * at, 1) - torch.softmax(z, 1)).abs().max()) for at in (1, one))
    return Measurement(*moves, count=len(z))


@check("spl.matched_filter/white", instances(DRAWS, of="sets of signals"))
@Remembered
def white(setting):
    """Classify ten noisy signals with matched filters and with fifty other linear banks, on several draws of the signals."""
    random = setting.numpy("spl.matched_filter")
    coloured = 0.9 ** np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    found = [[_advantage(random, signals, covariance) for covariance in (np.eye(20), coloured)]
             for signals in _signals(random)]
    return Measurement(*np.mean(found, axis=0), count=len(found))


def _signals(random):
    signals = random.normal(size=(DRAWS, 10, 20))
    return 2 * signals / np.linalg.norm(signals, axis=2, keepdims=True)


def _advantage(random, signals, covariance):
    """Accuracy of the matched filters minus that of the best other bank, on the same samples."""
    root = np.linalg.cholesky(covariance)
    labels, x = _samples(random, signals, root, 100_000)
    banks = [(signals, np.zeros(10)), *_other_banks(random, signals, root, covariance)]
    accuracies = [((x @ filters.T.astype(x.dtype) + biases).argmax(1) == labels).mean() for filters, biases in banks]
    return accuracies[0] - max(accuracies[1:])


def _samples(random, signals, root, count):
    labels = random.integers(len(signals), size=count)
    return labels, (signals[labels] + random.standard_normal((count, 20)) @ root.T).astype(np.float32)


def _other_banks(random, signals, root, covariance):
    """Twenty perturbed banks, twenty whitened by a covariance (coloured noise: the right one among them), ten fitted.

    The nearest of them are near: perturbed by a fiftieth, fitted on 50,000 samples.
    """
    for scale in np.geomspace(0.02, 0.2, 20):
        yield signals + scale * random.normal(size=signals.shape), np.zeros(10)
    right = not np.allclose(covariance, np.eye(20))
    for number in range(20):
        mixing = random.normal(size=(20, 20)) / 20**0.5
        yield _whitened(signals, covariance if right and number == 0 else np.eye(20) + mixing @ mixing.T)
    for count in [2000] * 9 + [50_000]:
        labels, x = _samples(random, signals, root, count)
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


@check("spl.prop5/sum_of_norms", instances(len(CASES), of="cases"))
def sum_of_norms(setting):
    """Optimise free templates under the printed constraint and compare their inner products with Eq. 12."""
    return Measurement(optimum(setting, "plain", False)[0], optimum(setting, "squared", False)[0], count=len(CASES))


@check("spl.prop5/sum_of_squares", instances(len(CASES), of="cases"))
def sum_of_squares(setting):
    """Optimise free templates under the sum of squared norms; unequal biases of two wrong classes break Eq. 12."""
    return Measurement(max(optimum(setting, "squared", False)), max(optimum(setting, "squared", True)), count=len(CASES))


@check("spl.dirac/one_hot", examples(4, of="budgets"))
def one_hot(setting):
    """Evaluate the softmax probability of the true class under Eq. 12 at four budgets."""
    found = [_probability(budget) for budget in BUDGETS]
    return Measurement(min(found), _probability(100.0), count=len(found))


def _probability(budget, classes=10):
    x = torch.ones(1, dtype=torch.float64)
    return float(torch.softmax(splines.optimal_templates(x, 0, classes, budget) @ x, 0)[0])


@check("spl.dirac/closed_form", examples(4, of="budgets"))
def closed_form(setting):
    """Compare that probability with its closed form, and with 1 at a budget of 400."""
    errors = [[abs(_probability(budget) - 1 / (1 + 9 * np.exp(-exponent)))
               for exponent in ((budget * 10 / 9) ** 0.5, budget * 10 / 9)] for budget in BUDGETS]
    measured, control = np.max(errors, axis=0)
    return Measurement(max(measured, 1 - _probability(400.0)), control, count=len(errors))


@lru_cache(maxsize=2)
def digits_nets(setting):
    """Train the small CNN for digits from ten seeds, with and without batch norm, and summarise its templates.

    The initialisation is the authors'. The nets with torch's, batch norm in both, are those of :func:`torch_nets`.
    """
    return [net for batch_norm in (True, False) for net in _ten_nets(setting, batch_norm, xavier=True)]


@lru_cache(maxsize=2)
def torch_nets(setting):
    """Return the same summaries, batch norm only, of nets that start from torch's initialisation."""
    return _ten_nets(setting, True, xavier=False)


def _seeds(setting):
    return range(SEEDS * setting.seed, SEEDS * (setting.seed + 1))


def _ten_nets(setting, batch_norm, xavier):
    seeds = _seeds(setting)
    trained = trained_nets(setting, batch_norm, xavier)
    untrained = [training.seeded(networks.digits_cnn, seed, batch_norm=batch_norm, xavier=xavier).eval() for seed in seeds]
    found = []
    for seed, before, after in zip(seeds, untrained, trained, strict=True):
        test = data.load("digits", "test", seed)
        images, labels = test.images[:200].to(setting.device), test.labels[:200].to(setting.device)
        states = {name: inner_products.summary(model.to(setting.device), images, labels, "digits")
                  for name, model in (("untrained", before), ("trained", after))}
        found.append({"batch_norm": batch_norm, "seed": seed} | states)
    return found


@Remembered
def trained_nets(setting, batch_norm, xavier):
    """Return ten trained nets, one a seed, each on its own split of the digits; 8 epochs, trained as one ensemble."""
    seeds = _seeds(setting)
    sets = [data.load("digits", "train", seed) for seed in seeds]
    models = [training.seeded(networks.digits_cnn, seed, batch_norm=batch_norm, xavier=xavier).to(setting.device)
              for seed in seeds]
    images, labels = (torch.stack([getattr(each, name) for each in sets]).to(setting.device) for name in
                      ("images", "labels"))
    return training.train(models, images, labels, training.Recipe(epochs=8, learning_rate=0.003, batch_size=100), seeds)


def recorded_nets(records, dataset):
    """Return the recorded summaries for one data set, in the form of :func:`digits_nets`."""
    return [record["configuration"] | record["result"] for record in records if record["configuration"]["data"] == dataset]


def of_nets(identifier):
    """Register a function of trained nets: on digits in the page, and on the recorded nets on MNIST (the small CNN)."""
    def decorate(function):
        check(identifier, experiment(SEEDS))(wraps(function)(lambda setting: function(digits_nets(setting))))
        check(identifier, experiment(SEEDS), scale="reduced", records=inner_products.NAME)(
            wraps(function)(lambda setting, records: function(recorded_nets(records, "mnist"))))
        return function

    return decorate


def of_cifar(identifier):
    """Register a function of the recorded nets on CIFAR-10 and of those on MNIST."""
    def decorate(function):
        check(identifier, experiment(SEEDS), scale="reduced", records=inner_products.NAME)(wraps(function)(
            lambda setting, records: function(recorded_nets(records, "cifar10"), recorded_nets(records, "mnist"))))
        return function

    return decorate


def column(nets, key, batch_norm, state="trained"):
    """Return one number of each net, as an array over seeds."""
    return np.array([net[state][key] for net in nets if net["batch_norm"] is batch_norm])


def _averages(measured, control):
    """Return the means over nets, one of each seed."""
    return Measurement(measured.mean(), control.mean(), count=len(measured))


@of_nets("spl.fig1_top/shown_classes")
def shown_classes(nets):
    """Count the correctly classified zeros whose template is positive and those of 3 and 7 negative, without batch norm."""
    return _averages(column(nets, "shown", False), column(nets, "exchanged", False))


@of_nets("spl.fig1_top/not_all_classes")
def not_all_classes(nets):
    """Count the correctly classified images with the true class positive and all nine others negative."""
    found = column(nets, "all_classes", False)
    ideal = inner_products.all_signs(*_free_products())
    return Measurement(found.mean(), float(ideal.double().mean()), count=len(found))


@of_cifar("spl.fig1_bottom/shown_classes")
def shown_trucks(nets, mnist):
    """Count the correctly classified trucks whose template is positive and those of bird and dog negative."""
    return shown_classes(nets)


@of_nets("spl.fig2a/separation")
def separation(nets):
    """Rank the correct-class products among those of other classes (area under the ROC curve), with batch norm."""
    return _averages(column(nets, "auc", True), column(nets, "auc", True, "untrained"))


@of_nets("spl.fig2a/opposite_signs")
def opposite_signs(nets):
    """Take the smaller of the two mean margins, and the smallest of these over the seeds, with batch norm."""
    margins = [_margins(nets, state) for state in ("trained", "untrained")]
    return Measurement(*(float(each.min()) for each in margins), count=len(margins[0]))


def _margins(nets, state):
    """Return for each seed the smaller of the correct class's mean and minus that of the others."""
    correct, others = (column(nets, key, True, state) for key in ("mean_correct", "mean_others"))
    return np.minimum(correct, -others)


@of_nets("spl.fig2a/no_batch_norm")
def no_batch_norm(nets):
    """Compare the areas under the ROC curve with and without batch norm, seed by seed."""
    with_it, without, untrained = column(nets, "auc", True), column(nets, "auc", False), column(nets, "auc", True, "untrained")
    (measured, interval), (control, wide) = (_size(with_it - other) for other in (without, untrained))
    return Measurement(measured, control, interval, wide, count=len(with_it))


def _size(differences):
    """Return the size of the mean of paired differences, and its 95 % interval on the same side."""
    return mean_and_interval(differences * np.sign(differences.mean()))


@of_cifar("spl.fig2b/opposite_signs")
def opposite_signs_in_colour(nets, mnist):
    """Take the smaller of the two mean margins, and the smallest of these over the seeds, with batch norm."""
    return opposite_signs(nets)


@of_cifar("spl.fig2b/separation")
def separation_in_colour(nets, mnist):
    """Rank the correct-class products among those of other classes, with batch norm."""
    return separation(nets)


@of_cifar("spl.fig2_easier/auc_gap")
def auc_gap(nets, mnist):
    """Subtract CIFAR-10's area under the ROC curve from MNIST's, seed by seed; MNIST's of the next seed is the control."""
    colour, grey = column(nets, "auc", True), column(mnist, "auc", True)
    return Measurement((grey[:len(colour)] - colour).min(), (grey - np.roll(grey, 1)).min(), count=len(colour))


@of_nets("spl.fig2_confirms/signs")
def signs(nets):
    """Measure the signs of the two modes: the smaller margin, the smallest over the seeds."""
    return opposite_signs(nets)


@of_nets("spl.fig2_confirms/values")
def values(nets):
    """Measure how far the nine other products of an image are from Eq. 12's ratio -1/9."""
    found = column(nets, "deviation", True)
    return Measurement(found.mean(), inner_products.deviation(*_free_products()), count=len(found))


@of_nets("spl.fig2_confirms/collinear")
def collinear(nets):
    """Measure the cosine between an image and the template of its class."""
    ideal = torch.cosine_similarity(_free_templates()[0], _direction(), 0).abs()
    found = column(nets, "cosine", True)
    return Measurement(found.mean(), float(ideal), count=len(found))


def _direction():
    return torch.nn.functional.normalize(torch.arange(1.0, 21, dtype=torch.float64), dim=0)


@lru_cache(maxsize=1)
def _free_templates():
    return splines.optimise_templates(_direction(), 0, 10, 10.0, generator=torch.Generator().manual_seed(0)).best


def _free_products():
    """Return the inner products of the freely optimised templates: of the own class, and of the nine others."""
    products = _free_templates() @ _direction()
    return products[:1], products[None, 1:]
