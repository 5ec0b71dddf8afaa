r"""What belongs to a model, and to everyone: what a pass may change without torch, and how each thing is put back.

One table, :data:`KEEPERS`, says for each type what is kept of it and what lies below it; another, :data:`SETTINGS`, which
settings of torch, numpy and Python are kept.
"""

import argparse
import array
import collections
import contextvars
import ctypes
import functools
import io
import math
import os
import queue
import random
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._subclasses import FakeTensor
from torch.nn.modules import module as everywhere
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from deepatoms.theory.signatures import named

# ---- what belongs to a model ----

MOST = 10_000  # things that are looked at: more belong to a whole program
LARGEST = 2**22  # bytes of an array that is kept
LIBRARIES = frozenset(sys.stdlib_module_names) | {"torch", "torchvision", "numpy", "scipy", "deepatoms"}


def belongings(model: Any) -> list[Callable[[], Any]]:
    """Return what puts back, call by call, all that a model can reach and change without torch.

    Source:
        Standard.

    >>> counts = [0]
    >>> put_back = belongings(counts)
    >>> counts.append(1)
    >>> for each in put_back:
    ...     each()
    >>> counts
    [0]
    """
    # By identity; kept alive, because identities are used again. Modules come first, and what is near before what is far.
    found: list = []
    seen: dict[int, Any] = {}
    keepers = _Keepers()
    waiting = collections.deque(model.modules() if isinstance(model, torch.nn.Module) else [model])
    count = len(waiting) + MOST
    while waiting and len(seen) < count:
        value = waiting.popleft()
        keep = keepers[type(value)]
        if keep is None or id(value) in seen:
            continue
        seen[id(value)] = value
        put_back, below = keep(value)
        found.extend(put_back)
        waiting.extend([each for each in below if keepers[type(each)]] if len(below) <= MOST else ())
    return found


class _Keepers(dict):
    """How things of a type are kept; None for those that have no state of their own, or are a library's."""

    def __missing__(self, kind):
        known = (keep for base, keep in KEEPERS.items() if issubclass(kind, base))
        self[kind] = next(known, _keep_object if _own(kind) else None)
        return self[kind]


def _own(thing):
    """Tell whether a class or a function is the caller's, not a library's."""
    return (getattr(thing, "__module__", None) or "torch").split(".")[0] not in LIBRARIES


def _keep_table(table):
    # The plain methods: a class of the caller's may note in its own that it was read.
    kind = collections.OrderedDict if isinstance(table, collections.OrderedDict) else dict
    if not kind.__len__(table):
        return [functools.partial(kind.clear, table)], []
    keys, values = list(kind.keys(table)), list(kind.values(table))
    order = [*map(id, keys), *map(id, values)]

    def put_back():
        if [*map(id, kind.keys(table)), *map(id, kind.values(table))] != order:
            kind.clear(table)
            kind.update(table, zip(keys, values, strict=True))
    return [put_back], values


def _keep_row(row):
    kind = collections.deque if isinstance(row, collections.deque) else list
    before = list(kind.__iter__(row))
    order = list(map(id, before))

    def put_back():
        if list(map(id, kind.__iter__(row))) != order:
            kind.clear(row)
            kind.extend(row, before)
    return [put_back], before


def _keep_set(entries):
    before = list(set.__iter__(entries))
    order = set(map(id, before))

    def put_back():
        if set(map(id, set.__iter__(entries))) != order:
            set.clear(entries)
            set.update(entries, before)
    return [put_back], before


def _keep_array(array):
    if array.nbytes > LARGEST or not array.flags.writeable:
        return [], []
    before, shape = np.array(array, copy=True, subok=False), array.shape
    attributes, below = _keep_table(vars(array)) if hasattr(array, "__dict__") else ([], [])

    def put_back():
        array.flags.writeable = True
        if array.shape != shape:
            array.resize(shape, refcheck=False)
        np.copyto(array, before)
    return [*attributes, put_back], [*below, *(before.flat if before.dtype.hasobject and before.size <= MOST else ())]


def _keep_numbers(row):
    before = row[:] if memoryview(row).nbytes <= LARGEST else None

    def put_back():
        if before is not None and row != before:
            row[:] = before
    return [put_back], []


