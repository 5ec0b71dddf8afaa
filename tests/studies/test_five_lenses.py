"""Five lenses: networks as their recipe says, statistics that are right, controls that bite, premises that are demanded."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from deepatoms.claims import checking
from deepatoms.runs import results
from deepatoms.studies.five_lenses import links, measures, networks, relations, sixty
from deepatoms.studies.five_lenses.checks import links as link_checks
from deepatoms.theory import dictionaries, partition, splines

SMALL = {"width": 32, "units": 8, "depth": 2, "seed": 3, "labels": "true", "epochs": 1, **sixty.COMMON}
MIRRORS = (lambda x: -x, lambda x: 1 / x if x else math.inf, lambda x: 1 - x)


@pytest.fixture(scope="module")
def small():
    return sixty.build(SMALL)


@pytest.fixture(scope="module")
def half():
    x, y = measures.halves(3)[0]
    return x[:200], y[:200]


# ---- the networks ----

def test_a_network_is_its_resnest_and_a_residual_network_of_the_spline_theory(small, half):
    x, _ = half
    with torch.no_grad():
        assert torch.allclose(networks.resnest(small)(x), small(x), atol=1e-12)
    A, _ = splines.affine_map(small, x[:5])
    assert torch.allclose(splines.block_templates(small, x[:5]).sum(1), A, atol=1e-10)


def test_permuting_keeps_each_matrix_entries_and_changes_the_function(small, half):
    found = networks.permuted(small, 0)
    for before, after in zip(small.parameters(), found.parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
    assert not torch.allclose(small(half[0]), found(half[0]))


def test_an_untrained_network_and_its_permutation_have_one_distribution():
    """Every entry of a matrix is drawn alike: the spread of each row and column is that of the whole, up to chance."""
    weight = networks.start(400, 300, 1, 0).blocks[0].branch[0].weight.detach()
    assert abs(weight.std(0) / weight.std() - 1).max() < 0.25 and abs(weight.std(1) / weight.std() - 1).max() < 0.25


def test_shuffled_labels_are_the_same_labels_in_another_order(monkeypatch):
    seen = []
    monkeypatch.setattr(networks.training, "train_one", lambda model, x, y, recipe, seed: seen.append(y) or model)
    for labels in ("true", "shuffled"):
        networks.trained(None, 1, labels, 3)
    assert not torch.equal(*seen) and torch.equal(seen[0].sort().values, seen[1].sort().values)


def test_the_sixty_are_balanced_and_different():
    assert len(sixty.CONFIGURATIONS) == 60 == len({results.key(one) for one in sixty.CONFIGURATIONS})
    for name, values in (("width", sixty.WIDTHS), ("units", sixty.UNITS), ("depth", sixty.DEPTHS)):
        assert Counter(one[name] for one in sixty.CONFIGURATIONS) == dict.fromkeys(values, 20)


# ---- the lenses ----

def test_every_theory_has_lenses_and_every_lens_a_name():
    assert len(measures.THEORIES) == 5 and set(measures.NAMES) == set(measures.MEASURES) == set(measures.THEORY)


def test_every_number_repeats_and_is_finite(small, half):
    first, second = (measures.measured(small, *half) for _ in range(2))
    assert first == second and all(math.isfinite(value) for value in first.values())


def test_the_induced_dictionary_is_that_of_the_weights(small):
    net, weights = measures._induced(small)
    B = net.dictionary(weights).numpy()
    units = 32 + 2 * (8 + 32)
    assert B.shape[1] == units
    assert np.isclose(measures.potential(small, None, None), dictionaries.frame_potential(B, net.structural_count), atol=1e-10)


def test_block_operators_are_the_blocks_jacobians(small, half):
    x = half[0][:2]
    h = networks.resnest(small).representations(x)[0].detach()
    expected = torch.autograd.functional.jacobian(lambda one: small.blocks[0](one[None])[0], h[1])
    assert np.allclose(measures._operators(small, x)[0, 1], expected)


def test_the_product_of_norms_bounds_the_gain(small, half):
    assert measures.slack(small, *half) >= 0


def test_neighbours_of_one_class_are_all_found():
    model = networks.start(32, 16, 2, 0)
    x, y = measures.halves(0)[0]
    assert measures.neighbours(model, x, torch.zeros_like(y)) == pytest.approx(1)
    assert 0 < measures.neighbours(model, x, y) < 1


# ---- the statistics ----

def test_a_relation_is_scipys_spearman():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 40))
    found, expected = relations.relation(a, a + 2 * b), stats.spearmanr(a, a + 2 * b)
    assert np.isclose(found.correlation, expected.statistic) and np.isclose(found.p, expected.pvalue)
    assert found.interval[0] < found.correlation < found.interval[1]


def test_what_a_recipe_explains_is_taken_out():
    generator = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], 40)
    a, b = group + 0.3 * generator.normal(size=(2, 120))
    raw, given = relations.relation(a, b), relations.relation(a, b, relations.categories([group.tolist()]))
    assert raw.correlation > 0.7 and abs(given.correlation) < 0.3 and given.p > 0.01


@pytest.mark.parametrize("given", [False, True])
def test_unrelated_columns_survive_in_one_family_of_twenty(given):
    """The error that Holm's correction promises, by simulation: 5 % of families, here within chance of 200."""
    generator, recipe = np.random.default_rng(2), relations.recipe(_planned()) if given else None
    false = 0
    for _ in range(200):
        columns = generator.normal(size=(8, 60))
        found = [relations.relation(columns[i], columns[j], recipe).p for i in range(8) for j in range(i)]
        false += bool(relations.survivors(found).any())
    assert false <= 22


