/** Changes of frames and notes. A node, note or frame is in at most one frame. */

import type { Box, Frame, Graph, Note, Point } from "../graph";
import { freeId } from "../ids";
import { mapped, withKey, without } from "../maps";
import type { Items } from "./items";
import { moveNodes, whole } from "./nodes";

/** The things inside frames, with those inside the frames inside them. */
export interface Members {
  readonly nodes: ReadonlySet<string>;
  readonly notes: ReadonlySet<string>;
  readonly frames: ReadonlySet<string>;
}

/** Space between a frame's edge and its members, and the height of its title. */
export const FRAME_PADDING = 24;
export const FRAME_TITLE = 28;

/** Put a frame around things; returns its id with the graph. It lies in the frame that all of them were in. */
export function addFrame(graph: Graph, items: Items, title = ""): { graph: Graph; id: string } {
  const id = freeId(title || "frame", graph.view.frames);
  const nodes = [...(items.nodes ?? [])].filter((name) => graph.nodes.has(name));
  const notes = [...(items.notes ?? [])].filter((name) => graph.view.notes.has(name));
  const frames = [...(items.frames ?? [])].filter((name) => graph.view.frames.has(name));
  const outer = commonFrame(graph, { nodes, notes, frames });
  const freed = takeOut(graph, { nodes, notes, frames });
  const frame: Frame = { title, colour: "", nodes, notes, frames, box: undefined };
  let all = withKey(freed.view.frames, id, frame);
  const around = outer === undefined ? undefined : all.get(outer);
  if (outer !== undefined && around) all = withKey(all, outer, { ...around, frames: [...around.frames, id] });
  return { graph: { ...freed, view: { ...freed.view, frames: all } }, id };
}

/** Remove a frame and keep its members; they go to the frame around it. */
export function dissolveFrame(graph: Graph, id: string): Graph {
  const gone = graph.view.frames.get(id);
  if (gone === undefined) return graph;
  const frames = new Map(graph.view.frames);
  frames.delete(id);
  const outer = frameAround(graph, "frames", id);
  const around = outer === undefined ? undefined : frames.get(outer);
  if (outer !== undefined && around) {
    frames.set(outer, {
      ...around,
      nodes: [...around.nodes, ...gone.nodes],
      notes: [...around.notes, ...gone.notes],
      frames: [...around.frames.filter((name) => name !== id), ...gone.frames],
    });
  }
  return { ...graph, view: { ...graph.view, frames } };
}

/** Put things into a frame; undefined takes them out of every frame. */
export function putInFrame(graph: Graph, items: Items, frame: string | undefined): Graph {
  const freed = takeOut(graph, items);
  const target = frame === undefined ? undefined : freed.view.frames.get(frame);
  if (frame === undefined || target === undefined) return freed;
  const inside = membersOf(graph, items.frames ?? []).frames;
  const frames = [...(items.frames ?? [])].filter((name) => name !== frame && !inside.has(frame));
  const changed = {
    ...target,
    nodes: [...target.nodes, ...(items.nodes ?? [])],
    notes: [...target.notes, ...(items.notes ?? [])],
    frames: [...target.frames, ...frames],
  };
  return { ...freed, view: { ...freed.view, frames: withKey(freed.view.frames, frame, changed) } };
}

/** Change a frame's title, colour or box. */
export function changeFrame(
  graph: Graph,
  id: string,
  change: Partial<Pick<Frame, "title" | "colour" | "box">>,
): Graph {
  const frame = graph.view.frames.get(id);
  if (frame === undefined) return graph;
  return {
    ...graph,
    view: { ...graph.view, frames: withKey(graph.view.frames, id, { ...frame, ...change }) },
  };
}

/** Everything inside frames, and the frames themselves. */
export function membersOf(graph: Graph, ids: Iterable<string>): Members {
  const members = { nodes: new Set<string>(), notes: new Set<string>(), frames: new Set<string>() };
  const open = [...ids];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const frame = graph.view.frames.get(id);
    if (frame === undefined || members.frames.has(id)) continue;
    members.frames.add(id);
    for (const name of frame.nodes) if (graph.nodes.has(name)) members.nodes.add(name);
    for (const name of frame.notes) if (graph.view.notes.has(name)) members.notes.add(name);
    open.push(...frame.frames);
  }
  return members;
}

