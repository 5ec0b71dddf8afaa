"""Ways out of a page, on a sample of two: links to the source from one line of configuration, formulas without a script."""

import re
from collections import Counter

import nbformat
import pytest
import yaml
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from deepatoms.press import checkout
from deepatoms.site import formulas, home, lines, theme

LINE = {"repository": "https://github.com/someone/atoms", "branch": "main", "address": "https://someone.github.io/atoms"}
EXTENSIONS = ["myst_nb", "sphinx_design", "deepatoms.site.theme", "deepatoms.site.folds",
              "deepatoms.site.formulas", "deepatoms.site.lines", "deepatoms.site.home"]
HIDDEN = {"tags": ["hide-cell"]}
FIRST = ("# First\n\nA formula $\\tfrac12$, and\n\n$$ k^2 $$ (dfp-eq-2)\n\n$$ k $$ (csc-thm-2)\n\n"
         "```{source-of-the-book}\n```\n\n"
         "```{toctree}\nchapter\n```\n")
PROOF = "Prove.\n\n```{dropdown} Solution\nBecause.\n```"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}


def shown(code, **metadata):
    return nbformat.v4.new_code_cell(code, outputs=[nbformat.v4.new_output("stream", text="out")], metadata=metadata)


def drawn(code, **metadata):
    output = nbformat.v4.new_output("display_data", {"text/html": "<p>drawn</p>", "text/plain": "drawn"})
    return nbformat.v4.new_code_cell(code, outputs=[output], metadata=metadata)


@pytest.fixture
def built(tmp_path):
    """Return a function that builds two pages with a line of configuration and returns their HTML."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.md").write_text(FIRST)
    cells = [nbformat.v4.new_markdown_cell("# Second"), nbformat.v4.new_code_cell("seed = 0", metadata=HIDDEN),
             nbformat.v4.new_code_cell("import math", metadata=HIDDEN), nbformat.v4.new_code_cell("math.pi"),
             nbformat.v4.new_markdown_cell("## More measurements\n\nOf minor claims."), shown("print('seen')"),
             shown("x = 1; print('computed')"), drawn("y = 2; draw(y)"), drawn("z = 3; draw(z)", tags=["try"]),
             nbformat.v4.new_markdown_cell("## After"), shown("\n".join(f"a{i} = {i}" for i in range(7))),
             shown("def breaks(x):\n    return x\n\n\nbreaks(0)"), nbformat.v4.new_markdown_cell(PROOF),
             shown("proved = 1", tags=["solution"]), nbformat.v4.new_markdown_cell("Predict."),
             shown("foretold = 1", tags=["hide-cell", "solution"])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), source / "chapter.ipynb")

    def pages(line):
        settings = {"extensions": EXTENSIONS, "html_theme": "sphinx_book_theme", "nb_execution_mode": "off",
                    "myst_enable_extensions": ["dollarmath"], "deepatoms_home": line}
        with docutils_namespace():
            Sphinx(source, None, tmp_path / "out", tmp_path / "trees", "html", settings, status=None, freshenv=True).build()
        return tuple((tmp_path / "out" / name).read_text("utf-8") for name in ("index.html", "chapter.html"))

    return pages


@pytest.mark.slow
def test_links_to_the_source_come_from_one_line_and_are_absent_without_it(built):
    index, chapter = built({})
    assert not re.search(r"github|mybinder|colab|git clone", index + chapter)
    assert "without the address of its repository" in index
    index, chapter = built(LINE)
    assert f'href="{LINE["repository"]}"' in index
    assert f'git clone {LINE["repository"]}' in re.sub(r"<[^>]*>", "", index)
    assert f'{LINE["repository"]}/edit/main/index.md' in index
    assert "https://mybinder.org/v2/gh/someone/atoms/main" in chapter
    assert "https://colab.research.google.com/github/someone/atoms/blob/main/chapter.ipynb" in chapter


@pytest.mark.slow
def test_formulas_are_there_without_a_script_and_the_set_up_is_one_line_to_open(built):
    index, chapter = built({})
    assert index.count("<noscript><math") == 3 and "<mfrac>" in index
    assert "</math> (dfp 2)</noscript>" in index, "an equation keeps its number"
    assert "</math> (csc thm 2)</noscript>" in index, "and one without says what it is"
    assert formulas.with_formulas(index) == index and lines.keep(index) == index, "a second time changes nothing"
    assert re.search(r'<span class="deepatoms-kept"><span class="math(?:(?!</span>).)*</span>.*?</noscript>,</span>', index)
    named = Counter(re.findall(r'<p class="collapsed admonition-title">(.*?)</p>', chapter))
    assert named == {"The set-up": 1, "Code": 3, "The code to change": 1, "The checker and its first try": 1, "The answer": 1}, \
        "a button for code that only shows, whose output stands for itself, or that is long; not what computes in print"
    assert chapter.count("deepatoms-shows") == 3
    solution = re.search(r"<details[^>]*sd-dropdown.*?</details>", chapter, re.DOTALL)[0]
    assert "Because" in solution and "proved" in solution and "foretold" not in solution
    folded = chapter.split('<details class="deepatoms-more">')[1].split("<h2>After")[0]
    assert "Of minor claims" in folded and "computed" in folded, "a fold holds its section"
    assert folded.count("</details>") == folded.count("<details") + 1, "and ends with it"
    assert re.search(r"<details class=.admonition hide(?:(?!</details>).)*seen", folded, re.DOTALL)
    assert re.search(r"seed.*</details>", chapter, re.DOTALL) and re.search(r"math.*</details>", chapter, re.DOTALL)


@pytest.mark.parametrize("line, message", [({"site": "x"}, "deepatoms_home = 'site' is no entry"),
                                           ({"repository": "github.com/x/y"}, "begin it with https://")])
def test_a_line_that_cannot_be_meant_is_refused(line, message):
    with pytest.raises(ValueError, match=message):
        home.theme_options(line)


def test_people_and_programs_are_told_the_same_about_citing():
    cited = yaml.safe_load((checkout.ROOT / "CITATION.cff").read_text("utf-8"))
    told = re.sub(r"\s+", " ", (checkout.ROOT / "book" / "bibliography.md").read_text("utf-8"))
    assert f"{cited['authors'][0]['name']}, *{cited['title']}*" in told and "with it the paper whose theory you use" in told
    assert cited["message"].endswith("please cite it together with the paper whose theory you use.")


@pytest.mark.parametrize("path", checkout.chapters(), ids=lambda path: path.stem)
def test_no_equation_of_a_chapter_has_a_running_number(path):
    text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    labels = re.findall(r"\$\$ \(([^)]+)\)", text)
    assert labels and all(map(theme.EQUATION.fullmatch, labels))
