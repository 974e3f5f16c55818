/** Changes of a graph that depend on node types: heal, insert on a wire, replace a type, expose an input. */

import { expose } from "../document/edit/graphInputs";
import { changeNode } from "../document/edit/nodes";
import { heldValue } from "../document/edit/values";
import { connect, deleteAndHeal, insertOnWire, setBinding } from "../document/edit/wires";
import { type Binding, type From, from, type Graph, type InputEnd, wires } from "../document/graph";
import { words as wordsOf } from "../document/ids";
import { filtered, mapped } from "../document/maps";
import { fitOf, inputFor, outputFor, refusal } from "./connections";
import { exposedInput } from "./graphType";
import { type InputType, type NodeType, named } from "./nodeTypes";
import type { TypedGraph } from "./typedGraph";

/** Delete nodes and wire what they took to what took from them, where the types allow it. */
export function heal(graph: Graph, typed: TypedGraph, ids: Iterable<string>): Graph {
  return deleteAndHeal(graph, ids, (node, output) => passedInput(typed, node, output));
}

/** The input that stands in for an output when its node is gone: the declared one, else a wire of the same type. */
export function passedInput(typed: TypedGraph, node: string, output: string): string | undefined {
  const type = typed.type(node);
  const declared = type.passes.get(output);
  if (declared !== undefined) return declared;
  const wire = named(type.outputs, output)?.wire;
  if (!wire || type.missing) return undefined;
  const taken = type.inputs.filter((input) => typed.nodes.get(node)?.inputs.get(input.name)?.kind === "from");
  return taken.find((input) => input.wire.name === wire.name && input.wire.lists === wire.lists)?.name;
}

/** The input and output by which a node of a type can be inserted on a wire; undefined if it cannot. */
export function insertion(
  typed: TypedGraph,
  to: InputEnd,
  type: NodeType,
): { readonly input: string; readonly output: string } | undefined {
  const binding = typed.nodes.get(to.node)?.inputs.get(to.input);
  const target = typed.input(to);
  if (binding?.kind !== "from" || !target) return undefined;
  const input = inputFor(typed.types, typed.output(binding), type);
  const output = outputFor(typed.types, type, target);
  return input && output !== undefined ? { input: input.name, output } : undefined;
}

/** Insert an existing node on a wire; undefined if it does not fit, or would close a cycle. */
export function insertNode(graph: Graph, typed: TypedGraph, to: InputEnd, node: string): Graph | undefined {
  const ends = insertion(typed, to, typed.type(node));
  const binding = typed.nodes.get(to.node)?.inputs.get(to.input);
  if (!ends || binding?.kind !== "from" || node === to.node || node === binding.node) return undefined;
  if (refusal(typed, binding, { node, input: ends.input })) return undefined;
  if (refusal(typed, from(node, ends.output), to)) return undefined;
  return insertOnWire(graph, to, node, ends.input, ends.output);
}

/** Make a graph input that takes the place of an input's value; returns its name with the graph. */
export function exposeInput(
  graph: Graph,
  typed: TypedGraph,
  end: InputEnd,
): { graph: Graph; name: string } | undefined {
  const input = typed.input(end);
  if (!input) return undefined;
  return expose(graph, end, end.input, exposedInput(input, heldValue(graph, end)));
}

/** A replaced node, with the inputs and outputs that the new type has no place for. */
export interface Replaced {
  readonly graph: Graph;
  readonly lostInputs: readonly string[];
  /** The inputs of other nodes whose wire was cut. */
  readonly cut: readonly InputEnd[];
}