/** The box of a frame: its own, or one that fits its members. Undefined for an empty frame without a box. */
export function frameBox(
  graph: Graph,
  id: string,
  boxOfNode: (node: string) => Box | undefined,
): Box | undefined {
  const frame = graph.view.frames.get(id);
  if (frame?.box) return frame.box;
  const members = membersOf(graph, [id]);
  const boxes = [...members.nodes].map(boxOfNode).filter((box) => box !== undefined);
  for (const name of members.notes) {
    const note = graph.view.notes.get(name);
    if (note) boxes.push([...note.at, ...(note.size ?? NOTE_SIZE)]);
  }
  if (!boxes.length) return undefined;
  const depth = depthOf(graph, id);
  const pad = FRAME_PADDING + depth * 12;
  const [left, top] = [Math.min(...boxes.map((box) => box[0])), Math.min(...boxes.map((box) => box[1]))];
  const right = Math.max(...boxes.map((box) => box[0] + box[2]));
  const bottom = Math.max(...boxes.map((box) => box[1] + box[3]));
  const title = FRAME_TITLE * (depth + 1);
  return [left - pad, top - pad - title, right - left + 2 * pad, bottom - top + 2 * pad + title];
}

export const NOTE_SIZE: Point = [240, 120];

/** Add a note; returns its id with the graph. */
export function addNote(graph: Graph, text: string, at: Point): { graph: Graph; id: string } {
  const id = freeId("note", graph.view.notes);
  const note: Note = { text, at: whole(at), size: undefined, colour: "" };
  return { graph: { ...graph, view: { ...graph.view, notes: withKey(graph.view.notes, id, note) } }, id };
}

/** Change a note. */
export function changeNote(graph: Graph, id: string, change: Partial<Note>): Graph {
  const note = graph.view.notes.get(id);
  if (note === undefined) return graph;
  return { ...graph, view: { ...graph.view, notes: withKey(graph.view.notes, id, { ...note, ...change }) } };
}

/** Move things by a distance: nodes, notes, and frames with all their members. */
export function moveItems(graph: Graph, items: Items, [dx, dy]: Point): Graph {
  const inside = membersOf(graph, items.frames ?? []);
  const nodes = new Set([...(items.nodes ?? []), ...inside.nodes]);
  const notes = new Set([...(items.notes ?? []), ...inside.notes]);
  const shifted = ([x, y]: Point): Point => whole([x + dx, y + dy]);
  if (whole([dx, dy]).every((distance) => distance === 0)) return graph;
  const places = new Map([...nodes].map((id) => [id, shifted(graph.layout.get(id) ?? [0, 0])]));
  const moved = moveNodes(graph, places);
  const view = {
    ...moved.view,
    notes: mapped(moved.view.notes, (note, id) => (notes.has(id) ? { ...note, at: shifted(note.at) } : note)),
    frames: mapped(moved.view.frames, (frame, id) => {
      if (!inside.frames.has(id) || !frame.box) return frame;
      const [x, y] = shifted([frame.box[0], frame.box[1]]);
      return { ...frame, box: [x, y, frame.box[2], frame.box[3]] as const };
    }),
    waypoints: mapped(moved.view.waypoints, (points, end) => {
      const [node = "", input = ""] = end.split(".");
      const binding = moved.nodes.get(node)?.inputs.get(input);
      const both = binding?.kind === "from" && nodes.has(node) && nodes.has(binding.node);
      return both ? points.map(shifted) : points;
    }),
  };
  return { ...moved, view };
}

/** The frame that directly contains a thing; undefined if none does. */
export function frameAround(
  graph: Graph,
  kind: "nodes" | "notes" | "frames",
  id: string,
): string | undefined {
  for (const [name, frame] of graph.view.frames) if (frame[kind].includes(id)) return name;
  return undefined;
}

function commonFrame(
  graph: Graph,
  items: Record<"nodes" | "notes" | "frames", string[]>,
): string | undefined {
  const around = new Set<string | undefined>();
  for (const kind of ["nodes", "notes", "frames"] as const) {
    for (const id of items[kind]) around.add(frameAround(graph, kind, id));
  }
  return around.size === 1 ? [...around][0] : undefined;
}

function takeOut(graph: Graph, items: Items): Graph {
  const [nodes, notes, frames] = [new Set(items.nodes), new Set(items.notes), new Set(items.frames)];
  const next = mapped(graph.view.frames, (frame) => {
    const kept = {
      nodes: without(frame.nodes, nodes),
      notes: without(frame.notes, notes),
      frames: without(frame.frames, frames),
    };
    const same = kept.nodes === frame.nodes && kept.notes === frame.notes && kept.frames === frame.frames;
    return same ? frame : { ...frame, ...kept };
  });
  return next === graph.view.frames ? graph : { ...graph, view: { ...graph.view, frames: next } };
}

/** How many levels of frames are inside a frame; a cycle of frames ends the count. */
function depthOf(graph: Graph, id: string, seen: ReadonlySet<string> = new Set()): number {
  const frame = graph.view.frames.get(id);
  if (frame === undefined || seen.has(id) || frame.frames.length === 0) return 0;
  const inner = new Set([...seen, id]);
  return 1 + Math.max(...frame.frames.map((name) => depthOf(graph, name, inner)));
}
