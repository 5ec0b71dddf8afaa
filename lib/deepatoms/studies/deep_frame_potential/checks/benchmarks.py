"""What F is worth on networks that others trained: NAS-Bench-201, with the controls that a critic would ask for."""

import ast
from dataclasses import replace
from functools import cached_property, wraps

import numpy as np
from scipy.stats import rankdata

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, benchmark, check, instances
from deepatoms.data import benchmarks
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import benchmarks as recorded
from deepatoms.studies.deep_frame_potential import rivals
from deepatoms.studies.deep_frame_potential.rankings import (
    beyond,
    candidates,
    concordance,
    correlation,
    difference,
    least_agreement,
    ratio,
    regrets,
    shuffled,
    spearman,
)
from deepatoms.theory.induced import graphs

SETS = benchmarks.SOURCES["nas201"].sets
CONVOLUTIONS, POOLING = (2, 3), 4
results.also_read_by(recorded.NAME, ["dfp.nas201_live", "dfp.beyond_count"])


class Networks:
    """F of a benchmark's networks and what it is compared with, for those that lead somewhere; scores are high where good."""

    def __init__(self, table, lead, records):
        self.table, self.lead = benchmarks.load(table), lead
        self.results = {results.key(record["configuration"]): record["result"] for record in records}
        self.known = min(sum(each is not None for each in record["result"]["reached"]) for record in records)
        self.kept = np.array([start is not None for start in self._result(lead)["reached"]])

    def _result(self, configuration):
        return self.results[results.key(configuration)]

    def seeds(self, configuration=None, which="reached"):
        """Return F for each network and seed, NaN where a setting leaves it out: array (networks, seeds); default: the lead."""
        configuration = configuration or self.lead
        found = np.full((len(self.table), len(configuration["seeds"])), np.nan)
        for index, values in enumerate(self._result(configuration)[which]):
            found[index * configuration.get("every", 1)] = np.nan if values is None else values
        return found[self.kept]

    def low(self, configuration=None):
        """Return minus the lowest F over the seeds."""
        return -self.seeds(configuration).min(1)

    def column(self, name):
        """Return a column of the benchmark."""
        return self.table.columns[name][self.kept]

    def accuracies(self, name):
        """Return the validation accuracies on a data set."""
        return self.column(f"{name} accuracy")

    def scores(self, name):
        """Return F and its rivals on a data set, by their names, high where good."""
        own = {"F, minimum": self.low(), "F, random filters": -self.seeds(which="initial").mean(1),
               "few poolings": -self.poolings.astype(float),
               "parameters": self.column("params"), "multiply-adds": self.column("flops")}
        published = (("SynFlow", "synflow"), ("NASWOT", "nwot"), ("jacov", "jacov"))
        return own | {title: self.column(f"{name} {column}") for title, column in published}


class Cells(Networks):
    """The cells of NAS-Bench-201."""

    def __init__(self, records):
        super().__init__("nas201", recorded.LEAD, records)

    @cached_property
    def names(self):
        """The benchmark's names of the cells."""
        return [name for name, kept in zip(self.table.architectures, self.kept, strict=True) if kept]

    @cached_property
    def operations(self):
        """The operations of each cell in order: array (cells, 6)."""
        return np.array([ast.literal_eval(name) for name in self.names])

    @cached_property
    def overlaps(self):
        """N(G) / K of each cell."""
        used = [tuple(graphs.used(recorded.cell(name))) for name in self.names]
        found = {edges: recorded.overlaps(edges) for edges in set(used)}
        return np.array([found[edges] for edges in used])

    @cached_property
    def in_use(self):
        """How often each operation lies on a path from input to output: array (cells, operations)."""
        used = [[operation for *_, operation in graphs.used(recorded.cell(name))] for name in self.names]
        return np.array([[own.count(operation) for operation in recorded.OPERATIONS] for own in used])

    @cached_property
    def convolutions_in_use(self):
        """The number of convolutions on a path from input to output."""
        return self.in_use[:, CONVOLUTIONS].sum(1).astype(float)

    @cached_property
    def groups(self):
        """Numbers of the groups of cells with equal parameter counts, with the same operations, and with the same in use."""
        counts = np.stack([(self.operations == kind).sum(1) for kind in CONVOLUTIONS], 1)
        return {"equal parameters": _numbered(counts), "same operations": _numbered(np.sort(self.operations, 1)),
                "same in use": _numbered(self.in_use)}

    @cached_property
    def poolings(self):
        """The number of average poolings in each cell."""
        return (self.operations == POOLING).sum(1)


