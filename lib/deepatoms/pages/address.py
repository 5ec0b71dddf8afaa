"""The line of the configuration that says where the book lives: its repository, and its published pages."""

import pathlib

import yaml

from deepatoms.theory.arguments import refuse

# One line of _config.yml; what is empty is nowhere on the site.
EMPTY = {"repository": "", "branch": "main", "address": ""}


def checked(home):
    """Return the configuration with what it leaves out; refuse what it should not name, and what is no address."""
    if unknown := sorted(set(home) - set(EMPTY)):
        refuse("deepatoms_home", unknown[0], "is no entry of it", f"take {', '.join(EMPTY)}")
    home = EMPTY | home
    for name in ("repository", "address"):
        if home[name] and not home[name].startswith("https://"):
            refuse(f"deepatoms_home.{name}", home[name], "is no address", "begin it with https://, or leave it empty")
    return home


def read(config):
    """Return the line of a configuration file, for those who are not Sphinx."""
    found = yaml.safe_load(pathlib.Path(config).read_text("utf-8"))["sphinx"]["config"]
    return checked(found.get("deepatoms_home", {}))
