"""The images the papers speak of, from their authors' files, and two small sets that come with scikit-learn."""

from deepatoms import _doors

_doors.demand("deepatoms.data", "data", "sklearn", "pooch", "requests", "filelock", "PIL")

from deepatoms.data import bundled, official
from deepatoms.data.files import DamagedFileError, DownloadError
from deepatoms.data.images import NORMALISATIONS, Images
from deepatoms.theory.arguments import integer, one_of, refuse
from deepatoms.theory.signatures import named

__all__ = ["NAMES", "NORMALISATIONS", "SPLITS", "DamagedFileError", "DownloadError", "Images", "load"]

NAMES = (*bundled.READERS, *official.READERS)
SPLITS = ("train", "test")


def load(name: str, split: str = "train", seed: int = 0, normalisation: str = "unit", training: int | None = None) -> Images:
    r"""Return one split of an image set; the same type for all of them.

    =========== ============================= ============== ==================
    name        images (channels, rows, cols) train, test    comes with
    =========== ============================= ============== ==================
    digits      (1, 8, 8)                     1,300, 497     scikit-learn
    photographs (3, 32, 32)                   390, 130       scikit-learn
    mnist       (1, 28, 28)                   60,000, 10,000 the authors' files
    cifar10     (3, 32, 32)                   50,000, 10,000 the authors' files
    cifar100    (3, 32, 32)                   50,000, 10,000 the authors' files
    svhn        (3, 32, 32)                   73,257, 26,032 the authors' files
    =========== ============================= ============== ==================

    The authors' files are looked for in the folder named by ``DEEPATOMS_DATA``, then in pooch's cache, and then
    downloaded into that cache; whatever is read is compared with its published md5 first.

    Args:
        name: One of the names above.
        split: ``"train"`` or ``"test"``: the authors' own split, or one drawn at random where they give none.
        seed: Seed of that draw (digits, photographs); without effect on the authors' own splits.
        normalisation: ``"unit"``: pixels in [0, 1]; ``"centred"``: the spline paper's (each image minus its own mean,
            divided by its largest magnitude).
        training: Number of images in the training split, where it is drawn; None for the number above.

    Returns:
        Images: ``.images`` float32 (N, channels, rows, columns), ``.labels`` int64 (N,), ``.class_names``, ``.split``.

    Raises:
        DamagedFileError: A file does not have its published md5; the message names both and says what to do.
        DownloadError: A file is nowhere and could not be downloaded; what has arrived is kept, and continued next time.
        ValueError: An unknown name, split, normalisation or size.

    >>> digits = load("digits")
    >>> digits.images.shape, digits.labels.shape, float(digits.images.max())
    (torch.Size([1300, 1, 8, 8]), torch.Size([1300]), 1.0)
    """
    one_of("name", name, NAMES)
    one_of("split", split, SPLITS)
    one_of("normalisation", normalisation, tuple(NORMALISATIONS))
    integer("seed", seed, minimum=0)
    if name in bundled.READERS:
        return bundled.read(name, split, seed, training).normalised(normalisation)
    if training is not None:
        refuse("training", training, f"has no meaning for {name}, which has its authors' split", "leave it out")
    return official.read(name, split).normalised(normalisation)


named(__name__)
