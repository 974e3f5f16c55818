/** Where a painted mask goes in a graph: to the LoadMask that belongs to a picture, or to a new one. */
import { addNode } from "../document/edit/nodes";
import { heldValue, setValue } from "../document/edit/values";
import { connect, consumers } from "../document/edit/wires";
import { type Binding, type Graph, type InputEnd, literal } from "../document/graph";
import type { TypedGraph } from "../schema/typedGraph";

const LOADER = "LoadMask";
/** The place of a new node below the picture's. */
const BELOW = 160;

/** What a mask is painted on. */
export interface MaskPlace {
  /** The value of the picture, such as `sha256:…`. */
  readonly picture: string;
  /** The value of the mask as it is; undefined if there is none. */
  readonly mask: string | undefined;
}

function fileOf(graph: Graph, end: InputEnd | undefined): string | undefined {
  const value = end && heldValue(graph, end);
  return typeof value === "string" && value !== "" ? value : undefined;
}

const isLoader = (typed: TypedGraph, node: string) => typed.type(node).name === LOADER;

/** The inputs of the nodes that a node's outputs go to, of a wire type. */
function inputsBeside(graph: Graph, typed: TypedGraph, node: string, wire: string): InputEnd[] {
  return consumers(graph, node).flatMap(({ node: taker }) =>
    typed
      .type(taker)
      .inputs.filter((input) => input.wire.name === wire && input.wire.lists === 0)
      .map((input) => ({ node: taker, input: input.name })),
  );
}

/** The node before an input of a kind, past nodes that change a mask or a picture. */
function sourceOf(graph: Graph, typed: TypedGraph, end: InputEnd, wire: string): string | undefined {
  const seen = new Set<string>();
  let at: InputEnd | undefined = end;
  while (at) {
    const binding: Binding | undefined = graph.nodes.get(at.node)?.inputs.get(at.input);
    if (binding?.kind !== "from" || seen.has(binding.node)) return undefined;
    seen.add(binding.node);
    const before: { name: string } | undefined = typed
      .type(binding.node)
      .inputs.find((input) => input.wire.name === wire);
    if (!before) return binding.node;
    at = { node: binding.node, input: before.name };
  }
  return undefined;
}

/** The LoadMask whose mask is used together with the picture of a node. */
function loaderFor(graph: Graph, typed: TypedGraph, node: string): InputEnd | undefined {
  if (isLoader(typed, node)) return { node, input: "image" };
  for (const end of inputsBeside(graph, typed, node, "Mask")) {
    const source = sourceOf(graph, typed, end, "Mask");
    if (source !== undefined && isLoader(typed, source)) return { node: source, input: "image" };
  }
  return undefined;
}

/** The picture to paint on for the file of a node, and its mask; undefined if the node has no picture. */
export function maskPlace(graph: Graph, typed: TypedGraph, end: InputEnd): MaskPlace | undefined {
  const own = fileOf(graph, end);
  const kinds = typed.type(end.node).outputs.map((output) => output.wire.name);
  if (own === undefined || !(kinds.includes("Image") || isLoader(typed, end.node))) return undefined;
  if (!isLoader(typed, end.node))
    return { picture: own, mask: fileOf(graph, loaderFor(graph, typed, end.node)) };
  for (const beside of inputsBeside(graph, typed, end.node, "Image")) {
    const source = sourceOf(graph, typed, beside, "Image");
    const picture = source && fileOf(graph, { node: source, input: "image" });
    if (picture) return { picture, mask: own };
  }
  return { picture: own, mask: own };
}

/** Give the picture of a node a mask; returns the LoadMask that has it, and whether something takes it. */
export function withMask(
  graph: Graph,
  typed: TypedGraph,
  end: InputEnd,
  value: string,
): { graph: Graph; node: string; isTaken: boolean } {
  const known = loaderFor(graph, typed, end.node);
  if (known) return { graph: setValue(graph, known, value), node: known.node, isTaken: true };
  const type = typed.types.get(LOADER);
  const [x, y] = graph.layout.get(end.node) ?? [0, 0];
  const inputs = new Map([["image", literal(value)]]);
  const added = addNode(graph, type?.id ?? LOADER, [x, y + BELOW], inputs);
  const free = inputsBeside(graph, typed, end.node, "Mask").filter(
    ({ node, input }) => graph.nodes.get(node)?.inputs.get(input)?.kind !== "from",
  );
  const output = type?.outputs[0]?.name ?? "out";
  const next = free.reduce(
    (state, to) => connect(state, { kind: "from", node: added.id, output }, to),
    added.graph,
  );
  return { graph: next, node: added.id, isTaken: free.length > 0 };
}
