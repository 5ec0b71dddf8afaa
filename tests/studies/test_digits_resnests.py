"""The four variants train on digits, repeatably, and together as they would alone."""

import pytest
import torch

from deepatoms.studies.resnests import digits

SMALL = {"variant": "standard", "blocks": 1, "width": 2, "training": 100, "epochs": 1, "rate": 0.1, "batch": 64, "seeds": 2}


def test_together_equals_alone():
    together = digits.trained(SMALL, range(2))
    alone = digits.trained(SMALL, [1])
    images = digits.split("test", 1, SMALL).images
    torch.testing.assert_close(together[1](images), alone[0](images), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together[1].norm.running_mean, alone[0].norm.running_mean, rtol=1e-3, atol=1e-5)
    assert 0 < min(digits.variant(SMALL, "cpu")["accuracy"]) < 1


@pytest.mark.parametrize("variant", ["standard", "a-resnest"])
def test_paired_nets_start_alike(variant):
    nets = [digits.build(SMALL | {"variant": name}, 3) for name in (variant, "resnest")]
    torch.testing.assert_close(nets[0].expand.weight, nets[1].expand.weight)
