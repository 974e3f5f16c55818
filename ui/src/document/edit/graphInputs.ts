/** Changes of the graph's own named inputs and outputs: the Controls panel and the options of the command line. */

import { ID } from "../file/format";
import { type From, type Graph, type GraphInput, type InputEnd, literal, param } from "../graph";
import { freeId } from "../ids";
import { filtered, mapped, renamed, withKey, withoutKeys } from "../maps";
import { setBinding } from "./wires";

/** Make a graph input that an input of a node takes; returns its name with the graph. */
export function expose(
  graph: Graph,
  end: InputEnd,
  wanted: string,
  item: GraphInput,
): { graph: Graph; name: string } {
  const name = freeId(wanted, graph.inputs);
  const inputs = withKey(graph.inputs, name, item);
  return { graph: setBinding({ ...graph, inputs }, end, param(name)), name };
}

/** Take a graph input away from an input of a node, which keeps the value. An input that nothing takes goes. */
export function unexpose(graph: Graph, end: InputEnd): Graph {
  const binding = graph.nodes.get(end.node)?.inputs.get(end.input);
  if (binding?.kind !== "param") return graph;
  const value = graph.inputs.get(binding.name)?.default;
  const freed = setBinding(graph, end, value === undefined ? undefined : literal(value));
  return isTaken(freed, binding.name) ? freed : without(freed, binding.name);
}

/** True if an input of a node takes this graph input. */
export function isTaken(graph: Graph, name: string): boolean {
  for (const item of graph.nodes.values()) {
    for (const binding of item.inputs.values())
      if (binding.kind === "param" && binding.name === name) return true;
  }
  return false;
}

/** Change a graph input. */
export function changeInput(graph: Graph, name: string, change: (item: GraphInput) => GraphInput): Graph {
  const item = graph.inputs.get(name);
  if (item === undefined) return graph;
  const inputs = withKey(graph.inputs, name, change(item));
  return inputs === graph.inputs ? graph : { ...graph, inputs };
}

/** Delete a graph input; every input that took it keeps its value. */
export function deleteInput(graph: Graph, name: string): Graph {
  const item = graph.inputs.get(name);
  if (item === undefined) return graph;
  const nodes = mapped(graph.nodes, (node) => {
    const taken = (binding: { kind: string; name?: string }) =>
      binding.kind === "param" && binding.name === name;
    const value = item.default;
    const inputs =
      value === undefined
        ? filtered(node.inputs, (binding) => !taken(binding))
        : mapped(node.inputs, (binding) => (taken(binding) ? literal(value) : binding));
    return inputs === node.inputs ? node : { ...node, inputs };
  });
  return without({ ...graph, nodes }, name);
}

/** Why a graph input or output cannot have this name; undefined if it can. */
export function nameProblem(
  taken: { has(name: string): boolean },
  name: string,
  wanted: string,
): string | undefined {
  if (wanted === name) return undefined;
  if (!ID.test(wanted)) return "Use letters, digits, - and _, at most 64.";
  return taken.has(wanted) ? `There is already one named ${wanted}.` : undefined;
}

/** Rename a graph input; every input that takes it follows. */
export function renameInput(graph: Graph, name: string, wanted: string): Graph {
  if (wanted === name || !graph.inputs.has(name) || nameProblem(graph.inputs, name, wanted)) return graph;
  const nodes = mapped(graph.nodes, (node) => {
    const inputs = mapped(node.inputs, (binding) =>
      binding.kind === "param" && binding.name === name ? param(wanted) : binding,
    );
    return inputs === node.inputs ? node : { ...node, inputs };
  });
  return {
    ...graph,
    nodes,
    inputs: renamed(graph.inputs, (old) => (old === name ? wanted : old)),
    passes: mapped(graph.passes, (input) => (input === name ? wanted : input)),
  };
}

/** Move a graph input to another place in the list, from 0. */
export function moveInput(graph: Graph, name: string, place: number): Graph {
  const item = graph.inputs.get(name);
  if (item === undefined) return graph;
  const others = [...graph.inputs].filter(([key]) => key !== name);
  others.splice(place, 0, [name, item]);
  return { ...graph, inputs: new Map(others) };
}

/** Declare an output of the graph, which runs write to files; returns its name with the graph. */
export function addOutput(graph: Graph, source: From, wanted: string): { graph: Graph; name: string } {
  const name = freeId(wanted, graph.outputs);
  return { graph: { ...graph, outputs: withKey(graph.outputs, name, source) }, name };
}

/** Take an output of the graph back. */
export function deleteOutput(graph: Graph, name: string): Graph {
  if (!graph.outputs.has(name)) return graph;
  const gone = new Set([name]);
  return { ...graph, outputs: withoutKeys(graph.outputs, gone), passes: withoutKeys(graph.passes, gone) };
}

/** The graph outputs that a node's output is. */
export function outputNames(graph: Graph, source: From): string[] {
  return [...graph.outputs]
    .filter(([, link]) => link.node === source.node && link.output === source.output)
    .map(([name]) => name);
}

function without(graph: Graph, name: string): Graph {
  return {
    ...graph,
    inputs: withoutKeys(graph.inputs, new Set([name])),
    passes: filtered(graph.passes, (input) => input !== name),
  };
}
