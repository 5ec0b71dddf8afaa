"""The networks that a number is held against: the same one re-initialised, and the same one with its weights permuted."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from deepatoms.reports.entries import NULLS
from deepatoms.theory.signatures import named

FIRST = 20_000_101  # a seed that nobody uses: a network that was itself drawn from seed 0 is not to meet itself


def draw(model: torch.nn.Module, null: str, seed: int, x: torch.Tensor | None = None) -> torch.nn.Module:
    """Return a copy of a network, drawn for a null; the network and the global random states stay as they are.

    "re-initialised" calls ``reset_parameters`` of each module; parameters that no such method reaches are drawn from a normal of
    the mean and deviation they have. "weights permuted" shuffles the entries within each parameter of two axes or more. The
    statistics of batch norm are taken anew from x, so that a copy is not off scale only because its statistics are another's.

    Args:
        model: Any module.
        null: One of ``NULLS``.
        seed: Which draw.
        x: Inputs for the statistics of batch norm, or None to leave them.

    >>> model = torch.nn.Linear(2, 1).requires_grad_(False)
    >>> drawn = draw(model, "weights permuted", 0)
    >>> bool((drawn.weight.sort().values == model.weight.sort().values).all())
    True
    """
    with _own_random_state(model, seed):
        drawn = copy.deepcopy(model)
        with torch.no_grad():
            _reinitialise(drawn) if null == NULLS[0] else _permute(drawn)
            if x is not None:
                _refresh(drawn, x)
    return drawn.eval()


@contextmanager
def _own_random_state(model: torch.nn.Module, seed: int) -> Iterator[None]:
    devices = {each.device for each in model.parameters() if each.is_cuda}
    others = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(FIRST + seed)
        random.seed(FIRST + seed)
        np.random.seed(FIRST + seed)
        try:
            yield
        finally:
            random.setstate(others[0])
            np.random.set_state(others[1])


def _reinitialise(model):
    reached = set()
    for module in model.modules():
        if callable(getattr(module, "reset_parameters", None)):
            module.reset_parameters()
            reached |= {id(each) for each in module.parameters(recurse=False)}
    for each in model.parameters():
        if id(each) not in reached and each.is_floating_point():
            deviation, mean = torch.std_mean(each, correction=0)
            each.copy_(mean + deviation * torch.randn(each.shape, dtype=torch.float64).to(each))


def _permute(model):
    for each in model.parameters():
        if each.ndim > 1:
            each.copy_(each.flatten()[torch.randperm(each.numel()).to(each.device)].reshape(each.shape))


def _refresh(model, x):
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
             and module.running_mean is not None]
    if not norms or len(x) < 2:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


named(__name__)
