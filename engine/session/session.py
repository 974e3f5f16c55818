"""The session: loads, checks, plans and runs graphs in a home folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from engine.cancel import Cancel
from engine.check.portable import make_portable
from engine.digests import FileDigests
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.document.run_request import RunRequest
from engine.events import Emit
from engine.files import Files
from engine.observe.watch import Watch
from engine.packs import named_graphs
from engine.paths import expanded
from engine.plan.plan import Plan
from engine.session.executor import Executor
from engine.session.planner import Values
from engine.session.report import SessionReport
from engine.settings import load as load_settings
from engine.sources import source
from engine.sources.foreign import Imported, ImportGraph
from engine.step_requests import Requests
from engine.values import Json


class Session(Executor):
    """Loads, checks, plans and runs graphs in a home folder.

    Several threads may use one session at the same time. Use it in a `with` statement, or call `close`.
    """

    @classmethod
    def open(
        cls,
        home: str | Path | None = None,
        device: str | None = None,
        *,
        warn: Callable[[str], None] = lambda message: None,
        **given: Any,
    ) -> Self:
        """Open a session with a home folder.

        Args:
            home: the folder; by default `SAFELIGHT_HOME`, or else the user's data folder.
            device: the device to compute on, such as `cpu` or `cuda:1`; by default the one in the settings.
            warn: receives warnings that belong to no run.
            given: further settings, such as `workers=2`; see `settings.Settings`.

        Raises:
            GraphError: the settings of the home or of the environment are invalid.
        """
        fixed = given if device is None else {"device": device, **given}
        return cls(load_settings(None if home is None else Path(home), **fixed), warn=warn)

    def load(self, graph: str | Path, data: bytes | None = None) -> Graph:
        """Read the graph in a file: a Safelight graph, a picture with an embedded one, or a file to import.

        Args:
            graph: a path, or the name of a graph in the home's `graphs/` or of an example.
            data: the content, if it has been read already, for example from standard input. `graph` is then
                its name in messages, and relative file names start at the folder of `graph`.

        Raises:
            GraphError: there is no such graph, or it cannot be read. The error lists every problem.
        """
        own = self.settings.home / "graphs"
        path = named_graphs.find(Path(graph), own) if data is None else Path(graph)
        imported = self.read(path, data)
        if imported.origin != source.OWN:
            self._warn(f"{path}: {imported.summary}")
        for problem in imported.problems:
            self._warn(str(problem))
        return imported.graph

    def read(self, path: Path, data: bytes | None = None) -> Imported:
        """Read the graph in a file, together with its origin and the problems of importing it."""

        def importers() -> list[ImportGraph]:
            self.registry.refresh()
            return self.registry.importers

        def files() -> Files:
            if self.settings.store_folder.is_dir():
                return self.files
            # Reading a graph must not create the store of an unused home.
            return Files(
                self.settings.folders_of, FileDigests(), self.settings.home / "outputs", local=self._local
            )

        return source.read(path, importers, files, data)

    def plan(
        self, graph: Graph, values: Values | None = None, targets: Sequence[str] = (), *, name: str = ""
    ) -> Plan:
        """Decide which steps a run would compute; see `plan.plan`.

        Args:
            graph: the graph.
            values: values for its inputs, by input.
            targets: the nodes to compute; by default those of the declared outputs and those with side
                effects.
            name: the name of the graph in the history, such as the absolute path of its file; by default its
                title.

        Raises:
            GraphError: the graph has errors, or a file that it needs is missing.
        """
        files = self.files.for_run(graph.folder)
        graph, values = make_portable(graph, values or {}, self.registry, files)
        return self.plan_checked(self.check(graph, values), targets, name=name, files=files)

    def run(
        self,
        graph: RunRequest | Graph | str | Path | Mapping[str, Json],
        values: Values | None = None,
        *,
        targets: Sequence[str] = (),
        name: str = "",
        title: str = "",
        out: str | Path | None = None,
        write: bool | None = None,
        emit: Emit | None = None,
        warn: Callable[[str], None] | None = None,
        cancel: Cancel | None = None,
        requests: Requests | None = None,
        watch: Watch | None = None,
        previews: bool = False,
        details: bool = False,
    ) -> SessionReport:
        """Run a graph and return its report.

        Args:
            graph: a graph, the path or name of a graph, the content of a graph file as a dict, or a complete
                request. With a request, the arguments from `values` to `write` are ignored.
            values: values for the inputs of the graph, by input.
            targets: the nodes to compute; by default those of the declared outputs and those with side
                effects.
            name: the name of the graph in the history; by default its path or its title.
            title: the name that output files begin with; by default the title of the graph, or else the name
                of its file.
            out: the folder that the declared outputs are written to.
            write: True to write the outputs; without `out`, to the home's `outputs` folder. By default True
                if `out` is given.
            emit: receives every event, one at a time, on any thread.
            warn: receives warnings; by default the `warn` of the session.
            cancel: the flag that cancels this run.
            requests: passes requests to the steps of this run, as the method `request` does.
            watch: traces or measures the steps, the store and the loading of models.
            previews: True to include previews among the events.
            details: True to include summaries of the outputs in `Done` events, and the memory that `watch`
                has measured.

        Raises:
            GraphError: the graph has errors, a file that it needs is missing, or the output folder cannot be
                written.
        """
        if isinstance(graph, RunRequest):
            request = graph
        else:
            if isinstance(graph, Mapping):
                graph = from_json(graph)
            elif not isinstance(graph, Graph):
                path = named_graphs.find(Path(graph), self.settings.home / "graphs")
                name, graph = name or str(path.absolute()), self.load(path)
                title = title or graph.title or path.stem
            folder = None if out is None else expanded(out).absolute()
            wanted = folder is not None if write is None else write
            title = title or graph.title
            request = RunRequest(graph, values or {}, tuple(targets), name, title, folder, wanted)
        return self.execute(
            request,
            emit=emit or (lambda event: None),
            warn=warn or self._warn,
            cancel=cancel,
            requests=requests,
            watch=watch or Watch(),
            previews=previews,
            details=details,
        )
