/** A graph of a thousand nodes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./fixtures.ts";

interface GraphFile {
  inputs: Record<string, { default?: unknown }>;
  nodes: Record<string, object>;
  layout: Record<string, [number, number]>;
}

/** The id of a node in the middle of the graph. */
export const MIDDLE = "prompt-500";

/** The example `text_to_image`, with prompts below it until there are a thousand nodes; a run needs none of them. */
export function largeGraph(steps: number): GraphFile {
  const graph = JSON.parse(readFileSync(join(ROOT, "graphs", "text_to_image.json"), "utf8")) as GraphFile;
  if (graph.inputs.steps) graph.inputs.steps.default = steps;
  const count = 1000 - Object.keys(graph.nodes).length;
  for (let n = 0; n < count; n += 1) {
    graph.nodes[`prompt-${n}`] = {
      type: "EncodePrompt@2",
      inputs: { encoder: { from: "model.encoder" }, prompt: `number ${n}` },
    };
    graph.layout[`prompt-${n}`] = [(n % 40) * 304, 800 + Math.floor(n / 40) * 264];
  }
  return graph;
}
