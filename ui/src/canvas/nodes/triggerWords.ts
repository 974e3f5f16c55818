/** The words that invoke a LoRA, and the prompt that they are inserted into. */
import { heldValue } from "../../document/edit/values";
import { type Graph, type InputEnd, wires } from "../../document/graph";
import { named } from "../../schema/nodeTypes";
import type { TypedGraph } from "../../schema/typedGraph";

/** The nearest prompt after a node that holds its own text, a negative one only if there is no other. */
export function promptAfter(graph: Graph, typed: TypedGraph, id: string): InputEnd | undefined {
  const after = new Set([id]);
  for (const node of after)
    for (const { from, to } of wires(graph)) if (from.node === node) after.add(to.node);
  const ends = [...after].flatMap((node): InputEnd[] => {
    const text = typed
      .type(node)
      .inputs.find((input) => input.widget.kind === "text" && input.widget.multiline);
    const isWired = text && graph.nodes.get(node)?.inputs.get(text.name)?.kind === "from";
    return text && !isWired ? [{ node, input: text.name }] : [];
  });
  return ends.find(({ node }) => !isNegative(graph, typed, node)) ?? ends[0];
}

function isNegative(graph: Graph, typed: TypedGraph, node: string): boolean {
  const known = named(typed.type(node).inputs, "negative");
  return known !== undefined && heldValue(graph, { node, input: "negative" }) === true;
}

/** True if a prompt has a word, in any case. */
export function hasWord(text: string, word: string): boolean {
  const letters = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?<![\\p{L}\\p{N}_])${letters}(?![\\p{L}\\p{N}_])`, "iu").test(text);
}

/** A prompt with a word at its end, unless it has it already. */
export function withWord(text: string, word: string): string {
  if (hasWord(text, word)) return text;
  const before = text.trimEnd().replace(/,$/, "");
  return before === "" ? word : `${before}, ${word}`;
}
