"""Section 4: column norms, the blocks of the Gram matrix, and what the paper reads off them."""

import numpy as np
from scipy.stats import spearmanr

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.studies.deep_frame_potential.checks import draws
from deepatoms.theory import dictionaries, induced
from deepatoms.theory.frame_potential.chains import pair_count

# ---- column norms ----


@check("dfp.norms/as_printed", instances(200, of="networks"))
def norms_as_printed(setting):
    """Compare the printed sum over layers with the explicit dictionary's column norms, chains of equal width."""
    def instance(draw):
        c = draws.chain(draw, (3, 5), (8, 8))[1]
        return _printed_norm_error(c), _printed_norm_error(draws.chain(draw, (1, 1), (8, 8))[1])
    return draws.largest(setting.numpy("norms"), 200, instance)


def _printed_norm_error(blocks):
    B, _, columns = draws.stacked(blocks)
    squares = [(block**2).sum(0) for block in blocks]
    printed = np.concatenate([np.sqrt(sum(squares[j:])) for j in range(len(blocks))])
    explicit = np.linalg.norm(B, axis=0)
    return np.abs(printed / explicit - 1).max()


@check("dfp.norms/block_norms", instances(360, of="networks"))
def block_norms(setting):
    """Sum the squared column norms of the blocks of each column, identities included, in all three families."""
    def instance(draw):
        unequal = [_block_norm_error(*draws.network(draw, family, draws.widths(draw)), 0) for family in draws.PRINTED_FAMILIES]
        equal = [_block_norm_error(*draws.network(draw, family, [6] * 5), 1) for family in draws.PRINTED_FAMILIES]
        return max(unequal), min(equal)
    return draws.largest(setting.numpy("block_norms"), 60, instance, each=2 * len(draws.PRINTED_FAMILIES))


def _block_norm_error(net, weights, axis):
    found = np.concatenate([np.sqrt(sum((block**2).sum(axis) for (_, column), block in draws.block_matrices(net, weights).items()
                                        if column == j)) for j in range(net.depth)])
    return np.abs(found / np.linalg.norm(net.dictionary(weights), axis=0) - 1).max()


# ---- Equation 13 ----

@check("dfp.eq13/blocks", instances(300, of="networks"))
def gram_blocks(setting):
    """Build every block of the Gram matrix from its sum over rows and compare with the explicit matrix."""
    def instance(draw):
        nets = [draws.network(draw, family, draws.widths(draw)) for family in draws.PRINTED_FAMILIES]
        equal = draws.network(draw, "dense", [6] * 5)
        return max(_eq13_error(*net) for net in nets), _eq13_error(*equal, transposed=True)
    return draws.largest(setting.numpy("eq13"), 100, instance, each=len(draws.PRINTED_FAMILIES))


def _eq13_error(net, weights, transposed=False):
    blocks, columns = draws.block_matrices(net, weights), draws.layer_slices(net)[1]
    used = {(i, j): block.T if transposed and i > j else block for (i, j), block in blocks.items()}
    norms = [np.sqrt(sum((block**2).sum(0) for (_, column), block in blocks.items() if column == j)) for j in range(net.depth)]
    G = dictionaries.gram(net.dictionary(weights))
    worst = 0.0
    for j, own in enumerate(columns):
        for k in range(j, net.depth):
            total = sum((used[i, j].T @ used[i, k] for i in range(k, net.depth) if (i, j) in used and (i, k) in used),
                        np.zeros((len(norms[j]), len(norms[k]))))
            worst = max(worst, np.abs(total / norms[j][:, None] / norms[k] - G[own, columns[k]]).max())
    return worst


# ---- chains: which blocks, and Equations 14 to 16 ----

def _nonzero_blocks(net, weights):
    G, columns = dictionaries.gram(net.dictionary(weights)), draws.layer_slices(net)[1]
    return np.array([[bool((np.abs(G[a, b]) > 1e-14).any()) for b in columns] for a in columns])


def _pattern_chains(draw):
    return [_nonzero_blocks(*draws.network(draw, "chain", [6] * (depth + 1))) for depth in (2, 3, 4, 5)]


@check("dfp.chain_blocks/as_printed", instances(4, of="networks"))
def chain_blocks(setting):
    """Count nonzero upper blocks off the first superdiagonal in the explicit Gram matrices of four chains."""
    found = [np.triu(pattern & ~np.eye(len(pattern), k=1, dtype=bool)) for pattern in _pattern_chains(setting.numpy("pattern"))]
    return Measurement(sum(int(pattern.sum()) for pattern in found), sum(int(np.triu(pattern, 1).sum()) for pattern in found),
                       count=len(found))


@check("dfp.chain_blocks/neighbours", instances(4, of="networks"))
def neighbour_blocks(setting):
    """Count blocks that are nonzero elsewhere than between equal or neighbouring layers, or zero there."""
    draw = setting.numpy("neighbours")
    residual = _nonzero_blocks(*draws.network(draw, "residual", [6] * 6))
    found = [_violations(pattern) for pattern in _pattern_chains(draw)]
    return Measurement(sum(found), _violations(residual), count=len(found))


