import { memo, type ReactNode } from "react";
import { heldValue, paramOf, resetValue, setValue } from "../../document/edit/values";
import type { InputEnd } from "../../document/graph";
import { type Json, sameJson } from "../../document/json/json";
import type { InputType, Widget } from "../../schema/nodeTypes";
import { documents, edit, useGraph } from "../../state/editor";
import { useField } from "../../state/field";
import { Icon } from "../../style/Icon";
import { Field } from "../../widgets/Field";
import { TextNotes } from "../../widgets/TextNotes";
import { useScrub } from "../../widgets/useScrub";
import { problemId } from "./inputProblems";
import { label } from "./labels";

interface InputFieldProps {
  readonly id: string;
  readonly input: InputType;
  readonly isArea: boolean;
  /** True if the row below says what is wrong. */
  readonly isFailed: boolean;
  readonly socket: ReactNode;
}

/** An input that holds its own value: label and field in one row, or a text area below it. */
export const InputField = memo(function InputField(props: InputFieldProps) {
  const { id, input, isArea, isFailed, socket } = props;
  const end = { node: id, input: input.name };
  const value = useGraph((graph) => heldValue(graph, end));
  const param = useGraph((graph) => paramOf(graph, end)?.name);
  const change = (next: Json) => changeValue(end, next);
  const scrub = useScrub(input.widget, value ?? input.default, change);
  const isChanged = param === undefined && value !== undefined && !sameJson(value, input.default);
  const widget = useSeedWidget(input.widget, end);
  const notes = `notes-${id}-${input.name}`;
  const field = (
    <Field
      widget={widget}
      value={value ?? input.default}
      label={`${id} ${label(input.name)}`}
      invalid={isFailed}
      describedBy={
        [isArea && notes, isFailed && problemId(id, input.name)].filter(Boolean).join(" ") || undefined
      }
      optional={input.default === null}
      onChange={change}
    />
  );
  const name = (
    // biome-ignore lint/a11y/noStaticElementInteractions: the field itself does the same by keyboard
    <span
      {...scrub}
      className={`row-label ${scrub?.className ?? ""}`}
      onDoubleClick={() => edit(`Reset ${input.name}`, (graph) => resetValue(graph, end))}
    >
      {label(input.name)}
    </span>
  );
  const marks = (
    <>
      {isChanged && (
        <span className="changed" title="Changed from its default; double-click the label resets it" />
      )}
      {param !== undefined && <Icon name="param" size={11} label={`${param}, one of the controls`} />}
    </>
  );
  // The end of editing in a field ends the step that undo takes back.
  const row = {
    title: input.doc,
    "data-input": input.name,
    onFocus: () => useField.setState({ end }),
    onBlur: () => documents.getState().settle(),
  };
  if (isArea) {
    return (
      <>
        <div className="node-row" title={row.title} data-input={input.name}>
          {socket}
          {name}
          {marks}
          <TextNotes id={notes} node={id} input={input.name} />
        </div>
        <div className="node-area" {...row}>
          {field}
        </div>
      </>
    );
  }
  return (
    <div className={`node-row${param === undefined ? "" : " exposed"}`} {...row}>
      {socket}
      {name}
      {marks}
      {field}
    </div>
  );
});

/** A graph input of the type `int` has no random value, so its field is a plain number. */
function useSeedWidget(widget: Widget, end: InputEnd): Widget {
  const type = useGraph((graph) => graph.inputs.get(paramOf(graph, end)?.name ?? "")?.type);
  if (widget.kind === "seed" && type === "int")
    return { kind: "number", whole: true, min: 0, max: widget.max };
  return widget;
}

/** Set the value of an input; what is typed in one field is one step of undo. */
export function changeValue(end: InputEnd, value: Json): void {
  edit(`Change ${end.node}.${end.input}`, (graph) => setValue(graph, end, value), `${end.node}.${end.input}`);
}
