/** Fixes: small edits that solve a problem. One that does not fit the graph any more changes nothing. */
import type { components } from "../../server/api";
import { type Binding, from, type Graph, type InputEnd, literal } from "../graph";
import { renamed } from "../maps";
import { addNode, changeNode, dropLooseWaypoints } from "./nodes";
import { insertOnWire, setBinding } from "./wires";

export type Fix = NonNullable<components["schemas"]["ProblemItem"]["fix"]>;

/** What an input holds, as a document writes it: a text, a wire or a graph input. */
type Held = Extract<Fix, { kind: "set_input" }>["to"];

/** The space between a node and one that is inserted before it. */
const BEFORE = 280;

/** The graph with a fix applied; the same graph if it is not as the fix expects. */
export function fixed(graph: Graph, fix: Fix): Graph {
  const item = graph.nodes.get(fix.node);
  if (item === undefined) return graph;
  if (fix.kind === "set_type")
    return item.type === fix.was ? changeNode(graph, fix.node, (one) => ({ ...one, type: fix.to })) : graph;
  const held = item.inputs.get(fix.input);
  switch (fix.kind) {
    case "set_input":
      return isHeld(held, fix.was) ? put(graph, fix, fix.to) : graph;
    case "connect":
      return held === undefined ? put(graph, fix, { from: fix.source }) : graph;
    case "rename_input": {
      if (item.type !== fix.type || held === undefined || item.inputs.has(fix.to)) return graph;
      const name = (old: string) => (old === fix.input ? fix.to : old);
      return dropLooseWaypoints(
        changeNode(graph, fix.node, (one) => ({ ...one, inputs: renamed(one.inputs, name) })),
      );
    }
    case "remove_input":
      return item.type === fix.type && held ? setBinding(graph, fix, undefined) : graph;
    case "insert_node": {
      if (!isHeld(held, { from: fix.source })) return graph;
      const [x, y] = graph.layout.get(fix.node) ?? [BEFORE, 0];
      const added = addNode(graph, fix.type, [x - BEFORE, y]);
      return insertOnWire(added.graph, fix, added.id, fix.enters, fix.leaves);
    }
  }
}

/** A fix in a few words, after "Fix:". */
export function fixLabel(fix: Fix): string {
  if (fix.kind === "remove_input") return `remove ${fix.input}`;
  if (fix.kind === "rename_input") return `rename ${fix.input} to ${fix.to}`;
  if (fix.kind === "insert_node") return `insert ${fix.type.split("@")[0]}`;
  if (fix.kind === "connect") return `connect ${fix.source}`;
  if (fix.kind === "set_type") return `use ${fix.to.split("@")[0]}`;
  return typeof fix.to === "string" ? `use ${fix.to}` : `connect ${fix.to.from ?? fix.to.param}`;
}

function isHeld(binding: Binding | undefined, held: Held): boolean {
  if (binding?.kind === "value") return binding.value === held;
  if (binding === undefined || typeof held === "string") return false;
  return binding.kind === "from"
    ? held.from === `${binding.node}.${binding.output}`
    : held.param === binding.name;
}

/** Set what an input holds, if the node or graph input that it takes exists. */
function put(graph: Graph, end: InputEnd, held: Held): Graph {
  if (typeof held === "string") return setBinding(graph, end, literal(held));
  const [node, output] = held.from?.split(".") ?? [];
  if (node !== undefined && output !== undefined)
    return graph.nodes.has(node) ? setBinding(graph, end, from(node, output)) : graph;
  const name = held.param;
  return name !== undefined && graph.inputs.has(name)
    ? setBinding(graph, end, { kind: "param", name })
    : graph;
}
