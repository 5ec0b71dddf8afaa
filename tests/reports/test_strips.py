"""The small drawings stand where the numbers are: each mark against the straight line between the ends of its scale."""

import math
import re

import pytest

from deepatoms.reports import strips
from deepatoms.reports.entries import Entry

ENDS = strips.TALL - strips.BOTTOM, strips.TOP  # of the heights, from the least number to the largest
SIDES = strips.LEFT + 12, strips.WIDE - strips.RIGHT - 12


def entry(value, **given):
    return Entry("splines", given.pop("name", "radius"), value, **given)


def between(value, low, high, start, end):
    return start + (value - low) / (high - low) * (end - start)


@pytest.mark.parametrize(("values", "value", "place"), [
    ([1, 3], 2, 5.0), ([3, 1], 1.5, 2.5), ([-1, 1], 0, 5.0), ([0, 1000], 250, 2.5),  # zero has no logarithm
    ([1, 100], 50.5, 5.0), ([1, 10_000], 100, 5.0), ([1, 1000], 10, 3.3), ([-1, 1000], 499.5, 5.0)])
def test_a_scale_is_even_or_by_ratio_where_positive_numbers_span_more_than_a_hundred(values, value, place):
    assert strips.Scale(values, 0, 10)(value) == place
    assert strips.Scale(values, 10, 0)(value) == pytest.approx(10 - place)


def test_what_does_not_differ_stands_in_the_middle():
    assert strips.Scale([4, 4], 2, 8)(4) == 5.0


@pytest.mark.parametrize(("value", "shown", "said"), [
    (-math.inf, "−infinite", "minus infinite"), (math.inf, "infinite", "infinite"), (0.0, "0", "0"),
    (-2.5e8, "−2.5 × 10<sup>8</sup>", "minus 2.5e+08"), (12345, "12,345", "12,345")])
def test_a_number_is_shown_and_said(value, shown, said):
    assert (strips.number(value), strips.plain(value)) == (shown, said)


def test_what_is_no_number_is_called_so():
    assert strips.number(math.nan) == "not a number"


@pytest.mark.parametrize(("threshold", "drawn"), [(-2.0, True), (-2.1, False), (3.0, True), (3.1, False), (None, False)])
def test_a_threshold_is_drawn_within_twice_the_numbers_span(threshold, drawn):
    strip = strips.strip(entry(0.0, threshold=threshold, nulls={"x": [1.0, 0.5], "y": [math.inf]}), "x")
    assert ('class="threshold"' in strip) == drawn == ("; threshold" in strip)


def test_a_strip_has_every_mark_at_its_place_on_the_one_scale_of_its_entry():
    given = entry(1.0, threshold=2.0, nulls={"x": [0.0, math.nan, 3.0], "y": [4.0]})
    strip = strips.strip(given, "x")
    places = {value: round(between(value, 0, 4, strips.EDGE, strips.WIDTH - strips.EDGE), 1) for value in (0.0, 1.0, 2.0, 3.0,
        4.0)}
    assert re.findall(r'class="other" cx="([\d.]+)"', strip) == [str(places[0.0]), str(places[3.0])]
    assert f'd="M{places[1.0] - 5:.1f} ' in strip and f'x1="{places[2.0]}" x2="{places[2.0]}"' in strip
    assert re.findall(r'cx="([\d.]+)"', strips.strip(given, "y")) == [str(places[4.0])]


def test_no_more_marks_are_drawn_than_can_be_told_apart():
    many = [float(value) for value in range(strips.MOST_MARKS + 5)]
    assert strips.strip(entry(0.0, nulls={"x": many}), "x").count("<circle") == strips.MOST_MARKS


def series(*values, unit="", limits=(), nulls=()):
    limits, nulls = limits or [None] * len(values), nulls or [{}] * len(values)
    return strips.figure("gain", [entry(value, name=f"gain, layer {i}", unit=unit, threshold=limit, nulls=each)
                                  for i, (value, limit, each) in enumerate(zip(values, limits, nulls, strict=True))])


def lines(drawing, kind):
    """The ends of each straight line of a kind: x, x, y, y."""
    found = [re.search(rf'class="{kind}" (.*?)/>', line) for line in re.findall(r"<line.*?/>", drawing)]
    return [tuple(map(float, re.findall(r'"([\d.]+)"', each[1]))) for each in found if each]


def test_a_number_over_the_layers_stands_at_its_height_and_its_place():
    drawing = series(1.0, 3.0, 2.0, unit="ratio")
    points = re.search(r'points="([^"]+)"', drawing)[1]
    expected = [(round(between(i, 0, 2, *SIDES), 1), round(between(value, 1, 3, *ENDS), 1)) for i, value in enumerate((1, 3, 2))]
    assert points == " ".join(f"{x},{y}" for x, y in expected)
    assert re.findall(r'class="own" cx="([\d.]+)" cy="([\d.]+)"', drawing) == [tuple(map(str, pair)) for pair in expected]
    assert "<figcaption>gain, ratio.</figcaption>" in drawing and 'aria-label="gain, layer 0 to layer 2: 1, 3, 2"' in drawing


