"""Minimum frame potentials of networks of the DARTS space, whose accuracies the surrogate of NAS-Bench-301 tells.

A cell (Liu, Simonyan and Yang, 2019) reads the outputs of the two cells before it; each of its four nodes sums two
operations of earlier nodes, and its output is all four, one beside the other. Separable convolutions come twice in a row.
As dictionaries know linear maps only, maximum pooling counts as the average over the same positions, or as no operation;
all cells stand on one grid, strides left out.
"""

import ast

from deepatoms.data import benchmarks
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential.benchmarks import potentials_of
from deepatoms.theory import induced

NAME, NAME_SETTINGS = "frame-potential-nas301", "frame-potential-nas301-settings"
CLAIMS = ("dfp.nas301_rank", "dfp.nas301_initial", "dfp.nas301_count", "dfp.nas301_beyond", "dfp.nas301_choice",
          "dfp.nas301_settled")
# The numbers of the published names, in the order of DARTS without "none"; another order rebuilds other parameter counts.
OPERATIONS = ("maximum", "pool 3", "skip", "separable 3", "separable 5", "dilated 3", "dilated 5")
POOLINGS = (0, 1)
NODES = 4
IMAGE = 32  # F does not depend on it
CHANNELS, CLASSES, STEM, WIDENED = 32, 10, 3, 3
MACRO = "nnrnnrnn"
PARTS = 8


def setting(cells="nr", steps=50, maximum="pool 3"):
    """Return a configuration: normal and reduction cells in their order, steps of descent, what maximum pooling counts as."""
    return {"table": benchmarks.SOURCES["nas301"].table[:16], "cells": cells, "channels": 4, "maximum": maximum,
            "magnitudes": "unit", "gain": 2.0, "seeds": [0, 1, 2], "iterations": steps, "rate": 0.05}


LEAD = setting()
EVERY = 12  # of the networks at the other settings, which are only compared with the lead
OTHERS = {name: {**each, "every": EVERY} for name, each in (
    ("three cells", setting("nrn")), ("200 steps", setting(steps=200)), ("no pooling", setting(maximum="skip")))}


def cells(architecture):
    """Return the normal and the reduction cell of a published name: for each, eight pairs (node read, operation).

    >>> cells(benchmarks.load("nas301").architectures[0])["n"][:2]
    [(0, 'maximum'), (1, 'dilated 3')]
    """
    return {kind: [(node, OPERATIONS[number]) for node, number in pairs]
            for kind, pairs in zip("nr", ast.literal_eval(architecture), strict=True)}


def edges(architecture, plan="nr", maximum="pool 3"):
    """Return the network's directed graph: node 0 is the stem, the last what a cell after the last would read.

    >>> edges(benchmarks.load("nas301").architectures[0], "n")[:3]
    [(0, 1, 'conv 1'), (0, 2, 'conv 1'), (1, 3, 'pool 3')]
    """
    known, found, outputs = cells(architecture), [], [[0], [0]]
    for kind in plan:
        outputs.append(_add_cell(found, known[kind], outputs[-2:], maximum))
    last = outputs[-1][-1] + 1
    return [*found, *((node, last, "conv 1") for node in outputs[-1])]


def _add_cell(found, pairs, before, maximum):
    """Add the edges of a cell that reads the outputs of two cells; return its own four nodes."""
    start = found[-1][1] + 1 if found else 1
    nodes = [start, start + 1]
    for node, read in zip(nodes, before, strict=True):
        found.extend((output, node, "conv 1") for output in read)
    for first in range(0, 2 * NODES, 2):
        ends = [_halfway(found, nodes[node], maximum if operation == "maximum" else operation)
                for node, operation in pairs[first:first + 2]]
        nodes.append(found[-1][1] + 1)
        found.extend((node, nodes[-1], operation) for node, operation in ends)
    return nodes[2:]


def _halfway(found, node, operation):
    """Add the first of the two convolutions that a separable one consists of; return what leads to the end."""
    if not operation.startswith("separable"):
        return node, operation
    found.append((node, found[-1][1] + 1, operation))
    return found[-1][1], operation


def parameters(architecture):
    """Return the number of parameters of the benchmark's network: eight cells, the third and sixth of them reductions.

    >>> parameters(benchmarks.load("nas301").architectures[0])
    856298
    """
    known, channels = cells(architecture), CHANNELS
    stem = WIDENED * CHANNELS
    outputs, count = [stem, stem], 27 * stem + 2 * stem
    for kind in MACRO:
        channels *= 2 if kind == "r" else 1
        count += sum(channels * width + 2 * channels for width in outputs) + sum(
            _of_operation(operation, channels, kind == "r" and node < 2) for node, operation in known[kind])
        outputs = [outputs[1], NODES * channels]
    return count + outputs[1] * CLASSES + CLASSES


def _of_operation(operation, channels, strided):
    """Parameters of an operation; a skip that halves the grid is a 1 x 1 convolution."""
    if operation == "skip":
        return channels**2 * strided
    kind, _, size = operation.partition(" ")
    times = {"separable": 2, "dilated": 1}.get(kind, 0)
    return times * (channels * int(size or 0) ** 2 + channels**2)


def operations(architecture, which):
    """Return how many of the sixteen operations of both cells are among some, by their numbers.

    >>> operations(benchmarks.load("nas301").architectures[0], POOLINGS)
    7
    """
    chosen = [OPERATIONS[number] for number in which]
    return sum(operation in chosen for pairs in cells(architecture).values() for _, operation in pairs)


def measure(configuration, device):
    """Return F at the start and F reached of every network of a part of the table, for each seed."""
    names = benchmarks.load("nas301").architectures[configuration.get("start", 0)::configuration["every"]]
    graphs = [edges(name, configuration["cells"], configuration["maximum"]) for name in names]
    nets = [induced.graph(graph, configuration["channels"], image=IMAGE) for graph in graphs]
    found = [potentials_of(net, configuration, device) for net in nets]
    return {"initial": [each[0] for each in found], "reached": [each[1] for each in found]}


def merged(records):
    """Return the records of all parts as one, of the lead's configuration."""
    parts = {record["configuration"]["start"]: record["result"] for record in records}
    count = sum(len(part["reached"]) for part in parts.values())
    return {"configuration": LEAD, "result": {which: [parts[index % PARTS][which][index // PARTS] for index in range(count)]
                                              for which in ("initial", "reached")}}


measured = results.experiment(NAME, [{**LEAD, "every": PARTS, "start": start} for start in range(PARTS)], minutes=20,
                              claims=CLAIMS, title="Minimum frame potentials of networks of the DARTS space")(measure)
measured_settings = results.experiment(NAME_SETTINGS, list(OTHERS.values()), minutes=9, claims=CLAIMS[-1:],
                                       title="The same under other settings, every twelfth network")(measure)
