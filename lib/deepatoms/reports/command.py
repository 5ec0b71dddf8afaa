"""The command ``deepatoms``: a report on somebody's network, and a ranking of candidates."""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from deepatoms import reports
from deepatoms.reports import choosing, inputs, loading
from deepatoms.reports.entries import Report
from deepatoms.reports.subject import place
from deepatoms.theory.arguments import refuse

SPOKEN = ("refuse", "demand", "demand_pass")  # the functions whose errors say what to write instead
INTERRUPTED = 130  # what a shell gives a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None, worth: Callable[[], list[str]] = list) -> int:
    """Run the command and return its exit status: 0, 2 where what was asked cannot be done, 130 where Ctrl-C cut it short.

    Args:
        arguments: the words after ``deepatoms``; those of the process unless given.
        worth: returns what choosing by F was worth, for ``rank``.
    """
    options = parser().parse_args(arguments)
    try:
        return options.command(options, worth)
    except KeyboardInterrupt:
        print("deepatoms: interrupted before anything was measured", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # a sentence where there is one, Python's own word where there is none
        if interrupted(error):
            print("deepatoms: interrupted", file=sys.stderr)
            return INTERRUPTED
        if not told(error):
            raise
        print(f"deepatoms: {error}", file=sys.stderr)
        return 2


def told(error: BaseException) -> bool:
    """Tell whether an error is a sentence for the reader: refused by us, or told by their own line; others are faults of ours."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    spoken = last is not None and last.tb_frame.f_code.co_name in SPOKEN
    return spoken or isinstance(error, (loading.ForeignError, OSError))


def interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: Python 3.11 wraps it while a class is made, as when a package is imported."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="deepatoms", description="What five theories of deep networks say of yours.")
    commands = made.add_subparsers(required=True, metavar="report | rank")
    report = commands.add_parser("report", help="what five theories say of a network")
    report.set_defaults(command=_report)
    report.add_argument("model", nargs="?", help="FILE.py:NAME, or module:NAME; NAME is a torch module, or returns one")
    report.add_argument("--data", default="none", help=inputs.SOURCES.removeprefix("name "))
    report.add_argument("--inputs", type=int, default=inputs.INPUTS, help="how many at most (%(default)s)")
    report.add_argument("--size", type=int, help="rows and columns to which images of a folder are resized")
    report.add_argument("--nulls", type=int, default=9, help="networks drawn for each null (%(default)s)")
    report.add_argument("--seed", type=int, default=0, help="of the weights that NAME draws (%(default)s)")
    report.add_argument("--checkpoint", help="a .safetensors file, or a state_dict that torch.save wrote")
    report.add_argument("--trust", action="store_true", help="run the code that the checkpoint holds")
    report.add_argument("--html", help="write the page to this file")
    report.add_argument("--json", help="write the numbers to this file")
    rank = commands.add_parser("rank", help="order architectures by their frame potential, and say what that is worth")
    rank.set_defaults(command=choosing.command)
    rank.add_argument("candidates", help="FILE.py with candidates = {name: architecture}, or FILE.py:NAME")
    rank.add_argument("--budget", type=int, help="most parameters")
    rank.add_argument("--iterations", type=int, default=100, help="steps of descent (%(default)s)")
    rank.add_argument("--magnitudes", choices=("unit", "free"), help="one convention for all; chosen, and said, unless given")
    return made


# ---- report ----

def _report(options, _):
    """Look at a network, print the table, write what was asked for; the exit status says whether it is whole."""
    for name in ("html", "json"):
        _demand_place(name, getattr(options, name))
    progress = Progress()
    progress("loading the network and the inputs")
    model = network(options.model, options.checkpoint, options.trust, options.seed)
    given = inputs.load(options.data, model, options.inputs, options.size)
    found = looked_at(model, given, options.nulls, progress, options.model or options.checkpoint)
    progress.end()
    print(found)
    if options.html:
        from deepatoms.reports import page
        pathlib.Path(options.html).write_text(page.page(found), encoding="utf-8")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found.as_dict(), ensure_ascii=False, indent=1, allow_nan=False),
                                              encoding="utf-8")
    return INTERRUPTED if found.partial else 0


def _demand_place(option, path):
    """Refuse a place that cannot be written to before the long part, not after it."""
    if path is None:
        return
    place = pathlib.Path(path)
    if place.is_dir() or not place.parent.is_dir():
        refuse(f"--{option}", path, "is no file in a folder that is there", f"write --{option} out.{option}")
    place.touch()


def network(model: str | None, checkpoint: str | None = None, trust: bool = False, seed: int = 0) -> nn.Module:
    """Return the network of a command line, in evaluation mode, filled with the checkpoint's tensors where there is one.

    Args:
        model: ``FILE.py:NAME`` or ``module:NAME``; None where the checkpoint is all there is.
        checkpoint: a file, or None.
        trust: run the code that the checkpoint holds.
        seed: of the weights that NAME draws.

    Raises:
        ValueError, TypeError: what was named is not there or does not fit.
        ForeignError: somebody's code fails, told by its line.
    """
    built = None if model is None else loading.network(model, seed)
    if checkpoint is None:
        return built or refuse("model", None, "is missing", f"{loading.WRITE}; or --checkpoint weights.safetensors")
    found = loading.checkpoint(checkpoint, trust)
    if isinstance(found, nn.Module):
        return found if built is None else loading.filled(built, found.state_dict(), checkpoint)
    return loading.Layers(found).eval() if built is None else loading.filled(built, found, checkpoint)


def looked_at(model: nn.Module, given: inputs.Inputs, nulls: int, progress: Callable[[str], object], name: str) -> Report:
    """Return the report under the name that its asker gave, with what was done to get the inputs among its notes.

    Args:
        model: in evaluation mode.
        given: of ``inputs.load``.
        nulls: networks drawn for each null.
        progress: called with a sentence before each long step.
        name: of the network.

    Raises:
        ForeignError: the network's own code fails, told by its line.
    """
    try:
        found = reports.report(model, given.x, given.y, nulls=nulls, progress=progress)
    except Exception as error:  # whatever their forward raises is theirs, and is told; ours is raised as it is
        if interrupted(error) or not (line := place(error)):
            raise
        raise loading.foreign(error, pathlib.Path(line.rpartition(":")[0])) from error
    return replace(found, network=replace(found.network, name=f"{name} ({found.network.name})"),
                   data=f"Data: {given.name}. {found.data}".strip(), notes=(*found.notes, *given.notes))


class Progress:
    """Says on stderr what is being done: one line that changes in a terminal, a line for each lens elsewhere."""

    def __init__(self):
        self.begun, self.terminal = time.perf_counter(), sys.stderr.isatty()

    def __call__(self, sentence: str) -> None:
        """Say one sentence; what belongs to the one before begins with spaces."""
        line = f"{time.perf_counter() - self.begun:6.1f} s  {sentence.strip()}"[:110]
        if self.terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif not sentence.startswith(" "):
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the terminal's line."""
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
