"""The table of a recorded speed experiment: each way's seconds, work and memory, and its seconds for equal work."""

from deepatoms.runs import results

# Records made before rows named their work: the field of the configuration that counts it.
COUNTED = {"neighbours": "queries", "dense": "signals", "": "samples"}


def table(name):
    """Return the table of a recorded speed experiment as text, or a sentence with the command that measures it."""
    found = results.all_records(name)
    return "\n".join(lines(found)) if found else f"No record of {name} yet: `python -m benchmarks` lists what measures it."


def lines(records):
    """Return a heading and one line for each way; "times ours" divides the seconds by the work where its unit is ours.

    A group that a later record measures again stands there only.
    """
    text = [f"{'':44}{'CPU s':>10}{'times ours':>12}{'MiB':>7}  work"]
    for number, record in enumerate(records):
        again = {task for later in records[number + 1:] for task in later["configuration"].get("tasks", ())}
        rows = [row for row in _rows(record["result"], record["configuration"]) if row[0] not in again]
        for group, way, found in rows:
            ours = next((each for other, name, each in rows if other == group and name.startswith(("deepatoms", "ours"))), None)
            text.append(_line(f"{group}: {way}" if group else way, found, ours))
    return text


def _rows(result, configuration, group=""):
    """Walk a result: what has seconds (or says why it was not run) is a row, named by the way to it."""
    for name, found in result.items():
        if isinstance(found, dict) and {"seconds", "not_run"} & set(found):
            yield group, name, found | dict(zip(("work", "unit"), _work(group, found, configuration), strict=True))
        elif isinstance(found, dict):
            yield from _rows(found, configuration, configuration.get("problem", "") if name == "ways" else name)


def _work(group, found, configuration):
    if "work" in found:
        return found["work"], found["unit"]
    if "regions" in found:
        return found["regions"], "regions"
    if group == "convolutional":
        return (1, "image to one objective") if "objective" in found else (found["iterations"], "iterations")
    return configuration.get(COUNTED.get(group)), COUNTED.get(group)


def _line(label, found, ours):
    if "not_run" in found:
        return f"{label:44}not run: {found['not_run']}"
    times, work = "–", "work not recorded"
    if found["work"] is not None:
        work = f"{found['work']:,} {found['unit']}"
        if ours and ours.get("seconds") and ours["unit"] == found["unit"]:
            times = f"{found['seconds'] / found['work'] / (ours['seconds'] / ours['work']):,.2f}"
    more = "".join(f", {key} {found[key]:,.6g}" for key in ("objective", "iterations", "forward_passes")
                   if key in found and key != found["unit"])
    memory = f"{found['mebibytes']:.0f}" if "mebibytes" in found else ""
    return f"{label:44}{found['seconds']:10.4g}{times:>12}{memory:>7}  {work}{more}"
