/**
 * Copy and paste as text. The text is a graph document, so it crosses tabs and programs, and can be saved and run.
 */

import { readGraph } from "../file/read";
import { writeGraph } from "../file/write";
import { type Binding, type Frame, type Graph, isGraphType, literal, type Note, type Point } from "../graph";
import { freeId } from "../ids";
import { filtered, mapped, renamed, withKey } from "../maps";
import { membersOf } from "./frames";
import type { Items } from "./items";
import { dropLooseWaypoints, whole } from "./nodes";

/** What was pasted, by the ids it has now. */
export interface Pasted {
  readonly graph: Graph;
  readonly nodes: readonly string[];
  readonly notes: readonly string[];
  readonly frames: readonly string[];
}

/** The text of a choice of things. Wires from nodes outside it stay in the text, for the paste that keeps them. */
export function copyText(graph: Graph, items: Items): string {
  return writeGraph(copied(graph, items));
}

/** A choice of things as a graph of its own; see `copyText`. */
export function copied(graph: Graph, items: Items): Graph {
  const inside = membersOf(graph, items.frames ?? []);
  const nodes = new Set([...(items.nodes ?? []), ...inside.nodes]);
  const notes = new Set([...(items.notes ?? []), ...inside.notes]);
  const chosen = filtered(graph.nodes, (_, id) => nodes.has(id));
  const params = new Set<string>();
  for (const item of chosen.values()) {
    for (const binding of item.inputs.values()) if (binding.kind === "param") params.add(binding.name);
  }
  const { view } = graph;
  return {
    ...graph,
    madeWith: new Map(),
    title: "",
    doc: "",
    inputs: filtered(graph.inputs, (_, name) => params.has(name)),
    outputs: new Map(),
    passes: new Map(),
    nodes: chosen,
    graphs: usedGraphs(graph, chosen.values()),
    layout: filtered(graph.layout, (_, id) => nodes.has(id)),
    view: {
      frames: filtered(view.frames, (_, id) => inside.frames.has(id)),
      notes: filtered(view.notes, (_, id) => notes.has(id)),
      collapsed: view.collapsed.filter((id) => nodes.has(id)),
      waypoints: filtered(view.waypoints, (_, end) => nodes.has(end.split(".")[0] ?? "")),
    },
  };
}

/**
 * Paste copied text, or any graph document, as new nodes.
 *
 * @param at where the top left corner of what is pasted goes.
 * @param keepIncoming true to keep wires from nodes that are not in the text, where the graph has such nodes.
 * @throws DocumentError if the text is not a graph.
 */
export function pasteText(graph: Graph, text: string, at: Point, keepIncoming = false): Pasted {
  return paste(graph, readGraph(text), at, keepIncoming);
}

/** Copy things beside themselves, with the wires that come in. */
export function duplicate(graph: Graph, items: Items, [dx, dy]: Point = [32, 32]): Pasted {
  const found = copied(graph, items);
  const [x, y] = cornerOf(found);
  return paste(graph, found, [x + dx, y + dy], true);
}