def _keep_bytes(thing):
    """Keep what gives its memory to others, such as the numbers of ctypes."""
    own = memoryview(thing)
    if own.readonly or not own.contiguous or own.nbytes > LARGEST:
        return [], []
    own = own.cast("B")
    before = bytes(own)

    def put_back():
        if bytes(own) != before:
            own[:] = before
    return [put_back], []


def _keep_stream(stream):
    before, place = stream.getvalue(), stream.tell()

    def put_back():
        if stream.getvalue() != before:
            stream.seek(0)
            stream.truncate()
            stream.write(before)
        stream.seek(place)
    return [put_back], []


def _keep_variable(variable):
    """A context variable, also one that is not set, or was set anew."""
    try:
        value = variable.get()
    except LookupError:
        return [], []
    token = variable.set(value)
    return [lambda: variable.reset(token)], [value]


def _keep_state(get, put):
    """Keep what has a state that can be taken and given back."""
    def keep(thing):
        before = get(thing)
        return [lambda: put(thing, before)], []
    return keep


def _keep_module(module):
    """Its tensors, its attributes and its hooks, which are not followed: what they gather is the onlooker's."""
    put_back = [each for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
                for each in keep_tensor(tensor, math.inf)[0]]
    if isinstance(module, torch.jit.ScriptModule):
        attributes, below = _keep_scripted(module)
    else:
        attributes, below = _keep_object(module)
    tables = [value for name, value in vars(module).items() if isinstance(value, dict) and (
        name.endswith("_hooks") or name in ("_parameters", "_buffers"))]
    apart = {id(table) for table in tables}
    return ([*put_back, *attributes, *(each for table in tables for each in _keep_table(table)[0])],
            [value for value in below if id(value) not in apart])


def _keep_scripted(module):
    """A scripted module keeps its attributes, its mode among them, outside Python, and gives out copies of what is no tensor."""
    own, (attributes, _) = module._c, _keep_table(vars(module))
    before = {name: own.getattr(name) for name in torch._C.ConcreteModuleType.from_jit_type(own._type()).get_attributes()}

    def put_back():
        for name, value in before.items():
            now = own.getattr(name)
            if now is not value and (type(now) not in (bool, int, float, str) or now != value):
                own.setattr(name, value)
    return [*attributes, put_back], list(module.children())


EMPTY = object()  # what stands in a slot that is not filled


def _keep_object(thing):
    attributes, below = _keep_table(vars(thing)) if hasattr(thing, "__dict__") else ([], [])
    slots = [(slot, _content(slot, thing)) for each in type(thing).__mro__ if _own(each)
             for slot in vars(each).values() if isinstance(slot, types.MemberDescriptorType)]

    def put_back():
        for slot, value in slots:
            if _content(slot, thing) is not value:
                slot.__delete__(thing) if value is EMPTY else slot.__set__(thing, value)
    found = [*attributes, put_back] if slots else attributes
    return found, [*below, *(value for _, value in slots), *filter(_own, type(thing).__mro__)]


def _content(slot, thing):
    try:
        return slot.__get__(thing)
    except AttributeError:
        return EMPTY


def _keep_class(kind):
    """What is counted in the class itself, and what its functions remember; with type's methods: a class may refuse to change."""
    if not _own(kind):
        return [], []
    before = dict(vars(kind))

    def put_back():
        for name, value in before.items():
            if vars(kind).get(name) is not value:
                type.__setattr__(kind, name, value)
        for name in vars(kind).keys() - before.keys():
            type.__delattr__(kind, name)
    return [put_back], list(before.values())


def _keep_function(function):
    """What a function remembers: its cells, its defaults, its attributes, and the globals that it names."""
    if not _own(function):
        return [], []
    cells = [(cell, _filling(cell)) for cell in function.__closure__ or ()]
    table = function.__globals__
    names = {name: table.get(name, EMPTY) for name in _names(function.__code__)}

    def put_back():
        for cell, value in cells:
            if _filling(cell) is not value:
                cell.cell_contents = value
                if value is EMPTY:
                    del cell.cell_contents
        for name, value in names.items():
            if value is EMPTY:
                table.pop(name, None)
            elif table.get(name, EMPTY) is not value:
                table[name] = value
    return [put_back], [*(value for _, value in cells), *names.values(), *(function.__defaults__ or ()),
                        function.__kwdefaults__, vars(function)]


