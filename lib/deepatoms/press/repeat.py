"""A plugin of pytest that stands beside nbval: what a cell measured now, against the outcomes stored with it.

nbval compares text, the verdicts. Measured numbers are not in it: in their last digits they are the machine's. Their
meaning is compared here: the same checks, the same results, numbers within their tolerances.
"""

import pytest

# How the chapters are tested; the Makefile has the same words.
NBVAL = ("--nbval-lax", "--nbval-current-env", "-p", "deepatoms.press.repeat")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Let nbval run a cell and compare its text, then compare its outcomes; fail the cell when they differ."""
    done = yield
    if (fresh := getattr(item, "test_outputs", None)) is not None:  # only a cell that nbval has run has these
        _compare(item, fresh)
    return done


def _compare(item, fresh):
    # Imported where a cell has run: the plugin is loaded by every run of pytest that names it.
    from nbval.plugin import NbCellError

    from deepatoms.pages.chapter import outcomes
    from deepatoms.press import regress
    if found := regress.differences(outcomes(item.cell.outputs), outcomes(fresh), seed=0):
        raise NbCellError(item.cell_num, "Its checks came out otherwise than stored", item.cell.source, "\n".join(found))
