"""What five theories say of one network: :func:`report`, and the plain data it returns."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from deepatoms import _doors
from deepatoms.reports.entries import LENSES, Entry, Network, Report
from deepatoms.reports.given import demand_network, demand_pass, described, fitting, notes
from deepatoms.reports.subject import Subject
from deepatoms.reports.threads import fitting_work
from deepatoms.theory import arguments
from deepatoms.theory.signatures import named

__all__ = ["Entry", "Network", "Report", "report"]

ROOMS = ("frame_potential", "sparse_coding", "skip_dictionaries", "splines", "residual_features")  # in the order of LENSES

MOST_NULLS = 999  # each takes as long as the network itself


def report(model: torch.nn.Module, x: Any = None, y: Any = None, *, nulls: int = 9,
           progress: Callable[[str], object] | None = None) -> Report:
    """Return what five theories say of a network: every number that applies, what it is held against, and what was left out.

    There is no total: the numbers measure different things. The network is left as it was, on its device.

    Args:
        model: Any module in evaluation mode.
        x: Inputs, shape (inputs, ...), tensor or array; without them only what the weights show.
        y: Labels (integers) or targets, one an input; without them no lens that needs labels.
        nulls: How many networks are drawn for each null: re-initialised, and with the weights permuted.
        progress: Called with a sentence before each long step, such as ``print``.

    Returns:
        A :class:`Report`. Ctrl-C ends it early: it then holds what was found so far, and says that it is partial and what
        was interrupted.

    Raises:
        TypeError, ValueError: If the model is in training mode or has weights that are not finite, or x does not fit it.

    >>> found = report(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()).eval(), torch.eye(2), nulls=1)
    >>> found["regions that the inputs lie in"].unit
    'regions'
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps computes the same, and can be watched
    demand_network(model)
    x, y = fitting(model, x, y)
    arguments.number("nulls", arguments.integer("nulls", nulls, 0), 0, MOST_NULLS)
    subject = Subject(model, x, y, int(nulls), progress)
    if x is not None:
        demand_pass(model, x)
    entries: list[Entry] = []
    with fitting_work(subject.own.work):
        left = _looked_through(subject, entries)
    return Report(_network(subject), described(x, y), tuple(entries), left is not None,
                  notes(subject.draws, x, entries, left))


def _looked_through(subject, entries):
    """Fill in the entries lens by lens; return the lenses that Ctrl-C left out, or None where it did not come."""
    for number, room in enumerate(ROOMS):
        try:
            for entry in importlib.import_module(f"deepatoms.reports.lenses.{room}").lens(subject):
                entries.append(entry)
        except KeyboardInterrupt:
            return LENSES[number:]
    return None


def _network(subject):
    model = subject.own.model
    parameters = {id(each): each.numel() for each in model.parameters()}
    return Network(type(model).__name__, sum(parameters.values()), tuple(layer.name for layer in subject.own.layers))


__getattr__, __dir__ = _doors.lazy(__name__)


named(__name__)
