r"""Leave everything of the caller's as it was: what a model writes while it is looked at is put back."""

import argparse
import array
import collections
import contextvars
import functools
import math
import random
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch._subclasses import FakeTensor
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

from deepatoms.theory.signatures import named


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Run what stands inside, outside inference mode, and restore what it changed: also if it ends in an error.

    Restored are tensors written in place that were not made inside; the attributes, parameters, buffers, gradients, hooks and
    modes of a module, scripted ones too: numbers, shapes, types, where they lie and how they stand with the derivative; what a
    function closes over, has as defaults and names among its globals; the lists, tables, sets, arrays, random generators and
    objects of one's own that these hold; the state of the random generators of torch, numpy and Python; the default type; and
    what ``parametrize.cached()`` holds.
    Not restored: how far an iterator has come; what ``functools.cache`` has stored; globals that are reached through another
    module's name; numbers of arrays of more than 4 MiB, and of such tensors outside modules, that numpy writes to; and what
    lies more than 10,000 things away from the modules.

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
        writes, put_back = _Writes(), [*_globals(), *_belongings(model)]
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
                _copy(whole, before)


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


def _globals():
    """Return what puts back the default type, the generators of torch, numpy and Python, and cached parametrisations."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    states = [(torch.set_default_dtype, torch.get_default_dtype()), (torch.set_rng_state, torch.get_rng_state()),
              (torch.cuda.set_rng_state_all, cuda), (np.random.set_state, np.random.get_state()),
              (random.setstate, random.getstate()), (_put_cached, dict(parametrize._cache))]
    return [functools.partial(put, state) for put, state in states if state is not cuda or cuda]


def _put_cached(before):
    """Inside ``parametrize.cached()`` a weight made here, without a derivative, must not stay for the caller's next pass."""
    parametrize._cache.clear()
    parametrize._cache.update(before)


# ---- what belongs to a model ----

MOST = 10_000  # things that are looked at: more belong to a whole program
LARGEST = 2**22  # bytes of an array that is kept
LIBRARIES = frozenset(sys.stdlib_module_names) | {"torch", "torchvision", "numpy", "scipy", "deepatoms"}


def _belongings(model):
    """Return what puts back, call by call, all that a model can reach and change without torch."""
    # By identity; kept alive, because identities are used again. Modules come first, and what is near before what is far.
    found, seen, keepers = [], {}, _Keepers()
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


def _keep_state(get, put):
    """Keep what has a state that can be taken and given back."""
    def keep(thing):
        before = get(thing)
        return [lambda: put(thing, before)], []
    return keep


def _keep_module(module):
    """Its tensors, its attributes and its hooks, which are not followed: what they gather is the onlooker's."""
    put_back = [each for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
                for each in _keep_tensor(tensor, math.inf)[0]]
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

def _keep_tensor(tensor, largest=LARGEST):
    """Its numbers, which numpy may have written, where they lie, their shape and type; how it stands with the derivative."""
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
                _copy(part, copy)
    return [_standing(tensor), *_hooks(tensor), put_back], []


def _where(tensor):
    """Return where a tensor's numbers lie, and as what; a nested one has no shape to ask for, and stays where it is."""
    return () if tensor.is_nested else (tensor.shape, *((each.dtype, each.data_ptr(), each.shape, each.stride())
                                                        for each in dense_parts(tensor)))


def _copy(target, source):
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
    (tuple, frozenset): lambda value: ([], value), torch.Tensor: _keep_tensor, types.FunctionType: _keep_function,
    types.MethodType: lambda method: ([], [method.__self__, method.__func__]),
    (staticmethod, classmethod): lambda method: ([], [method.__func__]),
    property: lambda own: ([], [own.fget, own.fset, own.fdel]),
    functools._lru_cache_wrapper: lambda function: ([], [function.__wrapped__]),
    functools.partial: lambda part: ([], [part.func, part.args, part.keywords]),
    (types.SimpleNamespace, argparse.Namespace, collections.UserDict, collections.UserList, collections.ChainMap): _keep_object,
    np.random.Generator: lambda own: ([], [own.bit_generator]),
    np.random.BitGenerator: _keep_state(lambda own: own.state, lambda own, state: setattr(own, "state", state)),
    np.random.RandomState: _keep_state(np.random.RandomState.get_state, np.random.RandomState.set_state),
    random.Random: _keep_state(random.Random.getstate, random.Random.setstate),
    torch.Generator: _keep_state(torch.Generator.get_state, torch.Generator.set_state)}


# ---- what torch writes ----

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
            self.saved[key] = _keep_tensor(value, math.inf)[0]

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
    _copy(whole, before)


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
