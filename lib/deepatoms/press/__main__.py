"""The press from the command line; the Makefile calls it."""

import argparse
import importlib
import pkgutil
import subprocess
import sys
import time
from collections import Counter

from tqdm import tqdm

from deepatoms import studies
from deepatoms.press import (
    arithmetic,
    checkout,
    lab,
    notebooks,
    pdf,
    portable,
    regress,
    repeat,
    site,
    template,
    wheelhouse,
)
from deepatoms.runs import manifest, prices, record_files, results


def main(arguments=None):
    """Run one command of the press."""
    options = _parser().parse_args(arguments)
    options.command(options)


def _parser():
    parser = argparse.ArgumentParser(prog="press", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add(commands, "build", lambda options: site.build())
    _add(commands, "serve", lambda options: site.serve(options.port)).add_argument("port", type=int)
    _add(commands, "pdf", lambda options: print(f"The book as one PDF: {pdf.write()}"))
    _add(commands, "lab", lambda options: lab.open_lab(options.arguments)).add_argument("arguments", nargs="*")
    _add(commands, "store", _store).add_argument("chapters", nargs="*")
    _add(commands, "check-changed", _check_changed)
    _add(commands, "chapter", lambda options: template.write(options.name)).add_argument("name")
    _add_regress(commands)
    elsewhere = _add(commands, "portable", _portable)
    elsewhere.add_argument("--setting", action="append", choices=arithmetic.SETTINGS)
    elsewhere.add_argument("--chapter", action="append", default=[])
    elsewhere.add_argument("--no-tests", dest="tests", action="store_false")
    _add(commands, "manifest", _list_records)
    record = _add(commands, "full", _full)
    record.add_argument("experiment", nargs="?")
    record.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    record.add_argument("--minutes", type=float)
    record.add_argument("--jobs", type=int, default=1)
    record.add_argument("--shard")
    wheels = _add(commands, "wheelhouse", _wheelhouse)
    wheels.add_argument("--folder", default="_build/wheelhouse")
    wheels.add_argument("--python", default="{}.{}".format(*sys.version_info))
    wheels.add_argument("--without", nargs="*", default=["torch"])
    return parser


def _add_regress(commands):
    again = _add(commands, "regress", _regress)
    again.add_argument("--seed", type=int, default=1)
    again.add_argument("--profile", choices=("laptop", "full"), default="laptop")
    again.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    again.add_argument("--chapter", action="append", default=[])
    again.add_argument("--results")


def _add(commands, name, function):
    parser = commands.add_parser(name)
    parser.set_defaults(command=function)
    return parser


def _store(options):
    for path in tqdm(checkout.chapters(options.chapters)):
        started = time.perf_counter()
        notebooks.store(path)
        tqdm.write(f"{path.stem}: {time.perf_counter() - started:.0f} s, {path.stat().st_size / 1e3:.0f} kB")


def _check_changed(options):
    """Run the chapters that differ from where the branch left main through nbval."""
    changed = _git("diff", "--name-only", _base(), "--", "notebooks").split()
    existing = [path for path in changed if (checkout.ROOT / path).exists()]
    if existing and subprocess.run([sys.executable, "-m", "pytest", "-q", *repeat.NBVAL, *existing],
                                   cwd=checkout.ROOT, check=False).returncode:
        raise SystemExit(1)


def _base():
    """Return the commit where this branch left main, here or at origin; in a clone that knows neither, the last commit."""
    return next((base for name in ("main", "origin/main") if (base := _git("merge-base", name, "HEAD"))), "HEAD")


def _git(*arguments):
    """Return what git says, nothing when it refuses."""
    return subprocess.run(["git", *arguments], cwd=checkout.ROOT, check=False, capture_output=True, text=True).stdout.strip()


def _regress(options):
    report = regress.regress(checkout.chapters(options.chapter), options.seed, options.profile, options.device,
                             options.results)
    for chapter in report["chapters"]:
        print(f"{chapter['chapter']}: {chapter['checks']} checks in {chapter['seconds']} s, "
              f"{len(chapter['broken'])} broken", *chapter["broken"], sep="\n  ")
    print(arithmetic.sentence(report["arithmetic"]))
    print("report:", regress.write(report).relative_to(checkout.ROOT))
    if any(chapter["broken"] for chapter in report["chapters"]):
        raise SystemExit(1)


def _portable(options):
    if not portable.write(checkout.chapters(options.chapter), options.setting or list(arithmetic.SETTINGS), options.tests):
        raise SystemExit(1)


def _full(options):
    for module in pkgutil.walk_packages(studies.__path__, studies.__name__ + "."):
        importlib.import_module(module.name)
    planned = results.experiments()
    if options.experiment is None:
        return _list(planned)
    if options.experiment not in planned:
        raise SystemExit(f"experiment = {options.experiment!r} is unknown; make full lists them")
    chosen = planned[options.experiment]
    effort = results.Effort(options.minutes, options.jobs, True, options.shard)
    try:
        summary = results.sweep(chosen.name, chosen.configurations, chosen.function, chosen.claims,
                                regress.device_name(options.device), effort)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
    print(summary, *summary.traces, sep="\n")
    _list_records(None)
    if summary.failed:
        raise SystemExit(1)


def _list_records(options):
    """Put new records into the list of all, by their sha256; one that was altered since it was listed is refused."""
    try:
        print(f"{manifest.add(results.folder())} new records listed in {results.folder() / manifest.NAME}")
    except ValueError as fault:
        raise SystemExit(str(fault)) from None


def _wheelhouse(options):
    size = wheelhouse.fetch(options.folder, options.python, options.without)
    print(f"{options.folder}: {size / 2**20:.0f} MiB for Python {options.python}, without {', '.join(options.without)}; there: "
          f"python -m pip install --no-index --no-deps {options.folder}/*.whl")


def _list(planned):
    for experiment in planned.values():
        print(f"{prices.price(experiment)}\n    {experiment.title}")
        found = results.records(experiment.name)
        for age, count in Counter(filter(None, map(record_files.age, found))).items():
            print(f"    {count} {age}")


if __name__ == "__main__":
    main()
