"""What one evaluation of the deep frame potential costs, beside the explicit Gram matrix and a training step of the same net.

Nobody else evaluates the deep frame potential (we found no released code), so the peers are the explicit product and training.
"""

import torch
import torch.nn.functional as nn

from benchmarks.costs import fresh, least, peak
from deepatoms.runs import results
from deepatoms.theory import dictionaries, frame_potential, induced


@results.experiment("potential-speed", [{"blocks": 5, "width": 16, "batch": 8, "threads": 1}], minutes=1,
                    title="Cost of an evaluation of the deep frame potential")
def potential_speed(configuration, device):
    """Measure everything in a fresh process, so that peak memory is its own; least CPU seconds of several calls."""
    return fresh("frame_potential", configuration)


def main(configuration):
    """Return seconds and work of every evaluation and of its peer, and memory above the start (MiB)."""
    torch.set_num_threads(configuration["threads"])
    net = induced.cifar("resnet", configuration["blocks"], configuration["width"])
    before = peak()
    (ours,) = least(evaluation(net))
    more = peak() - before
    (theirs,) = least(training_step(net, configuration["batch"]))
    small = induced.cifar("resnet", 1, 1, image=20)
    weights = small.init(0)
    explicit, local = least(lambda: dictionaries.frame_energy(small.dictionary(weights)),
                            lambda: frame_potential.energy(small, weights), rounds=3)
    sizes = least(*(evaluation(induced.cifar("resnet", 2, 4, image=image)) for image in (32, 64)), rounds=15)
    dense = least(*(evaluation(induced.densenet(layers=layers, growth=4)) for layers in (4, 6)))
    return {"one net": {"ours, energy with gradient": {**_row(ours, net.atoms, "atoms"), "mebibytes": more},
                        "training step": _row(theirs, configuration["batch"], "images")},
            "small net": {"ours, local interactions": _row(local, small.atoms, "atoms"),
                          "explicit Gram matrix": _row(explicit, small.atoms, "atoms")},
            "image": {name: _row(seconds, 1, "evaluation")
                      for name, seconds in zip(("ours, 32 x 32", "64 x 64"), sizes, strict=True)},
            "dense net": {name: _row(seconds, 1, "evaluation")
                          for name, seconds in zip(("ours, 4 layers a group", "6 layers a group"), dense, strict=True)}}


def _row(seconds, work, unit):
    return {"seconds": seconds, "work": work, "unit": unit}


def evaluation(net):
    """Return a function that evaluates the energy with its gradient, in float32."""
    weights = [weight.float().requires_grad_() for weight in net.init(0)]
    return lambda: torch.autograd.grad(frame_potential.energy(net, weights), weights)


def training_step(net, batch):
    """Return a function that takes forward and backward pass of the residual network itself on a batch of images."""
    weights = [weight.float().requires_grad_() for weight in net.init(0)]
    images, labels = torch.randn(batch, 3, net.image, net.image), torch.randint(10, (batch,))
    head = torch.randn(net.layers[-1].channels, 10, requires_grad=True)

    def step():
        signals = [images]
        for j, (weight, rule) in enumerate(zip(weights, net.weights, strict=True), 1):
            drive = nn.conv2d(signals[-1], weight, stride=rule.stride, padding=1)
            if j % 2 and j > 1:
                drive = drive + _skip(signals[j - 2], drive)
            signals.append(nn.relu(nn.batch_norm(drive, None, None, training=True)))
        loss = nn.cross_entropy(signals[-1].mean((2, 3)) @ head, labels)
        return torch.autograd.grad(loss, [*weights, head])
    return step


def _skip(signal, drive):
    if signal.shape == drive.shape:
        return signal
    more = (drive.shape[1] - signal.shape[1]) // 2
    return nn.pad(nn.avg_pool2d(signal, 2), (0, 0, 0, 0, more, more))
