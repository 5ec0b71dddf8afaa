"""Section 3: networks as sparse coding, and how near one forward pass comes to the code that it approximates."""

import functools

import numpy as np
import scipy.linalg
import torch
from scipy.stats import spearmanr

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.studies.deep_frame_potential.checks import draws
from deepatoms.theory import dictionaries, induced

PENALTY = 0.1

# ---- depth, the recursion, thresholding ----


@check("dfp.depth/beats_shallow", instances(1, of="networks"))
def beats_shallow(setting):
    """Build a two-layer chain of 128 atoms over 16 numbers, and compare with the Welch bound of any 128 atoms there."""
    first = dictionaries.minimize_coherence(setting.numpy("depth").normal(size=(16, 64))).best
    draws.demand("coherence of the first layer at most 0.3", dictionaries.mutual_coherence(first) <= 0.3)
    second = scipy.linalg.hadamard(64) / 8
    chain = induced.chain([16, 64, 64]).dictionary([first.T, second.T])
    unlinked = scipy.linalg.block_diag(first, second)
    bound = dictionaries.welch_bound(16, 128)
    return Measurement(dictionaries.mutual_coherence(chain) - bound, dictionaries.mutual_coherence(unlinked) - bound, count=1)


def _module(weights, activation=torch.nn.ReLU, biases=None):
    """The network as torch itself computes it."""
    layers = []
    for j, weight in enumerate(weights):
        linear = torch.nn.Linear(*weight.shape[::-1], bias=biases is not None, dtype=torch.float64)
        linear.weight.data = torch.tensor(weight)
        if biases is not None:
            linear.bias.data = torch.tensor(biases[j])
        layers += [linear, activation()]
    return torch.nn.Sequential(*layers)


def _distance(a, b):
    largest = max(np.linalg.norm(a), np.linalg.norm(b))
    return np.linalg.norm(a - b) / largest if largest else 0.0


def _net_and_input(draw, units=(8, 16)):
    weights = draws.network(draw, "chain", draws.widths(draw, (2, 5), units), draws.UNIT)[1]
    return weights, draw.normal(size=weights[0].shape[1])


@check("dfp.recursion/literal", instances(200, of="networks"))
def recursion_literal(setting):
    """Compare torch's own network with the recursion that drops the activation; control: linear networks."""
    def instance(draw):
        weights, x = _net_and_input(draw)
        literal = functools.reduce(lambda w, weight: weight @ w, weights, x)
        return tuple(_distance(_module(weights, kind)(torch.tensor(x)).detach().numpy(), literal)
                     for kind in (torch.nn.ReLU, torch.nn.Identity))
    return draws.largest(setting.numpy("recursion"), 200, instance)


@check("dfp.recursion/with_activation", instances(200, of="networks"))
def recursion_corrected(setting):
    """Compare torch's own network with the recursion that keeps the activation."""
    def instance(draw):
        weights, x = _net_and_input(draw)
        output = _module(weights)(torch.tensor(x)).detach().numpy()
        before = functools.reduce(lambda w, weight: np.maximum(weight @ w, 0), weights[:-1], x)
        last = weights[-1] @ before
        return _distance(output, np.maximum(last, 0)), _distance(output, last)
    return draws.largest(setting.numpy("recursion"), 200, instance)


@check("dfp.thresholding/identity", instances(200, of="networks"))
def thresholding(setting):
    """Compare torch's ReLU network with layered pursuit, each step solved by bisection on its optimality condition."""
    def instance(draw):
        weights, x = _net_and_input(draw, (4, 16))
        biases = [draw.uniform(-0.2, 0, len(weight)) for weight in weights]
        output = _module(weights, biases=biases)(torch.tensor(x)).detach().numpy()
        pursuit = two_sided = x
        for weight, bias in zip(weights, biases, strict=True):
            pursuit = _threshold_by_bisection(weight @ pursuit, -bias)
            z = weight @ two_sided
            two_sided = np.sign(z) * np.maximum(np.abs(z) + bias, 0)
        return np.abs(output - pursuit).max(), np.abs(output - two_sided).max()
    return draws.largest(setting.numpy("thresholding"), 200, instance)


def _threshold_by_bisection(z, threshold):
    """Minimise (w - z)^2 / 2 + threshold w over w >= 0 by the sign of the derivative."""
    low, high = np.zeros_like(z), np.full_like(z, np.abs(z).max() + 1)
    for _ in range(60):
        middle = (low + high) / 2
        rising = middle - z + threshold > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return low


