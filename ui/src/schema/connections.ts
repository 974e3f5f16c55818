/** What can be connected to what, and one sentence why not. */

import { wouldCycle } from "../document/edit/wires";
import type { From, InputEnd } from "../document/graph";
import { type InputType, type NodeType, type NodeTypes, named } from "./nodeTypes";
import type { TypedGraph } from "./typedGraph";
import { ANY, type WireType, withArticle } from "./wireType";

/** How an output goes into an input. */
export type Fit =
  /** As it is. */
  | "same"
  /** With a change that the engine makes: an int as a float. Drawn as a notch on the wire. */
  | "converted"
  /** The node runs once for each element, or a single value becomes a list of one. */
  | "lists";

/** How a type fits an input; undefined if it does not. */
export function fitOf(
  types: NodeTypes,
  offered: WireType,
  input: Pick<InputType, "wire" | "plain">,
): Fit | undefined {
  const wanted = input.wire;
  if (input.plain && types.isValue(offered)) return undefined;
  if (offered.variable || offered.name === ANY) return "same"; // not known yet
  if (wanted.variable) return offered.lists >= wanted.lists ? "same" : undefined;
  if (types.fits(offered, wanted)) {
    const named = offered.name === wanted.name || types.isValue(offered) || wanted.name === ANY;
    return named ? "same" : "converted";
  }
  return types.fits({ ...offered, lists: wanted.lists }, wanted) ? "lists" : undefined;
}

/** How an existing or possible wire goes into its input; undefined if it does not fit. */
export function wireFit(typed: TypedGraph, source: From, to: InputEnd): Fit | undefined {
  const input = typed.input(to);
  return input && fitOf(typed.types, typed.output(source), input);
}

/** Why an output cannot be connected to an input, as one sentence; undefined if it can. */
export function refusal(typed: TypedGraph, source: From, to: InputEnd): string | undefined {
  if (source.node === to.node) return `${to.node} cannot take its own output.`;
  const type = typed.type(to.node);
  const input = named(type.inputs, to.input);
  if (type.missing || typed.type(source.node).missing) return undefined;
  if (!input) return `${to.node} has no input ${to.input}.`;
  const offered = typed.output(source);
  const isCycle = wouldCycle(typed, source.node, to.node);
  if (fitOf(typed.types, offered, input)) {
    return isCycle ? `${source.node} already depends on ${to.node}; a graph has no cycles.` : undefined;
  }
  const wanted = input.plain ? "a number, text or other JSON value" : withArticle(input.wire);
  const chain = isCycle ? [] : conversions(typed.types, offered, input.wire);
  const remedy = chain.length ? ` Put ${chain.map((kind) => kind.name).join(" and ")} between them.` : "";
  return `${to.node}.${to.input} takes ${wanted}, and ${source.node}.${source.output} is ${withArticle(offered)}.${remedy}`;
}

/** The input of a node that a wire dropped on it enters: a free one of the same type first. Undefined if none fits. */
export function bestInput(typed: TypedGraph, source: From, node: string): InputType | undefined {
  const held = typed.nodes.get(node)?.inputs;
  const candidates = typed
    .type(node)
    .inputs.filter((input) => !refusal(typed, source, { node, input: input.name }));
  return best(candidates, (input) => {
    const wired = held?.get(input.name)?.kind === "from";
    return rank(fitOf(typed.types, typed.output(source), input), input, wired);
  });
}

/** The input of a type that takes a wire best; undefined if none takes it. */
export function inputFor(types: NodeTypes, offered: WireType, type: NodeType): InputType | undefined {
  const candidates = type.inputs.filter((input) => fitOf(types, offered, input));
  return best(candidates, (input) => rank(fitOf(types, offered, input), input, false));
}

/** The output of a type that an input takes best; undefined if it takes none. */
export function outputFor(types: NodeTypes, type: NodeType, input: InputType): string | undefined {
  const candidates = type.outputs.filter((output) => fitOf(types, output.wire, input));
  return best(candidates, (output) => rank(fitOf(types, output.wire, input), input, output.wire.variable))
    ?.name;
}

const FITS: readonly (Fit | undefined)[] = ["same", "converted", "lists", undefined];

/** Lower is better: the closer type, then a required input, then one that has no wire yet. */
function rank(how: Fit | undefined, input: InputType, taken: boolean): number {
  const open = input.wire.variable || input.wire.name === ANY ? 2 : 0;
  return (
    (taken ? 64 : 0) + (FITS.indexOf(how) + open) * 8 + (input.required ? 0 : 2) + (input.advanced ? 4 : 0)
  );
}

function best<T>(items: readonly T[], cost: (item: T) => number): T | undefined {
  let found: T | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const value = cost(item);
    if (value < least) [found, least] = [item, value];
  }
  return found;
}

/** The shortest chain of at most two conversion nodes between two types; empty if there is none. */
export function conversions(types: NodeTypes, offered: WireType, wanted: WireType): readonly NodeType[] {
  const known = types.types.filter((kind) => kind.converts && !kind.deprecated);
  const element = { ...offered, lists: 0 };
  const target = { ...wanted, lists: 0 };
  const takes = (kind: NodeType, wire: WireType) => {
    const input = named(kind.inputs, kind.converts ?? "");
    return input !== undefined && types.fits(wire, input.wire);
  };
  const gives = (kind: NodeType) => kind.outputs[0]?.wire;
  const first = known.filter((kind) => takes(kind, element));
  for (const kind of first) {
    const wire = gives(kind);
    if (wire && types.fits(wire, target)) return [kind];
  }
  for (const kind of first) {
    const wire = gives(kind);
    if (!wire) continue;
    const second = known.find((other) => {
      const last = gives(other);
      return takes(other, wire) && last !== undefined && types.fits(last, target);
    });
    if (second) return [kind, second];
  }
  return [];
}
