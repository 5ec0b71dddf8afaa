"""One small network as each of the five theories sees it: the figure of the page that sets them side by side."""

import functools

import numpy as np
import torch
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.studies.five_lenses import planar
from deepatoms.studies.five_lenses.planar import BLOCKS, UNITS, WIDTH
from deepatoms.studies.spline_partitions import moons
from deepatoms.theory import dictionaries, partition, skip_dictionaries

AT = (0.5, 0.25)  # between the moons: the input that codes, matrices and template belong to
SHADES = ("blue", "orange", "green")  # of the blocks, in every panel


def setup(app):
    """Register the extension with Sphinx."""
    app.add_directive("five-views", FiveViews)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class FiveViews(SphinxDirective):
    """The figure, drawn when the page is built."""

    def run(self):
        """Return the figure as raw HTML, and note on which files it rests."""
        for file in (__file__, planar.__file__):
            self.env.note_dependency(file)
        self.env.get_domain("math").data["has_equations"][self.env.docname] = True  # its caption needs MathJax
        return [nodes.raw("", figures.page(draw()), format="html")]


@functools.lru_cache(maxsize=2)
def trained(seed=0):
    """Return the planar network of :mod:`~deepatoms.studies.five_lenses.planar`, trained on two half-moons."""
    return planar.trained(*moons.moons(seed), seed)


def draw(seed=0):
    """Return the described figure: the network, and five panels, one a theory."""
    model, x = trained(seed), torch.tensor(AT, dtype=torch.float64)
    figure, axes = figures.subplots(2, 3, size=(7.6, 5.4))
    panels = axes.ravel()
    _network(panels[0])
    seen = (_dictionary(panels[1], model), _codes(panels[2], model, x), _spectra(panels[3], model, x),
            _regions(panels[4], model, x), _risks(panels[5], model, seed))
    return _describe(figure, *seen)


def _network(axes):
    """The stem, three blocks with the arc that goes round each, and the head."""
    names = ["input", *(f"block {number}" for number in range(1, BLOCKS + 1)), "scores"]
    heights = np.linspace(0.9, 0.1, len(names))
    for name, y, colour in zip(names, heights, ("grey", *SHADES, "grey"), strict=True):
        axes.text(0.42, y, name, ha="center", va="center", fontsize=10,
                  bbox={"boxstyle": "round,pad=0.35", "facecolor": "none", "edgecolor": COLOURS[colour], "linewidth": 1.8})
    for above, below in zip(heights, heights[1:], strict=False):
        axes.annotate("", (0.42, below + 0.07), (0.42, above - 0.07), arrowprops={"arrowstyle": "->"})
    for y in heights[1:-1]:
        axes.annotate("", (0.42, y - 0.085), (0.42, y + 0.085), arrowprops={
            "arrowstyle": "->", "connectionstyle": "bar,fraction=-1.3", "color": COLOURS["grey"]})
    axes.text(0.78, heights[2], "skips", ha="center", va="center", fontsize=10)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], title="the network")
    axes.set_axis_off()


def _dictionary(axes, model):
    B = planar.dictionary(model)
    axes.imshow(abs(B), cmap=figures.MAGNITUDE, vmax=1)
    axes.set(xticks=[], yticks=[], title="frame potential", xlabel="one dictionary")
    return float(dictionaries.frame_potential(dictionaries.normalize(B)))


def _codes(axes, model, x):
    found = planar.codes(model, x)
    for number, (code, colour) in enumerate(zip(found, SHADES, strict=True)):
        places = np.arange(UNITS) + number * (UNITS + 1)
        axes.bar(places, code, color=COLOURS[colour])
        axes.plot(places[code == 0], np.zeros((code == 0).sum()), "x", color=COLOURS["grey"], markersize=4)
    axes.set(xticks=(np.arange(BLOCKS) + 0.42) * (UNITS + 1), title="ML-CSC", ylabel="code")
    axes.set_xticklabels([f"block {number}" for number in range(1, BLOCKS + 1)])
    return (found > 0).sum(1)


def _spectra(axes, model, x):
    terms, order = planar.matrices(model, x), np.arange(1, WIDTH + 1)
    alone, skipped = (skip_dictionaries.singular_values(D) for D in (terms, skip_dictionaries.residual_dictionary(terms)))
    for values, others, colour in zip(skipped, alone, SHADES, strict=True):
        axes.plot(order, values, "o-", color=COLOURS[colour], markersize=4)
        axes.plot(order, others, "x:", color=COLOURS[colour], markersize=4)
    axes.plot([], [], "o-", color="black", markersize=4, label="with identity")
    axes.plot([], [], "x:", color="black", markersize=4, label="without")
    axes.set(title="skip dictionaries", xlabel="singular value", xticks=order)
    axes.legend(fontsize=9)
    return alone[:, -1], skipped[:, -1]


def _regions(axes, model, x):
    found = partition.slice_plane(model, moons.BOX)
    low, high = moons.BOX[0].numpy(), np.array([moons.BOX[1, 0], moons.BOX[2, 1]])
    for polygon in found.polygons():
        corners = np.round(low + np.concatenate([polygon, polygon[:1]]) * (high - low), 2)
        axes.plot(*corners.T, color=COLOURS["grey"], linewidth=0.5)
    for segment in np.round(low + found.decision_boundary() * (high - low), 2):
        axes.plot(*segment.T, color="black", linewidth=1.8)
    row = planar.template(model, x)
    axes.annotate("", x.numpy() + 1.3 * row / np.linalg.norm(row), x.numpy(),
                  arrowprops={"arrowstyle": "->", "color": COLOURS["red"], "linewidth": 2})
    axes.plot(*x.numpy(), "o", color=COLOURS["red"], markersize=5)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], title="splines",
             xlabel="regions and a template")
    return len(found)


def _risks(axes, model, seed):
    found = planar.risks(model, *moons.moons(seed))
    axes.bar(range(BLOCKS + 1), found, color=[COLOURS[name] for name in ("grey", *SHADES)])
    axes.set(title="ResNEsts", ylabel="least training risk", xlabel="blocks", xticks=range(BLOCKS + 1))
    return found


def _describe(figure, potential, active, spectra, regions, found):
    alone, skipped = spectra
    sizes = ", ".join(map(str, active))
    return figures.describe(
        figure, f"One network, trained on two half-moons, and what five theories see in it. Frame potential: one dictionary of "
        f"learned and fixed blocks, $F = {potential:.3f}$. ML-CSC: the forward pass as a pursuit; at one input {sizes} of "
        f"{UNITS} atoms of the three blocks are in the code. Skip dictionaries: the same blocks as matrices; the least singular "
        f"value is {alone.max():.2f} at most without the identity and {skipped.min():.2f} at least with it. Splines: {regions} "
        "regions, each with a template of its own; the arrow is that of the dot's region. ResNEsts: what the best linear "
        f"predictor on the blocks leaves, from {found[0]:.2f} on the input to {found[-1]:.2f} after the last block.",
        "Six panels. The network: input, three blocks with an arc round each, scores. A large matrix, mostly empty, with "
        "blocks on and below its diagonal. Bars for the units of each block, crosses where a unit is off. Singular values of "
        "three matrices, falling, those with the identity above zero at the end. A square cut into polygons by thin lines, a "
        "thick decision boundary, and an arrow from a dot. Four bars of risk, for the input and after each block.",
        {"the identity lifts the least singular value of every block": bool((skipped > alone).all()),
         "the best linear predictor errs less after the last block than on the input": found[-1] < found[0],
         "in every block some unit is off": bool((active < UNITS).all())})
