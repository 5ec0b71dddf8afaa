"""The authors' networks have the authors' parameter counts, and differ where the paper says."""

import os
import subprocess
import sys

import pytest
import torch

from deepatoms.learning.networks import wide_residual
from deepatoms.theory import resnests

COUNTS = {  # standard and BN-ResNEst, ResNEst, A-ResNEst: the structure of the authors' models.py
    ("wrn-16-8", 10): (11_091_594, 11_090_570, 8_744_164), ("wrn-40-4", 10): (8_977_226, 8_976_714, 8_411_420),
    ("resnet-110", 10): (1_730_522, 1_730_394, 1_713_620), ("resnet-20", 10): (272_282, 272_154, 238_130),
    ("wrn-16-8", 100): (11_137_764, 11_136_740, 8_906_344), ("wrn-40-4", 100): (9_000_356, 8_999_844, 8_655_320),
    ("resnet-110", 100): (1_736_372, 1_736_244, 1_900_280), ("resnet-20", 100): (278_132, 278_004, 269_540)}


@pytest.mark.parametrize(("name", "classes"), COUNTS)
def test_parameter_counts_are_the_authors(name, classes):
    with torch.device("meta"):
        counts = {variant: sum(p.numel() for p in wide_residual.authors_network(name, variant, classes).parameters())
                  for variant in wide_residual.VARIANTS}
    standard, plain, augmented = COUNTS[name, classes]
    assert counts == {"standard": standard, "bn-resnest": standard, "resnest": plain, "a-resnest": augmented}


@pytest.mark.parametrize("variant", wide_residual.VARIANTS)
def test_every_variant_scores_images_and_learns(variant):
    torch.manual_seed(0)
    model, images = wide_residual.WideResidual((4, 8), (2, 2), variant, channels=1), torch.rand(6, 1, 8, 8)
    assert model(images).shape == (6, 10)
    model(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_block_risks_find_the_blocks():
    torch.manual_seed(0)
    model = wide_residual.WideResidual((4, 8), (2, 2), channels=1)
    found = resnests.block_risks(model, (torch.rand(40, 1, 8, 8), torch.arange(40) % 10))
    assert [risk.name for risk in found] == ["input", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match=r"widths = \(4, 8\)"):
        wide_residual.WideResidual((4, 8), (2,))
    with pytest.raises(ValueError, match="variant = 'wide'"):
        wide_residual.authors_network("resnet-20", "wide")


SLOPES = """
import sys, torch
from torch.nn.functional import conv2d
from deepatoms.learning.networks.wide_residual import Strided
draw = torch.Generator().manual_seed(0)
for channels in map(int, sys.argv[1:]):
    layer, x = Strided(channels, 8, 1, 2, bias=False), torch.randn(16, channels, 8, 8, generator=draw)
    y = layer(x.contiguous(memory_format=torch.channels_last))
    slope = torch.randn(y.shape, generator=draw)
    (found,) = torch.autograd.grad(y, layer.weight, slope.contiguous(memory_format=torch.channels_last))
    weight = layer.weight.detach().double().requires_grad_()
    (right,) = torch.autograd.grad(conv2d(x.double(), weight, None, 2), weight, slope.double())
    print(float((found - right).abs().max() / right.abs().max()))
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("instructions", ["AVX2", "SSE41", "ALL"])
def test_the_slopes_of_a_shortcut_are_right_on_any_processor(instructions, threads):
    """In processes of their own: with few channels oneDNN's own strided convolution breaks its process under AVX2."""
    given = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": threads}
    said = subprocess.run([sys.executable, "-c", SLOPES, *map(str, (1, 3, 4, 8, 12, 16, 32))], env=given, check=True, text=True,
                          capture_output=True, timeout=120).stdout
    assert max(map(float, said.split())) < 1e-5 and len(said.split()) == 7


@pytest.mark.parametrize("channels", [3, 16])
def test_a_strided_shortcut_is_torch_s_convolution(channels):
    torch.manual_seed(0)
    ours, x = wide_residual.Strided(channels, 5, 1, 2, bias=False), torch.randn(2, channels, 7, 8)
    assert torch.allclose(ours(x), torch.nn.functional.conv2d(x, ours.weight, None, 2), atol=1e-6)
