"""A cost includes that of child processes; a benchmark can be run in a process of its own."""

import subprocess
import sys

import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import costs, templates, training


def test_the_cost_of_a_child_process_is_counted():
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    assert costs.seconds(lambda: subprocess.run([sys.executable, "-c", spin], check=True)) > 0.3


def test_the_least_of_several_calls_is_positive_for_each():
    quick, slow = costs.least(lambda: sum(range(10)), lambda: sum(range(300_000)), rounds=3)
    assert 0 < quick < slow


def test_a_way_runs_in_a_process_of_its_own():
    found = costs.fresh("partition", "planar", "deepatoms")
    assert found["regions"] > 100 and found["outside"] <= 1e-10 and found["seconds"] > 0


def test_the_command_lists_its_subjects(capsys):
    command.main([])
    assert capsys.readouterr().out.split() == [*command.RECORDED, *command.PRINTED]


def test_both_training_loops_make_their_passes():
    pairs = training.rates("bfloat16", steps=1, rounds=1)
    assert len(pairs) == 1 and all(rate > 0 for rate in pairs[0])


@pytest.mark.parametrize("network", templates.NETWORKS)
def test_all_ways_to_the_templates_agree(network):
    samples, shape = templates.NETWORKS[network]
    shape = (shape[0], 32, 32) if network == "ResNet-18" else shape  # a smaller picture, for time
    model, x = templates.made(network, shape), torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    ours, *others = (way(model, x.clone()).reshape(2, -1) if name != "is_grads_batched" and "sum" not in name else
                     way(model, x.clone()).transpose(0, 1).reshape(2, -1) for name, way in templates.WAYS.items())
    assert all(torch.allclose(ours, each, atol=1e-5) for each in others) and float(ours.abs().max()) > 1e-3
