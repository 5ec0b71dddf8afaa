"""What one evaluation of the deep frame potential costs, beside the explicit Gram matrix and a training step of the same net.

Nobody else evaluates the deep frame potential (we found no released code), so the peers are the explicit product and training.
"""

import json
import subprocess
import sys

import torch
import torch.nn.functional as nn

from deepatoms.runs import results
from deepatoms.runs.costs import least, peak
from deepatoms.theory import dictionaries, frame_potential, induced


@results.experiment("potential-speed", [{"blocks": 5, "width": 16, "batch": 8, "threads": 1}], minutes=1,
                    title="Cost of an evaluation of the deep frame potential")
def potential_speed(configuration, device):
    """Measure everything in a fresh process, so that peak memory is its own; least CPU seconds of several calls."""
    call = [sys.executable, "-c", f"from deepatoms.experiments import potential_speed; potential_speed.main({configuration!r})"]
    return json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


def main(configuration):
    """Print atoms, seconds of every evaluation and of its peer, and memory above the start (MiB), as JSON."""
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
    dense = least(*(evaluation(induced.cifar("densenet", layers=layers, growth=4)) for layers in (4, 6)))
    print(json.dumps({"atoms": net.atoms, "evaluation": ours, "training_step": theirs, "mebibytes": more,
                      "small_atoms": small.atoms, "explicit": explicit, "local": local, "sizes": sizes, "dense": dense}))


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


def table(result):
    """Return the record as lines of text."""
    ours, theirs = result["evaluation"], result["training_step"]
    return "\n".join([
        f"{result['atoms']:,} atoms (ResNet): evaluation with gradient {1e3 * ours:.0f} ms, {result['mebibytes']:.0f} MiB;",
        f"    training step of the same net on 8 images {1e3 * theirs:.0f} ms (ratio {ours / theirs:.2f})",
        f"{result['small_atoms']:,} atoms: explicit Gram matrix {1e3 * result['explicit']:.0f} ms, local interactions "
        f"{1e3 * result['local']:.1f} ms ({result['explicit'] / result['local']:.0f} times faster)",
        f"64 x 64 against 32 x 32 pixels: {result['sizes'][1] / result['sizes'][0]:.2f} times the seconds",
        f"dense nets of 6 against 4 layers a group: {result['dense'][1] / result['dense'][0]:.2f} times the seconds"])
