"""What rounding can make of a complex, on handmade elements: every part that a wall cannot leave so is handed on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepatoms.theory import partition
from deepatoms.theory.partition import complexes, extension, refine
from deepatoms.theory.partition.complexes import ABOVE, BELOW, BOTH, BeyondError, Elements
from deepatoms.theory.partition.polygons import Polygons
from deepatoms.theory.partition.polyhedra import Polyhedra
from deepatoms.theory.piecewise import NotPiecewiseAffineError


def elements(*parts):
    """The elements whose sides are numbered one after the other, as many as given."""
    return Elements(np.arange(sum(parts)), np.array(parts))


def sides(signs, touches=None):
    return SimpleNamespace(signs=np.array(signs), touches=None if touches is None else np.array(touches))


@pytest.mark.parametrize(("touches", "counts", "found"), [
    ([3, -1, 5], [3], [[3, 5]]), ([-1, 0, 1, -1, 7, 7, 2], [4, 3], [[0, 1], [2, 7]]), ([5, 5, 3, -1], [4], [[3, 5]]),
    ([3, -1, -1], [3], None), ([3, 4, 5], [3], None), ([-1, -1, -1], [3], None), ([0, 1, -1, 4, 4, 4], [3, 3], None)])
def test_a_face_is_cut_between_two_corners_and_no_third(touches, counts, found):
    starts = np.cumsum([0, *counts[:-1]])
    if found is None:
        with pytest.raises(BeyondError):
            complexes._two_of_each(np.array(touches), starts, np.array(counts))
    else:
        assert complexes._two_of_each(np.array(touches), starts, np.array(counts)).tolist() == found


@pytest.mark.parametrize(("signs", "beyond"), [
    ([0, ABOVE, ABOVE], False), ([0, 0, ABOVE], True), ([ABOVE, 0, 0], True), ([0, 0, 0], False), ([ABOVE, ABOVE, ABOVE], False)])
@pytest.mark.parametrize("before", [0, 1])
def test_a_convex_element_beside_a_wall_has_one_side_in_it(signs, beyond, before):
    """All its sides do, where it lies in the wall itself. It is asked of the first element and of a later one."""
    level = elements(*[3] * (before + 1))
    stand = sides([BELOW] * 3 * before + signs, [-1] * 3 * (before + 1))
    if beyond:
        with pytest.raises(BeyondError):
            complexes._stand(level, stand, np.array([], int), 0)
    else:
        found, touches = complexes._stand(level, stand, np.array([], int), 0)
        assert found[-1] == np.bitwise_or.reduce(signs)
        assert touches[-1] == max((3 * before + place for place, sign in enumerate(signs) if sign == 0), default=-1)


PARTED = [([BOTH, BOTH, BOTH, ABOVE, BELOW], [8, 9, 10, 4, 4]), ([BOTH, BOTH, ABOVE, BELOW], [8, 9, 4, 4])]
NOT_PARTED = [([BOTH, BOTH, BOTH, ABOVE, ABOVE], [8, 9, 10, 4, 4]), ([BOTH, BOTH, BOTH, ABOVE, BELOW], [8, 9, 10, 4, 5]),
              ([BOTH, BOTH, BOTH, BELOW, ABOVE, BELOW], [8, 9, 10, 4, 4, 4])]


@pytest.mark.parametrize(("signs", "touches"), PARTED)
def test_an_edge_in_the_wall_parts_a_face_above_from_one_below(signs, touches):
    cut, traces, counts = complexes._touched(elements(len(signs)), sides(signs, touches), edges=False)
    assert cut.tolist() == [0] and sorted(traces) == sorted(set(touches)) and counts.tolist() == [len(set(touches))]


@pytest.mark.parametrize(("signs", "touches"), NOT_PARTED)
@pytest.mark.parametrize("first", [False, True])
def test_an_edge_in_the_wall_that_parts_nothing_is_noticed_beside_a_sound_element(signs, touches, first):
    pair = [PARTED[0], (signs, touches)][:: -1 if first else 1]
    level = elements(*[len(each) for each, _ in pair])
    with pytest.raises(BeyondError):
        complexes._touched(level, sides(pair[0][0] + pair[1][0], pair[0][1] + pair[1][1]), edges=False)


# ---- polyhedra ----

def tetrahedron():
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    faces = [tuple(face for face in range(4) if face not in pair) for pair in pairs]  # face n lies across from corner n
    return np.array(pairs), np.array(faces)


def joined_tetrahedra():
    """Two tetrahedra that pass for one polyhedron: only Euler's formula tells."""
    pairs, faces = tetrahedron()
    return Polyhedra(np.zeros((8, 3)), np.array([8]), np.concatenate([pairs, pairs + 4]), np.concatenate([faces, faces + 4]),
                     np.array([12]), np.array([8]))


