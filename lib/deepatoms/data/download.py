"""Fetch a file by its published md5: with a progress bar, continuing what an earlier attempt left."""

import os
import pathlib
from collections.abc import Sequence

import pooch
import requests
from tqdm import tqdm

ATTEMPTS = 3
CHUNK = 1 << 13  # bytes: what a cut can lose
SECONDS = 30
LARGEST = 1 << 30  # bytes: a server that does not end would fill the disk before the md5 is compared


class DownloadError(ConnectionError):
    """A file could not be downloaded whole."""


def fetch(urls: Sequence[str], md5: str, target: pathlib.Path) -> None:
    """Download a file from the first of several addresses that has it; ``target`` appears whole and checked, or not at all.

    What has arrived before a break is kept in ``<target>.part`` and continued by the next attempt.

    Args:
        urls: addresses in which ``{}`` stands for the file's name.
        md5: the published one.
        target: path of the file.

    Raises:
        DownloadError: none of the addresses gave the file.
    """
    problems = []
    for url in urls:
        url = url.format(target.name)
        try:
            return pooch.retrieve(url, f"md5:{md5}", target.name, target.parent, downloader=_Resuming(target, md5))
        except (requests.RequestException, DownloadError) as problem:
            problems.append(f"{url}: {problem}")
    raise DownloadError("; ".join(problems))


class _Resuming:
    """A pooch downloader that continues from the part an earlier attempt left beside the target."""

    def __init__(self, target, md5):
        self.part = target.with_name(target.name + ".part")
        self.md5 = md5

    def __call__(self, url, output_file, _pooch):
        for attempt in range(ATTEMPTS):
            try:
                self._continue(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if attempt == ATTEMPTS - 1:
                    raise
        found = pooch.file_hash(str(self.part), alg="md5")
        if found != self.md5:
            size = self.part.stat().st_size
            self.part.unlink()
            raise DownloadError(f"{size:,} bytes arrived with md5 {found} in place of {self.md5}; they were thrown away")
        os.replace(self.part, output_file)

    def _continue(self, url):
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=SECONDS, allow_redirects=True) as answer:
            if answer.status_code == 416:  # nothing is left to send: the part is whole, or not this file's
                return
            answer.raise_for_status()
            continued = answer.status_code == 206
            self._receive(answer, have if continued else 0)

    def _receive(self, answer, have):
        coming = answer.headers.get("Content-Length")
        total = have + int(coming) if coming else None
        with (open(self.part, "ab" if have else "wb") as part,
              tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=self.part.stem) as bar):
            for chunk in answer.iter_content(CHUNK):
                have += len(chunk)
                if have > LARGEST:
                    self.part.unlink()
                    raise DownloadError(f"more than {LARGEST:,} bytes arrived; they were thrown away")
                part.write(chunk)
                bar.update(len(chunk))
