"""Section 5: orderings of recorded minimum frame potentials, under each convention that the paper leaves open."""

from dataclasses import replace
from functools import lru_cache, wraps

import numpy as np

from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import minima
from deepatoms.studies.deep_frame_potential.minima import FREE, FREE_GRID, NORMS, REDUCED, UNIT_GRID

GAINS = {"unit": (2.0,), "gain2": (2.0,), "best": (0.02, 2.0, 30.0)}
SHUFFLES = 50
LARGE = 20_000  # parameters: from here on the first layer of the dense nets no longer decides


def recorded_check(identifier, convention="unit"):
    """Register a function of the recorded ``Grid`` at both scales: every row there is, and the paper's whole grid."""
    free = convention != "unit"
    whole = (FREE_GRID, (REDUCED, FREE, UNIT_GRID)) if free else (UNIT_GRID, (REDUCED, FREE))

    def decorate(function):
        _register(identifier, convention, function, "full", *whole)
        return _register(identifier, convention, function, "reduced", FREE if free else REDUCED, (REDUCED,) if free else ())
    return decorate


def _register(identifier, convention, function, scale, records, others):
    """Register a check that demands the records of some experiments, all of them complete, and reads all that there are."""
    @check(identifier, experiment(1 if convention == "best" else 3), scale=scale, records=records)
    @wraps(function)
    def measure(setting, found):
        if None in [results.complete(name, setting) for name in others]:
            return None
        grid = Grid(minima.recorded(), setting.numpy(identifier))
        return replace(function(grid), count=grid.seeds(convention))
    return measure


class Grid:
    """Recorded results by family, size and convention; ``draw`` shuffles them for controls."""

    def __init__(self, records, draw=None):
        self.results, self._seeds, self.draw = {}, {}, np.random.default_rng(0) if draw is None else draw
        for record in records:
            chosen = record["configuration"]
            names = ("layers", "growth") if chosen["family"] == "densenet" else ("blocks", "width")
            key = (chosen["family"], *(chosen[name] for name in names), chosen["magnitudes"], chosen["gain"])
            self.results[key], self._seeds[key] = record["result"], len(chosen["seeds"])

    def seeds(self, convention):
        """Return the least number of seeds of any row that a convention reads."""
        magnitudes = "unit" if convention == "unit" else "free"
        return min(count for key, count in self._seeds.items() if key[3] == magnitudes and key[4] in GAINS[convention])

    def sizes(self, family="resnet", magnitudes="unit"):
        """Return the recorded (n, width) or (L, growth) of a family."""
        return sorted({key[1:3] for key in self.results if key[0] == family and key[3] == magnitudes})

    def deep(self, *families, magnitudes="unit"):
        """Return the sizes from n = 2 on that all families share."""
        return [size for size in self.sizes(families[0], magnitudes) if size[0] > 1
                and all(size in self.sizes(family, magnitudes) for family in families)]

    def get(self, family, size, convention="unit", quantity="potential"):
        """Return a recorded number; conventions are "unit", "gain2" and "best" (lowest over the three gains)."""
        magnitudes = "unit" if convention == "unit" else "free"
        found = [self.results[family, *size, magnitudes, gain] for gain in GAINS[convention]]
        return min(found, key=lambda result: result["potential"])[quantity]

    def ratios(self, family, convention, sizes, quantity="potential", other="resnet"):
        """Return F (or another quantity for each atom) of a chain over that of the residual net, size by size."""
        def value(name, size):
            number = self.get(name, size, convention, quantity)
            return number / self.get(name, size, convention, "atoms") if quantity == "between_layers" else number
        return [value(family, size) / value(other, size) for size in sizes]

    def started(self, *families):
        """Return the sizes recorded from all three gains in every family."""
        return [size for size in self.deep(*families, magnitudes="free")
                if all((name, *size, "free", gain) in self.results for name in families for gain in (0.02, 30.0))]


# ---- skips and the norms of off-diagonal blocks ----

