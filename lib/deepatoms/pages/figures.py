"""The book's figures: one style, and a caption and a description for every one."""

import html
import io

from IPython.display import HTML, display
from matplotlib import rcParams
from matplotlib.figure import Figure

# Okabe and Ito's palette: distinguishable with every common form of colour blindness.
COLOURS = {"blue": "#0072B2", "orange": "#E69F00", "green": "#009E73", "red": "#D55E00", "purple": "#CC79A7",
           "sky": "#56B4E9", "grey": "#767676"}

rcParams.update({"svg.hashsalt": "deepatoms", "svg.fonttype": "none", "axes.spines.top": False,
                 "axes.spines.right": False, "figure.constrained_layout.use": True, "font.size": 10,
                 "legend.frameon": False, "figure.facecolor": "none", "axes.facecolor": "none"})


def subplots(rows=1, columns=1, size=(7, 3.6), **options):
    """Return a figure and its axes in the book's style (``size`` in inches; it belongs to no pyplot window)."""
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, **options)


def describe(figure, caption, description):
    """Attach to a figure its caption (the finding) and its description (what one would see); return the figure."""
    figure.caption, figure.description = caption, description
    return figure


def show(figure, caption, description):
    """Show a figure with its caption (the finding, in Markdown-free text) and its description (for those who cannot see it)."""
    display(HTML(page(describe(figure, caption, description))))


def page(figure):
    """Return the HTML of a described figure."""
    return (f'<figure class="deepatoms-figure" role="group">{svg(figure)}'
            f"<figcaption>{html.escape(figure.caption)}</figcaption></figure>")


def svg(figure):
    """Return the figure as SVG text, the same on every run."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
