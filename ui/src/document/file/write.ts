/**
 * Writes a graph document: one canonical text for each graph, the same as that of `engine/document/writer.py`.
 *
 * Keys have a fixed order, each input, position and frame has its own line, and the text ends in a newline. Reading and
 * writing again gives the same bytes, and moving a node changes one line.
 */

import type { Binding, Entry, Frame, Graph, GraphInput, Note, View } from "../graph";
import { isObject, type Json, writeJson } from "../json/json";
import { FORMAT, LIFTS } from "./format";

/** The canonical text of a graph. */
export function writeGraph(graph: Graph): string {
  const head = [`  "safelight": ${FORMAT}`];
  if (graph.madeWith.size) head.push(`  "made_with": ${writeJson(graph.madeWith)}`);
  return `${document(graph, head)}\n`;
}

/** A binding as JSON of the document; a literal object is wrapped in `{"value": …}`. */
export function bindingJson(binding: Binding): Json {
  switch (binding.kind) {
    case "from":
      return new Map([["from", `${binding.node}.${binding.output}`]]);
    case "param":
      return new Map([["param", binding.name]]);
    case "value":
      return isObject(binding.value) ? new Map([["value", binding.value]]) : binding.value;
  }
}

function document(graph: Graph, head: readonly string[]): string {
  const lines = [...head];
  if (graph.title) lines.push(`  "title": ${writeJson(graph.title)}`);
  if (graph.doc) lines.push(`  "doc": ${writeJson(graph.doc)}`);
  if (graph.inputs.size) lines.push(block("inputs", graph.inputs, (item) => writeJson(inputJson(item))));
  if (graph.outputs.size) lines.push(block("outputs", graph.outputs, (item) => writeJson(bindingJson(item))));
  if (graph.passes.size) lines.push(`  "passes": ${writeJson(graph.passes)}`);
  lines.push(block("nodes", graph.nodes, entryText));
  if (graph.graphs.size) {
    lines.push(block("graphs", graph.graphs, (inner) => document(inner, []).replaceAll("\n", "\n    ")));
  }
  if (graph.layout.size) lines.push(block("layout", graph.layout, writeJson));
  const view = viewText(graph.view);
  if (view) lines.push(view);
  return `{\n${lines.join(",\n")}\n}`;
}

function inputJson(item: GraphInput): Json {
  const tree = new Map<string, Json>([["type", item.type]]);
  if (item.default !== undefined) tree.set("default", item.default);
  if (item.choices.length) tree.set("choices", item.choices);
  if (item.sweep) tree.set("sweep", item.sweep);
  if (item.doc) tree.set("doc", item.doc);
  return tree;
}

function entryText(entry: Entry): string {
  let head = `"type": ${writeJson(entry.type)}`;
  if (entry.title) head += `, "title": ${writeJson(entry.title)}`;
  if (entry.off) head += ', "off": true';
  if (entry.lift !== LIFTS[0]) head += `, "lift": ${writeJson(entry.lift)}`;
  if (!entry.inputs.size) return `{${head}}`;
  const inputs = [...entry.inputs].map(
    ([name, item]) => `      ${writeJson(name)}: ${writeJson(bindingJson(item))}`,
  );
  return `{${head}, "inputs": {\n${inputs.join(",\n")}\n    }}`;
}

function viewText(view: View): string | undefined {
  const parts: string[] = [];
  if (view.frames.size) parts.push(block("frames", view.frames, (item) => writeJson(frameJson(item))));
  if (view.notes.size) parts.push(block("notes", view.notes, (item) => writeJson(noteJson(item))));
  if (view.collapsed.length) {
    const names = view.collapsed.map((name) => `    ${writeJson(name)}`);
    parts.push(`  "collapsed": [\n${names.join(",\n")}\n  ]`);
  }
  if (view.waypoints.size) parts.push(block("waypoints", view.waypoints, (points) => writeJson(points)));
  return parts.length ? `  "view": {\n  ${parts.join(",\n").replaceAll("\n", "\n  ")}\n  }` : undefined;
}

function frameJson(frame: Frame): Json {
  const tree = new Map<string, Json>();
  if (frame.title) tree.set("title", frame.title);
  if (frame.colour) tree.set("colour", frame.colour);
  for (const key of ["nodes", "notes", "frames"] as const) {
    if (frame[key].length) tree.set(key, frame[key]);
  }
  if (frame.box) tree.set("box", frame.box);
  return tree;
}

function noteJson(note: Note): Json {
  const tree = new Map<string, Json>([
    ["text", note.text],
    ["at", note.at],
  ]);
  if (note.size) tree.set("size", note.size);
  if (note.colour) tree.set("colour", note.colour);
  return tree;
}

/** An object with one entry a line. */
function block<T>(name: string, items: ReadonlyMap<string, T>, text: (item: T) => string): string {
  if (!items.size) return `  "${name}": {}`;
  const lines = [...items].map(([key, item]) => `    ${writeJson(key)}: ${text(item)}`);
  return `  "${name}": {\n${lines.join(",\n")}\n  }`;
}
