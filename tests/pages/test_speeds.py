"""One table for every recorded speed experiment: each row states its work, and seconds are compared for equal work."""

import pytest

from deepatoms.pages import speeds
from deepatoms.runs import results

NAMES = ("potential-speed", "pursuit-speed", "resnests-speed", "partition-speed", "template-speed")


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_records_render_with_work_in_every_row(name):
    heading, rows, _ = speeds.table(name)
    assert "work" in heading and len(rows) > 1
    for _, seconds, *_, stated in rows:
        assert stated == "work not recorded" or stated[0].isdigit() or (seconds == "not run" and len(stated) > 10)


def test_a_peer_that_found_a_hundredth_of_the_regions_costs_a_hundred_times_as_much():
    planar = {"deepatoms": {"seconds": 1.0, "regions": 1000}, "peer": {"seconds": 2.0, "regions": 10},
              "other": {"seconds": 2.0, "work": 1, "unit": "planes"}, "absent": {"not_run": "No module named peer"}}
    ours, peer, other, absent = speeds.rows([{"configuration": {}, "result": {"planar": planar}}])
    assert "1.00" in ours and "200.00" in peer and "10 regions" in peer
    assert "–" in other and "1 plane" in other and "1 planes" not in other and "No module named peer" in absent


def test_a_row_without_work_says_so():
    row = speeds.rows([{"configuration": {}, "result": {"codes": {"deepatoms": {"seconds": 1.0}}}}])[0]
    assert row[-1] == "work not recorded" and "–" in row


def test_without_records_the_table_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path))
    assert "python -m benchmarks" in str(speeds.table("pursuit-speed"))


def test_a_task_measured_again_stands_once():
    first, second = ({"configuration": configuration, "result": {group: {"deepatoms": {"seconds": seconds, "regions": 1}}
                                                                 for group in groups}}
                     for configuration, groups, seconds in (({}, ("codes", "planar"), 7.0),
                                                            ({"tasks": ["planar"]}, ("planar",), 3.0)))
    assert [row[:2] for row in speeds.rows([first, second])] == [("codes: deepatoms", "7"), ("planar: deepatoms", "3")]


def test_a_result_s_ways_are_found_at_any_depth_and_other_numbers_are_none():
    result = {"dense": {"ways": {"ours": {"seconds": 2.0, "work": 4, "unit": "signals"}}, "note": {"seed": 3}}, "seed": 1}
    row, = speeds.rows([{"configuration": {"problem": "large"}, "result": result}])
    assert row == ("large: ours", "2", "1.00", "", "4 signals")


def test_a_row_says_what_more_was_counted_and_its_memory():
    found = {"seconds": 0.5, "iterations": 7, "objective": 1.25, "mebibytes": 12.6}
    row, = speeds.rows([{"configuration": {}, "result": {"convolutional": {"peer": found}}}])
    assert row == ("convolutional: peer", "0.5", "–", "13", "1 image to one objective, objective 1.25, iterations 7")
    del found["objective"]
    assert speeds.rows([{"configuration": {}, "result": {"convolutional": {"peer": found}}}])[0][-1] == "7 iterations"
