"""The numbers of Fig. 1 and 2 are what they say, on small cases that one can count."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from deepatoms.learning.networks import digits_cnn
from deepatoms.learning.training import seeded
from deepatoms.runs import results
from deepatoms.studies.spline_templates import inner_products
from deepatoms.studies.spline_templates.checks import smoothing, templates
from deepatoms.theory import splines


def test_area_under_roc_is_sklearns():
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(40, generator=generator).double().round(decimals=1)
    others = torch.randn(40, 9, generator=generator).double().round(decimals=1)
    truth = np.r_[np.ones(40), np.zeros(360)]
    expected = roc_auc_score(truth, torch.cat([own, others.flatten()]).numpy())
    assert inner_products.area_under_roc(own, others) == pytest.approx(expected)


def test_templates_of_equation_12_have_no_deviation_and_the_full_pattern():
    x = torch.nn.functional.normalize(torch.arange(1.0, 9), dim=0).double()
    products = torch.stack([splines.optimal_templates(x, label, 10, 4.0) @ x for label in range(10)])
    own, others = inner_products.split(products, torch.arange(10))
    assert inner_products.deviation(own, others) < 1e-12
    assert (own > 0).all() and (others < 0).all() and inner_products.area_under_roc(own, others) == 1


def test_products_are_scores_without_biases():
    model = seeded(digits_cnn, 0, batch_norm=False, widths=(3, 4)).eval()
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 4])
    products, cosines, hits = inner_products.measure(model, x, labels, chunk=2)
    _, b = splines.affine_map(model, x)
    assert torch.allclose(products, (model(x) - b).double(), atol=1e-5)
    assert ((cosines >= 0) & (cosines <= 1)).all()
    assert torch.equal(hits, model(x).argmax(1) == labels)  # a choice: no two of these scores are equal to rounding
    summary = inner_products.summary(model, x, labels, "digits")
    assert sum(summary["histogram"]["correct"]) == 5 and sum(summary["histogram"]["others"]) == 45


def test_records_say_where_they_come_from():
    for record in results.records("template-inner-products"):
        assert record["provenance"]["claims"] and record["provenance"]["seconds"] > 0
        assert sum(record["result"]["trained"]["histogram"]["correct"]) == record["configuration"]["test_images"]


def made_up(seed, count=10):
    """Summaries of nets that nobody trained, for both kinds and states."""
    random = np.random.default_rng(seed)

    def summary():
        names = ("auc", "mean_correct", "mean_others", "shown", "exchanged", "all_classes", "deviation", "cosine")
        return dict(zip(names, random.uniform(0.1, 1, len(names)), strict=True))

    return [{"batch_norm": batch_norm, "trained": summary(), "untrained": summary()}
            for batch_norm in (True, False) for _ in range(count)]


# Whose control is the one optimum of Proposition 5, a constant by its nature.
IDEAL = {"not_all_classes", "values", "collinear"}


@pytest.mark.parametrize("name", ["shown_classes", "not_all_classes", "separation", "opposite_signs", "no_batch_norm", "signs",
                                  "values", "collinear"])
def test_no_control_is_the_measured_number_turned_round(name):
    found = [getattr(templates, name)(made_up(seed)) for seed in range(3)]
    measured, control = np.array([(each.measured, each.control) for each in found]).T
    assert all(each.count == 10 for each in found)
    assert (np.ptp(control) < 1e-12) == (name in IDEAL)
    assert name in IDEAL or all(np.ptp(control - turned) > 1e-6 and np.ptp(control / turned) > 1e-6
                                for turned in (-measured, 1 / measured, 1 - measured))


def test_a_difference_carries_the_interval_of_paired_seeds():
    size, (low, high) = templates._size(np.array([-0.1, -0.12, -0.08]))
    half = 4.302652729911275 * 0.02 / 3**0.5  # Student's t of two degrees of freedom
    assert (size, low, high) == pytest.approx((0.1, 0.1 - half, 0.1 + half))


def test_the_beta_is_chosen_on_one_half_and_judged_on_the_other():
    hits = np.zeros((3, 10), dtype=bool)
    hits[0, :5], hits[1, :4], hits[2, 5:] = True, True, True  # the first is best where one chooses, the last where one judges
    assert smoothing.gains([hits], smoothing.best).tolist() == [-100.0]
    assert smoothing.best(np.array([0.5, 0.5, 0.2])) == 1 and smoothing.worst(np.array([0.5, 0.1, 0.2])) == 1
