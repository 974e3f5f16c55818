/** Orders the nodes of a column as the sockets that they are wired to, which dagre does not know. */

import { type Graph, type Point, wires } from "../document/graph";
import type { Size } from "./tidy";

const PASSES = 24;
/** In graphs with more wires, crossings are not counted. */
const MOST_WIRES = 400;

/** A wire with the heights of its sockets on its two nodes, and the width of the node that it leaves. */
interface Ends {
  readonly from: string;
  readonly to: string;
  readonly out: number;
  readonly into: number;
  readonly width: number;
}

/**
 * Exchange neighbours in a column while that uncrosses wires, or brings their ends closer to the same height.
 *
 * @param places the left and top of each node; changed in place.
 * @param columns the nodes of each column.
 */
export function orderBySockets(
  graph: Graph,
  sizeOf: (id: string) => Size,
  places: Map<string, Point>,
  columns: readonly string[][],
): void {
  const all = endsOf(graph, sizeOf, places);
  const ends = new Map<string, Set<Ends>>([...places.keys()].map((id) => [id, new Set()]));
  for (const wire of all) {
    ends.get(wire.from)?.add(wire);
    ends.get(wire.to)?.add(wire);
  }
  const topOf = (id: string) => places.get(id)?.[1] ?? 0;
  const move = (id: string, top: number) => places.set(id, [places.get(id)?.[0] ?? 0, top]);

  /** Crossings and squared heights of the wires of two nodes. */
  function cost(a: string, b: string): readonly [crossings: number, heights: number] {
    const near = new Set([...(ends.get(a) ?? []), ...(ends.get(b) ?? [])]);
    let crossings = 0;
    let heights = 0;
    for (const wire of near) {
      const [, y1, , y2] = line(places, wire);
      heights += (y1 - y2) ** 2;
      if (all.length <= MOST_WIRES) for (const other of all) if (cross(places, wire, other)) crossings += 1;
    }
    return [crossings, heights];
  }

  for (let pass = 0, changed = true; changed && pass < PASSES; pass += 1) {
    changed = false;
    for (const column of columns) {
      column.sort((a, b) => topOf(a) - topOf(b));
      for (let n = 0; n + 1 < column.length; n += 1) {
        const [upper = "", lower = ""] = column.slice(n, n + 2);
        const [top, below] = [topOf(upper), topOf(lower)];
        const before = cost(upper, lower);
        move(lower, top);
        move(upper, below + sizeOf(lower).height - sizeOf(upper).height);
        const after = cost(upper, lower);
        if (after[0] < before[0] || (after[0] === before[0] && after[1] < before[1] - 1)) {
          column.splice(n, 2, lower, upper);
          changed = true;
        } else {
          move(upper, top);
          move(lower, below);
        }
      }
    }
  }
}

function endsOf(graph: Graph, sizeOf: (id: string) => Size, places: ReadonlyMap<string, Point>): Ends[] {
  return [...wires(graph)]
    .filter(({ from, to }) => places.has(from.node) && places.has(to.node) && from.node !== to.node)
    .map(({ from, to }) => {
      const [source, target] = [sizeOf(from.node), sizeOf(to.node)];
      return {
        from: from.node,
        to: to.node,
        out: source.outputs?.get(from.output) ?? source.height / 2,
        into: target.inputs?.get(to.input) ?? target.height / 2,
        width: source.width,
      };
    });
}

type Line = readonly [x1: number, y1: number, x2: number, y2: number];

function line(places: ReadonlyMap<string, Point>, wire: Ends): Line {
  const [x1, y1] = places.get(wire.from) ?? [0, 0];
  const [x2, y2] = places.get(wire.to) ?? [0, 0];
  return [x1 + wire.width, y1 + wire.out, x2, y2 + wire.into];
}

/** True if the straight lines between the ends of two wires cross. */
function cross(places: ReadonlyMap<string, Point>, a: Ends, b: Ends): boolean {
  const [p, q] = [line(places, a), line(places, b)];
  const left = Math.max(p[0], q[0]);
  const right = Math.min(p[2], q[2]);
  if (left >= right) return false;
  const at = (l: Line, x: number) => l[1] + ((l[3] - l[1]) * (x - l[0])) / (l[2] - l[0]);
  return (at(p, left) - at(q, left)) * (at(p, right) - at(q, right)) < 0;
}
