"""How a package hands on what it imports only when asked, what it says of a missing package, and where the book's files are."""

import difflib
import importlib
import importlib.util
import pathlib
import pkgutil
import sys

# What brings the packages that are not always there: extra -> {module: the name that pip knows}.
EXTRAS = {
    "faiss": {"faiss": "faiss-cpu"},
    "data": {"sklearn": "scikit-learn", "pooch": "pooch", "requests": "requests", "filelock": "filelock", "PIL": "pillow"},
    "safetensors": {"safetensors": "safetensors"},
    "book": {"matplotlib": "matplotlib", "IPython": "ipython", "anywidget": "anywidget", "traitlets": "traitlets",
             "ipywidgets": "ipywidgets", "docutils": "docutils", "sphinx": "sphinx", "sphinx_design": "sphinx-design",
             "nbformat": "nbformat", "papermill": "papermill", "latex2mathml": "latex2mathml", "packaging": "packaging"},
    "pdf": {"playwright": "playwright", "pypdf": "pypdf", "segno": "segno"},
    "test": {"pytest": "pytest"},
}

PACKAGE = pathlib.Path(__file__).parent


def lazy(package, names=None):
    """Return a package's ``__getattr__`` and ``__dir__``, by which its modules and ``names`` are imported on demand.

    Args:
        package: Full name of the package, ``__name__``.
        names: For each name at its door the module, within the package, that has it.

    >>> get, listed = lazy("deepatoms.theory")
    >>> get("splines").__name__, "splines" in listed()
    ('deepatoms.theory.splines', True)
    >>> get("splinse")
    Traceback (most recent call last):
    ...
    AttributeError: module 'deepatoms.theory' has no attribute 'splinse'; did you mean splines?
    """
    names = names or {}

    def get(name):
        if name in names:
            found = getattr(importlib.import_module(f"{package}.{names[name]}"), name)
            setattr(sys.modules[package], name, found)
            return found
        if name in _modules(package):
            return importlib.import_module(f"{package}.{name}")
        near = [] if name.startswith("__") else difflib.get_close_matches(name, listed())
        said = f"; did you mean {' or '.join(near)}?" if near else ""
        raise AttributeError(f"module {package!r} has no attribute {name!r}{said}")  # python's own guess would follow a name=

    def listed():
        return sorted({*vars(sys.modules[package]), *names, *_modules(package)})

    return get, listed


def _modules(package):
    return [found.name for found in pkgutil.iter_modules(sys.modules[package].__path__) if not found.name.startswith("_")]


def demand(who, extra, *modules):
    """Refuse to go on without the modules of an extra: name the missing package, who needs it and the line that brings it.

    >>> demand("deepatoms.theory", "data", "numpy")
    """
    for module in modules:
        if module not in sys.modules and importlib.util.find_spec(module) is None or sys.modules.get(module, who) is None:
            raise ModuleNotFoundError(f"{EXTRAS[extra][module]} is not installed, and {who} needs it; "
                                      f"pip install 'deepatoms[{extra}]'", name=module)


def book(name, remedy):
    """Return the folder ``book/NAME`` of an installed package or of the checkout around it.

    Raises:
        FileNotFoundError: with the remedy, when it is in neither.

    >>> (book("web", "look for it") / "explore.js").is_file()
    True
    """
    for place in (PACKAGE / "_book" / name, PACKAGE.parents[1] / "book" / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"book/{name} is neither in the package ({PACKAGE}) nor in a checkout around it; {remedy}")
