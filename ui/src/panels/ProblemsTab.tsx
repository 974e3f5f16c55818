/** Every problem of the graph and of its last run. A click shows the node. */
import { lazy, Suspense, useMemo } from "react";
import { useShallow } from "zustand/react/shallow";
import { Icon } from "../app/Icon";
import { useCatalogue } from "../server/catalogue";
import { useCheck } from "../server/check";
import { type Problem, sentence } from "../server/problems";
import { nodeOf, type RunView } from "../server/runState";
import { useRuns, useShownRun } from "../server/runStore";
import { useSubmission } from "../server/runs";
import { span, words } from "./format";

const FixButton = lazy(async () => ({ default: (await import("../app/FixButton")).FixButton }));

/** A problem in the list; `trace` is the traceback of a failed step. */
export interface ListedProblem extends Problem {
  trace: string | null;
  /** For a failed step: how long it took to fail. */
  ms: number | null;
}

/** The problems of a run: those of its failed steps, else its own; then the warnings of its nodes. */
export function problemsOfRun(run: RunView | null): ListedProblem[] {
  if (run === null) return [];
  const found: ListedProblem[] = [];
  for (const node of Object.values(run.nodes)) {
    if (node.status === "failed" && node.problem) {
      found.push({ ...node.problem, severity: "error", node: node.path, trace: node.trace, ms: node.ms });
    }
    for (const message of new Set(node.warnings)) {
      found.push({
        code: "warning",
        severity: "warning",
        node: node.path,
        input: null,
        message,
        hint: null,
        trace: null,
        ms: null,
      });
    }
  }
  const hasFailed = run.phase === "failed" || run.phase === "refused";
  if (hasFailed && run.problem && !found.some((problem) => problem.severity === "error")) {
    found.unshift({
      ...run.problem,
      severity: "error",
      node: null,
      input: null,
      hint: null,
      trace: null,
      ms: null,
    });
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
  return useMemo(() => united(checked, refused, ofRun, packs), [checked, refused, ofRun, packs]);
}

/** The number of errors and of warnings, for the badge of the tab. */
export function useProblemCount(): { errors: number; warnings: number } {
  const problems = useProblems();
  const errors = problems.filter((problem) => problem.severity === "error").length;
  return { errors, warnings: problems.length - errors };
}

interface ProblemsTabProps {
  /** Centre a node on the canvas and select it. */
  onShow: (node: string, input: string | null) => void;
}

export function ProblemsTab({ onShow }: ProblemsTabProps) {
  const problems = useProblems();
  const run = useShownRun();
  const waiting = useMemo(() => {
    const names = new Map<string, string[]>();
    for (const node of Object.values(run?.nodes ?? {})) {
      if (node.status !== "waiting" || node.because === null) continue;
      const cause = nodeOf(node.because);
      names.set(cause, [...(names.get(cause) ?? []), node.path]);
    }
    return [...names];
  }, [run]);
  if (problems.length === 0 && waiting.length === 0) return <p className="empty-note">No problems.</p>;
  return (
    <div className="problems">
      {problems.map((problem) => (
        <ProblemRow
          key={`${problem.code} ${problem.node} ${problem.input} ${problem.message}`}
          problem={problem}
          onShow={onShow}
        />
      ))}
      {waiting.map(([cause, names]) => (
        <div key={cause} className="problem waiting">
          <Icon name="clock" size={14} />
          <div>
            <p>
              {names.length === 1 ? "1 node waits" : `${names.length} nodes wait`} on <b>{words(cause)}</b>:{" "}
              {names.map(words).join(", ")}.
            </p>
            <p className="meta">What is finished is kept; the next run goes on from there.</p>
          </div>
        </div>
      ))}
    </div>
  );
}

function ProblemRow({ problem, onShow }: { problem: ListedProblem } & ProblemsTabProps) {
  const node = problem.node === null ? null : nodeOf(problem.node);
  const place = [node ?? (problem.input ? null : "graph"), problem.input].filter((part) => part !== null);
  const isError = problem.severity === "error";
  return (
    <article className={isError ? "problem error" : "problem warning"}>
      <Icon name={isError ? "fail" : "warn"} label={isError ? "Error" : "Warning"} />
      <div className="grow">
        <header>
          <h3 className="cut grow">{place.map((part) => words(String(part))).join(" · ")}</h3>
          <span className="meta">{isError ? problem.code : "warning"}</span>
        </header>
        <p>{sentence(problem.message)}</p>
        {problem.hint !== null && <p className="hint">{sentence(problem.hint)}</p>}
        {problem.ms !== null && problem.ms > 0 && <p className="meta">Failed after {span(problem.ms)}.</p>}
        {node !== null && (
          <div className="buttons">
            {problem.fix && (
              <Suspense>
                <FixButton fix={problem.fix} />
              </Suspense>
            )}
            <button type="button" className="button" onClick={() => onShow(node, problem.input)}>
              Show node
            </button>
          </div>
        )}
        {problem.trace !== null && (
          <details>
            <summary>Details</summary>
            <pre className="trace">{problem.trace}</pre>
          </details>
        )}
      </div>
    </article>
  );
}
