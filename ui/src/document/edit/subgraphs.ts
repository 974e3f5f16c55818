/** Changes of subgraphs: unpack one, rename its inputs and outputs wherever it is used. */
import { type Binding, type From, from, type Graph, literal } from "../graph";
import { filtered, mapped, renamed, withKey, withoutKeys } from "../maps";
import { paste, typesIn } from "./clipboard";
import { frameAround, putInFrame } from "./frames";
import { renameInput } from "./graphInputs";
import { changeNode, deleteItems } from "./nodes";

/**
 * Replace a node by the nodes of the graph that it stands for.
 *
 * @param inner the graph that the type of the node names.
 * @returns The graph, and the ids of the nodes that took the place of the node.
 */
export function unpack(graph: Graph, id: string, inner: Graph): { graph: Graph; nodes: readonly string[] } {
  const node = graph.nodes.get(id);
  if (node === undefined) return { graph, nodes: [] };
  // The inner nodes are put in without their ports, so that no name of the inner graph is taken for one outside.
  const free = mapped(inner.nodes, (item) => ({
    ...item,
    inputs: filtered(item.inputs, (binding) => binding.kind !== "param"),
  }));
  const pasted = paste(
    graph,
    { ...inner, inputs: new Map(), nodes: free },
    graph.layout.get(id) ?? [0, 0],
    false,
  );
  const ids = new Map([...inner.nodes.keys()].map((name, i) => [name, pasted.nodes[i] ?? name]));
  let changed = pasted.graph;
  for (const [name, item] of inner.nodes) {
    const own = ids.get(name) ?? name;
    changed = changeNode(changed, own, (put) => {
      const inputs = [...item.inputs].flatMap(([input, binding]): [string, Binding][] => {
        const next =
          binding.kind === "param" ? outside(node.inputs, inner, binding.name) : put.inputs.get(input);
        return next === undefined ? [] : [[input, next]];
      });
      return { ...put, inputs: new Map(inputs) };
    });
  }
  const follow = <T extends Binding>(binding: T): T | From => {
    if (binding.kind !== "from" || binding.node !== id) return binding;
    const link = inner.outputs.get(binding.output);
    return link ? from(ids.get(link.node) ?? link.node, link.output) : binding;
  };
  const nodes = mapped(changed.nodes, (item) => {
    const inputs = mapped(item.inputs, follow);
    return inputs === item.inputs ? item : { ...item, inputs };
  });
  const around = frameAround(graph, "nodes", id);
  changed = { ...changed, nodes, outputs: mapped(changed.outputs, (link) => follow(link)) };
  if (around !== undefined) {
    const outermost = pasted.frames.filter((name) => frameAround(changed, "frames", name) === undefined);
    const loose = pasted.nodes.filter((name) => frameAround(changed, "nodes", name) === undefined);
    changed = putInFrame(changed, { nodes: loose, frames: outermost }, around);
  }
  changed = deleteItems(changed, { nodes: [id] });
  return { graph: withoutUnused(changed, node.type.slice(1)), nodes: pasted.nodes };
}

/** What an input of the inner graph is set to outside, else its default. */
function outside(given: ReadonlyMap<string, Binding>, inner: Graph, name: string): Binding | undefined {
  const value = inner.inputs.get(name)?.default;
  return given.get(name) ?? (value === undefined ? undefined : literal(value));
}

/** Without a defined graph that no node uses any more. */
function withoutUnused(graph: Graph, name: string): Graph {
  if (!graph.graphs.has(name) || [...typesIn(graph)].includes(`#${name}`)) return graph;
  return { ...graph, graphs: withoutKeys(graph.graphs, new Set([name])) };
}

/**
 * Rename an input or output of a subgraph, and of every node that stands for it.
 *
 * @param root the whole document.
 * @param path the names that lead to the subgraph; at least one.
 */
export function renamePort(
  root: Graph,
  path: readonly string[],
  side: "inputs" | "outputs",
  name: string,
  wanted: string,
): Graph {
  const [next = "", ...rest] = path;
  const inner = root.graphs.get(next);
  if (inner === undefined) return root;
  if (rest.length > 0) {
    return { ...root, graphs: withKey(root.graphs, next, renamePort(inner, rest, side, name, wanted)) };
  }
  const changed = side === "inputs" ? renameInput(inner, name, wanted) : renameOutput(inner, name, wanted);
  if (changed === inner) return root;
  const rename = (old: string) => (old === name ? wanted : old);
  return renameUses({ ...root, graphs: withKey(root.graphs, next, changed) }, `#${next}`, side, rename, true);
}

function renameOutput(graph: Graph, name: string, wanted: string): Graph {
  if (!graph.outputs.has(name) || graph.outputs.has(wanted)) return graph;
  const rename = (old: string) => (old === name ? wanted : old);
  return { ...graph, outputs: renamed(graph.outputs, rename), passes: renamed(graph.passes, rename) };
}

/** Rename a port at the nodes of a type, here and in the graphs defined here, unless one has its own of that name. */
function renameUses(
  graph: Graph,
  type: string,
  side: "inputs" | "outputs",
  rename: (old: string) => string,
  isOwner: boolean,
): Graph {
  if (!isOwner && graph.graphs.has(type.slice(1))) return graph;
  const users = new Set([...graph.nodes].filter(([, item]) => item.type === type).map(([id]) => id));
  const follow = <T extends Binding>(binding: T): T =>
    side === "outputs" && binding.kind === "from" && users.has(binding.node)
      ? { ...binding, output: rename(binding.output) }
      : binding;
  const nodes = mapped(graph.nodes, (item, id) => {
    const own = side === "inputs" && users.has(id) ? renamed(item.inputs, rename) : item.inputs;
    const inputs = mapped(own, follow);
    return inputs === item.inputs ? item : { ...item, inputs };
  });
  const waypoints = renamed(graph.view.waypoints, (end) => {
    const [node = "", input = ""] = end.split(".");
    return side === "inputs" && users.has(node) ? `${node}.${rename(input)}` : end;
  });
  return {
    ...graph,
    nodes,
    outputs: mapped(graph.outputs, follow),
    graphs: mapped(graph.graphs, (inner) => renameUses(inner, type, side, rename, false)),
    view: { ...graph.view, waypoints },
  };
}
