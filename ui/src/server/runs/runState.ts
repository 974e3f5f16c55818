/** The state of runs as a pure function of the event stream and of snapshots. */
import type { Schemas } from "../requests/client";

export type ServerEvent = Schemas["ServerEvent"];
export type RunPhase = Schemas["RunSummary"]["state"];
export type RunAnswer = Schemas["RunAnswer"];
export type RunSummary = Schemas["RunSummary"];

/** The status of a step or a node in a run. `lost`: the server was stopped during the run. */
export type StepStatus =
  | "planned"
  | "running"
  | "done"
  | "cached"
  | "failed"
  | "waiting"
  | "cancelled"
  | "lost"
  | "unneeded";

export interface Preview {
  url: string;
  width: number;
  height: number;
}

export interface StepProblem {
  code: string;
  message: string;
  hint: string | null;
  input: string | null;
}

/** One step of a node. A node that goes through a list has one for each element. */
export interface StepRun {
  readonly path: string;
  /** The content key of the result: equal keys mean equal results. Known after the end of the run. */
  readonly key: string | null;
  readonly status: StepStatus;
  readonly device: string | null;
  /** The progress: `value` of `max` units; null before the first report. */
  readonly value: number | null;
  readonly max: number | null;
  /** What is counted, such as `steps`, and the part of the work that is counted, if there are several. */
  readonly unit: string | null;
  readonly stage: string | null;
  /** Units per second. */
  readonly rate: number | null;
  readonly etaMs: number | null;
  readonly preview: Preview | null;
  readonly ms: number | null;
  /** Where the result came from: `none` (computed), `memory` or `disk`. */
  readonly cache: string | null;
  /** Why it ran, or why its result was reused; known after the end of the run. */
  readonly reason: string | null;
  readonly problem: StepProblem | null;
  /** For `waiting`: the step that has no result. */
  readonly because: string | null;
  readonly trace: string | null;
  readonly warnings: readonly string[];
}

/** A node of the document in a run: its steps, and their summary. */
export interface NodeRun extends StepRun {
  readonly steps: Readonly<Record<string, StepRun>>;
  /** The number of steps, and of those that have ended. */
  readonly count: number;
  readonly ended: number;
}

export interface WrittenOutput {
  readonly id: number;
  readonly output: string;
  readonly index: readonly number[];
  readonly values: Readonly<Record<string, unknown>>;
  /** The node of the document that it comes from; null if nobody knows. */
  readonly node: string | null;
  /** The step that made it, such as `group/decode[2]`; after a reload of the page, only `group`. */
  readonly path: string;
  readonly media: string;
  readonly digest: string;
  readonly url: string;
}

/** One run. */
export interface RunView {
  readonly id: string;
  readonly document: string | null;
  /** Empty until a list or a snapshot names it. */
  readonly title: string;
  readonly phase: RunPhase;
  readonly position: number | null;
  readonly device: string | null;
  readonly submitted: number | null;
  readonly started: number | null;
  readonly finished: number | null;
  readonly attempt: number;
  /** True after this page has asked to cancel it. */
  readonly isCancelAsked: boolean;
  /** The number of steps to compute; null before the plan. */
  readonly toRun: number | null;
  readonly ran: number | null;
  readonly reused: number | null;
  readonly problem: { code: string; message: string } | null;
  readonly nodes: Readonly<Record<string, NodeRun>>;
  readonly outputs: readonly WrittenOutput[];
  /** Events up to this number are contained. */
  readonly seq: number;
}

const NO_STEP: Omit<StepRun, "path"> = {
  key: null,
  status: "planned",
  device: null,
  value: null,
  max: null,
  unit: null,
  stage: null,
  rate: null,
  etaMs: null,
  preview: null,
  ms: null,
  cache: null,
  reason: null,
  problem: null,
  because: null,
  trace: null,
  warnings: [],
};

export function newRun(id: string, document: string | null): RunView {
  return {
    id,
    document,
    title: "",
    phase: "queued",
    position: null,
    device: null,
    submitted: null,
    started: null,
    finished: null,
    attempt: 0,
    isCancelAsked: false,
    toRun: null,
    ran: null,
    reused: null,
    problem: null,
    nodes: {},
    outputs: [],
    seq: 0,
  };
}

