"""The four variants train on digits, repeatably."""

import pytest
import torch

from deepatoms.experiments import digits_resnests

SMALL = {"seed": 0, "blocks": 1, "width": 2, "training": 100, "epochs": 1, "rate": 0.1, "batch": 64}


def test_the_record_repeats():
    first, second = (digits_resnests.variants(SMALL, "cpu") for _ in range(2))
    assert first == second
    assert set(first) == {"standard", "resnest", "bn-resnest", "a-resnest"}


@pytest.mark.parametrize("variant", ["standard", "a-resnest"])
def test_paired_nets_start_alike(variant):
    nets = [digits_resnests.build(name, SMALL) for name in (variant, "resnest")]
    torch.testing.assert_close(nets[0].expand.weight, nets[1].expand.weight)
