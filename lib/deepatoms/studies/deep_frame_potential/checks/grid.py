"""Section 5: orderings of recorded minimum frame potentials, under each convention that the paper leaves open."""

from functools import lru_cache, wraps

import numpy as np

from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential.minima import FREE, FREE_GRID, REDUCED, UNIT_GRID


def recorded_check(identifier, free=False):
    """Register a function of the recorded ``Grid`` at both scales: the sizes recorded here, and the paper's whole grid.

    ``free`` names the checks that need free magnitudes from the usual start beside the unit ones.
    """
    whole = (FREE_GRID, (REDUCED, FREE, UNIT_GRID)) if "free" in identifier else (UNIT_GRID, (REDUCED, FREE))

    def decorate(function):
        _register(identifier, function, "full", *whole)
        return _register(identifier, function, "laptop", FREE if free else REDUCED, (REDUCED,) if free else ())
    return decorate


def _register(identifier, function, scale, records, others):
    """Register a check that reads the records of one experiment and of others, all of them complete."""
    @check(identifier, experiment(3), scale=scale, records=records)
    @wraps(function)
    def measure(setting, found):
        more = [results.complete(name, setting) for name in others]
        return None if None in more else function(Grid(sum(more, found)))
    return measure


class Grid:
    """Recorded results by family, size and convention."""

    def __init__(self, records):
        self.results = {}
        for record in records:
            chosen = record["configuration"]
            names = ("layers", "growth") if chosen["family"] == "densenet" else ("blocks", "width")
            key = (chosen["family"], *(chosen[name] for name in names), chosen["magnitudes"], chosen["gain"])
            self.results[key] = record["result"]

    def sizes(self, family="resnet", magnitudes="unit"):
        """Return the recorded (n, width) or (L, growth) of a family."""
        return sorted({key[1:3] for key in self.results if key[0] == family and key[3] == magnitudes})

    def deep(self, *families, magnitudes="unit"):
        """Return the sizes from n = 2 on that all families share."""
        return [size for size in self.sizes(families[0], magnitudes) if size[0] > 1
                and all(size in self.sizes(family, magnitudes) for family in families)]

    def get(self, family, size, convention="unit", quantity="potential"):
        """Return a recorded number; conventions are "unit", "gain2" and "best" (lowest over the three gains)."""
        gains = {"unit": (2.0,), "gain2": (2.0,), "best": (0.02, 2.0, 30.0)}[convention]
        magnitudes = "unit" if convention == "unit" else "free"
        found = [self.results[family, *size, magnitudes, gain] for gain in gains]
        return min(found, key=lambda result: result["potential"])[quantity]

    def ratios(self, family, convention, sizes, quantity="potential"):
        """Return F (or another quantity for each atom) of a chain over that of the residual net, size by size."""
        def value(name, size):
            number = self.get(name, size, convention, quantity)
            return number / self.get(name, size, convention, "atoms") if quantity == "between_layers" else number
        return [value(family, size) / value("resnet", size) for size in sizes]

    def started(self, *families):
        """Return the sizes recorded from all three gains in every family."""
        return [size for size in self.deep(*families, magnitudes="free")
                if all((name, *size, "free", gain) in self.results for name in families for gain in (0.02, 30.0))]


# ---- skips and the norms of off-diagonal blocks ----

@recorded_check("dfp.skip_norms/unit_analysis")
def skip_norms(grid):
    """Compare the energy between layers, per atom, at the unit minima; control: the residual net without its skips."""
    sizes = [size for size in grid.deep("resnet", "chain") if size[1] <= 16]
    without = [grid.get("chain", size, quantity="between_layers") for size in sizes]
    return Measurement(min(grid.ratios("chain", "unit", sizes, "between_layers")), min(np.divide(without, without)))


@recorded_check("dfp.skip_norms/unit_synthesis")
def skip_norms_synthesis(grid):
    """The same against the chain of Equation 6; control: one block in each group."""
    sizes = [size for size in grid.deep("resnet", "synthesis") if size[1] <= 16]
    return Measurement(min(grid.ratios("synthesis", "unit", sizes, "between_layers")),
                       min(grid.ratios("synthesis", "unit", [(1, 4)], "between_layers")))