/** The node of the document that a step belongs to: `denoise` for `denoise[2]` and `denoise/scale`. */
export function nodeOf(path: string): string {
  return path.split(/[[/]/, 1)[0] ?? path;
}

const inner = new WeakMap<StepRun, NodeRun>();

/** A node in a run, also one of a subgraph: `group/denoise`. The object is the same until one of its steps changes. */
export function nodeIn(run: RunView | undefined, path: string): NodeRun | null {
  const outer = run?.nodes[nodeOf(path)];
  if (outer === undefined || outer.path === path) return outer ?? null;
  const own = Object.entries(outer.steps).filter(([step]) => isIn(step, path));
  const first = own[0]?.[1];
  if (first === undefined) return null;
  const known = inner.get(first);
  const isSame = known?.path === path && own.length === Object.keys(known.steps).length;
  if (isSame && own.every(([step, state]) => known.steps[step] === state)) return known;
  const made = summary(path, Object.fromEntries(own));
  inner.set(first, made);
  return made;
}

/** True if a step is one of a node, or of one inside it. */
export function isIn(step: string, node: string): boolean {
  return step.startsWith(node) && /^(\[|\/|$)/.test(step.slice(node.length));
}

/** The ids of a path, from the outermost node to the innermost one: `group`, `group/denoise` for `group/denoise[2]`. */
export function nodesOf(path: string): string[] {
  const parts = path.split("/").map((part) => part.split("[", 1)[0] ?? part);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

export function hasEnded(phase: RunPhase): boolean {
  return phase !== "queued" && phase !== "running";
}

/** True between the request to cancel a run and its end: a step goes on until its next check. */
export function isStopping(run: RunView | null | undefined): boolean {
  return run?.isCancelAsked === true && !hasEnded(run.phase);
}

/** The state after one event. Events that are contained already change nothing. */
export function applyEvent(run: RunView, event: ServerEvent): RunView {
  if (event.seq <= run.seq) return run;
  const next = changed(run, event);
  return { ...next, seq: event.seq };
}

function changed(run: RunView, event: ServerEvent): RunView {
  switch (event.type) {
    case "run.queued":
      return {
        ...run,
        phase: hasEnded(run.phase) || run.phase === "running" ? run.phase : "queued",
        position: event.data.position,
        submitted: run.submitted ?? event.ts,
      };
    case "run.started":
      return {
        ...run,
        phase: "running",
        position: null,
        device: event.data.device,
        started: run.started ?? event.ts,
        attempt: event.data.attempt,
      };
    case "run.plan":
      return planned(run, event.data);
    case "run.retried":
      return { ...run, nodes: {}, toRun: null, outputs: [] };
    case "run.output": {
      const { id, path, output, index, values, media, digest } = event.data;
      if (run.outputs.some((known) => known.id === id)) return run;
      const url = `/api/v1/outputs/${id}/file`;
      const written = { id, output, index, values, node: event.node, path, media, digest, url };
      return { ...run, outputs: [...run.outputs, written] };
    }
    case "run.finished":
      return finished(run, event);
    case "node.started":
      return onStep(run, event.data.path, (step) => ({
        ...step,
        status: "running",
        device: event.data.device,
        value: null,
        max: null,
        rate: null,
        etaMs: null,
      }));
    case "node.progress": {
      const { path, value: reached, max, unit, stage, rate, eta_ms: etaMs } = event.data;
      return onStep(run, path, (step) => {
        if (step.status !== "running" && step.status !== "planned") return step;
        const value = stage === step.stage ? Math.max(reached, step.value ?? 0) : reached;
        return { ...step, status: "running", value, max, unit, stage, rate, etaMs };
      });
    }
    case "node.preview": {
      const { path, id, width, height } = event.data;
      const preview = { url: `/api/v1/previews/${id}`, width, height };
      return onStep(run, path, (step) => ({ ...step, preview }));
    }
    case "node.done":
      return onStep(run, event.data.path, (step) => ({
        ...step,
        status: event.data.cache === "none" ? "done" : "cached",
        ms: event.data.ms,
        cache: event.data.cache,
        etaMs: null,
      }));
    case "node.failed": {
      const { path, code, message, hint, input } = event.data;
      return onStep(run, path, (step) => ({
        ...step,
        status: "failed",
        etaMs: null,
        ms: step.ms,
        problem: { code, message, hint, input },
      }));
    }
    case "node.skipped":
      return onStep(run, event.data.path, (step) => ({
        ...step,
        status: "waiting",
        because: event.data.because,
      }));
    case "log":
      if (event.data.level !== "warning" || event.node === null) return run;
      return onStep(run, event.node, (step) => ({
        ...step,
        warnings: [...step.warnings, event.data.text],
      }));
    default:
      return run;
  }
}

function planned(run: RunView, plan: Schemas["RunPlan"]): RunView {
  const steps: Record<string, Record<string, StepRun>> = {};
  for (const [path, { action, tier }] of Object.entries(plan.nodes)) {
    const status = action === "reuse" ? "cached" : action === "unneeded" ? "unneeded" : "planned";
    const node = nodeOf(path);
    steps[node] ??= {};
    steps[node][path] = { ...NO_STEP, path, status, cache: action === "reuse" ? tier : null };
  }
  const nodes = Object.fromEntries(Object.entries(steps).map(([id, own]) => [id, summary(id, own)]));
  return { ...run, nodes, toRun: plan.to_run };
}

function finished(run: RunView, event: Schemas["RunFinishedEvent"]): RunView {
  const { state, ran, reused, code, message } = event.data;
  const nodes = mapNodes(run.nodes, (step, isOnly) => {
    if (step.status !== "running" && step.status !== "planned") return step;
    return { ...step, status: leftStatus(state, isOnly), etaMs: null, rate: null };
  });
  return {
    ...run,
    phase: state,
    position: null,
    finished: event.ts,
    ran,
    reused,
    problem: code ? { code, message: message ?? code } : null,
    nodes,
  };
}

/** The status of a step that had not ended when the run did. */
function leftStatus(state: Schemas["RunFinished"]["state"], isOnly: boolean): StepStatus {
  if (state === "interrupted") return "lost";
  if (state !== "done") return "cancelled";
  // No event tells that a list was put together from its elements, or that a branch was not taken.
  return isOnly ? "unneeded" : "done";
}

function mapNodes(
  nodes: RunView["nodes"],
  change: (step: StepRun, isOnly: boolean) => StepRun,
): Readonly<Record<string, NodeRun>> {
  const result: Record<string, NodeRun> = {};
  for (const [id, node] of Object.entries(nodes)) {
    let touched = false;
    const steps: Record<string, StepRun> = {};
    for (const [path, step] of Object.entries(node.steps)) {
      const next = change(step, Object.keys(node.steps).length === 1);
      touched ||= next !== step;
      steps[path] = next;
    }
    result[id] = touched ? summary(id, steps) : node;
  }
  return result;
}

function onStep(run: RunView, path: string, change: (step: StepRun) => StepRun): RunView {
  const id = nodeOf(path);
  const steps = run.nodes[id]?.steps ?? {};
  const step = steps[path] ?? { ...NO_STEP, path };
  const next = change(step);
  if (next === step) return run;
  return { ...run, nodes: { ...run.nodes, [id]: summary(id, { ...steps, [path]: next }) } };
}

const ENDED: ReadonlySet<StepStatus> = new Set(["done", "cached", "failed", "waiting", "cancelled", "lost"]);

/** The step that an element or an inner step belongs to: `denoise[1]` for `denoise[1][0]`; empty for a node. */
function listOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("["), path.lastIndexOf("/")));
}

