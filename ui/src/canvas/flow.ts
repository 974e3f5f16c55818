/** The graph as the nodes and edges of the canvas library. What did not change keeps its object, so it is not drawn again. */
import { type Node, type NodeHandle, Position } from "@xyflow/react";
import { frameBox, NOTE_SIZE } from "../document/edit/frames";
import { type Box, type Entry, entry, type Graph, wires } from "../document/graph";
import { fitOf } from "../schema/connections";
import { geometry, type NodeGeometry, withoutPicture } from "../schema/geometry";
import type { NodeType } from "../schema/nodeTypes";
import type { TypedGraph } from "../schema/typedGraph";
import { useRuns } from "../server/runs/runStore";
import { useSelection } from "../state/editor";
import { useView } from "../state/view";
import { inputProblems } from "./nodes/inputProblems";
import { isBare } from "./nodes/nodePictures";
import type { WireFlowEdge } from "./wires/WireEdge";

export type FlowNode = Node<{ readonly shape?: NodeGeometry }, "card" | "frame" | "note">;

/** The side of the square that a socket can be hit in. */
export const SOCKET_HIT = 24;
const [FRAME_PREFIX, NOTE_PREFIX] = ["frame:", "note:"];

/** The id of a frame or note on the canvas, where nodes have their own ids. */
export function frameKey(id: string): string {
  return FRAME_PREFIX + id;
}

export function noteKey(id: string): string {
  return NOTE_PREFIX + id;
}

/** What an id of the canvas stands for. */
export function thing(key: string): { readonly kind: "node" | "frame" | "note"; readonly id: string } {
  if (key.startsWith(FRAME_PREFIX)) return { kind: "frame", id: key.slice(FRAME_PREFIX.length) };
  if (key.startsWith(NOTE_PREFIX)) return { kind: "note", id: key.slice(NOTE_PREFIX.length) };
  return { kind: "node", id: key };
}

interface Known {
  readonly entry: Entry;
  readonly type: NodeType;
  readonly key: string;
  readonly shape: NodeGeometry;
}

const shapes = new Map<string, Known>();

/** The size and sockets of a node as it is drawn now. */
export function shapeOf(graph: Graph, typed: TypedGraph, id: string): NodeGeometry {
  const own = graph.nodes.get(id);
  const type = typed.type(id);
  const collapsed = graph.view.collapsed.includes(id);
  const unfolded = useSelection.getState().unfolded.has(id);
  const scale = useView.getState().textScale;
  const wired = typed.wiredOutputs(id);
  const problems = inputProblems(graph, id);
  const words = problems.size === 0 ? "" : JSON.stringify([...problems]);
  const key = `${collapsed} ${unfolded} ${scale} ${[...wired].join(",")} ${words}`;
  const known = shapes.get(id);
  if (own && known && known.entry === own && known.type === type && known.key === key) return known.shape;
  const shape = geometry(type, own ?? NO_ENTRY, { collapsed, unfolded, scale, wired, problems });
  if (own) shapes.set(id, { entry: own, type, key, shape });
  return shape;
}

const NO_ENTRY = entry("");

/** The shape of a node on the canvas: a result without a picture has no frame, for which layouts leave the room. */
export function drawnShape(graph: Graph, typed: TypedGraph, id: string): NodeGeometry {
  const shape = shapeOf(graph, typed, id);
  const isFolded = shape.preview !== undefined && isBare(useRuns.getState(), id);
  return isFolded ? withoutPicture(shape) : shape;
}

/** The box of a node. */
export function nodeBox(graph: Graph, typed: TypedGraph, id: string): Box {
  const [x, y] = graph.layout.get(id) ?? [0, 0];
  const shape = shapeOf(graph, typed, id);
  return [x, y, shape.width, shape.height];
}

