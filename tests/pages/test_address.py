"""The line of the configuration that says where the book lives."""

import pytest

from deepatoms.pages import address


def test_what_is_left_out_is_empty_and_what_is_there_stays():
    home = {"address": "https://a.org", "branch": "other"}
    assert address.checked(home) == {"repository": "", "branch": "other", "address": "https://a.org"}
    assert address.checked({}) == {"repository": "", "branch": "main", "address": ""}


@pytest.mark.parametrize(("home", "said"), [
    ({"c": "", "b": ""}, "deepatoms_home = 'b' is no entry of it; take repository, branch, address"),
    ({"repository": "http://a.org"}, "deepatoms_home.repository = 'http://a.org' is no address"),
    ({"address": "a.org https://"}, "deepatoms_home.address = 'a.org https://' is no address")])
def test_what_it_should_not_name_and_what_is_no_address_are_refused(home, said):
    with pytest.raises(ValueError, match=said):
        address.checked(home)


@pytest.mark.parametrize(("line", "branch"), [("", "main"), ("\n    deepatoms_home:\n      branch: other", "other")])
def test_it_is_read_from_the_configuration(tmp_path, line, branch):
    (tmp_path / "_config.yml").write_text(f"sphinx:\n  config:\n    language: en{line}\n")
    assert address.read(tmp_path / "_config.yml")["branch"] == branch
