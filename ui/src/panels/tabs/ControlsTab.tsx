/** The named inputs of the graph: the fields of this panel are the options of the command line. */
import { lazy, Suspense } from "react";
import { changeInput } from "../../document/edit/graphInputs";
import type { GraphInput } from "../../document/graph";
import { type Json, numberOf } from "../../document/json/json";
import type { Widget } from "../../schema/nodeTypes";
import { useCheck } from "../../server/documents/check";
import { useRuns } from "../../server/runs/runStore";
import { useSubmission } from "../../server/runs/runs";
import { documents, edit, useDocumentState, useGraph } from "../../state/editor";
import { useTypes } from "../../state/types";
import { Field } from "../../widgets/Field";
import { numberJson, stepOf } from "../../widgets/NumberField";
import { TextNotes } from "../../widgets/TextNotes";
import { words } from "../format";
import { useSweep } from "../runs/sweep";
import { ControlName } from "./ControlName";
import { takerOf, widgetFor } from "./controlWidget";
import { FieldRow } from "./FieldRow";

const SweepBox = lazy(async () => ({ default: (await import("../runs/SweepBox")).SweepBox }));
const PortNames = lazy(async () => ({ default: (await import("./PortNames")).PortNames }));

export function ControlsTab() {
  const graph = useGraph((shown) => shown);
  const isSweeping = useSweep((state) => Object.keys(state.texts).length > 0);
  const isWhole = useDocumentState((state) => state.path.length === 0);
  const types = useTypes((state) => state.types);
  if (graph.inputs.size === 0 && isWhole) {
    return (
      <p className="empty-note">
        This graph has no controls. A right-click on a field of a node makes it one: a field here, and an
        option of the command line.
      </p>
    );
  }
  const inputs = [...graph.inputs];
  const width = graph.inputs.get("width");
  const height = graph.inputs.get("height");
  const hasSize = width?.type === "int" && height?.type === "int";
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only learns that a field has lost the focus
    <div className="controls" onBlur={() => documents.getState().settle()}>
      {inputs.map(([name, item]) => {
        if (hasSize && name === "height") return null;
        const widget = widgetFor(graph, types, name, item);
        if (hasSize && name === "width") {
          return (
            <FieldRow key={name} title={(id) => <SizeMenus id={id} width={item} height={height} />}>
              <span className="pair">
                <Control name="width" item={item} widget={widget} />
                <span className="meta">×</span>
                <Control name="height" item={height} widget={widgetFor(graph, types, "height", height)} />
              </span>
            </FieldRow>
          );
        }
        return <ControlRow key={name} name={name} item={item} widget={widget} />;
      })}
      <Suspense>
        {isWhole && isSweeping && <SweepBox />}
        {!isWhole && <PortNames />}
      </Suspense>
    </div>
  );
}

interface ControlProps {
  name: string;
  item: GraphInput;
  widget: Widget;
}

function ControlRow({ name, item, widget }: ControlProps) {
  const isText = widget.kind === "text" && widget.multiline;
  const taker = useGraph((graph) => (isText ? takerOf(graph, name) : undefined));
  const [node = "", input = ""] = taker?.split(".") ?? [];
  const isTall = isText || widget.kind === "stack" || widget.kind === "json";
  return (
    <FieldRow
      title={(id) => (
        <span className="control-title">
          <ControlName id={id} name={name} item={item} />
          {taker && <TextNotes id={`${id}-notes`} node={node} input={input} />}
        </span>
      )}
      isTall={isTall}
    >
      <Control name={name} item={item} widget={widget} />
      <UsedSeed name={name} item={item} widget={widget} />
    </FieldRow>
  );
}

/** The names of the two numbers of a size, each with its menu. */
function SizeMenus({ id, width, height }: { id: string; width: GraphInput; height: GraphInput }) {
  return (
    <span id={id} className="size-names">
      <ControlName id={`${id}-width`} name="width" item={width} />
      <span className="meta">×</span>
      <ControlName id={`${id}-height`} name="height" item={height} />
    </span>
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
  const field =
    widget.kind === "none" ? (
      <span className="meta">{item.type}</span>
    ) : (
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
