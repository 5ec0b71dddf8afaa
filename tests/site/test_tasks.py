"""What three people come for, done without help: each run in the browser is recorded step by step, with pictures."""

import re

import nbclient
import nbformat
import pytest

from deepatoms.press import checkout, lab

SETTLED = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
CHAPTER = "deep-frame-potential"
ASKED = re.compile(r"\*\*Try this\.\*\* Set `(\w+) = (\d+)`.*least \$F\$ is 0", re.DOTALL)
OPENED = "link => { for (let at = link; at; at = at.parentElement.closest('details')) at.open = true; }"


@pytest.fixture
def recorded(open_page, site, tmp_path):
    """A page on the book's first one; at the end its recording is whole."""
    page = open_page("about:blank", viewport={"width": 1400, "height": 900})
    page.context.tracing.start(screenshots=True, snapshots=True)
    page.goto(site + "book/index.html")
    yield page
    page.context.tracing.stop(path=tmp_path / "run.zip")
    assert (tmp_path / "run.zip").stat().st_size > 10_000


def test_someone_finds_what_the_book_says_about_batch_norm_and_templates(recorded):
    recorded.keyboard.press("Control+k")
    recorded.keyboard.type("batch norm templates")
    recorded.keyboard.press("Enter")
    first = recorded.locator("#search-results li a").first
    first.wait_for(timeout=60_000)
    assert "spline-templates" in first.get_attribute("href")
    first.click()
    recorded.wait_for_url("**/notebooks/**")
    recorded.wait_for_function(SETTLED)
    said = recorded.locator("article p:visible", has_text=re.compile("batch norm", re.IGNORECASE)).all_inner_texts()
    assert any("template" in text for text in said), "a sentence that one can read without opening anything"


def test_someone_changes_one_number_in_a_copy_and_sees_what_was_foretold(tmp_path):
    lab.working_copy(checkout.NOTEBOOKS / f"{CHAPTER}.ipynb", tmp_path)
    copy = nbformat.read(tmp_path / f"{CHAPTER}.ipynb", as_version=4)
    code = [cell for cell in copy.cells if cell.cell_type == "code"]
    place = next(place for place, cell in enumerate(copy.cells) if ASKED.search(cell.source))
    name, value = ASKED.search(copy.cells[place].source).groups()
    trial = copy.cells[place + 1]

    def printed():
        short = nbformat.v4.new_notebook(cells=[*code[:2], trial], metadata=copy.metadata)
        nbclient.NotebookClient(short, timeout=300, resources={"metadata": {"path": str(checkout.NOTEBOOKS)}}).execute()
        return trial.outputs[0].text

    before, first = printed(), trial.source.partition("\n")[0]
    names, numbers = (part.split(", ") for part in first.split(" = "))
    numbers[names.index(name)] = value
    trial.source = trial.source.replace(first, f"{', '.join(names)} = {', '.join(numbers)}")
    assert "least attainable is 0.000" in printed() and "least attainable is 0.000" not in before


def test_someone_cites_a_claim_by_link_and_opens_the_function_that_measured_it(recorded, site, open_page):
    recorded.goto(site + "notebooks/atoms.html")
    recorded.wait_for_function(SETTLED)
    link = recorded.locator("li.deepatoms-line a", has_text="dfp.welch").first
    link.evaluate(OPENED)
    link.click()
    recorded.wait_for_url("**/scoreboard.html*#dfp.welch", timeout=120_000)
    cited = open_page(recorded.url)
    card = cited.locator('[id="dfp.welch"]')
    cited.wait_for_function("() => document.getElementById('dfp.welch')?.open", timeout=120_000)
    card.locator(".deepatoms-check summary").first.click()
    check = card.locator("a[data-check]").first
    check.click()
    cited.wait_for_url("**/api/**#deepatoms.*")
    function = cited.evaluate("() => decodeURIComponent(location.hash.slice(1))")
    cited.locator(f'dt[id="{function}"] a:has(.viewcode-link), dt[id="{function}"] a.viewcode-link').first.click()
    cited.wait_for_url("**/_modules/**")
    assert f"def {function.rpartition('.')[2]}" in cited.locator("pre").first.inner_text()
