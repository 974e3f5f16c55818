/** Changes of wires: connect, cut, insert a node, heal. */

import {
  type Binding,
  type From,
  from,
  type Graph,
  type InputEnd,
  inputKey,
  type Point,
  wires,
} from "../graph";
import { mapped, withKey, withoutKeys } from "../maps";
import { changeNode, deleteItems, whole } from "./nodes";

/** Connect an output to an input; what the input held before is replaced. */
export function connect(graph: Graph, source: From, to: InputEnd): Graph {
  return setBinding(graph, to, source);
}

/** Cut the wire into an input; other bindings stay. */
export function disconnect(graph: Graph, to: InputEnd): Graph {
  const binding = graph.nodes.get(to.node)?.inputs.get(to.input);
  return binding?.kind === "from" ? setBinding(graph, to, undefined) : graph;
}

/** Set what an input holds; undefined for its default. Waypoints of a wire that was there are dropped. */
export function setBinding(graph: Graph, to: InputEnd, binding: Binding | undefined): Graph {
  const before = graph.nodes.get(to.node)?.inputs.get(to.input);
  if (before === binding || (before && binding && sameLink(before, binding))) return graph;
  const changed = changeNode(graph, to.node, (item) => {
    const inputs = binding
      ? withKey(item.inputs, to.input, binding)
      : withoutKeys(item.inputs, new Set([to.input]));
    return { ...item, inputs };
  });
  return withWaypoints(changed, to, []);
}

/** Bend a wire through points; an empty list makes it straight. */
export function withWaypoints(graph: Graph, to: InputEnd, points: readonly Point[]): Graph {
  const { waypoints } = graph.view;
  const key = inputKey(to);
  if (!points.length && !waypoints.has(key)) return graph;
  const next = points.length
    ? withKey(waypoints, key, points.map(whole))
    : withoutKeys(waypoints, new Set([key]));
  return { ...graph, view: { ...graph.view, waypoints: next } };
}

/** The inputs that take an output of a node; of all its outputs if none is named. */
export function consumers(graph: Graph, node: string, output?: string): InputEnd[] {
  return [...wires(graph)]
    .filter((wire) => wire.from.node === node && (output === undefined || wire.from.output === output))
    .map((wire) => wire.to);
}

/** True if a wire from one node into another would close a cycle. */
export function wouldCycle(graph: Pick<Graph, "nodes">, source: string, target: string): boolean {
  const seen = new Set<string>();
  const open = [source];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (id === target) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    for (const binding of graph.nodes.get(id)?.inputs.values() ?? []) {
      if (binding.kind === "from") open.push(binding.node);
    }
  }
  return false;
}

/** Insert a node on a wire: the wire enters its input, and its output goes on to where the wire went. */
export function insertOnWire(graph: Graph, to: InputEnd, node: string, input: string, output: string): Graph {
  const source = graph.nodes.get(to.node)?.inputs.get(to.input);
  if (source?.kind !== "from" || node === to.node || node === source.node) return graph;
  const entered = connect(graph, source, { node, input });
  return connect(entered, from(node, output), to);
}

/**
 * Delete nodes and wire what they took to what took from them.
 *
 * @param passes for an output of a node, the input that it passes through when the node is gone; undefined if none.
 */
export function deleteAndHeal(
  graph: Graph,
  ids: Iterable<string>,
  passes: (node: string, output: string) => string | undefined,
): Graph {
  const gone = new Set(ids);
  function healed(link: Binding): Binding | undefined {
    const seen = new Set<string>();
    let binding: Binding | undefined = link;
    while (binding?.kind === "from" && gone.has(binding.node)) {
      if (seen.has(binding.node)) return undefined;
      seen.add(binding.node);
      const input = passes(binding.node, binding.output);
      binding = input === undefined ? undefined : graph.nodes.get(binding.node)?.inputs.get(input);
    }
    return binding;
  }
  const nodes = mapped(graph.nodes, (item, id) => {
    if (gone.has(id)) return item;
    const inputs = mapped(item.inputs, (binding) => healed(binding) ?? binding);
    return inputs === item.inputs ? item : { ...item, inputs };
  });
  const outputs = mapped(graph.outputs, (link) => {
    const next = healed(link);
    return next?.kind === "from" ? next : link;
  });
  return deleteItems({ ...graph, nodes, outputs }, { nodes: gone });
}

function sameLink(a: Binding, b: Binding): boolean {
  return a.kind === "from" && b.kind === "from" && a.node === b.node && a.output === b.output;
}
