"""Where the book lives: its repository's links, edit links and launchers, all from one line of the configuration."""

import pathlib

import yaml

from deepatoms.theory.arguments import refuse

# One line of _config.yml; what is empty is nowhere on the site.
EMPTY = {"repository": "", "branch": "main", "address": ""}
LAUNCHERS = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
COLAB = {"colab_url": "https://colab.research.google.com"}


def setup(app):
    """Register the extension with Sphinx."""
    app.add_config_value("deepatoms_home", EMPTY, "html")
    app.connect("config-inited", link_home)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def link_home(app, config):
    """Give the theme the repository's address, if there is one; it makes the links."""
    config.html_theme_options = {**config.html_theme_options, **theme_options(config.deepatoms_home)}
    if address := checked(config.deepatoms_home)["address"]:
        config.html_baseurl = address.rstrip("/") + "/"


def theme_options(home):
    """Return what the theme needs for the links to the source: to the repository, to a page's text, to launchers.

    >>> theme_options({"repository": ""})
    {}
    >>> theme_options({"repository": "https://github.com/someone/atoms"})["launch_buttons"]["colab_url"]
    'https://colab.research.google.com'
    """
    home = checked(home)
    if not home["repository"]:
        return {}
    on_github = home["repository"].startswith("https://github.com/")
    return {"repository_url": home["repository"].rstrip("/"), "repository_branch": home["branch"], "use_repository_button": True,
            "use_edit_page_button": True, "use_source_button": True, "use_issues_button": True,
            "launch_buttons": LAUNCHERS | (COLAB if on_github else {})}


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
