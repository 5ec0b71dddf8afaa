"""Find, check and fetch the authors' files: nothing is taken for a whole file before its published md5 is found."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import filelock
import numpy as np
import pooch

from deepatoms.data.download import DownloadError, fetch
from deepatoms.theory.arguments import refuse

LARGEST = 1 << 28  # bytes: a third more than any file of the data sets unpacks to


class DamagedFileError(ValueError):
    """A file does not have the md5 that its authors published."""


@dataclass(frozen=True)
class File:
    """A file as its authors publish it: by itself at ``urls``, or inside an ``archive``."""

    name: str
    md5: str
    folder: str = ""
    urls: tuple[str, ...] = ()
    archive: "File | None" = None


def data_folder() -> pathlib.Path | None:
    """Return the reader's own folder (``DEEPATOMS_DATA``), or None when that is not set.

    Raises:
        ValueError: the variable names no folder.
    """
    named = os.environ.get("DEEPATOMS_DATA")
    if named and not pathlib.Path(named).is_dir():
        refuse("DEEPATOMS_DATA", named, "is not a folder", "name the folder that holds the data sets, or unset it")
    return pathlib.Path(named) if named else None


def cache_folder() -> pathlib.Path:
    """Return the folder that downloads go to (pooch's cache)."""
    return pathlib.Path(pooch.os_cache("deepatoms"))


def read(files: Sequence[File]) -> list[bytes]:
    """Return the bytes of each file, checked.

    Raises:
        DamagedFileError: a file does not have its published md5.
        DownloadError: a file is nowhere and could not be downloaded.
    """
    return [bytes(read_joined([file])) for file in files]


def read_joined(files: Sequence[File]) -> np.ndarray:
    """Return the bytes of all files, one after the other in one array (no copy), each checked: uint8, shape (bytes,).

    Raises:
        DamagedFileError: a file does not have its published md5.
        DownloadError: a file is nowhere and could not be downloaded.
    """
    paths = [locate(file) for file in files]
    sizes = [path.stat().st_size for path in paths]
    joined = np.empty(sum(sizes), np.uint8)
    ends = np.cumsum(sizes)
    for file, path, end, size in zip(files, paths, ends, sizes, strict=True):
        _read_into(joined[end - size:end], file, path)
    return joined


def _read_into(part, file, path):
    """Read a file and compare what was read with the published md5, unless this very file has been compared before."""
    with open(path, "rb") as source:
        stamp = _stamp(os.fstat(source.fileno()), path)
        size = source.readinto(part)
    if size == len(part) and _seen(path) == [file.md5, *stamp]:
        return
    found = hashlib.md5(part[:size]).hexdigest()
    if found != file.md5:
        _refuse_damaged(file, path, found)
    _remember(path, file.md5, stamp)


def _refuse_damaged(file, path, found):
    origin = "delete it: the next call downloads it again" if cache_folder() in path.parents else (
        "replace it by the authors' file, or delete it to have it downloaded")
    raise DamagedFileError(f"{path} ({path.stat().st_size:,} bytes) is not the authors' {file.name}: expected md5 "
                           f"{file.md5}, found {found}; it is truncated, altered or another file; {origin}")


def _stamp(stat, path):
    """Return what changes whenever a file is written to; the change time cannot be set back by a program."""
    return [str(path.resolve()), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _note(path):
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / "checked" / f"{name}.json"


def _seen(path):
    try:
        return json.loads(_note(path).read_text())
    except (OSError, ValueError):
        return None


def _remember(path, md5, stamp):
    """Note that this file was compared, so that the next load need not; not if it was written a moment ago.

    A file written twice within one tick of the file system's clock has one change time for both contents.
    """
    if time.time_ns() - max(stamp[-2:]) > 2 * 10**9:
        with contextlib.suppress(OSError):  # a read-only home costs time, nothing else
            write_whole(_note(path), json.dumps([md5, *stamp]).encode())


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Write a file so that it appears under its name complete or not at all, whatever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part", delete=False) as part:
        part.write(content)
        part.flush()
        os.fsync(part.fileno())
    os.replace(part.name, path)


def locate(file: File) -> pathlib.Path:
    """Return the path of a file: in the reader's folder, in the cache, unpacked from its archive, or downloaded.

    Raises:
        DamagedFileError: the archive does not have its published md5.
        DownloadError: the file is nowhere and could not be downloaded.
    """
    found = _there(file)
    if found is not None:
        return found
    target = _inside(cache_folder(), file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{target}.lock"):  # another process may be fetching the same file
        if not target.exists():
            _unpack(file, target) if file.archive else _download(file, target)
    return target


def _inside(folder, file):
    """Return where a file belongs in a folder, and nowhere else: no name climbs out, no link leads out."""
    target = folder / file.folder / file.name
    if folder.resolve() not in target.resolve().parents:
        refuse("file", f"{file.folder}/{file.name}", f"lies outside {folder}", "give it a plain name and folder, without links")
    return target


def _there(file):
    own = data_folder()
    places = [own / file.folder / file.name, own / file.name] if own else []
    return next((place for place in [*places, cache_folder() / file.folder / file.name] if place.is_file()), None)


def _download(file, target):
    try:
        fetch(file.urls, file.md5, target)
    except DownloadError as problem:
        own = data_folder()
        looked = f"DEEPATOMS_DATA ({own})" if own else "DEEPATOMS_DATA (not set)"
        raise DownloadError(f"{file.name} (md5 {file.md5}) is neither in {looked} nor in {target.parent}, and could not "
                            f"be downloaded: {problem}. Run it again, or put the authors' file into a folder and name "
                            f"that folder in DEEPATOMS_DATA") from problem


def _unpack(file, target):
    archive = locate(file.archive)
    _read_into(np.empty(archive.stat().st_size, np.uint8), file.archive, archive)
    with tarfile.open(archive) as members:
        write_whole(target, members.extractfile(_member(members, f"{file.folder}/{file.name}")).read())


def _member(members, name):
    """Return a member of an archive that is a plain file of its size at most; a link could point anywhere."""
    member = members.getmember(name)
    if not member.isreg():
        refuse("archive", members.name, f"holds no plain file {name}", "delete it: the next call downloads it again")
    if member.size > LARGEST:
        refuse("archive", members.name, f"unpacks {name} to {member.size:,} bytes, more than {LARGEST:,}", "delete it")
    return member


def gunzip(content: bytes) -> bytes:
    """Return what gzip packed, at most ``LARGEST`` bytes of it.

    Raises:
        ValueError: it is larger.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        unpacked = packed.read(LARGEST + 1)
    if len(unpacked) > LARGEST:
        refuse("content", f"{len(content):,} bytes", f"unpack to more than {LARGEST:,}", "delete the file they come from")
    return unpacked
