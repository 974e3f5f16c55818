/** The saved graph as immutable data: nodes, their inputs, and the graph's own named inputs and outputs. */

import type { LIFTS } from "./file/format";
import type { Json } from "./json/json";

/** A value that is set on an input. */
export interface Literal {
  readonly kind: "value";
  readonly value: Json;
}

/** A wire from an output of another node. */
export interface From {
  readonly kind: "from";
  readonly node: string;
  readonly output: string;
}

/** The value of a graph input. */
export interface Param {
  readonly kind: "param";
  readonly name: string;
}

/** What an input of a node holds. */
export type Binding = Literal | From | Param;

/** One end of a wire at a node that takes it. */
export interface InputEnd {
  readonly node: string;
  readonly input: string;
}

export type Lift = (typeof LIFTS)[number];

/** One node: its type as written (`Denoise@1`) and the bindings of its inputs. */
export interface Entry {
  readonly type: string;
  readonly title: string;
  readonly off: boolean;
  /** How the node goes through several lists: side by side, or in every combination. */
  readonly lift: Lift;
  readonly inputs: ReadonlyMap<string, Binding>;
}

/** A named input of the graph: an option of the command line, a field of the Controls panel. */
export interface GraphInput {
  readonly type: string;
  /** Undefined if a run must give a value. */
  readonly default: Json | undefined;
  readonly doc: string;
  readonly choices: readonly Json[];
  /** If not 0, the default is a list of values to sweep over; the input with number 1 is the outermost. */
  readonly sweep: number;
}

export type Point = readonly [x: number, y: number];
/** Left, top, width and height. */
export type Box = readonly [left: number, top: number, width: number, height: number];

/** A titled box around nodes, notes and other frames. */
export interface Frame {
  readonly title: string;
  readonly colour: string;
  readonly nodes: readonly string[];
  readonly notes: readonly string[];
  readonly frames: readonly string[];
  /** Undefined for a frame that fits its members. */
  readonly box: Box | undefined;
}

/** A text on the canvas. */
export interface Note {
  readonly text: string;
  readonly at: Point;
  readonly size: Point | undefined;
  readonly colour: string;
}

/** Everything on a canvas beside nodes and wires. */
export interface View {
  readonly frames: ReadonlyMap<string, Frame>;
  readonly notes: ReadonlyMap<string, Note>;
  /** Nodes of which only the header is drawn. */
  readonly collapsed: readonly string[];
  /** For each bent wire, by the input it enters (`node.input`), the points that it passes through. */
  readonly waypoints: ReadonlyMap<string, readonly Point[]>;
}

/** A whole document, or a graph defined in one. */
export interface Graph {
  readonly madeWith: ReadonlyMap<string, string>;
  readonly title: string;
  readonly doc: string;
  readonly inputs: ReadonlyMap<string, GraphInput>;
  readonly outputs: ReadonlyMap<string, From>;
  /** When the graph is a node that is off: for each output, the input that it passes through. */
  readonly passes: ReadonlyMap<string, string>;
  readonly nodes: ReadonlyMap<string, Entry>;
  /** Graphs defined in this one, used as the node types `#name`. */
  readonly graphs: ReadonlyMap<string, Graph>;
  readonly layout: ReadonlyMap<string, Point>;
  readonly view: View;
}

export const EMPTY_VIEW: View = { frames: new Map(), notes: new Map(), collapsed: [], waypoints: new Map() };

export const EMPTY_GRAPH: Graph = {
  madeWith: new Map(),
  title: "",
  doc: "",
  inputs: new Map(),
  outputs: new Map(),
  passes: new Map(),
  nodes: new Map(),
  graphs: new Map(),
  layout: new Map(),
  view: EMPTY_VIEW,
};

export function literal(value: Json): Literal {
  return { kind: "value", value };
}

export function from(node: string, output: string): From {
  return { kind: "from", node, output };
}

export function param(name: string): Param {
  return { kind: "param", name };
}

/** A node without title, off and lift. */
export function entry(type: string, inputs: ReadonlyMap<string, Binding> = new Map()): Entry {
  return { type, title: "", off: false, lift: "zip", inputs };
}

/** The key of a wire in `View.waypoints`, and its id on the canvas. */
export function inputKey(end: InputEnd): string {
  return `${end.node}.${end.input}`;
}

/** The name of a node type without its version. */
export function typeName(type: string): string {
  const at = type.indexOf("@");
  return at < 0 || isGraphType(type) ? type : type.slice(0, at);
}

/** True if a node type is another graph: `#name` or `./file.json`. */
export function isGraphType(type: string): boolean {
  return type.startsWith("#") || type.startsWith(".");
}

/** A wire: the output it comes from and the input it enters. */
export interface Wire {
  readonly from: From;
  readonly to: InputEnd;
}

/** Every wire of a graph, in the order of the document. */
export function* wires(graph: Graph): Generator<Wire> {
  for (const [node, item] of graph.nodes) {
    for (const [input, binding] of item.inputs) {
      if (binding.kind === "from") yield { from: binding, to: { node, input } };
    }
  }
}
