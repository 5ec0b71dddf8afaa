"""A network that somebody names: ``FILE.py:NAME``, ``package.module:NAME``, a checkpoint; and their errors, by their line."""

import ast
import importlib
import importlib.util
import inspect
import linecache
import pathlib
import pickle
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from deepatoms import _doors
from deepatoms.theory.arguments import refuse
from deepatoms.theory.signatures import named

WRITE = "write FILE.py:NAME, for example model.py:build, where build() returns a torch module"
LAYERS = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}


class ForeignError(RuntimeError):
    """An error of the reader's own code, told by the line where it happened."""


def foreign(error: BaseException, place: pathlib.Path | None = None) -> ForeignError:
    """Return an error of somebody's code as one text: file, line, what stands there, and what Python said.

    Args:
        error: what was raised.
        place: the file whose line counts; where no frame lies in it, the innermost frame does.

    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError as error:
    ...     str(foreign(error)).splitlines()[-1]
    'ZeroDivisionError: division by zero'
    """
    said = str(error) if error.__cause__ and str(error) else traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError) and error.filename:
        return ForeignError(f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}\n{said}")
    frames = [frame for each in _chain(error) for frame in traceback.extract_tb(each.__traceback__)]
    own = [frame for frame in frames if place is not None and pathlib.Path(frame.filename) == place]
    if not (own or frames):
        return ForeignError(said)
    frame = (own or frames)[-1]
    return ForeignError(f"{frame.filename}, line {frame.lineno}, in {frame.name}: {frame.line}\n{said}")


def _chain(error):
    """Yield an error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


# ---- a function or class by its name ----

def target(text: str) -> tuple[Any, pathlib.Path | None]:
    """Return what ``FILE.py:NAME`` or ``package.module:NAME`` names, and the file.

    The file is executed, as ``import`` would.

    Args:
        text: file or module, colon, name.

    Raises:
        ValueError: no name, no such file, module or name; the message lists what the file offers.
        ForeignError: the file itself fails, told by its line.

    >>> target("torch.nn:Linear")[0].__name__
    'Linear'
    """
    place, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        place = text.rstrip(":")
        refuse("model", text, "names no function", _offer(pathlib.Path(place)) or WRITE)
    module, path = _from_file(pathlib.Path(place)) if place.endswith(".py") else _from_module(place)
    if not hasattr(module, name):
        refuse("model", text, f"has no {name}", (path and _offer(path)) or WRITE)
    return getattr(module, name), path


def _offer(path):
    """Say which names a file offers, without running it; nothing where it cannot be read."""
    try:
        tree = ast.parse(path.read_text())
    except (OSError, ValueError, SyntaxError):
        return ""
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    names += [each.id for node in tree.body if isinstance(node, ast.Assign) for each in node.targets
              if isinstance(each, ast.Name)]
    return "write " + " or ".join(f"{path}:{name}" for name in names[:6]) if names else ""


def _from_file(path):
    path = path.resolve()
    if not path.is_file():
        refuse("model", str(path), "is not a file", WRITE)
    spec = importlib.util.spec_from_file_location(f"_asked_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and checkpoints look their module up
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # its neighbours, as when the file is run
    linecache.checkcache(str(path))
    return run(spec.loader.exec_module, module, path=path) or module, path


def _from_module(name):
    try:
        return importlib.import_module(name), None
    except ModuleNotFoundError as error:
        if error.name and name.split(".")[0] == error.name.split(".")[0]:
            refuse("model", name, "is neither a file that ends in .py nor a module", WRITE)
        raise foreign(error) from error


def run(function, *arguments, path=None):
    """Run somebody's code; what goes wrong there is told by their line."""
    try:
        return function(*arguments)
    except SystemExit as error:
        raise ForeignError(f"{path} ended by itself while it was loaded; put what it runs under "
                           f"if __name__ == '__main__':") from error
    except Exception as error:  # whatever their code raises is theirs, and is told
        raise foreign(error, path) from error


