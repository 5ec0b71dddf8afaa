"""Inputs that somebody names: a set of the book's, a folder of images, an .npz file, or none; in the network's own shape."""

import pathlib
import warnings
import zipfile
import zlib
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from deepatoms import _doors
from deepatoms.theory.arguments import integer, one_of, refuse
from deepatoms.theory.signatures import named

INPUTS = 256  # how many are looked at unless more are asked for
MOST_BYTES = 2 << 30
MOST_PIXELS = 64_000_000  # of one image: beyond, a small file unpacks into gigabytes
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SOURCES = "name a set (digits, photographs, mnist, cifar10, cifar100, svhn), a folder of images, an .npz file, or none"
CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Inputs:
    """Inputs and labels, and what was done to get them.

    Attributes:
        x: float tensor (inputs, ...), or None.
        y: integer tensor (inputs,), or None.
        name: where they come from.
        notes: what was left out or converted, a sentence each.
    """

    x: torch.Tensor | None
    y: torch.Tensor | None
    name: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Need:
    """What a network's first layer tells about its input: channels of an image, or the length of a vector (None: unknown)."""

    channels: int | None = None
    length: int | None = None


def need(model: nn.Module) -> Need:
    """Return what the first linear or convolutional layer, in the order of registration, takes.

    >>> need(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    Need(channels=None, length=64)
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            return Need(channels=layer.in_channels)
        if isinstance(layer, nn.Linear):
            return Need(length=layer.in_features)
    return Need()


def load(source: str, model: nn.Module, count: int = INPUTS, size: int | None = None) -> Inputs:
    """Return the inputs that ``source`` names, in the shape that the model takes.

    Args:
        source: ``"none"``, the name of a set (its test split), a folder of images (of sub-folders: one a class), or an
            ``.npz`` file with ``x`` and, if it has labels, ``y``.
        model: the network, whose first layer says how many channels, or numbers, an input has.
        count: how many inputs are taken at most: the first of a set, spread evenly over a folder or file.
        size: rows and columns to which images of a folder are resized.

    Raises:
        ValueError: a source that is not there or cannot be read, sizes that do not fit, too large a file.
    """
    integer("inputs", count)
    path = pathlib.Path(source)
    if source == "none":
        return Inputs(None, None, "no data")
    if path.is_dir():
        found = _folder(path, need(model), count, size)
    else:
        found = _arrays(path, count) if path.suffix == ".npz" else _set(source, need(model), count)
    return replace(found, x=fitting(model, found.x))


def fitting(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return images in one row where the model takes vectors only, all else as it is.

    Args:
        model: in evaluation mode.
        x: of ``load``.

    >>> fitting(nn.Linear(4, 2), torch.zeros(3, 1, 2, 2)).shape
    torch.Size([3, 4])
    """
    if need(model).length != x[0].numel() or x.dim() == 2:
        return x
    with torch.no_grad():
        try:
            model(x[:1].to(next(model.parameters())))
        except RuntimeError:  # torch's word for sizes that do not fit
            return x.flatten(1)
    return x


# ---- the book's sets ----

def _set(name, wanted, count):
    from deepatoms import data
    if name not in data.NAMES:
        refuse("data", name, "is not there", SOURCES)
    found = data.load(name, "test").subset(slice(count))
    x = found.images
    channels, length = x.shape[1], x[0].numel()
    if wanted.channels not in (None, channels):
        refuse("data", name, f"has {channels} channel{'s' * (channels > 1)}, and the network's first layer takes "
               f"{wanted.channels}", "name a folder of your own images, or an .npz file")
    if wanted.length not in (None, length):
        refuse("data", name, f"has {length} numbers an image, and the network's first layer takes {wanted.length}",
               "name an .npz file with inputs of that length")
    return Inputs(x, found.labels, f"{name}, {len(found)} images of the test split")


# ---- a folder of images ----

def _folder(path, wanted, count, size):
    _doors.demand("deepatoms report --data FOLDER", "data", "PIL")
    files = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
    if not files:
        refuse("data", str(path), "holds no images", f"name a folder of {', '.join(SUFFIXES[:3])} ... files")
    chosen = [files[at] for at in _spread(len(files), count)]
    channels, size = wanted.channels or _channels(wanted.length, size), size or _side(wanted)
    one_of("channels of the network's first layer", channels, CHANNELS)
    images, notes = _read(chosen, CHANNELS[channels], size)
    _alike(path, images)
    x = torch.from_numpy(np.stack(list(images.values()))).float().div_(255).permute(0, 3, 1, 2).contiguous()
    classes = sorted({each.relative_to(path).parts[0] for each in files if each.parent != path})
    y = torch.tensor([classes.index(each.relative_to(path).parts[0]) for each in images]) if (
        len(classes) > 1 and all(each.parent != path for each in images)) else None
    labels = f", {len(classes)} classes by sub-folder" if y is not None else ", no labels"
    return Inputs(x, y, f"{path}, {len(x)} of {len(files)} images{labels}", notes)


