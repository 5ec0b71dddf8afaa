r"""Leave everything of the caller's as it was: what a model writes while it is looked at is put back."""

import contextvars
import functools
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.keepers import belongings, copy_numbers, dense_parts, keep_tensor, settings
from deepatoms.theory.signatures import named


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Run what stands inside, outside inference mode, and restore what it changed: also if it ends in an error.

    Restored are tensors written in place that were not made inside; the attributes, parameters, buffers, gradients, hooks and
    modes of a module, scripted ones too: numbers, shapes, types, where they lie and how they stand with the derivative; what a
    function closes over, has as defaults and names among its globals; the lists, tables, sets, queues, arrays, streams in memory,
    context variables, random generators and objects of one's own that these hold; the state of the random generators of torch,
    numpy and Python; the default type, the number of threads, the precision of products, deterministic algorithms, the detection
    of anomalies, numpy's treatment of errors, the environment, the filters of warnings, the limit of recursion, hooks on all
    modules; and what ``parametrize.cached()`` holds.
    Not restored: other settings, such as the default device, backends, and the formats of printing; how far an iterator has come;
    what ``functools.cache`` has stored; simple queues, locks, files; globals that are reached through another module's name;
    numbers of arrays of more than 4 MiB, and of such tensors outside modules, that numpy writes to; and what lies more than
    10,000 things away from the modules.

    Raises:
        ValueError: If something cannot be put back; all else is.

    Source:
        Standard.

    >>> counter = torch.zeros(1)
    >>> with untouched(None):
    ...     _ = counter.add_(1)
    >>> counter.item()
    0.0
    """
    gradients = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(gradients):  # to leave inference mode would switch them on
        writes, put_back = _Writes(), [*settings(), *belongings(model)]
        active = ACTIVE.set(writes)
        try:
            with writes:
                yield
        finally:
            ACTIVE.reset(active)
            _undo([*put_back, *writes.undo()])


# Of the call under way, the innermost; each thread has its own.
ACTIVE: contextvars.ContextVar["_Writes | None"] = contextvars.ContextVar("writes", default=None)


def as_given() -> None:
    """Put back the numbers that a model wrote in earlier passes of this call: each pass is to see what the caller's would.

    A model that sets itself up from its first batch would otherwise answer all others with what that one left. Where it gave a
    storage another size too, it is left so until the end: results of the earlier passes may lie in it.

    Source:
        Standard.

    >>> counter = torch.zeros(1)
    >>> with untouched(None):
    ...     _ = counter.add_(1)
    ...     as_given()
    ...     counter.item()
    0.0
    """
    writes = ACTIVE.get()
    with torch.no_grad():
        for storage, size, whole, before in writes.plain if writes else ():
            if storage.nbytes() == size:
                copy_numbers(whole, before)


def _undo(put_back):
    """Put back one thing after the other; what fails does not keep the rest from it, nor an interruption from being one."""
    failed = []
    with torch.no_grad():
        for each in put_back:
            try:
                each()
            except Exception as error:  # noqa: BLE001 (whatever a thing of the caller's raises is told below)
                failed.append(error)
    if failed and isinstance(sys.exception(), (Exception, type(None))):
        raise ValueError(f"model: what it changed cannot be put back ({failed[0]}); leave its numbers and attributes as they are "
                         "in forward") from failed[0]


class _Writes(TorchDispatchMode):
    """Keep a copy of every tensor that is about to be written to and was not made inside."""

    def __init__(self):
        super().__init__()
        self.made, self.saved, self.plain = set(), {}, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for value in _written(func._schema, args, kwargs):
                self._save(value)
        output = func(*args, **kwargs)
        if not func._schema.is_mutable:
            self._note(func, output, args)
        return output

    def _save(self, value):
        key = storage_name(value)
        if key in self.made or key in self.saved:
            return
        if any(part is value for part in dense_parts(value)):
            self.plain.append(_storage(value))
            self.saved[key] = [functools.partial(_put_storage, *self.plain[-1])]
        else:
            self.saved[key] = keep_tensor(value, math.inf)[0]

    def _note(self, func, output, args):
        """A result that shares no storage with an argument was made inside; a part of one that is not dense was not."""
        for each in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(each, torch.Tensor) and storage_name(each) not in self.made:
                given = [arg for arg in args if isinstance(arg, torch.Tensor)]
                part = any(arg.layout != torch.strided for arg in given) and any(one.alias_info for one in func._schema.returns)
                self.made |= set() if part else {storage_name(each)} - set(map(storage_name, given))

    def undo(self):
        """Return what writes the copies back."""
        return [each for put_back in self.saved.values() for each in put_back]


def _storage(tensor):
    """Return a tensor's storage, its size, a tensor of all of it, and a copy of that."""
    storage = tensor.untyped_storage()
    size = storage.nbytes()
    whole = tensor.new_empty(0).set_(storage, 0, (size // tensor.itemsize,))
    return storage, size, whole, whole.clone()


def _put_storage(storage, size, whole, before):
    if storage.nbytes() != size:
        storage.resize_(size)
    copy_numbers(whole, before)


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
