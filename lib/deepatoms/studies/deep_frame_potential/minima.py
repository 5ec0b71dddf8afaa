"""The recorded grid of minimum frame potentials: the CIFAR families of the paper's Section 5 under each convention."""

import itertools
from dataclasses import replace

import numpy as np

from deepatoms.runs import results
from deepatoms.theory import frame_potential, induced

REDUCED, FREE = "frame-potential-reduced", "frame-potential-free"
UNIT_GRID, FREE_GRID = "frame-potential-unit-grid", "frame-potential-free-grid"
NORMS, LONGER = "frame-potential-norms", "frame-potential-longer"
CLAIMS = ("dfp.fig2e", "dfp.fig5b", "dfp.fig6b", "dfp.fig6b_growth", "dfp.fig7b", "dfp.fig7d", "dfp.fig7f", "dfp.skip_norms")
FAMILIES = {"resnet": ("resnet", "analysis"), "chain": ("chain", "analysis"), "synthesis": ("chain", "synthesis")}
GAINS = (0.02, 2.0, 30.0)
# CPU seconds of one descent step of three seeds for each residual block in a group, measured once on one core, by width:
# for the list of runs that are still to be made.
STEP_SECONDS = {4: 0.025, 8: 0.037, 16: 0.11, 32: 0.35}


def residual_family(family, blocks, width, magnitudes, gain=2.0):
    """Return the configuration of a residual network or a chain ("chain": analysis form, "synthesis": Equation 6)."""
    return {"family": family, "blocks": blocks, "width": width, **_protocol(magnitudes, gain)}


# The constant at which the fixed-magnitude convention fixes every filter's norm; the book leads with 1.
FIXED = (0.1, 0.25, 0.5, 0.7, 1.0, 2.0, 4.0)


def fixed_norm(family, blocks, norm):
    """Return the configuration of a network of width 4 whose filters all have one norm, other than or equal to 1."""
    return {**residual_family(family, blocks, 4, "unit"), "norm": norm}


def dense_family(layers, growth, magnitudes):
    """Return the configuration of a dense network with 16 filters in its first layer."""
    return {"family": "densenet", "layers": layers, "growth": growth, **_protocol(magnitudes, 2.0)}


def _protocol(magnitudes, gain):
    """Unit: 100 steps at rate 0.05. Free: 300 steps at 0.03 from gain 2 (three seeds), 150 from other gains (one)."""
    if magnitudes == "unit":
        return {"magnitudes": "unit", "gain": 2.0, "iterations": 100, "rate": 0.05, "seeds": [0, 1, 2]}
    usual = gain == 2.0
    return {"magnitudes": "free", "gain": gain, "iterations": 300 if usual else 150, "rate": 0.03,
            "seeds": [0, 1, 2] if usual else [0]}


def architecture(configuration):
    """Return the architecture of a configuration."""
    if configuration["family"] == "densenet":
        return induced.densenet(layers=configuration["layers"], growth=configuration["growth"])
    family, form = FAMILIES[configuration["family"]]
    net = induced.cifar(family, configuration["blocks"], configuration["width"], form=form)
    scale = configuration.get("norm", 1.0)
    return replace(net, weights=tuple(replace(weight, norm=scale * weight.norm) for weight in net.weights))


SIZES = [(4, 1), (4, 2), (8, 1), (8, 2), (4, 5), (8, 5)]


def _reduced():
    """Unit magnitudes at widths 4 and 8, and the three starting scales of free magnitudes at width 4."""
    unit = [residual_family(family, n, width, "unit") for width, n in SIZES for family in FAMILIES]
    unit += [dense_family(layers, growth, "unit") for layers in (2, 4) for growth in (2, 4, 8)]
    return unit + [residual_family(family, 2, 4, "free", gain) for family in FAMILIES for gain in GAINS]


def _free():
    """Free magnitudes from the usual start, at the same sizes (those of width 4, two blocks, are in the list above)."""
    sizes = [size for size in SIZES if size != (4, 2)]
    free = [residual_family(family, n, width, "free") for width, n in sizes for family in ("resnet", "chain")]
    return free + [dense_family(layers, growth, "free") for layers in (2, 4) for growth in (2, 4, 8)]