def _channels(length, size):
    """Return 3 where a vector's length is that of a colour image, otherwise 1."""
    if length is None:
        return 3
    square = size**2 if size else _square(length // 3) if length % 3 == 0 else None
    return 3 if square and 3 * square == length and not _square(length) else 1


def _square(number):
    return number if round(number**0.5) ** 2 == number else None


def _side(wanted):
    """Return rows and columns where the first layer's length tells them, else None: the images' own."""
    if wanted.length is None:
        return None
    pixels = wanted.length // _channels(wanted.length, None)
    return round(pixels**0.5) if _square(pixels) else None


def _spread(there, count):
    """Return indices spread evenly, so that a sorted folder does not give one class alone."""
    return sorted({int(at) for at in np.linspace(0, there - 1, min(count, there))})


def _read(files, mode, size):
    """Return the pixels of each image that can be read, and a sentence for each that cannot."""
    images, notes = {}, []
    for path in files:
        try:
            images[path] = _pixels(path, mode, size)
        except (OSError, ValueError, SyntaxError, ArithmeticError, zlib.error) as error:  # what pillow raises on damaged files
            notes.append(f"{path} was left out: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    if not images:
        refuse("data", str(files[0].parent), f"has no image that can be read ({notes[0]})", "name a folder of whole images")
    return images, notes


def _pixels(path, mode, size):
    from PIL import Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                refuse("image", str(path), f"has {image.width * image.height:,} pixels", f"use at most {MOST_PIXELS:,}")
            image = image.convert(mode)
            found = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR) if size else image)
    return found if found.ndim == 3 else found[..., None]


def _alike(path, images):
    shapes = {image.shape[:2] for image in images.values()}
    if len(shapes) > 1:
        rows, columns = max(shapes)
        refuse("data", str(path), f"has images of {len(shapes)} sizes, up to {rows} x {columns}",
               "say to which size they are resized: --size 224")
    if sum(image.nbytes for image in images.values()) * 4 > MOST_BYTES:
        refuse("data", str(path), f"takes more than {MOST_BYTES >> 30} GiB", "take fewer inputs, or resize them: --size 224")


# ---- arrays ----

def _arrays(path, count):
    """Read x and y of an .npz file; nothing in it is executed, and nothing is unpacked that is too large."""
    if not path.is_file():
        refuse("data", str(path), "is not a file", SOURCES)
    x, y = _members(path)
    if x.ndim < 2 or x.dtype.kind not in "fiu" or 0 in x.shape:
        refuse("x", x, "is no batch of numbers", "save real numbers of shape (inputs, ...)")
    if y is not None and (y.ndim != 1 or len(y) != len(x) or y.dtype.kind not in "iu"):
        refuse("y", y, f"is not one whole number for each of {len(x)} inputs", "save integers of shape (inputs,)")
    notes = ["x holds bytes: divided by 255"] if x.dtype == np.uint8 else []
    kept = _spread(len(x), count)
    numbers = torch.from_numpy(np.ascontiguousarray(x[kept], np.float64 if x.dtype == np.float64 else np.float32))
    numbers = numbers / 255 if x.dtype == np.uint8 else numbers
    labels = None if y is None else torch.from_numpy(y[kept].astype(np.int64))
    return Inputs(numbers, labels, f"{path}, {len(kept)} of {len(x)} inputs{'' if y is not None else ', no labels'}", notes)


def _members(path):
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        if "x" not in sizes:
            refuse("data", str(path), f"has no array x, but {', '.join(sizes) or 'nothing'}",
                   "save it with np.savez(path, x=..., y=...)")
        wanted = [name for name in ("x", "y") if name in sizes]
        if (bytes_ := sum(sizes[name] for name in wanted)) > MOST_BYTES:
            refuse("data", str(path), f"unpacks to {bytes_:,} bytes", f"save at most {MOST_BYTES:,}: fewer inputs, or float32")
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"] if "y" in sizes else None
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
        refuse("data", str(path), f"is no whole .npz file ({error})", "save it with np.savez(path, x=..., y=...)")
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        refuse("data", str(path), "holds Python objects, and loading them would run what they say",
               "save arrays of numbers with np.savez(path, x=..., y=...)")


named(__name__)