/** A node out of its steps. */
function summary(id: string, steps: Readonly<Record<string, StepRun>>): NodeRun {
  const all = Object.values(steps);
  const own = steps[id];
  // A step with elements stands for a list that is put together from them; the states of the elements count.
  const lists = new Set(all.map((step) => listOf(step.path)));
  const parts = all.length > 1 ? all.filter((step) => step.path !== id && !lists.has(step.path)) : all;
  const ended = parts.filter((step) => ENDED.has(step.status)).length;
  const base = { steps, count: parts.length, ended };
  const only = parts.length === 1 ? parts[0] : undefined;
  if (only !== undefined && all.length === 1) return { ...only, ...base, path: id };

  const with_ = (status: StepStatus) => parts.find((step) => step.status === status);
  const latest = with_("running") ?? [...parts].reverse().find((step) => step.preview !== null);
  const total = parts.reduce((sum, step) => sum + (step.ms ?? 0), 0);
  const common = {
    ...NO_STEP,
    path: id,
    ...base,
    device: latest?.device ?? parts.find((step) => step.device !== null)?.device ?? null,
    preview: latest?.preview ?? null,
    ms: parts.some((step) => step.ms !== null) ? total : (own?.ms ?? null),
    warnings: all.flatMap((step) => step.warnings),
    reason: own?.reason ?? parts[0]?.reason ?? null,
  };
  const failed = with_("failed") ?? (own?.status === "failed" ? own : undefined);
  if (failed) return { ...common, status: "failed", problem: failed.problem, trace: failed.trace };
  const running = with_("running");
  if (running || (ended > 0 && ended < parts.length && with_("planned"))) {
    return {
      ...common,
      status: "running",
      value: parts.length > 1 ? ended : (running?.value ?? null),
      max: parts.length > 1 ? parts.length : (running?.max ?? null),
      unit: running?.unit ?? null,
      rate: running?.rate ?? null,
      etaMs: parts.length > 1 ? null : (running?.etaMs ?? null),
    };
  }
  for (const status of ["lost", "cancelled", "waiting", "planned"] as const) {
    const step = with_(status) ?? (status !== "planned" && own?.status === status ? own : undefined);
    if (step) return { ...common, status, because: step.because, value: step.value, max: step.max };
  }
  if (own?.status === "unneeded" || (parts.length > 0 && parts.every((step) => step.status === "unneeded"))) {
    return { ...common, status: "unneeded" };
  }
  const isCached = parts.every((step) => step.status === "cached" || step.status === "unneeded");
  return {
    ...common,
    status: isCached ? "cached" : "done",
    cache: isCached ? (parts[0]?.cache ?? null) : "none",
  };
}

