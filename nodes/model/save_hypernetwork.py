"""SaveHypernetwork: writes a hypernetwork that was made in a graph to a file."""

from __future__ import annotations

from engine.context import Context
from engine.node import Node
from nodes.files.new_file import NAME_IT, require_file_name, write_new
from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork


class SaveHypernetwork(Node, category="model", pure=False, libraries=("torch",)):
    """Save a hypernetwork as a `.pt` file, which A1111 and Safelight read.

    The file is written to the `outputs` folder; move it to `models/hypernetworks` to use it.
    """

    hypernetwork: Hypernetwork
    path: str = ""
    """The file to write, inside the `outputs` folder. Empty: the hypernetwork's name, in `hypernetworks/`."""
    overwrite: bool = False
    """Replace an existing file. Off: the new file gets the next free number."""

    def run(self, ctx: Context) -> str:
        from nodes.sd.hypernetworks.written import as_pt

        own = self.hypernetwork.name
        name = self.path or f"hypernetworks/{require_file_name(own, input='hypernetwork', hint=NAME_IT)}"
        place = ctx.files.target(name.removesuffix(".pt") + ".pt")
        return str(write_new(place, as_pt(self.hypernetwork), overwrite=self.overwrite))
