"""The benchmark tables: what they hold, that they come from the published files, and that an altered one is refused."""

import hashlib
import json
import os
import pathlib

import numpy as np
import pytest

from deepatoms.data import DamagedFileError, benchmarks
from deepatoms.data.benchmarks import Source


def test_every_table_is_whole():
    for name, source in benchmarks.SOURCES.items():
        found = benchmarks.load(name)
        assert len(set(found.architectures)) == len(found) == 725
        assert list(found.columns) == ["params", "flops", *(f"{each} {column}" for each in source.sets
                                                            for column in ("accuracy", "synflow", "nwot", "jacov"))]
        missing = {column: int(np.isnan(values).sum()) for column, values in found.columns.items()}
        blank = {"cifar10 synflow", *(f"ImageNet16-120 {column}" for column in ("accuracy", "synflow", "nwot", "jacov"))}
        assert missing == {column: int(name == "nas201" and column in blank) for column in missing}


def test_an_altered_table_is_refused():
    content = b"architecture,params\n"
    with pytest.raises(DamagedFileError, match=r"nas201.csv \(20 bytes\) was altered: expected sha256 .*; install"):
        benchmarks.checked(content, benchmarks.SOURCES["nas201"].table, "nas201.csv", "install deepatoms again")
    with pytest.raises(DamagedFileError, match="zc_nasbench201.json .* was altered"):
        benchmarks.derive("nas201", content)
    with pytest.raises(ValueError, match="choose one of 'nas201', 'nas301'"):
        benchmarks.load("nas101")


def test_a_table_is_derived_from_what_was_published(monkeypatch):
    scores = {name: {"score": 1 / 3} for name in ("params", "flops", "synflow", "nwot", "jacov")}
    content = json.dumps({"a": {"x": {"val_accuracy": 50.0, **scores}}, "b": {}}).encode()
    source = Source("address", ("a", "b"), hashlib.sha256(content).hexdigest(), "")
    monkeypatch.setitem(benchmarks.SOURCES, "made up", source)
    found = benchmarks.read("made up", benchmarks.derive("made up", content))
    assert found.architectures == ("x",) and found.columns["a accuracy"] == 50 and found.columns["a nwot"] == 0.3333333
    assert np.isnan(found.columns["b accuracy"]).all()


@pytest.mark.parametrize("name", benchmarks.SOURCES)
def test_the_tables_are_those_of_the_published_files(name):
    path = pathlib.Path(os.environ.get("DEEPATOMS_DATA", "."), benchmarks.SOURCES[name].url.rsplit("/", 1)[1])
    if not path.exists():
        pytest.skip(f"{path} is not there (download {benchmarks.SOURCES[name].url})")
    assert hashlib.sha256(benchmarks.derive(name, path.read_bytes()).encode()).hexdigest() == benchmarks.SOURCES[name].table
