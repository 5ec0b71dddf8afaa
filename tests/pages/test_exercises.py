"""A *predict* exercise keeps its answer until somebody has guessed."""

import pytest

from deepatoms.pages import exercises


def test_under_a_kernel_the_answer_waits_for_a_guess(monkeypatch, capsys):
    monkeypatch.setattr(exercises, "is_live", lambda: True)
    exercises.reveal(..., 0.25, "Half of half.")
    assert "Write your guess" in (said := capsys.readouterr().out) and "0.25" not in said
    exercises.reveal(1, 0.25, "Half of half.")
    assert capsys.readouterr().out == "You said 1; it is 0.25. Half of half.\n"


@pytest.mark.parametrize("guess", ["half", None, True, [1]])
def test_a_guess_that_is_no_number_is_refused_by_name(guess):
    with pytest.raises(TypeError, match="guess = .* is not a number"):
        exercises.reveal(guess, 0.25)
