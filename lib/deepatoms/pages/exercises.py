"""What the exercises at a chapter's end need: an answer that waits for a guess."""

import numbers

from deepatoms.pages.explore import is_live
from deepatoms.theory.arguments import refuse


def reveal(guess, answer, why=""):
    """Print the answer to a *predict* exercise beside the reader's guess; under a kernel, only once there is one.

    Args:
        guess: a number, or ``...`` where the reader has not guessed yet.
        answer: the number that was asked for.
        why: the reason, in a sentence or two.

    Raises:
        TypeError: when the guess is no number.

    >>> reveal(0.5, 0.6042, "There are more pairs to choose from.")
    You said 0.5; it is 0.604. There are more pairs to choose from.
    >>> reveal(..., 0.6042)  # on the page, where nobody can guess
    It is 0.604.
    """
    if guess is ... and is_live():
        return print("Write your guess as a number in the cell above, run it, then this one again.")
    if guess is not ... and (isinstance(guess, bool) or not isinstance(guess, numbers.Real)):
        refuse("guess", guess, "is not a number", "write one, for example guess = 0.5", TypeError)
    said = f"It is {answer:.3g}." if guess is ... else f"You said {guess:.3g}; it is {answer:.3g}."
    print(f"{said} {why}".rstrip())
