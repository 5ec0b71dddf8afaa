r"""Leave everything of the caller's as it was: what a model writes while it is looked at is put back."""

import collections
import functools
import random
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.signatures import named


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Run what stands inside, outside inference mode, and restore what it changed: also if it ends in an error.

    Restored are tensors written in place that were not made inside; the attributes, parameters, buffers, gradients and modes of
    a module; what a function closes over, has as defaults and names among its globals; the lists, tables, sets, arrays, random
    generators and objects of one's own that these hold; the state of the random generators of torch, numpy and Python; and the
    default type. Not restored: how far an iterator has come, arrays of more than 4 MiB that numpy writes to, attributes of a
    scripted module but its tensors and mode, and what lies more than 10,000 things away from the modules.

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
        writes, random_state, default = _Writes(), _random_state(), torch.get_default_dtype()
        put_back = _belongings(model)
        try:
            with writes:
                yield
        finally:
            torch.set_default_dtype(default)
            _restore_random(*random_state)
            _undo([*put_back, *writes.undo()])


def _undo(put_back):
    """Put back one thing after the other; what fails does not keep the rest from it."""
    failed = []
    with torch.no_grad():
        for each in put_back:
            try:
                each()
            except (RuntimeError, ValueError, TypeError, AttributeError) as error:
                failed.append(error)
    if failed:
        raise ValueError(f"model: what it changed cannot be put back ({failed[0]}); leave its numbers and attributes as they are "
                         "in forward") from failed[0]


# ---- what belongs to a model ----

MOST = 10_000  # things that are looked at: more belong to a whole program
LARGEST = 2**22  # bytes of an array that is kept
LIBRARIES = frozenset(sys.stdlib_module_names) | {"torch", "torchvision", "numpy", "scipy", "deepatoms"}


def _belongings(model):
    """Return what puts back, call by call, all that a model can reach and change without torch."""
    # By identity; kept alive, because identities are used again. Modules come first, and what is near before what is far.
    found, seen, waiting = [], {}, collections.deque(model.modules() if isinstance(model, torch.nn.Module) else [model])
    count = len(waiting) + MOST
    while waiting and len(seen) < count:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        keep = _keeper(value)
        if keep is not None:
            put_back, below = keep(value)
            found.extend(put_back)
            waiting.extend(filter(_may_change, below if len(below) <= MOST else ()))
    return found


def _may_change(value):
    return not isinstance(value, (str, bytes, int, float, complex, type(None), types.ModuleType, torch.dtype, torch.device))


def _keeper(value):
    """Return how a thing is kept; None for what has no state of its own, or is a library's."""
    for kind, keep in KEEPERS.items():
        if isinstance(value, kind):
            return keep
    return _keep_object if _own(type(value)) and (hasattr(value, "__dict__") or _slots(value)) else None


def _own(thing):
    """Tell whether a class or a function is the caller's, not a library's."""
    return (getattr(thing, "__module__", None) or "torch").split(".")[0] not in LIBRARIES


def _keep_table(table):
    before = dict(table)

    def put_back():
        if len(table) != len(before) or any(table.get(key, table) is not value for key, value in before.items()):
            table.clear()
            table.update(before)
    return [put_back], list(before.values())


def _keep_row(row):
    before = list(row)

    def put_back():
        if len(row) != len(before) or any(one is not other for one, other in zip(row, before, strict=True)):
            row.clear()
            row.extend(before)
    return [put_back], before


def _keep_set(entries):
    before = set(entries)

    def put_back():
        entries.clear()
        entries.update(before)
    return [put_back], before


def _keep_array(array):
    if array.nbytes > LARGEST or array.dtype.hasobject or not array.flags.writeable:
        return [], []
    before = array.copy()
    return [lambda: np.copyto(array, before)], []


def _keep_bytes(row):
    before = bytes(row) if len(row) <= LARGEST else None

    def put_back():
        if before is not None and row != before:
            row[:] = before
    return [put_back], []


def _keep_state(get, put):
    """Keep what has a state that can be taken and given back."""
    def keep(thing):
        before = get(thing)
        return [lambda: put(thing, before)], []
    return keep


_keep_mode = _keep_state(lambda module: module.training, lambda module, mode: setattr(module, "training", mode))


def _keep_standing(tensor):
    """A tensor's standing with torch's derivative: whether it takes one, its gradient, and that nothing stands before it."""
    if torch.nn.parameter.is_lazy(tensor) or tensor.layout != torch.strided or tensor.is_inference() or not tensor.is_leaf:
        return [], []
    wanted, gradient = tensor.requires_grad, tensor.grad

    def put_back():
        if not tensor.is_leaf:
            tensor.detach_()
        if tensor.requires_grad != wanted:
            tensor.requires_grad_(wanted)
        if tensor.grad is not gradient:
            tensor.grad = gradient
    return [put_back], []


