/** Puts a trained LoRA or embedding into a graph. */
import { addNode } from "../../document/edit/nodes";
import { connect, consumers } from "../../document/edit/wires";
import { type Binding, from, type Graph, literal, type Point } from "../../document/graph";
import { asFloat } from "../../document/json/json";
import type { NodeTypes } from "../../schema/nodeTypes";

/** How far above the model loader the new node stands. */
const ABOVE = 280;

export type TrainedKind = "lora" | "embedding";

/** What a file is that a node of this type has published or saved; null if it is neither a LoRA nor an embedding. */
export function kindOf(type: string, file: string): TrainedKind | null {
  if (!/\.(safetensors|pt)$/.test(file) || /(^|\/)state-/.test(file)) return null;
  if (/^(TrainTI|SaveEmbedding)@/.test(type)) return "embedding";
  return /^(TrainLoRA|SaveLoRA)@/.test(type) ? "lora" : null;
}

/** The node that gives a model and a text encoder to others; undefined if there is none. */
function loaderOf(graph: Graph, types: NodeTypes): string | undefined {
  for (const [id, node] of graph.nodes) {
    const outputs = new Set(types.get(node.type)?.outputs.map((output) => output.name));
    if (node.type.startsWith("LoadModel") && outputs.has("model") && outputs.has("encoder")) return id;
  }
  return undefined;
}

/**
 * The graph with a trained file behind its model loader: everything that took the model or the text encoder takes them
 * with the LoRA or the embedding.
 *
 * @returns The graph and the new node; undefined if the graph loads no model, or such a node type is not installed.
 */
export function withTrained(
  graph: Graph,
  types: NodeTypes,
  kind: TrainedKind,
  file: string,
): { graph: Graph; id: string } | undefined {
  const type = types.get(kind === "lora" ? "ApplyLoRA" : "LoadEmbeddings");
  const loader = loaderOf(graph, types);
  if (type === undefined || loader === undefined) return undefined;
  const [x, y]: Point = graph.layout.get(loader) ?? [0, 0];
  const inputs = new Map<string, Binding>([["encoder", from(loader, "encoder")]]);
  if (kind === "lora") {
    inputs.set("model", from(loader, "model"));
    inputs.set("lora", literal(file));
    inputs.set("weight", literal(asFloat(1)));
  } else {
    inputs.set("files", literal(file));
  }
  const replaced = kind === "lora" ? (["model", "encoder"] as const) : (["encoder"] as const);
  const takers = replaced.map((output) => [output, consumers(graph, loader, output)] as const);
  const added = addNode(graph, type.id, [x, y - ABOVE], inputs);
  let changed = added.graph;
  for (const [output, ends] of takers) {
    const source = from(added.id, kind === "lora" ? output : "out");
    for (const end of ends) changed = connect(changed, source, end);
  }
  return { graph: changed, id: added.id };
}