@recorded_check("dfp.skip_norms/unit_analysis")
def skip_norms(grid):
    """Compare the energy between layers, per atom, at the unit minima; control: a chain in two forms, neither with skips."""
    sizes = [size for size in grid.deep("resnet", "chain", "synthesis") if size[1] <= 16]
    return Measurement(min(grid.ratios("chain", "unit", sizes, "between_layers")),
                       min(grid.ratios("synthesis", "unit", sizes, "between_layers", other="chain")))


@recorded_check("dfp.skip_norms/unit_synthesis")
def skip_norms_synthesis(grid):
    """The same against the chain of Equation 6; control: one block in each group."""
    sizes = [size for size in grid.deep("resnet", "synthesis") if size[1] <= 16]
    return Measurement(min(grid.ratios("synthesis", "unit", sizes, "between_layers")),
                       min(grid.ratios("synthesis", "unit", [(1, 4)], "between_layers")))


@recorded_check("dfp.skip_norms/free_best", "best")
def skip_norms_free(grid):
    """The same at the lowest energies found with free magnitudes; control: unit magnitudes."""
    sizes = [size for size in grid.started("resnet", "chain") if size[1] == 4 and size[0] <= 5]
    return Measurement(*(min(grid.ratios("chain", convention, sizes, "between_layers")) for convention in ("best", "unit")))


# ---- Figure 2e: all families pooled ----

@recorded_check("dfp.fig2e/unit")
def pooled_unit(grid):
    """Order the families by the lowest F within twenty parameter budgets, unit magnitudes."""
    return _pooled(grid, "unit")


@recorded_check("dfp.fig2e/free", "gain2")
def pooled_free(grid):
    """The same with the values reached from gain 2 with free magnitudes."""
    return _pooled(grid, "gain2")


def _pooled(grid, convention):
    """The share of budgets in the paper's order; controls: dense nets and chains exchanged, or large budgets alone."""
    points = envelopes(grid, convention)
    found = np.mean(ordered(points, budgets(points)))
    if found >= 0.9:
        return Measurement(found, np.mean(ordered(points[::-1], budgets(points))))
    unit = envelopes(grid, "unit")
    return Measurement(found, np.mean(ordered(unit, [budget for budget in budgets(unit) if budget >= LARGE])))


def envelopes(grid, convention):
    """Return (parameters, F) of every recorded dense, residual and chain network."""
    magnitudes = "unit" if convention == "unit" else "free"
    sizes = {family: [size for size in grid.sizes(family, magnitudes) if (family, *size, magnitudes, 2.0) in grid.results]
             for family in ("densenet", "resnet", "chain")}
    return [sorted((grid.get(family, size, convention, "parameters"), grid.get(family, size, convention)) for size in own)
            for family, own in sizes.items()]


def budgets(points):
    """Return twenty budgets at which every family has a network and none is out of networks."""
    return np.geomspace(max(family[0][0] for family in points), min(family[-1][0] for family in points), 20)


def ordered(points, within):
    """Tell for each budget whether the lowest F within it is ordered dense, residual, chain."""
    best = [[min(value for parameters, value in family if parameters <= budget * (1 + 1e-9)) for family in points]
            for budget in within]
    return [dense <= residual <= chain for dense, residual, chain in best]


# ---- Figures 5b and 6b: residual networks against chains ----

@recorded_check("dfp.fig5b/unit_analysis")
def residual_below_chain(grid):
    """Divide F of the analysis chain by that of the residual net; control: free magnitudes, lowest of three starts."""
    return Measurement(min(grid.ratios("chain", "unit", grid.deep("resnet", "chain"))),
                       min(grid.ratios("chain", "best", [(2, 4)])))


@recorded_check("dfp.fig5b/unit_synthesis")
def residual_below_synthesis(grid):
    """The same against the chain of Equation 6."""
    return Measurement(min(grid.ratios("synthesis", "unit", grid.deep("resnet", "synthesis"))),
                       min(grid.ratios("synthesis", "best", [(2, 4)])))


