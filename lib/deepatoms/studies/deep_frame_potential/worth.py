"""What choosing by F was worth, in sentences: each number measured anew from the recorded results, its words from the numbers."""

from deepatoms.claims import checking
from deepatoms.claims.checking import Outcome, Setting
from deepatoms.data.benchmarks import load
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import benchmarks

RANK, COUNT = "dfp.nas201_rank/cifar10", "dfp.nas201_count/beats_parameters"
SAME, REGRET = "dfp.nas201_beyond/wiring", "dfp.nas201_choice/regret_count"
WIRING = "dfp.nas201_live/same_in_use"
DARTS_RANK, DARTS_COUNT = "dfp.nas301_rank/cifar10", "dfp.nas301_count/beats_parameters"


def sentences() -> list[str]:
    """Return what the book measured on networks that others trained, a sentence each; none without the records.

    Raises:
        ModuleNotFoundError: a package of the data extra is missing.
    """
    entries = {entry.id: entry for entry in checking.registered("deep-frame-potential") if entry.scale == "laptop"}
    found = {identifier: checking.run(entries[identifier], Setting())
             for identifier in (RANK, COUNT, SAME, WIRING, REGRET, DARTS_RANK, DARTS_COUNT)}
    tellers = {RANK: ranking, COUNT: counting, SAME: same_operations, WIRING: wiring, REGRET: regret}
    told = [tell(found[identifier]) for identifier, tell in tellers.items() if found[identifier] is not None]
    if told:
        told.insert(0, f"Measured on {_cells()} cells of NAS-Bench-201 that others trained; 95 % intervals.")
    if found[DARTS_RANK] is not None:
        told.append(in_darts(found[DARTS_RANK], found[DARTS_COUNT]))
    return told


def _cells():
    """Return how many cells have an F in the records."""
    return sum(found is not None for found in results.records(benchmarks.NAME, [benchmarks.LEAD])[0]["result"]["reached"])


def ranking(outcome: Outcome) -> str:
    """Say how low F ranks accuracy."""
    return f"Over all cells, low F and accuracy on CIFAR-10 have a rank correlation of {_with(outcome)}."


def counting(outcome: Outcome) -> str:
    """Say which ranks better, F or the number of parameters: the data set where F does best decides."""
    word = _side(outcome, "F ranks better than the number of parameters", "F ranks worse than the number of parameters",
                 "F and the number of parameters rank alike, as far as these cells tell")
    return f"{word}: its rank correlation less theirs is {_with(outcome)}, on the data set where F does best."


def same_operations(outcome: Outcome) -> str:
    """Say how F orders cells of the same operations: the data set where it does worst decides."""
    return f"Of two cells made of the same six operations F orders the share {_with(outcome)} more rightly than wrongly."


def wiring(outcome: Outcome) -> str:
    """Say whether F tells apart cells with the same operations in use: the data set where it does worst decides."""
    word = _side(outcome, "F knows something about wiring", "F orders wirings the wrong way round",
                 "F knows nothing about wiring, as far as these cells tell")
    return (f"{word}: of two cells with the same operations on paths from input to output it orders the share {_with(outcome)} "
            f"more rightly than wrongly. (Each on the data set of three where F does worst.)")


def regret(outcome: Outcome) -> str:
    """Say what a choice among ten by F costs, beside a choice by the number of parameters."""
    word = _side(outcome, "costs more accuracy than", "costs less accuracy than", "costs as much accuracy as", middle=1)
    return (f"Of ten cells, the one of lowest F {word} the one of most parameters: it is {_with(outcome)} times as far from the "
            f"best of the ten.")


def in_darts(rank: Outcome, count: Outcome) -> str:
    """Say how low F ranks accuracy in the DARTS space, and beside the number of parameters."""
    word = _side(count, "better than the number of parameters", "worse than the number of parameters",
                 "like the number of parameters, as far as these networks tell")
    return (f"On {len(load('nas301'))} networks of the DARTS space (accuracies of the surrogate of NAS-Bench-301) the rank "
            f"correlation is {_with(rank)}; F ranks {word}: the difference is {_with(count)}.")


def _side(outcome, above, below, neither, middle=0.0):
    low, high = outcome.interval
    return above if low > middle else below if high < middle else neither


def _with(outcome):
    low, high = outcome.interval
    return f"{outcome.measured:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")
