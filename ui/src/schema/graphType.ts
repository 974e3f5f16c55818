/** Node types that a graph itself makes: its inputs as those of a node, and placeholders for missing types. */

import { type Entry, type Graph, type GraphInput, wires } from "../document/graph";
import { isList, isObject, type Json, numberOf } from "../document/json/json";
import { type InputType, type NodeType, nameOf, type Widget } from "./nodeTypes";
import { ANY, type WireType, wireType } from "./wireType";

/** An input of a graph as the input of a node, and as a field of the Controls panel. */
export function graphInputType(name: string, item: GraphInput): InputType {
  const { wire, widget } = typed(item);
  return {
    name,
    wire,
    required: item.default === undefined,
    default: item.default,
    doc: item.doc,
    widget,
    advanced: false,
    lazy: false,
    plain: item.type === "json",
  };
}

function typed(item: GraphInput): { wire: WireType; widget: Widget } {
  switch (item.type) {
    case "text":
      return { wire: wireType("text"), widget: { kind: "text", multiline: true } };
    case "file":
      return { wire: wireType("text"), widget: { kind: "file", files: "" } };
    case "choice":
      return { wire: wireOf(item.choices[0]), widget: { kind: "choice", choices: item.choices } };
    case "seed":
      return {
        wire: wireType("int"),
        widget: { kind: "seed", random: "random", max: Number.MAX_SAFE_INTEGER },
      };
    case "int":
      return { wire: wireType("int"), widget: { kind: "number", whole: true } };
    case "float":
      return { wire: wireType("float"), widget: { kind: "number", whole: false } };
    case "bool":
      return { wire: wireType("bool"), widget: { kind: "switch" } };
    case "json":
      return { wire: wireType(ANY), widget: { kind: "json" } };
    default:
      return { wire: wireType(item.type), widget: { kind: "none" } };
  }
}

/** The graph input that an input of a node becomes when it is exposed. */
export function exposedInput(input: InputType, value: Json | undefined): GraphInput {
  const { widget } = input;
  const held = value ?? input.default;
  return {
    type: inputTypeName(input),
    default: input.widget.kind === "none" ? undefined : held,
    doc: input.doc.split("\n", 1)[0] ?? "",
    choices: widget.kind === "choice" ? widget.choices : [],
    sweep: 0,
  };
}

function inputTypeName({ wire, widget }: InputType): string {
  switch (widget.kind) {
    case "choice":
    case "seed":
    case "file":
      return widget.kind;
    case "text":
      return "text";
    case "switch":
      return "bool";
    case "number":
      return widget.whole ? "int" : "float";
    case "none":
      return wire.variable || wire.name === ANY ? "json" : `${"list of ".repeat(wire.lists)}${wire.name}`;
    default:
      return "json";
  }
}

/** The wire type of a plain value; `any` if it is undecided. */
export function wireOf(value: Json | undefined): WireType {
  if (isList(value)) {
    const inner = wireOf(value[0]);
    return { ...inner, lists: inner.lists + 1 };
  }
  if (typeof value === "string") return wireType("text");
  if (typeof value === "boolean") return wireType("bool");
  if (isObject(value)) return wireType("json");
  if (numberOf(value) === undefined) return wireType(ANY);
  return wireType(typeof value === "bigint" || Number.isInteger(value) ? "int" : "float");
}

/** A placeholder for a node whose type is missing, with the inputs and outputs that its graph uses. */
export function missingType(graph: Graph, id: string, item: Entry): NodeType {
  const outputs = new Set<string>();
  for (const wire of wires(graph)) if (wire.from.node === id) outputs.add(wire.from.output);
  for (const link of graph.outputs.values()) if (link.node === id) outputs.add(link.output);
  const inputs = [...item.inputs].map(
    ([name, binding]): InputType => ({
      name,
      wire: wireType(ANY),
      required: false,
      default: undefined,
      doc: "",
      widget: { kind: binding.kind === "from" ? "none" : "json" },
      advanced: false,
      lazy: false,
      plain: false,
    }),
  );
  return {
    ...NO_TYPE,
    id: item.type,
    name: nameOf(item.type),
    inputs,
    outputs: [...outputs].map((name) => ({ name, wire: wireType(ANY), advanced: false })),
  };
}

/** The type of a node that does not exist. */
export const NO_TYPE: NodeType = {
  id: "",
  name: "",
  category: "",
  doc: "",
  inputs: [],
  outputs: [],
  aliases: [],
  passes: new Map(),
  converts: undefined,
  deprecated: "",
  replacedBy: "",
  preview: false,
  missing: true,
};
