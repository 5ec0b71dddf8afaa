"""The download path, against a server on this machine."""

import gzip
import hashlib
import io
import multiprocessing
import os
import random
import signal
import tarfile
import threading
import time

import pytest
from tqdm import tqdm

from deepatoms.data import download, files
from deepatoms.data.files import DamagedFileError, DownloadError, File

CONTENT = bytes(range(256)) * 1200


@pytest.fixture
def wanted(cache, site):
    """A file that only the server has."""
    site.content["/data.bin"] = CONTENT
    return File("data.bin", hashlib.md5(CONTENT).hexdigest(), "set", (site.address + "/{}",))


def leftovers(cache):
    return sorted(path.name for path in (cache / "set").iterdir() if path.suffix != ".lock")


def test_a_file_is_downloaded_once(cache, site, wanted):
    assert files.read([wanted]) == files.read([wanted]) == [CONTENT]
    assert len(site.requests) == 1 and leftovers(cache) == ["data.bin"]


def test_the_reader_s_own_folder_comes_first(cache, site, wanted, tmp_path, monkeypatch):
    (tmp_path / "own" / "set").mkdir(parents=True)
    (tmp_path / "own" / "set" / "data.bin").write_bytes(CONTENT)
    monkeypatch.setenv("DEEPATOMS_DATA", str(tmp_path / "own"))
    assert files.read([wanted]) == [CONTENT] and site.requests == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_continued(cache, site, wanted, ranges):
    site.cuts, site.ranges = [100_000], ranges
    assert files.read([wanted]) == [CONTENT]
    assert len(site.requests) == 2 and site.requests[1][1].startswith("bytes=")


def test_what_arrived_is_kept_for_the_next_call(cache, site, wanted):
    site.cuts = [90_000, 60_000, 0]
    with pytest.raises(DownloadError, match=r"data\.bin.*DEEPATOMS_DATA"):
        files.locate(wanted)
    assert leftovers(cache) == ["data.bin.part"]
    site.requests.clear()
    assert files.read([wanted]) == [CONTENT]
    assert int(site.requests[0][1][6:-1]) >= 130_000


@pytest.mark.parametrize("sent", [CONTENT[:-7], CONTENT + b"more", b"<html>moved</html>", CONTENT[:-1] + b"!"])
def test_a_wrong_file_is_thrown_away(cache, site, wanted, sent):
    site.content["/data.bin"] = sent
    with pytest.raises(DownloadError, match=f"{wanted.md5}.*thrown away") as refused:
        files.locate(wanted)
    assert hashlib.md5(sent).hexdigest() in str(refused.value) and leftovers(cache) == []


def test_a_part_of_another_file_is_not_continued_for_ever(cache, site, wanted):
    (cache / "set").mkdir(parents=True)
    (cache / "set" / "data.bin.part").write_bytes(b"x" * (len(CONTENT) + 5))
    with pytest.raises(DownloadError):
        files.locate(wanted)
    assert files.read([wanted]) == [CONTENT]


def test_an_address_without_the_file_leads_to_the_next(cache, site, wanted):
    both = File("data.bin", wanted.md5, "set", (site.address + "/gone/{}", *wanted.urls))
    assert files.read([both]) == [CONTENT]


def test_404_says_what_to_do(cache, site, wanted):
    missing = File("data.bin", wanted.md5, "set", (site.address + "/gone/{}",))
    with pytest.raises(DownloadError, match=r"404.*put the authors' file into a folder"):
        files.locate(missing)
    assert leftovers(cache) == []


def test_no_server_at_all(cache, wanted):
    with pytest.raises(DownloadError, match=r"data\.bin"):
        files.locate(File("data.bin", wanted.md5, "set", ("http://127.0.0.1:9/{}",)))


def test_two_processes_at_once_fetch_one_copy(cache, site, wanted):
    site.delay = 0.01
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(files.read, [[wanted], [wanted]]) == [[CONTENT], [CONTENT]]
    assert len(site.requests) == 1


def process(wanted):
    """Return a started process that downloads."""
    def alone():
        tqdm.set_lock(threading.RLock())  # forked, it shares that of the progress bars: killed, it would take it with it
        files.locate(wanted)

    child = multiprocessing.get_context("fork").Process(target=alone)
    child.start()
    return child