def _numbered(rows):
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def valid(*columns):
    """Return the columns at the networks for which all are known."""
    there = ~np.isnan(columns).any(0)
    return [column[there] for column in columns]


def on_cells(identifier, records=recorded.NAME, networks=724):
    """Register a function of the setting and the recorded ``Cells``; ``records`` names what it needs beside the lead."""
    def decorate(function):
        @check(identifier, benchmark(networks, of="networks"), records=records)
        @wraps(function)
        def measure(setting, found):
            lead = found if records == recorded.NAME else results.complete(recorded.NAME, setting)
            if lead is None:
                return None
            cells = Cells([*lead, *found])
            measured = function(setting, cells)
            return measured if measured.count is not None else replace(measured, count=cells.known)
        return measure
    return decorate


def draws(setting):
    """Return the generator of the bootstrap."""
    return setting.numpy("resamples of cells")


def judged(found, control):
    """Return the measurement of two pairs (value, interval): found, and of the control."""
    return Measurement(found[0], control[0], found[1], control[1])


# ---- over all cells ----

def ranked(setting, scores, accuracies):
    """Correlate the ranks of a score and of accuracy; control: accuracies shuffled."""
    scores, accuracies = valid(scores, accuracies)
    mixed = setting.numpy("shuffled accuracies").permutation(accuracies)
    found = judged(correlation(scores, accuracies, draws(setting)), correlation(scores, mixed, draws(setting)))
    return replace(found, count=len(scores))


@on_cells("dfp.nas201_rank/cifar10")
def ranks_cifar10(setting, cells):
    """Correlate the ranks of minus F and of accuracy; control: accuracies shuffled."""
    return ranked(setting, cells.low(), cells.accuracies("cifar10"))


@on_cells("dfp.nas201_rank/cifar100")
def ranks_cifar100(setting, cells):
    """The same on CIFAR-100."""
    return ranked(setting, cells.low(), cells.accuracies("cifar100"))


@on_cells("dfp.nas201_rank/imagenet16", networks=723)
def ranks_imagenet16(setting, cells):
    """The same on ImageNet16-120."""
    return ranked(setting, cells.low(), cells.accuracies("ImageNet16-120"))


@on_cells("dfp.nas201_rank/free", recorded.NAME_FREE)
def ranks_free(setting, cells):
    """The same with free magnitudes, on CIFAR-10."""
    return ranked(setting, cells.low(recorded.FREE), cells.accuracies("cifar10"))


def gained(setting, networks):
    """Compare the minimum with F of random filters, on CIFAR-10; control: one seed's random filters with another's."""
    accuracies, start = networks.accuracies("cifar10"), -networks.seeds(which="initial")
    return judged(difference(networks.low(), start.mean(1), accuracies, draws(setting)),
                  difference(start[:, 0], start[:, 1], accuracies, draws(setting)))


@on_cells("dfp.nas201_initial/gain_of_minimising")
def gain_of_minimising(setting, cells):
    """Compare the minimum with F of random filters; control: one seed's random filters with another's."""
    return gained(setting, cells)


def opposed(networks, compared, choose, names):
    """Measure low F on the data set that ``choose`` picks; control: the accuracy itself for low F, or minus it where F holds.

    Args:
        networks: as recorded.
        compared: function of scores and of a data set's name, value and interval.
        choose: max or min.
        names: of the data sets.
    """
    found = {name: compared(networks.low(), name) for name in names}
    name = choose(names, key=lambda each: found[each][0])
    sign = -1 if found[name][1][0] > 0 else 1
    return judged(found[name], compared(sign * networks.accuracies(name), name))


def against(setting, networks, rival, choose=max, names=SETS):
    """Compare F with a rival on the data set that ``choose`` picks; control: the accuracy itself, or minus it."""
    def compared(scores, name):
        return difference(*valid(scores, networks.scores(name)[rival], networks.accuracies(name)), draws(setting))
    return opposed(networks, compared, choose, names)


