"""A chapter that is stored, and a site that is built, broken off at any moment: by a kill, by Ctrl-C, by a full disk."""

import os
import random
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from deepatoms.press import notebooks

KILLS = int(os.environ.get("DEEPATOMS_KILLS", "3"))
STORE = ("import pathlib, sys; print('ready', flush=True); from deepatoms.press import notebooks; "
         "notebooks.store(pathlib.Path(sys.argv[1]))")
BUILD = ("import pathlib, sys; from deepatoms.press import checkout, site; checkout.ROOT = pathlib.Path(sys.argv[1]); "
         "checkout.SITE = checkout.ROOT / '_build' / 'html'; print('ready', flush=True); site.build()")
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "


@pytest.fixture
def chapter(tmp_path):
    path = tmp_path / "tiny.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in ("x = 'a' * 3000", "print(x)")]
    path.write_text(notebooks.dumps(nbformat.v4.new_notebook(cells=cells)))
    return path


@pytest.mark.slow
def test_kills_at_random_moments_leave_the_notebook_whole(chapter):
    before, chance = chapter.read_bytes(), random.Random(0)
    for number in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", STORE, chapter], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        process.stdout.readline()
        time.sleep(chance.uniform(0, 6))
        process.send_signal((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[number % 3])
        process.wait()
        process.stdout.close()
        if chapter.read_bytes() != before:
            assert notebooks.faults(chapter) == []
            before = chapter.read_bytes()
    notebooks.store(chapter)
    assert notebooks.faults(chapter) == []


@pytest.mark.slow
def test_a_full_disk_is_told_by_the_notebook_s_name_and_leaves_it(chapter):
    before = chapter.read_bytes()
    full = subprocess.run([sys.executable, "-c", FULL + STORE, chapter], capture_output=True, text=True, check=False)
    assert full.returncode == 1 and "tiny.ipynb was not stored, and is as it was" in full.stderr.splitlines()[-1]
    assert chapter.read_bytes() == before
    assert [path.name for path in chapter.parent.iterdir()] == ["tiny.ipynb"]


@pytest.mark.parametrize("damage", [lambda content: content[:len(content) // 2], lambda content: b"", lambda content: b"\xff\xfe",
                                    lambda content: b"[1, 2]"])
def test_a_damaged_notebook_is_refused_by_name_and_remedy(chapter, damage):
    chapter.write_bytes(damage(chapter.read_bytes()))
    damaged = chapter.read_bytes()
    with pytest.raises(SystemExit, match=r"tiny\.ipynb is no whole notebook.*git checkout") as told:
        notebooks.store(chapter)
    assert "\n" not in str(told.value) and chapter.read_bytes() == damaged


@pytest.fixture
def book(tmp_path):
    """A book of three pages, and the words of its pages once it is built."""
    (tmp_path / "_config.yml").write_text("title: Tiny\nonly_build_toc_files: true\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: one\nchapters:\n- file: two\n- file: three\n")
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\n" + f"All of page {name}. " * 500 + "\n\nThe end.\n")
    return tmp_path


def build(book, **options):
    return subprocess.Popen([sys.executable, "-c", BUILD, book], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            start_new_session=True, **options)


def half_pages(book):
    pages = [book / "_build" / "html" / f"{name}.html" for name in ("one", "two", "three")]
    return [page.name for page in pages if not page.exists() or not page.read_text("utf-8").rstrip().endswith("</html>")]


@pytest.mark.slow
@pytest.mark.parametrize("broken_off", [True, False])
def test_a_page_half_written_by_a_build_broken_off_is_written_anew(book, broken_off):
    assert build(book).wait() == 0 and half_pages(book) == []
    page = book / "_build" / "html" / "two.html"
    page.write_bytes(page.read_bytes()[:5000])
    if broken_off:
        (book / "_build" / "begun").touch()
    assert build(book).wait() == 0
    assert half_pages(book) == ([] if broken_off else ["two.html"]), "Sphinx by itself takes it for whole"


@pytest.mark.slow
def test_kills_at_random_moments_leave_no_half_page_behind_the_next_build(book):
    chance = random.Random(0)
    for _ in range(KILLS):
        process = build(book)
        process.stdout.readline()
        time.sleep(chance.uniform(0, 5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        (book / "two.md").write_text("# two\n\n" + f"Version {chance.random()}. " * 500)
    assert build(book).wait() == 0 and half_pages(book) == []
    assert not (book / "_build" / "begun").exists()
