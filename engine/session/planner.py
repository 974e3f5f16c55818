"""Checks and plans graphs in a home folder, and explains and estimates a plan before it runs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from engine.check import check as checking
from engine.check.check import Checked
from engine.document.graph import Entry, Graph
from engine.document.random_seeds import Drawn, draw
from engine.document.sweep import Sweep
from engine.errors import GraphError, Problem
from engine.explain.history import Record
from engine.explain.reasons import Reasons
from engine.files import Files
from engine.packs.provenance import TextLength
from engine.plan import plan as planning
from engine.plan.plan import Plan
from engine.session import pack_hooks
from engine.session.estimate import Estimate, Estimator
from engine.session.home import Home
from engine.values import Json

Values = Mapping[str, Json | Sweep]

SEEDS = 2**32
"""Random seeds are drawn below this number, because other tools accept no larger ones."""


class Planner(Home):
    """Checks and plans graphs in a home folder."""

    def check(self, graph: Graph, values: Values | None = None) -> Checked:
        """Find every problem of a graph; see `check.check`.

        Packs whose files have changed are reloaded first. Each seed that is `"random"` is replaced by a
        number; the result has the graph with these numbers.


        """
        self.registry.refresh()
        drawn = self.draw(graph, values)
        return checking.check(drawn.graph, self.registry, drawn.values, drawn.read)

    def draw(self, graph: Graph, values: Values | None = None) -> Drawn:
        """Replace each `"random"` seed in a graph and in `values` by a number; see `random_seeds.draw`."""
        return draw(
            graph, values or {}, self._seed_inputs, self.read_subgraph, lambda: secrets.randbelow(SEEDS)
        )

    def advice(self, checked: Checked, files: Files | None = None) -> list[Problem]:
        """Collect the warnings of node packs about a graph, such as a size that does not suit the model.

        This may read files and takes time, so runs skip it: in a run, the nodes themselves warn.

        Args:
            checked: the result of `check`.
            files: the files of the run; by default those of the session.
        """
        return pack_hooks.advice(self.registry.advisers, checked, files or self.files)

    def text_lengths(
        self, checked: Checked, files: Files | None = None
    ) -> tuple[list[TextLength], list[Problem]]:
        """Count the tokens of the texts in a graph; return the lengths, and warnings about the texts.

        Args:
            checked: the result of `check`.
            files: the files of the run; by default those of the session.
        """
        return pack_hooks.text_lengths(self.registry.measurers, checked, files or self.files)

    def plan_checked(
        self, checked: Checked, targets: Sequence[str] = (), *, name: str = "", files: Files | None = None
    ) -> Plan:
        """Plan a checked graph; see `plan`.

        Args:
            checked: the result of `check`.
            targets: see `plan`.
            name: see `plan`; by default the title of the graph.
            files: the files of the run; by default those of the session.
        """
        if not checked.ok:
            lacks_a_type = any(problem.code == "unknown_type" for problem in checked.problems)
            packs = self.registry.problems if lacks_a_type else []  # a broken pack may be the cause
            raise GraphError([*checked.problems, *packs])
        announcement = self.step_locks.last_announcement()  # before the plan looks into the store
        planned = planning.plan(
            checked,
            self.store,
            files or self.files,
            targets=targets,
            compute=self.compute.signature,
            name=name or checked.graph.title,
            max_steps=self.settings.max_steps,
        )
        planned.announcement = announcement
        return planned

    def reasons(self, plan: Plan) -> Reasons:
        """Return an object that explains, for each step of a plan, what changed since the previous run."""
        return Reasons(plan, self._record(plan), lambda key: bool(self.store.where([key])))

    def estimate(self, plan: Plan, record: Record | None = None, files: Files | None = None) -> Estimate:
        """Estimate the time and the memory of a run before it starts, without loading models.

        Args:
            plan: the plan of the run.
            record: the record of the graph's previous run, such as `reasons(plan).record`; by default it is
                read from the history.
            files: the files of the run; by default those of the session.
        """
        budget = self.residency.budget(self.device) if self.compute.offload == "none" else 0
        estimator = Estimator(self.registry.estimators, self.compute, files or self.files, self.store, budget)
        found = estimator.estimate(plan, record or self._record(plan))
        for problem in estimator.problems:
            self._warn(str(problem))
        return found

    def _record(self, plan: Plan) -> Record | None:
        return self.history.record(plan.name) if plan.name else None

    def _seed_inputs(self, entry: Entry) -> list[str]:
        """List the names of a node's inputs that are seeds."""
        node_type = self.registry.types.get(entry.name)
        return [] if node_type is None else [name for name, item in node_type.inputs.items() if item.is_seed]
