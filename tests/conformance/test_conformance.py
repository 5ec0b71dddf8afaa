"""Random modules and their near misses: a right answer or a refusal by name, never a wrong answer, never a foreign error.

``DEEPATOMS_CONFORMANCE=2000`` asks for that many modules instead of 200, ``DEEPATOMS_CONFORMANCE_SEED=1`` for others than those
of seed 0.
"""

import os
import random
import traceback
import warnings

import numpy as np
import pytest
import random_modules
import torch
from torch.nn.parameter import is_lazy

from deepatoms.theory import partition, splines

COUNT = int(os.environ.get("DEEPATOMS_CONFORMANCE", "200"))
FIRST = 10**6 * int(os.environ.get("DEEPATOMS_CONFORMANCE_SEED", "0"))
PARTS = 20  # tests, so that a failure tells roughly where


def inputs(seed):
    """Return a batch of one to seven samples, and an odd chunk size."""
    draw = random.Random(seed)
    x = torch.randn(draw.choice([1, 2, 3, 5, 7]), *random_modules.START, generator=torch.Generator().manual_seed(seed),
                    dtype=torch.float64)
    return x, draw.choice([1, 2, 3, 4, 100])


def slopes_by_autograd(model, x):
    """Return each sample's Jacobian, one sample at a time."""
    jacobian = torch.autograd.functional.jacobian
    return torch.stack([jacobian(lambda one: model(one.clone())[0], each[None]).flatten(1) for each in x])


def error_of_differences(model, x, maps):
    """Return by how much a map differs from the function's own change over a tiny step, one sample at a time."""
    step = 1e-8 * torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        change = torch.stack([(model(x[i:i + 1] + step[i:i + 1]) - model(x[i:i + 1].clone()))[0] for i in range(len(x))])
    size = 1 + float(maps.abs().max())
    return float((change - torch.einsum("ncd,nd->nc", maps, step.flatten(1))).abs().max()) / 1e-8 / size


def state(model, x):
    """Return everything of the caller's that a call might change."""
    numpy_state = np.random.get_state()
    return [x.clone(), torch.get_rng_state(), torch.from_numpy(numpy_state[1].astype(np.int64)), *(
        value.clone() for value in model.state_dict().values() if not (value.is_meta or is_lazy(value)))], [
        torch.get_default_dtype(), random.getstate(), torch.is_grad_enabled(), x.requires_grad,
        [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
        [(module.training, len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
         for module in model.modules()],
        [sorted(vars(module)) for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]]


def answer(call, model, x):
    """Return what a call returns, or None and its refusal; demand that it leaves everything as it was, and speaks for itself."""
    before = state(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call(), None
        except (ValueError, TypeError, MemoryError) as refusal:
            ours = "deepatoms/theory" in traceback.extract_tb(refusal.__traceback__)[-1].filename.replace("\\", "/")
            assert ours and ";" in str(refusal), f"a foreign error: {refusal!r}"
            found = None, refusal
    after = state(model, x)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True)) and before[1] == after[1]
    return found


def demand_codes(model, x, chunk):
    """The codes do not depend on how the batch is divided."""
    codes, refusal = answer(lambda: partition.region_codes(model, x, chunk), model, x)
    assert refusal is None, refusal
    halves = [partition.region_codes(model, part) for part in (x[:1], x[-1:])]
    for layer, first, last in zip(codes, *halves, strict=True):
        for part, row in ((first, 0), (last, len(x) - 1)):
            assert partition.distance(part, layer[row]).max() == 0


@pytest.mark.parametrize("part", range(PARTS))
def test_a_piecewise_affine_module_is_answered_exactly(part):
    for seed in range(FIRST + part, FIRST + COUNT // 2, PARTS):
        model, (x, chunk) = random_modules.module(seed), inputs(seed)
        found, refusal = answer(lambda: splines.affine_map(model, x, chunk), model, x)  # noqa: B023 (called at once)
        assert refusal is None, (seed, model, refusal)
        assert torch.allclose(found[0], slopes_by_autograd(model, x), rtol=1e-6, atol=1e-9), (seed, model)
        assert error_of_differences(model, x, found[0]) < 1e-5, (seed, model)
        demand_codes(model, x, chunk)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_near_miss_is_answered_right_or_refused_by_name(part):
    for seed in range(FIRST + part, FIRST + COUNT - COUNT // 2, PARTS):
        miss = sorted(random_modules.MISSES)[seed % len(random_modules.MISSES)]
        model, (x, chunk) = random_modules.module(seed, miss), inputs(seed)
        found, refusal = answer(lambda: splines.affine_map(model, x, chunk), model, x)  # noqa: B023 (called at once)
        if refusal is None:
            assert error_of_differences(model, x, found[0]) < 1e-5, (seed, miss, model)
        answer(lambda: partition.region_codes(model, x, chunk), model, x)  # noqa: B023


def test_an_influence_that_a_clip_hides_in_most_company_is_seen():
    """A long run met this module: its first sample lifts the others to the upper end of a clip."""
    model, (x, chunk) = random_modules.module(7_000_394, "first row"), inputs(7_000_394)
    with pytest.raises(ValueError, match="influence each other"):
        splines.affine_map(model, x, chunk)


@pytest.mark.parametrize("miss", ["no_grad", "liar", "hook", "numpy", "int", "batch mean", "neighbour", "size", "tanh", "memory"])
def test_the_near_misses_are_misses(miss):
    """The comparison has something to find: behind a plain ReLU each of these is refused."""
    part = random_modules.MISSES[miss]
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU(), part if isinstance(part, torch.nn.Module)
                                else random_modules.Calls(part, miss), torch.nn.Linear(32, 3)).double().eval()
    assert answer(lambda: splines.affine_map(model, inputs(3)[0]), model, inputs(3)[0])[1] is not None
