"""What the documentation calls differentiable has the derivative of its values, and no warning on the way."""

import warnings

import pytest
import torch

from deepatoms.theory import convolutional, dictionaries, frame_potential, induced, pursuit


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NET = induced.chain([3, 4, 2])
FUNCTIONS = {
    "normalize": (dictionaries.normalize, drawn(4, 6)),
    "gram": (dictionaries.gram, drawn(4, 6)),
    "mutual_coherence": (dictionaries.mutual_coherence, drawn(4, 6)),
    "frame_energy": (dictionaries.frame_energy, drawn(4, 6)),
    "frame_potential": (dictionaries.frame_potential, drawn(4, 6)),
    "normalize_filters": (convolutional.normalize_filters, drawn(3, 2, 3)),
    "filter_coherence": (convolutional.filter_coherence, drawn(3, 2, 3)),
    "synthesize, codes": (lambda codes: convolutional.synthesize(drawn(3, 2, 3), codes), drawn(3, 8)),
    "analyze, signals": (lambda signals: convolutional.analyze(drawn(3, 2, 3), signals), drawn(2, 8)),
    "deep frame potential": (lambda one, two: frame_potential.potential(NET, [one, two]), drawn(4, 3), drawn(2, 4, seed=1)),
    "deep frame energy": (lambda one, two: frame_potential.energy(NET, [one, two]), drawn(4, 3), drawn(2, 4, seed=1)),
    "soft thresholding": (lambda x, D: pursuit.layered_thresholding(x, [dictionaries.normalize(D)], [0.1])[0],
                          drawn(4), drawn(4, 6, seed=1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_derivative_is_that_of_the_values_and_nothing_warns(name):
    function, *given = FUNCTIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.autograd.gradcheck(function, [each.clone().requires_grad_() for each in given])
