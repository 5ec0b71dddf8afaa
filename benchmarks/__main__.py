"""Run one benchmark, ``python -m benchmarks pursuit``, and print its table; ``--record`` records it where chapters read it."""

import argparse
import importlib

from deepatoms.pages import speeds
from deepatoms.runs import results

RECORDED = {"frame_potential": "potential-speed", "pursuit": "pursuit-speed", "resnests": "resnests-speed",
            "partition": "partition-speed", "templates": "template-speed"}
PRINTED = ("datasets", "ksvd", "reports", "training")


def main(arguments=None):
    """Measure one subject, or list all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subject", nargs="?", choices=(*RECORDED, *PRINTED))
    parser.add_argument("--record", action="store_true", help="record the configurations that have no record yet")
    options = parser.parse_args(arguments)
    if options.subject is None:
        print("\n".join((*RECORDED, *PRINTED)))
    elif options.subject in PRINTED:
        importlib.import_module(f"benchmarks.{options.subject}").main()
    else:
        print("\n".join("  ".join(row) for row in (speeds.HEAD, *speeds.rows(measure(options.subject, options.record)))))


def measure(subject, record):
    """Return the records of a subject, measured now."""
    importlib.import_module(f"benchmarks.{subject}")
    planned = results.experiments()[RECORDED[subject]]
    if record:
        return results.run(planned.name, planned.configurations, planned.function)
    return [{"configuration": each, "result": planned.function(each, "cpu")} for each in planned.configurations]


if __name__ == "__main__":
    main()
