"""The book's explorers: frames computed beforehand, moved by native sliders with and without a kernel.

What is stored and published is plain HTML: the first frame as an SVG image with its description, its caption, and all
frames in one JSON script, the lines that frames share once and the whole deflated. ``book/web/explore.js`` moves it, on the
page and in JupyterLab, where the same HTML is the view of an anywidget. A cell output therefore holds ``text/html`` beside
the widget's view; ``make store`` sets ``DEEPATOMS_STATIC=1``, under which no widget is made, so that nothing but the HTML
is stored.
"""

import base64
import hashlib
import itertools
import json
import math
import numbers
import os
import zlib
from dataclasses import dataclass

import numpy as np
from IPython import get_ipython
from IPython.display import display

from deepatoms.pages import figures
from deepatoms.theory.arguments import one_of, refuse

MOST_FRAMES = 100
MOST_BYTES = 1_000_000
PARTS = 4  # steps of a live slider from one stored number to the next


@dataclass(frozen=True)
class Frame:
    """One drawn state of an explorer: for a page, and for a phone (empty where it has no words, and where a kernel draws)."""

    svg: str
    caption: str
    narrow: str = ""

    @property
    def drawn(self):
        """Return the HTML of both drawings, of the only one where there is one."""
        return figures.both(self.svg, self.narrow) if self.narrow else self.svg


def explore(draw, start=None, between=(), **axes):
    """Show ``draw(**values)`` with one control for each axis: a slider for numbers, buttons for words.

    Args:
        draw: function of the axes' names that returns a described figure (``figures.describe``).
        start: the values with which the explorer opens, by axis; the first of an axis that it does not name.
        between: names of the axes on which a kernel may draw between the stored numbers.
        axes: for each keyword of ``draw`` the list of its values, numbers in order or texts, at least two.

    Raises:
        ValueError: when the axes make more frames than a page should carry, an axis is empty, out of order or holds NaN or a
            value twice, ``start`` or ``between`` names what is not there, a frame has no caption and description, or the
            frames take too much room. What ``draw`` itself raises, for a value between two stored numbers too.
    """
    explorer = Explorer(draw, axes, start or {}, between)
    bundle = {"text/html": explorer.page(), "text/plain": explorer.plain()}
    if not is_live():
        explorer.try_between()  # when a chapter is stored or tested, not while its reader waits
    else:
        from deepatoms.pages.widget import LiveExplorer
        bundle = LiveExplorer(explorer).bundle() | bundle
    display(bundle, raw=True, metadata=figures.stored_as(explorer.findings))


def is_live():
    """Tell whether a kernel runs us for somebody who can move a slider (not while outputs are being stored)."""
    return getattr(get_ipython(), "kernel", None) is not None and os.environ.get("DEEPATOMS_STATIC") != "1"


class Explorer:
    """All frames of a drawing function over a grid of values, and their HTML."""

    def __init__(self, draw, axes, start=None, between=()):
        if not callable(draw):
            refuse("draw", draw, "is not a function", "pass a function that returns a described figure", TypeError)
        self.draw, self.axes = draw, _checked(axes)
        self.start, self.between = _started(self.axes, start or {}), _continuous(self.axes, between)
        self.prefix = f"e{hashlib.sha256(json.dumps([list(axes), self._texts()]).encode()).hexdigest()[:8]}-"
        self.places, self.narrow_places = [], []  # of the axes in the first frame shown, for all others
        self.findings = {}  # by statement, whether every frame that makes it bears it out
        self.first = self.frame([values[place] for values, place in zip(self.axes.values(), self.start, strict=True)], True)
        self.frames = [self.frame(values, True) for values in itertools.product(*self.axes.values())]

    def frame(self, values, narrow=False):
        """Return the frame at one value for each axis, drawn now, for a phone too if asked."""
        chosen = dict(zip(self.axes, values, strict=True))
        figure = self.draw(**chosen)
        called = f"draw({', '.join(f'{name}={value!r}' for name, value in chosen.items())})"
        if not isinstance(figure, figures.Figure):
            refuse(called, figure, "is not a figure", "return figures.describe(figure, caption, description)", TypeError)
        if not hasattr(figure, "caption"):
            refuse(called, figure, "has no caption and no description",
                   "return figures.describe(figure, caption, description)")
        for said, held in figure.findings.items():
            self.findings[said] = self.findings.get(said, True) and held
        figures.place(figure, self.places)
        drawn = figures.svg(figure, self.prefix)
        self.places = self.places or figures.layout(figure)
        narrow = narrow and not figures.wordless(figure)
        return Frame(drawn, figures.inline(figure.caption), self._narrow(figure) if narrow else "")

    def try_between(self):
        """Draw what a kernel may be asked for beside the stored frames, and keep the findings of it."""
        for chosen in itertools.product(*self.stops()):
            if not all(stop["stored"] for stop in chosen):
                self.frame([stop["value"] for stop in chosen])

    def _narrow(self, figure):
        drawn = figures.for_phone(figure, f"{self.prefix}n", self.narrow_places)
        self.narrow_places = self.narrow_places or figures.layout(figure)
        return drawn

    def page(self):
        """Return the HTML that is stored and published."""
        axes = [{"name": name.replace("_", " "), "values": texts, "words": isinstance(self.axes[name][0], str)}
                for name, texts in zip(self.axes, self._texts(), strict=True)]
        data = json.dumps({"axes": axes, "start": self.start, "packed": self._packed()}, ensure_ascii=False)
        data = data.replace("<", "\\u003c")
        page = (f'<figure class="deepatoms-explorer">\n<div class="deepatoms-frame">\n{self.first.drawn}\n</div>\n'
                f'<figcaption>{self.first.caption}</figcaption>\n'
                f'<script type="application/json">{data}</script>\n</figure>')
        if len(page) > MOST_BYTES:
            refuse("axes", f"{len(self.frames)} frames", f"take {len(page):,} bytes with the first frame, more than the "
                   f"{MOST_BYTES:,} of a page", "draw fewer points, pass rasterized=True to heavy artists, or take fewer values")
        return page

    def plain(self):
        """Return what stands for the explorer where nothing can be drawn."""
        counts = ", ".join(f"{name}: {len(values)} values" for name, values in self.axes.items())
        return f"[Explorer of {len(self.frames)} frames; {counts}]"

    def stops(self):
        """Return what a live control stops at, for each axis: stored values, and values to be computed where ``between`` says."""
        return [_stops(values, name in self.between) for name, values in self.axes.items()]

    def _texts(self):
        return [[text(value) for value in values] for values in self.axes.values()]

    def _packed(self):
        numbers_of_lines = {}
        indices = [[numbers_of_lines.setdefault(line, len(numbers_of_lines)) for line in frame.drawn.split("\n")]
                   for frame in self.frames]
        content = json.dumps({"lines": list(numbers_of_lines), "frames": indices,
                              "captions": [frame.caption for frame in self.frames]}, ensure_ascii=False, separators=(",", ":"))
        return base64.b64encode(zlib.compress(content.encode(), 9)).decode()


