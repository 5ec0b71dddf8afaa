"""The authors' own files: idx (MNIST), the binary version (CIFAR), MATLAB 5 (SVHN). Never pickle."""

import io

import numpy as np
import scipy.io
import torch

from deepatoms.data import files
from deepatoms.data.files import File
from deepatoms.data.images import Images

DIGITS = tuple(map(str, range(10)))
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = tuple("""
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
""".split())

_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/{}", "http://yann.lecun.com/exdb/mnist/{}")
_SVHN = ("http://ufldl.stanford.edu/housenumbers/{}",)
_CIFAR10 = File("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "",
                ("https://www.cs.toronto.edu/~kriz/{}",))
_CIFAR100 = File("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "",
                 ("https://www.cs.toronto.edu/~kriz/{}",))


def _mnist_file(name, md5):
    return File(name, md5, "mnist", _MNIST)


def _cifar10_file(name, md5):
    return File(name, md5, "cifar-10-batches-bin", archive=_CIFAR10)


def _cifar100_file(name, md5):
    return File(name, md5, "cifar-100-binary", archive=_CIFAR100)


FILES = {
    ("mnist", "train"): (_mnist_file("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                         _mnist_file("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432")),
    ("mnist", "test"): (_mnist_file("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
                        _mnist_file("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c")),
    ("cifar10", "train"): (_cifar10_file("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
                           _cifar10_file("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
                           _cifar10_file("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
                           _cifar10_file("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
                           _cifar10_file("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d")),
    ("cifar10", "test"): (_cifar10_file("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),),
    ("cifar100", "train"): (_cifar100_file("train.bin", "6172c7755cfe09b2fe270c85cebc1b15"),),
    ("cifar100", "test"): (_cifar100_file("test.bin", "4499cfba6c016c1be1438163640a0898"),),
    ("svhn", "train"): (File("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", "svhn", _SVHN),),
    ("svhn", "test"): (File("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", "svhn", _SVHN),),
}


def _idx(content):
    """Return the array of an idx file: two zero bytes, type 8, rank, big-endian sizes, then one byte an entry."""
    rank = content[3]
    sizes = np.frombuffer(content, ">i4", rank, offset=4)
    return np.frombuffer(bytearray(content), np.uint8, offset=4 + 4 * rank).reshape(sizes)


def _mnist(found):
    images, labels = (_idx(files.gunzip(content)) for content in files.read(found))
    return images[:, None], labels, DIGITS


def _cifar(found, label_bytes, names):
    """Split records of label bytes (coarse before fine) and three planes of 32 x 32; the pixels are a view."""
    records = files.read_joined(found).reshape(-1, label_bytes + 3072)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), records[:, label_bytes - 1], names


def _svhn(found):
    """Read a MATLAB file of X (rows, columns, channels, N) and y, in which 10 stands for the digit 0."""
    content = scipy.io.loadmat(io.BytesIO(files.read(found)[0]), variable_names=("X", "y"))
    return np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1)), content["y"].ravel() % 10, DIGITS


READERS = {"mnist": _mnist, "cifar10": lambda found: _cifar(found, 1, CIFAR10),
           "cifar100": lambda found: _cifar(found, 2, CIFAR100), "svhn": _svhn}


def read(name: str, split: str) -> Images:
    """Return one split as its authors published it.

    Raises:
        DamagedFileError: a file does not have its published md5.
        DownloadError: a file is nowhere and could not be downloaded.
    """
    pixels, labels, class_names = READERS[name](FILES[name, split])
    return Images(name, split, torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)), class_names, 255)
