/** What dragging nodes, notes and frames does to the document. */
import type { NodeChange } from "@xyflow/react";
import { duplicate } from "../document/edit/clipboard";
import { frameAround, membersOf, moveItems, putInFrame } from "../document/edit/frames";
import type { Graph } from "../document/graph";
import { insertNode } from "../schema/changes";
import { documents, edit, graph, selectNodes } from "../state/editor";
import { typed } from "../state/types";
import { type FlowNode, thing } from "./flow";
import { inputEnd } from "./wires/wireDrag";

type Move = Extract<NodeChange<FlowNode>, { type: "position" }>;
type Things = Record<"nodes" | "notes" | "frames", string[]>;

const starts = new Map<string, { readonly x: number; readonly y: number }>();

/** Remember where things are when their drag begins. */
export function startMove(all: readonly FlowNode[]): void {
  starts.clear();
  for (const node of all) starts.set(node.id, node.position);
}

/** The moves with those of the members of each frame, which go with it. */
export function withMembers(moves: readonly Move[], nodes: readonly FlowNode[]): Move[] {
  const moved = new Set(moves.map((move) => move.id));
  const all = [...moves];
  for (const move of moves) {
    const { kind, id } = thing(move.id);
    const frame = kind === "frame" ? nodes.find((node) => node.id === move.id) : undefined;
    if (!frame || !move.position) continue;
    const members = membersOf(graph(), [id]);
    const [dx, dy] = [move.position.x - frame.position.x, move.position.y - frame.position.y];
    for (const node of nodes) {
      const inner = thing(node.id);
      if (node.id === move.id || moved.has(node.id) || !members[`${inner.kind}s`].has(inner.id)) continue;
      moved.add(node.id);
      const position = { x: node.position.x + dx, y: node.position.y + dy };
      all.push({ id: node.id, type: "position", position, dragging: move.dragging ?? false });
    }
  }
  return all;
}

/**
 * Write a finished drag into the document as one step.
 *
 * @param isCopy true to leave the things where they were, and put copies where they were dropped.
 * @param target the wire that a single node was dropped on, as `node.input`.
 */
export function endMove(
  dragged: FlowNode,
  all: readonly FlowNode[],
  isCopy: boolean,
  target: string | null,
): void {
  const start = starts.get(dragged.id);
  const by = [dragged.position.x - (start?.x ?? 0), dragged.position.y - (start?.y ?? 0)] as const;
  if (!start || (by[0] === 0 && by[1] === 0)) return;
  const items: Things = { nodes: [], notes: [], frames: [] };
  for (const node of all) {
    const { kind, id } = thing(node.id);
    items[`${kind}s`].push(id);
  }
  const name = all.length === 1 ? thing(dragged.id).id : `${all.length} things`;
  if (isCopy) {
    const copied = duplicate(graph(), items, by);
    edit(`Duplicate ${name}`, () => copied.graph);
    selectNodes(copied.nodes);
    return;
  }
  const step = `move ${dragged.id}`;
  edit(`Move ${name}`, (state) => intoFrame(moveItems(state, items, by), items.nodes), step);
  const to = target === null ? undefined : inputEnd(target);
  const inserted = to && insertNode(graph(), typed(), to, dragged.id);
  if (inserted) edit(`Insert ${name}`, () => inserted, step);
  documents.getState().settle();
}

/** Nodes that are dropped inside a frame with a box become its members; those that leave it are so no longer. */
function intoFrame(state: Graph, nodes: readonly string[]): Graph {
  let next = state;
  for (const node of nodes) {
    const at = state.layout.get(node);
    const around = frameAround(next, "nodes", node);
    if (!at || (around !== undefined && state.view.frames.get(around)?.box === undefined)) continue;
    const inside = [...state.view.frames].find(([, { box }]) => {
      if (!box) return false;
      return at[0] >= box[0] && at[0] < box[0] + box[2] && at[1] >= box[1] && at[1] < box[1] + box[3];
    })?.[0];
    if (around !== inside) next = putInFrame(next, { nodes: [node] }, inside);
  }
  return next;
}