@on_cells("dfp.nas201_count/beats_parameters")
def beats_parameters(setting, cells):
    """Compare F with the number of parameters; control: the accuracy, or minus it where F wins."""
    return against(setting, cells, "parameters", max)


@on_cells("dfp.nas201_pooling/beats_poolings")
def beats_poolings(setting, cells):
    """Compare F with the number of poolings; control: the accuracy, or minus it where F wins."""
    return against(setting, cells, "few poolings", min)


# ---- within groups, and beside the parameters ----

def _within(setting, cells, kind):
    def ordered(accuracies):
        scores, known, groups = valid(cells.low(), accuracies, cells.groups[kind].astype(float))
        return concordance(scores, known, groups, draws(setting))
    found = {name: ordered(cells.accuracies(name)) for name in SETS}
    name = min(SETS, key=lambda each: found[each][0])
    mixed = shuffled(cells.accuracies(name), cells.groups[kind], setting.numpy("shuffled within groups"))
    return judged(found[name], ordered(mixed))


@on_cells("dfp.nas201_beyond/equal_parameters")
def within_equal_parameters(setting, cells):
    """Order pairs of equal parameter counts by F; control: accuracies shuffled within each group."""
    return _within(setting, cells, "equal parameters")


@on_cells("dfp.nas201_beyond/wiring")
def within_same_operations(setting, cells):
    """Order pairs of the same operations by F; control: accuracies shuffled within each group."""
    return _within(setting, cells, "same operations")


@on_cells("dfp.nas201_beyond/wiring_only")
def wiring_only(setting, cells):
    """The same as what is left of the claim; control: accuracies shuffled within groups."""
    return _within(setting, cells, "same operations")


@on_cells("dfp.nas201_live/same_in_use")
def within_same_in_use(setting, cells):
    """Order pairs with the same operations on a path to the output by F; control: accuracies shuffled within each group."""
    return _within(setting, cells, "same in use")


@on_cells("dfp.nas201_live/beats_count_in_use")
def beats_count_in_use(setting, cells):
    """Compare F with the number of convolutions in use on pairs of the same operations; control: the accuracy, or minus it."""
    def compared(scores, name):
        values = valid(scores, cells.accuracies(name), cells.groups["same operations"].astype(float), cells.convolutions_in_use)
        return concordance(*values[:3], draws(setting), values[3])
    return opposed(cells, compared, min, SETS)


def beside(setting, networks, names=SETS):
    """Measure what the ranks of minus F add to those of the parameters, on the worst data set; control: F shuffled."""
    def added(low, name):
        low, parameters, accuracies = valid(low, networks.column("params"), networks.accuracies(name))
        return difference(rankdata(low) + rankdata(parameters), parameters, accuracies, draws(setting))
    found = {name: added(networks.low(), name) for name in names}
    name = min(names, key=lambda each: found[each][0])
    return judged(found[name], added(setting.numpy("shuffled F").permutation(networks.low()), name))


def at_equal_count(setting, networks, names=SETS):
    """Correlate low F and accuracy at equal ranks of the parameters, on the best data set; control: the accuracy, or minus it."""
    def left(scores, name):
        return beyond(*valid(scores, networks.column("params"), networks.accuracies(name)), draws(setting))
    return opposed(networks, left, max, names)


@on_cells("dfp.beyond_count/nas201")
def at_equal_count_nas201(setting, cells):
    """Take what low F tells at equal parameter counts; control: the accuracy, or minus it."""
    return at_equal_count(setting, cells)


@on_cells("dfp.nas201_beyond/beside_parameters")
def beside_parameters(setting, cells):
    """Add the ranks of minus F to those of the parameters; control: F shuffled among the cells."""
    return beside(setting, cells)


# ---- choosing ----

