"""An explorer in JupyterLab: an anywidget with the page's own script, and a kernel that draws what was not stored."""

from typing import Any

import anywidget
import traitlets

from deepatoms.pages import figures


class LiveExplorer(anywidget.AnyWidget):
    """The view of an ``Explorer`` under a kernel."""

    page = traitlets.Unicode().tag(sync=True)
    stops: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, explorer):
        self._explorer = explorer
        # On a page the script starts itself; here it is a module that exports its view.
        self._esm = figures.web("explore.js") + "\nexport default { render: deepatoms.render };\n"
        self._css = figures.web("explore.css")
        super().__init__(page=explorer.page(), stops=explorer.stops())
        self.on_msg(self._answer)

    def bundle(self):
        """Return the cell output's view of this widget, by MIME type."""
        return _bundle(self)

    def _answer(self, _, message, __):
        values = [axis[stop]["value"] for axis, stop in zip(self.stops, message["at"], strict=True)]
        try:
            frame = self._explorer.frame(values)
        except Exception as error:  # noqa: BLE001 (the reader sees it under the control, which goes on working)
            self.send({"error": f"{type(error).__name__}: {error}"})
        else:
            self.send({"svg": frame.svg, "caption": frame.caption})


class LivePage(anywidget.AnyWidget):
    """The view of a live figure under a kernel, which it does not ask."""

    page = traitlets.Unicode().tag(sync=True)

    def __init__(self, page, scripts):
        self._esm = "\n".join([*(figures.web(f"live/{name}") for name in ("kit.js", *scripts)),
                               "export default { render: deepatomsLive.render };"])
        self._css = figures.web("live/live.css")
        super().__init__(page=page)

    def bundle(self):
        """Return the cell output's view of this widget, by MIME type."""
        return _bundle(self)


def _bundle(widget):
    found = widget._repr_mimebundle_()
    return dict(found[0] if isinstance(found, tuple) else found)
