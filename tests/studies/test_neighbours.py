"""The checks of Fig. 4 on profiles made up for it: what they say when a claim fails, and whose controls they compute."""

import dataclasses
import hashlib
import io

import numpy as np
import pytest
import scipy.io

from deepatoms.claims import mirrors
from deepatoms.claims.checking import EXACT, Registered, Setting, run
from deepatoms.data import official
from deepatoms.runs import results
from deepatoms.studies.spline_partitions import neighbourhoods, penalties, recipes
from deepatoms.studies.spline_partitions.checks import neighbours

CHECKS = {"spl.fig4_class/monotone": neighbours.class_from_layer_to_layer, "spl.fig4_class/rise": neighbours.rise,
          "spl.fig4_class/learned": neighbours.learned, "spl.fig4_euclid/monotone": neighbours.distance_from_layer_to_layer,
          "spl.fig4_euclid/further": neighbours.further, "spl.fig4_euclid/untrained": neighbours.further_untrained,
          "spl.fig4_euclid/first_near": neighbours.first_near, "spl.fig4_mainly/above_pixels": neighbours.above_pixels}
RISING, FALLING = [0.5, 0.51, 0.6, 0.61, 0.8, 0.82], [0.5, 0.4, 0.51, 0.45, 0.52, 0.45]


def profiles(same, far):
    flat = {"same_class": [0.45] * 6, "permuted": [0.1] * 6, "euclidean": [1.0] * 6}
    pixels = {"same_class": 0.4, "euclidean": 0.4}
    return [{"trained": {"same_class": same, "permuted": [0.1] * 6, "euclidean": far}, "untrained": flat, "pixels": pixels,
             "random": {"euclidean": 4.0 + 0.01 * seed}} for seed in range(2)]


def result(name, same, far):
    entry = Registered(name, lambda setting: CHECKS[name](profiles(same, far), (4, 5)), EXACT, "reduced", None)
    return run(entry, Setting()).result


@pytest.mark.parametrize("name", ["spl.fig4_class/monotone", "spl.fig4_class/rise", "spl.fig4_euclid/monotone",
                                  "spl.fig4_euclid/further"])
def test_both_outcomes_have_their_control(name):
    assert result(name, RISING, RISING) == "holds"
    far = [1, 0.9, 1.01, 0.95, 1.02, 0.99] if name.endswith("further") else FALLING
    assert result(name, FALLING, far) == "fails"


def drawn(seed):
    random = np.random.default_rng(seed)

    def layers():
        return list(random.uniform(0.2, 0.9, 6))

    def state():
        return {name: layers() for name in ("same_class", "permuted", "euclidean")}

    return [{"trained": state(), "untrained": state(),
             "pixels": {"same_class": random.uniform(), "euclidean": random.uniform()},
             "random": {"euclidean": random.uniform(1, 2)}} for _ in range(4)]


@pytest.mark.parametrize("name", CHECKS)
def test_no_control_is_the_measured_number_turned_round(name):
    found = [CHECKS[name](drawn(seed), (4, 5)) for seed in range(4)]
    assert mirrors.mirror([(each.measured, each.control) for each in found]) is None
    assert all(each.count == 4 for each in found)


def test_another_recipe_is_another_record():
    recorded = neighbourhoods.configurations(neighbourhoods.RECIPES)
    longer = neighbourhoods.configurations({name: recipe | {"epochs": 7} for name, recipe in neighbourhoods.RECIPES.items()})
    assert recorded[0] == {"dataset": "cifar10", "seed": 0} and longer[0]["recipe"]["epochs"] == 7
    assert penalties.configurations(penalties.RECIPE)[0] == {"penalty": "none", "lambda": 0.0, "training": 300, "seeds": 15}
    assert recipes.named({"seed": 0}, {"epochs": 2}, {"epochs": 1}) == {"seed": 0, "recipe": {"epochs": 2}}


def test_svhn_is_recorded_from_files_of_its_form(tmp_path, monkeypatch):
    """Made-up files in the authors' layout; the ones of the experiment are read by the same call."""
    random = np.random.default_rng(0)
    files = {}
    for split, count in (("train", 60), ("test", 50)):
        written = io.BytesIO()
        pixels, labels = random.integers(0, 256, (32, 32, 3, count), np.uint8), random.integers(1, 11, (count, 1))
        scipy.io.savemat(written, {"X": pixels, "y": labels})
        file = official.FILES["svhn", split][0]
        files["svhn", split] = (dataclasses.replace(file, md5=hashlib.md5(written.getvalue()).hexdigest()),)
        (tmp_path / file.name).write_bytes(written.getvalue())
    monkeypatch.setattr(official, "FILES", files)
    monkeypatch.setattr(official.files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("DEEPATOMS_DATA", str(tmp_path))
    monkeypatch.setenv(results.FOLDER, str(tmp_path / "results"))
    recipe = neighbourhoods.RECIPES["cifar10"] | {"epochs": 1, "training": 50, "queries": 10, "base": 30}
    few = neighbourhoods.configurations({"svhn": recipe})[:2]
    planned = results.experiments()[neighbourhoods.SVHN]
    assert {each["dataset"] for each in planned.configurations} == {"svhn"} and len(planned.configurations) == 10
    found = [record["result"] for record in results.run(neighbourhoods.SVHN, few, planned.function)]
    assert all(len(each["trained"]["same_class"]) == 6 and 0 <= each["accuracy"] <= 1 for each in found)
    assert np.isfinite(neighbours.rise(found, (4, 5)).measured)
