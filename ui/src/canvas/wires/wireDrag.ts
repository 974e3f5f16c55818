/** The wire that is being dragged, and the wire under the pointer that a dragged node would go into. */
import { create } from "zustand";
import type { From, InputEnd } from "../../document/graph";

export type WireEnd =
  | { readonly kind: "output"; readonly end: From }
  | { readonly kind: "input"; readonly end: InputEnd };

interface WireDrag {
  /** Where the dragged wire begins. */
  readonly from: WireEnd | null;
  /** The wire whose end was pulled off its input, as `node.input`. */
  readonly pulled: string | null;
  /** The wire that a dragged node would be inserted into, as `node.input`. */
  readonly target: string | null;
}

export const useWireDrag = create<WireDrag>(() => ({ from: null, pulled: null, target: null }));

/** The end of a wire at a handle of the canvas. */
export function wireEnd(type: "source" | "target", node: string, name: string): WireEnd {
  if (type === "target") return { kind: "input", end: { node, input: name } };
  return { kind: "output", end: { kind: "from", node, output: name } };
}

/** Both ends of a possible wire, if one is an output and the other an input. */
export function bothEnds(a: WireEnd, b: WireEnd): { source: From; to: InputEnd } | undefined {
  if (a.kind === "output" && b.kind === "input") return { source: a.end, to: b.end };
  if (a.kind === "input" && b.kind === "output") return { source: b.end, to: a.end };
  return undefined;
}

/** The input that a wire enters, by the id of the wire. */
export function inputEnd(key: string): InputEnd | undefined {
  const [node, input] = key.split(".");
  return node !== undefined && input !== undefined ? { node, input } : undefined;
}