# ---- Equation 5: convexity, and the distance of one pass from the minimiser ----

@check("dfp.convex/chords", instances(100, of="networks"))
def chords(setting):
    """Compare the objective at midpoints with the mean at the ends; control: parameters among the variables."""
    def instance(draw):
        weights, x = _net_and_input(draw, (4, 12))
        x = 3 * x / np.linalg.norm(x)
        blocks = [weight.T for weight in weights]
        points = np.abs(draw.normal(size=(200, sum(map(len, weights)))))
        ends, middle = _layered(blocks, x, points), _layered(blocks, x, (points[:100] + points[100:]) / 2)
        mean = (ends[:100] + ends[100:]) / 2
        return ((mean - middle) / mean).min(), _shifted_chord(blocks, x, points)
    return draws.smallest(setting.numpy("chords"), 100, instance)


def _layered(blocks, x, points):
    """The objective of Equation 5 at several points, layer by layer."""
    total, before = PENALTY * points.sum(1), np.broadcast_to(x, (len(points), len(x)))
    for block, part in zip(blocks, draws.slices([block.shape[1] for block in blocks]), strict=True):
        total = total + ((points[:, part] @ block.T - before) ** 2).sum(1)
        before = points[:, part]
    return total


def _shifted_chord(blocks, x, points):
    """The chord between a point and itself with the units of layer 1 renamed, parameters being variables too."""
    k = blocks[0].shape[1]
    other = np.hstack([np.roll(points[:, :k], 1, 1), points[:, k:]])
    renamed = [np.roll(blocks[0], 1, 1), np.roll(blocks[1], 1, 0), *blocks[2:]]
    ends = (_layered(blocks, x, points) + _layered(renamed, x, other)) / 2
    middle = _layered([(a + b) / 2 for a, b in zip(blocks, renamed, strict=True)], x, (points + other) / 2)
    return ((ends - middle) / ends).min()


def distances(B, y, passes, layers, draw, penalty=PENALTY):
    """Return the median distance of forward passes, and of their units shuffled inside layers, from the minimisers."""
    B, y = np.stack(B), np.stack(y)
    codes = induced.sparse_code(B, y, penalty)
    shuffled = [np.concatenate([draw.permutation(w[part]) for part in layers]) for w in passes]
    return Measurement(*(np.median(induced.agreement(B, np.stack(ours), codes, y, penalty)[0]) for ours in (passes, shuffled)),
                       count=len(B))


def _forward_problems(draw, build, sizes, count):
    """Sparse coding problems and forward passes of a family: Gaussian blocks, output filters of norm 1, inputs of norm 3."""
    net = build(sizes)
    B, y, passes = [], [], []
    for _ in range(count):
        weights = [draws.filters(draw, weight.shape, draws.UNIT) for weight in net.weights]
        x = _input(draw, sizes[0])
        B.append(net.dictionary(weights))
        y.append(np.r_[x, np.zeros(net.rows - len(x))])
        passes.append(induced.forward(net, weights, x, PENALTY))
    return B, y, passes


def _forward_distances(draw, build, sizes, count):
    return distances(*_forward_problems(draw, build, sizes, count), draws.slices(sizes[1:]), draw)


FAMILIES = {"chain, Eq. 5": (induced.chain, [16, 20, 20, 20]), "residual, Eq. 9": (induced.residual, [16] * 6),
            "dense, Eq. 11": (induced.dense, [16] * 5)}
MEASURES = ("distance", "objective gap", "support overlap", "recall", "activity")


def agreements(setting):
    """Return by family the medians over forward passes of ``MEASURES``.

    Recall is the share of the minimiser's units that the pass finds, activity the sum of the pass divided by that of the
    minimiser.
    """
    return {name: [*_median_agreement(*problem, codes), *_activity(problem[2], codes)]
            for name, (problem, codes) in _solved(setting).items()}


