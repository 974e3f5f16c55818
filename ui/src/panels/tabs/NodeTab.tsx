/** One node in full: documentation, state, every input, and its problems. */
import { useId } from "react";
import { heldValue, paramOf, resetValue, setValue } from "../../document/edit/values";
import { sameJson } from "../../document/json/json";
import type { InputType } from "../../schema/nodeTypes";
import { wireName } from "../../schema/wireType";
import { useCheck, useNodeProblems } from "../../server/documents/check";
import { sentence, sentences } from "../../server/requests/problems";
import type { NodeRun } from "../../server/runs/runState";
import { useNodeRun, useRuns, useShownRun } from "../../server/runs/runStore";
import { edit, useGraph, useWholeId } from "../../state/editor";
import { useTyped } from "../../state/types";
import { IconButton } from "../../style/Icon";
import { Field } from "../../widgets/Field";
import { hasDataset, openDataset } from "../dataset/datasetStore";
import { count, span, words } from "../format";
import { Values } from "../Values";
import { DocText } from "./DocText";
import { FieldRow } from "./FieldRow";

export function NodeTab({ node }: { node: string | null }) {
  const exists = useGraph((graph) => node !== null && graph.nodes.has(node));
  if (node === null || !exists) return <p className="empty-note">Select a node to see all of it.</p>;
  return <NodeDetails key={node} node={node} />;
}

function NodeDetails({ node }: { node: string }) {
  const item = useGraph((graph) => graph.nodes.get(node));
  const type = useTyped().type(node);
  const whole = useWholeId(node);
  const run = useNodeRun(whole);
  const plan = useCheck((state) => state.plan[whole]);
  const reason = plan?.action === "reuse" ? `reuses the result: ${plan.reason}` : plan?.reason;
  if (item === undefined) return null;
  const [first = "", ...more] = type.doc.split(/\n\n/);
  return (
    <div className="node-tab">
      <header className="pad">
        <h2 className="cut">{item.title || words(node)}</h2>
        <p className="meta">
          {type.id || item.type}
          {type.category === "" ? "" : ` · ${type.category}`}
        </p>
        {type.missing && <p className="field-problem">There is no node type {item.type}.</p>}
        {type.deprecated !== "" && <p className="hint">{sentence(type.deprecated)}</p>}
        <p>
          <DocText text={first} />
        </p>
        {hasDataset(node) && (
          <button type="button" className="button" onClick={() => openDataset({ node })}>
            View the dataset …
          </button>
        )}
        {more.length > 0 && (
          <details>
            <summary>More</summary>
            {more.map((text) => (
              <p key={text}>
                <DocText text={text} />
              </p>
            ))}
          </details>
        )}
      </header>
      {(run !== null || reason !== undefined) && <State run={run} reason={reason ?? null} />}
      <div className="controls ruled">
        {type.inputs.map((input) => (
          <InputRow key={input.name} node={node} input={input} />
        ))}
      </div>
      {type.outputs.length > 0 && (
        <div className="pad ruled">
          <h3>Outputs</h3>
          <Values rows={type.outputs.map(({ name, wire }) => [words(name), wireName(wire)])} />
        </div>
      )}
      <Warnings node={node} run={run} />
    </div>
  );
}

const STATES: Record<NodeRun["status"], string> = {
  planned: "waits in the run",
  running: "runs",
  done: "done",
  cached: "cached",
  failed: "failed",
  waiting: "waits",
  cancelled: "cancelled",
  lost: "the server stopped during this run",
  unneeded: "not needed",
};

