"""Networks as plain data, for programs that are not torch: the page computes with what stands here."""

import base64
from typing import Any

import torch
from torch import nn

from deepatoms.learning.networks.convolutional import ResidualBlock, ResidualNetwork
from deepatoms.theory.arguments import refuse
from deepatoms.theory.signatures import named

Layer = dict[str, Any]


def as_layers(model: nn.Module) -> list[Layer]:
    """Return a network in evaluation mode as a list of layers: plain data, weights as base64 of little-endian float64.

    Batch norm is folded into the convolution before it. A layer is ``{"op": "conv" | "linear" | "relu" | "maxpool" | "avgpool"
    | "flatten", ...}``, or ``{"op": "sum", "branch": layers, "shortcut": layers}``.

    Args:
        model: of convolutions (stride 1, zero padding), batch norm after them, ReLU, 2 x 2 pooling, linear layers and
            residual blocks.

    Raises:
        TypeError: at a layer or an option that has no such form.

    >>> [layer["op"] for layer in as_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval())]
    ['conv', 'relu']
    """
    if model.training:
        refuse("model", type(model).__name__, "is in training mode", "call model.eval() first")
    if isinstance(model, ResidualNetwork):
        return [layer for part in (model.stem, *model.blocks, model.head) for layer in as_layers(part)]
    if isinstance(model, ResidualBlock):
        return [{"op": "sum", "branch": as_layers(model.branch), "shortcut": as_layers(model.shortcut)}]
    if not isinstance(model, nn.Sequential):
        return _one(model)
    made: list[Layer] = []
    for before, module in zip([None, *model], model, strict=False):
        if isinstance(module, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            made[-1] = _conv(before, module)
        else:
            made += as_layers(module)
    return made


def _one(module):
    if isinstance(module, nn.Identity):
        return []
    if isinstance(module, nn.Conv2d):
        return [_conv(module)]
    if isinstance(module, nn.Linear):
        return [_weighted("linear", module.weight, module.bias)]
    for kind, op in ((nn.ReLU, "relu"), (nn.Flatten, "flatten")):
        if type(module) is kind:
            return [{"op": op}]
    for kind, op in ((nn.MaxPool2d, "maxpool"), (nn.AvgPool2d, "avgpool")):
        if type(module) is kind and repr(module) == repr(kind(2)):
            return [{"op": op}]
    return refuse("model", module, "has no form as plain data",
                  "use Conv2d and BatchNorm2d, ReLU, MaxPool2d(2), AvgPool2d(2), Flatten, Linear, residual blocks", TypeError)


def _conv(module, norm=None):
    plain = nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size, padding=module.padding,
                      bias=module.bias is not None)
    if repr(module) != repr(plain) or isinstance(module.padding, str):
        refuse("model", module, "has a stride, dilation, groups or a padding of its own", "use a plain convolution", TypeError)
    weight, bias = module.weight.double(), None if module.bias is None else module.bias.double()
    if norm is not None:
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        shift = norm.bias.double() - norm.running_mean.double() * scale
        weight, bias = weight * scale[:, None, None, None], shift + (0 if bias is None else bias * scale)
    return _weighted("conv", weight, bias) | {"padding": module.padding[0]}


def _weighted(op, weight, bias):
    bias = torch.zeros(len(weight)) if bias is None else bias
    return {"op": op, "shape": list(weight.shape), "weight": encoded(weight), "bias": encoded(bias)}


def encoded(values: torch.Tensor) -> str:
    """Return numbers as base64 of little-endian float64.

    >>> encoded(torch.tensor([1.0]))
    'AAAAAAAA8D8='
    """
    return base64.b64encode(values.detach().cpu().double().numpy().astype("<f8").tobytes()).decode()


named(__name__)
