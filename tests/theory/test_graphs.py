"""Dictionaries of directed graphs: the fast evaluation against one written out position by position, and its refusals."""

import pytest
import torch
import torch.nn.functional as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import frame_potential, induced
from deepatoms.theory.frame_potential import Descent
from deepatoms.theory.induced import graphs, interactions

operations = st.sampled_from(["conv 3", "conv 1", "pool 3", "skip", "none", "separable 3", "dilated 3"])
SIDE = 9


@st.composite
def edge_lists(draw):
    """Random graphs of two to four nodes, some pairs joined twice, with a path from input to output."""
    last = draw(st.integers(1, 3))
    pairs = [(a, b) for b in range(1, last + 1) for a in range(b)]
    edges = [(*pair, draw(operations)) for pair in pairs + draw(st.lists(st.sampled_from(pairs), max_size=2))]
    return [*edges, (0, last, draw(st.sampled_from(["conv 3", "pool 3", "skip"])))]


def image(operation, weights, unit):
    """What an edge makes of the image of one unit: torch's own convolutions or pooling, circular."""
    def padded(reach):
        return nn.pad(unit, [reach] * 4, mode="circular")
    if operation == "pool":
        return nn.avg_pool2d(padded(1), 3, 1)
    first, dilation = next(weights), 2 if operation == "dilated" else 1
    if operation == "conv":
        return nn.conv2d(padded(first.shape[-1] // 2), first)
    each = nn.conv2d(padded(dilation), first, groups=len(first), dilation=dilation)
    return nn.conv2d(each, next(weights))


def reference(edges, channels, cells, weights):
    """F from the explicit Gram matrix: every unit's column filled by torch's layers, one after the other."""
    kept, rest = graphs.used(edges), iter(weights[1:])
    nodes = sorted({0} | {b for _, b, _ in kept})
    columns = torch.eye(channels * SIDE**2, dtype=torch.float64).reshape(-1, channels, SIDE, SIDE)
    n = (len(nodes) - 1) * cells
    B = torch.zeros(n + 1, channels * SIDE**2, n + 1, channels * SIDE**2, dtype=torch.float64)
    B[range(1, n + 1), :, range(1, n + 1)] = torch.eye(channels * SIDE**2, dtype=torch.float64)
    for cell in range(cells):
        for a, b, operation in kept:
            i, j = (cell * (len(nodes) - 1) + nodes.index(node) for node in (a, b))
            edge = columns if operation == "skip" else image(operation.split()[0], rest, columns)
            B[j, :, i] -= edge.flatten(1).T
    colours = torch.eye(3 * SIDE**2, dtype=torch.float64).reshape(-1, 3, SIDE, SIDE)
    stem = torch.zeros(3 * SIDE**2, n + 1, channels * SIDE**2, dtype=torch.float64)
    stem[:, 0] = image("conv", iter(weights[:1]), colours).flatten(1)
    whole = torch.cat([stem.flatten(1), B[1:].flatten(2).flatten(0, 1)])
    gram = nn.normalize(whole, dim=0).T @ nn.normalize(whole, dim=0)
    return (gram.fill_diagonal_(0) ** 2).sum() / (whole.bool().double().T @ whole.bool().double()).fill_diagonal_(0).bool().sum()


@settings(max_examples=30, deadline=None)
@given(edge_lists(), st.integers(1, 2), st.integers(1, 2), st.integers(0, 1000))
def test_fast_potential_is_that_of_the_explicit_gram_matrix(edges, channels, cells, seed):
    net = induced.graph(edges, channels, cells, image=SIDE)
    weights = net.init(seed)
    energies = [frame_potential.energy(net, weights), sum(value for *_, value in interactions.block_terms(net, weights))]
    torch.testing.assert_close(*energies, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(frame_potential.potential(net, weights) ** 2, reference(edges, channels, cells, weights),
                               rtol=1e-10, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(edge_lists(), st.integers(0, 1000))
def test_explicit_dictionary_is_the_one_whose_energy_is_taken(edges, seed):
    net = induced.graph(edges, 2, 2, image=SIDE)
    weights = net.init(seed)
    B = nn.normalize(net.dictionary(weights), dim=0)
    energy = ((B.T @ B).fill_diagonal_(0) ** 2).sum()
    torch.testing.assert_close(frame_potential.energy(net, weights), energy, rtol=1e-10, atol=1e-10)


def test_potential_does_not_depend_on_the_grid():
    net = induced.graph([(0, 1, "conv 3"), (1, 2, "pool 3"), (0, 2, "skip")], 4)
    values = [frame_potential.potential(net.resized(image), net.init(0)) for image in (5, 8, 32)]
    torch.testing.assert_close(torch.stack(values), values[0].expand(3))


def test_a_separable_edge_counts_both_its_convolutions_and_unit_magnitudes_divide_what_leaves_a_channel():
    net = induced.graph([(0, 1, "dilated 5")], 4, image=32)
    assert net.parameter_count == 27 * 4 + 25 * 4 + 16 and net.multiply_adds == 32**2 * net.parameter_count
    _, each, mixed = net.unit(net.init(0))
    whole = interactions.separable(each, mixed, 2)
    assert whole.shape[-1] == 9 and int((whole[0, 0] != 0).sum()) == 25
    torch.testing.assert_close((whole**2).sum((0, 2, 3)), torch.ones(4, dtype=torch.float64))


def test_a_graph_without_separable_edges_is_evaluated_at_a_stroke(monkeypatch):
    monkeypatch.setattr(frame_potential.evaluation.one_grid, "energy_on_one_grid", lambda *_: torch.zeros(()))
    values = []
    for operation in ("conv 3", "separable 3"):
        net = induced.graph([(0, 1, operation)], 2)
        values.append(float(frame_potential.energy(net, net.init(0))))
    assert values[0] == 0 < values[1]


def test_unused_nodes_are_left_out():
    edges = [(0, 1, "conv 3"), (0, 2, "conv 1"), (1, 2, "none"), (1, 3, "none"), (2, 3, "skip"), (0, 3, "none")]
    assert graphs.used(edges) == [(0, 2, "conv 1"), (2, 3, "skip")]
    assert induced.graph(edges, 4).depth == 3


def test_a_chain_of_convolutions_is_the_chain():
    graph = induced.graph([(0, 1, "conv 3"), (1, 2, "conv 3")], 4, image=8)
    chain = induced.cifar("chain", blocks=1, width=4, groups=1, image=8)
    assert (graph.parameter_count, graph.atoms, graph.rows, graph.structural_count, graph.multiply_adds) == (
        chain.parameter_count, chain.atoms, chain.rows, chain.structural_count, chain.multiply_adds)
    torch.testing.assert_close(frame_potential.energy(graph, graph.init(1)), frame_potential.energy(chain, chain.init(1)))


@pytest.mark.parametrize("magnitudes", ["unit", "free"])
def test_descent_lowers_the_energy(magnitudes):
    net = induced.graph([(0, 1, "conv 3"), (1, 2, "conv 3"), (0, 2, "skip")], 2, 2, image=8)
    found = frame_potential.minimize(net, magnitudes, seeds=[0, 1], descent=Descent(30))
    assert all(min(history) < 0.9 * history[0] for history in found.histories)


@pytest.mark.parametrize(("edges", "message"), [
    ([(0, 1, "conv 2")], "operation = 'conv 2' is unknown"),
    ([(0, 1, "max pool 3")], "choose 'conv k', 'separable k', 'dilated k' or 'pool k' with an odd k, 'skip' or 'none'"),
    ([(0, 1, None)], "operation = None is unknown"),
    ([(1, 0, "skip")], "leads back"),
    ([(0, 1, "skip"), (1, 2, "none")], "has no path from input to output"),
    ([], "has no path from input to output"),
])
def test_what_is_no_network_is_refused(edges, message):
    with pytest.raises(ValueError, match=message):
        induced.graph(edges, 2)


def test_a_grid_on_which_filters_meet_is_refused():
    net = induced.graph([(0, 1, "conv 3")], 2, image=4)
    with pytest.raises(ValueError, match="filters meet around the edge"):
        frame_potential.energy(net, net.init(0))


def test_an_image_is_of_32_pixels_unless_said_and_blocks_come_in_the_order_of_their_clusters():
    edges = [(0, 1, "conv 3"), (1, 2, "skip"), (0, 2, "pool 3")]
    assert graphs.graph(edges, 2) == graphs.graph(edges, 2, image=32) != graphs.graph(edges, 2, image=33)
    net = graphs.graph(edges, 1, cells=6)
    found = interactions.Interactions(net, [torch.ones(weight.shape) for weight in net.weights])
    order = [(a, b) for a, b, _ in found.blocks()]
    assert order == sorted(order) and len(order) > 20 and all(a <= b for a, b in order)
