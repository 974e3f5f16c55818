/** The state of a node in icon and words, from its run, its problems and what a run would do. */
import { ago, span } from "../../panels/format";
import type { PlannedAction } from "../../server/documents/check";
import type { Problem } from "../../server/requests/problems";
import type { NodeRun, RunView, StepStatus } from "../../server/runs/runState";
import type { IconName } from "../../style/Icon";

export interface NodeState {
  /** The name of the state, which is also the class of the node. */
  readonly name:
    | Exclude<StepStatus, "unneeded" | "planned">
    | "idle"
    | "stale"
    | "queued"
    | "off"
    | "missing";
  readonly icon: IconName | null;
  /** The strong words at the left of the footer, the others beside them, and those at the right. */
  readonly strong?: string;
  readonly words: string;
  readonly right?: string;
  /** The part that is done, 0 to 1; null if it is not known. */
  readonly part?: number | null;
}

export interface StateOf {
  readonly run: NodeRun | null;
  readonly phase: RunView["phase"] | null;
  readonly finished: number | null;
  /** True while the run is being cancelled. */
  readonly isStopping: boolean;
  /** What a run would do; null while the latest change is not checked yet. */
  readonly plan: PlannedAction | null;
  readonly problems: readonly Problem[];
  readonly isOff: boolean;
  /** The name of the type, if no such type is known. */
  readonly missing: string | null;
}

/** The state of a node. */
export function nodeState(of: StateOf): NodeState {
  const { run, phase, plan } = of;
  if (of.missing !== null) return { name: "missing", icon: "warn", words: `no node type “${of.missing}”` };
  if (of.isOff) return { name: "off", icon: "off", words: "its inputs pass straight on" };
  const isActive = phase === "running" || phase === "queued";
  const error = of.problems.find((problem) => problem.severity === "error");
  if (!isActive && error)
    return { name: "failed", icon: "fail", words: error.input === null ? error.message : "cannot run" };
  const right = run?.device ?? "";
  switch (run?.status) {
    case "running":
      return runningState(run, of.isStopping);
    case "done":
    case "cached":
      if (!isActive && plan?.action === "run") {
        return { name: "stale", icon: null, words: "changed since last result", right };
      }
      if (run.status === "done") return { name: "done", icon: "tick", words: doneWords(run), right };
      return { name: "cached", icon: "bolt", strong: "cached", words: cacheWords(run, of.finished), right };
    case "failed":
      return {
        name: "failed",
        icon: "fail",
        words: run.ms === null ? "failed" : `failed after ${span(run.ms)}`,
        right,
      };
    case "waiting":
      return { name: "waiting", icon: "clock", words: `waiting on ${run.because ?? "another node"}` };
    case "cancelled":
      return { name: "cancelled", icon: "halt", words: cancelledWords(run) };
    case "lost":
      return { name: "lost", icon: "lost", words: "server stopped during this run" };
    case "planned":
      if (of.isStopping) return { name: "cancelled", icon: "halt", words: cancelledWords(run) };
      return { name: "queued", icon: "clock", words: phase === "running" ? "queued" : "will run" };
    default:
      return { name: "idle", icon: null, words: "" };
  }
}

function runningState(run: NodeRun, isStopping: boolean): NodeState {
  const part = run.value !== null && run.max ? run.value / run.max : null;
  const count = run.value !== null && run.max !== null ? `${run.value} / ${run.max}` : "running";
  if (isStopping) return { name: "running", icon: "ring", strong: "stopping", words: count, part };
  const rate = run.rate === null ? "" : `${run.rate.toFixed(1)} ${run.unit ?? "it"}/s`;
  const left = run.etaMs === null ? "" : `${span(run.etaMs)} left`;
  return { name: "running", icon: "ring", strong: count, words: rate, right: left, part };
}

function doneWords(run: NodeRun): string {
  const warnings =
    run.warnings.length === 0 ? "" : `, ${run.warnings.length} warning${run.warnings.length > 1 ? "s" : ""}`;
  const steps = run.count > 1 ? `${run.count} × ` : "";
  return `${steps}${run.ms === null ? "done" : span(run.ms)}${warnings}`;
}

function cacheWords(run: NodeRun, finished: number | null): string {
  const when = finished === null ? "" : ago(finished);
  return [run.cache ?? "", when].filter(Boolean).join(", ");
}

function cancelledWords(run: NodeRun): string {
  return run.value !== null && run.max !== null ? `cancelled at ${run.value} of ${run.max}` : "cancelled";
}