def _planned():
    return [{"configuration": one} for one in sixty.CONFIGURATIONS]


def test_the_recipe_has_a_column_for_each_category_but_the_first():
    columns = relations.recipe(_planned())
    assert columns.shape == (60, 2 + 2 + 2 + 5) and np.linalg.matrix_rank(columns) == 11


def test_only_pairs_of_different_theories_count():
    counts = [len(found) for found in measures.THEORIES.values()]
    assert len(relations.pairs()) == (sum(counts) ** 2 - sum(count**2 for count in counts)) // 2


def test_holding_a_common_cause_fixed_takes_away_the_relations_that_it_makes():
    generator = np.random.default_rng(7)
    cause = generator.normal(size=100)
    noise = {name: generator.normal(size=100) for name in measures.MEASURES}
    values = {name: cause + 0.5 * noise[name] if name in ("density", "condition", "gap") else noise[name] for name in noise}
    values["density"] = cause
    found = relations.holding([{"result": {"lenses": {name: values[name][row] for name in values}}} for row in range(100)])
    assert found["density"] == (1, 0) and found["potential"] == (3, 3)


@pytest.mark.parametrize("count, tests, columns", [(60, 89, 0), (60, 89, 11), (100, 15, 0)])
def test_what_can_be_seen_is_where_holms_first_step_turns(count, tests, columns):
    seen, freedom = relations.least(count, tests, columns), count - 2 - columns
    for value, survives in ((seen + 1e-6, True), (seen - 1e-6, False)):
        p = 2 * stats.t.sf(value * np.sqrt(freedom / (1 - value**2)), freedom)
        assert relations.survivors([p, *[1.0] * (tests - 1)])[0] == survives


def _five(shift):
    """Five seeds in two conditions that differ by a shift in one lens."""
    return [{"result": {"one": {"lenses": dict.fromkeys(measures.MEASURES, float(seed))},
                        "other": {"lenses": dict.fromkeys(measures.MEASURES, float(seed)) | {"gap": seed + shift}}}}
            for seed in range(5)]


