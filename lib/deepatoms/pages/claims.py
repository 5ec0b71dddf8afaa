"""What a chapter shows of its claims: one line a check, and at its end the table of verdicts."""

import html

from IPython.display import display

from deepatoms.experiments import catalogue, checking
from deepatoms.experiments import verdicts as judging

METADATA = "deepatoms"
_state = {}


def begin(chapter, seed=0, device="cpu", profile="laptop"):
    """Start a chapter: fix seed, device and profile of its checks, and forget earlier outcomes."""
    catalogue.load().chapter(chapter)
    device = ("cuda" if _cuda() else "cpu") if device == "auto" else device
    _state.update(chapter=chapter, setting=checking.Setting(seed, device, profile), outcomes={})


def _cuda():
    import torch
    return torch.cuda.is_available()


def setting():
    """Return the setting that ``begin`` fixed, for a chapter's own figures."""
    if not _state:
        raise RuntimeError("no chapter has begun; call claims.begin(chapter, seed=..., device=..., profile=...) first")
    return _state["setting"]


def check(*identifiers):
    """Measure the named checks, compare each with its criterion and show one line for each."""
    entries = [entry for identifier in identifiers for entry in _entries(identifier)]
    _show([outcome for entry in entries if (outcome := _outcome(entry)) is not None])


def verdicts(chapter):
    """Run the chapter's remaining checks, then show its table of verdicts with every check beneath its claim."""
    for entry in checking.registered(chapter):
        _outcome(entry)
    found = {claim: _verdict(claim) for claim in catalogue.load().chapter(chapter)}
    outcomes = [outcome for outcome in _state["outcomes"].values() if outcome is not None]
    _publish(_table(found), "\n".join(f"{claim.id}: {said.text}" for claim, said in found.items()), outcomes)


def _entries(identifier):
    planned = catalogue.load().check(identifier)
    setting()
    found = [entry for entry in checking.registered(_state["chapter"]) if entry.id == planned.id]
    if not found:
        raise KeyError(f"check = {identifier!r} has no function in chapter {_state['chapter']}; "
                       f"register one with @check in deepatoms.experiments.checks")
    return found


def _outcome(entry):
    key = (entry.id, entry.scale)
    if key not in _state["outcomes"]:
        _state["outcomes"][key] = checking.run(entry, setting())
    return _state["outcomes"][key]


def _verdict(claim):
    by_name = {check.name: [outcome for (name, _), outcome in _state["outcomes"].items()
                            if name == check.id and outcome is not None] for check in claim.checks}
    return judging.verdict(claim, by_name)


def _show(outcomes):
    rows = "".join(_line(outcome) for outcome in outcomes)
    text = "\n".join(f"{o.check}: measured {o.measured:.3g}, {o.result}; control {o.control:.3g}" for o in outcomes)
    _publish(f'<table class="deepatoms-checks">{rows}</table>', text, outcomes)


def _line(outcome):
    planned = catalogue.load().check(outcome.check)
    cells = (outcome.check, f"{outcome.measured:.3g}", str(planned.criterion), outcome.result, f"{outcome.control:.3g}")
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _table(found):
    rows = "".join(f"<tr><td>{claim.id}</td><td>{html.escape(said.text)}</td></tr>" for claim, said in found.items())
    return f'<table class="deepatoms-verdicts">{rows}</table>'


def _publish(page, text, outcomes):
    display({"text/html": page, "text/plain": text}, raw=True,
            metadata={METADATA: {"outcomes": [outcome.as_dict() for outcome in outcomes]}})