def _grid(magnitudes):
    """Return the paper's whole grid under one convention, the cheapest rows first; what is in the lists above left out."""
    gains = {"unit": (2.0,), "free": GAINS}[magnitudes]
    rows = [residual_family(family, n, width, magnitudes, gain) for width in (4, 8, 16, 32) for n in range(1, 11)
            for family in FAMILIES for gain in gains]
    rows += [dense_family(layers, growth, magnitudes) for layers, growth in itertools.product(range(2, 13, 2), repeat=2)]
    elsewhere = _reduced() + _free()
    return sorted((row for row in rows if row not in elsewhere), key=seconds)


def seconds(configuration):
    """Return the estimated CPU seconds of a configuration on one core."""
    steps = configuration["iterations"] * (1 if len(configuration["seeds"]) == 3 else 0.5)
    if configuration["family"] == "densenet":
        channels = 16 + configuration["layers"] * configuration["growth"]
        return steps * 0.03 * configuration["layers"] * (1 + (channels / 30) ** 2)
    return steps * configuration["blocks"] * STEP_SECONDS[configuration["width"]]


def minimum(configuration, device):
    """Return what descent reaches for one configuration: F, energies per seed, convergence, and sizes."""
    net = architecture(configuration)
    found = frame_potential.minimize(net, configuration["magnitudes"], configuration["seeds"], device=device,
                                     descent=frame_potential.Descent(configuration["iterations"], configuration["rate"],
                                                                     configuration["gain"]))
    blocks = frame_potential.block_energies(net, found.weights)
    return {"potential": found.potential, "energies": list(found.energies), "converged": list(found.converged),
            "spread": found.spread, "floor": frame_potential.floor(net), "atoms": net.atoms, "rows": net.rows,
            "count": net.structural_count, "parameters": net.parameter_count, "multiply_adds": net.multiply_adds,
            "layers": net.depth, "between_layers": float(np.triu(blocks, 1).sum())}


minimum_reduced = results.experiment(
    REDUCED, _reduced(), minutes=15, claims=CLAIMS,
    title="Minimum frame potentials, widths 4 and 8")(minimum)
minimum_free = results.experiment(
    FREE, _free(), minutes=20, claims=CLAIMS,
    title="Minimum frame potentials with free magnitudes")(minimum)
minimum_norms = results.experiment(
    NORMS, [fixed_norm(family, blocks, norm) for blocks in (2, 5) for norm in FIXED for family in ("resnet", "chain")],
    minutes=8, claims=("dfp.fig5b",), title="Minimum frame potentials, every norm fixed at another constant")(minimum)
minimum_longer = results.experiment(
    LONGER, [{**one, "iterations": 400} for one in (
        residual_family("resnet", 2, 4, "unit"), residual_family("chain", 2, 4, "unit"), dense_family(2, 4, "unit"))],
    minutes=3, claims=("dfp.structure_only",), title="Minimum frame potentials, four times as many steps")(minimum)
minimum_unit_grid = results.experiment(
    UNIT_GRID, _grid("unit"), minutes=260, claims=CLAIMS,
    title="Minimum frame potentials, the rest of the paper's grid")(minimum)
minimum_free_grid = results.experiment(
    FREE_GRID, _grid("free"), minutes=1000, claims=CLAIMS,
    title="Minimum frame potentials with free magnitudes, the rest of the paper's grid")(minimum)


def recorded():
    """Return every record that exists, of the reduced lists and of the rest of the grid."""
    return [record for name in (REDUCED, FREE, UNIT_GRID, FREE_GRID) for record in results.records(name)]


def ratios_by_norm(records):
    """Return {(blocks, norm): F of the analysis chain over F of the residual net} and the same for F itself, by family."""
    F = {(record["configuration"]["family"], record["configuration"]["blocks"], record["configuration"]["norm"]):
         record["result"]["potential"] for record in records}
    return {key[1:]: F["chain", *key[1:]] / F["resnet", *key[1:]] for key in F}, F


def left_by_steps():
    """Return by family how far the recorded 100 steps end above 400, as shares of the energy and of F."""
    usual = {results.key(record["configuration"]): record["result"]["potential"] for record in recorded()}
    found = {}
    for record in results.records(LONGER):
        short = usual[results.key({**record["configuration"], "iterations": 100})] / record["result"]["potential"]
        found[record["configuration"]["family"]] = (short**2 - 1, short - 1)
    return found
