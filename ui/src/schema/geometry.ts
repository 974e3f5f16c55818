/**
 * The size and sockets of a node, from its type and its entry alone, before anything is drawn. Lengths are pixels at
 * zoom 1.
 */

import type { Fix } from "../document/edit/fixes";
import type { Entry } from "../document/graph";
import { isList, sameJson } from "../document/json/json";
import type { InputType, NodeType, OutputType } from "./nodeTypes";

export const NODE_WIDTH = 240;
export const HEADER = 28;
export const ROW = 22;
export const FOOTER = 22;
export const BODY_PADDING = 4;
/** The text field under the row of a prompt. */
export const AREA = 66;
/** One LoRA of a stack. */
export const STACK_ROW = 44;
export const PREVIEW = 180;

/** An error at an input, in sentences; the hint may be empty. */
export interface InputProblem {
  readonly message: string;
  readonly hint: string;
  readonly fix?: Fix | undefined;
}

/** The height of a line of an error, and the space around all of them. */
const PROBLEM_LINE = 15;
const PROBLEM_PADDING = 14;
const FIX_BUTTON = 24;
/** The letters that surely fit into a line of an error, and the most lines of a sentence. */
const PROBLEM_LETTERS = 35;
const PROBLEM_LINES = 4;

/** One line of a node's body. */
export type Row =
  | { readonly kind: "output"; readonly output: OutputType; readonly top: number; readonly height: number }
  | {
      readonly kind: "input";
      readonly input: InputType;
      readonly area: boolean;
      readonly top: number;
      readonly height: number;
    }
  /** One element of a stack; number 0 is made of the node's own inputs. */
  | {
      readonly kind: "stack";
      readonly input: InputType;
      readonly index: number;
      readonly top: number;
      readonly height: number;
    }
  /** The button that adds an element to a stack. */
  | { readonly kind: "add"; readonly input: InputType; readonly top: number; readonly height: number }
  /** The error at an input, below it. */
  | {
      readonly kind: "problem";
      readonly input: string;
      readonly problem: InputProblem;
      readonly top: number;
      readonly height: number;
    }
  /** The line "6 more" that unfolds and folds advanced inputs and outputs. */
  | {
      readonly kind: "fold";
      readonly hidden: number;
      readonly changed: number;
      readonly top: number;
      readonly height: number;
    };

/** How a node is drawn. */
export interface NodeGeometry {
  readonly width: number;
  readonly height: number;
  readonly rows: readonly Row[];
  /** The height of each socket's centre, by the name of the input. */
  readonly inputs: ReadonlyMap<string, number>;
  /** The height of each socket's centre, by the name of the output. */
  readonly outputs: ReadonlyMap<string, number>;
  /** The top of the picture; undefined if there is none. */
  readonly preview: number | undefined;
}

/** What is not in the schema: what the viewer chose, and which outputs have wires. */
export interface Drawn {
  readonly collapsed?: boolean;
  /** True if the advanced inputs are shown. */
  readonly unfolded?: boolean;
  /** The outputs that have a wire; an advanced one is then shown. */
  readonly wired?: ReadonlySet<string>;
  /** The errors by input; one that is folded away is then shown. */
  readonly problems?: ReadonlyMap<string, InputProblem>;
  /** The text scale, which the whole node grows with. */
  readonly scale?: number;
}

const NONE: ReadonlySet<string> = new Set();
const NO_PROBLEMS: ReadonlyMap<string, InputProblem> = new Map();

