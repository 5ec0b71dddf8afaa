"""Section 5 on trained networks: validation errors by family, depth and size, beside the minimum frame potential."""

from dataclasses import replace
from functools import wraps

import numpy as np

from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import fully_connected, minima, trained_grid, trained_whole
from deepatoms.studies.deep_frame_potential.checks.grid import Grid, budgets, ordered
from deepatoms.studies.deep_frame_potential.rankings import (
    RESAMPLES,
    difference,
    interval,
    partial_correlation,
    spearman,
)

NARROW = trained_grid.WIDTHS[:2]
results.also_read_by(trained_grid.NAME, ["dfp.fig6a_growth"])


class Networks:
    """The trained networks with their errors, parameters and minimum F; ``errors`` may be exchanged for a control."""

    def __init__(self, errors, grid, draw):
        self.errors, self.grid, self.draw = errors, grid, draw

    def replaced(self, error):
        """Return the same networks with errors that a function of (family, size, error) gives."""
        return Networks({key: error(key[0], key[1:], value) for key, value in self.errors.items()}, self.grid, self.draw)

    def of(self, *families, widths=None):
        """Return the keys of some families, of some widths only where they are named (dense networks have none)."""
        return [key for key in sorted(self.errors) if key[0] in families
                and (widths is None or key[0] == "densenet" or key[2] in widths)]

    def values(self, keys, quantity="potential"):
        """Return the minimum F (unit magnitudes), or the parameters, of networks."""
        return np.array([self.grid.get(key[0], key[1:], quantity=quantity) for key in keys])

    def known(self, keys):
        """Return the errors of networks."""
        return np.array([self.errors[key] for key in keys])

    def points(self, quantity):
        """Return (parameters, value) of the dense, residual and chain networks of widths 4 and 8, by size."""
        found = []
        for family in ("densenet", "resnet", "chain"):
            keys = self.of(family, widths=NARROW)
            values = self.known(keys) if quantity == "error" else self.values(keys)
            found.append(sorted(zip(self.values(keys, "parameters"), values, strict=True)))
        return found


def on_trained(identifier):
    """Register a function of the ``Networks`` at the reduced scale."""
    def decorate(function):
        @check(identifier, experiment(trained_grid.SEEDS), scale="reduced", records=trained_grid.NAME)
        @wraps(function)
        def measure(setting, found):
            if None in [results.complete(name, setting) for name in (minima.REDUCED, minima.UNIT_GRID)]:
                return None
            seeds = {record["configuration"]["seed"] for record in found}
            networks = Networks(trained_grid.mean_errors(found), Grid(minima.recorded()), setting.numpy(identifier))
            return replace(function(networks), count=len(seeds))
        return measure
    return decorate


def opposed(value, networks, holds, fails, passes):
    """Measure a value of the networks; the control is the value of those whose errors are replaced to oppose it.

    Args:
        value: function of ``Networks``.
        networks: as trained.
        holds: whether a value meets the criterion.
        fails, passes: functions of (family, size, error): errors with which it must not, and must.
    """
    found = value(networks)
    return Measurement(found, value(networks.replaced(fails if holds(found) else passes)))


# ---- one family against another ----

LEVELS = {"densenet": 10, "resnet": 20, "chain": 30}


@on_trained("dfp.fig2d/envelopes")
def envelopes(networks):
    """Order the families by the lowest error within twenty parameter budgets; control: a constant error for each family."""
    def share(networks):
        points = networks.points("error")
        return float(np.mean(ordered(points, budgets(points))))
    return opposed(share, networks, lambda found: found >= 0.8, lambda family, *_: 40 - LEVELS[family],
                   lambda family, *_: LEVELS[family])


def _gaps(networks):
    """Return the chain's error minus the residual net's, for every depth and the two narrow widths."""
    pairs = [networks.known([("chain", *key[1:]), key]) for key in networks.of("resnet", widths=NARROW)]
    return np.array([chain - residual for chain, residual in pairs])


def _exchanged(networks):
    """Return errors in which the two families have each other's."""
    other = {"resnet": "chain", "chain": "resnet"}
    return lambda family, size, error: networks.errors[other[family], *size] if family in other else error


def _below(networks):
    """Return errors in which each residual net lies one point below its chain."""
    return lambda family, size, error: networks.errors["chain", *size] - 1 if family == "resnet" else error


@on_trained("dfp.fig5a/residual_lower")
def residual_lower(networks):
    """Take the smallest gap between a chain and its residual net; control: families exchanged, or one point between them."""
    return opposed(lambda each: float(_gaps(each).min()), networks, lambda found: found > 0, _exchanged(networks),
                   _below(networks))


