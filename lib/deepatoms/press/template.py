"""A new chapter from a template: the cells that every chapter has, in their order."""

import nbformat

from deepatoms.claims import catalogue
from deepatoms.press import checkout, notebooks

PARAMETERS = 'profile = "laptop"  # laptop or full\ndevice = "auto"     # auto, cpu or cuda\nseed = 0'
BEGIN = ('from deepatoms.pages import chapter, figures\nfrom deepatoms.pages.explore import explore\n\n'
         'chapter.begin("{name}", seed=seed, device=device, profile=profile)')
SECTIONS = (
    "# {title}\n\nThe question a practitioner asks, in two sentences, and the answer that this chapter found.",
    "## The claims\n\nWhich claims of the paper are tested here.",
    "## Theory\n\nThe equations under the paper's numbers, each with a link to the function that implements it.",
    "## Experiments\n\nThe paper's figures, recomputed.",
    "## Explore\n\nAt least one explorer that answers \"what if\".",
    "## Where the paper is wrong, vague or silent\n\nCounterexample, correction, our choice.",
    "## The verdicts\n\nComputed from the checks above.",
    "## Your turn\n\nThree exercises: *prove*, *predict*, *break*.",
)


def write(name):
    """Write ``notebooks/NAME.ipynb`` for a chapter of the catalogue; refuse to overwrite one."""
    try:
        catalogue.load().chapter(name)
    except KeyError as unknown:
        raise SystemExit(f"{unknown.args[0]}; for a new chapter, name it under `chapters:` in lib/deepatoms/claims/claims.yml "
                         "and write its first claim there, then run this again") from unknown
    path = checkout.NOTEBOOKS / f"{name}.ipynb"
    if path.exists():
        raise SystemExit(f"name = {name!r}: {path.name} is there already; edit it, then run make store CHAPTER={name}")
    path.write_text(notebooks.dumps(notebooks.normal(chapter(name))), encoding="utf-8")
    print(f"wrote notebooks/{name}.ipynb; add it to _toc.yml, write its checks, then run make store CHAPTER={name}")


def chapter(name):
    """Return the unwritten chapter as a notebook."""
    text = [section.format(title=name.replace("-", " ").capitalize()) for section in SECTIONS]
    cells = [nbformat.v4.new_markdown_cell(text[0]),
             nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["hide-cell", "parameters"]}),
             nbformat.v4.new_code_cell(BEGIN.format(name=name)),
             *map(nbformat.v4.new_markdown_cell, text[1:7]),
             nbformat.v4.new_code_cell(f'chapter.verdicts("{name}")', metadata={"tags": ["nbval-check-output"]}),
             nbformat.v4.new_markdown_cell(text[7])]
    return nbformat.v4.new_notebook(cells=cells)
