r"""What stands between a model and the exact geometry of its regions: nothing of the caller's changes, nothing leaves torch."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from deepatoms.theory.arguments import refuse
from deepatoms.theory.piecewise import NotPiecewiseAffineError
from deepatoms.theory.signatures import named

GIB = 2**30


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Run a model outside inference mode and without graphs, and put back what it changes, also where an error ends it.

    Put back are its parameters, buffers and gradients, the attributes, modes and hooks of its modules, and torch's random state.

    Source:
        Standard.

    >>> norm = torch.nn.BatchNorm1d(2)
    >>> with undisturbed(norm):
    ...     _ = norm(torch.randn(3, 2))
    >>> norm.num_batches_tracked.item()
    0
    """
    modules = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    attributes = [(module, _attributes(module)) for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=_devices(model)):
        tensors = [(tensor, tensor.detach().clone()) for module in modules for tensor in _own(module)]
        try:
            yield
        finally:
            for module, before in attributes:
                _put_back(module, before)
            for tensor, before in tensors:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)


def _devices(model):
    found = {tensor.device for tensor in model.parameters()} if isinstance(model, torch.nn.Module) else set()
    return [device for device in found if device.type == "cuda"]


def _own(module):
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return [*tensors, *(tensor.grad for tensor in tensors if tensor.grad is not None)]


def _attributes(module):
    return dict(vars(module)), {name: dict(value) for name, value in vars(module).items() if isinstance(value, dict)}


def _put_back(module, before):
    attributes, tables = before
    vars(module).clear()
    vars(module).update(attributes)
    for name, items in tables.items():
        table = vars(module)[name]
        if not _same(table, items):
            table.clear()
            table.update(items)


def _same(one, other):
    return list(one) == list(other) and all(one[key] is other[key] for key in one)


EXITS = ("numpy", "__array__", "tolist", "__dlpack__", "data_ptr")


class InsideTorch(TorchFunctionMode):
    """Refuse to hand numbers that depend on the input to anything but torch, where nothing is seen of what becomes of them.

    Args:
        depends: Tells whether a tensor depends on the input.
    """

    def __init__(self, depends: Callable[[torch.Tensor], bool]) -> None:
        super().__init__()
        self.depends = depends

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse a call by which a tensor's numbers leave torch."""
        name = getattr(func, "__name__", "")
        if name in EXITS and isinstance(args[0], torch.Tensor) and self.depends(args[0]):
            raise NotPiecewiseAffineError(f"{name} takes numbers that depend on the input out of torch, where nothing is seen of "
                                          "what becomes of them; compute this part with torch")
        return func(*args, **(kwargs or {}))


def memory() -> int:
    """Return how many bytes this process may hold at most: the machine's, or the limit set for it.

    Source:
        Standard.

    >>> memory() > 2**20
    True
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return there if limit == resource.RLIM_INFINITY else min(there, limit)


def demand_memory(name: str, value: Any, needed: float, remedy: str) -> None:
    """Refuse what would take more memory than there is, before it is taken.

    Raises:
        MemoryError: If it needs more than :func:`memory`.

    Source:
        Standard.

    >>> demand_memory("chunk", 1, 100.0, "pass fewer")
    """
    if needed > memory():
        refuse(name, value, f"needs about {needed / GIB:,.1f} GiB at once; there are {memory() / GIB:,.1f} GiB", remedy,
               MemoryError)

named(__name__)
