"""How many threads a report takes: one for a small network, where threads that wait for each other cost more than they save."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from deepatoms.theory.signatures import named

# Multiply-adds of one input: below it threads lose more by waiting for each other than they win. A ResNet-20 on CIFAR (4e7), 256
# inputs, takes 49 s on two threads of a quiet machine and 63 s on one, in 91 and 63 CPU seconds.
SMALL = 3e7


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Let torch compute with so many threads at most; afterwards it has as many as before, also after an error.

    >>> before = torch.get_num_threads()
    >>> with at_most(1):
    ...     print(torch.get_num_threads())
    1
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(count, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fitting_work(work: float) -> AbstractContextManager[None]:
    """Return the threads for a network that takes so many multiply-adds for one input: one below ``SMALL``, else those there are.

    >>> with fitting_work(1e3):
    ...     print(torch.get_num_threads())
    1
    """
    return at_most(1 if work < SMALL else torch.get_num_threads())


named(__name__)