/** What the row of a run in a list tells. */
export function fromRow({ id, document, title, state, attempts, ...row }: RunSummary) {
  const { position, device, submitted, started, finished } = row;
  const times = { submitted, started, finished };
  return { id, document, title, phase: state, position, device, ...times, attempt: attempts };
}

/** The state in a snapshot, which contains the events up to its `last_seq`. */
export function fromSnapshot(answer: RunAnswer, known: RunView | null = null): RunView {
  const { summary: row, nodes: snapshots, outputs, problems, last_seq } = answer;
  const isLost = row.state === "interrupted";
  const steps: Record<string, Record<string, StepRun>> = {};
  for (const [path, node] of Object.entries(snapshots)) {
    const id = nodeOf(path);
    steps[id] ??= {};
    const before = known?.nodes[id]?.steps[path];
    steps[id][path] = {
      ...NO_STEP,
      path,
      key: node.key ?? null,
      status:
        node.state === "skipped"
          ? "waiting"
          : isLost && node.state === "cancelled"
            ? "lost"
            : (node.state ?? "planned"),
      device: before?.device ?? (row.device !== "auto" && node.state === "done" ? row.device : null),
      value: node.value ?? null,
      max: node.max ?? null,
      unit: node.unit ?? null,
      stage: node.stage ?? null,
      rate: node.state === "running" ? (before?.rate ?? null) : null,
      preview: node.preview
        ? { ...(before?.preview ?? { width: 0, height: 0 }), url: `/api/v1/previews/${node.preview}` }
        : (before?.preview ?? null),
      ms: node.ms ?? null,
      cache: node.cache ?? null,
      reason: node.reason ?? null,
      problem: node.problem ? problemOf(node.problem) : null,
      because: node.because ?? null,
      trace: node.trace ?? null,
      warnings: node.warnings ?? [],
    };
  }
  const first = problems.find((problem) => problem.severity === "error");
  const told = new Map(known?.outputs.map((output) => [output.id, output]));
  return {
    ...fromRow(row),
    isCancelAsked: known?.isCancelAsked ?? false,
    toRun: known?.toRun ?? null,
    ran: known?.ran ?? null,
    reused: known?.reused ?? null,
    problem: first ? { code: first.code, message: first.message } : (known?.problem ?? null),
    nodes: Object.fromEntries(Object.entries(steps).map(([id, own]) => [id, summary(id, own)])),
    outputs: outputs.map(({ id, output, index, values, media, digest, url }) => {
      const node = told.get(id)?.node ?? makerOf(answer.graph, output);
      return { id, output, index, values, node, path: told.get(id)?.path ?? node ?? "", media, digest, url };
    }),
    seq: last_seq,
  };
}

/** The node that a declared output of the graph comes from. */
function makerOf(graph: RunAnswer["graph"], output: string): string | null {
  const from = graph.outputs?.[output]?.from ?? output;
  return from.split(".", 1)[0] ?? null;
}

function problemOf(problem: Record<string, string | null>): StepProblem {
  return {
    code: problem.code ?? "failed",
    message: problem.message ?? "the step failed",
    hint: problem.hint ?? null,
    input: problem.input ?? null,
  };
}
