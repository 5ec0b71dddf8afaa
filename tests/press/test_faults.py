"""Storing a chapter, broken off: by a kill at any moment, by Ctrl-C, by a full disk; the notebook is whole, old or new."""

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
