"""A figure's second drawing, for a screen as narrow as a phone's: panels below each other, words of their full size."""

import itertools
import re

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FixedLocator, NullFormatter

WIDTH = 3.6  # inches; the column of a phone
WORDS = 2.9  # inches beside an axis: what a title, a label or an entry of a legend may take
LOWEST, HIGHEST = 1.9, 2.8  # inches, of a panel that stood beside others
LINE = 0.2  # inches from line to line
LONGEST, ENTRY = 1.3, 2.1  # inches of a name beside an axis, and of one in a legend


def redraw(figure):
    """Lay a described figure out for a phone, in place: it is drawn no more for a wide page after this."""
    FigureCanvasAgg(figure)  # it measures words; the SVG has a canvas of its own
    _stack(figure)
    for axes in figure.axes:
        _break_words(figure, axes)
    for text in figure.texts:  # titles and labels of the whole figure among them
        text.set_text(_lines(figure, text, WORDS))
    for axes in figure.axes:
        if axes.get_legend() is not None:
            _lift_legend(figure, axes)
    for legend in list(figure.legends):
        _narrow_legend(figure, legend)
    _thin_ticks(figure)


def _panels(figure):
    """Return the panels of the figure's one grid in reading order, those of a cell together; None where there is no such grid."""
    inside = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    grids = {id(axes.get_subplotspec().get_gridspec()) for axes in inside}
    if len(grids) != 1 or any(len({*spec.rowspan}) > 1 or len({*spec.colspan}) > 1
                              for spec in (axes.get_subplotspec() for axes in inside)):
        return None
    cells = {}
    for axes in inside:
        cells.setdefault(axes.get_subplotspec().num1, []).append(axes)
    return [cells[number] for number in sorted(cells)]


def _stack(figure):
    """Give the figure a phone's width, and each panel a row of its own unless all are pictures."""
    width, height = figure.get_size_inches()
    panels = _panels(figure)
    grid = panels and panels[0][0].get_subplotspec().get_gridspec()
    if not panels or grid.ncols == 1:
        return figure.set_size_inches(WIDTH, height)
    if all(axes.images for cell in panels for axes in cell):
        columns = grid.ncols if grid.nrows > 1 else _columns(figure, panels)
        return _arrange(figure, panels, columns, height / grid.nrows * WIDTH / width * grid.ncols / columns)
    _name_axes(panels, grid)
    return _arrange(figure, panels, 1, min(max(height / grid.nrows, LOWEST), HIGHEST))


def _columns(figure, pictures):
    """Return how many pictures stand beside each other so that their titles do not meet."""
    widest = max(_inches(figure, cell[0].title) for cell in pictures)
    return max(1, min(len(pictures), int(WIDTH / max(widest + 0.1, 0.1))))


def _arrange(figure, panels, columns, high):
    """Put the panels into so many columns, each row of the given height in inches."""
    rows = -(-len(panels) // columns)
    figure.set_size_inches(WIDTH, rows * high)
    grid = GridSpec(rows, columns, figure=figure)
    for place, cell in enumerate(panels):
        for axes in cell:
            axes.set_subplotspec(grid[place])


def _name_axes(panels, grid):
    """Give each panel the labels that it shared with its neighbours."""
    for cell in panels:
        axes, spec = cell[0], cell[0].get_subplotspec()
        if axes.images:
            continue
        first = next(each[0] for each in panels if each[0].get_subplotspec().rowspan == spec.rowspan)
        last = next(each[0] for each in reversed(panels) if each[0].get_subplotspec().colspan == spec.colspan)
        if not axes.get_ylabel() and axes.get_shared_y_axes().joined(axes, first):
            axes.set_ylabel(first.get_ylabel())
        if not axes.get_xlabel() and axes.get_shared_x_axes().joined(axes, last):
            axes.set_xlabel(last.get_xlabel())
        axes.tick_params(labelleft=True, labelbottom=True)


def _break_words(figure, axes):
    """Break titles, labels and names beside an axis into lines that fit."""
    high = figure.get_size_inches()[1] / max(1, len(figure.axes))
    for text in (axes.title, axes.xaxis.label):
        text.set_text(_lines(figure, text, WORDS))
    axes.yaxis.label.set_text(_lines(figure, axes.yaxis.label, max(high, LOWEST) - 0.5))
    names = axes.get_yticklabels()
    if any(_inches(figure, name) > LONGEST for name in names):
        broken = [_lines(figure, name, LONGEST) for name in names]
        axes.set_yticks(axes.get_yticks(), broken)
        wanted = LINE * sum(name.count("\n") + 1 for name in broken) / max(high - 0.5, 0.5)
        figure.set_size_inches(WIDTH, figure.get_size_inches()[1] * max(1, wanted))


def _thin_ticks(figure):
    """Turn names below an axis that meet, and leave out the lesser numbers of an axis where they do."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        for axis, ends in ((axes.xaxis, ("x0", "x1")), (axes.yaxis, ("y0", "y1"))):
            if _meet(axis, *ends):
                axis.set_minor_formatter(NullFormatter())
                if axis is axes.xaxis and isinstance(axis.get_major_locator(), FixedLocator):
                    axes.tick_params(axis="x", rotation=90)


def _meet(axis, low, high):
    """Tell whether names or numbers along an axis run into each other."""
    boxes = [label.get_window_extent() for label in (*axis.get_ticklabels(), *axis.get_ticklabels(minor=True))
             if label.get_text() and label.get_visible()]
    ends = sorted((getattr(box, low), getattr(box, high)) for box in boxes)
    return any(before[1] > after[0] for before, after in itertools.pairwise(ends))


def _inches(figure, text):
    """Return how long a text is along its line."""
    box = text.get_window_extent(figure.canvas.get_renderer())
    return max(box.width, box.height) / figure.dpi if text.get_text().strip() else 0


def _lines(figure, text, room):
    """Return a text, broken between its words (never within a formula) where it takes more than the room in inches."""
    taken, words = 1.05 * _inches(figure, text), re.findall(r"(?:\$[^$]*\$|\S)+", text.get_text())
    if taken <= room or "\n" in text.get_text():
        return text.get_text()
    most, lines = max(1, len(text.get_text()) * room / taken), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _lift_legend(figure, axes):
    """Put a panel's legend above it, where no line can run through it; the title goes above the legend."""
    old = axes.get_legend()
    legend = axes.legend(*_entries(figure, axes, old), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2,
                         title=old.get_title().get_text() or None)
    high = legend.get_window_extent(figure.canvas.get_renderer()).height
    if axes.get_title():
        axes.set_title(axes.get_title(), pad=high / figure.dpi * 72 + 6)


def _narrow_legend(figure, old):
    figure.legends.remove(old)
    figure.legend(*_entries(figure, None, old), loc="outside upper left", ncols=1)


def _entries(figure, axes, legend):
    """Return handles and broken labels of a legend."""
    labels = [text.get_text() for text in legend.get_texts()]
    drawn, named = axes.get_legend_handles_labels() if axes else ([], [])
    own = dict(zip(named, drawn, strict=True))
    handles = [own.get(label, handle) for label, handle in zip(labels, legend.legend_handles, strict=True)]
    return handles, [_lines(figure, text, ENTRY) for text in legend.get_texts()]