@recorded_check("dfp.skip_norms/free_best")
def skip_norms_free(grid):
    """The same at the lowest energies found with free magnitudes; control: unit magnitudes."""
    sizes = [size for size in grid.started("resnet", "chain") if size[1] == 4 and size[0] <= 5]
    return Measurement(*(min(grid.ratios("chain", convention, sizes, "between_layers")) for convention in ("best", "unit")))


# ---- Figure 2e: all families pooled ----

@recorded_check("dfp.fig2e/unit")
def pooled_unit(grid):
    """Order the families by the lowest F within twenty parameter budgets, unit magnitudes."""
    return _pooled(grid, "unit")


@recorded_check("dfp.fig2e/free", free=True)
def pooled_free(grid):
    """The same with the values reached from gain 2 with free magnitudes."""
    return _pooled(grid, "gain2")


def _pooled(grid, convention):
    points = envelopes(grid, convention)
    found = _ordered(points)
    constants = (3, 2, 1) if found >= 0.9 else (1, 2, 3)
    replaced = [[(parameters, value) for parameters, _ in family] for family, value in zip(points, constants, strict=True)]
    return Measurement(found, _ordered(replaced))


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


def _ordered(points):
    best = [[min(value for parameters, value in family if parameters <= budget * (1 + 1e-9)) for family in points]
            for budget in budgets(points)]
    return float(np.mean([dense <= residual <= chain for dense, residual, chain in best]))


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


@recorded_check("dfp.fig5b/free_gain2")
def residual_below_chain_gain2(grid):
    """The same with values reached from gain 2, lowest of three seeds; control: unit magnitudes."""
    sizes = grid.deep("resnet", "chain", magnitudes="free")
    return Measurement(*(min(grid.ratios("chain", convention, sizes)) for convention in ("gain2", "unit")))


@recorded_check("dfp.fig5b/free_best")
def residual_below_chain_best(grid):
    """The same with the lowest values from three starting scales; control: unit magnitudes."""
    sizes = grid.started("resnet", "chain")
    return Measurement(*(min(grid.ratios("chain", convention, sizes)) for convention in ("best", "unit")))


def _fraction(grid, convention, sizes, exchanged=False):
    ratios = np.array(grid.ratios("chain", convention, sizes))
    return float(np.mean(ratios < 1 if exchanged else ratios > 1))


def _paired(sizes):
    even = [size for size in sizes if size[0] % 2 == 0]
    return even if len({n for n, _ in sizes}) > 3 else sizes


@recorded_check("dfp.fig6b/unit_analysis")
def pairs_unit(grid):
    """Count the pairs in which the residual net has the lower F; control: families exchanged."""
    sizes = _paired(grid.deep("resnet", "chain"))
    return Measurement(_fraction(grid, "unit", sizes), _fraction(grid, "unit", sizes, exchanged=True))


@recorded_check("dfp.fig6b/free_best")
def pairs_best(grid):
    """The same with the lowest values from three starting scales; control: unit magnitudes."""
    sizes = _paired(grid.started("resnet", "chain"))
    return Measurement(_fraction(grid, "best", sizes), _fraction(grid, "unit", sizes))


@recorded_check("dfp.fig6b/free_gain2")
def pairs_gain2(grid):
    """The same with values reached from gain 2; control: unit magnitudes, or families exchanged where that holds."""
    sizes = _paired(grid.deep("resnet", "chain", magnitudes="free"))
    found = _fraction(grid, "gain2", sizes)
    return Measurement(found, _fraction(grid, "gain2", sizes, exchanged=True) if found >= 0.9 else _fraction(grid, "unit", sizes))


# ---- does the gap grow with size? ----

def _growths(grid, value):
    """Growth of a gap from n = 2 to the deepest (least over widths), and from width 4 to the widest (at the deepest)."""
    sizes = grid.deep("resnet", "chain")
    widths, deepest = sorted({width for _, width in sizes}), max(n for n, _ in sizes)
    return (min(value((deepest, width)) - value((2, width)) for width in widths),
            value((deepest, widths[-1])) - value((deepest, widths[0])))


