"""What a chapter shows of its claims: one line a check, and at its end one line a claim."""

from IPython.display import display

from deepatoms.claims import catalogue, checking
from deepatoms.claims.verdicts import untested, verdict
from deepatoms.pages import claim_html, figures
from deepatoms.pages.explore import is_live
from deepatoms.runs import prefetch
from deepatoms.theory.arguments import refuse

METADATA = figures.METADATA
_state: dict = {}  # of the chapter that has begun: its name, setting and outcomes


def begin(chapter, seed=0, device="cpu", profile="laptop"):
    """Start a chapter: fix seed, device and profile of its checks, forget earlier outcomes, begin its long computations."""
    catalogue.load().chapter(chapter)
    device = ("cuda" if _cuda() else "cpu") if device == "auto" else device
    _state.update(chapter=chapter, setting=checking.Setting(seed, device, profile), outcomes={})
    checking.registered(chapter)  # importing the checks tells what is long
    prefetch.begin(chapter, _state["setting"])


def _cuda():
    import torch
    return torch.cuda.is_available()


def setting():
    """Return the setting that ``begin`` fixed, for a chapter's own figures."""
    if not _state:
        raise RuntimeError("no chapter has begun; call chapter.begin(chapter, seed=..., device=..., profile=...) first")
    return _state["setting"]


def check(*identifiers):
    """Measure the named checks, compare each with its criterion and show one line for each, several that hold closed."""
    found = {identifier: {entry: _outcome(entry) for entry in _entries(identifier)} for identifier in identifiers}
    text = "\n".join(_plain(*pair) for scales in found.values() for pair in scales.items())
    lines = claim_html.check_list([_row(identifier, scales) for identifier, scales in found.items()])
    # JupyterLab has no style sheet of ours. Not with the verdicts: nbval compares them, under a kernel or not.
    style = claim_html.style() if is_live() else ""
    _publish(style + lines, text, [outcome for scales in found.values() for outcome in scales.values()])


def verdicts(chapter):
    """Run the chapter's remaining checks, then show one line for each claim, those that hold closed; the scoreboard has more."""
    setting()
    if chapter != _state["chapter"]:
        refuse("chapter", chapter, f"is not the one that has begun, {_state['chapter']!r}", "name that one")
    outcomes = {entry: _outcome(entry) for entry in checking.registered(chapter)}
    found = [(claim, _verdict(claim)) for claim in catalogue.load().chapter(chapter)]
    text = "\n".join(f"{claim.id}: {said.text}" for claim, said in found)
    _publish(claim_html.verdict_list(found), text, outcomes.values())


def _entries(identifier):
    planned = catalogue.load().check(identifier)
    setting()
    found = [entry for entry in checking.registered(_state["chapter"]) if entry.id == planned.id]
    if not found:
        raise KeyError(f"check = {identifier!r} has no function in chapter {_state['chapter']}; "
                       f"register one with @check in deepatoms.studies")
    return found


def _outcome(entry):
    key = (entry.id, entry.scale)
    if key not in _state["outcomes"]:
        _state["outcomes"][key] = checking.run(entry, setting())
    return _state["outcomes"][key]


def _verdict(claim):
    by_name = {check.name: [outcome for (name, _), outcome in _state["outcomes"].items()
                            if name == check.id and outcome is not None] for check in claim.checks}
    return verdict(claim, by_name, untested(claim))


def _row(identifier, scales):
    planned, claim = catalogue.load().check(identifier), catalogue.load().claims[identifier.split("/")[0]]
    module = next(iter(scales)).function.__module__
    # In JupyterLab the link opens the file; on the site the build points it at the function's page.
    return claim_html.check_row(planned, [outcome for outcome in scales.values() if outcome is not None],
                                f"../lib/{module.replace('.', '/')}.py", claim)


def _plain(entry, outcome):
    if outcome is None:
        return f"{entry.id}: not recorded yet; make full EXPERIMENT={entry.records}"
    return claim_html.plain(catalogue.load().check(entry.id), outcome)


def _publish(page, text, outcomes):
    stored = [outcome.as_dict() for outcome in outcomes if outcome is not None]
    display({"text/html": page, "text/plain": text}, raw=True, metadata={METADATA: {"outcomes": stored}})


def stored(notebook):
    """Return the outcomes in a notebook's outputs, by check and scale, as plain data."""
    return outcomes(output for cell in notebook.cells for output in cell.get("outputs", []))


def outcomes(outputs):
    """Return the outcomes that a cell's outputs carry, by check and scale, as plain data."""
    return {(outcome["check"], outcome["scale"]): outcome for output in outputs
            for outcome in output.get("metadata", {}).get(METADATA, {}).get("outcomes", [])}