def test_an_axis_names_the_least_and_the_largest_number_and_the_first_and_the_last_place():
    texts = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">(.*?)</text>', series(1.0, 3.0, 2.0))
    assert [(float(y), anchor, said) for _, y, anchor, said in texts] == [
        (ENDS[0] + 4, "end", "1"), (ENDS[1] + 4, "end", "3"), (strips.TALL - 10, "start", "layer 0"),
        (strips.TALL - 10, "end", "layer 2")]
    assert [float(x) for x, *_ in texts] == [strips.LEFT - 8] * 2 + list(map(float, SIDES))
    assert [said for *_, said in re.findall(r'<text(.*?)>(.*?)</text>', series(2.0, 2.0, 2.0))] == ["2", "layer 0", "layer 2"]


def test_the_span_of_each_null_stands_beside_its_place():
    nulls = [{"x": [1.0, math.nan, 2.0], "y": [4.0, 5.0]}, {"x": [math.inf]}, {"x": [3.0, 2.0, 4.0]}]
    drawing = series(1.0, 3.0, 2.0, nulls=nulls)
    at = [between(i, 0, 2, *SIDES) for i in range(3)]
    high = {value: between(value, 1, 5, *ENDS) for value in range(1, 6)}
    assert sum(lines(drawing, "span"), ()) == pytest.approx((
        at[0] + 7, at[0] + 7, high[1], high[2] - 1, at[0] + 14, at[0] + 14, high[4], high[5] - 1,
        at[2] + 7, at[2] + 7, high[2], high[4] - 1), abs=0.1)
    assert "bars: from the least to the most" in drawing and "bars" not in series(1.0, 3.0, 2.0)


def test_one_threshold_is_one_line_and_several_are_a_dash_at_each_place():
    one, several = series(1.0, 3.0, 2.0, limits=(2.5,) * 3), series(1.0, 3.0, 2.0, limits=(0.0, None, 4.0))
    height = between(2.5, 1, 3, *ENDS)
    assert lines(one, "threshold")[0] == pytest.approx((strips.LEFT, strips.WIDE - strips.RIGHT, height, height), abs=0.1)
    at = [between(i, 0, 2, *SIDES) for i in range(3)]
    assert sum(lines(several, "threshold"), ()) == pytest.approx((
        at[0] - 9, at[0] + 9, ENDS[0], ENDS[0], at[2] - 9, at[2] + 9, ENDS[1], ENDS[1]), abs=0.1)
    assert "dashed: the threshold, 2.5." in one and "dashed: the thresholds." in several and "dashed" not in series(1.0, 2.0, 3.0)
    assert "dashed" not in series(1.0, 2.0, 3.0, limits=(math.inf,) * 3)


def test_a_scale_by_ratio_is_called_logarithmic():
    assert "logarithmic." in series(1.0, 30.0, 900.0) and "logarithmic" not in series(1.0, 30.0, 90.0)


@pytest.mark.parametrize(("length", "kept"), [(28, 28), (29, 27)])
def test_a_long_name_is_cut(length, kept):
    assert strips._cut("a" * length) == "a" * kept + "…" * (length > kept)


def spectrum(*curve, value=1.0, rows=()):
    return strips.spectrum(entry(value, name="k90 of the end-to-end Jacobian", curve=curve,
                                 null_curves={"re-initialised": list(rows)} if rows else {}))


def test_a_spectrum_s_values_stand_at_their_heights_and_rows_of_another_length_are_left_out():
    drawing = spectrum(3.0, 2.0, 1.0, rows=[(5.0, 4.0, 1.0), (9.0, 1.0)])
    kinds = dict(re.findall(r'<polyline class="(\w+)" points="([^"]+)"', drawing))
    for kind, row in (("line", (3, 2, 1)), ("faint", (5, 4, 1))):
        expected = [f"{round(between(i, 0, 2, *SIDES), 1)},{round(between(value, 1, 5, *ENDS), 1)}" for i,
            value in enumerate(row)]
        assert kinds[kind].split() == expected
    assert drawing.count('class="faint"') == 1 and "thin: networks" in drawing and "thin" not in spectrum(3.0, 2.0)
    assert [said for *_, said in re.findall(r"<text(.*?)>(.*?)</text>", drawing)] == ["1", "5", "first", "number 3"]
    assert "Singular values of the end-to-end Jacobian" in drawing


@pytest.mark.parametrize("value", [1.0, 2.0, 5.0])
def test_the_dashed_line_of_a_spectrum_stands_half_a_place_before_the_next_value_or_at_the_last(value):
    (left, right, top, bottom), = lines(spectrum(3.0, 2.0, 1.0, value=value), "threshold")
    assert left == right == pytest.approx(between(min(value - 0.5, 2), 0, 2, *SIDES), abs=0.1)
    assert (top, bottom) == (strips.TOP, strips.TALL - strips.BOTTOM)


def test_a_long_spectrum_is_a_line_without_dots():
    curves = [[float(most - i) for i in range(most)] for most in (strips.MOST_MARKS, strips.MOST_MARKS + 1)]
    assert [spectrum(*curve).count("<circle") for curve in curves] == [strips.MOST_MARKS, 0]
    assert spectrum(2.0, 1.0, rows=[(2.0, 1.0)] * (strips.MOST_MARKS + 2)).count('class="faint"') == strips.MOST_MARKS
