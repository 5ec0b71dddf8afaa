"""All templates of a batch, five ways: time in forward passes and memory, each in a process of its own."""

import torch

from benchmarks import resnet18
from benchmarks.costs import fresh, least, peak
from deepatoms.learning import networks, training
from deepatoms.runs import results
from deepatoms.theory import splines

# A batch of digits under the authors' small CNN, and one photograph under ResNet-18.
NETWORKS = {"small CNN": (256, (1, 28, 28)), "ResNet-18": (1, (3, 224, 224))}


def ours(model, x):
    """One backward pass for each class, of the output summed over the batch, with everything affine_map checks."""
    return splines.affine_map(model, x)[0]


def vmap_jacrev(model, x):
    """The usual recipe: a Jacobian for each sample, vectorised over samples."""
    return torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)


def jacrev_of_the_sum(model, x):
    """jacrev of the output summed over the batch."""
    return torch.func.jacrev(lambda batch: model(batch).sum(0))(x)


def jacrev_in_chunks(model, x):
    """The same, one output at a time."""
    return torch.func.jacrev(lambda batch: model(batch).sum(0), chunk_size=1)(x)


def batched_gradients(model, x):
    """torch.autograd.grad with is_grads_batched."""
    x = x.requires_grad_()
    total = model(x).sum(0)
    return torch.autograd.grad(total, x, torch.eye(len(total)), is_grads_batched=True)[0]


WAYS = {"ours": ours, "vmap(jacrev)": vmap_jacrev, "jacrev of the sum": jacrev_of_the_sum,
        "jacrev of the sum, chunk_size=1": jacrev_in_chunks, "is_grads_batched": batched_gradients}


@results.experiment("template-speed", [{"network": name, "samples": samples, "shape": list(shape), "threads": 1}
                                       for name, (samples, shape) in NETWORKS.items()], minutes=8,
                    title="Time and memory of all templates of a batch")
def template_speed(configuration, device):
    """Time every way in fresh processes, so that peak memory is its own; CPU seconds, best of three times five."""
    network = configuration["network"]
    turns = [{way: fresh("templates", network, way) for way in WAYS} for _ in range(3)]
    return {network: {way: min((turn[way] for turn in turns), key=lambda found: found["seconds"]) for way in WAYS}}


def main(network, way):
    """Return time (in CPU seconds and in forward passes) and peak memory above the start of one way."""
    torch.set_num_threads(1)
    samples, shape = NETWORKS[network]
    model = made(network, shape)
    x = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (forward,) = least(lambda: model(x), rounds=8)
    WAYS[way](model, x[:2, :, :64, :64].clone())  # to warm up; a part of a photograph, whose memory is not to count before
    start = peak()
    (seconds,) = least(lambda: WAYS[way](model, x.clone()))
    return {"seconds": seconds, "forward_passes": seconds / forward, "mebibytes": peak() - start,
            "work": samples, "unit": "samples"}


def made(network, shape):
    """Return a network in evaluation mode and single precision, with ten outputs."""
    if network == "ResNet-18":
        return resnet18.resnet18().float()
    return training.seeded(networks.small_cnn, 0, shape=shape, batch_norm=False).eval().requires_grad_(False)
