"""Where the book lives: its repository's links, edit links and launchers, all from one line of the configuration."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from deepatoms.pages.address import EMPTY, checked

LAUNCHERS = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
COLAB = {"colab_url": "https://colab.research.google.com"}


def setup(app):
    """Register the extension with Sphinx."""
    app.add_config_value("deepatoms_home", EMPTY, "html")
    app.add_directive("source-of-the-book", Source)
    app.connect("config-inited", link_home)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def link_home(app, config):
    """Give the theme the repository's address, if there is one; it makes the links."""
    config.html_theme_options = {**config.html_theme_options, **theme_options(config.deepatoms_home)}
    if address := checked(config.deepatoms_home)["address"]:
        config.html_baseurl = address.rstrip("/") + "/"


class Source(SphinxDirective):
    """Where the source is, and how to get it."""

    def run(self):
        """Return a sentence with the repository's link and the command that clones it, or a sentence that says there is none."""
        repository = checked(self.config.deepatoms_home)["repository"].rstrip("/")
        if not repository:
            said = ("This copy of the book was built without the address of its repository (the line deepatoms_home of "
                    "_config.yml names it): its source is the folder that it was built from.")
            return [nodes.paragraph("", said)]
        clone = f"git clone {repository}"
        return [nodes.paragraph("", "", nodes.Text("The source is at "), nodes.reference("", repository, refuri=repository),
                                nodes.Text(":")), nodes.literal_block(clone, clone, language="sh")]


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