/** The size, rows and sockets of a node. */
export function geometry(type: NodeType, entry: Entry, drawn: Drawn = {}): NodeGeometry {
  const { collapsed = false, unfolded = false, wired = NONE, problems = NO_PROBLEMS, scale = 1 } = drawn;
  if (collapsed) return collapsedGeometry(type, scale);
  const inputs = new Map<string, number>();
  const outputs = new Map<string, number>();
  const rows: Row[] = [];
  let top = HEADER + BODY_PADDING;
  function add(
    row: Row extends infer R ? (R extends Row ? Omit<R, "top" | "height"> : never) : never,
    height: number,
  ): number {
    rows.push({ ...row, top: top * scale, height: height * scale } as Row);
    top += height;
    return (top - height + ROW / 2) * scale;
  }
  function addProblem(input: string): void {
    const problem = problems.get(input);
    if (problem) add({ kind: "problem", input, problem }, problemHeight(problem));
  }
  const hidden = new Set<string>();
  let changed = 0;
  for (const output of type.outputs) {
    if (unfolded || !output.advanced || wired.has(output.name))
      outputs.set(output.name, add({ kind: "output", output }, ROW));
    else hidden.add(`out ${output.name}`);
  }
  const stack = type.inputs.find((input) => input.widget.kind === "stack");
  const parts = new Set(stack?.widget.kind === "stack" ? stack.widget.row : []);
  for (const input of type.inputs) {
    if (input === stack) continue;
    const held = entry.inputs.get(input.name)?.kind;
    const isWire = held === "from";
    if (!unfolded && !isWire && parts.has(input.name) && SHOWN_IN_STACK.has(input.name)) continue;
    const folds = (input.advanced || parts.has(input.name)) && !problems.has(input.name);
    if (folds && !unfolded && !isWire && held !== "param") {
      hidden.add(input.name);
      if (isChanged(entry, input)) changed += 1;
      continue;
    }
    const area = input.widget.kind === "text" && input.widget.multiline && !isWire;
    inputs.set(input.name, add({ kind: "input", input, area }, ROW + (area ? AREA : 0)));
    addProblem(input.name);
  }
  if (stack) {
    addStack(entry, stack, inputs, add);
    for (const name of [...parts, stack.name]) if (!inputs.has(name) || name === stack.name) addProblem(name);
  }
  const advanced =
    type.inputs.some((input) => input.advanced || parts.has(input.name)) ||
    type.outputs.some((output) => output.advanced);
  if (hidden.size || (unfolded && advanced)) add({ kind: "fold", hidden: hidden.size, changed }, ROW);
  top += BODY_PADDING;
  const preview = type.preview ? top * scale : undefined;
  if (type.preview) top += PREVIEW;
  return { width: NODE_WIDTH * scale, height: (top + FOOTER) * scale, rows, inputs, outputs, preview };
}

const folded = new WeakMap<NodeGeometry, NodeGeometry>();

/** The shape without the frame of its picture; the same object for the same shape. */
export function withoutPicture(shape: NodeGeometry): NodeGeometry {
  const height = shape.height - (PREVIEW * shape.width) / NODE_WIDTH;
  const made = folded.get(shape) ?? { ...shape, height, preview: undefined };
  folded.set(shape, made);
  return made;
}

/** The height of an error: as many lines as its sentences need, counted so that they surely fit. */
function problemHeight({ message, hint, fix }: InputProblem): number {
  return PROBLEM_PADDING + PROBLEM_LINE * (lineCount(message) + lineCount(hint)) + (fix ? FIX_BUTTON : 0);
}

/** The number of lines of a sentence, at most `PROBLEM_LINES`; the rest is cut off. */
export function lineCount(text: string): number {
  let [lines, left] = [0, 0];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    if (word.length + 1 <= left) left -= word.length + 1;
    else {
      lines += Math.ceil(word.length / PROBLEM_LETTERS);
      left = PROBLEM_LETTERS - (word.length % PROBLEM_LETTERS);
    }
  }
  return Math.min(lines, PROBLEM_LINES);
}

/** The inputs of a stacked node that its first row shows. */
const SHOWN_IN_STACK = new Set(["on", "lora", "weight"]);

function addStack(
  entry: Entry,
  stack: InputType,
  inputs: Map<string, number>,
  add: (
    row:
      | { kind: "input"; input: InputType; area: boolean }
      | { kind: "stack"; input: InputType; index: number }
      | { kind: "add"; input: InputType },
    height: number,
  ) => number,
): void {
  const binding = entry.inputs.get(stack.name);
  if (binding?.kind === "from") {
    add({ kind: "stack", input: stack, index: 0 }, STACK_ROW);
    inputs.set(stack.name, add({ kind: "input", input: stack, area: false }, ROW));
    return;
  }
  const more = binding?.kind === "value" && isList(binding.value) ? binding.value.length : 0;
  for (let index = 0; index <= more; index += 1) add({ kind: "stack", input: stack, index }, STACK_ROW);
  inputs.set(stack.name, add({ kind: "add", input: stack }, ROW));
}

/** Only the header: every socket is at its middle. */
function collapsedGeometry(type: NodeType, scale: number): NodeGeometry {
  const middle = (HEADER / 2) * scale;
  return {
    width: NODE_WIDTH * scale,
    height: HEADER * scale,
    rows: [],
    inputs: new Map(type.inputs.map((input) => [input.name, middle])),
    outputs: new Map(type.outputs.map((output) => [output.name, middle])),
    preview: undefined,
  };
}

/** True if an input holds something else than its default: a wire, a graph input or another value. */
export function isChanged(entry: Entry, input: InputType): boolean {
  const binding = entry.inputs.get(input.name);
  if (binding === undefined) return false;
  return binding.kind !== "value" || !sameJson(binding.value, input.default);
}

/** The height of the socket of an input or output; the middle of the header for one that is folded away or unknown. */
export function socketTop(shape: NodeGeometry, side: "inputs" | "outputs", name: string): number {
  return shape[side].get(name) ?? HEADER / 2;
}
