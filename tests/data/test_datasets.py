"""What load returns, and that a damaged file never becomes an image."""

import gzip
import hashlib
import inspect
import io
import os
import pathlib
import re
import shutil
import tarfile

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from deepatoms import data
from deepatoms.data import files, official
from deepatoms.data.files import DamagedFileError, DownloadError, File
from deepatoms.reports import inputs

OWN = pathlib.Path(os.environ.get("DEEPATOMS_DATA", "/nowhere"))
REAL = [(name, split) for (name, split), found in official.FILES.items()
        if all((OWN / file.folder / file.name).is_file() for file in found)]
SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32), "svhn": (3, 32, 32)}
COUNTS = {("mnist", "train"): 60000, ("svhn", "train"): 73257, ("svhn", "test"): 26032}


def test_every_set_stands_where_people_read_its_name():
    lines = inspect.cleandoc(data.load.__doc__).splitlines()  # from 3.13 on Python takes the indent off by itself
    assert all(any(line.strip().startswith(f"{name} ") for line in lines) for name in data.NAMES)
    assert all(name in inputs.SOURCES for name in data.NAMES)


def demand_contract(loaded, count, shape):
    assert loaded.pixels.dtype == torch.uint8 and loaded.labels.dtype == torch.int64
    assert loaded.pixels.shape == (count, *shape) and loaded.labels.shape == (count,) and len(loaded) == count
    some = loaded.subset(slice(0, 200)).images
    assert some.dtype == torch.float32 and 0 <= float(some.min()) < float(some.max()) <= 1
    assert 0 <= int(loaded.labels.min()) and int(loaded.labels.max()) == len(loaded.class_names) - 1


@pytest.mark.parametrize("name, shape, counts", [("digits", (1, 8, 8), (1300, 497)), ("photographs", (3, 32, 32), (390, 130))])
def test_bundled_sets(name, shape, counts):
    train, test = data.load(name), data.load(name, "test")
    demand_contract(train, counts[0], shape)
    demand_contract(test, counts[1], shape)
    assert not torch.equal(train.labels, data.load(name, seed=1).labels)
    assert torch.equal(train.pixels, data.load(name).pixels)


def test_the_digits_are_scikit_learn_s_each_once():
    both = [data.load("digits", split, seed=3, training=1000) for split in data.SPLITS]
    rows = np.concatenate([16 * part.images.flatten(1).numpy() for part in both])
    assert np.array_equal(np.unique(rows, axis=0), np.unique(load_digits().data, axis=0)) and len(both[0]) == 1000


def test_centred_is_the_spline_paper_s_normalisation():
    images = data.load("photographs", normalisation="centred").images
    assert torch.allclose(images.mean((1, 2, 3)), torch.zeros(390), atol=1e-5)
    assert torch.allclose(images.abs().amax((1, 2, 3)), torch.ones(390))


@pytest.mark.parametrize("options, said", [
    ({"name": "imagenet"}, "digits"), ({"name": "digits", "split": "validation"}, "train"),
    ({"name": "digits", "normalisation": "z"}, "centred"), ({"name": "digits", "seed": -1}, "seed"),
    ({"name": "digits", "training": 1797}, "1797"), ({"name": "mnist", "training": 100}, "training")])
def test_bad_input_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        data.load(**options)


@pytest.mark.parametrize("name, split", REAL)
def test_the_authors_files(name, split):
    loaded = data.load(name, split)
    demand_contract(loaded, COUNTS.get((name, split), {"train": 50000, "test": 10000}[split]), SHAPES[name])
    counted = torch.bincount(loaded.labels)
    assert name in ("mnist", "svhn") or (counted == counted[0]).all()


@pytest.mark.skipif(("cifar10", "test") not in REAL, reason="DEEPATOMS_DATA holds no CIFAR-10")
def test_cifar_records_are_read_as_published():
    """The record's first byte is the label, then 1,024 red, green and blue bytes, row by row."""
    loaded = data.load("cifar10", "test")
    raw = (OWN / "cifar-10-batches-bin" / "test_batch.bin").read_bytes()[7 * 3073:8 * 3073]
    assert loaded.labels[7] == raw[0]
    assert loaded.pixels[7, 1, 2, 3] == raw[1 + 1024 + 2 * 32 + 3]


def write_idx(sizes, values):
    return gzip.compress(bytes([0, 0, 8, len(sizes)]) + np.array(sizes, ">i4").tobytes() + bytes(values), mtime=0)


@pytest.fixture
def little(cache, tmp_path, monkeypatch):
    """Little sets in the official layouts, with md5 of their own; returns the reader's folder."""
    random = np.random.default_rng(0)
    mat = io.BytesIO()
    scipy.io.savemat(mat, {"X": random.integers(0, 256, (32, 32, 3, 4), np.uint8), "y": np.array([[10], [1], [9], [2]])})
    content = {("mnist", "train"): [write_idx([2, 28, 28], random.bytes(2 * 784)), write_idx([2], [3, 9])],
               ("mnist", "test"): [write_idx([2, 28, 28], random.bytes(2 * 784)), write_idx([2], [1, 2])],
               ("cifar10", "test"): [random.bytes(0) + b"".join(bytes([label]) + random.bytes(3072) for label in (4, 9))],
               ("svhn", "test"): [mat.getvalue()]}
    monkeypatch.setattr(official, "FILES", {key: tuple(
        _write(tmp_path / "own", file, part) for file, part in zip(official.FILES[key], parts, strict=True))
        for key, parts in content.items()})
    monkeypatch.setenv("DEEPATOMS_DATA", str(tmp_path / "own"))
    return tmp_path / "own"


