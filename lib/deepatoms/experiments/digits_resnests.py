"""The authors' four variants on digits: twenty paired seeds, the reduced form of their CIFAR tables."""

import torch
from torch.nn.functional import cross_entropy

from deepatoms.experiments import datasets, results
from deepatoms.experiments.networks import wide_residual
from deepatoms.experiments.training import accuracy, seeded

SETTING = {"blocks": 4, "width": 4, "training": 400, "epochs": 20, "rate": 0.1, "batch": 64}
CONFIGURATIONS = [{"seed": seed, **SETTING} for seed in range(20)]


@results.experiment("digits-resnests", CONFIGURATIONS, minutes=5,
                    claims=("nest.tab_bn", "nest.tab_augmented", "nest.tab_standard"),
                    title="Four variants of a residual network on digits, paired seeds")
def variants(configuration, device):
    """Return each variant's test accuracy, trained on the same split in the same order."""
    train, test = (datasets.load("digits", split, configuration["seed"], training=configuration["training"])
                   for split in ("train", "test"))
    return {variant: accuracy(trained(variant, train, configuration, device), test.images, test.labels)
            for variant in wide_residual.VARIANTS}


def trained(variant, data, configuration, device="cpu"):
    """Return one variant trained by SGD: Nesterov momentum, cosine, weight decay, as in the authors' scripts."""
    model = build(variant, configuration).to(device)
    images, labels = data.images.to(device), data.labels.to(device)
    descent = torch.optim.SGD(model.parameters(), lr=configuration["rate"], momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, configuration["epochs"])
    order = torch.Generator().manual_seed(configuration["seed"])
    for _ in range(configuration["epochs"]):
        for batch in torch.randperm(len(images), generator=order).to(device).split(configuration["batch"]):
            descent.zero_grad()
            cross_entropy(model(images[batch]), labels[batch]).backward()
            descent.step()
        schedule.step()
    return model.eval()


def build(variant, configuration):
    """Return an untrained network of two stages for digits."""
    width, blocks = configuration["width"], configuration["blocks"]
    return seeded(wide_residual.WideResidual, configuration["seed"], widths=(width, 2 * width), blocks=(blocks, blocks),
                  variant=variant, channels=1)
