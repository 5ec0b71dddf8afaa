"""Fig. 4: fully connected networks trained on CIFAR-10, with and without the frame potential in the loss.

The paper states no recipe and no weight of the regulariser; ours stands in each configuration. Its "validation" images
are taken to be the 10,000 test images.
"""

import torch
from torch import nn

from deepatoms import data
from deepatoms.learning.training import Recipe, seeded, train
from deepatoms.runs import results
from deepatoms.theory import frame_potential, induced
from deepatoms.theory.frame_potential.chains import pair_count, synthesis_energy

NAME, NAME_WIDE = "frame-potential-fully-connected", "frame-potential-fully-connected-wide"
CLAIMS = ("dfp.fig4a", "dfp.fig4b")
INPUT = 3072
# Hidden widths as multiples of the first width a: three to five layers with the classifier.
SHAPES = ((1, 2), (1, 2, 4), (1, 2, 4, 8), (2, 1, 2), (1, 1), (1, 1, 1))
WIDTHS, WIDE = (16, 32, 64, 128), (256, 512)
RECIPE = {"data": "cifar10", "images": 50_000, "normalisation": "centred", "optimizer": "Adam", "learning_rate": 0.001,
          "batch_size": 128, "epochs": 20, "seeds": [0, 1, 2, 3, 4]}
# F^2 is added to the loss with this weight; 0 leaves it out.
WEIGHTS = (0.0, 1.0)


def configurations(widths):
    """Return the networks of the figure of these first widths, narrow ones first, each without and with the regulariser."""
    return [{"hidden": [width * factor for factor in shape], "regularisation": weight, **RECIPE}
            for width in widths for shape in SHAPES for weight in WEIGHTS]


def network(hidden, classes=10):
    """Return a fully connected ReLU network on flattened images.

    >>> sum(isinstance(layer, nn.Linear) for layer in network([16, 32]))
    3
    """
    widths = [INPUT, *hidden]
    layers = [layer for pair in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def squared_potential(parameters, hidden):
    """Return the sum over the members of F^2 of their hidden layers' dictionary (the classifier left out).

    Args:
        parameters: the members' parameters by name, stacked along a first axis.
        hidden: widths of the hidden layers.
    """
    weights = [parameters[f"{2 * layer}.weight"] for layer in range(len(hidden))]
    return synthesis_energy(weights).sum() / pair_count([INPUT, *hidden])


def standing(hidden):
    """Return what a network's architecture says without data: F's minimum in closed form, parameters, depth."""
    net = induced.chain([INPUT, *hidden])
    parameters = sum(weight.numel() for weight in network(hidden).parameters())
    return {"potential": frame_potential.chain_minimum([INPUT, *hidden])[1], "parameters": parameters, "layers": net.depth + 1}


def measure(configuration, device):
    """Train one network from every seed side by side; return test and training errors (in %), and F reached."""
    hidden, weight, seeds = configuration["hidden"], configuration["regularisation"], configuration["seeds"]
    training, test = (data.load(configuration["data"], split, normalisation=configuration["normalisation"])
                      for split in ("train", "test"))
    chosen = slice(0, configuration["images"])
    images, labels = training.images[chosen].flatten(1).to(device), training.labels[chosen].to(device)
    nets = [seeded(network, seed, hidden=hidden).to(device) for seed in seeds]
    recipe = Recipe(configuration["epochs"], configuration["learning_rate"], configuration["batch_size"])
    penalty = (lambda parameters: weight * squared_potential(parameters, hidden)) if weight else None
    trained = train(nets, images.expand(len(seeds), -1, -1), labels.expand(len(seeds), -1), recipe, seeds, penalty)
    return {**standing(hidden), "test_errors": errors(trained, test.images.flatten(1).to(device), test.labels.to(device)),
            "train_errors": errors(trained, images, labels),
            "reached": [reached(net, hidden) for net in trained]}


def reached(net, hidden):
    """Return F of a network's own weights."""
    return squared_potential({name: value[None] for name, value in net.named_parameters()}, hidden).item() ** 0.5


@torch.no_grad()
def errors(nets, images, labels):
    """Return each network's share of wrong answers, in per cent."""
    return [100 * float((net(images).argmax(1) != labels).float().mean()) for net in nets]


measured = results.experiment(NAME, configurations(WIDTHS), minutes=70, claims=CLAIMS,
                              title="Fig. 4: fully connected networks on CIFAR-10, plain and regularised")(measure)
measured_wide = results.experiment(NAME_WIDE, configurations(WIDE), minutes=500, claims=CLAIMS,
                                   title="Fig. 4: the two largest widths")(measure)