def _write(folder, file, content):
    (folder / file.folder).mkdir(parents=True, exist_ok=True)
    (folder / file.folder / file.name).write_bytes(content)
    return File(file.name, hashlib.md5(content).hexdigest(), file.folder, ("http://127.0.0.1:9/{}",))


def test_svhn_s_label_ten_is_the_digit_zero(little):
    loaded = data.load("svhn", "test")
    assert loaded.labels.tolist() == [0, 1, 9, 2] and loaded.pixels.shape == (4, 3, 32, 32)


def test_little_sets_load(little):
    assert data.load("mnist").labels.tolist() == [3, 9]
    assert data.load("cifar10", "test").labels.tolist() == [4, 9]


def test_the_archive_is_unpacked_into_the_cache(little, cache, monkeypatch):
    inside = official.FILES["cifar10", "test"][0]
    path = little / inside.folder / inside.name
    with tarfile.open(little / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(path, f"{inside.folder}/{inside.name}")
    path.unlink()
    whole = File("cifar-10-binary.tar.gz", hashlib.md5((little / "cifar-10-binary.tar.gz").read_bytes()).hexdigest())
    monkeypatch.setitem(official.FILES, ("cifar10", "test"), (File(inside.name, inside.md5, inside.folder, archive=whole),))
    assert data.load("cifar10", "test").labels.tolist() == [4, 9]
    assert (cache / inside.folder / inside.name).is_file()


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1), change=st.sampled_from(["flip", "cut", "append", "empty", "zero page"]))
def test_no_damage_goes_unnoticed(place, change, tmp_path_factory):
    content = np.random.default_rng(1).integers(0, 256, 9000, np.uint8)
    at = min(int(place * 9000), 8999)
    damaged = {"flip": np.concatenate([content[:at], content[at:at + 1] ^ 1, content[at + 1:]]), "cut": content[:at],
               "append": np.append(content, np.uint8(0)), "empty": content[:0],
               "zero page": np.where(abs(np.arange(9000) - at) < 99, 0, content).astype(np.uint8)}[change]
    path = tmp_path_factory.mktemp("damaged") / "x.bin"
    path.write_bytes(damaged.tobytes())
    file = File("x.bin", hashlib.md5(content.tobytes()).hexdigest())
    with pytest.raises(DamagedFileError, match=f"x.bin.*{file.md5}.*{hashlib.md5(damaged.tobytes()).hexdigest()}"):
        files._read_into(np.empty(len(damaged), np.uint8), file, path)