@pytest.mark.parametrize("shift, found", [(0, []), (3.0, []), (4.5, ["gap"]), (-4.5, ["gap"])])
def test_lenses_are_apart_when_nothing_overlaps(shift, found):
    assert relations.apart(_five(shift), "one", "other") == found


# ---- the exact links ----

def test_a_bias_above_zero_is_no_threshold():
    model = links.thresholded(0)
    assert all((block.branch[0].bias <= 0).all() for block in model.blocks)
    with torch.no_grad():
        model.blocks[0].branch[0].bias.fill_(0.1)
    with pytest.raises(ValueError, match="threshold"):
        links.contributions(model, torch.ones(1, 64, dtype=torch.float64))


def test_points_in_one_region_are_demanded():
    model, x = links.thresholded(1), torch.rand(3, 64, dtype=torch.float64)
    with pytest.raises(ValueError, match="regions"):
        links._demand_regions(model, x, -x, -x)
    with pytest.raises(ValueError, match="regions"):
        links._demand_regions(model, x, x, x)
    assert partition.distance(*(partition.region_codes(model, one) for one in (x, -x))).max() > 0


def test_pursuit_that_misses_is_that_of_the_lasso():
    from sklearn.linear_model import Lasso
    D = links.tilted(6)
    towards = D[:, 1] - D[:, 0]
    signal = D[:, 0] + links.NOISE * towards / np.linalg.norm(towards)
    code = Lasso(alpha=links.WEIGHT / len(D), fit_intercept=False, tol=1e-12, max_iter=1_000_000).fit(D, signal).coef_
    assert abs(code).argmax() == 1 and links.missed(D)[0, 1] and links.missed(D).sum() == 2
    assert not links.missed(links.tilted(6, 0.5)).any()


def test_a_higher_potential_is_demanded_of_the_control(monkeypatch):
    monkeypatch.setattr(links, "tilted", lambda: np.array([[1.0, 0.9], [0, 0.19**0.5]]))
    link_checks.two_dictionaries.cache_clear()
    with pytest.raises(ValueError, match="below"):
        link_checks.two_dictionaries()
    link_checks.two_dictionaries.cache_clear()


# ---- checks and records ----

def test_no_control_is_a_mirror_of_what_was_measured():
    entries = [entry for entry in checking.registered("five-lenses") if entry.id.startswith("lens.contribution/")]
    for entry in entries:
        found = [entry.function(checking.Setting(seed=seed)) for seed in (0, 1)]
        assert not any(all(math.isclose(one.control, mirror(one.measured), rel_tol=1e-9) for one in found) for mirror in MIRRORS)
        assert all(one.count == 20 for one in found)


def test_a_record_is_what_its_configuration_gives():
    """One network of the sixty, computed again; another machine's rounding moves trained weights a little."""
    record = next(one for one in results.records(sixty.NAME) if not one["configuration"]["epochs"])
    again = sixty.recorded(record["configuration"], "cpu")
    for name, value in record["result"]["lenses"].items():
        assert again["lenses"][name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.id) for entry in checking.registered("five-lenses")
                                   if entry.records == sixty.NAME])
def test_the_checks_of_the_sixty_tell_noise_from_relations(entry):
    """With every lens replaced by noise that repeats on other inputs, no pair is related and no lens tells accuracies."""
    found = entry.function(checking.Setting(), _of_noise(results.records(sixty.NAME)))
    if entry.id.endswith("share") and entry.id != "lens.silent/share":
        assert found.measured < 0.05 and found.control == 1
    if entry.id.startswith("lens.accuracy"):
        assert found.measured == 0


def _of_noise(records):
    generator, found = np.random.default_rng(5), []
    for record in records:
        here = dict(zip(measures.MEASURES, generator.normal(size=len(measures.MEASURES)), strict=True))
        there = {name: value + 0.01 for name, value in here.items()}
        found.append(record | {"result": record["result"] | {"lenses": here, "elsewhere": there}})
    return found
