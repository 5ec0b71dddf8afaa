"""Live figures: the page computes, with the theory in a few hundred lines of script that the tests hold to the library.

What is stored is plain HTML: a still picture with its description, a caption, and the data as one JSON script. The scripts of
``book/web/live`` put the live figure in the picture's place, on the page without a kernel and in JupyterLab as an anywidget.
"""

import json

from IPython.display import display

from deepatoms.pages import figures
from deepatoms.pages.explore import is_live
from deepatoms.theory.arguments import one_of, refuse

SCRIPTS = {"draw-a-digit": ("network.js", "draw-a-digit.js"), "drag-the-atoms": ("drag-the-atoms.js",),
           "type-a-matrix": ("type-a-matrix.js",), "partition-playground": ("planar.js", "partition-playground.js"),
           "recovery-bench": ("pursuits.js", "recovery-bench.js"), "architecture-chooser": ("architecture-chooser.js",),
           "two-layer-bench": ("pursuits.js", "layers.js", "two-layer-bench.js")}
MOST_BYTES = 300_000


def live(name, still, data):
    """Show a live figure.

    Args:
        name: one of ``SCRIPTS``.
        still: a described figure (``figures.describe``): what stands where no script runs, in print and in the PDF.
        data: plain data (JSON) that the figure's script takes.

    Raises:
        ValueError: an unknown name, a still picture without a description, or data beyond ``MOST_BYTES``.
    """
    bundle = {"text/html": page(name, still, data), "text/plain": figures.plain(still)}
    if is_live():
        from deepatoms.pages.widget import LivePage
        bundle = LivePage(bundle["text/html"], SCRIPTS[name]).bundle() | bundle
    display(bundle, raw=True, metadata=figures.stored_as(still.findings))


def page(name, still, data):
    """Return the HTML that is stored and published."""
    one_of("name", name, list(SCRIPTS))
    if not hasattr(still, "caption"):
        refuse("still", still, "has no caption and no description", "pass figures.describe(figure, caption, description)")
    packed = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    if len(packed) > MOST_BYTES:
        refuse("data", f"{len(packed):,} bytes", f"are more than the {MOST_BYTES:,} of a page", "send a smaller network")
    return (f'<figure class="deepatoms-live" data-live="{name}">\n<div class="deepatoms-still">\n{figures.svg(still)}\n</div>\n'
            f"<figcaption>{figures.inline(still.caption)}</figcaption>\n"
            f'<script type="application/json">{packed}</script>\n</figure>')