@functools.lru_cache(maxsize=2)
def _solved(setting, count=100):
    """Problems, passes and minimisers of every family, and of the net in which all layers see all before them."""
    draw = setting.numpy("agreements")
    problems = {name: _forward_problems(draw, build, sizes, count) for name, (build, sizes) in FAMILIES.items()}
    problems["all layers, Eq. 8"] = tuple(zip(*[_eq8(draw, transposed=False) for _ in range(count)], strict=True))
    stacked = {name: tuple(map(np.stack, problem)) for name, problem in problems.items()}
    return {name: (problem, induced.sparse_code(*problem[:2], PENALTY)) for name, problem in stacked.items()}


def _activity(passes, codes):
    return (np.median(((passes > 0) & (codes > 0)).sum(1) / np.maximum((codes > 0).sum(1), 1)),
            np.median(passes.sum(1) / np.maximum(codes.sum(1), 1e-300)))


@check("dfp.approximation/by_distance", instances(300, of="networks"))
def by_distance(setting):
    """Measure the distance of forward passes from the minimisers in three families; control: units shuffled."""
    return _worst_agreement(setting, 0, lambda passes, sizes, draw: _shuffled(passes, sizes, draw), min)


@check("dfp.approximation/by_objective", instances(300, of="networks"))
def by_objective(setting):
    """Measure the objective at the same passes; control: the passes halved."""
    return _worst_agreement(setting, 1, lambda passes, sizes, draw: passes / 2, max)


def _worst_agreement(setting, measure, altered, worst):
    """The largest median of a measure over families, and the worst of passes altered, over families too."""
    draw, found, count = setting.numpy("altered"), [], 0
    for name, (_, sizes) in FAMILIES.items():
        (B, y, passes), codes = _solved(setting)[name]
        found.append([_median_agreement(B, y, ours, codes)[measure] for ours in (passes, altered(passes, sizes, draw))])
        count += len(B)
    ours, others = np.transpose(found)
    return Measurement(max(ours), worst(others), count=count)


def _shuffled(passes, sizes, draw):
    layers = draws.slices(sizes[1:])
    return np.stack([np.concatenate([draw.permutation(w[part]) for part in layers]) for w in passes])


# ---- the sequel: iterated inference ----

@check("dfp.iterated/moves_less", instances(1000, of="networks"))
def moves_less(setting):
    """Compare how far the worst small step of the input moves minimiser and pass; control: one orthonormal layer."""
    draw = setting.numpy("iterated")
    B, y, _ = map(np.stack, _forward_problems(draw, induced.chain, [16, 20, 20, 20], 1010))
    found = _sensitivity(B, y, [16, 20, 20, 20], PENALTY)
    one = np.linalg.qr(draw.normal(size=(100, 20, 12)))[0]
    control = _sensitivity(one, np.stack([_input(draw, 20) for _ in one]), [20, 12], 2 * PENALTY)
    return Measurement(np.median(found), np.median(control), _median_interval(found, draw), _median_interval(control, draw),
                       count=len(found))


def _median_interval(values, draw):
    """The 95 % bootstrap interval of a median."""
    medians = np.median(draw.choice(values, (1000, len(values))), axis=1)
    return tuple(np.quantile(medians, (0.025, 0.975)))


def _sensitivity(B, y, sizes, penalty):
    """Relative change of the minimiser under its worst small step, over that of the pass under its own, problem by problem.

    The change is the largest singular value of the Jacobian, the code's norm its unit. Problems with no active unit have
    none; they are left out.
    """
    codes, found = induced.sparse_code(B, y, penalty), []
    for dictionary, target, code in zip(B, y, codes, strict=True):
        done, jacobian = _pass_and_jacobian(dictionary, target[:sizes[0]], sizes)
        if code.any() and done.any():
            moved = np.linalg.pinv(dictionary[:, code > 0])[:, :sizes[0]]
            found.append(np.linalg.norm(moved, 2) / np.linalg.norm(code) / (np.linalg.norm(jacobian, 2) / np.linalg.norm(done)))
    return np.array(found)


def _pass_and_jacobian(B, x, sizes):
    """The forward pass of a chain read off its dictionary, and its derivative by the input."""
    w, slope, done, jacobian = x, np.eye(len(x)), [], []
    for rows, columns in zip(draws.slices(sizes[:-1]), draws.slices(sizes[1:]), strict=True):
        drive = B[rows, columns].T @ w - PENALTY
        w, slope = np.maximum(drive, 0), (drive > 0)[:, None] * (B[rows, columns].T @ slope)
        done.append(w)
        jacobian.append(slope)
    return np.concatenate(done), np.vstack(jacobian)


