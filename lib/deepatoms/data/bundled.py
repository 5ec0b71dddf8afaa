"""The sets that come with scikit-learn: handwritten digits, and patches of its two photographs."""

import functools

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images

from deepatoms.data.images import Images
from deepatoms.theory.arguments import integer, refuse

PATCH = 32
TRAINING = {"digits": 1300, "photographs": 390}


def _digits():
    found = load_digits()
    return found.images[:, None].astype(np.uint8), found.target, tuple(map(str, range(10))), 16


def _photographs():
    """Cut both photographs into patches that do not overlap, so that no test pixel is seen in training."""
    found = load_sample_images()
    patches = [_patches(photograph) for photograph in found.images]
    labels = np.repeat(np.arange(len(patches)), [len(part) for part in patches])
    names = tuple(name.rsplit("/")[-1].removesuffix(".jpg") for name in found.filenames)
    return np.concatenate(patches), labels, names, 255


def _patches(photograph):
    rows, columns = (size // PATCH for size in photograph.shape[:2])
    whole = photograph[:rows * PATCH, :columns * PATCH].reshape(rows, PATCH, columns, PATCH, 3)
    return np.ascontiguousarray(whole.transpose(0, 2, 4, 1, 3).reshape(-1, 3, PATCH, PATCH))


READERS = {"digits": _digits, "photographs": _photographs}


@functools.cache
def _all(name):
    return READERS[name]()


def read(name: str, split: str, seed: int, training: int | None) -> Images:
    """Return a split drawn at random: the first ``training`` of a permutation to train, the others to test.

    Args:
        name: one of ``READERS``.
        split: ``"train"`` or ``"test"``.
        seed: of the permutation.
        training: number of images to train; None for that of ``TRAINING``.

    Raises:
        ValueError: no image is left to test.
    """
    pixels, labels, class_names, scale = _all(name)
    training = TRAINING[name] if training is None else integer("training", training)
    if training >= len(labels):
        refuse("training", training, f"leaves no image of {name} to test", f"pass a number below {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = order[:training] if split == "train" else order[training:]
    return Images(name, split, torch.from_numpy(pixels[chosen]), torch.from_numpy(labels[chosen].astype(np.int64)),
                  class_names, scale)