def regret(setting, networks, rival):
    """Measure the regret of a choice among ten by F, as a share of that by a rival score (None: at random), on CIFAR-10."""
    accuracies = networks.accuracies("cifar10")
    drawn = candidates(len(accuracies), 10, 2000, setting.numpy("candidates"))
    others = accuracies[drawn].max(1) - accuracies[drawn].mean(1) if rival is None else regrets(rival, accuracies, drawn)
    found = ratio(regrets(networks.low(), accuracies, drawn), others, draws(setting))
    limit = 0.5 if rival is None else 1.0
    control = -accuracies if found[1][1] <= limit else accuracies
    return judged(found, ratio(regrets(control, accuracies, drawn), others, draws(setting)))


@on_cells("dfp.nas201_choice/regret_random")
def regret_random(setting, cells):
    """Choose among ten cells by F, or at random; control: the best chosen, or the worst where F is good."""
    return regret(setting, cells, None)


@on_cells("dfp.nas201_choice/regret_count")
def regret_count(setting, cells):
    """Choose among ten cells by F, or by the most parameters; control: the best chosen, or the worst."""
    return regret(setting, cells, cells.column("params"))


# ---- does the setting matter? ----

def agreement(setting, *columns):
    """Take the smallest rank correlation of two columns; control: the last shuffled, against the first."""
    columns = valid(*columns)
    mixed = setting.numpy("shuffled F").permutation(columns[-1])
    return replace(Measurement(least_agreement(columns), least_agreement([columns[0], mixed])), count=len(mixed))


@on_cells("dfp.nas201_settled/seeds")
def seeds_agree(setting, cells):
    """Correlate the ranks of F between seeds; control: the last shuffled."""
    return agreement(setting, *cells.seeds().T)


@on_cells("dfp.nas201_settled/copies", recorded.NAME_SETTINGS, networks=242)
def copies_agree(setting, cells):
    """Correlate the ranks of F of one, two and three cells; control: the last shuffled."""
    return agreement(setting, *(cells.low(recorded.OTHERS[name]) for name in ("1 cell", "2 cells")), cells.low())


@on_cells("dfp.nas201_settled/channels", recorded.NAME_SETTINGS, networks=242)
def channels_agree(setting, cells):
    """Correlate the ranks of F of four and eight channels; control: the last shuffled."""
    return agreement(setting, *(cells.low(recorded.OTHERS[name]) for name in ("1 cell", "1 cell, 8 channels")))


# ---- the rivals ----

@check("dfp.nas201_rivals/parameters", EXHAUSTIVE)
def parameters_are_as_published(_):
    """Count parameters by formula (all cells) and in torch (every 37th); control: the two convolutions exchanged."""
    table = benchmarks.load("nas201")
    cells = [recorded.cell(name) for name in table.architectures]
    published = np.round(1e6 * table.columns["params"])
    built = [sum(each.numel() for each in rivals.network(edges).parameters()) for edges in cells[::37]]
    swap = {"conv 3": "conv 1", "conv 1": "conv 3"}
    exchanged = [[(*edge[:2], swap.get(edge[2], edge[2])) for edge in edges] for edges in cells]
    found, control = ([rivals.parameters(edges) for edges in each] for each in (cells, exchanged))
    return Measurement(max(np.abs(found - published).max(), np.abs(built - published[::37]).max()),
                       np.abs(control - published).max(), count=len(cells))


def _recomputed(found, score, column):
    rows = found[0]["result"]["cells"]
    published = benchmarks.load("nas201").columns[f"cifar10 {column}"][[row["index"] for row in rows]]
    own, other, published = valid(*(np.array([row[score + order] for row in rows]) for order in ("", " exchanged")), published)
    return Measurement(float(spearman(own, published)), float(spearman(other, published)), count=len(rows))


@check("dfp.nas201_rivals/synflow", instances(60, of="networks"), records=rivals.NAME)
def synflow_is_as_published(_, found):
    """Correlate SynFlow computed here with the published one; control: edges read in the other order."""
    return _recomputed(found, "synflow", "synflow")


@check("dfp.nas201_rivals/naswot_nearly", instances(60, of="networks"), records=rivals.NAME)
@check("dfp.nas201_rivals/naswot", instances(60, of="networks"), records=rivals.NAME)
def naswot_is_as_published(_, found):
    """Correlate NASWOT computed here with the published one; control: edges read in the other order."""
    return _recomputed(found, "naswot", "nwot")