def test_a_killed_download_is_continued(cache, site, wanted):
    site.delay = 0.05
    child = process(wanted)
    part = cache / "set" / "data.bin.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 20_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not (cache / "set" / "data.bin").exists()
    site.delay = 0.0
    assert files.read([wanted]) == [CONTENT]
    assert int(site.requests[-1][1][6:-1]) >= 20_000


def test_kills_at_random_moments_lose_nothing_that_arrived_and_leave_no_part_for_the_whole(cache, site, wanted):
    site.delay, chance, kept, grown = 0.01, random.Random(0), 0, 0
    whole, part = cache / "set" / "data.bin", cache / "set" / "data.bin.part"
    for _ in range(int(os.environ.get("DEEPATOMS_KILLS", "5"))):
        child = process(wanted)
        time.sleep(chance.uniform(0.02, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        if whole.exists():
            assert whole.read_bytes() == CONTENT
            whole.unlink()
            kept = 0
        elif part.exists():
            arrived = part.read_bytes()
            assert len(arrived) >= kept and CONTENT.startswith(arrived)
            grown += len(arrived) > kept
            kept = len(arrived)
    assert grown, "some kill met a download under way"
    site.delay = 0.0
    assert files.read([wanted]) == [CONTENT]


def test_a_damaged_file_in_the_cache_is_refused_not_replaced(cache, site, wanted):
    path = files.locate(wanted)
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(DamagedFileError, match="delete it: the next call downloads it again"):
        files.read([wanted])


@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "larger"])
def test_an_archive_s_link_folder_or_too_large_file_is_refused(cache, tmp_path, monkeypatch, kind):
    """Whatever its md5: the archive is the authors' own here."""
    monkeypatch.setattr(files, "LARGEST", 100)
    archive = tmp_path / "own" / "set.tar"
    archive.parent.mkdir()
    member = tarfile.TarInfo("set/data.bin")
    member.type = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "folder": tarfile.DIRTYPE}.get(kind, tarfile.REGTYPE)
    member.linkname, member.size = "/etc/hostname", 101 if kind == "larger" else 0
    with tarfile.open(archive, "w") as packed:
        packed.addfile(member, io.BytesIO(bytes(member.size)))
    monkeypatch.setenv("DEEPATOMS_DATA", str(archive.parent))
    whole = File("set.tar", hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match=r"no plain file|more than 100"):
        files.locate(File("data.bin", "0" * 32, "set", archive=whole))
    assert leftovers(cache) == []


@pytest.mark.parametrize(("folder", "name"), [("..", "data.bin"), ("set", "../../data.bin"), ("/tmp", "data.bin"),
                                              ("out", "data.bin")])
def test_a_file_that_would_lie_outside_the_cache_is_refused(cache, tmp_path, wanted, folder, name):
    cache.mkdir()
    (cache / "out").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="lies outside"):
        files.locate(File(name, wanted.md5, folder, wanted.urls))
    assert not (tmp_path / "data.bin").exists()


def test_what_unpacks_to_too_much_and_a_server_that_does_not_end_are_cut(cache, site, wanted, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 1000)
    assert files.gunzip(gzip.compress(bytes(1000))) == bytes(1000)
    with pytest.raises(ValueError, match="unpack to more than 1,000"):
        files.gunzip(gzip.compress(bytes(1001)))
    monkeypatch.setattr(download, "LARGEST", 100_000)
    with pytest.raises(DownloadError, match="more than 100,000 bytes"):
        files.locate(wanted)
    assert leftovers(cache) == []


def test_a_member_just_as_large_as_may_be_is_unpacked(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 100)
    archive = tmp_path / "own" / "set.tar"
    archive.parent.mkdir()
    member = tarfile.TarInfo("set/data.bin")
    member.size = 100
    with tarfile.open(archive, "w") as packed:
        packed.addfile(member, io.BytesIO(bytes(range(100))))
    monkeypatch.setenv("DEEPATOMS_DATA", str(archive.parent))
    whole = File("set.tar", hashlib.md5(archive.read_bytes()).hexdigest())
    assert files.locate(File("data.bin", "0" * 32, "set", archive=whole)).read_bytes() == bytes(range(100))


def test_a_server_may_send_just_as_much_as_is_allowed(cache, site, wanted, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", len(CONTENT))
    assert files.read([wanted]) == [CONTENT]