def _median_agreement(B, y, passes, codes, groups=1):
    found = np.array(induced.agreement(B, passes, codes, y, PENALTY))
    return np.median(found.reshape(3, groups, -1), axis=2).squeeze()


def _input(draw, size):
    x = draw.normal(size=size)
    return 3 * x / np.linalg.norm(x)


@check("dfp.eq5/nearer_than_zero", instances(200, of="networks"))
def chain_distance(setting):
    """Solve Equation 5 to a certified gap and measure how far one forward pass is from the minimiser."""
    return _forward_distances(setting.numpy("eq5"), induced.chain, [16, 20, 20, 20], 200)


@check("dfp.eq5/one_layer_exact", instances(200, of="networks"))
def one_layer(setting):
    """Solve the problem of one orthonormal layer; the factor 1/2 restored doubles the penalty of our objective."""
    draw = setting.numpy("one_layer")
    B = np.linalg.qr(draw.normal(size=(200, 20, 12)))[0]
    x = np.stack([_input(draw, 20) for _ in range(200)])
    passes = np.maximum(np.einsum("brk,br->bk", B, x) - PENALTY, 0)
    return Measurement(*(np.abs(passes - induced.sparse_code(B, x, penalty, gap=1e-13)).max()
                         for penalty in (2 * PENALTY, PENALTY)), count=len(B))


# ---- does coherence predict the accuracy? ----

def _accuracy(draw, frames, inputs):
    """The median distance, gap and overlap of one thresholding step and the sparse code, for each dictionary."""
    B = np.repeat(np.stack(frames), inputs, axis=0)
    w0 = np.zeros((len(B), B.shape[2]))
    for row in w0:
        row[draw.choice(len(row), 3, replace=False)] = draw.uniform(1, 2, 3)
    x = np.einsum("brk,bk->br", B, w0)
    passes = np.maximum(np.einsum("brk,br->bk", B, x) - PENALTY, 0)
    return _median_agreement(B, x, passes, induced.sparse_code(B, x, PENALTY), len(frames))


@functools.lru_cache(maxsize=2)
def equicoherent(setting):
    """Return aim, accuracy (three measures) and coherence of 60 dictionaries in which all pairs of atoms share it."""
    draw, frames, mu = setting.numpy("equicoherent"), [], np.linspace(0, 0.9, 60)
    for value in mu:
        basis = np.linalg.qr(draw.normal(size=(16, 16)))[0]
        t = np.sqrt(1 / 16 + value / (1 - value)) - 1 / 4
        frames.append(dictionaries.normalize(basis + t * basis.mean(1, keepdims=True) / np.linalg.norm(basis.mean(1))))
    return mu, _accuracy(draw, frames, 50), np.array([dictionaries.mutual_coherence(frame) for frame in frames])


@check("dfp.approx_coherence/random_dictionaries", instances(200, of="dictionaries"))
def random_dictionaries(setting):
    """Rank-correlate the coherence of Gaussian dictionaries with the accuracy of one thresholding step."""
    mu, accuracy = random_accuracy(setting)
    return Measurement(spearmanr(mu, accuracy[0]).statistic, _rank_correlation(setting), count=len(mu))


@functools.lru_cache(maxsize=2)
def random_accuracy(setting):
    """Return coherence and accuracy of 200 Gaussian dictionaries of 32 atoms in 16 dimensions."""
    draw = setting.numpy("random_dictionaries")
    frames = [dictionaries.normalize(draw.normal(size=(16, 32))) for _ in range(200)]
    return [dictionaries.mutual_coherence(frame) for frame in frames], _accuracy(draw, frames, 20)


def _rank_correlation(setting):
    _, accuracy, mu = equicoherent(setting)
    return spearmanr(mu, accuracy[0]).statistic


@check("dfp.approx_coherence/rank_correlation", instances(60, of="dictionaries"))
def rank_correlation(setting):
    """The same for dictionaries in which all pairs share the coherence; control: coherences shuffled."""
    _, accuracy, mu = equicoherent(setting)
    shuffled = setting.numpy("shuffle").permutation(mu)
    return Measurement(_rank_correlation(setting), spearmanr(shuffled, accuracy[0]).statistic, count=len(mu))


# ---- Equations 7 and 8: every layer sees all before it ----

EQ8_ROWS, EQ8_COLUMNS = draws.slices([16, 20, 20]), draws.slices([20, 20, 20])