/** Put the nodes of a graph into another one as new nodes, in their order; see `pasteText`. */
export function paste(graph: Graph, copied: Graph, at: Point, keepIncoming: boolean): Pasted {
  const corner = cornerOf(copied);
  const shifted = ([x, y]: Point): Point => whole([x - corner[0] + at[0], y - corner[1] + at[1]]);
  const ids = newIds(copied.nodes.keys(), graph.nodes);
  const notes = newIds(copied.view.notes.keys(), graph.view.notes);
  const frames = newIds(copied.view.frames.keys(), graph.view.frames);
  const types = newGraphs(graph, copied);
  const inputs = new Map(graph.inputs);

  function bound(binding: Binding): Binding | undefined {
    if (binding.kind === "from") {
      const node = ids.get(binding.node);
      if (node !== undefined) return { ...binding, node };
      return keepIncoming && graph.nodes.has(binding.node) ? binding : undefined;
    }
    if (binding.kind !== "param" || inputs.has(binding.name)) return binding;
    const value = copied.inputs.get(binding.name)?.default;
    return value === undefined ? undefined : literal(value);
  }

  const nodes = new Map(graph.nodes);
  const layout = new Map(graph.layout);
  for (const [old, item] of copied.nodes) {
    const id = ids.get(old) ?? old;
    const kept = [...item.inputs].flatMap(([name, binding]): [string, Binding][] => {
      const next = bound(binding);
      return next ? [[name, next]] : [];
    });
    const type = item.type.startsWith("#")
      ? `#${types.get(item.type.slice(1)) ?? item.type.slice(1)}`
      : item.type;
    nodes.set(id, { ...item, type, inputs: new Map(kept) });
    layout.set(id, shifted(copied.layout.get(old) ?? corner));
  }
  const graphs = new Map(graph.graphs);
  for (const [old, name] of types) {
    const inner = copied.graphs.get(old);
    if (inner && !graphs.has(name)) graphs.set(name, inner);
  }
  const renameAll = (names: readonly string[], map: ReadonlyMap<string, string>) =>
    names.flatMap((name) => map.get(name) ?? []);
  const view = {
    frames: appended(graph.view.frames, copied.view.frames, frames, (frame): Frame => {
      const box =
        frame.box && ([...shifted([frame.box[0], frame.box[1]]), frame.box[2], frame.box[3]] as const);
      return {
        ...frame,
        nodes: renameAll(frame.nodes, ids),
        notes: renameAll(frame.notes, notes),
        frames: renameAll(frame.frames, frames),
        box,
      };
    }),
    notes: appended(
      graph.view.notes,
      copied.view.notes,
      notes,
      (note): Note => ({ ...note, at: shifted(note.at) }),
    ),
    collapsed: [...graph.view.collapsed, ...renameAll(copied.view.collapsed, ids)],
    waypoints: new Map([
      ...graph.view.waypoints,
      ...mapped(
        renamed(copied.view.waypoints, (end) => {
          const [node = "", input = ""] = end.split(".");
          return `${ids.get(node) ?? node}.${input}`;
        }),
        (points) => points.map(shifted),
      ),
    ]),
  };
  const pasted = dropLooseWaypoints({ ...graph, nodes, layout, inputs, graphs, view });
  return {
    graph: pasted,
    nodes: [...ids.values()],
    notes: [...notes.values()],
    frames: [...frames.values()],
  };
}

/** The left and top of everything in a graph that has a position. */
export function cornerOf(graph: Graph): Point {
  const points: Point[] = [
    ...graph.layout.values(),
    ...[...graph.view.notes.values()].map((note) => note.at),
  ];
  for (const frame of graph.view.frames.values()) if (frame.box) points.push([frame.box[0], frame.box[1]]);
  if (!points.length) return [0, 0];
  return [Math.min(...points.map((point) => point[0])), Math.min(...points.map((point) => point[1]))];
}

function newIds(wanted: Iterable<string>, taken: ReadonlyMap<string, unknown>): Map<string, string> {
  const ids = new Map<string, string>();
  const used = new Set(taken.keys());
  for (const name of wanted) {
    const id = freeId(name, used);
    used.add(id);
    ids.set(name, id);
  }
  return ids;
}

/** The names that the defined graphs of a copy get; a graph that is already there keeps its name. */
function newGraphs(graph: Graph, copied: Graph): Map<string, string> {
  const names = new Map<string, string>();
  const used = new Set(graph.graphs.keys());
  for (const [name, inner] of copied.graphs) {
    const existing = graph.graphs.get(name);
    const same = existing !== undefined && writeGraph(existing) === writeGraph(inner);
    const free = same ? name : freeId(name, used);
    used.add(free);
    names.set(name, free);
  }
  return names;
}

/** The defined graphs that nodes use. Graphs inside them look names up outside, so all of those come too. */
function usedGraphs(graph: Graph, nodes: Iterable<{ readonly type: string }>): ReadonlyMap<string, Graph> {
  const used = new Set<string>();
  const open = [...nodes].map((item) => item.type);
  for (let type = open.pop(); type !== undefined; type = open.pop()) {
    const name = type.slice(1);
    const inner = isGraphType(type) && type.startsWith("#") ? graph.graphs.get(name) : undefined;
    if (inner === undefined || used.has(name)) continue;
    used.add(name);
    open.push(...typesIn(inner));
  }
  return filtered(graph.graphs, (_, name) => used.has(name));
}

/** The types of the nodes of a graph, and of the graphs that are defined in it. */
export function* typesIn(graph: Graph): Generator<string> {
  for (const item of graph.nodes.values()) yield item.type;
  for (const inner of graph.graphs.values()) yield* typesIn(inner);
}

function appended<T>(
  map: ReadonlyMap<string, T>,
  more: ReadonlyMap<string, T>,
  names: ReadonlyMap<string, string>,
  change: (item: T) => T,
): ReadonlyMap<string, T> {
  let all = map;
  for (const [old, item] of more) all = withKey(all, names.get(old) ?? old, change(item));
  return all;
}
