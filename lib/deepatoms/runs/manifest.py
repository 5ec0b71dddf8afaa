"""The list of all records with their sha256: a record that is altered, lost or smuggled in is noticed, whatever else agrees."""

from __future__ import annotations

import hashlib
import os
import pathlib
import tempfile

from deepatoms.theory.arguments import refuse

NAME = "SHA256SUMS"  # as ``sha256sum --check`` reads it


def listed(folder: pathlib.Path) -> dict[str, str]:
    """Return the sha256 of every listed record by its path; nothing where there is no list."""
    path = folder / NAME
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def faults(folder: pathlib.Path) -> list[str]:
    """Return in words how the records of a folder differ from their list."""
    before, now = listed(folder), _present(folder)
    return [f"{name} {'is not listed' if name not in before else 'is not there' if name not in now else 'was altered'}"
            for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]


def add(folder: pathlib.Path) -> int:
    """List the records that are new, and return how many; one that is listed stays as it was listed.

    Raises:
        ValueError: if a listed record was altered or is gone.
    """
    wrong = [fault for fault in faults(folder) if not fault.endswith("is not listed")]
    if wrong:
        refuse("records", str(folder), "; ".join(wrong),
               f"restore them (git checkout), or take their lines out of {NAME} if they were made again on purpose")
    new = _present(folder).keys() - listed(folder).keys()
    if new:
        _write(folder, _present(folder))
    return len(new)


def _present(folder):
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.glob("*/*.json")}


def _write(folder, present):
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(present.items()))
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=NAME, suffix=".part", delete=False) as part:
        part.write(text)
    os.replace(part.name, folder / NAME)
