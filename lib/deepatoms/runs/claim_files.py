"""Claim files: which process is at work on which record, so that processes and hosts can share one folder.

A claim is ``<key>.<generation>.claim``, made with ``O_EXCL`` and touched while its holder lives. Nobody removes another's
claim: whoever takes over from a dead holder makes the next generation, which only one can do.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import pathlib
import socket
import tempfile
import threading

BEAT = 20.0  # seconds between two signs of life
STALE = 600.0  # seconds without one after which a holder on another host counts as gone: switched off, say


class Claim:
    """The right to compute one record; as a context it gives signs of life, and ends with the claim removed."""

    def __init__(self, path: pathlib.Path, text: str, moment: float) -> None:
        self.path, self.text, self.moment = path, text, moment
        self._over = threading.Event()

    def __enter__(self) -> Claim:
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def _beat(self) -> None:
        while not self._over.wait(BEAT) and self.held():
            os.utime(self.path)

    def held(self) -> bool:
        """Tell whether the claim still stands: a holder that stood still for too long may have been taken for dead."""
        standing = _standing(self.path.parent, _key(self.path))
        return bool(standing) and standing[max(standing)] == self.text

    def __exit__(self, *error: object) -> None:
        self._over.set()
        standing = sorted(_standing(self.path.parent, _key(self.path)))
        # Upwards: the last to go is the one that still keeps the others out.
        for generation in (one for one in standing if one <= _generation(self.path)):
            _path(self.path.parent, _key(self.path), generation).unlink(missing_ok=True)


def take(folder: pathlib.Path, key: str) -> Claim | None:
    """Return the claim on a record, or None while another process holds it.

    Args:
        folder: where the records of the experiment are.
        key: the name of the record without its ending.
    """
    before = _standing(folder, key)
    if before and not _all_gone(folder, key, before):
        return None
    generation = max(before, default=-1) + 1
    path, text = _path(folder, key, generation), _signature()
    try:
        moment = _create(path, text)
    except FileExistsError:
        return None
    # Another may have taken and left a claim since the first look; then neither goes on, and both ask again later.
    if _standing(folder, key) != before | {generation: text}:
        path.unlink(missing_ok=True)
        return None
    if before:
        _remove_parts(folder, key)
    return Claim(path, text, moment)


def holder(folder: pathlib.Path, key: str) -> str:
    """Return who holds the claim on a record, in words; empty if it is free, its last holder being dead included."""
    standing = _standing(folder, key)
    if not standing or _all_gone(folder, key, standing):
        return ""
    fields = _fields(standing[max(standing)])
    return "process {} on {} since {}".format(*(fields.get(name, "?") for name in ("pid", "name", "since")))


def left(folder: pathlib.Path, key: str) -> bool:
    """Tell whether a dead process has left its claim on a record."""
    return bool(_standing(folder, key)) and not holder(folder, key)


def now(folder: pathlib.Path) -> float:
    """Return the time by the clock that stamps the files of a folder: hosts whose own clocks differ agree on it."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part") as probe:
        return os.fstat(probe.fileno()).st_mtime


def _path(folder, key, generation):
    return folder / f"{key}.{generation}.claim"


def _key(path):
    return path.name.split(".")[0]


def _generation(path):
    return int(path.name.split(".")[1])


def _standing(folder, key):
    found = {}
    for path in folder.glob(f"{key}.*.claim"):
        try:
            found[_generation(path)] = path.read_text()
        except FileNotFoundError:  # its holder has just ended
            continue
    return found


def _create(path, text):
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            return os.fstat(descriptor).st_mtime
    except OSError:  # the disk is full: an empty claim would keep the others out
        path.unlink()
        raise


def _signature():
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return json.dumps({"host": _host(), "name": socket.gethostname(), "pid": os.getpid(), "since": since,
                       "once": os.urandom(8).hex()})


@functools.lru_cache(maxsize=1)
def _host():
    """Return what names a set of process numbers: the computer, its start and, in a container, the container's own set."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _fields(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:  # being written, or its writer was killed over it: its age decides
        return {}


def _all_gone(folder, key, standing):
    return all(_gone(folder, _path(folder, key, generation), _fields(text)) for generation, text in standing.items())


def _gone(folder, path, fields):
    if fields.get("host") == _host() and not _alive(fields["pid"]):
        return True
    try:
        return now(folder) - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return True


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is somebody else's
        return True
    try:  # a killed process whose parent has not asked for it yet still has its number
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # not Linux
        return True


def _remove_parts(folder, key):
    """Remove what the dead holder of a claim had half written."""
    for part in folder.glob(f"{key}.*.part"):
        part.unlink(missing_ok=True)
