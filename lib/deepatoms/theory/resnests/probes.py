"""Linear probes after every block of any residual network: where could this network be cut?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deepatoms.theory import arguments
from deepatoms.theory.resnests import augmented
from deepatoms.theory.signatures import named

Pair = tuple[torch.Tensor, torch.Tensor]
SHORTCUTS = ("shortcut", "downsample", "skip")


@dataclass(frozen=True)
class BlockRisk:
    """The risk of the best linear map (with intercept) from one representation: on its training data, and held out."""

    name: str
    training: float
    held_out: float | None
    accuracy: float | None


def block_risks(model: torch.nn.Module, data: Pair, held_out: Pair | None = None,
                blocks: Sequence[str] | None = None) -> list[BlockRisk]:
    r"""Return the risk of a linear probe on the input and after every residual block of a network.

    Representations with spatial axes are averaged over them. The probe is fitted by least squares on ``data``; integer
    labels become indicator targets. The theory speaks of the training risk only; the held-out risk stands beside it.

    Args:
        model: a torch module; put in evaluation mode for the time of the call.
        data: pair (x, y) that fits the probes: inputs of shape (samples, ...), integer labels or real targets.
        held_out: pair (x, y) on which they are measured too.
        blocks: names of the modules to probe; unless given, all modules with an attribute ``shortcut``, ``downsample``
            or ``skip``, or the blocks of a model with ``representations``.

    Returns:
        A list of ``BlockRisk``, the first for the input; ``accuracy`` is the held-out one, for labels.

    Raises:
        ValueError: when the network has no residual blocks, or x and y differ in length.

    Source:
        Linear probes (Alain and Bengio, 2016); the linear predictors of the ResNEst paper, block by block.

    >>> from deepatoms.theory.resnests import random_resnest
    >>> net = random_resnest(3, 1, [2, 2], 9, torch.Generator().manual_seed(0))
    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    >>> [risk.name for risk in block_risks(net, (x, x[:, :1] ** 2))]
    ['input', 'x_0', 'x_1', 'x_2']
    """
    if not isinstance(model, torch.nn.Module):
        arguments.refuse("model", type(model).__name__, "is not a torch module", "pass a torch.nn.Module", TypeError)
    pairs = [_pair("data", data), *([_pair("held_out", held_out)] if held_out is not None else [])]
    classes = 1 + max(int(y.max()) for _, y in pairs) if not pairs[0][1].is_floating_point() else None
    traces = [_trace(model, x, blocks) for x, _ in pairs]
    return [_probe(name, [trace[name] for trace in traces], [y for _, y in pairs], classes) for name in traces[0]]


def _pair(name, pair):
    x, y = pair
    if len(x) != len(y):
        arguments.refuse(name, (len(x), len(y)), "are the numbers of inputs and targets, which differ",
                         "pass one target an input")
    return arguments.real_array(f"{name}[0]", x), y


def _probe(name, representations, targets, classes):
    fitted, *others = [torch.cat([z, torch.ones_like(z[:, :1])], 1) for z in representations]
    wanted, *measured = [_targets(y, classes, fitted) for y in targets]
    heads = augmented.least_squares(fitted, wanted)
    training = float(((fitted @ heads - wanted) ** 2).sum(1).mean())
    if not others:
        return BlockRisk(name, training, None, None)
    prediction = others[0] @ heads
    accuracy = None if classes is None else float((prediction.argmax(1) == targets[1]).double().mean())
    return BlockRisk(name, training, float(((prediction - measured[0]) ** 2).sum(1).mean()), accuracy)


def _targets(y, classes, like):
    if classes is not None:
        return torch.nn.functional.one_hot(y.long(), classes).to(like)
    return y.to(like).reshape(len(y), -1)


@torch.no_grad()
def _trace(model, x, names):
    if names is None and hasattr(model, "representations"):
        states = model.representations(x)
        return {"input": _pooled(x), **{f"x_{i}": _pooled(state) for i, state in enumerate(states)}}
    modules = dict(model.named_modules())
    names = [name for name, module in modules.items() if any(hasattr(module, word) for word in SHORTCUTS)] \
        if names is None else names
    if not names or not set(names) <= set(modules):
        arguments.refuse("model" if not names else "blocks", type(model).__name__ if not names else names,
                         f"has no residual blocks (modules with an attribute {', '.join(SHORTCUTS)})" if not names else
                         "names modules that the model does not have", "pass blocks=[names of modules to probe]")
    found = {"input": _pooled(x)}
    hooks = [modules[name].register_forward_hook(
        lambda module, inputs, output, name=name: found.__setitem__(name, _pooled(output))) for name in names]
    training = model.training
    try:
        model.eval()(x)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _pooled(z):
    return (z.flatten(2).mean(2) if z.ndim > 2 else z).detach().double()

named(__name__)
