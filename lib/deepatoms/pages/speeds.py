"""The table of a recorded speed experiment: each way's seconds, work and memory, and its seconds for equal work."""

from deepatoms.pages.tables import Table
from deepatoms.runs import results

# Records made before rows named their work: the field of the configuration that counts it.
COUNTED = {"neighbours": "queries", "dense": "signals", "": "samples"}
HEAD = ("way", "CPU s", "times ours", "MiB", "work")
CAPTION = "CPU seconds and memory above the start. Times ours: seconds for equal work, where its unit is ours."


def table(name):
    """Return the table of a recorded speed experiment, or an empty one under the command that measures it."""
    found = results.all_records(name)
    missing = f"No record of {name} yet: python -m benchmarks lists what measures it."
    return Table(HEAD, rows(found), CAPTION if found else missing)


def rows(records):
    """Return one row for each way; "times ours" divides the seconds by the work where its unit is ours.

    A group that a later record measures again stands there only.
    """
    written = []
    for number, record in enumerate(records):
        again = {task for later in records[number + 1:] for task in later["configuration"].get("tasks", ())}
        ways = [each for each in _ways(record["result"], record["configuration"]) if each[0] not in again]
        for group, way, found in ways:
            ours = next((each for other, name, each in ways if other == group and name.startswith(("deepatoms", "ours"))), None)
            written.append(_row(f"{group}: {way}" if group else way, found, ours))
    return written


def _ways(result, configuration, group=""):
    """Walk a result: what has seconds (or says why it was not run) is a row, named by the way to it."""
    for name, found in result.items():
        if isinstance(found, dict) and {"seconds", "not_run"} & set(found):
            yield group, name, found | dict(zip(("work", "unit"), _work(group, found, configuration), strict=True))
        elif isinstance(found, dict):
            yield from _ways(found, configuration, configuration.get("problem", "") if name == "ways" else name)


def _work(group, found, configuration):
    if "work" in found:
        return found["work"], found["unit"]
    if "regions" in found:
        return found["regions"], "regions"
    if group == "convolutional":
        return (1, "image to one objective") if "objective" in found else (found["iterations"], "iterations")
    return configuration.get(COUNTED.get(group)), COUNTED.get(group)


def _row(label, found, ours):
    if "not_run" in found:
        return label, "not run", "", "", found["not_run"]
    times, work = "–", "work not recorded"
    if found["work"] is not None:
        unit = found["unit"].removesuffix("s") if found["work"] == 1 else found["unit"]
        work = f"{found['work']:,} {unit}"
        if ours and ours.get("seconds") and ours["unit"] == found["unit"]:
            times = f"{found['seconds'] / found['work'] / (ours['seconds'] / ours['work']):,.2f}"
    more = "".join(f", {key} {found[key]:,.6g}" for key in ("objective", "iterations", "forward_passes")
                   if key in found and key != found["unit"])
    memory = f"{found['mebibytes']:.0f}" if "mebibytes" in found else ""
    return label, f"{found['seconds']:.4g}", times, memory, work + more
