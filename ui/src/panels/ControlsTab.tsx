/** The named inputs of the graph: the fields of this panel are the options of the command line. */
import { type ReactNode, useId } from "react";
import { edit, useDocumentState } from "../app/editor";
import { useTypes } from "../app/types";
import { changeInput } from "../document/edit/graphInputs";
import type { Graph, GraphInput } from "../document/graph";
import { type Json, numberOf } from "../document/json";
import { graphInputType } from "../schema/graphType";
import { type NodeTypes, named, type Widget } from "../schema/nodeTypes";
import { useCheck } from "../server/check";
import { useRuns } from "../server/runStore";
import { useSubmission } from "../server/runs";
import { Field } from "../widgets/Field";
import { numberJson, stepOf } from "../widgets/NumberField";
import { words } from "./format";

export function ControlsTab() {
  const root = useDocumentState((state) => state.root);
  const types = useTypes((state) => state.types);
  if (root.inputs.size === 0) {
    return (
      <p className="empty-note">
        This graph has no controls. A right-click on a field of a node makes it one: a field here, and an
        option of the command line.
      </p>
    );
  }
  const inputs = [...root.inputs];
  const width = root.inputs.get("width");
  const height = root.inputs.get("height");
  const hasSize = width?.type === "int" && height?.type === "int";
  return (
    <div className="controls">
      {inputs.map(([name, item]) => {
        if (hasSize && name === "height") return null;
        const widget = widgetFor(root, types, name, item);
        if (hasSize && name === "width") {
          return (
            <Row key={name} name="size" doc={item.doc}>
              <span className="pair">
                <Control name="width" item={item} widget={widget} />
                <span className="meta">×</span>
                <Control name="height" item={height} widget={widgetFor(root, types, "height", height)} />
              </span>
            </Row>
          );
        }
        return <ControlRow key={name} name={name} item={item} widget={widget} />;
      })}
    </div>
  );
}

/** The control of a graph input: with the limits and files of the node input that it goes to. */
export function widgetFor(graph: Graph, types: NodeTypes, name: string, item: GraphInput): Widget {
  const own = graphInputType(name, item).widget;
  for (const node of graph.nodes.values()) {
    for (const [input, binding] of node.inputs) {
      if (binding.kind !== "param" || binding.name !== name) continue;
      const type = types.get(node.type);
      const bound = type && named(type.inputs, input)?.widget;
      if (bound === undefined) continue;
      if (own.kind === "number" && bound.kind === "number") return { ...bound, whole: own.whole };
      if (own.kind === bound.kind) return bound;
      if (own.kind === "text" && bound.kind === "choice") return bound;
      if (own.kind === "json" && bound.kind === "stack") return bound;
    }
  }
  return own;
}

interface ControlProps {
  name: string;
  item: GraphInput;
  widget: Widget;
}

function ControlRow({ name, item, widget }: ControlProps) {
  const isTall =
    (widget.kind === "text" && widget.multiline) || widget.kind === "stack" || widget.kind === "json";
  return (
    <Row name={name} doc={item.doc} isTall={isTall}>
      <Control name={name} item={item} widget={widget} />
      <UsedSeed name={name} item={item} widget={widget} />
    </Row>
  );
}

interface RowProps {
  name: string;
  doc: string;
  isTall?: boolean;
  children: ReactNode;
}

function Row({ name, doc, isTall, children }: RowProps) {
  const id = useId();
  return (
    <fieldset className={isTall ? "control tall" : "control"} aria-labelledby={id}>
      <span id={id} className="control-name cut" title={doc}>
        {words(name)}
      </span>
      <div className="control-field">{children}</div>
    </fieldset>
  );
}

function Control({ name, item, widget }: ControlProps) {
  const problem = useCheck((state) =>
    state.problems.find((known) => known.node === null && known.input === name),
  );
  const change = (value: Json) =>
    edit(
      `Change ${words(name)}`,
      (graph) => changeInput(graph, name, (known) => ({ ...known, default: value })),
      `control ${name}`,
    );
  const isSwept = item.sweep > 0;
  const field = (
    <Field
      widget={isSwept ? { kind: "json" } : widget}
      value={item.default}
      label={words(name)}
      invalid={problem !== undefined}
      optional={item.default === null}
      placeholder={item.default === undefined ? "needs a value" : undefined}
      onChange={change}
    />
  );
  const slider = isSwept ? null : (
    <Slider name={name} value={item.default} widget={widget} onChange={change} />
  );
  return (
    <>
      {slider}
      {field}
      {problem !== undefined && <span className="field-problem">{problem.message}</span>}
    </>
  );
}

interface SliderProps {
  name: string;
  value: Json | undefined;
  widget: Widget;
  onChange: (value: Json) => void;
}

/** A slider beside the field of a number with a small range. */
function Slider({ name, value, widget, onChange }: SliderProps) {
  const number = numberOf(value);
  if (widget.kind !== "number" || number === undefined) return null;
  const { min, max } = widget;
  if (min === undefined || max === undefined) return null;
  const step = stepOf(widget);
  if ((max - min) / step > 1000) return null;
  return (
    <input
      type="range"
      className="slider"
      aria-label={`${words(name)}, slider`}
      min={min}
      max={max}
      step={step}
      value={number}
      style={{ "--part": `${(100 * (number - min)) / (max - min)}%` } as React.CSSProperties}
      onChange={(event) => onChange(numberJson(widget, Number(event.currentTarget.value)))}
    />
  );
}

/** The seed that the last run has used, with a button that keeps it. */
function UsedSeed({ name, item, widget }: ControlProps) {
  const used = useRuns((state) => {
    const run = state.own.find((id) => state.details[id] !== undefined);
    return run === undefined ? undefined : state.details[run]?.inputs[name];
  });
  const isBusy = useSubmission((state) => state.isSubmitting);
  if (widget.kind !== "seed" || item.default !== "random" || typeof used !== "number") return null;
  return (
    <button
      type="button"
      className="button mini"
      disabled={isBusy}
      title="Keep the seed of the last run"
      onClick={() =>
        edit(`Keep ${words(name)} ${used}`, (graph) =>
          changeInput(graph, name, (known) => ({ ...known, default: used })),
        )
      }
    >
      Keep {used}
    </button>
  );
}
