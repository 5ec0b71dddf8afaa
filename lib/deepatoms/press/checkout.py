"""Where things stand in a checkout."""

import pathlib

ROOT = pathlib.Path(__file__).parents[3]
NOTEBOOKS = ROOT / "notebooks"
SITE = ROOT / "_build" / "html"


def chapters(names=()):
    """Return the paths of the named chapters (all, unless named); refuse a name that has no notebook."""
    paths = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    unknown = [name for name in names if name not in paths]
    if unknown:
        raise SystemExit(f"chapter = {unknown[0]!r} has no notebook; the chapters are {', '.join(paths) or 'none yet'}")
    return [paths[name] for name in names] if names else list(paths.values())
