import { type CSSProperties, lazy, memo, Suspense } from "react";
import { outputNames } from "../../document/edit/graphInputs";
import type { Binding, Entry } from "../../document/graph";
import { lineCount, type Row } from "../../schema/geometry";
import type { InputType, NodeType, OutputType } from "../../schema/nodeTypes";
import { toggleFold, useGraph } from "../../state/editor";
import { useTyped } from "../../state/types";
import { Icon } from "../../style/Icon";
import { InputField } from "./InputField";
import { problemId } from "./inputProblems";
import { label, outputLabel, sourceWords } from "./labels";
import { Socket } from "./Socket";
import { StackAdd, StackRow } from "./StackRows";

const FixButton = lazy(async () => ({ default: (await import("../../panels/tabs/FixButton")).FixButton }));

interface BodyProps {
  readonly id: string;
  readonly type: NodeType;
  readonly entry: Entry;
  readonly rows: readonly Row[];
}

/** The rows of a node: outputs, inputs with their fields, and the line that unfolds more. */
export const NodeBody = memo(function NodeBody({ id, entry, rows }: BodyProps) {
  return (
    <div className="node-body">
      {rows.map((row, index) => {
        switch (row.kind) {
          case "output":
            return <OutputRow key={`out ${row.output.name}`} id={id} output={row.output} />;
          case "input":
            return (
              <InputRow
                key={row.input.name}
                id={id}
                input={row.input}
                binding={entry.inputs.get(row.input.name)}
                isArea={row.area}
                isFailed={rows[index + 1]?.kind === "problem"}
              />
            );
          case "stack":
            return (
              <StackRow
                key={`stack ${row.index}`}
                id={id}
                input={row.input}
                index={row.index}
                entry={entry}
              />
            );
          case "add":
            return <StackAdd key="add" id={id} input={row.input} entry={entry} />;
          case "problem":
            return <ProblemBox key={`problem ${row.input}`} id={id} row={row} />;
          case "fold":
            return (
              <button
                key="fold"
                type="button"
                className="node-row fold nodrag"
                onClick={() => toggleFold(id)}
              >
                <Icon name={row.hidden > 0 ? "right" : "down"} size={12} />
                {row.hidden > 0 ? `${row.hidden} more` : "less"}
                {row.changed > 0 && <span className="changed" title={`${row.changed} changed`} />}
              </button>
            );
          default:
            return null;
        }
      })}
    </div>
  );
});

/** The error at an input: one sentence, and below it the remedy. */
function ProblemBox({ id, row }: { id: string; row: Extract<Row, { kind: "problem" }> }) {
  const { message, hint, fix } = row.problem;
  const clamp = (text: string) => ({ "--lines": lineCount(text) }) as CSSProperties;
  return (
    <div className="node-problem" id={problemId(id, row.input)} role="status" style={{ height: row.height }}>
      <p className="why" style={clamp(message)} title={message}>
        {message}
      </p>
      {hint !== "" && (
        <p style={clamp(hint)} title={hint}>
          {hint}
        </p>
      )}
      {fix && (
        <Suspense>
          <FixButton fix={fix} />
        </Suspense>
      )}
    </div>
  );
}

const OutputRow = memo(function OutputRow({ id, output }: { id: string; output: OutputType }) {
  const typed = useTyped();
  const wire = typed.output({ kind: "from", node: id, output: output.name });
  const isWired = typed.wiredOutputs(id).has(output.name);
  const names = useGraph((graph) =>
    outputNames(graph, { kind: "from", node: id, output: output.name }).join(", "),
  );
  return (
    <div className="node-row out" data-output={output.name}>
      {names !== "" && <Icon name="file" size={11} label={`${names}, one of the outputs of the graph`} />}
      {outputLabel(output, output.wire.variable ? wire : output.wire)}
      <Socket node={id} name={output.name} type="source" wire={wire} isWired={isWired} />
    </div>
  );
});

interface InputRowProps {
  readonly id: string;
  readonly input: InputType;
  readonly binding: Binding | undefined;
  readonly isArea: boolean;
  readonly isFailed: boolean;
}

const InputRow = memo(function InputRow({ id, input, binding, isArea, isFailed }: InputRowProps) {
  const isWired = binding?.kind === "from";
  const hasField = input.widget.kind !== "none";
  const socket = (
    <Socket
      node={id}
      name={input.name}
      type="target"
      wire={input.wire}
      isWired={isWired}
      isResting={hasField && !isWired}
      isOptional={!input.required && !hasField}
    />
  );
  if (isWired || !hasField) {
    return (
      <div className={`node-row${isFailed ? " bad" : ""}`} title={input.doc}>
        {socket}
        <span className="row-label">{label(input.name)}</span>
        <span className="row-source cut">
          {isWired
            ? sourceWords(binding)
            : binding?.kind === "param"
              ? label(binding.name)
              : input.required
                ? ""
                : "optional"}
        </span>
      </div>
    );
  }
  return <InputField id={id} input={input} isArea={isArea} isFailed={isFailed} socket={socket} />;
});
