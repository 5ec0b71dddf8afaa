"""The book's figures: one style, and a caption and a description for every one.

Draw in black what is ink: black becomes the colour of the surrounding text, and the background stays that of the page, so
that a figure reads in light and in dark. A caption says what was found (``$\\mu$`` is set as mathematics); a description
says in plain words what one sees, for those who cannot.
"""

import functools
import hashlib
import html
import io
import re

import numpy as np
from cycler import cycler
from IPython.display import display
from matplotlib import rcParams
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullLocator

from deepatoms import _doors
from deepatoms.pages import phone, vector
from deepatoms.theory.arguments import refuse

# Okabe and Ito's palette: distinguishable with every common form of colour blindness.
COLOURS = {"blue": "#0072B2", "orange": "#E69F00", "green": "#009E73", "red": "#D55E00", "purple": "#CC79A7",
           "sky": "#56B4E9", "grey": "#767676"}

# Pictures of numbers. Nothing is drawn where they are zero: the page shows through, light or dark, and more is more colour.
MAGNITUDE = LinearSegmentedColormap.from_list("magnitude", [to_rgba(COLOURS["blue"], opacity) for opacity in (0, 1)])
INK = LinearSegmentedColormap.from_list("ink", [to_rgba(COLOURS["grey"], opacity) for opacity in (0, 1)])
SIGNED = LinearSegmentedColormap.from_list("signed", [
    (place, to_rgba(COLOURS[colour], opacity)) for place, colour, opacity in (
        (0, "blue", 1), (0.5, "blue", 0), (0.5, "red", 0), (1, "red", 1))])
# Lines of an ordered series, from its first to its last: all are seen on black and on white.
ORDERED = LinearSegmentedColormap.from_list("ordered", [COLOURS["orange"], COLOURS["red"], "#A0579B", COLOURS["blue"]])

rcParams.update({
    "svg.hashsalt": "deepatoms", "svg.fonttype": "none",
    "font.size": 10.5, "axes.titlesize": 11, "legend.frameon": False, "figure.constrained_layout.use": True,
    "axes.labelpad": 8,  # a phone enlarges labels: they must not run into those of the ticks
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.8,
    "axes.prop_cycle": cycler(color=[COLOURS[name] for name in ("blue", "orange", "green", "red", "purple", "sky", "grey")]),
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    # Pixels of an image are stored as they are and enlarged by the browser.
    "image.interpolation": "none"})


def subplots(rows=1, columns=1, size=(7, 3.6), **options):
    """Return a figure and its axes in the book's style (``size`` in inches; it belongs to no pyplot window)."""
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, **options)


METADATA = "deepatoms"  # the key of what cells store for the scoreboard and for regress


def describe(figure, caption, description, findings=None):
    """Attach to a figure its caption (the finding) and its description (what one would see); return the figure.

    Args:
        figure: what ``subplots`` returned.
        caption: what the figure shows, ``$...$`` set as mathematics.
        description: what one sees, in plain words.
        findings: for each statement that caption or description makes of the drawn data, whether the data bear it out. A
            statement that they do not is contradicted at the head of the caption, and ``regress`` names the figure.

    Raises:
        ValueError: on an empty text, mathematics in the description, or a finding that is neither true nor false.

    >>> figure, axes = subplots()
    >>> describe(figure, "Nothing yet.", "")
    Traceback (most recent call last):
    ...
    ValueError: description = '' is empty; say in plain words what one sees, for those who cannot
    """
    _drawn("figure", figure)
    _words("caption", caption, "say in a sentence what the figure shows")
    _words("description", description, "say in plain words what one sees, for those who cannot")
    if re.search(r"\$|\\[a-z(]", description):
        refuse("description", description, "holds mathematics, which nobody can hear", "write it in words")
    figure.findings = {said: _truth(said, held) for said, held in (findings or {}).items()}
    broken = [said for said, held in figure.findings.items() if not held]
    figure.caption = "".join(f"Not in this run: {said}. " for said in broken) + caption
    figure.description = description
    return figure


def _truth(said, held):
    if not isinstance(held, (bool, np.bool_)):
        refuse(f"findings[{said!r}]", held, "is neither true nor false", "compute a condition from the drawn data", TypeError)
    return bool(held)


def show(figure, *words):
    """Show a figure: a described one, or one followed by its caption (the finding) and its description."""
    described = describe(figure, *words) if words else figure
    display({"text/html": page(described), "text/plain": plain(described)}, raw=True, metadata=stored_as(described.findings))


def stored_as(findings):
    """Return the metadata of an output that shows figures with these findings."""
    return {METADATA: {"findings": findings}} if findings else {}


def findings(notebook):
    """Return, by statement, whether the figures of a stored notebook bear it out; one that several make must hold in each."""
    held = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for said, holds in output.get("metadata", {}).get(METADATA, {}).get("findings", {}).items():
                held[said] = held.get(said, True) and holds
    return held


def page(figure):
    """Return the HTML of a described figure, which is drawn twice: for a page, and for a phone."""
    return (f'<figure class="deepatoms-figure">\n{both(svg(figure), for_phone(figure))}\n'
            f"<figcaption>{inline(figure.caption)}</figcaption>\n</figure>")


