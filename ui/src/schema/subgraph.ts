/** Makes a subgraph of chosen nodes: what they take from outside becomes its inputs, what others take its outputs. */
import { copied, cornerOf } from "../document/edit/clipboard";
import { moveItems } from "../document/edit/frames";
import type { Items } from "../document/edit/items";
import { deleteItems, dropLooseWaypoints } from "../document/edit/nodes";
import {
  type Binding,
  entry,
  type From,
  from,
  type Graph,
  type GraphInput,
  type InputEnd,
  param,
} from "../document/graph";
import { freeId } from "../document/ids";
import { mapped, withKey } from "../document/maps";
import { exposedInput } from "./graphType";
import type { TypedGraph } from "./typedGraph";
import { ANY, wireName } from "./wireType";

export interface Subgraph {
  readonly graph: Graph;
  /** The node that stands for the subgraph. */
  readonly id: string;
}

/** The node outside a choice that lies between two nodes of it, so that they cannot become one; undefined if none. */
export function between(graph: Graph, chosen: ReadonlySet<string>): string | undefined {
  const before = (node: string): string[] =>
    [...(graph.nodes.get(node)?.inputs.values() ?? [])].flatMap((item) =>
      item.kind === "from" ? [item.node] : [],
    );
  const seen = new Set<string>();
  const open = [...chosen].flatMap(before).filter((node) => !chosen.has(node));
  const first = new Map(open.map((node) => [node, node]));
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const source of before(node)) {
      if (chosen.has(source)) return first.get(node);
      if (!first.has(source)) first.set(source, first.get(node) ?? node);
      open.push(source);
    }
  }
  return undefined;
}

/**
 * Replace nodes by one node of a new subgraph, which is defined in this graph.
 *
 * @param name the name of the subgraph; another one if it is taken here or in a graph around it.
 */
export function makeSubgraph(graph: Graph, typed: TypedGraph, items: Items, name: string): Subgraph {
  const part = copied(graph, items);
  const chosen = new Set(part.nodes.keys());
  const taken = new Set(typed.scope.flatMap((around) => [...around.graphs.keys()]));
  const free = freeId(name, taken);

  // Inputs: the graph inputs that the nodes take keep their names; each output from outside becomes one input.
  const inputs = new Map<string, GraphInput>();
  const given = new Map<string, Binding>();
  const ports = new Map<string, string>();
  for (const item of part.nodes.values()) {
    for (const binding of item.inputs.values()) {
      const known = binding.kind === "param" ? graph.inputs.get(binding.name) : undefined;
      if (binding.kind !== "param" || !known || inputs.has(binding.name)) continue;
      const single = known.sweep > 0 ? { ...known, default: undefined, sweep: 0 } : known;
      inputs.set(binding.name, single);
      given.set(binding.name, binding);
    }
  }
  const inner = mapped(part.nodes, (item, node) => ({
    ...item,
    inputs: mapped(item.inputs, (binding, input): Binding => {
      if (binding.kind !== "from" || chosen.has(binding.node)) return binding;
      const key = `${binding.node}.${binding.output}`;
      const port = ports.get(key) ?? freeId(input, inputs);
      if (!ports.has(key)) {
        ports.set(key, port);
        inputs.set(port, portOf(typed, { node, input }, binding));
        given.set(port, binding);
      }
      return param(port);
    }),
  }));

  // Outputs: what nodes outside and the outputs of the graph take; without any, what no chosen node takes.
  const outputs = new Map<string, From>();
  const names = new Map<string, string>();
  const expose = (link: From) => {
    const key = `${link.node}.${link.output}`;
    if (names.has(key)) return;
    const port = freeId(link.output === "out" ? link.node : link.output, outputs);
    names.set(key, port);
    outputs.set(port, link);
  };
  const links = [...graph.nodes]
    .filter(([node]) => !chosen.has(node))
    .flatMap(([, item]) => [...item.inputs.values()]);
  for (const link of [...links, ...graph.outputs.values()]) {
    if (link.kind === "from" && chosen.has(link.node)) expose(link);
  }
  if (outputs.size === 0) {
    const used = new Set([...part.nodes.values()].flatMap((item) => [...item.inputs.values()]).map(keyOf));
    for (const node of chosen) {
      for (const { name: output } of typed.type(node).outputs) {
        if (!used.has(`${node}.${output}`)) expose(from(node, output));
      }
    }
  }

  const [x, y] = cornerOf(part);
  const whole = dropLooseWaypoints({ ...part, inputs, outputs, nodes: inner, graphs: new Map() });
  const body = moveItems(whole, { nodes: chosen, notes: whole.view.notes.keys() }, [-x, -y]);
  const id = freeId(free, new Set([...graph.nodes.keys()].filter((node) => !chosen.has(node))));
  const follow = <T extends Binding>(binding: T): T | From => {
    const port = binding.kind === "from" ? names.get(`${binding.node}.${binding.output}`) : undefined;
    return port === undefined || keyOf(binding) === "" ? binding : from(id, port);
  };
  const rewired = {
    ...graph,
    nodes: mapped(graph.nodes, (item, node) => {
      if (chosen.has(node)) return item;
      const next = mapped(item.inputs, follow);
      return next === item.inputs ? item : { ...item, inputs: next };
    }),
    outputs: mapped(graph.outputs, (link) => follow(link)),
  };
  const left = deleteItems(rewired, {
    nodes: chosen,
    notes: part.view.notes.keys(),
    frames: part.view.frames.keys(),
  });
  return {
    graph: {
      ...left,
      nodes: withKey(left.nodes, id, entry(`#${free}`, given)),
      graphs: withKey(left.graphs, free, body),
      layout: withKey(left.layout, id, [x, y]),
    },
    id,
  };
}

/** The end of a wire as a key; empty for other bindings. */
function keyOf(binding: Binding): string {
  return binding.kind === "from" ? `${binding.node}.${binding.output}` : "";
}

/** The graph input for a wire from outside: with the type of the input that it enters, else that of its source. */
function portOf(typed: TypedGraph, end: InputEnd, source: From): GraphInput {
  const input = typed.input(end);
  const isOpen = input === undefined || input.wire.variable || input.wire.name === ANY;
  if (!isOpen) {
    const port = exposedInput(input, undefined);
    return { ...port, default: undefined };
  }
  const wire = typed.output(source);
  const type = wire.variable || wire.name === ANY ? "json" : wireName(wire);
  return { type, default: undefined, doc: "", choices: [], sweep: 0 };
}
