"""The bare functions take the very steps of torch's optimizers."""

import torch

from deepatoms.learning import optimizers


def weights():
    """A convolution's weights, whose gradients torch may lay out otherwise, and a vector."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in ((4, 3, 3, 3), (5,))]


def loss(parts):
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=torch.channels_last)
    return torch.nn.functional.conv2d(images, parts[0]).square().sum() + parts[1].cosh().sum()


def by_torch(make, rates):
    parts = weights()
    optimizer = make(parts)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss(parts).backward()
        optimizer.step()
    return parts


def test_adam():
    parts = weights()
    descent = optimizers.Adam(parts)
    for _ in range(5):
        descent.step(loss(parts), 0.01)
    for ours, theirs in zip(parts, by_torch(lambda parts: torch.optim.Adam(parts, fused=True), [0.01] * 5), strict=True):
        assert torch.equal(ours, theirs)  # promised: both call the same function on the same numbers


def test_sgd():
    parts, rates = weights(), [0.01, 0.005, 0.002]
    descent = optimizers.SGD(parts, momentum=0.9, weight_decay=0.1)
    for rate in rates:
        descent.step(loss(parts), rate)
    expected = by_torch(lambda parts: torch.optim.SGD(parts, momentum=0.9, nesterov=True, weight_decay=0.1), rates)
    for ours, theirs in zip(parts, expected, strict=True):
        assert torch.equal(ours, theirs)  # promised: both call the same function on the same numbers
