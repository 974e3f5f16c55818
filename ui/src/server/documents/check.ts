/** Checks the open graph after each change: its problems, and what a run would do. */
import { create } from "zustand";
import type { Schemas } from "../requests/client";
import { graphBody } from "../requests/graphBody";
import { type Problem, Refused } from "../requests/problems";
import { sendJson } from "../requests/sendJson";
import { nodesOf } from "../runs/runState";
import { onEvent, useRuns } from "../runs/runStore";
import { runName, useDocument } from "./documents";
import { openGraph } from "./openGraph";

const CHECK_MS = 250;

export type PlannedAction = Schemas["PlannedAction"];
export type PromptLength = Schemas["PromptLength"];

interface CheckStore {
  problems: readonly Problem[];
  /** The problems by node; the same object until those of the node change. */
  ofNode: Readonly<Record<string, readonly Problem[]>>;
  /** What a run would do, by node. */
  plan: Readonly<Record<string, PlannedAction>>;
  /** The lengths of prompts in tokens, by `node.input`. */
  texts: Readonly<Record<string, PromptLength>>;
  /** True if the graph can run. */
  isOk: boolean;
  /** True while a change is not checked yet. */
  isStale: boolean;
}

export const useCheck = create<CheckStore>(() => ({
  problems: [],
  ofNode: {},
  plan: {},
  texts: {},
  isOk: true,
  isStale: true,
}));

let timer: ReturnType<typeof setTimeout> | undefined;
let running: AbortController | null = null;

/** Check after each change of the graph, after each run, and when node types or models have changed. */
export function startChecking(): () => void {
  const soon = () => {
    useCheck.setState({ isStale: true });
    clearTimeout(timer);
    timer = setTimeout(() => void check(), CHECK_MS);
  };
  const ends = [
    openGraph().subscribe(soon),
    onEvent((event) => {
      const isOwnEnd =
        event.type === "run.finished" && event.run !== null && useRuns.getState().own.includes(event.run);
      if (isOwnEnd || event.type === "types.changed" || event.type === "models.changed") soon();
    }),
    useDocument.subscribe((state, before) => {
      if (state.draft !== before.draft) soon();
    }),
  ];
  soon();
  return () => {
    clearTimeout(timer);
    running?.abort();
    for (const end of ends) end();
  };
}

/** Check the graph now. The answer to an older question is not used. */
export async function check(): Promise<void> {
  clearTimeout(timer);
  running?.abort();
  const own = new AbortController();
  running = own;
  try {
    const body = graphBody("POST", openGraph().text(), { document: runName() });
    const found = await sendJson<Schemas["Validated"]>("/api/v1/graphs/validate", {
      ...body,
      signal: own.signal,
    });
    take(found.problems, found.plan, found.ok, found.texts);
  } catch (error) {
    if (own.signal.aborted) return;
    if (error instanceof Refused && error.status !== 0) take(error.problems, [], false);
  }
}

function take(
  problems: readonly Problem[],
  plan: readonly PlannedAction[],
  isOk: boolean,
  texts: readonly PromptLength[] = [],
): void {
  const before = useCheck.getState();
  const lists: Record<string, Problem[]> = {};
  for (const problem of problems) {
    if (problem.node === null) continue;
    for (const node of nodesOf(problem.node)) {
      lists[node] ??= [];
      lists[node].push(problem);
    }
  }
  const actions: Record<string, PlannedAction> = {};
  for (const action of plan) {
    for (const node of nodesOf(action.node)) {
      const known = actions[node];
      // A node with several steps runs if one of them does.
      if (known === undefined || (known.action !== "run" && action.action === "run")) actions[node] = action;
    }
  }
  useCheck.setState({
    problems,
    ofNode: unchanged(before.ofNode, lists),
    plan: unchanged(before.plan, actions),
    texts: unchanged(
      before.texts,
      Object.fromEntries(texts.map((text) => [`${text.node}.${text.input}`, text])),
    ),
    isOk,
    isStale: false,
  });
}

/** The new record, in which entries that equal the previous ones are the previous objects. */
function unchanged<Value>(
  before: Readonly<Record<string, Value>>,
  after: Record<string, Value>,
): Readonly<Record<string, Value>> {
  for (const [key, value] of Object.entries(after)) {
    const known = before[key];
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(value)) after[key] = known;
  }
  return after;
}

const NONE: readonly Problem[] = [];

/** The length of the text in an input; undefined if it is not known before the run. */
export function useTextLength(node: string, input: string): PromptLength | undefined {
  return useCheck((state) => state.texts[`${node}.${input}`]);
}

/** The problems of a node. */
export function useNodeProblems(node: string): readonly Problem[] {
  return useCheck((state) => state.ofNode[node] ?? NONE);
}
