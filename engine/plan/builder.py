"""Builds the steps of a plan from bound nodes, one node after the other.

The builder makes most steps before the run. Steps that depend on a computed list, on the choice of a lazy
input or on a returned graph are made during the run, by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.check.bound import Bound
from engine.check.check import Checked
from engine.check.links import OUTSIDE
from engine.document.graph import From
from engine.errors import GraphError, NodeError
from engine.files import Files
from engine.pack_errors import as_node_problem
from engine.plan import returned_graph
from engine.plan.expand_graph import expand_graph
from engine.plan.expand_list import UNEVEN, ListsUnknown, expand_list
from engine.plan.fingerprints import Wired, fingerprint, problem_of
from engine.plan.keys import Keys
from engine.plan.known_lists import KnownLists
from engine.plan.lazy_inputs import asked
from engine.plan.plan_errors import Unreadable, circular, too_many
from engine.plan.step import Gather, ListStep, Source, Step
from engine.store.store import Store

MAX_STEPS = 100_000
"""The default limit for the number of steps in a plan; the setting `max_steps` changes it."""


class PlanBuilder:
    """Makes the steps of a plan, and holds them by id.

    Args:
        checked: a graph without errors.
        store: the store in which to look for computed lists and returned graphs.
        files: the files that nodes may read.
        compute: the compute settings of accelerator nodes, as text.
        max_steps: the limit for the number of steps.
    """

    def __init__(
        self, checked: Checked, store: Store, files: Files, compute: str, max_steps: int = MAX_STEPS
    ) -> None:
        self.by_id: dict[str, Step] = {}
        self.order: list[Step] = []
        """The steps in the order in which they were made, parents first."""
        self.first_with_key: dict[str, Step] = {}
        """The first step of each key."""
        self.keys = Keys(compute)
        self.lists = KnownLists(store, self.keys.nonce)
        self.checked, self.max_steps = checked, max_steps
        self._store, self._files = store, files

    def add(self, bound: Bound, only_if_asked: bool = False, returned_by: Step | None = None) -> Step:
        """Make the step of a bound node and add it to the plan; the steps of its parents must exist already.

        Args:
            bound: the node.
            only_if_asked: True if the step is needed only if a node asks for it through a lazy input.
            returned_by: the step whose node returned the graph that this node belongs to.

        Raises:
            Unreadable: a file that the node reads cannot be read.
            NodeError: the plan has too many steps.
        """
        depth = 0 if returned_by is None else returned_by.depth + 1
        if bound.lift is None:
            links, lazy = bound.links, bound.type.lazy
            if lazy:  # parents that no node reads have no steps
                known = self.by_id
                links = {
                    name: link
                    for name, link in links.items()
                    if name not in lazy or link.node in known or link.node == OUTSIDE
                }
            sources = tuple([self.source(name, link, returned_by) for name, link in links.items()])
            return self.make_step(bound, sources, only_if_asked, depth)
        gather = Gather(
            bound.id, bound, (), (), only_if_asked=only_if_asked, depth=depth, returned_by=returned_by
        )
        try:
            expand_list(self, gather)
        except ListsUnknown as unknown:
            self._expand_later(gather, unknown.steps)
        except NodeError as error:
            if error.code != UNEVEN:
                raise
            self._expand_later(gather, [])  # this step alone will fail while running
        self.enter(gather)
        if gather.list_step is not None:
            gather.list_step.index = gather.index
        return gather

    def _expand_later(self, gather: Gather, unknown_lists: Iterable[Step]) -> None:
        """Add a step that determines the elements of the list during the run."""
        list_step = ListStep(
            gather.id, gather.bound, (), (), storable=False, only_if_asked=gather.only_if_asked, gather=gather
        )
        gather.unknown_lists, gather.list_step = tuple(unknown_lists), list_step
        gather.parents = (list_step,)
        gather.key_unknown = True
        links = gather.bound.links.items()
        gather.possible_parents = tuple(
            [self.source(name, link, gather.returned_by).step for name, link in links]
        )

    def choose(self, step: Step, inputs: Mapping[str, object]) -> None:
        """Ask the node which lazy inputs it will read, and remove the others from its step.

        Args:
            step: the step.
            inputs: the values of its other inputs.
        """
        step.asked = asked(step.bound.type, inputs)
        unread = step.bound.type.lazy - step.asked
        sources = [source for source in step.sources if source.input not in unread]
        step.sources = tuple(sources)
        step.parents = tuple(dict.fromkeys([source.step for source in sources]))

    def set_key(self, step: Step) -> None:
        """Compute the key of a step; if an earlier step has the same key, share its result.

        The key stays None while it depends on a value that is only known while running.

        Raises:
            NodeError: the step belongs to a returned graph and has the same key as the node that returned it.
        """
        step.key = self.keys.key(step)
        if step.key is None:
            return
        same_as = self.first_with_key.setdefault(step.key, step)
        if same_as is not step:
            if step.id.startswith(f"{same_as.id}/"):
                raise circular()
            step.action, step.same_as = "share", same_as

    def source(self, name: str, link: From, returned_by: Step | None) -> Source:
        """Find the step and output that a wired input comes from.

        Args:
            name: the name of the input.
            link: its wire. In a returned graph, the node `OUTSIDE` stands for the inputs of the node that
                returned it.
            returned_by: the step of the node that returned the graph; None outside returned graphs.
        """
        if returned_by is not None and link.node == OUTSIDE:
            outer = next(source for source in returned_by.sources if source.input == link.output)
            return outer._replace(input=name)
        return Source(name, self.by_id[link.node], link.output)

    def enter(self, step: Step) -> None:
        """Add a step to the plan."""
        step.index = len(self.order)
        if step.index >= self.max_steps:
            raise too_many(self.max_steps)
        self.by_id[step.id] = step
        self.order.append(step)

    def remove(self, start: int) -> None:
        """Remove all steps that were added after the first `start`."""
        for step in self.order[start:]:
            del self.by_id[step.id]
            if step.key is not None and self.first_with_key.get(step.key) is step:
                del self.first_with_key[step.key]
        del self.order[start:]

    def make_step(self, bound: Bound, sources: tuple[Source, ...], only_if_asked: bool, depth: int) -> Step:
        """Make a step from the origins of its inputs, and add it to the plan.

        `bound` is a node, or one element of a node that goes through lists.
        """
        node_type = bound.type
        parents = tuple([source.step for source in sources])
        if len(parents) > 1:
            parents = tuple(dict.fromkeys(parents))
        step = Step(bound.id, bound, sources, parents, None, node_type.pure)
        step.only_if_asked, step.depth = only_if_asked, depth
        if node_type.lazy:
            self._choose_if_known(step)
        known = not node_type.lazy or step.asked is not None
        for source in step.sources:
            if not source.step.storable:
                step.storable = False
        if node_type.reads_world and known:
            wired = [source.input for source in step.sources]
            try:
                step.fingerprint = fingerprint(node_type, bound.literals, wired, self._files)
            except Wired:  # the file name comes from another step
                known = False
            except Exception as error:  # the code of a node pack may raise anything
                if not only_if_asked:
                    raise Unreadable(problem_of(error, bound, self.checked.graph)) from error
                known = False
        if known:
            self.set_key(step)
        step.key_unknown = step.key is None
        if node_type.returns_graph and step.same_as is None:
            self._expand_if_known(step)
        self.enter(step)
        return step

    def _expand_if_known(self, step: Step) -> None:
        """If the store holds the graph that the node returned in an earlier run, add its steps."""
        step.may_return_graph = True
        if step.key is None or not step.storable:
            return
        result = self._store.load(step.key)
        if result is None:
            return
        try:
            graph = returned_graph.from_outputs(result.outputs)
            if graph is None:
                step.may_return_graph = False
            else:
                expand_graph(self, step, graph)
        except (GraphError, NodeError):  # the node runs again and reports it
            pass

    def _choose_if_known(self, step: Step) -> None:
        """Ask the node which lazy inputs it will read, if only literals decide that."""
        lazy = step.bound.type.lazy
        eager = [source for source in step.sources if source.input not in lazy]
        if not eager:
            try:
                self.choose(step, step.bound.literals)
            except Exception as error:
                raise Unreadable(as_node_problem(error, step.id, step.bound.type.name)[0]) from error
            return
        step.parents = tuple(dict.fromkeys([source.step for source in eager]))
        step.possible_parents = tuple([source.step for source in step.sources if source.input in lazy])