def with_a_face_of_two_edges():
    cube = Polyhedra.cube()
    one, other = cube.sides[0]
    sides = np.concatenate([[[one, 6]], cube.sides[1:], [[6, other]]])
    return Polyhedra(cube.points, cube.counts, np.concatenate([cube.edges, cube.edges[:1]]), sides, np.array([13]), np.array([7]))


def with_a_corner_of_two_edges():
    cube = Polyhedra.cube()
    start, end = cube.edges[0]
    points = np.concatenate([cube.points, [(cube.points[start] + cube.points[end]) / 2]])
    edges = np.concatenate([[[start, 8]], cube.edges[1:], [[8, end]]])
    return Polyhedra(points, np.array([9]), edges, np.concatenate([cube.sides, cube.sides[:1]]), np.array([13]), np.array([6]))


def test_a_polyhedron_needs_eulers_formula_three_edges_to_a_face_and_three_to_a_corner():
    """Each of the three unsound ones fails one condition and meets the others; a cube beside them stays sound."""
    cube = Polyhedra.cube()
    for unsound in (joined_tetrahedra(), with_a_face_of_two_edges(), with_a_corner_of_two_edges()):
        assert Polyhedra.join([cube, unsound, cube]).is_sound.tolist() == [True, False, True]


@pytest.mark.parametrize("away", [0.25, 2.0])
def test_of_several_polyhedra_those_on_one_side_stay_whole_however_near(away):
    cube = Polyhedra.cube()
    pair = Polyhedra.join([cube, cube, cube])
    values = np.concatenate([cube.points[:, 0] - 0.25, cube.points[:, 0] + away, -cube.points[:, 0] - away])
    (above, rows_above), (below, rows_below) = pair._snapped(values, np.ones(3), 1e-9)
    assert (rows_above.tolist(), rows_below.tolist()) == ([0, 1], [0, 2])
    np.testing.assert_allclose(above.sizes, [0.75, 1])
    np.testing.assert_allclose(below.sizes, [0.25, 1])


# ---- what is compared, and codes ----

BOX = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_without_end_are_not_compared(sign):
    with pytest.raises(NotPiecewiseAffineError, match="compares numbers that are infinite"):
        partition.slice_plane(lambda x: F.relu(sign * (x + 1) * 1e200 * 1e200), BOX)


def test_a_list_of_one_tensor_is_as_good_as_the_tensor():
    found = partition.slice_plane(lambda x: (x - 0.5).split(2, 1)[0].relu(), BOX)
    assert len(found) == len(partition.slice_plane(lambda x: (x - 0.5).relu(), BOX))


def test_codes_of_a_layer_are_compared_with_those_of_a_network_of_one():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    codes, others = (partition.region_codes(torch.nn.ReLU(), each) for each in (x, x.flip(0)))
    both = partition.distance(codes, others)
    assert both.shape == (1, 5)
    for a, b in ((codes[0], others), (codes, others[0])):
        np.testing.assert_array_equal(partition.distance(a, b), both)
    np.testing.assert_array_equal(partition.distance(codes[0], others[0]), both[0])


def rectified(size, skips):
    """Three layers whose numbers all carry a factor: the rectified output carries it too, so that no wall moves."""
    draw = torch.Generator().manual_seed(1)
    weights = [torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((2, 6), (6, 6), (6, 6))]
    biases = [size * torch.randn(6, generator=draw, dtype=torch.float64) / 3 for _ in weights]

    def model(x):
        h = (x @ (weights[0] * size) + biases[0]).relu()
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            h = (h @ weight + bias).relu() + (h if skips else 0)
        return h
    return model