@on_trained("dfp.fig6a/below_diagonal")
def below_diagonal(networks):
    """Count the pairs whose residual net errs less; control: families exchanged, or one point between them."""
    return opposed(lambda each: float(np.mean(_gaps(each) > 0)), networks, lambda found: found >= 0.9, _exchanged(networks),
                   _below(networks))


# ---- what skips gain, by depth and by width ----

def _grows(networks, place):
    """Correlate depth or width with the gain in error by skips, mean over the other; control: minus it for the gain, or it."""
    def correlation(networks):
        gains = {}
        for key in networks.of("resnet"):
            gains.setdefault(key[1 + place], []).append(networks.errors["chain", *key[1:]] - networks.errors[key])
        return float(spearman(np.array(list(gains)), np.array([np.mean(each) for each in gains.values()])))

    def sized(sign):
        return lambda family, size, error: sign * size[place] if family == "chain" else 0.0
    return opposed(correlation, networks, lambda found: found >= 0.75, sized(-1), sized(1))


@on_trained("dfp.fig6a_growth/depth")
def gain_grows_with_depth(networks):
    """Follow the gain with depth; control: minus the depth for the gain, or the depth."""
    return _grows(networks, 0)


@on_trained("dfp.fig6a_growth/width")
def gain_grows_with_width(networks):
    """Follow the gain with width; control: minus the width for the gain, or the width."""
    return _grows(networks, 1)


# ---- depth ----

def _deeper(family, size, error):
    return size[0]


def _shallower(family, size, error):
    return -size[0]


@on_trained("dfp.fig5a/chain_rises")
def chain_rises(networks):
    """Subtract the chain's error at six blocks from that at ten, smaller of two widths; control: the depth, or minus it."""
    def rise(networks):
        return min(float(networks.errors["chain", 10, width] - networks.errors["chain", 6, width]) for width in NARROW)
    return opposed(rise, networks, lambda found: found > 0, _shallower, _deeper)


@on_trained("dfp.fig5a/residual_decreases")
def residual_decreases(networks):
    """Correlate depth and the residual net's error, larger of two widths; control: the depth, or minus it."""
    def correlation(networks):
        keys = [networks.of("resnet", widths=[width]) for width in NARROW]
        return max(float(spearman(np.array([key[1] for key in own]), networks.known(own))) for own in keys)
    return opposed(correlation, networks, lambda found: found <= -0.75, _deeper, _shallower)


def at_equal_parameters(networks, family):
    """Return the correlation of depth with the error read at five parameter counts that every depth has, their mean.

    Errors between two widths are interpolated linearly in the logarithm of the parameters.
    """
    keys = networks.of(family)
    depths = sorted({key[1] for key in keys})
    lines = []
    for depth in depths:
        own = [key for key in keys if key[1] == depth]
        order = np.argsort(networks.values(own, "parameters"))
        lines.append((np.log(networks.values(own, "parameters"))[order], networks.known(own)[order]))
    low, high = max(sizes[0] for sizes, _ in lines), min(sizes[-1] for sizes, _ in lines)
    read = np.array([np.interp(np.linspace(low, high, 5), *line) for line in lines])
    return float(np.mean([spearman(np.array(depths), column) for column in read.T]))


@on_trained("dfp.fig7a/deeper_worse")
def deeper_worse(networks):
    """Correlate depth and the chains' error at equal parameters; control: minus the depth, or the depth."""
    return opposed(lambda each: at_equal_parameters(each, "chain"), networks, lambda found: found >= 0.75, _shallower, _deeper)


@on_trained("dfp.fig7c/deeper_not_worse")
def residual_deeper(networks):
    """Correlate depth and the residual nets' error at equal parameters; control: the depth, or minus it."""
    return opposed(lambda each: at_equal_parameters(each, "resnet"), networks, lambda found: found <= 0.05, _deeper, _shallower)


@on_trained("dfp.fig7e/deeper_not_worse")
def dense_deeper(networks):
    """Correlate depth and the dense nets' error at equal parameters; control: the depth, or minus it."""
    return opposed(lambda each: at_equal_parameters(each, "densenet"), networks, lambda found: found <= 0.05, _deeper, _shallower)


# ---- size ----

def _falls(networks, family):
    """Correlate parameters and error over a family; control: the parameters, or minus them."""
    counts = {key: float(count) for key, count in zip(networks.of(family), networks.values(networks.of(family), "parameters"),
                                                      strict=True)}

    def correlation(networks):
        return float(spearman(np.array(list(counts.values())), networks.known(list(counts))))

    def sized(sign):
        return lambda name, size, error: sign * counts.get((name, *size), 0.0)
    return opposed(correlation, networks, lambda found: found <= -0.8, sized(1), sized(-1))


