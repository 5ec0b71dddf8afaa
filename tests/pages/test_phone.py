"""A figure's drawing for a phone: panels below each other, words that fit, legends that no line runs through."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from deepatoms.pages import explore, figures, phone

LONG = "a name so long that no phone has room for it beside the numbers of an axis"


def drawn(rows=1, columns=2, size=(7, 3), **options):
    """Return a figure of lines, redrawn for a phone and measured."""
    figure, axes = figures.subplots(rows, columns, size, squeeze=False, **options)
    for number, each in enumerate(axes.flat):
        each.plot([0, 1], [0, number + 1], label=LONG if number == 0 else "short")
        each.set(title=f"panel {number}")
    axes[0, 0].set(ylabel="error", xlabel=LONG)
    axes[0, 0].legend(loc="center")
    return figure, axes


def measured(figure):
    phone.redraw(figure)
    FigureCanvasAgg(figure).draw()
    return figure.canvas.get_renderer()


def test_panels_stand_below_each_other_in_reading_order_and_fill_the_width():
    figure, axes = drawn(2, 2)
    measured(figure)
    boxes = [each.get_position() for each in axes.flat]
    assert [box.y0 for box in boxes] == sorted((box.y0 for box in boxes), reverse=True)
    assert all(box.width > 0.6 for box in boxes) and figure.get_size_inches()[0] == phone.WIDTH


def test_panels_that_shared_an_axis_say_what_it_is():
    figure, axes = drawn(1, 2, sharey=True)
    measured(figure)
    assert axes[0, 1].get_ylabel() == "error"
    assert any(label.get_visible() and label.get_text() for label in axes[0, 1].get_yticklabels())


def test_pictures_keep_their_grid():
    figure, axes = figures.subplots(2, 3, (7, 4))
    for each in axes.flat:
        each.imshow(np.eye(3))
    measured(figure)
    assert axes[0, 0].get_position().y0 == pytest.approx(axes[0, 2].get_position().y0)
    assert tuple(figure.get_size_inches()) == pytest.approx((3.6, 4 * 3.6 / 7))


def test_long_words_are_broken_and_the_legend_stands_above_its_panel_below_the_title():
    figure, axes = drawn()
    renderer = measured(figure)
    first, width = axes[0, 0], figure.get_size_inches()[0] * figure.dpi
    assert "\n" in first.get_xlabel() and first.xaxis.label.get_window_extent(renderer).width < width
    legend = first.get_legend().get_window_extent(renderer)
    assert "\n" in first.get_legend().get_texts()[0].get_text()
    assert legend.x1 <= width and legend.y0 >= first.get_window_extent(renderer).y1 - 1
    assert first.title.get_window_extent(renderer).y0 >= legend.y1 - 1


def test_long_names_beside_an_axis_are_broken_and_a_formula_never_is():
    figure, axes = figures.subplots()
    axes.barh([0, 1], [1, 2])
    axes.set_yticks([0, 1], [LONG, r"$\mu \leq 1$"])
    axes.set(title=r"so much is said of $\mu \leq 1 + \frac{1}{2}$ that the title cannot stand in a line")
    measured(figure)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0].count("\n") > 2 and names[1] == r"$\mu \leq 1$"
    assert r"$\mu \leq 1 + \frac{1}{2}$" in axes.get_title() and "\n" in axes.get_title()
    assert axes.get_position().width > 0.4


def test_a_panel_grows_until_the_names_beside_it_do_not_meet():
    figure, axes = figures.subplots(1, 2, (7, 3), sharey=True)
    for each in axes:
        each.barh(range(8), range(8))
        each.set_yticks(range(8), [f"a network that is called {number}" for number in range(8)])
    figure.supxlabel(LONG)
    renderer = measured(figure)
    assert figure._supxlabel.get_window_extent(renderer).width < figure.get_size_inches()[0] * figure.dpi
    for each in axes:
        boxes = sorted((box.y0, box.y1) for box in (label.get_window_extent(renderer) for label in each.get_yticklabels()))
        assert all(before[1] <= after[0] + 1 for before, after in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize("title", ["poolings", ""])
def test_a_legend_that_is_lifted_keeps_its_title(title):
    figure, axes = drawn()
    axes[0, 0].legend(loc="center", title=title or None)
    measured(figure)
    assert axes[0, 0].get_legend().get_title().get_text() in (title, "None")  # matplotlib's text of no title
    assert axes[0, 0].get_legend().get_title().get_visible() == bool(title)


def test_a_legend_of_the_whole_figure_becomes_one_column():
    figure, axes = drawn()
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    renderer = measured(figure)
    assert len(figure.legends) == 1
    assert figure.legends[0].get_window_extent(renderer).x1 <= figure.get_size_inches()[0] * figure.dpi


def test_a_page_holds_both_drawings_and_shows_the_wide_one_where_there_is_no_style_sheet():
    figure, _ = drawn()
    page = figures.page(figures.describe(figure, "Found.", "Seen."))
    wide, narrow = page.split('<div class="deepatoms-narrow" style="display:none">')
    assert 'viewBox="0 0 504 216"' in wide and 'viewBox="0 0 259.2' in narrow and page.count('aria-label="Seen."') == 2


def test_names_below_an_axis_that_would_meet_are_turned_and_lesser_numbers_left_out():
    figure, axes = figures.subplots(2, 1)
    axes[0].bar(range(6), range(6))
    axes[0].set_xticks(range(6), [f"network {number}" for number in range(6)])
    axes[1].plot([0.01, 0.09], [1, 2])
    axes[1].set(xscale="log", xlim=(0.0095, 0.095))
    measured(figure)
    for each in axes:
        boxes = sorted((label.get_window_extent().x0, label.get_window_extent().x1) for minor in (False, True)
                       for label in each.xaxis.get_ticklabels(minor=minor) if label.get_text())
        assert all(before[1] <= after[0] for before, after in zip(boxes, boxes[1:], strict=False))


def test_what_has_no_words_is_drawn_once():
    figure, axes = figures.subplots()
    axes.plot([0, 1], [0, 1])
    axes.axis("off")
    assert figures.wordless(figure)
    axes.set_title("a word")
    assert not figures.wordless(figure)
    bare, worded = (explore.Frame("<svg>wide</svg>", "", narrow).drawn for narrow in ("", "<svg>narrow</svg>"))
    assert bare == "<svg>wide</svg>" and "narrow" in worded


def test_a_column_s_label_comes_from_its_last_panel_and_a_row_s_from_its_first():
    figure, axes = figures.subplots(2, 2, (7, 4), sharex="col", sharey="row")
    for number, each in enumerate(axes.flat):
        each.plot([0, 1], [0, number])
    for place in (0, 1):
        axes[1, place].set_xlabel(f"column {place}")
        axes[place, 0].set_ylabel(f"row {place}")
    measured(figure)
    assert [[each.get_xlabel() for each in row] for row in axes] == [["column 0", "column 1"]] * 2
    assert [[each.get_ylabel() for each in row] for row in axes] == [["row 0", "row 0"], ["row 1", "row 1"]]


def test_panels_that_share_nothing_keep_their_own_labels():
    figure, axes = figures.subplots(1, 2, (7, 3))
    axes[0].set(xlabel="a", ylabel="b")
    axes[1].set(xlabel="c")
    measured(figure)
    assert [(each.get_xlabel(), each.get_ylabel()) for each in axes] == [("a", "b"), ("c", "")]


@pytest.mark.parametrize("room", [0.5, 1.0, 2.0, 100.0])
def test_a_broken_text_keeps_its_words_and_no_line_of_several_words_takes_more_than_the_room(room):
    figure, axes = figures.subplots()
    FigureCanvasAgg(figure)
    whole = axes.set_title("one two three four five six seven eight nine ten eleven twelve")
    lines = phone._lines(figure, whole, room).split("\n")
    assert " ".join(lines) == whole.get_text() and (len(lines) == 1) == (room == 100.0)
    long = [phone._inches(figure, axes.set_title(line)) for line in lines if " " in line]
    assert all(each <= 1.2 * room for each in long)
    assert len(lines) <= 2 * 1.05 * phone._inches(figure, axes.set_title(" ".join(lines))) / room + 2


@pytest.mark.parametrize(("places", "meet"), [([0, 1, 2], False), ([0, 1, 1.02], True), ([0, 0.01, 2], True), ([0], False)])
def test_one_pair_of_names_that_meet_is_enough(places, meet):
    figure, axes = figures.subplots()
    FigureCanvasAgg(figure)
    axes.set_xlim(-1, 3)
    axes.set_xticks(places, ["name"] * len(places))
    figure.draw_without_rendering()
    assert phone._meet(axes.xaxis, "x0", "x1") == meet


@pytest.mark.parametrize("title", ["", "a", "a name", "a longer name", "a name that takes an inch", LONG])
def test_pictures_stand_beside_each_other_as_far_as_their_titles_do(title):
    figure, axes = figures.subplots(1, 4, (7, 2))
    for each in axes:
        each.imshow(np.eye(3))
        each.set_title(title)
    FigureCanvasAgg(figure)
    wide = phone._inches(figure, axes[0].title) + 0.1  # a title and the gap beside it
    found = phone._columns(figure, [[each] for each in axes])
    assert 1 <= found <= 4 and (found == 1 or found * wide <= phone.WIDTH) and (found == 4 or (found + 1) * wide > phone.WIDTH)


def test_names_beside_an_axis_get_the_height_of_their_lines_and_no_more():
    figure, axes = figures.subplots(size=(7, 3))
    axes.barh(range(4), range(4))
    axes.set_yticks(range(4), [LONG] * 4)
    measured(figure)
    lines = sum(label.get_text().count("\n") + 1 for label in axes.get_yticklabels())
    assert figure.get_size_inches()[1] == pytest.approx(3 * max(1, phone.LINE * lines / (3 - 0.5)))


def test_numbers_are_not_turned_and_names_are():
    figure, axes = figures.subplots(1, 2)
    for each in axes:
        each.plot([0, 1], [0, 1])
    axes[0].set_xticks([0, 0.01, 1], ["a name", "a name", "a name"])
    axes[1].set(xscale="log", xlim=(1, 9))
    axes[1].xaxis.set_minor_locator(type(axes[1].xaxis.get_major_locator())(subs=np.arange(1, 9.9, 0.1)))
    measured(figure)
    assert [each.get_xticklabels()[0].get_rotation() for each in axes] == [90, 0]
