"""What one evaluation of the frame potential costs, beside the explicit Gram matrix and a training step of the same network.

    python benchmarks/frame_potential.py

CPU time, the least of several repetitions: run it with OMP_NUM_THREADS=1. Nobody else evaluates the
deep frame potential (we found no released code), so the peers are the explicit Gram product and a step of training.
"""

import resource
import time

import torch
import torch.nn.functional as nn

from deepatoms.theory import dictionaries, frame_potential, induced


def least(function, repetitions=5):
    """Return the least CPU time of a function in seconds, after one call to warm up."""
    function()
    times = []
    for _ in range(repetitions):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def evaluation(net):
    """Return a function that evaluates the energy with its gradient, in float32."""
    weights = [weight.float().requires_grad_() for weight in net.init(0)]
    return lambda: torch.autograd.grad(frame_potential.energy(net, weights), weights)


def training_step(net, batch=8):
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


def main():
    """Print one line a question."""
    net = induced.cifar("resnet", 5, 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours = least(evaluation(net))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    theirs = least(training_step(net))
    print(f"ResNet n = 5, width 16, {net.atoms:,} atoms: evaluation with gradient {ours * 1e3:.0f} ms, training step of 8 images "
          f"{theirs * 1e3:.0f} ms, ratio {ours / theirs:.2f}, memory {more:.0f} MB more")
    small = induced.cifar("resnet", 1, 1, image=20)
    weights = small.init(0)
    explicit = least(lambda: dictionaries.frame_energy(small.dictionary(weights)), 2)
    local = least(lambda: frame_potential.energy(small, weights))
    print(f"{small.atoms} atoms: explicit Gram {explicit:.3f} s, local {local * 1e3:.1f} ms, {explicit / local:.0f} x faster")
    sizes = [least(evaluation(induced.cifar("resnet", 2, 4, image=image))) for image in (32, 64)]
    print(f"64 x 64 against 32 x 32: {sizes[1] / sizes[0]:.2f} x the time")
    dense = {layers: least(evaluation(induced.cifar("densenet", layers=layers, growth=4))) for layers in (4, 6)}
    print(f"dense nets: L = 6 takes {dense[6] / dense[4]:.2f} x the time of L = 4")


if __name__ == "__main__":
    main()