@on_trained("dfp.fig7c/falls")
def residual_falls(networks):
    """Follow the residual nets' error with size; control: the parameters, or minus them."""
    return _falls(networks, "resnet")


@on_trained("dfp.fig7e/falls")
def dense_falls(networks):
    """Follow the dense nets' error with size; control: the parameters, or minus them."""
    return _falls(networks, "densenet")


# ---- whole images ----

def on_whole_images(identifier, holds):
    """Register a function of the errors of the networks on whole images and on averaged ones, in one order: chain, residual.

    Control: minus the errors on averaged images for those on whole ones, or these themselves.
    """
    def decorate(function):
        @check(identifier, experiment(1), records=trained_whole.NAME)
        @wraps(function)
        def measure(setting, found):
            grid = results.complete(trained_grid.NAME, setting)
            if grid is None:
                return None
            whole, averaged = (trained_grid.mean_errors(records) for records in (found, grid))
            keys = sorted(whole, key=lambda key: (key[1:], key[0]))
            one, other = (np.array([errors[key] for key in keys]) for errors in (whole, averaged))
            value = function(one, other)
            seeds = {record["configuration"]["seed"] for record in found}
            return Measurement(value, function(-other if holds(value) else other, other), count=len(seeds))
        return measure
    return decorate


@on_whole_images("dfp.fig5a_reduction/order", lambda value: value >= 0.8)
def same_order(whole, averaged):
    """Correlate the ranks of the errors."""
    return float(spearman(whole, averaged))


@on_whole_images("dfp.fig5a_reduction/families", lambda value: value == 3)
def same_family(whole, averaged):
    """Count the depths at which the same family errs less."""
    first, second = (np.sign(np.diff(errors.reshape(-1, 2))) for errors in (whole, averaged))
    return int((first == second).sum())


# ---- F as a score ----

def _pooled(networks):
    """Return F, parameters and error of all networks of the narrow widths."""
    keys = networks.of("densenet", "resnet", "chain", widths=NARROW)
    return networks.values(keys), networks.values(keys, "parameters"), networks.known(keys)


def _opposing(value, F, counts, errors, limit, draw):
    """Measure with the interval over networks; the control replaces F by the error, or by minus it."""
    found, ends = _resampled(value, F, counts, errors, draw)
    control, control_ends = _resampled(value, -errors if ends[0] > limit else errors, counts, errors, draw)
    return Measurement(found, control, ends, control_ends)


def _resampled(value, F, counts, errors, draw):
    chosen = draw.integers(len(F), size=(RESAMPLES, len(F)))
    return float(value(F, counts, errors)), interval(value(F[chosen], counts[chosen], errors[chosen]))


@on_trained("dfp.correlation/pooled")
def correlated(networks):
    """Correlate the ranks of F and of the error; control: F replaced by minus the error, or by the error."""
    return _opposing(lambda F, counts, errors: spearman(F, errors), *_pooled(networks), 0.3, networks.draw)


@on_trained("dfp.correlation/within_size")
def correlated_at_equal_size(networks):
    """The same at equal ranks of the parameters."""
    return _opposing(partial_correlation, *_pooled(networks), 0.0, networks.draw)


@on_trained("dfp.params_poor/beats_count")
def beats_count(networks):
    """Correlate F, and minus the parameters, with the error, and subtract; control: minus the error for F, or the error."""
    F, counts, errors = _pooled(networks)
    found, ends = difference(F, -counts, errors, networks.draw)
    control, control_ends = difference(-errors if ends[0] > 0 else errors, -counts, errors, networks.draw)
    return Measurement(found, control, ends, control_ends)


def _choices(networks, scores):
    """Return, for each budget, the errors of all networks within it, and that of the one with the lowest score."""
    _, counts, errors = _pooled(networks)
    within = [counts <= budget * (1 + 1e-9) for budget in budgets(networks.points("error"))]
    return [(errors[own], errors[own][scores[own].argmin()], counts[own]) for own in within]


@on_trained("dfp.select/regret_random")
def regret_random(networks):
    """Divide the regret of choosing by F by that of choosing at random; control: minus the error for F, or the error."""
    def regret(scores):
        found = _choices(networks, scores)
        return sum(chosen - own.min() for own, chosen, _ in found) / sum(own.mean() - own.min() for own, _, _ in found)
    F, _, errors = _pooled(networks)
    found = regret(F)
    return Measurement(found, regret(-errors if found <= 0.5 else errors))


