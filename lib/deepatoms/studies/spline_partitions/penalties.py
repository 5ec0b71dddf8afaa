"""Figure 3 on digits: what orthogonality penalties do to accuracy, seed by seed against the same net without."""

import torch
from torch.nn.utils import parametrizations, parametrize

from deepatoms import data
from deepatoms.learning import ensembles, networks, training
from deepatoms.runs import results
from deepatoms.studies.spline_partitions.recipes import named
from deepatoms.theory import orthogonality

NAME = "orthogonal-penalties"
SEEDS = 15
TRAINING = 300
RECIPE = training.Recipe(epochs=25, learning_rate=0.003, batch_size=50)
HARD = "orthogonal rows"
ARMS = [("none", 0.0), ("Eq. 13", 0.1), ("Eq. 13", 1.0), ("Eq. 13 / C^2", 1.0), ("authors' code", 1.0), ("norms only", 1.0),
        (HARD, 0.0)]
UNNAMED = {"epochs": 25, "learning_rate": 0.003, "batch_size": 50}


def configurations(recipe):
    """Return a configuration for each arm; a recipe that is not that of the records stands in it."""
    told = {name: getattr(recipe, name) for name in UNNAMED}
    return [named({"penalty": name, "lambda": strength, "training": TRAINING, "seeds": SEEDS}, told, UNNAMED)
            for name, strength in ARMS]


@results.experiment(NAME, configurations(RECIPE), minutes=4, claims=("spl.fig3a", "spl.overfit"),
                    title="Figure 3 on digits: paired seeds under every penalty and under a hard constraint")
def recorded(configuration, device):
    """Train fifteen digits nets with batch norm; return each one's accuracies and mean absolute cosine of its rows."""
    sets = [[data.load("digits", split, seed, training=configuration["training"]) for split in data.SPLITS]
            for seed in range(configuration["seeds"])]
    train = _hard if configuration["penalty"] == HARD else _soft
    models = train([learning for learning, _ in sets], configuration, device)
    rows = [float(orthogonality.cosines(model[-1].weight.detach()).mean()) for model in models]
    shares = [ensembles.accuracy(models, *_stacked(part, device)).tolist() for part in zip(*sets, strict=True)]
    return [dict(zip(("train", "test", "rows"), one, strict=True)) for one in zip(*shares, rows, strict=True)]


def _stacked(sets, device):
    """Return images and labels of several sets, each stacked along a new first axis."""
    return [torch.stack([getattr(each, name) for each in sets]).to(device) for name in ("images", "labels")]


def _soft(sets, configuration, device):
    models = [training.seeded(networks.digits_cnn, seed).to(device) for seed in range(len(sets))]
    images, labels = _stacked(sets, device)
    classifier = [name for name, _ in models[0].named_parameters()][-1]
    measure, strength = orthogonality.PENALTIES.get(configuration["penalty"]), configuration["lambda"]
    penalty = None if measure is None else lambda weights: strength * measure(weights[classifier]).sum()
    return training.train(models, images, labels, RECIPE, penalty=penalty)


def _hard(sets, configuration, device):
    """Train one by one: torch's parametrisation does not stack."""
    return [hard_constrained(learning, RECIPE, seed, device) for seed, learning in enumerate(sets)]


def hard_constrained(learning, recipe, seed, device):
    """Return a digits net trained with the rows of its last layer held orthonormal by torch's parametrisation."""
    model = training.seeded(_constrained, seed).to(device)
    model = training.train_one(model, learning.images.to(device), learning.labels.to(device), recipe, seed)
    parametrize.remove_parametrizations(model[-1], "weight")
    return model


def _constrained():
    model = networks.digits_cnn()
    parametrizations.orthogonal(model[-1])
    return model


def paired(records, measure):
    """Return, for each arm but the first, its name and the paired differences to the first, in points."""
    by_arm = {(record["configuration"]["penalty"], record["configuration"]["lambda"]): record["result"] for record in records}
    plain = [measure(net) for net in by_arm["none", 0.0]]
    return [(name, strength, [100 * (measure(net) - before) for net, before in zip(by_arm[name, strength], plain, strict=True)])
            for name, strength in ARMS[1:] if (name, strength) in by_arm]
