"""Tables of numbers as a page shows them: words and units in the heading, numbers one below the other."""

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

from IPython.display import display

from deepatoms.pages import figures
from deepatoms.theory.arguments import refuse

NUMBER = re.compile(r"[-−+<]?[\d.,]+(e[-+]\d+)?%?( \[.*\]| \(\d+\)| (of|at|to|→) \S+)?|[–·]|not run|-?inf|nan|")


class Table(NamedTuple):
    """A table: its heading, its rows (the first cell names the row), and a sentence that says what it shows.

    >>> print(Table(("net", "F"), [("chain", "0.14"), ("dense", "0.1")], "Two nets."))
    Two nets.
    net       F
    chain  0.14
    dense   0.1
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str

    def __str__(self):
        lines = [tuple(map(str, line)) for line in (self.head, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = [False, *(self.is_numeric(place) for place in range(1, len(self.head)))]
        return "\n".join([self.caption, *("  ".join(
            cell.rjust(width) if far else cell.ljust(width)
            for cell, width, far in zip(line, widths, right, strict=True)).rstrip() for line in lines)])

    def is_numeric(self, place):
        """Tell whether a column holds numbers, which stand at its right."""
        return all(NUMBER.fullmatch(str(row[place])) for row in self.rows)


def show(*shown):
    """Show tables, each under its caption.

    Raises:
        ValueError: a row with more or fewer cells than the heading, or a caption that says nothing.
    """
    for each in shown:
        _demand_whole(each)
        display({"text/html": page(each), "text/plain": str(each)}, raw=True)


def _demand_whole(table):
    for row in table.rows:
        if len(row) != len(table.head):
            refuse("row", row, f"has {len(row)} cells under a heading of {len(table.head)}", "give one for each column")
    if not table.caption.strip():
        refuse("caption", table.caption, "is empty", "say in a sentence what the table shows")


def page(table):
    r"""Return a table as HTML; ``$...$`` is set as mathematics and numbers as a printer would.

    >>> "<td class=\"deepatoms-number\">−1</td>" in page(Table(("a", "b"), [("x", "-1")], "One."))
    True
    """
    right = [False, *(table.is_numeric(place) for place in range(1, len(table.head)))]
    head = "".join(f'<th scope="col"{_at(far)}>{figures.inline(str(cell))}</th>' if cell else "<td></td>"
                   for cell, far in zip(table.head, right, strict=True))
    body = "\n".join(_row(row, right) for row in table.rows)
    label = html.escape(re.sub(r"[$\\]", "", table.caption))
    return (f'<div class="deepatoms-scroll" tabindex="0" role="region" aria-label="{label}">\n<table class="deepatoms-table">'
            f"<caption>{figures.inline(table.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n"
            "</table></div>")


def _row(row, right):
    first = f'<th scope="row">{figures.inline(str(row[0]))}</th>'
    return f"<tr>{first}" + "".join(f"<td{_at(far)}>{figures.inline(str(cell))}</td>"
                                    for cell, far in zip(row[1:], right[1:], strict=True)) + "</tr>"


def _at(far):
    return ' class="deepatoms-number"' if far else ""