def _filling(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


def _names(code):
    """Return the names that code, and the functions inside it, read from elsewhere."""
    return {*code.co_names}.union(*(_names(each) for each in code.co_consts if isinstance(each, types.CodeType)))


# ---- what a tensor is ----

def keep_tensor(tensor: torch.Tensor, largest: float = LARGEST) -> tuple[list[Callable[[], Any]], list]:
    """Keep a tensor: its numbers, which numpy may write, where they lie, their shape and type, how it stands with the derivative.

    Args:
        tensor: Of any layout or class.
        largest: How many bytes of numbers are kept.

    Returns:
        What puts it back, and what lies below it: nothing.

    Source:
        Standard.

    >>> x = torch.zeros(1)
    >>> put_back, _ = keep_tensor(x)
    >>> _ = x.add_(1)
    >>> for each in put_back:
    ...     each()
    >>> x.item()
    0.0
    """
    if torch.nn.parameter.is_lazy(tensor):
        return [], []
    place, where = tensor.detach(), _where(tensor)
    parts = dense_parts(place)
    sizes = [(part.untyped_storage(), part.untyped_storage().nbytes()) for part in parts]
    copies = [(part, part.clone()) for part in parts if part.nbytes <= largest]

    def put_back():
        if _where(tensor) != where:
            tensor.data = place
        for storage, size in sizes:
            if storage.nbytes() != size:
                storage.resize_(size)
        for part, copy in copies:
            if not torch.equal(part, copy):
                copy_numbers(part, copy)
    return [_standing(tensor), *_hooks(tensor), put_back], []


def _where(tensor):
    """Return where a tensor's numbers lie, and as what; a nested one has no shape to ask for, and stays where it is."""
    return () if tensor.is_nested else (tensor.shape, *((each.dtype, each.data_ptr(), each.shape, each.stride())
                                                        for each in dense_parts(tensor)))


def copy_numbers(target: torch.Tensor, source: torch.Tensor) -> None:
    """Write numbers into a tensor, also into one that was made in inference mode.

    Source:
        Standard.

    >>> x = torch.zeros(1)
    >>> copy_numbers(x, torch.ones(1))
    >>> x.item()
    1.0
    """
    with torch.inference_mode(target.is_inference()):  # elsewhere torch refuses to write to a tensor that was made there
        target.copy_(source)


def _standing(tensor):
    """Return what puts back whether a tensor takes a derivative, its gradient, and that nothing stands before it."""
    if not tensor.is_leaf:
        return functools.partial(_demand_history, tensor, tensor.grad_fn)
    wanted, gradient = tensor.requires_grad, tensor.grad

    def put_back():
        if not tensor.is_leaf:
            _detach(tensor)
        if tensor.requires_grad != wanted:
            tensor.requires_grad_(wanted)
        if tensor.grad is not gradient:
            tensor.grad = gradient
    return put_back


def _detach(tensor):
    """Make a tensor a leaf again; a view, which torch does not detach, becomes another view of its base, and remains itself."""
    if not tensor._is_view():
        tensor.detach_()
        return
    tensor._base.detach_()
    with torch.enable_grad():  # a view made without may not be written to with gradients
        again = tensor._base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
    torch.utils.swap_tensors(tensor, again)


def _demand_history(tensor, before):
    """What a tensor was computed from cannot be given back to it; that of a view torch makes anew."""
    if not tensor._is_view() and tensor.grad_fn is not before:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)}, itself computed from others, was written to")


def _hooks(tensor):
    """Return what puts back a tensor's hooks and what is noted on it."""
    names = ("_backward_hooks", "_post_accumulate_grad_hooks") if tensor.is_leaf else ()
    tables = [(name, getattr(tensor, name)) for name in names]

    def put_back():
        for name, table in tables:
            now = getattr(tensor, name)
            if now is not table:
                now.clear()  # torch goes on calling what stands in it
                setattr(tensor, name, table)
    return [put_back, *(each for table in (vars(tensor), *(table for _, table in tables)) if table is not None
                        for each in _keep_table(table)[0])]


