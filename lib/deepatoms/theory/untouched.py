r"""Leave everything of the caller's as it was: what a model writes while it is looked at is put back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.signatures import named


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Run what stands inside, outside inference mode, and restore what it changed: also if it ends in an error.

    Restored are tensors written in place that were not made inside, the attributes, buffers and modes of a module, the state
    of the random generators of torch, numpy and Python, and the default type.

    Source:
        Standard.

    >>> counter = torch.zeros(1)
    >>> with untouched(None):
    ...     _ = counter.add_(1)
    >>> counter.item()
    0.0
    """
    with torch.inference_mode(False):
        writes, random_state, default = _Writes(), _random_state(), torch.get_default_dtype()
        attributes = [(module, _attributes(module)) for module in _modules(model)]
        try:
            with writes:
                yield
        finally:
            for module, before in attributes:
                _put_back(module, before)
            with torch.no_grad():
                writes.undo()
            torch.set_default_dtype(default)
            _restore_random(*random_state)


def _modules(model):
    """Return the modules whose attributes Python holds; a scripted one keeps its own."""
    if not isinstance(model, torch.nn.Module):
        return []
    return [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]


def _attributes(module):
    inner = {name: dict(value) for name, value in vars(module).items() if isinstance(value, dict)}
    return dict(vars(module)), inner, [(each, each.requires_grad) for each in module.parameters(recurse=False)]


def _put_back(module, before):
    outer, inner, gradients = before
    if vars(module) != outer if len(vars(module)) != len(outer) else any(
            vars(module).get(name) is not value for name, value in outer.items()):
        vars(module).clear()
        vars(module).update(outer)
    for name, items in inner.items():
        current = vars(module)[name]
        if len(current) != len(items) or any(current.get(key) is not value for key, value in items.items()):
            current.clear()
            current.update(items)
    for parameter, wanted in gradients:
        if parameter.requires_grad != wanted:
            parameter.requires_grad_(wanted)


def _random_state():
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    return torch.get_rng_state(), cuda, np.random.get_state(), random.getstate()


def _restore_random(cpu, cuda, numpy, python):
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
    np.random.set_state(numpy)
    random.setstate(python)


class _Writes(TorchDispatchMode):
    """Keep a copy of every tensor that is about to be written to and was not made inside."""

    def __init__(self):
        super().__init__()
        self.made, self.saved = set(), {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for value in _written(func._schema, args, kwargs):
                self._save(value)
        output = func(*args, **kwargs)
        if not func._schema.is_mutable:
            self._note(output, args)
        return output

    def _save(self, value):
        key = storage_name(value)
        if key not in self.made and key not in self.saved:
            storage = value.untyped_storage()
            whole = value.new_empty(0).set_(storage, 0, (storage.nbytes() // value.itemsize,))
            self.saved[key] = whole, whole.clone()

    def _note(self, output, args):
        """A result that shares no storage with an argument was made inside."""
        for each in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(each, torch.Tensor) and storage_name(each) not in self.made:
                given = {storage_name(arg) for arg in args if isinstance(arg, torch.Tensor)}
                self.made |= {storage_name(each)} - given

    def undo(self):
        """Write the copies back."""
        for whole, copy in self.saved.values():
            whole.copy_(copy)


def storage_name(tensor: torch.Tensor) -> int:
    """Return what tells a tensor's storage from others that live at the same time; a sparse tensor has itself only.

    Source:
        Standard.

    >>> x = torch.zeros(3)
    >>> storage_name(x) == storage_name(x[1:]) != storage_name(x.clone())
    True
    """
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _written(schema, args, kwargs):
    """Return the tensors that an operation writes to."""
    for place, argument in enumerate(schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[place] if place < len(args) else kwargs.get(argument.name)
        yield from [each for each in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(each, torch.Tensor)]

named(__name__)
