/** The errors at the inputs of nodes: those of the check, and those of the run that failed there. */
import { useMemo } from "react";
import { heldValue } from "../../document/edit/values";
import type { Graph } from "../../document/graph";
import type { InputProblem } from "../../schema/geometry";
import { useCheck } from "../../server/documents/check";
import { type Problem, sentence } from "../../server/requests/problems";
import { nodeIn } from "../../server/runs/runState";
import { useRuns } from "../../server/runs/runStore";
import { useSubmission } from "../../server/runs/runs";
import { graph, wholeId } from "../../state/editor";
import { typed } from "../../state/types";
import { isBare } from "./nodePictures";

/** Whether a node shows a problem; that an input lacks a wire only after a run was refused for it, not while wiring. */
export function isTold({ code, node, input }: Problem): boolean {
  const { problems } = useSubmission.getState();
  return code !== "missing_input" || problems.some((one) => one.node === node && one.input === input);
}

/** The problem of each failed step, with what its input held when the page learned of it. */
const heldAt = new WeakMap<object, unknown>();

/** The errors of a node by input, as sentences. One of a run goes as soon as the input is changed. */
export function inputProblems(graph: Graph, id: string): ReadonlyMap<string, InputProblem> {
  const found = new Map<string, InputProblem>();
  const whole = wholeId(id);
  for (const problem of (useCheck.getState().ofNode[whole] ?? []).filter(isTold)) {
    const isOwn = problem.node === whole; // not of a node inside this one
    if (problem.severity === "error" && isOwn && problem.input !== null && !found.has(problem.input))
      found.set(problem.input, asSentences(problem));
  }
  const { shown, queue } = useRuns.getState();
  const run = nodeIn(queue.runs[shown ?? ""], whole);
  const step = Object.values(run?.steps ?? {}).find((one) => one.status === "failed");
  const failed = step?.path.includes("/", whole.length) ? null : run?.problem;
  if (failed?.input && !found.has(failed.input)) {
    const end = { node: id, input: failed.input };
    const held = heldValue(graph, end) ?? graph.nodes.get(id)?.inputs.get(failed.input);
    if (!heldAt.has(failed)) heldAt.set(failed, held);
    if (heldAt.get(failed) === held) found.set(failed.input, asSentences(failed));
  }
  return found;
}

function asSentences(problem: Pick<Problem, "message" | "hint" | "fix">): InputProblem {
  const hint = problem.hint === null ? "" : sentence(problem.hint);
  return { message: sentence(problem.message), hint, fix: problem.fix ?? undefined };
}

/** A text that changes with the errors at inputs and the frames of pictures, for the canvas, which draws their room. */
export function useShapeKey(): string {
  const checked = useCheck((state) => state.ofNode);
  useCheck((state) => state.plan);
  const refused = useSubmission((state) => state.problems);
  const failed = useRuns(({ shown, queue }) => {
    const nodes = Object.values((shown === null ? undefined : queue.runs[shown])?.nodes ?? {});
    return nodes.map((node) => (node.problem ? `${node.path} ${node.problem.message}` : "")).join("");
  });
  const folded = useRuns((state) =>
    [...graph().nodes.keys()].filter((id) => typed().type(id).preview && isBare(state, id)).join(),
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: `isTold` reads the refused run
  const errors = useMemo(() => {
    const told = Object.values(checked).map((all) => all.filter(isTold));
    return JSON.stringify(told.map((all) => all.filter((one) => one.severity === "error")));
  }, [checked, refused]);
  return `${errors} ${failed} ${folded}`;
}

/** The id of the element with the sentences of an error, which describes the field. */
export function problemId(node: string, input: string): string {
  return `problem-${node}-${input}`;
}
