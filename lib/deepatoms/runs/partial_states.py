"""Partial states: how far a long computation has come, in one file beside its record, continued by whoever holds the claim.

``<key>.partial`` is written whole or not at all after every epoch, and removed when the record is there. It holds a digest, a
line of JSON (whose it is, how far it came, what it cost) and tensors, read back without pickle's code. Git ignores these
files; to go on with one on another machine, copy it into the same folder there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from deepatoms.runs import record_files
from deepatoms.theory.arguments import refuse
from deepatoms.theory.signatures import named

LIMIT = 1 << 30  # bytes; more is neither written nor read
HEADER = 1 << 20
FORMAT = 1


def resumable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark ``function(configuration, device, partial)`` as one that a sweep gives a :class:`PartialState`.

    >>> resumable(lambda configuration, device, partial=None: 0).resumable
    True
    """
    function.resumable = True  # type: ignore[attr-defined]
    return function


class PartialState:
    """How far one configuration has come.

    Args:
        path: the file, beside the record.
        configuration: what is computed.
        device: where; told in the record.
        after: called with this object whenever a state was saved; it may raise to break the computation off.
    """

    def __init__(self, path: pathlib.Path, configuration: dict[str, Any], device: str,
                 after: Callable[[PartialState], None] = lambda partial: None) -> None:
        self.path, self.configuration, self.device, self.after = path, configuration, device, after
        self.done = self.total = 0
        self.sittings: list[dict[str, Any]] = []
        self._begin()

    def _begin(self):
        self._since, self._from, self._before = time.perf_counter(), self.done, list(self.sittings)
        self._place = record_files.place(self.device)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last; None if there is none, or a damaged one, which is removed with a warning."""
        if not self.path.exists():
            return None
        try:
            header, state = read(self.path, self.configuration)
        except ValueError as error:
            warnings.warn(f"{error}; it is removed, and the computation begins anew", RuntimeWarning, stacklevel=2)
            self.path.unlink()
            return None
        self.done, self.total, self.sittings = header["done"], header["total"], header["sittings"]
        self._begin()
        return state

    def save(self, state: dict[str, Any], done: int, total: int) -> None:
        """Keep a state of tensors, numbers and text, after ``done`` of ``total`` equal steps.

        Raises:
            ValueError: it is larger than ``LIMIT``.
        """
        self.done, self.total = done, total
        self.sittings = [*self._before, self.sitting()]
        content = _content(self, state)
        if len(content) > LIMIT:
            refuse("state", self.path.name, f"takes {len(content):,} bytes of at most {LIMIT:,}", "keep less in it")
        part = record_files.write_part(self.path, content)
        os.replace(part, self.path)
        self.after(self)

    def sitting(self) -> dict[str, Any]:
        """Return what this process has done so far: where, from which step to which, in how many seconds."""
        return self._place | {"from": self._from, "to": self.done, "seconds": round(time.perf_counter() - self._since, 2)}

    def told(self, seconds: float) -> dict[str, Any]:
        """Return what the record says of it: all seconds and, of a computation of several sittings, each of them.

        Args:
            seconds: of this process.
        """
        if not self._before:
            return {}
        sittings = [*self._before, self.sitting() | {"seconds": round(seconds, 2)}]
        return {"seconds": round(sum(each["seconds"] for each in sittings), 2), "sittings": sittings}

    def left(self) -> float:
        """Return the seconds that the other steps will take, as long as those of this sitting on average."""
        now = self.sitting()
        return now["seconds"] / max(1, now["to"] - now["from"]) * (self.total - self.done)


def _content(partial, state):
    payload = io.BytesIO()
    torch.save(state, payload)
    header = {"format": FORMAT, "configuration": partial.configuration, "done": partial.done, "total": partial.total,
              "sittings": partial.sittings}
    body = json.dumps(header, sort_keys=True).encode() + b"\n" + payload.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def read(path: pathlib.Path, configuration: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the state of a file that is whole and belongs to the configuration.

    Raises:
        ValueError: it is damaged, too large, or another's.
    """
    if path.stat().st_size > LIMIT:
        _refuse(path, f"has more than {LIMIT:,} bytes")
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        _refuse(path, "is not as it was written")
    line, _, payload = body.partition(b"\n")
    header = json.loads(line)
    if header.get("format") != FORMAT or record_files.key(header.get("configuration")) != record_files.key(configuration):
        _refuse(path, "belongs to another configuration or version")
    try:
        return header, torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no type for what it refuses
        _refuse(path, f"holds what torch does not read without pickle ({type(error).__name__})")
        raise  # never reached; for the reader of types


def _refuse(path, fault):
    refuse("partial state", f"{path.parent.name}/{path.name}", fault, f"copy it again from where it came, or delete {path}")


def progress(path: pathlib.Path) -> dict[str, Any] | None:
    """Return the header of a partial state (``done``, ``total``, ``sittings``); None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            file.readline(HEADER)
            header = json.loads(file.readline(HEADER))
            return header if {"done", "total", "sittings"} <= set(header) else None
    except (OSError, ValueError, TypeError):
        return None


named(__name__)