@pytest.mark.parametrize("size", [1e-12, 1e12])
@pytest.mark.parametrize("skips", [False, True])
def test_a_network_of_numbers_of_any_size_has_the_same_regions(size, skips):
    usual, sized = (np.sort(partition.slice_plane(rectified(each, skips), BOX).areas) for each in (1.0, size))
    assert len(usual) > 20
    np.testing.assert_allclose(sized, usual, atol=1e-9)


@pytest.mark.parametrize("ranks", [[0, 0, 0], [2, 0, 1], [3, 3, 3]])
def test_the_cell_of_a_rank_has_as_many_larger_ones_before_it(ranks):
    values, ranks = np.random.default_rng(0).integers(6, size=(4, 5, 3)), np.array(ranks)
    found = refine._holder(values, ranks)
    for (row, column), cell in np.ndenumerate(found[0]):
        own = values[:, row, column]
        before = [(-own[other], other) < (-own[cell], cell) for other in range(4)]  # of equal ones the first
        assert sum(before) == ranks[column]


@pytest.mark.parametrize(("owners", "beyond"), [(30, False), (31, False), (32, True), (33, True)])
def test_an_owner_a_number_and_a_place_fit_into_one_integer_of_63_bits(owners, beyond):
    """Three rows take two bits for their places, numbers below 2**30 thirty: what is left for the owners is 31."""
    owner, numbers = np.array([2**owners - 1, 0, 2**owners - 1]), np.array([2**30 - 1, 5, 7])
    if beyond:
        with pytest.raises(BeyondError):
            complexes._grouped(owner, numbers)
    else:
        order, head, bits = complexes._grouped(owner, numbers)
        assert order.tolist() == [1, 2, 0] and bits == 30
        assert (head >> bits).tolist() == owner[order].tolist() and (head & (2**bits - 1)).tolist() == numbers[order].tolist()


@pytest.mark.parametrize(("low", "high"), [(-4.0, 1.0), (-1.0, 4.0)])
def test_a_cut_is_as_exact_as_the_largest_value_at_a_corner_allows(low, high, monkeypatch):
    asked = []
    monkeypatch.setattr(Polygons, "halved", lambda self, values, scale: asked.append(scale) or [])
    square = Polygons.square()
    square.cut(low + (high - low) * square.points[:, 0])
    assert asked[0].tolist() == [4.0]


@pytest.mark.parametrize("model", [lambda x: (x, x), lambda x: x.sum(), lambda x: x[:1], lambda x: x.relu().flatten()])
def test_a_model_returns_one_output_for_each_sample(model):
    with pytest.raises(ValueError, match="model = .*not one output for each of the"):
        partition.slice_plane(model, BOX)


def test_without_a_wall_the_nearest_is_nowhere():
    found = partition.nearest_walls(lambda x: 2 * x + 1, BOX)
    assert found.radius.tolist() == [torch.inf] * 3 and not found.step.any()
    assert found.layer.tolist() == found.unit.tolist() == [-1] * 3


@pytest.mark.parametrize("alone", [lambda x: x.relu(), lambda x: x.relu().relu().relu(), lambda x: x.clamp(min=0).relu()])
def test_a_model_that_takes_other_ways_for_one_sample_is_refused_though_it_computes_the_same(alone):
    with pytest.raises(ValueError, match="relu in layer|runs other operations"):
        partition.slice_segment(lambda x: x.relu().relu() if len(x) > 1 else alone(x), BOX[0] - 0.5, BOX[1])


def test_digits_are_those_of_the_numbers_with_a_point():
    kinds = {torch.float32: 32, torch.float64: 64, torch.complex64: 32, torch.int64: 0, torch.bool: 0}
    assert {kind: extension._digits(torch.ones(2, dtype=kind)) for kind in kinds} == kinds
    assert extension._digits([torch.ones(1), (torch.ones(1).double(), "text")]) == 64 and extension._digits(None) == 0