def _eq8_blocks(draw):
    heights = [16, 20, 20]
    return {(i, j): draws.filters(draw, (20, heights[i]), draws.UNIT).T for i in range(3) for j in range(i + 1)}


def _eq8(draw, transposed):
    """Objective matrix and forward pass of Equation 8 for one net, lower blocks transposed (as printed) or not."""
    blocks, x = _eq8_blocks(draw), _input(draw, 16)
    used = {(i, j): block.T if transposed and i > j else block for (i, j), block in blocks.items()}
    B, w = np.zeros((56, 60)), []
    for (i, j), block in used.items():
        B[EQ8_ROWS[i], EQ8_COLUMNS[j]] = block
    for i in range(3):
        drive = -sum((used[i, j] @ w[j] for j in range(i)), np.zeros(len(B[EQ8_ROWS[i]]))) if i else x
        w.append(np.maximum(used[i, i].T @ drive - PENALTY, 0))
    return B, np.r_[x, np.zeros(40)], np.concatenate(w)


@check("dfp.eq8/as_printed", instances(100, of="networks"))
def eq8_as_printed(setting):
    """Solve the objective of Equation 8 without and with the input in its first term."""
    draw = setting.numpy("eq8")
    B, y, passes = zip(*[_eq8(draw, transposed=True) for _ in range(100)], strict=True)
    return Measurement(*(distances(B, target, passes, EQ8_COLUMNS, draw).measured
                         for target in (np.zeros((100, 56)), np.stack(y))), count=len(B))


@check("dfp.eq8/with_input", instances(100, of="networks"))
def eq8_with_input(setting):
    """The same with the input, the blocks of Equation 7 used as they stand."""
    draw = setting.numpy("eq8")
    B, y, passes = zip(*[_eq8(draw, transposed=False) for _ in range(100)], strict=True)
    return distances(B, y, passes, EQ8_COLUMNS, draw)


@check("dfp.eq8/linear_residual", instances(50, of="networks"))
def eq8_linear(setting):
    """Put the activations of a linear net with orthogonal diagonal blocks into the constraints."""
    def instance(draw):
        blocks = {(i, j): np.linalg.qr(draw.normal(size=(12, 12)))[0] if i == j else draws.filters(draw, (12, 12), draws.UNIT).T
                  for i in range(4) for j in range(i + 1)}
        x, w = draw.normal(size=12), []
        for i in range(4):
            w.append(blocks[i, i].T @ (-sum(blocks[i, j] @ w[j] for j in range(i)) if i else x))
        residual = _rows(blocks, w, x)
        blocks[2, 0] = -blocks[2, 0]
        return residual, _rows(blocks, w, x)
    return draws.largest(setting.numpy("eq8_linear"), 50, instance)


def _rows(blocks, w, x):
    return max(np.abs(sum(blocks[i, j] @ w[j] for j in range(i + 1)) - (x if i == 0 else 0)).max() for i in range(4))


# ---- Equations 9 to 11: residual and dense ----

@check("dfp.eq10/nearer_than_zero", instances(100, of="networks"))
def residual_distance(setting):
    """Solve Equation 10 and measure how far one residual forward pass is from the minimiser."""
    return _forward_distances(setting.numpy("eq10"), induced.residual, [16] * 6, 100)


@check("dfp.eq11/nearer_than_zero", instances(100, of="networks"))
def dense_distance(setting):
    """Solve the dense problem and measure how far one dense forward pass is from the minimiser."""
    return _forward_distances(setting.numpy("eq11"), induced.dense, [16] * 5, 100)


@check("dfp.eq10/linear_residual", instances(200, of="networks"))
def residual_constraints(setting):
    """Put the activations of a linear residual net into the residuals of Equation 10, written layer by layer."""
    def instance(draw):
        W = [np.linalg.qr(draw.normal(size=(10, 10)))[0]] + [draws.filters(draw, (10, 10), draws.UNIT) for _ in range(4)]
        x = draw.normal(size=10)
        return tuple(np.abs(_eq10_residuals(W, induced.forward(build, W, x, activation=False), x)).max()
                     for build in (induced.residual([10] * 6), induced.chain([10] * 6, "analysis")))
    return draws.largest(setting.numpy("eq10_linear"), 200, instance)


