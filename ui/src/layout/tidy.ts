/** Lays out nodes in columns from left to right, by dagre; what does so is loaded when it is first needed. */

import { type Graph, type Point, wires } from "../document/graph";

/** Space between columns and between the nodes of a column. */
export const COLUMN_GAP = 48;
export const ROW_GAP = 28;
/** Nodes stand on multiples of this. */
export const SNAP = 8;

/** The size of a node, with the heights of its sockets where they are known. */
export interface Size {
  readonly width: number;
  readonly height: number;
  readonly inputs?: ReadonlyMap<string, number>;
  readonly outputs?: ReadonlyMap<string, number>;
}

/**
 * Places for nodes, so that wires go from left to right and nothing overlaps.
 *
 * @param ids the nodes to lay out; the left and top of the first of them stay. All nodes if not given.
 * @param sizeOf the size of a node.
 */
export async function tidy(
  graph: Graph,
  sizeOf: (id: string) => Size,
  ids: Iterable<string> = graph.nodes.keys(),
): Promise<ReadonlyMap<string, Point>> {
  const chosen = new Set([...ids].filter((id) => graph.nodes.has(id)));
  const [{ Graph: Dagre, layout }, { orderBySockets }] = await Promise.all([
    import("@dagrejs/dagre"),
    import("./orderBySockets"),
  ]);
  const drawn = new Dagre();
  drawn.setGraph({
    rankdir: "LR",
    nodesep: ROW_GAP + SNAP,
    ranksep: COLUMN_GAP + SNAP,
    ranker: "network-simplex",
  });
  drawn.setDefaultEdgeLabel(() => ({}));
  for (const id of chosen) drawn.setNode(id, { ...sizeOf(id) });
  for (const { from, to } of wires(graph)) {
    if (from.node !== to.node && chosen.has(from.node) && chosen.has(to.node))
      drawn.setEdge(from.node, to.node);
  }
  layout(drawn);
  const places = new Map<string, Point>();
  const columns = new Map<number, string[]>();
  for (const id of chosen) {
    const { x, y } = drawn.node(id);
    const { width, height } = sizeOf(id);
    places.set(id, [x - width / 2, y - height / 2]);
    const column = columns.get(Math.round(x));
    if (column) column.push(id);
    else columns.set(Math.round(x), [id]);
  }
  orderBySockets(graph, sizeOf, places, [...columns.values()]);
  return anchored(places, cornerOf(graph, chosen));
}

/**
 * Places for the nodes of a graph that have none: the whole graph laid out, or the new nodes below the others.
 * Documents of other programs and graphs written by hand may have no layout.
 */
export async function missingPlaces(
  graph: Graph,
  sizeOf: (id: string) => Size,
): Promise<ReadonlyMap<string, Point>> {
  const missing = [...graph.nodes.keys()].filter((id) => !graph.layout.has(id));
  if (!missing.length) return new Map();
  const places = await tidy(graph, sizeOf, missing);
  const placed = [...graph.layout].filter(([id]) => graph.nodes.has(id));
  if (!placed.length) return places;
  const left = Math.min(...placed.map(([, [x]]) => x));
  const bottom = Math.max(...placed.map(([id, [, y]]) => y + sizeOf(id).height));
  return anchored(places, [left, bottom + ROW_GAP]);
}

/** The left and top of the nodes that have a position. */
function cornerOf(graph: Graph, ids: ReadonlySet<string>): Point {
  const points = [...ids].flatMap((id) => [graph.layout.get(id) ?? []]).filter((point) => point.length === 2);
  if (!points.length) return [0, 0];
  return [Math.min(...points.map(([x]) => x)), Math.min(...points.map(([, y]) => y))];
}

/** Places moved so that their left and top are at a point, on the grid. */
function anchored(places: ReadonlyMap<string, Point>, [left, top]: Point): Map<string, Point> {
  const dx = left - Math.min(...[...places.values()].map(([x]) => x));
  const dy = top - Math.min(...[...places.values()].map(([, y]) => y));
  const snap = (value: number) => Math.round(value / SNAP) * SNAP + 0;
  return new Map([...places].map(([id, [x, y]]) => [id, [snap(x + dx), snap(y + dy)]]));
}
