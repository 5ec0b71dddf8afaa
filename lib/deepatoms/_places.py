"""Where the book's recorded results and web files are: in an installed package beside its modules, else in the checkout."""

import pathlib

PACKAGE = pathlib.Path(__file__).parent


def book(name, remedy):
    """Return the folder ``book/NAME``; raise FileNotFoundError with the remedy when it is neither here nor there.

    >>> (book("web", "look for it") / "explore.js").is_file()
    True
    """
    for place in (PACKAGE / "_book" / name, PACKAGE.parents[1] / "book" / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"book/{name} is neither in the package ({PACKAGE}) nor in a checkout around it; {remedy}")