def _violations(pattern):
    near = np.abs(np.subtract.outer(np.arange(len(pattern)), np.arange(len(pattern)))) <= 1
    return int((pattern != near).sum())


def _gram(blocks):
    B, _, columns = draws.stacked(blocks)
    return dictionaries.gram(B), columns


@check("dfp.eq14/blocks", instances(300, of="networks"))
def diagonal_blocks(setting):
    """Compare Equation 14 with the explicit Gram matrix in every layer but the last."""
    def instance(draw):
        _, blocks, c = draws.chain(draw)
        G, at = _gram(blocks)
        scale = [1 / np.sqrt(norms**2 + 1) for norms in c]
        products = [scale[j][:, None] * (B.T @ B) * scale[j] for j, B in enumerate(blocks[:-1])]
        with_identity = [P + np.diag(s**2) for P, s in zip(products, scale, strict=False)]
        return tuple(max(np.abs(G[at[j], at[j]] - P).max() for j, P in enumerate(form)) for form in (with_identity, products))
    return draws.largest(setting.numpy("eq14"), 300, instance)


@check("dfp.eq14/rescaled", instances(300, of="networks"))
def rescaled(setting):
    """Write the energy of a diagonal block as a sum of squared cosines, each weighted by its two magnitudes."""
    def instance(draw):
        _, blocks, c = draws.chain(draw)
        G, at = _gram(blocks)
        errors = []
        for j, B in enumerate(blocks[:-1]):
            cosines = dictionaries.gram(B) ** 2 * (1 - np.eye(B.shape[1]))
            s = c[j] ** 2 / (c[j] ** 2 + 1)
            own = G[at[j], at[j]]
            energy = (own**2 * (1 - np.eye(len(own)))).sum()
            errors.append([abs((cosines * weight).sum() / energy - 1) for weight in (np.outer(s, s), np.add.outer(s, s) / 2)])
        return np.max(errors, axis=0)
    return draws.largest(setting.numpy("rescaled"), 300, instance)


def _eq15_errors(draw, right):
    """Errors of G_j(j+1), layer by layer, with a given right factor for (norms, whether layer j+1 is the last)."""
    _, blocks, c = draws.chain(draw, (3, 5))
    G, at = _gram(blocks)
    last = len(blocks) - 1
    return [np.abs(G[at[j], at[j + 1]] + blocks[j + 1] / np.sqrt(c[j] ** 2 + 1)[:, None] * right(c[j + 1], j + 1 == last)).max()
            for j in range(last)]


@check("dfp.eq15/as_printed", instances(300, of="networks"))
def neighbours_as_printed(setting):
    """Compare Equation 15 with the explicit Gram matrix for all neighbouring layers."""
    def instance(draw):
        errors = _eq15_errors(draw, lambda c, last: 1 / np.sqrt(c**2 + 1))
        return max(errors), max(errors[:-1])
    return draws.largest(setting.numpy("eq15"), 300, instance)


@check("dfp.eq15/last_layer", instances(300, of="networks"))
def neighbours_corrected(setting):
    """The same, without the identity in the norms of the last layer."""
    def instance(draw):
        return (max(_eq15_errors(draw, lambda c, last: 1 / np.sqrt(c**2 + (not last)))),
                max(_eq15_errors(draw, lambda c, last: 1 / c)))
    return draws.largest(setting.numpy("eq15"), 300, instance)


def _eq16_error(blocks, norms):
    G, at = _gram(blocks)
    return np.abs(G[at[-1], at[-1]] - blocks[-1].T @ blocks[-1] / np.outer(norms, norms)).max()


@check("dfp.eq16/as_printed", instances(300, of="networks"))
def last_block_as_printed(setting):
    """Compare Equation 16 with the explicit Gram matrix; control: unit columns in the last layer."""
    def instance(draw):
        _, blocks, c = draws.chain(draw)
        unit = [*blocks[:-1], blocks[-1] / c[-1]]
        return _eq16_error(blocks, np.ones(len(c[-1]))), _eq16_error(unit, np.ones(len(c[-1])))
    return draws.largest(setting.numpy("eq16"), 300, instance)


@check("dfp.eq16/normalised", instances(300, of="networks"))
def last_block_corrected(setting):
    """Compare the last block with normalised columns."""
    def instance(draw):
        _, blocks, c = draws.chain(draw)
        return _eq16_error(blocks, c[-1]), _eq16_error(blocks, np.sqrt(c[-1] ** 2 + 1))
    return draws.largest(setting.numpy("eq16"), 300, instance)


# ---- what the paper reads off the blocks ----

@check("dfp.weight_decay/more_heavily", instances(200, of="networks"))
def more_heavily(setting):
    """Rank-correlate magnitudes with the weights of rows in the Gram matrix; control: links of the squared magnitudes."""
    draw = setting.numpy("weight_decay")
    chains = [draws.chain(draw, (3, 5), (4, 9))[1:] for _ in range(200)]
    found = [[_row_weights(blocks, c, link) for link in (np.ones_like, np.square)] for blocks, c in chains]
    return Measurement(*np.mean(found, axis=0), count=len(found))