/** Give a node another type. Values and wires go to inputs and outputs of the same name, else of the same type. */
export function replaceType(graph: Graph, typed: TypedGraph, id: string, next: NodeType): Replaced {
  const item = graph.nodes.get(id);
  if (!item) return { graph, lostInputs: [], cut: [] };
  const before = typed.type(id);
  const places = inputPlaces(typed, before, next, item.inputs);
  const inputs = new Map<string, Binding>();
  for (const [name, binding] of item.inputs) {
    const place = places.get(name);
    if (place !== undefined) inputs.set(place, binding);
  }
  const lostInputs = [...item.inputs.keys()].filter((name) => !places.has(name));
  let changed = changeNode(graph, id, (old) => ({ ...old, type: next.id, inputs }));
  const cut: InputEnd[] = [];
  for (const [node, other] of graph.nodes) {
    for (const [input, binding] of other.inputs) {
      if (binding.kind !== "from" || binding.node !== id || node === id) continue;
      const to = { node, input };
      const output = outputPlace(typed, next, binding, typed.input(to));
      if (output === undefined) cut.push(to);
      const link = output === undefined ? undefined : from(id, output);
      changed = link ? connect(changed, link, to) : setBinding(changed, to, undefined);
    }
  }
  const kept = filtered(
    graph.outputs,
    (link) => link.node !== id || outputPlace(typed, next, link, undefined) !== undefined,
  );
  const outputs = mapped(kept, (link) =>
    link.node === id ? from(id, outputPlace(typed, next, link, undefined) ?? link.output) : link,
  );
  return { graph: { ...changed, outputs }, lostInputs, cut };
}

/** A type that a node can be replaced with, and how many of its values and wires find no place there. */
export interface Replacement {
  readonly type: NodeType;
  readonly lost: number;
}

/** The types that a node can be replaced with, the best fit first; those that take none of its wires are left out. */
export function replacements(graph: Graph, typed: TypedGraph, id: string): readonly Replacement[] {
  const before = typed.type(id);
  const held = [...(graph.nodes.get(id)?.inputs.values() ?? [])];
  const outgoing = [...wires(graph)].filter((wire) => wire.from.node === id).length;
  const wired = outgoing + held.filter((binding) => binding.kind === "from").length;
  const words = new Set(wordsOf(before.name).map((word) => word.toLowerCase()));
  const found = typed.types.types.flatMap((type, place) => {
    if (type.name === before.name || type.deprecated) return [];
    const { graph: next, lostInputs, cut } = replaceType(graph, typed, id, type);
    const kept = [...wires(next)].filter((wire) => wire.from.node === id || wire.to.node === id).length;
    if (wired > 0 && kept === 0) return [];
    const set = next.nodes.get(id)?.inputs;
    const open = type.inputs.filter((input) => input.required && !set?.has(input.name)).length;
    const alike = wordsOf(type.name).filter((word) => words.has(word.toLowerCase())).length;
    const isNamed = type.name === before.replacedBy;
    const rank = (isNamed ? -1000 : 0) + 2 * (lostInputs.length + cut.length) + open - alike;
    return [{ type, lost: lostInputs.length + cut.length, rank, place }];
  });
  found.sort((a, b) => a.rank - b.rank || a.place - b.place);
  return found.map(({ type, lost }) => ({ type, lost }));
}

/** For each input that a node holds, the input of another type that takes it. */
function inputPlaces(
  typed: TypedGraph,
  before: NodeType,
  next: NodeType,
  held: ReadonlyMap<string, Binding>,
): Map<string, string> {
  const places = new Map<string, string>();
  const taken = new Set<string>();
  const inputBefore = (name: string) => (before.missing ? undefined : named(before.inputs, name));
  const take = (name: string, place: string) => {
    places.set(name, place);
    taken.add(place);
  };
  for (const [name, binding] of held) {
    const same = named(next.inputs, name);
    if (same && holds(typed, same, binding, inputBefore(name))) take(name, name);
  }
  for (const [name, binding] of held) {
    if (places.has(name) || binding.kind === "value") continue;
    const free = next.inputs.find(
      (input) => !taken.has(input.name) && holds(typed, input, binding, inputBefore(name)),
    );
    if (free) take(name, free.name);
  }
  return places;
}

function holds(
  typed: TypedGraph,
  input: InputType,
  binding: Binding,
  before: InputType | undefined,
): boolean {
  if (binding.kind === "from") return fitOf(typed.types, typed.output(binding), input) !== undefined;
  if (!before) return input.widget.kind !== "none";
  return before.wire.name === input.wire.name && before.wire.lists === input.wire.lists;
}

function outputPlace(
  typed: TypedGraph,
  next: NodeType,
  link: From,
  target: InputType | undefined,
): string | undefined {
  const same = named(next.outputs, link.output);
  if (same && (!target || fitOf(typed.types, same.wire, target))) return same.name;
  if (target) return outputFor(typed.types, next, target);
  const wire = typed.output(link);
  return next.outputs.find((output) => output.wire.name === wire.name)?.name;
}
