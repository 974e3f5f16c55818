/** The captions of a dataset in the graph: SetCaptions holds them by the names of the pictures. */

import { addNode } from "../../document/edit/nodes";
import { heldValue } from "../../document/edit/values";
import { connect, consumers, setBinding } from "../../document/edit/wires";
import {
  type Binding,
  type From,
  from,
  type Graph,
  literal,
  type Point,
  typeName,
} from "../../document/graph";
import { isObject, type Json } from "../../document/json/json";
import { mapped } from "../../document/maps";
import { matcher } from "../../lists/listKeys";
import type { TypedGraph } from "../../schema/typedGraph";
import type { Schemas } from "../../server/requests/client";

export type Row = Schemas["ListedPicture"];
export type Captions = ReadonlyMap<string, string>;

/** The outputs of a node that are datasets. */
export function datasetOutputs(typed: TypedGraph, node: string): string[] {
  return typed
    .type(node)
    .outputs.filter(({ name }) => isDataset(typed, from(node, name)))
    .map(({ name }) => name);
}

function isDataset(typed: TypedGraph, source: From): boolean {
  const wire = typed.output(source);
  return wire.name === "Dataset" && wire.lists === 0;
}

/**
 * The dataset to show for a node: its own, or the one that it takes; undefined if it has neither. A node that only
 * holds edited captions is shown as its source with these captions, so that they can be taken back.
 */
export function datasetOf(typed: TypedGraph, node: string, output?: string): From | undefined {
  const own = output ?? datasetOutputs(typed, node)[0];
  const taken = typed.nodes.get(node)?.inputs.get("dataset");
  if (taken?.kind === "from" && isDataset(typed, taken)) {
    if (own === undefined) return taken;
    if (holdsCaptions(typed.scope[0], node)) return datasetOf(typed, taken.node, taken.output);
  }
  return own === undefined ? undefined : from(node, own);
}

/** True for a SetCaptions that does nothing but replace captions by name. */
function holdsCaptions(graph: Graph, node: string): boolean {
  const item = graph.nodes.get(node);
  if (!item || item.off || typeName(item.type) !== "SetCaptions") return false;
  const { captions, by_name, existing } = Object.fromEntries(item.inputs);
  const holds = (binding: Binding | undefined, value: Json) =>
    binding === undefined || (binding.kind === "value" && binding.value === value);
  return holds(captions, null) && holds(existing, "replace") && (by_name?.kind ?? "value") === "value";
}

/** The node directly behind an output that holds its edited captions. */
export function captionNode(graph: Graph, { node, output }: From): string | undefined {
  const takers = consumers(graph, node, output);
  return takers.find((end) => end.input === "dataset" && holdsCaptions(graph, end.node))?.node;
}

/** The captions that a node holds by name. */
export function captionsIn(graph: Graph, node: string | undefined): Captions {
  const value = node === undefined ? undefined : heldValue(graph, { node, input: "by_name" });
  return new Map(isObject(value) ? [...value].map(([name, text]) => [name, String(text)]) : []);
}

/**
 * The graph with another caption of a picture; undefined is the original one again. The first caption inserts a
 * SetCaptions of the type `setCaptions` at a point: all that took the dataset takes it from there.
 */
export function withCaption(
  graph: Graph,
  { setCaptions, at }: { setCaptions: string; at: Point },
  source: From,
  name: string,
  caption: string | undefined,
): { graph: Graph; id: string; isNew: boolean } {
  const known = captionNode(graph, source);
  const captions = new Map(captionsIn(graph, known));
  if (caption === undefined) captions.delete(name);
  else captions.set(name, caption);
  const value = literal(new Map([...captions].sort(([a], [b]) => (a < b ? -1 : 1))));
  if (known !== undefined) {
    return { graph: setBinding(graph, { node: known, input: "by_name" }, value), id: known, isNew: false };
  }
  const inputs = { dataset: source, by_name: value };
  const added = addNode(graph, setCaptions, at, new Map<string, Binding>(Object.entries(inputs)));
  const behind = from(added.id, "out");
  const isSource = (link: From) => link.node === source.node && link.output === source.output;
  const takers = consumers(graph, source.node, source.output);
  const wired = takers.reduce((state, end) => connect(state, behind, end), added.graph);
  const outputs = mapped(wired.outputs, (link) => (isSource(link) ? behind : link));
  return { graph: { ...wired, outputs }, id: added.id, isNew: true };
}

const TRIGGERS = /^Train(LoRA|Model)@/;
const NAMES = /^Train(TI|Pivotal)@/;

/** The word that a training behind a dataset teaches. */
export function triggerBehind(graph: Graph, source: From): string | undefined {
  const seen = new Set<string>();
  const open = consumers(graph, source.node, source.output).map((end) => end.node);
  for (let id = open.shift(); id !== undefined; id = open.shift()) {
    if (seen.has(id)) continue;
    seen.add(id);
    const type = graph.nodes.get(id)?.type ?? "";
    const input = TRIGGERS.test(type) ? "trigger" : NAMES.test(type) ? "name" : "";
    const word = heldValue(graph, { node: id, input });
    if (typeof word === "string" && word.trim() !== "") return word.trim();
    open.push(...consumers(graph, id).map((end) => end.node));
  }
  return undefined;
}

export interface Listed {
  readonly rows: readonly Row[];
  readonly captions: Captions;
  /** The word that captions may lack. */
  readonly word: string | undefined;
}

/** The caption of a picture: the edited one, or that of the dataset. */
export function captionOf({ captions }: Pick<Listed, "captions">, row: Row): string {
  return captions.get(row.name) ?? row.caption;
}

/** The size of a picture as it is used; empty if it cannot be read. */
export function sizeOf({ width, height }: Row): string {
  return width == null || height == null ? "" : `${width} × ${height}`;
}

const MOST_SIZES = 8;

/** The kinds of pictures, by label, with a test for each. Sizes are kinds if there are several, but not many. */
export function kindsOf(listed: Listed): Map<string, (row: Row) => boolean> {
  const { rows, captions, word } = listed;
  const kinds = new Map<string, (row: Row) => boolean>([
    ["All", () => true],
    ["Without caption", (row) => captionOf(listed, row).trim() === ""],
    ["Changed here", (row) => captions.has(row.name)],
  ]);
  if (word !== undefined) kinds.set(`Lack “${word}”`, (row) => lacks(captionOf(listed, row), word));
  const sizes = new Set(rows.map(sizeOf).filter(Boolean));
  if (sizes.size > 1 && sizes.size <= MOST_SIZES)
    for (const size of sizes) kinds.set(size, (row) => sizeOf(row) === size);
  return kinds;
}

/** True if a caption does not contain a word. The name of an embedding may be written with brackets or without. */
function lacks(caption: string, word: string): boolean {
  return !caption.toLowerCase().includes(word.replace(/^<(.*)>$/, "$1").toLowerCase());
}

/** The places of the pictures of a kind that have all words of a search in their name or caption. */
export function shown(listed: Listed, kind: string, search: string): number[] {
  const matches = matcher(search);
  const isOfKind = kindsOf(listed).get(kind) ?? (() => true);
  return listed.rows.flatMap((row, place) => {
    return isOfKind(row) && matches(`${row.name} ${captionOf(listed, row)}`) ? [place] : [];
  });
}
