"""``deepatoms.ask()``: a panel in JupyterLab that asks a network, and the cell that asks the same again."""

import pathlib
from collections.abc import MutableMapping
from html import escape
from typing import Any

from deepatoms import _doors

_doors.demand("deepatoms.ask", "book", "ipywidgets", "IPython")

import ipywidgets
import numpy as np
import torch
from IPython import get_ipython

from deepatoms import reports
from deepatoms.reports import loading, page
from deepatoms.reports.command import interrupted, told
from deepatoms.reports.subject import place

TRAINED = '''from deepatoms import data
from deepatoms.learning import networks, training
images = data.load("digits", "train")
model = training.seeded({build}).float()
model = training.train_one(model, images.images{flat}, images.labels, training.Recipe({recipe}))'''
NETWORKS = {
    "a fully connected network, trained on digits": TRAINED.format(
        build="networks.relu_network, 0, widths=(64, 32, 32, 10)", flat=".flatten(1)", recipe="epochs=10, learning_rate=0.003"),
    "a convolutional network, trained on digits": TRAINED.format(
        build="networks.digits_cnn, 0", flat="", recipe="epochs=3, learning_rate=0.003"),
    "a residual network, trained on digits": TRAINED.format(
        build="networks.residual_cnn, 0, shape=(1, 8, 8), widths=(8, 16), blocks=2", flat="",
        recipe="epochs=3, learning_rate=0.003"),
    "a fully connected network, as it begins": '''from deepatoms.learning import networks, training
model = training.seeded(networks.relu_network, 0, widths=(64, 32, 32, 10)).float().eval()''',
}
FILE, MINE, PLACE = "from a file", "in this notebook: ", "a folder of images, or an .npz file"
SETS = ("digits", "photographs", "none")
STYLE = {"description_width": "7em"}
WIDE = {"width": "min(38em, 100%)"}


def ask(namespace: MutableMapping[str, Any] | None = None) -> "Panel":
    """Return a panel that asks a network: choose one of the book's, one of the notebook's, or a file; choose data; run.

    Args:
        namespace: where the notebook's networks and tensors are looked for; that of the running kernel unless given.

    Returns:
        The panel, which JupyterLab shows.
    """
    if namespace is None:
        kernel = get_ipython()
        namespace = {} if kernel is None else kernel.user_ns
    return Panel(namespace)


class Panel(ipywidgets.VBox):
    """The controls, the card that appears, and the cell that would make it again."""

    def __init__(self, namespace: MutableMapping[str, Any]):
        self._namespace = namespace
        self.network = ipywidgets.Dropdown(description="Network", style=STYLE, layout=WIDE)
        self.file = _text("File", "model.py:build")
        self.data = ipywidgets.Dropdown(description="Data", style=STYLE, layout=WIDE)
        self.place = _text("Place", "images/, or inputs.npz")
        self.labels = ipywidgets.Dropdown(description="Labels", style=STYLE, layout=WIDE)
        self.nulls = ipywidgets.BoundedIntText(9, min=0, max=999, description="Null draws", style=STYLE, layout={"width": "14em"})
        self.run = ipywidgets.Button(description="Run", button_style="primary")
        self.again = ipywidgets.Button(description="Look again", tooltip="Look again for networks and tensors of this notebook")
        self.status, self.card, self.cell = (ipywidgets.HTML() for _ in range(3))
        self.code = ""
        self.report: reports.Report | None = None
        self.look()
        self.run.on_click(lambda _: self.answer())
        self.again.on_click(lambda _: self.look())
        for control in (self.network, self.data):
            control.observe(lambda _: self._show(), "value")
        self._show()
        super().__init__([self.network, self.file, self.data, self.place, self.labels, self.nulls,
                          ipywidgets.HBox([self.run, self.again]), self.status, self.card, self.cell])

    def look(self) -> None:
        """Offer the networks and tensors that the notebook has now; what was chosen stays chosen where it is still there."""
        found = {name: value for name, value in self._namespace.items() if not name.startswith("_")}
        nets = [name for name, value in found.items() if isinstance(value, torch.nn.Module)]
        arrays = [name for name, value in found.items() if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim > 1]
        labels = [name for name, value in found.items() if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 1]
        _offer(self.network, [*(MINE + name for name in nets), *NETWORKS, FILE])
        _offer(self.data, [*SETS, *(MINE + name for name in arrays), PLACE])
        _offer(self.labels, ["none", *labels])

    def _show(self):
        """Show only the controls that the choices need."""
        for control, needed in ((self.file, self.network.value == FILE), (self.place, self.data.value == PLACE),
                                (self.labels, self.data.value.startswith(MINE))):
            control.layout.display = None if needed else "none"

    def answer(self) -> None:
        """Run the cell that the choices make, and show the card, or what went wrong."""
        self.card.value = self.cell.value = ""
        self.report, self.run.disabled = None, True
        try:
            self.code = self._code()
            self._say("loading the network and the inputs")
            self.report = found = self._asked(self.code)
            self._say("interrupted: the card holds what was through by then" if found.partial else "done")
            self.card.value = page.card(found)
            self.cell.value = f"<p>The cell that makes this card again:</p><pre>{escape(self.code)}</pre>"
        except Exception as error:  # noqa: BLE001 (the panel goes on, and says what went wrong in its own place)
            self.status.value = f'<pre role="alert" style="white-space: pre-wrap">{escape(_told(error))}</pre>'
        except KeyboardInterrupt:
            self._say("interrupted before anything was measured")
        finally:
            self.run.disabled = False

    def _say(self, sentence):
        self.status.value = f'<p role="status">{escape(sentence.strip())}</p>'

    def _code(self):
        """Return the cell: the network as ``model``, the inputs as ``x`` and ``y``, and the question."""
        return "\n".join(["import deepatoms", *self._network_code(), *self._data_code(),
                          f"deepatoms.report(model, x, y, nulls={self.nulls.value})"])

    def _network_code(self):
        chosen = self.network.value
        if chosen == FILE:
            return ["from deepatoms.reports import loading", f"model = loading.network({self.file.value.strip()!r})"]
        if chosen.startswith(MINE):
            return ["import copy", f"model = copy.deepcopy({chosen.removeprefix(MINE)}).eval()"]
        return NETWORKS[chosen].splitlines()

    def _data_code(self):
        chosen = self.data.value
        if chosen == "none":
            return ["x = y = None"]
        if chosen.startswith(MINE):
            return [f"x, y = {chosen.removeprefix(MINE)}, {'None' if self.labels.value == 'none' else self.labels.value}"]
        source = self.place.value.strip() if chosen == PLACE else chosen
        return ["from deepatoms.reports import inputs", f"given = inputs.load({source!r}, model)", "x, y = given.x, given.y"]

    def _asked(self, code):
        """Run the cell in a copy of the notebook's names; the question itself with a word on its progress."""
        names: dict[str, Any] = dict(self._namespace)
        exec("\n".join(code.splitlines()[:-1]), names)
        return reports.report(names["model"], names["x"], names["y"], nulls=self.nulls.value, progress=self._say)


def _text(description, placeholder):
    return ipywidgets.Text(description=description, placeholder=placeholder, style=STYLE, layout=dict(WIDE))


def _offer(control, options):
    before = control.value
    control.options = options
    control.value = before if before in options else options[0]


def _told(error):
    """Return an error as the reader needs it: our sentence, or their line, or what Python said."""
    if told(error) and not interrupted(error):
        return str(error)
    line = place(error)
    return str(loading.foreign(error, pathlib.Path(line.rpartition(":")[0]) if line else None))
