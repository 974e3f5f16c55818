/** The list of all problems. A click shows the node. */
import { useMemo } from "react";
import { sentence } from "../../server/requests/problems";
import { nodeOf } from "../../server/runs/runState";
import { useShownRun } from "../../server/runs/runStore";
import { Icon } from "../../style/Icon";
import { span, words } from "../format";
import { FixButton } from "./FixButton";
import { type ListedProblem, useProblems } from "./problemList";

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
            {problem.fix && <FixButton fix={problem.fix} />}
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
