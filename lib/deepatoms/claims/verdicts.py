"""From outcomes to a verdict: a pure function of a claim's kind, its checks' roles and outcomes, and the scale reached."""

from dataclasses import dataclass

VERDICTS = ("holds", "holds under an added hypothesis", "depends on a convention", "corrected", "false", "disagrees",
            "inconclusive", "not tested")
SCALES = ("laptop", "reduced", "full")  # reduced: recorded, with fewer images, epochs or seeds than the paper


@dataclass(frozen=True)
class Verdict:
    """What the measurements say of one claim, on which evidence, at which scale, and why if nothing was measured."""

    text: str
    evidence: tuple[str, ...] = ()
    scale: str = ""
    reduced: bool = False
    vacuous: bool = False
    unsupported: bool = False
    revised: bool = False
    why: str = ""


def verdict(claim, outcomes, untested="its checks have not run"):
    """Return the verdict on a claim; ``outcomes`` maps a check's name to its outcomes, one a scale (the largest counts).

    The rules are those of the table on the scoreboard, first match first. A reduced experiment never makes a claim false.
    """
    reached = {name: max(found, key=lambda outcome: SCALES.index(outcome.scale))
               for name, found in outcomes.items() if found}
    if not claim.checks:
        return Verdict("not tested", unsupported=True, revised=bool(claim.revised), why=claim.reason)
    text = _text(claim, reached)
    if text == "not tested":
        return Verdict(text, revised=bool(claim.revised), why=untested)
    scale = min((outcome.scale for outcome in reached.values()), key=SCALES.index)
    reduced = SCALES.index(scale) < SCALES.index(claim.scale_required)
    return Verdict("disagrees" if reduced and text == "false" else text,
                   evidence=tuple(dict.fromkeys(str(outcome.evidence) for outcome in reached.values())),
                   scale=scale, reduced=reduced, vacuous=any(outcome.vacuous for outcome in reached.values()),
                   revised=bool(claim.revised))


def untested(claim):
    """Return why a claim of a written chapter has no verdict."""
    return "needs a recorded run at full scale" if claim.scale_required == "full" else "needs a recorded run"


def _text(claim, reached):
    said = {role: _joint(claim, reached, role) for role in ("printed", "hypothesis", "convention", "corrected")}
    printed = said["printed"] if said["printed"] != "absent" else said["convention"]
    if printed == "absent":  # the catalogue refuses such a claim; whatever else was measured says nothing about it
        return "not tested"
    if printed == "holds":
        return "holds"
    if printed == "fails" and said["hypothesis"] in ("holds", "not tested"):
        return "holds under an added hypothesis" if said["hypothesis"] == "holds" else "not tested"
    if said["convention"] == "mixed":
        return "depends on a convention"
    return _broken(claim, said["corrected"]) if printed == "fails" else printed


def _broken(claim, corrected):
    """Judge a claim that fails as printed; a correction that has not run yet leaves it open."""
    if claim.kind in ("figure", "table"):
        return "disagrees"
    return {"holds": "corrected", "not tested": "not tested"}.get(corrected, "false")


def _joint(claim, reached, role):
    """Join the outcomes of all checks of a role: absent, not tested, holds, fails, mixed (conventions) or inconclusive."""
    names = [check.name for check in claim.checks if check.role == role]
    results = [reached[name].result for name in names if name in reached]
    if not names:
        return "absent"
    if role == "convention" and {"holds", "fails"} <= set(results):
        return "mixed"
    if role != "convention" and "fails" in results:
        return "fails"
    if len(results) < len(names):
        return "not tested"
    return "inconclusive" if "inconclusive" in results else results[0]
