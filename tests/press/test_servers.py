"""What listens, listens to this machine alone and under its own name; what runs elsewhere is fixed and may do little."""

import http.client
import pathlib
import re
import threading

import pytest
import yaml

from deepatoms.press import checkout, lab, site

WORKFLOWS = sorted((pathlib.Path(__file__).parents[2] / ".github" / "workflows").glob("*.yml"))


@pytest.fixture
def serving(tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("the book")
    (tmp_path / "404.html").write_text("50 % of nothing")
    monkeypatch.setattr(checkout, "SITE", tmp_path)
    monkeypatch.setattr(site.Pages, "log_message", lambda *_: None)
    with site.server(0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def answer(server, host, path="/", method="GET"):
    connection = http.client.HTTPConnection(*server.server_address)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    found = connection.getresponse()
    return found.status, found.read().decode()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_site_is_served_to_this_machine_by_its_own_name_only(serving, method):
    address, port = serving.server_address
    assert address == "127.0.0.1"
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert answer(serving, host, method=method)[0] == 200
    for host in (f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1.evil.example:{port}", "", None):
        status, said = answer(serving, host, method=method)
        assert status == 421 and "the book" not in said
    assert answer(serving, f"localhost:{port}", "/../../etc/passwd")[0] == 404


def test_jupyterlab_is_told_to_listen_to_this_machine_only(monkeypatch):
    seen = []
    monkeypatch.setattr(lab, "working_copy", lambda path: "")
    monkeypatch.setattr(lab, "_without_news", lambda: None)
    monkeypatch.setattr(lab.subprocess, "run", lambda command, **_: seen.extend(command) or type("Done", (), {"returncode": 0}))
    with pytest.raises(SystemExit):
        lab.open_lab()
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.allow_remote_access=False"} <= set(seen)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_commits_and_asks_for_the_least_rights(path):
    text = path.read_text()
    workflow = yaml.safe_load(text)
    used = re.findall(r"uses: (\S+)( +# v[\d.]+)?", text)
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) and version for action, version in used)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        if "permissions" in job:  # whatever may write runs no code of ours
            assert not any("checkout" in step.get("uses", "") or "make" in step.get("run", "") for step in job["steps"])
        for step in job["steps"]:
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
    # Nothing that a stranger can write, a title or a branch's name, is pasted into a command.
    runs = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert not [run for run in runs if "github.event." in run or "head_ref" in run]


def test_nothing_is_published_before_its_tests_have_passed():
    workflow = yaml.safe_load(next(path for path in WORKFLOWS if path.stem == "publish").read_text())
    assert workflow[True] == {"workflow_run": {"workflows": ["Test"], "types": ["completed"], "branches": ["main"]}}
    assert "conclusion == 'success'" in workflow["jobs"]["build"]["if"] and workflow["jobs"]["deploy"]["needs"] == "build"