def wordless(figure):
    """Tell whether a figure shows no word and no number: it is the same on a phone, only smaller.

    >>> wordless(subplots()[0])
    False
    """
    said = [*figure.texts, *figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend() is not None)]
    return not said and not any(axes.axison or axes.texts or axes.get_title() for axes in figure.axes)


def for_phone(figure, prefix=None, places=()):
    """Return a described figure as SVG text for a phone (it is laid out anew for it, or takes the places of another's axes)."""
    phone.redraw(figure)
    place(figure, places)
    return svg(figure, prefix)


def both(wide, narrow):
    """Return the HTML of two drawings of which the style sheet shows one; the wide one where there is no style sheet."""
    return (f'<div class="deepatoms-wide">\n{wide}\n</div>\n'
            f'<div class="deepatoms-narrow" style="display:none">\n{narrow}\n</div>')


def plain(figure):
    """Return what stands for a described figure where nothing can be drawn."""
    return f"{figure.caption}\n[Figure: {figure.description}]"


@functools.cache
def web(name):
    """Return the text of one of the site's own scripts or style sheets."""
    return (_doors.book("web", "install the package again, or with pip install --editable") / name).read_text("utf-8")


def inline(caption):
    r"""Return a caption as HTML: its ``$...$`` marked as mathematics, its numbers set as a printer would.

    >>> inline("F < 1 at $k = 3$")
    'F &lt; 1 at <span class="math notranslate nohighlight">\\(k = 3\\)</span>'
    >>> inline("from -0.5 to 3.9e-01, within 2e-12")
    'from −0.5 to 0.39, within 2 × 10<sup>−12</sup>'
    """
    parts = re.split(r"\$([^$]+)\$", html.escape(caption, quote=False))
    parts[::2] = map(_numbers, parts[::2])
    parts[1::2] = [f'<span class="math notranslate nohighlight">\\({formula}\\)</span>' for formula in parts[1::2]]
    return "".join(parts)


def _numbers(text):
    """Set the numbers of a text: no ``e-01``, powers of ten as such, and a minus that is no hyphen."""
    text = re.sub(r"(?<![\w.])(-?\d+(?:\.\d+)?)e([-+]?\d+)(?!\w)", _power, text)
    return vector.MINUS.sub("−", text)


def _power(match):
    exponent = int(match[2])
    if -4 < exponent < 6:
        return f"{float(match[0]):.{max(0, _places(match[1]) - exponent)}f}"
    mantissa = "" if match[1] == "1" else f"{match[1]} × "
    return f"{mantissa}10<sup>{str(exponent).replace('-', '−')}</sup>"


def _places(mantissa):
    return len(mantissa.partition(".")[2])


def layout(figure):
    """Return the places of a drawn figure's axes."""
    return [axes.get_position(original=True) for axes in figure.axes]


def place(figure, places):
    """Put the axes of a figure at the places of another's: nothing jumps between the two, and no layout is computed."""
    if len(places) == len(figure.axes):
        figure.set_layout_engine("none")
        for axes, box in zip(figure.axes, places, strict=True):
            axes.set_position(box, which="original")


def svg(figure, prefix=None):
    """Return a described figure as SVG text, the same on every run; ``prefix`` begins its ids (a hash unless given)."""
    if not hasattr(_drawn("figure", figure), "caption"):
        refuse("figure", figure, "has no caption and no description", "call figures.describe(figure, caption, description)")
    for axes in figure.axes:
        _plain_powers(axes.xaxis)
        _plain_powers(axes.yaxis)
    buffer = io.StringIO()
    figure.set_dpi(144)  # the resolution of rasterised artists; lines have none
    # Straight to the canvas: savefig would draw everything a second time to learn the layout.
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    prefix = prefix or f"f{hashlib.sha256(buffer.getvalue().encode()).hexdigest()[:8]}-"
    return vector.tidy(buffer.getvalue(), prefix, figure.description)


class Powers(LogFormatterSciNotation):
    """Powers of ten as plain text: the page's font sets them, and they take a fraction of the time of mathematics."""

    def __call__(self, x, pos=None):
        """Return the label of a tick.

        >>> Powers()(0.01)
        '10⁻²'
        """
        return re.sub(r"\$\\mathdefault\{(.*)\^\{(-?\d+)\}\}\$", _with_superscript, super().__call__(x, pos))


def _with_superscript(found):
    return found[1].replace(r"\times", "×") + found[2].translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _plain_powers(axis):
    """Label a logarithmic axis in plain text; across two decades and more its minor ticks say nothing, and cost most."""
    if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
        axis.set_major_formatter(Powers())
        low, high = sorted(axis.get_view_interval())
        if axis.get_scale() == "log" and high >= 100 * low:
            axis.set_minor_locator(NullLocator())
        elif isinstance(axis.get_minor_formatter(), LogFormatterSciNotation):
            axis.set_minor_formatter(Powers(labelOnlyBase=False))


def _drawn(name, figure):
    if not isinstance(figure, Figure):
        refuse(name, figure, "is not a figure", "pass the figure that figures.subplots() returned", TypeError)
    return figure


def _words(name, value, remedy):
    if not isinstance(value, str):
        refuse(name, value, "is not text", remedy, TypeError)
    if not value.strip():
        refuse(name, value, "is empty", remedy)