def _keep_tensor(tensor):
    """A tensor of a module: its numbers, which numpy may have written, where they lie, their shape and type; its standing."""
    if torch.nn.parameter.is_lazy(tensor) or tensor.layout != torch.strided or tensor.is_inference() or tensor.is_meta:
        return []
    place, before = tensor.detach(), tensor.detach().clone()

    def put_back():
        now = tensor.detach()
        if (now.dtype, now.data_ptr(), now.shape, now.stride()) != (place.dtype, place.data_ptr(), place.shape, place.stride()):
            tensor.data = place
        if not torch.equal(place, before):
            place.copy_(before)
    return [*_keep_standing(tensor)[0], put_back]


def _keep_module(module):
    """Its attributes, the tensors of its own and its hooks, which are not followed: what they gather is the onlooker's."""
    put_back = [each for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
                for each in _keep_tensor(tensor)]
    if isinstance(module, torch.jit.ScriptModule):  # it keeps its attributes outside Python
        return [*put_back, *_keep_mode(module)[0]], list(module.children())
    hooks = [value for name, value in vars(module).items() if name.endswith("_hooks") and isinstance(value, dict)]
    attributes, below = _keep_object(module)
    followed = [value for value in below if not any(value is each for each in hooks)]
    return [*put_back, *attributes, *(each for table in hooks for each in _keep_table(table)[0])], followed


def _keep_object(thing):
    attributes, below = _keep_table(vars(thing)) if hasattr(thing, "__dict__") else ([], [])
    slots = {name: getattr(thing, name) for name in _slots(thing)}

    def put_back():
        for name, value in slots.items():
            if getattr(thing, name, slots) is not value:
                setattr(thing, name, value)
    return [*attributes, put_back], [*below, *slots.values(), *filter(_own, type(thing).__mro__)]


def _slots(thing):
    """Return the names of an object's slots that are filled."""
    named = (getattr(kind, "__slots__", ()) for kind in type(thing).__mro__ if _own(kind))
    every = (name for names in named for name in ([names] if isinstance(names, str) else names))
    return [name for name in every if not name.startswith("__") and hasattr(thing, name)]


def _keep_class(kind):
    """What is counted in the class itself, and what its functions remember."""
    if not _own(kind):
        return [], []
    before = dict(vars(kind))

    def put_back():
        for name, value in before.items():
            if vars(kind).get(name) is not value:
                setattr(kind, name, value)
    return [put_back], list(before.values())


def _keep_function(function):
    """What a function remembers: its cells, its defaults, its attributes, and the globals that it names."""
    if not _own(function):
        return [], []
    cells = [(cell, cell.cell_contents) for cell in function.__closure__ or () if _filled(cell)]
    names = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}

    def put_back():
        for cell, value in cells:
            if not _filled(cell) or cell.cell_contents is not value:
                cell.cell_contents = value
        for name, value in names.items():
            if function.__globals__.get(name, names) is not value:
                function.__globals__[name] = value
    return [put_back], [*(value for _, value in cells), *names.values(), *(function.__defaults__ or ()),
                        function.__kwdefaults__, vars(function)]


def _filled(cell):
    try:
        cell.cell_contents  # noqa: B018 (an empty cell has none)
    except ValueError:
        return False
    return True


def _names(code):
    """Return the names that code, and the functions inside it, read from elsewhere."""
    return {*code.co_names}.union(*(_names(each) for each in code.co_consts if isinstance(each, types.CodeType)))


KEEPERS: dict[type, Callable] = {
    torch.nn.Module: _keep_module, type: _keep_class, dict: _keep_table, list: _keep_row, collections.deque: _keep_row,
    set: _keep_set, np.ndarray: _keep_array,
    tuple: lambda value: ([], value), types.FunctionType: _keep_function,
    types.MethodType: lambda method: ([], [method.__self__, method.__func__]),
    functools.partial: lambda part: ([], [part.func, part.args, part.keywords]), torch.Tensor: _keep_standing,
    bytearray: _keep_bytes,
    np.random.Generator: _keep_state(lambda own: own.bit_generator.state, lambda own, state: setattr(
        own.bit_generator, "state", state)),
    np.random.RandomState: _keep_state(np.random.RandomState.get_state, np.random.RandomState.set_state),
    random.Random: _keep_state(random.Random.getstate, random.Random.setstate),
    torch.Generator: _keep_state(torch.Generator.get_state, torch.Generator.set_state)}


# ---- what torch and the random generators hold ----

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
        """Return what writes the copies back."""
        return [functools.partial(whole.copy_, copy) for whole, copy in self.saved.values()]


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