def dense_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the dense tensors in which the numbers of a tensor of any layout or class lie, without a copy; none on meta.

    Source:
        Standard.

    >>> x = torch.zeros(3)
    >>> [part is x for part in dense_parts(x)]
    [True]
    """
    if tensor.is_meta or isinstance(tensor, FakeTensor):
        return []
    if is_traceable_wrapper_subclass(tensor):
        return [part for name in tensor.__tensor_flatten__()[0] for part in dense_parts(getattr(tensor, name))]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.is_nested:
        return list(tensor.unbind())
    return [tensor] if tensor.layout == torch.strided else []


KEEPERS: dict[Any, Callable | None] = {
    **dict.fromkeys((str, bytes, int, float, complex, type(None), types.ModuleType, torch.dtype, torch.device)),
    torch.nn.Module: _keep_module, type: _keep_class, dict: _keep_table, list: _keep_row, collections.deque: _keep_row,
    set: _keep_set, np.ndarray: _keep_array, bytearray: _keep_numbers, array.array: _keep_numbers,
    (tuple, frozenset): lambda value: ([], value), torch.Tensor: keep_tensor, types.FunctionType: _keep_function,
    types.MethodType: lambda method: ([], [method.__self__, method.__func__]),
    (staticmethod, classmethod): lambda method: ([], [method.__func__]),
    property: lambda own: ([], [own.fget, own.fset, own.fdel]),
    functools._lru_cache_wrapper: lambda function: ([], [function.__wrapped__]),
    functools.partial: lambda part: ([], [part.func, part.args, part.keywords]),
    (types.SimpleNamespace, argparse.Namespace, collections.UserDict, collections.UserList, collections.ChainMap,
     weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet, queue.Queue, threading.Event,
     threading.local): _keep_object,
    (memoryview, ctypes.c_int.__mro__[-2]): _keep_bytes, (io.StringIO, io.BytesIO): _keep_stream,
    contextvars.ContextVar: _keep_variable,
    np.random.Generator: lambda own: ([], [own.bit_generator]),
    np.random.BitGenerator: _keep_state(lambda own: own.state, lambda own, state: setattr(own, "state", state)),
    np.random.RandomState: _keep_state(np.random.RandomState.get_state, np.random.RandomState.set_state),
    random.Random: _keep_state(random.Random.getstate, random.Random.setstate),
    torch.Generator: _keep_state(torch.Generator.get_state, torch.Generator.set_state)}


# ---- what belongs to everyone ----

# How each setting is read, and given back.
SETTINGS: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (torch.get_default_dtype, torch.set_default_dtype), (torch.get_num_threads, torch.set_num_threads),
    (torch.get_rng_state, torch.set_rng_state), (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
     lambda state: torch.use_deterministic_algorithms(state[0], warn_only=state[1])),
    (np.random.get_state, np.random.set_state), (np.geterr, lambda state: np.seterr(**state)),
    (random.getstate, random.setstate), (sys.getrecursionlimit, sys.setrecursionlimit),
    (lambda: dict(os.environ), lambda state: _put_environment(state)),
    (lambda: list(warnings.filters), lambda state: _put_filters(state))]


def settings() -> list[Callable[[], Any]]:
    """Return what puts back the settings of torch, numpy and Python, hooks on all modules, and cached parametrisations.

    Source:
        Standard.

    >>> put_back = settings()
    >>> torch.set_default_dtype(torch.float64)
    >>> for each in put_back:
    ...     _ = each()
    >>> torch.get_default_dtype()
    torch.float32
    """
    found = [functools.partial(_put, get, put, get()) for get, put in SETTINGS]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found.append(functools.partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    hooks = [table for name, table in vars(everywhere).items() if name.startswith("_global_") and isinstance(table, dict)]
    return [*found, *(each for table in (*hooks, parametrize._cache) for each in _keep_table(table)[0])]


def _put(get, put, before):
    """Give back a setting if it is another one now: what is set, even to the same, may cost much."""
    now = get()
    if isinstance(before, torch.Tensor) or isinstance(before, tuple) or now != before:
        put(before)


def _put_environment(before):
    os.environ.clear()
    os.environ.update(before)


def _put_filters(before):
    with warnings.catch_warnings():  # tells Python, when it ends, that the filters are others
        pass
    warnings.filters[:] = before

named(__name__)
