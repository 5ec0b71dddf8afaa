"""Minimum frame potentials of the cells of NAS-Bench-201, whose accuracies others have measured."""

import ast
import math

from deepatoms.data import benchmarks
from deepatoms.runs import results
from deepatoms.theory import frame_potential, induced
from deepatoms.theory.induced import graphs

NAME, NAME_FREE, NAME_SETTINGS = "frame-potential-nas201", "frame-potential-nas201-free", "frame-potential-nas201-settings"
NAMES = (NAME, NAME_FREE, NAME_SETTINGS)
CLAIMS = ("dfp.nas201_rank", "dfp.nas201_initial", "dfp.nas201_count", "dfp.nas201_beyond", "dfp.nas201_pooling",
          "dfp.nas201_choice", "dfp.nas201_settled")
# The benchmark's own order, as in the source of NASLib. Of the two orders in use it is the one in which the only cell that
# joins no input to its output is the only one of accuracy 10 %.
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
OPERATIONS = ("skip", "none", "conv 3", "conv 1", "pool 3")
IMAGE = 8  # F does not depend on it


def setting(cells, channels, magnitudes="unit"):
    """Return a configuration: how many copies of the cell, of how many channels, under which convention."""
    protocol = {"unit": {"iterations": 100, "rate": 0.05}, "free": {"iterations": 150, "rate": 0.03}}[magnitudes]
    return {"table": benchmarks.SOURCES["nas201"].table[:16], "cells": cells, "channels": channels, "magnitudes": magnitudes,
            "gain": 2.0, "seeds": [0, 1, 2], **protocol}


LEAD = setting(3, 4)
FREE = setting(1, 4, "free")
EVERY = 3  # of the cells at the other settings, which are only compared with the lead
OTHERS = {name: {**setting(*sizes), "every": EVERY} for name, sizes in
          (("1 cell", (1, 4)), ("2 cells", (2, 4)), ("1 cell, 8 channels", (1, 8)))}


def cell(architecture):
    """Return the edges of a cell from the benchmark's name for it.

    >>> cell("(0, 2, 3, 2, 3, 1)")[:2]
    [(0, 1, 'skip'), (0, 2, 'conv 3')]
    """
    return [(*edge, OPERATIONS[number]) for edge, number in zip(EDGES, ast.literal_eval(architecture), strict=True)]


def connected(edges):
    """Tell whether a path leads from the cell's input to its output.

    >>> connected(cell("(1, 0, 1, 4, 0, 1)"))
    False
    """
    try:
        return bool(graphs.used(edges))
    except ValueError:
        return False


def overlaps(edges):
    """Return the number of overlapping pairs for each atom, N(G) / K, of one cell: what F divides by, known without descent."""
    net = induced.graph(edges, 4, 1, IMAGE)
    return net.structural_count / net.atoms


def potentials(edges, configuration, device="cpu"):
    """Return F at the start and F reached, for each seed, to six digits."""
    return potentials_of(induced.graph(edges, configuration["channels"], configuration["cells"], IMAGE), configuration, device)


def potentials_of(net, configuration, device="cpu"):
    """The same for a network of ``theory.induced``."""
    descent = frame_potential.Descent(configuration["iterations"], configuration["rate"], configuration["gain"])
    found = frame_potential.minimize(net, configuration["magnitudes"], configuration["seeds"], descent=descent, device=device)
    ends = ([history[0] for history in found.histories], found.energies)
    return [[float(f"{math.sqrt(max(energy, 0.0) / net.structural_count):.6g}") for energy in energies] for energies in ends]


def measure(configuration, device):
    """Return F at the start and F reached of every cell, for each seed; None for a cell that leads nowhere."""
    names = benchmarks.load("nas201").architectures[::configuration.get("every", 1)]
    cells = [cell(name) for name in names]
    cells = [tuple(graphs.used(edges)) if connected(edges) else None for edges in cells]
    # Many cells differ only in edges that nothing comes of.
    found = {edges: potentials(edges, configuration, device) for edges in dict.fromkeys(cells) if edges} | {None: (None, None)}
    return {"initial": [found[edges][0] for edges in cells], "reached": [found[edges][1] for edges in cells]}


measured = results.experiment(NAME, [LEAD], minutes=8, claims=CLAIMS,
                              title="Minimum frame potentials of the cells of NAS-Bench-201")(measure)
measured_free = results.experiment(NAME_FREE, [FREE], minutes=5, claims=CLAIMS[:1],
                                   title="The same with free magnitudes, one cell")(measure)
measured_settings = results.experiment(NAME_SETTINGS, list(OTHERS.values()), minutes=5, claims=CLAIMS[-1:],
                                       title="The same for one and two cells and eight channels, every third cell")(measure)