@check("dfp.fig5b/small_norms", experiment(3), scale="reduced", records=NORMS)
def residual_below_chain_small(setting, found):
    """The same with every filter norm fixed at 0.25; control: at 1."""
    ratios, _ = minima.ratios_by_norm(found)
    return Measurement(*(min(ratios[blocks, norm] for blocks in (2, 5)) for norm in (0.25, 1.0)),
                       count=min(len(record["configuration"]["seeds"]) for record in found))


@recorded_check("dfp.fig5b/free_gain2", "gain2")
def residual_below_chain_gain2(grid):
    """The same with values reached from gain 2, lowest of three seeds; control: unit magnitudes."""
    sizes = grid.deep("resnet", "chain", magnitudes="free")
    return Measurement(*(min(grid.ratios("chain", convention, sizes)) for convention in ("gain2", "unit")))


@recorded_check("dfp.fig5b/free_best", "best")
def residual_below_chain_best(grid):
    """The same with the lowest values from three starting scales; control: unit magnitudes."""
    sizes = grid.started("resnet", "chain")
    return Measurement(*(min(grid.ratios("chain", convention, sizes)) for convention in ("best", "unit")))


def _fraction(grid, convention, sizes):
    return float(np.mean(np.array(grid.ratios("chain", convention, sizes)) > 1))


def _paired(sizes):
    even = [size for size in sizes if size[0] % 2 == 0]
    return even if len({n for n, _ in sizes}) > 3 else sizes


@recorded_check("dfp.fig6b/unit_analysis")
def pairs_unit(grid):
    """Count the pairs in which the residual net has the lower F; control: free magnitudes, lowest of three starts."""
    return Measurement(_fraction(grid, "unit", _paired(grid.deep("resnet", "chain"))),
                       _fraction(grid, "best", grid.started("resnet", "chain")))


@recorded_check("dfp.fig6b/free_best", "best")
def pairs_best(grid):
    """The same with the lowest values from three starting scales; control: unit magnitudes."""
    sizes = _paired(grid.started("resnet", "chain"))
    return Measurement(_fraction(grid, "best", sizes), _fraction(grid, "unit", sizes))


@recorded_check("dfp.fig6b/free_gain2", "gain2")
def pairs_gain2(grid):
    """The same with values reached from gain 2; control: unit magnitudes, or the lowest of three starts where it holds."""
    sizes = _paired(grid.deep("resnet", "chain", magnitudes="free"))
    found = _fraction(grid, "gain2", sizes)
    return Measurement(found, _fraction(grid, "best", grid.started("resnet", "chain")) if found >= 0.9
                       else _fraction(grid, "unit", sizes))


# ---- does the gap grow with size? ----

def _growths(grid, value):
    """Growth of a gap from n = 2 to the deepest, width by width, and from the narrowest to the widest at one n.

    While rows are missing, each width goes to its own deepest n, and the widths are compared at the deepest they share.
    """
    sizes = grid.deep("resnet", "chain")
    widths = sorted({width for _, width in sizes})
    deepest = {width: max(n for n, w in sizes if w == width) for width in widths}
    shared = min(deepest.values())
    return ([value((deepest[width], width)) - value((2, width)) for width in widths],
            value((shared, widths[-1])) - value((shared, widths[0])))


@recorded_check("dfp.fig6b_growth/either_reading")
def growth(grid):
    """Read "more pronounced" as a ratio and as a distance, and take the more favourable; control: depth alone, all widths."""
    unit = grid.get("chain", (2, 4))
    with_depth, with_width = _growths(grid, lambda size: grid.ratios("chain", "unit", [size])[0])
    farther, wider = _growths(grid, lambda size: (grid.get("chain", size) - grid.get("resnet", size)) / unit)
    return Measurement(max(min(*with_depth, with_width), min(*farther, wider)), np.mean(with_depth))


@recorded_check("dfp.fig6b_growth/depth_ratio")
def growth_with_depth(grid):
    """Follow the ratio of F from n = 2 to the deepest networks; control: with width, at the deepest n."""
    with_depth, with_width = _growths(grid, lambda size: grid.ratios("chain", "unit", [size])[0])
    return Measurement(min(with_depth), with_width)


