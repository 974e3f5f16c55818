"""Runs single steps: reads their inputs, calls their nodes, and checks the returned values."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

from engine.context import Context
from engine.document.graph import Graph
from engine.errors import AuthorError, Cancelled, GraphError, NodeError
from engine.events import Failed, Started
from engine.node import Node, outputs_of
from engine.pack_errors import as_node_problem
from engine.packing import as_kept
from engine.plan import returned_graph
from engine.plan.step import ListStep, Step
from engine.read_only import read_only
from engine.run.event_relay import EventRelay
from engine.run.import_time import IMPORT_TIME
from engine.run.late_steps import LateSteps
from engine.run.lifecycle import Lifecycle
from engine.run.lost_results import LostResult
from engine.run.printed_lines import PRINTING
from engine.run.report import CANCELLED, NodeReport, Reports
from engine.run.schedule import Computed, Job, NeedsAgain, Outcome, Stopped
from engine.run.step_context import StepContexts
from engine.run.step_inputs import StepInputs
from engine.run.write_guard import WroteInput, is_safe_to_share, is_write
from engine.secret_values import hidden, hidden_problem
from engine.store.store import Result
from engine.values import wire_of


class StepRunner:
    """Runs single steps; several threads may call `run`, each for another step.

    Args:
        contexts: makes the context of each step. Its `cancel` is checked before each step.
        lifecycles: the lifecycles of each step, the outermost first.
        inputs: reads the values of finished steps.
        late: completes steps whose key, list elements or returned graph the plan could not know.
        reports: receives the report of each step.
        listener: receives the events.
    """

    def __init__(
        self,
        contexts: StepContexts,
        lifecycles: Sequence[Lifecycle],
        inputs: StepInputs,
        late: LateSteps,
        reports: Reports,
        listener: EventRelay,
    ) -> None:
        self._contexts, self._files, self._cancel = contexts, contexts.files, contexts.cancel
        self._lifecycles, self._inputs, self._late = tuple(lifecycles), inputs, late
        self._reports, self._listener = reports, listener
        self._emit = listener.from_step  # of the events of nodes
        self._has_approximate = False  # True if a result of this run, and all made from it, is not stored

    def run(self, job: Job) -> Outcome:
        """Run a step and return the outcome, such as its result or the steps whose results it needs first."""
        step = job.step
        start = IMPORT_TIME.clock()
        try:
            self._cancel.check()
            if self._has_approximate and step.storable:
                step.storable = all(map(_is_storable, (*step.parents, *step.possible_parents)))
            if step.assembled:
                return self._assemble(job)
            if isinstance(step, ListStep):
                return self._late.expand_list(step)
            if step.key_unknown and (outcome := self._late.complete(job)) is not None:
                return outcome
            return self._through_lifecycles(job, self._inputs.inputs(step), start)
        except LostResult as lost:
            return NeedsAgain(lost.job)
        except Cancelled:
            seconds = IMPORT_TIME.clock() - start
            self._reports.put(step, NodeReport("cancelled", seconds=seconds, message=CANCELLED))
            return Stopped("cancelled")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an exception of a node, even SystemExit, fails that node alone
            return self.fail(step, error, IMPORT_TIME.clock() - start)

    def fail(self, step: Step, error: BaseException, seconds: float = 0.0) -> Outcome:
        """Report that a step has failed, and return that outcome."""
        if is_write(error):
            error = WroteInput(step)
        problem, trace = as_node_problem(error, step.id, step.bound.type.name)
        if isinstance(error, GraphError) and error.problems:
            problem = error.problems[0]
        problem, trace = hidden_problem(problem), hidden(trace)
        self._reports.put(step, NodeReport("failed", "none", seconds, problem.message, problem, trace))
        self._listener(Failed(step.id, seconds, problem, trace))
        return Stopped("failed")

    def _through_lifecycles(self, job: Job, inputs: dict[str, object], start: float) -> Outcome:
        step = job.step
        entered = 0  # the number of lifecycles
        result: Result | None = None
        from_store = False
        fault: BaseException | None = None
        try:
            for lifecycle in self._lifecycles:
                result = lifecycle.setup(step, inputs)
                if result is not None:
                    from_store = True
                    break
                entered += 1
            outputs = self._call(step, inputs) if result is None else {}
            seconds = IMPORT_TIME.clock() - start
            if result is None:
                result = Result(outputs, seconds, time.time(), step.bound.type.id)
        except BaseException as error:
            fault = error
        may_run_on = step.needs_device and not from_store
        saves_later = may_run_on and result is not None and is_safe_to_share(result)
        for lifecycle in reversed(self._lifecycles[:entered]):
            try:
                lifecycle.teardown(step, inputs, result)
                if not saves_later:
                    lifecycle.finish(step, result)
            except WroteInput as error:
                self._inputs.drop_live_results()
                fault, result = error, None
            except BaseException as error:
                fault, result = fault or error, None
        if fault is not None:
            if saves_later:
                self._finish(step, entered, None)
            raise fault
        assert result is not None
        if saves_later:
            step.may_return_graph = False
            return Computed(result, partial(self._save, step, entered, result, seconds))
        if step.may_return_graph:
            graph = returned_graph.from_outputs(result.outputs)
            if graph is not None:
                job.expand_seconds = 0.0 if from_store else seconds
                return self._late.expand_graph(step, graph)
            step.may_return_graph = False
        self._reports.succeeded(step, seconds, "disk" if from_store else "none", result)
        return Computed(result)

    def _finish(self, step: Step, entered: int, result: Result | None) -> BaseException | None:
        """Call `finish` of the lifecycles that a step has entered; return the first exception, or None."""
        fault: BaseException | None = None
        for lifecycle in reversed(self._lifecycles[:entered]):
            try:
                lifecycle.finish(step, result if fault is None else None)
            except BaseException as error:
                fault = fault or error
        return fault

    def _save(self, step: Step, entered: int, result: Result, seconds: float) -> None:
        """Save the result of a step that used the device, and report the step.

        Steps that need the result may be running already; they continue even if it cannot be saved.
        """
        fault = self._finish(step, entered, result)
        if fault is None:
            self._reports.succeeded(step, seconds, "none", result)
        elif isinstance(fault, KeyboardInterrupt):
            raise fault
        else:
            self.fail(step, fault, seconds)

    def _assemble(self, job: Job) -> Outcome:
        """Complete an assembled step, and report it if its node has returned a graph."""
        step = job.step
        outcome = self._late.assemble(step)
        if job.expand_seconds and isinstance(outcome, Computed):  # its node has run, and returned a graph
            self._reports.succeeded(step, job.expand_seconds, "none")
        return outcome

    def _call(self, step: Step, inputs: dict[str, object]) -> Mapping[str, object]:
        """Call the node of a step; check its outputs, and return them by name."""
        if self._listener.listens:
            self._listener(Started(step.id))
        node_type = step.bound.type
        node = node_type.cls(**(self._inputs.arguments(step, inputs) if node_type.lazy else inputs))
        context = self._contexts.context(step)
        around = PRINTING.begin(step.id, self._emit)
        try:
            if node_type.accelerator and node_type.pure:
                returned = self._contexts.retried(lambda: self._run_node(step, node, context), context)
            else:
                returned = self._run_node(step, node, context)
            context.require_unchanged()
            if context.is_approximate:
                step.storable, self._has_approximate = False, True
        finally:
            PRINTING.end(around)
            context.close()
        if isinstance(returned, Graph):
            if not node_type.returns_graph:
                hint = "declare returns_graph=True for the node"
                raise NodeError("run() returned a graph", hint=hint, code="bad_expansion")
            return returned_graph.as_outputs(returned)
        outputs = outputs_of(node_type, returned)
        spelled: dict[str, object] = {}
        for name, kind in step.bound.outputs.items():
            if not kind.holds(outputs[name]):
                message = f"the output {name!r} is {wire_of(outputs[name])}, but it is declared as {kind}"
                raise AuthorError(message, node_type.cls.run)
            spelled[name] = read_only(as_kept(kind.spelled(outputs[name])))
        return spelled

    def _run_node(self, step: Step, node: Node, context: Context) -> object:
        """Run a node; raise NodeError if a file that it reads is not the one in the step's key."""
        if not (step.storable and step.bound.type.reads_world):
            return node.run(context)
        with self._files.unchanged():
            self._check_fingerprint(step, node)
            returned = node.run(context)
            self._check_fingerprint(step, node)
        return returned

    def _check_fingerprint(self, step: Step, node: Node) -> None:
        if node.fingerprint(self._files) != step.fingerprint:
            hint = "run again; if it reads something different each time, declare pure=False"
            raise NodeError(
                "a file that the node reads changed during the run", hint=hint, code="changed_file"
            )


def _is_storable(step: Step) -> bool:
    """Return True if the store may keep results that are computed from the result of a step."""
    step = step.same_as or step
    return all(map(_is_storable, step.parts)) if step.assembled else step.storable
