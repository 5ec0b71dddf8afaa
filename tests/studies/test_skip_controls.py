"""A control of the chapter on skip dictionaries is measured on altered data: it is no function of the measured number."""

import math

import pytest

from deepatoms.claims import checking
from deepatoms.claims.checking import Measurement, Setting
from deepatoms.studies.skip_dictionaries import comparison

MIRRORS = {"-x": lambda x: -x, "1/x": lambda x: 1 / x if x else math.inf, "1-x": lambda x: 1 - x}


def mirror(pairs):
    """Return how all the controls follow from what was measured, or None; ``pairs`` are (measured, control)."""
    for name, function in MIRRORS.items():
        if all(math.isclose(control, function(measured), abs_tol=1e-12) for measured, control in pairs):
            return name
    ratios = [control / measured for measured, control in pairs if measured]
    varied = len({measured for measured, _ in pairs}) == len(pairs) == len(ratios)
    return f"{ratios[0]:g} x" if varied and any(ratios) and all(math.isclose(ratio, ratios[0]) for ratio in ratios) else None


@pytest.fixture
def outcomes(monkeypatch):
    """Run every check of the chapter with two seeds, on untrained nets: it is the numbers' origin that is tested."""
    monkeypatch.setattr(comparison, "train", lambda setting, nets, *_, **__: [net.eval() for net in nets])
    entries = [entry for entry in checking.registered("skip-dictionaries")
               if entry.evidence.count is not None and entry.records is None]
    return {entry.id: [entry.function(Setting(seed=seed)) for seed in (901, 902)] for entry in entries}


def exempt(found):
    """Counts, and extremes that an example attains exactly, can be 0 and 1 by right: there nothing can be read off."""
    return all(abs(value - round(value)) < 1e-9 for one in found for value in (one.measured, one.control))


@pytest.mark.slow
def test_no_control_is_a_mirror_of_what_was_measured(outcomes):
    mirrored = {name: mirror([(one.measured, one.control) for one in found]) for name, found in outcomes.items()
                if not exempt(found)}
    assert {name: how for name, how in mirrored.items() if how} == {}
    assert len(mirrored) > 40
    assert all(one.count is not None for found in outcomes.values() for one in found)


@pytest.mark.parametrize("function, name", [(lambda x: -x, "-x"), (lambda x: 1 / x, "1/x"), (lambda x: 4 * x, "4 x"),
                                            (lambda x: 1 - x, "1-x"), (lambda x: x + 1, None)])
def test_a_mirror_is_seen(function, name):
    found = [Measurement(x, function(x)) for x in (0.3, 0.7)]
    assert mirror([(one.measured, one.control) for one in found]) == name
