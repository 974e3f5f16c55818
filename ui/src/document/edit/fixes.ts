/** Fixes: small edits that solve a problem. One that does not fit the graph any more changes nothing. */
import { type Binding, from, type Graph, type InputEnd, literal } from "../graph";
import { renamed } from "../maps";
import { addNode, changeNode, dropLooseWaypoints } from "./nodes";
import { insertOnWire, setBinding } from "./wires";

/** What an input holds, as a document writes it: a text, a wire or a graph input. */
type Held = string | Readonly<Record<string, string>>;

export type Fix =
  | (InputEnd & { readonly kind: "set_input"; readonly was: Held; readonly to: Held })
  | (InputEnd & { readonly kind: "connect"; readonly source: string })
  | (InputEnd & { readonly kind: "rename_input"; readonly type: string; readonly to: string })
  | (InputEnd & { readonly kind: "remove_input"; readonly type: string })
  | { readonly kind: "set_type"; readonly node: string; readonly was: string; readonly to: string }
  | (InputEnd & {
      readonly kind: "insert_node";
      readonly source: string;
      readonly type: string;
      readonly enters: string;
      readonly leaves: string;
    });

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
  switch (fix.kind) {
    case "set_input":
      return typeof fix.to === "string" ? `use ${fix.to}` : `connect ${fix.to.from ?? fix.to.param}`;
    case "connect":
      return `connect ${fix.source}`;
    case "rename_input":
      return `rename ${fix.input} to ${fix.to}`;
    case "remove_input":
      return `remove ${fix.input}`;
    case "set_type":
      return `use ${nameOf(fix.to)}`;
    case "insert_node":
      return `insert ${nameOf(fix.type)}`;
  }
}

function nameOf(type: string): string {
  return type.replace(/@.*$/, "");
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