def network(text: str, seed: int = 0) -> nn.Module:
    """Return the torch module that ``FILE.py:NAME`` names: a module, or what a function or class without arguments returns.

    Args:
        text: see :func:`target`.
        seed: of its random weights; torch's own random state is left as it was.

    Returns:
        The module, in evaluation mode.

    Raises:
        ValueError: as :func:`target`, and a function that needs arguments.
        TypeError: what it returns is no torch module.
        ForeignError: its code fails, told by its line.

    >>> network("torch.nn:Identity")
    Identity()
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made, path = target(text)
        made = made if isinstance(made, nn.Module) else _called(text, made, path)
    if not isinstance(made, nn.Module):
        refuse(text, made, "is no torch.nn.Module", "return the network itself from the function that you name", TypeError)
    return made.eval()


def _called(text, build, path):
    if not callable(build):
        refuse(text, build, "is neither a torch module nor a function", WRITE, TypeError)
    if needed := _needed(build):
        refuse("model", text, f"needs {', '.join(needed)}",
               f"write a function without arguments, for example def build(): return {text.rpartition(':')[2]}(...)")
    return run(build, path=path)


def _needed(build):
    try:
        given = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # builtins have none
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in given if each.default is each.empty and each.kind not in kinds]


# ---- checkpoints ----

def checkpoint(path: str | pathlib.Path, trust: bool = False) -> nn.Module | dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name; nothing in the file is executed unless ``trust``.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote.
        trust: run what the file's pickle says; only then can it hold a whole module.

    Returns:
        The tensors, or with ``trust`` the module that the file holds, in evaluation mode.

    Raises:
        ValueError: no such file, a damaged one, one that needs trust, or one without tensors.
        ModuleNotFoundError: safetensors is not installed.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        refuse("checkpoint", str(path), "is not a file", "name a .safetensors file, or one that torch.save wrote")
    found = _safe(path) if path.suffix == ".safetensors" else _saved(path, trust)
    if isinstance(found, nn.Module):
        return found.eval()
    if isinstance(found, Mapping):
        found = next((found[key] for key in ("state_dict", "model_state_dict", "model") if isinstance(found.get(key), Mapping)),
                     found)
    tensors = {str(name): each for name, each in found.items() if isinstance(each, torch.Tensor)} if (
        isinstance(found, Mapping)) else {}
    if not tensors:
        refuse("checkpoint", str(path), "holds no tensors by name", "save model.state_dict()")
    return tensors


def _safe(path):
    _doors.demand("deepatoms report --checkpoint", "safetensors", "safetensors")
    import safetensors
    from safetensors.torch import load_file
    try:
        return load_file(path)
    except safetensors.SafetensorError as error:
        refuse("checkpoint", str(path), f"is no whole safetensors file ({error})", "save it again, or download it again")


def _saved(path, trust):
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError:
        refuse("checkpoint", str(path), "holds more than tensors, and loading it would run what it says",
               "save model.state_dict(), or add --trust if you know who made it")
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        refuse("checkpoint", str(path), f"cannot be read ({_first(error)})",
               "save it again with torch.save(model.state_dict(), path)")


def _first(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def filled(model: nn.Module, tensors: Mapping[str, torch.Tensor], place: str = "checkpoint") -> nn.Module:
    """Return the model with the checkpoint's tensors, every one of them, in evaluation mode.

    Raises:
        ValueError: names or shapes that differ; the message names them.
    """
    bare = _without_prefix(tensors, model.state_dict())
    own = model.state_dict()
    shapes = [f"{name}: {tuple(bare[name].shape)}, the model's {tuple(own[name].shape)}"
              for name in own if name in bare and bare[name].shape != own[name].shape]
    for fault, names in (("lacks", own.keys() - bare.keys()), ("has besides", bare.keys() - own.keys()),
                         ("has another shape of", shapes)):
        if names:
            refuse("checkpoint", place, f"{fault} {_some(names)}", "name the function that builds the network it was saved from")
    model.load_state_dict(bare)
    return model.eval()


def _without_prefix(tensors, own):
    """Take off what wrappers put before every name, where only then the names are the model's."""
    for prefix in ("module.", "_orig_mod.", "model."):
        if own.keys() == {name.removeprefix(prefix) for name in tensors}:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return dict(tensors)


def _some(names: Iterable[str], most: int = 4) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Layers(nn.Module):
    """The layers of a checkpoint without the network: each can be looked at, nothing passes through."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        super().__init__()
        for name in sorted(tensors, key=lambda each: each.count(".")):  # a layer before those that it holds
            weight = tensors[name]
            if name.rpartition(".")[2] == "weight" and weight.dim() in LAYERS and weight.is_floating_point():
                self._place(name.split(".")[:-1] or ["layer"], weight, tensors.get(name.removesuffix("weight") + "bias"))

    def _place(self, names, weight, bias):
        size = {"kernel_size": tuple(weight.shape[2:])} if weight.dim() > 2 else {}
        layer = LAYERS[weight.dim()](weight.shape[1], weight.shape[0], bias=bias is not None, device="meta", **size)
        layer.weight = nn.Parameter(weight.float())
        if bias is not None:
            layer.bias = nn.Parameter(bias.float())
        place = self
        for name in names[:-1]:
            place = place._modules.setdefault(name, nn.Module())
        place._modules[names[-1]] = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Refuse: a checkpoint does not say how its layers are joined."""
        refuse("checkpoint", list(self._modules), "has weights and no network",
               "name the function that builds it as well: --checkpoint weights.safetensors model.py:build")


named(__name__)
