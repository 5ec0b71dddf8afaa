"""Loading CIFAR-10 from DEEPATOMS_DATA beside numpy's time to read the same bytes; prints both and their ratio.

The first load ever of a file compares its md5; later ones, in any process, recognise it by inode, size and change time.
"""

import time

import numpy as np

from deepatoms import data
from deepatoms.data import files, official


def seconds(function, repeats=7):
    """Return the best wall time of some calls."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        found.append(time.perf_counter() - started)
    return min(found)


def main():
    paths = [files.locate(file) for file in official.FILES["cifar10", "train"]]
    first = seconds(lambda: data.load("cifar10"), 1)
    numpy = seconds(lambda: [np.fromfile(path, np.uint8) for path in paths])
    ours = seconds(lambda: data.load("cifar10"))
    print(f"numpy {numpy:.3f} s, load {ours:.3f} s ({ours / numpy:.2f} x), first load of this process {first:.3f} s")


if __name__ == "__main__":
    main()
