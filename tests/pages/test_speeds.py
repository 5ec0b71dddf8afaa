"""One table for every recorded speed experiment: each row states its work, and seconds are compared for equal work."""

import pytest

from deepatoms.pages import speeds
from deepatoms.runs import results

NAMES = ("potential-speed", "pursuit-speed", "resnests-speed", "partition-speed", "template-speed")


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_records_render_with_work_in_every_row(name):
    heading, *rows = speeds.table(name).splitlines()
    assert "work" in heading and len(rows) > 1
    for row in rows:
        stated = row.split("  ")[-1].strip()
        assert stated == "work not recorded" or stated.startswith("not run: ") or stated[0].isdigit()


def test_a_peer_that_found_a_hundredth_of_the_regions_costs_a_hundred_times_as_much():
    planar = {"deepatoms": {"seconds": 1.0, "regions": 1000}, "peer": {"seconds": 2.0, "regions": 10},
              "other": {"seconds": 2.0, "work": 1, "unit": "planes"}, "absent": {"not_run": "No module named peer"}}
    _, ours, peer, other, absent = speeds.lines([{"configuration": {}, "result": {"planar": planar}}])
    assert "1.00" in ours and "200.00" in peer and "10 regions" in peer
    assert "–" in other and "1 planes" in other and "not run: No module" in absent


def test_a_row_without_work_says_so():
    row = speeds.lines([{"configuration": {}, "result": {"codes": {"deepatoms": {"seconds": 1.0}}}}])[1]
    assert row.endswith("work not recorded") and "–" in row


def test_without_records_the_table_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path))
    assert "python -m benchmarks" in speeds.table("pursuit-speed")


def test_a_task_measured_again_stands_once():
    first, second = ({"configuration": configuration, "result": {group: {"deepatoms": {"seconds": seconds, "regions": 1}}
                                                                 for group in groups}}
                     for configuration, groups, seconds in (({}, ("codes", "planar"), 7.0),
                                                            ({"tasks": ["planar"]}, ("planar",), 3.0)))
    found = [row.split()[:3] for row in speeds.lines([first, second])[1:]]
    assert found == [["codes:", "deepatoms", "7"], ["planar:", "deepatoms", "3"]]