@recorded_check("dfp.fig6b_growth/either_reading")
def growth(grid):
    """Read "more pronounced" as a ratio and as a distance, and take the more favourable; control: depth alone."""
    unit = grid.get("chain", (2, 4))
    ratio = _growths(grid, lambda size: grid.ratios("chain", "unit", [size])[0])
    distance = _growths(grid, lambda size: (grid.get("chain", size) - grid.get("resnet", size)) / unit)
    return Measurement(max(min(ratio), min(distance)), ratio[0])


@recorded_check("dfp.fig6b_growth/depth_ratio")
def growth_with_depth(grid):
    """Follow the ratio of F from n = 2 to the deepest networks; control: depths reversed."""
    return Measurement(*(_growths(grid, lambda size, sign=sign: sign * grid.ratios("chain", "unit", [size])[0])[0]
                         for sign in (1, -1)))


# ---- Figures 7b, d and f: scaling ----

def slope(grid, family, sizes, convention="unit"):
    """Return the drop of log F for each unit of log parameters between two sizes."""
    F = [np.log(grid.get(family, size, convention)) for size in sizes]
    parameters = [np.log(grid.get(family, size, convention, "parameters")) for size in sizes]
    return (F[0] - F[1]) / (parameters[1] - parameters[0])


def _slope_ratios(grid, convention, dense, other="chain"):
    sizes = grid.deep("resnet", "chain", magnitudes="unit" if convention == "unit" else "free")
    deepest, found = max(n for n, _ in sizes), []
    for width in sorted({width for _, width in sizes}):
        ends = [(2, width), (deepest, width)]
        below = [slope(grid, "resnet", ends, convention)]
        if dense:
            below.append(slope(grid, "densenet", [(2, 4), (max(L for L, _ in grid.sizes("densenet")), 4)], convention))
        found += [slope(grid, other, ends, convention) / own for own in (below if other == "chain" else below[:1])]
    return max(found)


@recorded_check("dfp.fig7b/slope_ratio")
def saturation(grid):
    """Compare how fast log F falls with log parameters, chains against both others; control: residual with itself."""
    return Measurement(_slope_ratios(grid, "unit", dense=True), _slope_ratios(grid, "unit", dense=True, other="resnet"))


@recorded_check("dfp.fig7b/free", free=True)
def saturation_free(grid):
    """The same for values reached from gain 2, residual nets only."""
    found = _slope_ratios(grid, "gain2", dense=False)
    return Measurement(found, _slope_ratios(grid, "gain2", dense=False, other="resnet") if found <= 0.8
                       else _slope_ratios(grid, "unit", dense=False))


@lru_cache(maxsize=8)
def _neighbours(sizes):
    first, second = (sorted({size[axis] for size in sizes}) for axis in (0, 1))
    steps = [((a, w), (b, w)) for a, b in zip(first, first[1:], strict=False) for w in second]
    steps += [((n, a), (n, b)) for a, b in zip(second, second[1:], strict=False) for n in first]
    return [(a, b) for a, b in steps if a in sizes and b in sizes]


def _falls(grid, family):
    falling = [grid.get(family, b) < grid.get(family, a) for a, b in _neighbours(tuple(grid.sizes(family)))]
    return Measurement(np.mean(falling), 1 - np.mean(falling))


@recorded_check("dfp.fig7d/falls")
def residual_falls(grid):
    """Count neighbours in the residual grid at which F falls; control: the order reversed."""
    return _falls(grid, "resnet")


@recorded_check("dfp.fig7d/depth")
def residual_depth(grid):
    """Compare F of the deepest residual networks with half that depth; control: the order reversed."""
    deep, shallow = (10, 5) if (10, 4) in grid.sizes() else (5, 2)
    widths = sorted({width for _, width in grid.sizes()})
    found = [grid.get("resnet", (deep, width)) / grid.get("resnet", (shallow, width)) for width in widths]
    return Measurement(max(found), max(1 / ratio for ratio in found))


@recorded_check("dfp.fig7f/falls")
def dense_falls(grid):
    """Count neighbours in the dense grid at which F falls; control: the order reversed."""
    return _falls(grid, "densenet")
