/** The node types that a dropped wire can go on with. */

import { conversions, type Fit, fitOf, inputFor, outputFor } from "./connections";
import { type InputType, type NodeType, type NodeTypes, named } from "./nodeTypes";
import { ANY, type WireType } from "./wireType";

/** The loose end of a wire: it comes from an output, or it leads to an input. */
export type LooseEnd =
  | { readonly kind: "output"; readonly wire: WireType }
  | { readonly kind: "input"; readonly input: InputType };

/** A node type that takes the wire. */
export interface Candidate {
  readonly type: NodeType;
  /** The input or output of the type that the wire connects to. */
  readonly socket: string;
  /** What the wire becomes on its way through the node. */
  readonly takes: WireType | undefined;
  readonly gives: WireType | undefined;
  readonly fit: Fit;
  /** The conversion nodes that go between; empty for a direct wire. */
  readonly through: readonly NodeType[];
}

/** The types that a loose wire fits, the closest first, then those that it fits after one conversion node. */
export function candidates(types: NodeTypes, end: LooseEnd): readonly Candidate[] {
  const known = types.types.filter((type) => !type.deprecated);
  const direct = known.flatMap((type) => candidate(types, end, type) ?? []);
  const found = new Set(direct.map((item) => item.type));
  const converted = known
    .filter((type) => !found.has(type))
    .flatMap((type) => afterConversion(types, end, type) ?? []);
  return [...direct.sort((a, b) => cost(types, a) - cost(types, b)), ...converted];
}

function candidate(types: NodeTypes, end: LooseEnd, type: NodeType): Candidate | undefined {
  if (end.kind === "output") {
    const input = inputFor(types, end.wire, type);
    const how = input && fitOf(types, end.wire, input);
    if (!input || !how) return undefined;
    return {
      type,
      socket: input.name,
      takes: input.wire,
      gives: type.outputs[0]?.wire,
      fit: how,
      through: [],
    };
  }
  const output = outputFor(types, type, end.input);
  const wire = output === undefined ? undefined : named(type.outputs, output)?.wire;
  const how = wire && fitOf(types, wire, end.input);
  if (output === undefined || !how) return undefined;
  const first = type.inputs.find((input) => input.required) ?? type.inputs[0];
  return { type, socket: output, takes: first?.wire, gives: wire, fit: how, through: [] };
}

/** A type that the wire fits after one conversion node. Types that take anything are no news, and left out. */
function afterConversion(types: NodeTypes, end: LooseEnd, type: NodeType): Candidate | undefined {
  if (end.kind === "output") {
    for (const input of type.inputs) {
      const chain = input.required && !isOpen(input.wire) ? conversions(types, end.wire, input.wire) : [];
      if (chain.length !== 1) continue;
      return {
        type,
        socket: input.name,
        takes: end.wire,
        gives: type.outputs[0]?.wire,
        fit: "same",
        through: chain,
      };
    }
    return undefined;
  }
  for (const output of type.outputs) {
    const chain = isOpen(output.wire) ? [] : conversions(types, output.wire, end.input.wire);
    if (chain.length !== 1) continue;
    const first = type.inputs.find((input) => input.required) ?? type.inputs[0];
    return {
      type,
      socket: output.name,
      takes: first?.wire,
      gives: end.input.wire,
      fit: "same",
      through: chain,
    };
  }
  return undefined;
}

function isOpen(wire: WireType): boolean {
  return wire.variable || wire.name === ANY;
}

/** Lower is better: the type itself before types that take anything, required inputs before optional ones. */
function cost(types: NodeTypes, item: Candidate): number {
  const input = named(item.type.inputs, item.socket);
  const wire = input?.wire ?? item.gives;
  const open = wire && isOpen(wire) ? 8 : 0;
  const plain = wire && !types.isValue(wire) ? 1 : 0;
  return open + plain + (item.fit === "same" ? 0 : 4) + (input && !input.required ? 2 : 0);
}