def _row_weights(blocks, c, link):
    """Mean rank correlation of c_j with its rows' weights in a chain whose identities are scaled, unit by unit."""
    B, rows, at = draws.stacked(blocks)
    for j, norms in enumerate(c[:-1]):
        B[rows[j + 1], at[j]] *= link(norms)
    G, lengths, found = dictionaries.gram(B), np.linalg.norm(B, axis=0), []
    for j in range(len(blocks) - 2):
        weight = (G[at[j], at[j + 1]] ** 2).sum(1) / ((blocks[j + 1] / lengths[at[j + 1]]) ** 2).sum(1)
        found.append(spearmanr(c[j], weight).statistic)
    return np.mean(found)


@check("dfp.weight_decay/less_heavily", instances(200, of="networks"))
def less_heavily(setting):
    """Compare the squared norm of a neighbouring block with weight decay whose rows weigh 1 / (c^2 + 1)."""
    def instance(draw):
        _, blocks, c = draws.chain(draw, (3, 5), (4, 9))
        G, at = _gram(blocks)
        errors = []
        for j in range(len(blocks) - 1):
            norm = (G[at[j], at[j + 1]] ** 2).sum()
            right = 1 / (c[j + 1] ** 2 + (j + 2 < len(blocks)))
            left = 1 / (c[j] ** 2 + 1)
            errors.append([abs(w @ blocks[j + 1] ** 2 @ right / norm - 1) for w in (left, c[j] ** 2 * left)])
        return np.max(errors, axis=0)
    return draws.largest(setting.numpy("weight_decay"), 200, instance)


@check("dfp.layer_weight/parameters", instances(200, of="networks"))
def layer_weight(setting):
    """Count pairs of layers in which the one with more parameters has no more entries in its diagonal block."""
    draw, broken = setting.numpy("layer_weight"), []
    for _ in range(200):
        k = np.array(draws.widths(draw, (2, 5), (4, 64)))
        entries = k[1:] * (k[1:] - 1)
        for size in (k[:-1] * k[1:], k[1:]):
            more = np.subtract.outer(size, size) > 0
            broken.append([more.sum(), (more & (np.subtract.outer(entries, entries) <= 0)).sum()])
    pairs = np.array(broken).reshape(-1, 2, 2)
    return Measurement(*np.divide(*pairs.sum(0).T[::-1]), count=len(pairs))


@check("dfp.layer_weight/share", instances(200, of="networks"))
def share(setting):
    """Grow one layer by one unit and see its share of the structural entries rise; control: another layer grown."""
    def instance(draw):
        k = draws.widths(draw, (2, 5), (4, 64))
        grown = [[width + (i == j) for i, width in enumerate(k)] for j in range(1, len(k))]
        others = [*grown[1:], grown[0]]
        return tuple(min(_share(new, j) - _share(k, j) for j, new in enumerate(changed, 1)) for changed in (grown, others))
    return draws.smallest(setting.numpy("share"), 200, instance)


def _share(k, j):
    own = k[j] * (k[j] - 1) + 2 * k[j] * ((k[j - 1] if j > 1 else 0) + (k[j + 1] if j + 1 < len(k) else 0))
    return own / pair_count(k)


@check("dfp.nonlocal/residual_changes", instances(50, of="networks"))
def residual_changes(setting):
    """Change the sign of the third layer's parameters and see the energy move with skips, and stay without."""
    def instance(draw):
        W = [draws.filters(draw, (12, 12), draws.UNIT) for _ in range(2)]
        weights = [W[0], W[1], W[1].T]
        return tuple(_sign_change(net, weights, 2) for net in (induced.residual([12] * 4), induced.chain([12] * 4, "analysis")))
    return draws.smallest(setting.numpy("nonlocal"), 50, instance)


@check("dfp.nonlocal/chain_unchanged", instances(100, of="networks"))
def chain_unchanged(setting):
    """Change the sign of every layer of chains in both forms."""
    def instance(draw):
        sizes = [int(draw.integers(4, 9))] * int(draw.integers(4, 7))
        found = {}
        for name, net in (("analysis", induced.chain(sizes, "analysis")), ("synthesis", induced.chain(sizes)),
                          ("residual", induced.residual(sizes))):
            weights = [draws.filters(draw, weight.shape) for weight in net.weights]
            found[name] = max(_sign_change(net, weights, j) for j in range(net.depth))
        return max(found["analysis"], found["synthesis"]), found["residual"]
    return draws.largest(setting.numpy("chain_unchanged"), 50, instance, each=2)


def _sign_change(net, weights, layer):
    before = dictionaries.frame_energy(net.dictionary(weights))
    flipped = [-weight if j == layer else weight for j, weight in enumerate(weights)]
    return abs(dictionaries.frame_energy(net.dictionary(flipped)) / before - 1)