# ---- Figures 7b, d and f: scaling ----

def slope(grid, family, sizes, convention="unit"):
    """Return the drop of log F for each unit of log parameters between two sizes."""
    F = [np.log(grid.get(family, size, convention)) for size in sizes]
    parameters = [np.log(grid.get(family, size, convention, "parameters")) for size in sizes]
    return (F[0] - F[1]) / (parameters[1] - parameters[0])


def _slope_ratios(grid, convention, dense=False, family="chain", others=("resnet",), widths=(4, 8, 16, 32)):
    """Slopes of a chain over those of other families, width by width, from n = 2 to the deepest n there is."""
    sizes, found = grid.deep(family, *others, magnitudes="unit" if convention == "unit" else "free"), []
    steepest = [slope(grid, "densenet", [(2, 4), (max(L for L, g in grid.sizes("densenet") if g == 4), 4)])] * dense
    for width in sorted({width for _, width in sizes} & set(widths)):
        ends = [(2, width), (max(n for n, w in sizes if w == width), width)]
        own = slope(grid, family, ends, convention)
        found += [own / below for below in [slope(grid, other, ends, convention) for other in others] + steepest]
    return max(found)


@recorded_check("dfp.fig7b/slope_ratio")
def saturation(grid):
    """Compare how fast log F falls with log parameters, chains against both others; control: a chain in two forms."""
    return Measurement(_slope_ratios(grid, "unit", dense=True), _slope_ratios(grid, "unit", others=("synthesis",)))


@recorded_check("dfp.fig7b/free", "gain2")
def saturation_free(grid):
    """The same for values reached from gain 2, residual nets only; control where it fails: unit magnitudes, width 4."""
    found = _slope_ratios(grid, "gain2")
    return Measurement(found, _slope_ratios(grid, "unit", others=("synthesis",)) if found <= 0.8
                       else _slope_ratios(grid, "unit", widths=(4,)))


@lru_cache(maxsize=8)
def _neighbours(sizes):
    first, second = (sorted({size[axis] for size in sizes}) for axis in (0, 1))
    steps = [((a, w), (b, w)) for a, b in zip(first, first[1:], strict=False) for w in second]
    steps += [((n, a), (n, b)) for a, b in zip(second, second[1:], strict=False) for n in first]
    return [(a, b) for a, b in steps if a in sizes and b in sizes]


def falls(grid, family):
    """The share of neighbours at which F falls; control: the same values dealt out to the networks at random."""
    sizes = grid.sizes(family)
    values = np.array([grid.get(family, size) for size in sizes])

    def share(values):
        F = dict(zip(sizes, values, strict=True))
        return np.mean([F[b] < F[a] for a, b in _neighbours(tuple(sizes))])
    return Measurement(share(values), np.mean([share(grid.draw.permutation(values)) for _ in range(SHUFFLES)]))


@recorded_check("dfp.fig7d/falls")
def residualfalls(grid):
    """Count neighbours in the residual grid at which F falls; control: F shuffled over the networks."""
    return falls(grid, "resnet")


@recorded_check("dfp.fig7d/depth")
def residual_depth(grid):
    """Compare F of residual networks of ten blocks a group with five; control: F shuffled over each width's depths."""
    deep, shallow = (10, 5) if (10, 4) in grid.sizes() else (5, 2)
    depths = {width: [n for n, w in grid.sizes() if w == width] for width in sorted({w for n, w in grid.sizes() if n == deep})}
    F = {width: np.array([grid.get("resnet", (n, width)) for n in own]) for width, own in depths.items()}

    def largest(shuffle):
        dealt = {width: dict(zip(depths[width], shuffle(values), strict=True)) for width, values in F.items()}
        return max(own[deep] / own[shallow] for own in dealt.values())
    return Measurement(largest(np.array), np.mean([largest(grid.draw.permutation) for _ in range(SHUFFLES)]))


@recorded_check("dfp.fig7f/falls")
def densefalls(grid):
    """Count neighbours in the dense grid at which F falls; control: F shuffled over the networks."""
    return falls(grid, "densenet")
