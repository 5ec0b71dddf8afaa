"""What pyproject.toml cannot say: a built package carries the book's recorded results and its scripts."""

import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class WithBook(build_py):
    """Copies them beside the modules; an editable package reads those of the checkout."""

    def run(self):
        super().run()
        if not self.editable_mode:
            place = pathlib.Path(self.build_lib, "deepatoms", "_book")
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree("book/results", place / "results", ignore=shutil.ignore_patterns("*.part", "*.partial", "*.claim"))
            shutil.copytree("book/web", place / "web", ignore=shutil.ignore_patterns("*.png"))


setup(cmdclass={"build_py": WithBook})
