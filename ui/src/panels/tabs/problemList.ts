/** Every problem of the graph and of its last run. */
import { useMemo } from "react";
import { useShallow } from "zustand/react/shallow";
import { useCatalogue } from "../../server/catalogue";
import { useCheck } from "../../server/documents/check";
import type { Problem } from "../../server/requests/problems";
import type { RunView } from "../../server/runs/runState";
import { useRuns, useShownRun } from "../../server/runs/runStore";
import { useSubmission } from "../../server/runs/runs";

/** A problem in the list; `trace` is the traceback of a failed step. */
export interface ListedProblem extends Problem {
  trace: string | null;
  /** For a failed step: how long it took to fail. */
  ms: number | null;
}

const BLANK = { node: null, input: null, hint: null, trace: null, ms: null };

/** The problems of a run: those of its failed steps, else its own; then the warnings of its nodes. */
export function problemsOfRun(run: RunView | null): ListedProblem[] {
  if (run === null) return [];
  const found: ListedProblem[] = [];
  for (const node of Object.values(run.nodes)) {
    if (node.status === "failed" && node.problem) {
      found.push({ ...node.problem, severity: "error", node: node.path, trace: node.trace, ms: node.ms });
    }
    for (const message of new Set(node.warnings)) {
      found.push({ ...BLANK, code: "warning", severity: "warning", node: node.path, message });
    }
  }
  const hasFailed = run.phase === "failed" || run.phase === "refused";
  if (hasFailed && run.problem && !found.some((problem) => problem.severity === "error")) {
    found.unshift({ ...BLANK, ...run.problem, severity: "error" });
  }
  return found;
}

/** Problems without repetitions, errors first. */
export function united(...lists: readonly (readonly (Problem | ListedProblem)[])[]): ListedProblem[] {
  const found = new Map<string, ListedProblem>();
  for (const problem of lists.flat()) {
    // A run repeats the warnings of the check, without their codes and inputs.
    const exact = problem.severity === "error" ? `${problem.code} ${problem.input}` : "";
    const key = `${exact} ${problem.node} ${problem.message}`;
    const known = found.get(key);
    const listed = { trace: null, ms: null, ...problem };
    if (known === undefined || known.trace === null) found.set(key, listed);
  }
  return [...found.values()].sort(
    (a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"),
  );
}

/** All problems that the page knows. */
export function useProblems(): ListedProblem[] {
  const checked = useCheck((state) => state.problems);
  const refused = useSubmission((state) => state.problems);
  const packs = useCatalogue((state) => state.packProblems);
  const run = useShownRun();
  const nodes = useRuns(useShallow((state) => (run === null ? null : state.queue.runs[run.id]?.nodes)));
  // biome-ignore lint/correctness/useExhaustiveDependencies: of the run, only its nodes and its end have problems
  const ofRun = useMemo(() => problemsOfRun(run), [nodes, run?.id, run?.phase]);
  // Those of nodes are in the check too, which knows when they are solved.
  const others = useMemo(() => refused.filter(({ node }) => node === null), [refused]);
  return useMemo(() => united(checked, others, ofRun, packs), [checked, others, ofRun, packs]);
}

/** The number of errors and of warnings, for the badge of the tab. */
export function useProblemCount(): { errors: number; warnings: number } {
  const problems = useProblems();
  const errors = problems.filter((problem) => problem.severity === "error").length;
  return { errors, warnings: problems.length - errors };
}