def text(value):
    """Return how a slider says a value.

    >>> text(0.30000000000000004), text(16), text("chain")
    ('0.3', '16', 'chain')
    """
    return f"{value:.4g}" if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral) else str(value)


def _checked(axes):
    if not axes:
        refuse("axes", axes, "are missing", "pass at least one keyword with its list of values, for example depth=[2, 4, 8]")
    checked = {name: _values(name, values) for name, values in axes.items()}
    count = math.prod(len(values) for values in checked.values())
    if count > MOST_FRAMES:
        shape = " x ".join(str(len(values)) for values in checked.values())
        refuse("axes", list(checked), f"make {shape} = {count} frames, more than the {MOST_FRAMES} of a page",
               "take fewer values on an axis")
    return checked


def _values(name, values):
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        refuse(name, values, "is not a list of values", f"pass a list, for example {name}=[2, 4, 8]", TypeError)
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if len(values) < 2:
        refuse(name, values, "leaves nothing to move", "pass at least two values, or fix it inside draw")
    for value in values:
        if not isinstance(value, (str, numbers.Real)):
            refuse(name, value, "is neither a number nor a text",
                   "pass numbers or texts, and look other things up in draw", TypeError)
        if not isinstance(value, str) and not math.isfinite(value):
            refuse(name, value, "is not finite", "pass finite numbers")
    if len({isinstance(value, str) for value in values}) > 1:
        refuse(name, values, "mixes words with numbers", "pass words (buttons) or numbers (a slider)", TypeError)
    if not isinstance(values[0], str) and sorted(values) not in (values, values[::-1]):
        refuse(name, values, "is out of order", "sort it, and say with start= where to begin")
    texts = [text(value) for value in values]
    if len(set(texts)) < len(texts):
        refuse(name, values, f"says {max(texts, key=texts.count)} twice", "pass values that differ in four digits")
    return values


def _started(axes, start):
    """Return for each axis the place of the value with which the explorer opens."""
    for name, value in start.items():
        one_of("start", name, list(axes))
        if value not in axes[name]:
            refuse(f"start[{name!r}]", value, f"is not a value of {name}", f"take one of {axes[name]}")
    return [values.index(start[name]) if name in start else 0 for name, values in axes.items()]


def _continuous(axes, between):
    for name in between:
        one_of("between", name, [each for each, values in axes.items() if not isinstance(values[0], str)])
    return tuple(between)


def _stops(values, continuous):
    stops = []
    for index, (value, following) in enumerate(itertools.pairwise([*values, None])):
        stops.append({"text": text(value), "value": value, "nearest": index, "stored": True})
        inner = _between(value, following) if continuous else []
        stops += [{"text": text(each), "value": each, "nearest": index + (each - value > following - each), "stored": False}
                  for each in inner if text(each) not in (text(value), text(following))]
    return stops


def _between(value, following):
    """Return the values that a live slider adds between two neighbours: integers between integers, quarters otherwise."""
    if not all(isinstance(each, numbers.Real) and not isinstance(each, bool) for each in (value, following)):
        return []
    whole = isinstance(value, int) and isinstance(following, int)
    steps = [value + (following - value) * step / PARTS for step in range(1, PARTS)]
    return sorted({round(step) for step in steps} - {value, following}, reverse=value > following) if whole else steps