/** The nodes, frames and notes of the canvas. */
export function flowNodes(graph: Graph, typed: TypedGraph, before: readonly FlowNode[]): FlowNode[] {
  const chosen = useSelection.getState();
  const known = new Map(before.map((node) => [node.id, node]));
  const nodes: FlowNode[] = [];
  for (const id of graph.view.frames.keys()) {
    const box = frameBox(graph, id, (node) => nodeBox(graph, typed, node));
    if (box) nodes.push(boxed(known, frameKey(id), "frame", box, chosen.frames.has(id), -1));
  }
  for (const [id, note] of graph.view.notes) {
    const size = note.size ?? NOTE_SIZE;
    nodes.push(boxed(known, noteKey(id), "note", [...note.at, ...size], chosen.notes.has(id), 0));
  }
  for (const id of graph.nodes.keys()) {
    const [x, y] = graph.layout.get(id) ?? [0, 0];
    const shape = drawnShape(graph, typed, id);
    const selected = chosen.nodes.has(id);
    const old = known.get(id);
    const isSame = old?.data.shape === shape && old.position.x === x && old.position.y === y;
    nodes.push(isSame && old.selected === selected ? old : card(id, x, y, shape, selected));
  }
  return nodes;
}

function card(id: string, x: number, y: number, shape: NodeGeometry, selected: boolean): FlowNode {
  const { width, height } = shape;
  return {
    id,
    type: "card",
    position: { x, y },
    width,
    height,
    measured: { width, height },
    handles: [...handles(shape.outputs, "source", width), ...handles(shape.inputs, "target", 0)],
    data: { shape },
    selected,
    // A node that has grown by an error may lie over its neighbour.
    zIndex: selected || shape.rows.some((row) => row.kind === "problem") ? 2 : 1,
  };
}

function handles(tops: ReadonlyMap<string, number>, type: "source" | "target", x: number): NodeHandle[] {
  const position = type === "source" ? Position.Right : Position.Left;
  const half = SOCKET_HIT / 2;
  return [...tops].map(([id, y]) => ({
    id,
    type,
    position,
    x: x - half,
    y: y - half,
    width: SOCKET_HIT,
    height: SOCKET_HIT,
  }));
}

function boxed(
  known: ReadonlyMap<string, FlowNode>,
  id: string,
  type: "frame" | "note",
  [x, y, width, height]: Box,
  selected: boolean,
  zIndex: number,
): FlowNode {
  const old = known.get(id);
  const isSame =
    old?.position.x === x &&
    old.position.y === y &&
    old.width === width &&
    old.height === height &&
    old.selected === selected;
  if (isSame) return old;
  return {
    id,
    type,
    position: { x, y },
    width,
    height,
    measured: { width, height },
    data: {},
    selected,
    zIndex,
  };
}

/** The wires of the canvas. */
export function flowEdges(graph: Graph, typed: TypedGraph, before: readonly WireFlowEdge[]): WireFlowEdge[] {
  const { types } = typed;
  const selected = useSelection.getState().wire;
  const known = new Map(before.map((edge) => [edge.id, edge]));
  const edges: WireFlowEdge[] = [];
  for (const { from, to } of wires(graph)) {
    if (!graph.nodes.has(from.node)) continue;
    const id = `${to.node}.${to.input}`;
    const offered = typed.output(from);
    const input = typed.input(to);
    const how = input && fitOf(types, offered, input);
    const look = types.look(offered);
    const isOpen = input === undefined || input.wire.variable || input.wire.name === "any";
    const toFamily = isOpen ? look.family : types.look(input.wire).family;
    const data = {
      family: look.family,
      toFamily,
      isList: offered.lists > 0,
      isConverted: how === "converted",
      isWrong: input !== undefined && how === undefined && !typed.type(from.node).missing,
      waypoints: graph.view.waypoints.get(id) ?? NO_POINTS,
    };
    const old = known.get(id);
    const isSame =
      old?.source === from.node &&
      old.sourceHandle === from.output &&
      old.selected === (selected === id) &&
      sameData(old.data, data);
    edges.push(
      isSame
        ? old
        : {
            id,
            type: "wire",
            source: from.node,
            sourceHandle: from.output,
            target: to.node,
            targetHandle: to.input,
            selected: selected === id,
            data,
          },
    );
  }
  return edges;
}

const NO_POINTS: readonly [number, number][] = [];

function sameData(a: WireFlowEdge["data"], b: NonNullable<WireFlowEdge["data"]>): boolean {
  return a !== undefined && Object.entries(b).every(([key, value]) => a[key] === value);
}