function State({ run, reason }: { run: NodeRun | null; reason: string | null }) {
  const shown = useShownRun();
  const details = useRuns((state) =>
    shown === null ? undefined : state.details[shown.id]?.nodes[run?.path ?? ""],
  );
  const memory = details?.memory;
  const rows: [string, string][] = [];
  if (run !== null) {
    const words = run.status === "waiting" && run.because ? `waits on ${run.because}` : STATES[run.status];
    rows.push(["state", run.cache !== null && run.cache !== "none" ? `${words}, ${run.cache}` : words]);
    if (run.status === "running" && run.max)
      rows.push([run.stage ?? "progress", `${Math.floor(run.value ?? 0)} of ${run.max} ${run.unit ?? ""}`]);
    if (run.ms !== null) rows.push(["time", span(run.ms)]);
    if (run.device !== null) rows.push(["device", run.device]);
    if (run.count > 1) rows.push(["elements", `${run.ended} of ${run.count}`]);
    if (run.reason !== null) rows.push(["last run", run.reason]);
  }
  if (reason !== null && reason !== "") rows.push(["next run", reason]);
  for (const { name, summary } of details?.outputs ?? []) if (name && summary) rows.push([name, summary]);
  if (memory) {
    for (const [name, value] of Object.entries(memory)) {
      if (typeof value === "number")
        rows.push([
          name === "rise" ? "memory rise" : `${words(name)} memory`,
          value > 1e5 ? `${(value / 1e6).toFixed(0)} MB` : String(value),
        ]);
    }
  }
  return (
    <div className="pad ruled">
      <Values rows={rows.map(([name, value]) => [name, <DocText key={name} text={value} />])} />
    </div>
  );
}

function InputRow({ node, input }: { node: string; input: InputType }) {
  const id = useId();
  const end = { node, input: input.name };
  const binding = useGraph((graph) => graph.nodes.get(node)?.inputs.get(input.name));
  const held = useGraph((graph) => heldValue(graph, end));
  const taken = useGraph((graph) => paramOf(graph, end));
  const problem = useNodeProblems(useWholeId(node)).find((known) => known.input === input.name);
  const isWired = binding?.kind === "from";
  const isChanged = binding?.kind === "value" && !sameJson(binding.value, input.default);
  const isTall =
    !isWired && ((input.widget.kind === "text" && input.widget.multiline) || input.widget.kind === "stack");
  return (
    <FieldRow
      title={
        <>
          {isChanged && <span className="changed-dot" title="Changed from its default" />}
          {words(input.name)}
        </>
      }
      doc={input.doc}
      isTall={isTall}
    >
      {isWired ? (
        <span className="meta">
          {binding.output === "out" ? binding.node : `${binding.node}.${binding.output}`}
        </span>
      ) : input.widget.kind === "none" ? (
        <span className="meta">
          {wireName(input.wire)}
          {input.required ? "" : ", optional"}
        </span>
      ) : (
        <Field
          widget={input.widget}
          value={held ?? input.default}
          label={`${words(node)} ${words(input.name)}`}
          invalid={problem?.severity === "error"}
          describedBy={problem ? `${id}-problem` : undefined}
          optional={input.default === null}
          onChange={(value) =>
            edit(
              `Change ${words(input.name)}`,
              (graph) => setValue(graph, end, value),
              `${node}.${input.name}`,
            )
          }
        />
      )}
      {isChanged && (
        <IconButton
          icon="reset"
          className="icon-button small"
          label={`Reset ${words(input.name)}`}
          title="Back to its default"
          onClick={() => edit(`Reset ${words(input.name)}`, (graph) => resetValue(graph, end))}
          size={12}
        />
      )}
      {taken !== undefined && (
        <span className="meta" title="One of the graph's controls">
          control {words(taken.name)}
        </span>
      )}
      {problem !== undefined && (
        <span id={`${id}-problem`} className={problem.severity === "error" ? "field-problem" : "hint"}>
          {sentences(problem)}
        </span>
      )}
    </FieldRow>
  );
}

function Warnings({ node, run }: { node: string; run: NodeRun | null }) {
  const problems = useNodeProblems(useWholeId(node)).filter((known) => known.input === null);
  const warnings = [...new Set(run?.warnings ?? [])];
  if (problems.length + warnings.length === 0 && !run?.problem) return null;
  return (
    <div className="pad ruled">
      <h3>{count(problems.length + warnings.length + (run?.problem ? 1 : 0), "problem")}</h3>
      {run?.problem && <p className="field-problem">{sentences(run.problem)}</p>}
      {problems.map((problem) => (
        <p
          key={problem.code + problem.message}
          className={problem.severity === "error" ? "field-problem" : "hint"}
        >
          {sentences(problem)}
        </p>
      ))}
      {warnings.map((text) => (
        <p key={text} className="hint">
          {sentence(text)}
        </p>
      ))}
      {run?.trace && (
        <details>
          <summary>Details</summary>
          <pre className="trace">{run.trace}</pre>
        </details>
      )}
    </div>
  );
}
