/** The geometry of a node of a graph, computed once for each state of the node. */

import type { Box, Entry, Graph } from "../document/graph";
import { geometry, type NodeGeometry } from "./geometry";
import type { NodeType } from "./nodeTypes";
import type { TypedGraph } from "./typedGraph";

/** What the viewer chose for a node. */
export interface Chosen {
  readonly unfolded?: boolean;
  readonly scale?: number;
}

interface Kept {
  readonly type: NodeType;
  readonly key: string;
  readonly shape: NodeGeometry;
}

const cache = new WeakMap<Entry, Kept>();

/** The geometry of a node; undefined if there is no such node. The same object as long as nothing of it changes. */
export function nodeShape(
  graph: Graph,
  typed: TypedGraph,
  id: string,
  chosen: Chosen = {},
): NodeGeometry | undefined {
  const entry = graph.nodes.get(id);
  if (!entry) return undefined;
  const { unfolded = false, scale = 1 } = chosen;
  const type = typed.type(id);
  const wired = typed.wiredOutputs(id);
  const collapsed = graph.view.collapsed.includes(id);
  const key = [collapsed, unfolded, scale, ...wired].join(" ");
  const kept = cache.get(entry);
  if (kept?.type === type && kept.key === key) return kept.shape;
  const shape = geometry(type, entry, { collapsed, unfolded, wired, scale });
  cache.set(entry, { type, key, shape });
  return shape;
}

/** The box of a node on the canvas; undefined if it has no position. */
export function nodeBox(graph: Graph, typed: TypedGraph, id: string, chosen: Chosen = {}): Box | undefined {
  const shape = nodeShape(graph, typed, id, chosen);
  const at = graph.layout.get(id);
  return shape && at && [at[0], at[1], shape.width, shape.height];
}