def test_swapped_files_are_refused(little):
    first, second = (little / "mnist" / name for name in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"))
    shutil.move(first, little / "aside")
    shutil.move(second, first)
    shutil.move(little / "aside", second)
    for split in data.SPLITS:
        with pytest.raises(DamagedFileError, match="replace it by the authors' file"):
            data.load("mnist", split)


def test_a_file_altered_after_it_was_checked_is_refused(little, monkeypatch):
    """Also when its size and modification time are put back: the change time cannot be."""
    path = little / "cifar-10-batches-bin" / "test_batch.bin"
    monkeypatch.setattr(files.time, "time_ns", lambda: 2 * path.stat().st_ctime_ns)
    data.load("cifar10", "test")
    assert files._seen(path)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[500] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if path.stat().st_ctime_ns == before.st_ctime_ns:
        pytest.skip("this file system's clock did not tick")
    with pytest.raises(DamagedFileError):
        data.load("cifar10", "test")


def test_a_file_written_a_moment_ago_is_not_trusted_by_its_times(little):
    path = little / "cifar-10-batches-bin" / "test_batch.bin"
    data.load("cifar10", "test")
    assert files._seen(path) is None


@pytest.mark.skipif(("mnist", "test") not in REAL, reason="DEEPATOMS_DATA holds no MNIST")
@pytest.mark.parametrize("damage", ["truncated", "altered", "swapped"])
def test_damaged_copies_of_the_authors_files(cache, tmp_path, monkeypatch, damage):
    shutil.copytree(OWN / "mnist", tmp_path / "mnist")
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 1
    path.write_bytes({"truncated": content[:-1], "altered": content,
                      "swapped": (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes()}[damage])
    monkeypatch.setenv("DEEPATOMS_DATA", str(tmp_path))
    with pytest.raises(DamagedFileError, match=r"t10k-images.*9fb629c4189551a2d022fa330f9573f3, found [0-9a-f]{32}"):
        data.load("mnist", "test")


def test_a_missing_file_without_a_network(little):
    (little / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    with pytest.raises(DownloadError, match=re.escape(str(little))):
        data.load("cifar10", "test")


def test_a_data_folder_that_is_none_is_refused(cache, monkeypatch):
    monkeypatch.setenv("DEEPATOMS_DATA", "/no/such/folder")
    with pytest.raises(ValueError, match="/no/such/folder.*is not a folder"):
        data.load("mnist")


def test_every_md5_and_address_is_written_down():
    everything = [file for found in official.FILES.values() for file in found]
    for file in everything + [file.archive for file in everything if file.archive]:
        assert re.fullmatch("[0-9a-f]{32}", file.md5) and (file.urls or file.archive)


@pytest.mark.parametrize(("modified", "later", "trusted"), [
    (0, 2 * 10**9, False), (0, 2 * 10**9 + 1, True), (-10**12, 2 * 10**9, False), (-10**12, 2 * 10**9 + 1, True)])
def test_a_check_is_remembered_beyond_two_seconds_from_the_last_change_of_either_time(cache, tmp_path, monkeypatch, modified,
                                                                                      later, trusted):
    """A program may set the modification time back, never the change time: the later of the two counts."""
    path = tmp_path / "x.bin"
    path.write_bytes(b"x")
    changed = path.stat().st_ctime_ns
    stamp = [*files._stamp(path.stat(), path)[:-2], changed + modified, changed]
    monkeypatch.setattr(files.time, "time_ns", lambda: changed + later)
    files._remember(path, "md5", stamp)
    assert files._seen(path) == (["md5", *stamp] if trusted else None)


def test_a_file_is_written_whole_into_folders_that_are_not_there_and_over_one_that_is(tmp_path):
    path = tmp_path / "not" / "there" / "x.bin"
    for content in (b"first", b"second, and longer", b""):
        files.write_whole(path, content)
        assert path.read_bytes() == content and [each.name for each in path.parent.iterdir()] == ["x.bin"]


@pytest.mark.parametrize("sizes", [[3, 0, 5], [7], [1, 1, 1, 9]])
def test_files_read_as_one_are_their_bytes_in_order(little, sizes):
    random = np.random.default_rng(sum(sizes))
    parts = [random.bytes(size) for size in sizes]
    read = [_write(little, File(f"{place}.bin", ""), part) for place, part in enumerate(parts)]
    assert files.read_joined(read).tobytes() == b"".join(parts) and files.read(read) == parts


def test_every_number_of_training_images_that_leaves_one_to_test_is_taken():
    counts = [(len(data.load("digits", "train", training=number)), len(data.load("digits", "test", training=number)))
              for number in (1, 1796)]
    assert counts == [(1, 1796), (1796, 1)]


def test_patches_are_the_photograph_s_own_row_by_row_without_a_rest():
    from deepatoms.data.bundled import PATCH, _patches
    photograph = np.random.default_rng(0).integers(0, 256, (2 * PATCH + 5, 3 * PATCH + 31, 3), np.uint8)
    found = _patches(photograph)
    assert found.shape == (6, 3, PATCH, PATCH)
    for number, patch in enumerate(found):
        row, column = PATCH * (number // 3), PATCH * (number % 3)
        assert np.array_equal(patch, photograph[row:row + PATCH, column:column + PATCH].transpose(2, 0, 1))


def test_photographs_are_named_and_a_training_split_is_a_whole_number():
    assert data.load("photographs").class_names == ("china", "flower")
    for bad in (2.5, "many"):
        with pytest.raises(TypeError, match="training = "):
            data.load("digits", training=bad)
    for bad in (0, -3):
        with pytest.raises(ValueError, match="training = "):
            data.load("digits", training=bad)


def test_a_file_that_was_compared_is_not_compared_again_unless_it_is_too_short(cache, tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    path.write_bytes(b"x" * 100)
    file, compared = File("x.bin", hashlib.md5(b"x" * 100).hexdigest()), []
    monkeypatch.setattr(files.time, "time_ns", lambda: 2 * path.stat().st_ctime_ns)
    monkeypatch.setattr(files.hashlib, "md5", lambda content, md5=hashlib.md5: compared.append(len(content)) or md5(content))
    for _ in range(3):
        files._read_into(np.empty(100, np.uint8), file, path)
    assert compared == [100]
    files._read_into(np.empty(101, np.uint8), file, path)
    assert compared == [100, 100]


def test_a_cifar_100_record_has_its_fine_label_second(cache, tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    records = [bytes([coarse, fine]) + random.bytes(3072) for coarse, fine in ((3, 77), (19, 0), (0, 99))]
    file = _write(tmp_path / "own", official.FILES["cifar100", "test"][0], b"".join(records))
    monkeypatch.setattr(official, "FILES", {("cifar100", "test"): (file,)})
    monkeypatch.setenv("DEEPATOMS_DATA", str(tmp_path / "own"))
    loaded = data.load("cifar100", "test")
    assert loaded.labels.tolist() == [77, 0, 99]
    assert loaded.pixels[1, 2, 3, 4] == records[1][2 + 2 * 1024 + 3 * 32 + 4]
