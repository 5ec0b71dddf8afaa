"""A sweep over a cluster: the same call under joblib's Dask backend, with a real scheduler and two workers, one killed."""

import os
import subprocess
import sys

import pytest

from deepatoms.runs import results

pytest.importorskip("distributed", reason="pip install 'deepatoms[cluster]'")

PROGRAM = '''
import os, pathlib, signal, time
import joblib
from deepatoms.runs import results

def square(configuration, device):
    log, number = pathlib.Path(os.environ["LOG"]), configuration["number"]
    with log.open("a") as file:
        file.write(f"{number}\\\\n")
    mark = log.with_suffix(".killed")
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return {"square": number**2}

if __name__ == "__main__":
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        with joblib.parallel_config("dask"):
            print(results.sweep("squares", [{"number": number} for number in range(8)], square,
                                effort=results.Effort(minutes=2, jobs=2)))
'''.replace("\\\\", "\\")


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_is_killed_costs_its_own_configuration_a_second_try(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path / "results"))
    program = tmp_path / "program.py"  # Dask's workers read the file again: no -c
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], text=True, capture_output=True, check=False, timeout=300, cwd=tmp_path,
                          env=os.environ | {"LOG": str(tmp_path / "log"), "DASK_CONFIG": str(tmp_path / "dask"),
                                            "PYTHONPATH": os.pathsep.join(sys.path)})
    assert "0 failed, 0 missing" in done.stdout, done.stderr
    numbers = [{"number": number} for number in range(8)]
    assert [record["result"]["square"] for record in results.records("squares", numbers)] == [number**2 for number in range(8)]
    assert sorted(tmp_path.joinpath("log").read_text().split()) == sorted([*map(str, range(8)), "3"])
    assert not list(tmp_path.rglob("*.claim"))
