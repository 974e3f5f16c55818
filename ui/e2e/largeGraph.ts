/** A graph of a thousand nodes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type GraphJson, ROOT } from "./fixtures.ts";

interface LaidOut extends GraphJson {
  layout: Record<string, [number, number]>;
}

/** The id of a node in the middle of the graph. */
export const MIDDLE = "denoise-83";

const COLUMNS = 12;
const [COLUMN, ROW] = [1248, 880];

/**
 * The example `text_to_image` again and again, until there are a thousand nodes. The nodes of the first have the ids of
 * the example; a run needs none of the others.
 *
 * @param steps the default of the input `steps`, which every copy takes.
 */
export function largeGraph(steps: number): LaidOut {
  const graph = JSON.parse(readFileSync(join(ROOT, "graphs", "text_to_image.json"), "utf8")) as LaidOut;
  if (graph.inputs?.steps) graph.inputs.steps.default = steps;
  const originals = Object.entries(graph.nodes);
  for (let n = 1; Object.keys(graph.nodes).length < 1000; n += 1) {
    for (const [id, node] of originals.slice(0, 1000 - Object.keys(graph.nodes).length)) {
      const inputs = Object.entries(node.inputs ?? {}).map(([name, value]) => [name, sourceIn(value, n)]);
      graph.nodes[`${id}-${n}`] = { ...node, inputs: Object.fromEntries(inputs) };
      const [x, y] = graph.layout[id] ?? [0, 0];
      graph.layout[`${id}-${n}`] = [x + (n % COLUMNS) * COLUMN, y + Math.floor(n / COLUMNS) * ROW];
    }
  }
  return graph;
}

/** The value of an input in a copy: a wire comes from the node of the same copy. */
function sourceIn(value: unknown, copy: number): unknown {
  const from = (value as { from?: string } | null)?.from;
  if (from === undefined) return value;
  const [node, output] = from.split(".");
  return { from: `${node}-${copy}.${output}` };
}