def _eq10_residuals(W, stacked, x):
    """The vectors whose squares Equation 10 adds up, for weights (out, in)."""
    w = np.split(stacked, np.cumsum([len(weight) for weight in W])[:-1])
    found = [x - W[0].T @ w[0]]
    for j in range(2, len(W) + 1):
        found.append(w[j - 1] - W[j - 1] @ w[j - 2] - (w[j - 3] if j % 2 else 0))
    return np.concatenate(found)


@check("dfp.res_pattern/as_printed", instances(200, of="networks"))
def pattern_as_printed(setting):
    """Compare Equation 10 with the dictionary whose blocks are those printed in Section 3.3."""
    return _pattern_check(setting, printed_pattern, corrected_pattern)


@check("dfp.res_pattern/corrected_pattern", instances(200, of="networks"))
def pattern_corrected(setting):
    """The same with the corrected blocks; control: one skip missing."""
    return _pattern_check(setting, corrected_pattern, lambda W: {key: block for key, block in corrected_pattern(W).items()
                                                                 if key != (4, 2)})


def _pattern_check(setting, ours, control):
    def instance(draw):
        W = [draws.filters(draw, (10, 10), draws.UNIT) for _ in range(5)]
        x, w = _input(draw, 10), np.abs(draw.normal(size=50))
        layered = (_eq10_residuals(W, w, x) ** 2).sum()
        found = []
        for pattern in (ours, control):
            residual = induced.constraints(assemble(pattern(W), 10), w, x)
            found.append(abs(layered - (residual**2).sum()) / max(layered, (residual**2).sum()))
        return found
    return draws.largest(setting.numpy("res_pattern"), 200, instance)


def printed_pattern(W):
    """Blocks printed in Section 3.3: identities on the diagonal and below it in even columns, nothing else."""
    found = {(j, j): W[0].T if j == 0 else np.eye(len(W[0])) for j in range(len(W))}
    return found | {(j, j - 1): np.eye(len(W[0])) for j in range(2, len(W), 2)}


def corrected_pattern(W):
    """Blocks that Equation 10 induces (rows and columns counted from 0)."""
    found = {(j, j): W[0].T if j == 0 else np.eye(len(W[0])) for j in range(len(W))}
    return (found | {(j, j - 1): -W[j] for j in range(1, len(W))}
            | {(j, j - 2): -np.eye(len(W[0])) for j in range(2, len(W), 2)})


def assemble(blocks, size):
    """Return the matrix of equal square blocks given by (row, column)."""
    depth = 1 + max(row for row, _ in blocks)
    found = np.zeros((depth * size, depth * size))
    for (row, column), block in blocks.items():
        found[row * size:(row + 1) * size, column * size:(column + 1) * size] = block
    return found


@check("dfp.eq11/concatenation", instances(200, of="networks"))
def concatenation(setting):
    """Compare concatenated with summed inputs, and the layerwise with the stacked objective, of dense nets."""
    net = induced.dense([16] * 5)

    def instance(draw):
        W = [draws.filters(draw, weight.shape, draws.UNIT) for weight in net.weights]
        x = _input(draw, 16)
        stacked = induced.forward(net, W, x, PENALTY)
        summed, joined, exchanged = dense_inputs(W, np.split(stacked, 4))
        layered = ((x - W[0].T @ stacked[:16]) ** 2).sum() + ((stacked[16:] - summed.ravel()) ** 2).sum()
        whole = (induced.constraints(net.dictionary(W), stacked, x) ** 2).sum()
        inputs = np.linalg.norm(summed - joined, axis=1) / np.linalg.norm(summed, axis=1)
        return max(inputs.max(), abs(whole / layered - 1)), np.linalg.norm(exchanged - summed[-1]) / np.linalg.norm(summed[-1])
    return draws.largest(setting.numpy("concatenation"), 200, instance)


def dense_inputs(W, w):
    """Inputs of layers 2, 3 ... of a dense net: summed, concatenated, and the last with its first two blocks exchanged."""
    summed = np.stack([sum(weight[:, 16 * k:16 * (k + 1)] @ w[k] for k in range(j)) for j, weight in enumerate(W) if j])
    joined = np.stack([weight @ np.concatenate(w[:j]) for j, weight in enumerate(W) if j])
    return summed, joined, W[-1] @ np.concatenate([w[1], w[0], *w[2:len(W) - 1]])
