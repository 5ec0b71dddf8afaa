"""What a report is given: refuse what it cannot be about, fit the data to the network, and say what was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deepatoms.reports import tracing
from deepatoms.reports.entries import NULLS, Entry
from deepatoms.theory.arguments import refuse
from deepatoms.theory.piecewise import demand_model
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import untouched

FOREIGN = (RuntimeError, IndexError, ValueError, TypeError, AttributeError, AssertionError, KeyError)


def demand_network(model: Any) -> None:
    """Refuse what is no network, is in training mode, or has weights that are not finite.

    >>> demand_network(torch.nn.Linear(1, 1))
    Traceback (most recent call last):
    ...
    ValueError: model = 'Linear' is in training mode, in which its numbers would be those of a batch; call model.eval() first
    """
    if not isinstance(model, torch.nn.Module):
        refuse("model", model, "is no torch module", "pass a torch.nn.Module, such as torch.nn.Sequential(...)", TypeError)
    demand_model(model)
    training = [name for name, module in model.named_modules() if module.training]
    if training:
        which = "is in training mode" if model.training else f"has modules in training mode ({training[0]!r} is the first)"
        refuse("model", type(model).__name__, f"{which}, in which its numbers would be those of a batch",
               "call model.eval() first")
    for name, each in [*model.named_parameters(), *model.named_buffers()]:
        if each.is_floating_point() and not bool(torch.isfinite(each.detach()).all()):
            bad = int((~torch.isfinite(each.detach())).sum())
            refuse("model", type(model).__name__, f"has {bad} entries of {name!r} that are NaN or infinite",
                   "load other weights, or train with a lower rate")


def fitting(model: torch.nn.Module, x: Any, y: Any) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the data as tensors of the network's type, on its device; labels as integers, targets as they are.

    >>> fitting(torch.nn.Linear(2, 1), np.zeros((3, 2)), [0, 1, 0])[0].dtype
    torch.float32
    """
    if x is None:
        if y is not None:
            refuse("y", y, "is given without x", "pass the inputs that it labels as well")
        return None, None
    like = next((each for each in model.parameters() if each.is_floating_point()), torch.zeros(0))
    x = _tensor("x", x)
    if x.ndim < 2 or not len(x):
        refuse("x", x, "is not a batch of inputs", "pass a tensor of shape (inputs, ...), for one input x[None]")
    x = x.detach().to(like)
    if not bool(torch.isfinite(x).all()):
        refuse("x", x, f"has {int((~torch.isfinite(x)).sum())} entries that are NaN or infinite", "remove or replace them")
    return x, None if y is None else _labels(y, x)


def _tensor(name, value):
    if isinstance(value, torch.Tensor):
        return value
    try:
        return torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        return refuse(name, value, "is no array of numbers", "pass a torch tensor or a numpy array", type(error))


def _labels(y, x):
    y = _tensor("y", y).detach().to(x.device)
    if y.ndim == 0 or len(y) != len(x):
        refuse("y", y, f"does not label the {len(x)} inputs", "pass one label or target an input")
    if y.is_floating_point():
        return y.to(x.dtype)
    return y.long().reshape(len(y)) if y.numel() == len(y) else y.to(x.dtype)


def demand_pass(model: torch.nn.Module, x: torch.Tensor) -> None:
    """Refuse inputs that the network does not take, naming the layer.

    >>> demand_pass(torch.nn.Linear(2, 1), torch.zeros(1, 2))
    """
    with untouched(model), torch.no_grad(), tracing.places(model) as stack:
        try:
            model(x[:2].clone())
        except FOREIGN as error:
            where = f"layer {stack[-1]!r}" if stack and stack[-1] else "the model"
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"x = {_shape(x)} does not fit {where}: {said}; pass inputs of the shape that this layer "
                             "expects") from error


def _shape(x):
    return f"tensor of shape {tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')}"


def described(x: torch.Tensor | None, y: torch.Tensor | None) -> str:
    """Return a sentence on the data.

    >>> described(None, None)
    'No data: only what the weights show.'
    """
    if x is None:
        return "No data: only what the weights show."
    size = " x ".join(map(str, x.shape[1:]))
    labels = "no labels" if y is None else "real targets" if y.is_floating_point() else f"labels of {len(y.unique())} classes"
    return f"{len(x)} inputs of {size}, {labels}."


def notes(draws: int, x: torch.Tensor | None, entries: Sequence[Entry], left: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return what a reader of the whole report has to know; ``left`` are the lenses that an interruption cut, the first in part.

    >>> notes(0, None, [])[0]
    'There is no total: the numbers measure different things, and no theorem adds them up.'
    """
    found = ["There is no total: the numbers measure different things, and no theorem adds them up."]
    if left:
        found.append(_cut(left, entries))
    if draws:
        found.append(f"Nulls: {draws} networks {NULLS[0]} and {draws} with {NULLS[1]}, batch norm's statistics taken "
                     f"anew from the data. "
                     f"One more network of a null lies outside its span by chance in {2 / (draws + 1):.0%} of cases "
                     f"(fewer networks, "
                     "where a number lists fewer: more often).")
    without = list(dict.fromkeys(entry.lens for entry in entries if entry.reason.startswith("no data were given")))
    if without:
        found.append(f"Without data, numbers of these lenses are missing: {', '.join(without)}.")
    if x is not None and any(entry.reason.startswith("no labels were given") for entry in entries):
        found.append("Without labels, neighbours by class and the risk after each block are missing.")
    return tuple(found)


def _cut(left, entries):
    """Say where the report was interrupted, and what nobody looked at."""
    last = entries[-1].name if entries and entries[-1].lens == left[0] else ""
    place = f"in {left[0]}, at {last!r}: numbers of this lens after it are missing" if last else f"at the beginning of {left[0]}"
    return f"Interrupted {place}" + (f". Not looked at: {', '.join(left[1:])}." if left[1:] else ".")


named(__name__)