@on_trained("dfp.select/regret_count")
def regret_count(networks):
    """Subtract the error of the largest network within each budget; control: minus the error for F, or the error."""
    def excess(scores):
        return float(np.mean([chosen - own[counts == counts.max()].mean() for own, chosen, counts in _choices(networks, scores)]))
    F, _, errors = _pooled(networks)
    found = excess(F)
    return Measurement(found, excess(-errors if found <= 0 else errors))


# ---- Fig. 4: fully connected networks ----

class FullyConnected:
    """The networks of Fig. 4, plain and regularised: parameters, F in closed form, errors and F reached (seeds' means)."""

    def __init__(self, records, draw):
        self.draw, self.seeds = draw, min(len(record["configuration"]["seeds"]) for record in records)
        shown = {}
        for record in records:
            chosen, found = record["configuration"], record["result"]
            shown.setdefault(tuple(chosen["hidden"]), {})[chosen["regularisation"]] = found
        pairs = [shown[hidden] for hidden in sorted(shown)]
        self.parameters, self.potential = (np.array([pair[0.0][name] for pair in pairs]) for name in ("parameters", "potential"))
        (self.plain, self.regularised), self.reached = (
            [np.array([np.mean(pair[weight][name]) for pair in pairs]) for weight in fully_connected.WEIGHTS]
            for name in ("test_errors", "reached"))


def on_fully_connected(identifier):
    """Register a function of the ``FullyConnected`` networks: widths to 128 reduced, all of them at the paper's scale."""
    def decorate(function):
        def at(scale, records, others):
            @check(identifier, experiment(5), scale=scale, records=records)
            @wraps(function)
            def measure(setting, found):
                more = [results.complete(name, setting) for name in others]
                if None in more:
                    return None
                nets = FullyConnected([record for each in (found, *more) for record in each], setting.numpy(identifier))
                return replace(function(nets), count=nets.seeds)
            return measure
        at("full", fully_connected.NAME_WIDE, (fully_connected.NAME,))
        return at("reduced", fully_connected.NAME, ())
    return decorate


@on_fully_connected("dfp.fig4a/outliers")
def outliers(nets):
    """Subtract the error of four middle networks from that of the four largest; control: minus the size, or the size."""
    order = nets.parameters.argsort(kind="stable")
    middle = len(order) // 2 - 2

    def rise(errors):
        return float(errors[order[-4:]].mean() - errors[order[middle:middle + 4]].mean())
    found = rise(nets.plain)
    return Measurement(found, rise(-nets.parameters if found > 0 else nets.parameters))


@on_fully_connected("dfp.fig4b/high_correlation")
def high_correlation(nets):
    """Correlate F and the regularised networks' error; control: F shuffled, or the error replaced by F."""
    found = float(spearman(nets.potential, nets.regularised))
    shuffled = np.mean([spearman(nets.draw.permutation(nets.potential), nets.regularised) for _ in range(50)])
    return Measurement(found, float(shuffled) if found >= 0.7 else float(spearman(nets.potential, nets.potential)))


@on_fully_connected("dfp.fig4b/better_than_4a")
def better_than_plain(nets):
    """Subtract the plain networks' correlation; control: errors replaced by F and minus F, so that it fails or passes."""
    def gain(regularised, plain):
        return float(spearman(nets.potential, regularised) - spearman(nets.potential, plain))
    found, sign = gain(nets.regularised, nets.plain), nets.potential
    return Measurement(found, gain(-sign, sign) if found > 0 else gain(sign, -sign))


@on_fully_connected("dfp.fig4b/diminishing_error")
def diminishing_error(nets):
    """Divide the slopes of error on log size above and below the middle; control: a straight line, or a bent one."""
    place = np.log(nets.parameters)
    place = (place - place.min()) / (place.max() - place.min())
    found = slope_ratio(place, nets.regularised)
    return Measurement(found, slope_ratio(place, -place if found <= 0.5 else 60 - 20 * (1 - np.exp(-4 * place))))


def slope_ratio(place, errors):
    """Return the upper half's slope over the lower half's, least squares with a knot in the middle; 10 where the lower rises.

    Args:
        place: array (networks,), from 0 to 1.
        errors: array (networks,).
    """
    columns = np.stack([np.ones_like(place), np.minimum(place, 0.5), np.maximum(place - 0.5, 0)], 1)
    _, lower, upper = np.linalg.lstsq(columns, errors, rcond=None)[0]
    return float(upper / lower) if lower < 0 else 10.0
