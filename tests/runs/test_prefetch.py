"""What is begun ahead comes out as if it were computed when it is asked for."""

import os
import signal

import numpy as np
import pytest

from deepatoms.claims import checking
from deepatoms.runs import prefetch
from deepatoms.studies.resnests.checks import landscape


@pytest.fixture
def begun(monkeypatch):
    """Begin some calls of a function that other processes can import; forget them afterwards."""
    ends = landscape.ends
    monkeypatch.setattr(ends, "found", {})
    monkeypatch.setattr(ends, "begun", {})

    def begin(*arguments, device="cpu"):
        monkeypatch.setattr(prefetch, "_planned", {})
        prefetch.plan("a chapter", *((ends, *each) for each in arguments))
        setting = checking.Setting(5, device)
        prefetch.begin("a chapter", setting)
        return setting

    return begin


def risks(ends):
    return [end.risk for _, _, end in ends]


def test_another_process_finds_the_same(begun):
    setting = begun((3, 2), (4, 1))
    assert len(landscape.ends.begun) == 2
    second = landscape.ends(setting, 4, 1)
    assert not landscape.ends.begun and len(landscape.ends.found) == 2, "the first in the queue came with the second"
    np.testing.assert_allclose(risks(second), risks(landscape.ends.function(setting, 4, 1)), rtol=1e-12)
    assert landscape.ends(setting, 4, 1) is second


def test_what_is_not_begun_is_computed_here(begun):
    setting = begun((3, 2), device="cuda")
    assert not landscape.ends.begun
    assert len(landscape.ends(setting, 3, 1)) == 1
    prefetch.begin("another chapter", setting)
    assert not landscape.ends.begun


def test_an_error_in_the_other_process_is_raised_and_the_rest_computed_here(begun):
    setting = begun((3, "two"), (3, 1))
    with pytest.raises(TypeError):
        landscape.ends(setting, 3, "two")
    assert len(landscape.ends(setting, 3, 1)) == 1


def test_a_killed_process_is_told_and_its_part_computed_here(begun):
    setting = begun((3, Deadly()), (3, 1))
    with pytest.warns(RuntimeWarning, match="was killed"):
        assert len(landscape.ends(setting, 3, 1)) == 1
    assert not landscape.ends.begun


class Deadly:
    """An argument that kills the process in which it is used as a number; here it is none, and harmless."""

    def __index__(self):
        os.kill(os.getpid(), signal.SIGKILL)
