"""Architecture benchmarks: accuracies of networks that others trained, beside scores that need no training.

From NASLib (Apache-2.0, github.com/automl/NASLib), which published them with NAS-Bench-Suite-Zero (Krishnakumar et al.,
2022) for NAS-Bench-201 (Dong and Yang, 2020) and NAS-Bench-301 (Zela et al., 2022). The tables here keep the accuracies and
the scores that the book reads, to seven digits; ``derive`` makes them from the published files.
"""

import csv
import functools
import hashlib
import io
import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from deepatoms.data.files import DamagedFileError
from deepatoms.theory.arguments import one_of
from deepatoms.theory.signatures import named

SCORES = ("synflow", "nwot", "jacov")


@dataclass(frozen=True)
class Source:
    """A published file, and the table made from it: address, data sets, and the sha256 of either."""

    url: str
    sets: tuple[str, ...]
    published: str
    table: str


_NASLIB = "https://raw.githubusercontent.com/automl/NASLib/a06ba0e9931fcfd4605ddbddb6ed068eb58e58f1/naslib/data/"
SOURCES = {
    "nas201": Source(_NASLIB + "zc_nasbench201.json", ("cifar10", "cifar100", "ImageNet16-120"),
                     "5dcbbcd56812a9f62164a376bc7df4082ab3af612082b6d26a845930e6eb8641",
                     "c1b571a12648178e7d310c0aa8d37c81493ba5efe5bb0b846651d17fa1e69b43"),
    "nas301": Source(_NASLIB + "zc_nasbench301.json", ("cifar10",),
                     "537e9abd6f0b14fdffdfcb3c07b18a037647b5c80808b3b2cf9a51b1b491aba1",
                     "a48eb325fd0c957eebd73971cc3b12d7bd542cc1d2dae17cff4718ffb5d1211c"),
}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Networks that others trained: for each its architecture, and columns of numbers by name (NaN where none is given).

    Columns: ``params`` and ``flops`` (millions), and for each data set ``accuracy`` (validation, per cent), ``synflow``,
    ``nwot`` (NASWOT) and ``jacov``, as ``"cifar10 accuracy"``.
    """

    name: str
    architectures: tuple[str, ...]
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.architectures)


@functools.cache
def load(name: str) -> Benchmark:
    """Return a benchmark from the table that comes with the package.

    ======= ================================= ======== ==============================================================
    name    architecture                      networks data sets
    ======= ================================= ======== ==============================================================
    nas201  six operations, one for each edge 725      cifar10, cifar100, ImageNet16-120 (a few entries missing)
    nas301  two cells of the DARTS space      725      cifar10 (accuracies of a surrogate model)
    ======= ================================= ======== ==============================================================

    Args:
        name: "nas201" or "nas301".

    Raises:
        DamagedFileError: the table was altered.
        ValueError: an unknown name.

    >>> found = load("nas201")
    >>> found.architectures[0], float(found.columns["cifar10 accuracy"][0])
    ('(0, 2, 3, 2, 3, 1)', 86.06)
    """
    one_of("name", name, list(SOURCES))
    content = files("deepatoms.data").joinpath("tables", f"{name}.csv").read_bytes()
    return read(name, checked(content, SOURCES[name].table, f"{name}.csv", "install deepatoms again"))


def checked(content: bytes, sha256: str, name: str, remedy: str) -> str:
    """Return the text of a file that has the sha256 that it should have.

    Raises:
        DamagedFileError: it has another.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DamagedFileError(f"{name} ({len(content):,} bytes) was altered: expected sha256 {sha256}, found {found}; {remedy}")
    return content.decode()


def read(name: str, text: str) -> Benchmark:
    """Return the benchmark that the text of a table holds."""
    header, *rows = csv.reader(io.StringIO(text))
    numbers = np.array([[float(entry or "nan") for entry in row[1:]] for row in rows])
    return Benchmark(name, tuple(row[0] for row in rows), dict(zip(header[1:], numbers.T, strict=True)))


def derive(name: str, content: bytes) -> str:
    """Return the table of a benchmark, made from the bytes of the published file (``SOURCES[name].url``).

    Args:
        name: "nas201" or "nas301".
        content: the file as published.

    Raises:
        DamagedFileError: the file is not the published one.
    """
    source = SOURCES[name]
    published = json.loads(checked(content, source.published, source.url, "download it again"))
    columns = [f"{each} {column}" for each in source.sets for column in ("accuracy", *SCORES)]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["architecture", "params", "flops", *columns])
    for architecture, first in published[source.sets[0]].items():
        row = [first[size]["score"] for size in ("params", "flops")]
        row += [entry for each in source.sets for entry in _scores(published[each].get(architecture))]
        writer.writerow([architecture, *(entry if entry == "" else f"{entry:.7g}" for entry in row)])
    return lines.getvalue()


def _scores(entry):
    """Accuracy and scores of a network on a data set; blanks for what is missing, a score or the whole network."""
    if entry is None:
        return [""] * (1 + len(SCORES))
    return [entry["val_accuracy"], *(entry.get(score, {"score": ""})["score"] for score in SCORES)]


named(__name__)
