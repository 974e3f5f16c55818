/** The control that a named input of the graph gets. */
import type { Graph, GraphInput } from "../../document/graph";
import { graphInputType } from "../../schema/graphType";
import { type NodeTypes, named, type Widget } from "../../schema/nodeTypes";

/** The control of a graph input: with the limits and files of the node input that it goes to. */
export function widgetFor(graph: Graph, types: NodeTypes, name: string, item: GraphInput): Widget {
  const own = graphInputType(name, item).widget;
  for (const node of graph.nodes.values()) {
    for (const [input, binding] of node.inputs) {
      if (binding.kind !== "param" || binding.name !== name) continue;
      const type = types.get(node.type);
      const bound = type && named(type.inputs, input)?.widget;
      if (bound === undefined) continue;
      if (own.kind === "number" && bound.kind === "number") return { ...bound, whole: own.whole };
      if (own.kind === bound.kind) return bound;
      if (own.kind === "text" && bound.kind === "choice") return bound;
      if (own.kind === "json" && bound.kind === "stack") return bound;
    }
  }
  return own;
}

/** The first input of a node that takes a graph input, as `node.input`. */
export function takerOf(graph: Graph, name: string): string | undefined {
  for (const [id, node] of graph.nodes) {
    for (const [input, binding] of node.inputs)
      if (binding.kind === "param" && binding.name === name) return `${id}.${input}`;
  }
  return undefined;
}
