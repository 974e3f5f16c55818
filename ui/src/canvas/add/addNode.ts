/** Adds nodes to the graph: by name, or at the loose end of a wire. */
import { addNode } from "../../document/edit/nodes";
import { connect } from "../../document/edit/wires";
import { entry, type From, type Graph, type InputEnd, type Point } from "../../document/graph";
import type { Candidate } from "../../schema/candidates";
import { replaceType } from "../../schema/changes";
import { geometry, NODE_WIDTH } from "../../schema/geometry";
import { type NodeType, nameOf } from "../../schema/nodeTypes";
import { edit, graph, selectNodes } from "../../state/editor";
import { say } from "../../state/status";
import { typed } from "../../state/types";
import { nodeBox } from "../flow";
import { placeAt } from "../viewport";
import type { WireEnd } from "../wires/wireDrag";

const RECENT = "safelight.recent";
const MOST_RECENT = 12;
const GAP = 48;
/** The height of a place for a new node. */
const ROOM = 240;

/** The names of the types that were added last, the latest first. */
export function recent(): string[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(RECENT) ?? "[]");
    return Array.isArray(found) ? found.filter((item) => typeof item === "string") : [];
  } catch {
    return [];
  }
}

function remember(type: string): void {
  const name = nameOf(type);
  const names = [name, ...recent().filter((item) => item !== name)].slice(0, MOST_RECENT);
  localStorage.setItem(RECENT, JSON.stringify(names));
}

/** A place on the grid of the canvas. */
export function snapped({ x, y }: { x: number; y: number }): Point {
  return [Math.round(x / 8) * 8, Math.round(y / 8) * 8];
}

/** The point, or one beside it if a node stands just there. */
export function beside(point: Point): Point {
  const isTaken = [...graph().layout.values()].some(([x, y]) => Math.hypot(x - point[0], y - point[1]) < 32);
  return isTaken ? beside([point[0] + 32, point[1] + 32]) : point;
}

/** The free place for a new node that is nearest to a node, above or below it. */
export function placeNear(node: string): Point {
  const boxes = [...graph().nodes.keys()].map((id) => nodeBox(graph(), typed(), id));
  const [left, top] = nodeBox(graph(), typed(), node);
  const column = boxes.filter(([x, , width]) => x < left + NODE_WIDTH && x + width > left);
  const isFree = (at: number) => column.every(([, y, , height]) => at >= y + height || at + ROOM <= y);
  const places = column.flatMap(([, y, , height]) => [y + height + GAP / 2, y - GAP / 2 - ROOM]);
  const [nearest = top] = places.filter(isFree).sort((a, b) => Math.abs(a - top) - Math.abs(b - top));
  return snapped({ x: left, y: nearest });
}

/** Add a node of a type at a point of the screen, or in the middle of the canvas, and select it. */
export function addByName(type: string, at?: { x: number; y: number }): string {
  const place = placeAt(at);
  const point = snapped(at ? place : { x: place.x - NODE_WIDTH / 2, y: place.y - 60 });
  const added = addNode(graph(), type, beside(point));
  edit(`Add ${added.id}`, () => added.graph);
  done(type, added.id);
  return added.id;
}

/** Add a node at the loose end of a wire, with the conversion nodes that go between, and connect it. */
export function addOnWire(item: Candidate, from: WireEnd, at: { x: number; y: number }): string {
  const place = placeAt(at);
  const shape = geometry(item.type, entry(item.type.id));
  const tops = from.kind === "output" ? shape.inputs : shape.outputs;
  const top = tops.get(item.socket) ?? 14;
  const left = from.kind === "output" ? place.x : place.x - NODE_WIDTH;
  const step = (NODE_WIDTH + GAP) * (from.kind === "output" ? 1 : -1);
  let state = graph();
  let end = from;
  for (const [index, kind] of item.through.entries()) {
    const added = addNode(state, kind.id, snapped({ x: left + step * index, y: place.y - 60 }));
    [state, end] = spliced(added.graph, end, added.id, kind.converts ?? "", kind.outputs[0]?.name ?? "");
  }
  const offset = step * item.through.length;
  const added = addNode(state, item.type.id, snapped({ x: left + offset, y: place.y - top }));
  const next = wired(added.graph, end, added.id, item.socket);
  edit(`Add ${added.id}`, () => next);
  done(item.type.id, added.id);
  return added.id;
}

/** A conversion node wired to the end of a wire, and the end that goes on from it. */
function spliced(graph: Graph, end: WireEnd, id: string, input: string, output: string): [Graph, WireEnd] {
  const source: From = { kind: "from", node: id, output };
  const to: InputEnd = { node: id, input };
  if (end.kind === "output") return [connect(graph, end.end, to), { kind: "output", end: source }];
  return [connect(graph, source, end.end), { kind: "input", end: to }];
}

function wired(graph: Graph, end: WireEnd, id: string, socket: string): Graph {
  if (end.kind === "output") return connect(graph, end.end, { node: id, input: socket });
  return connect(graph, { kind: "from", node: id, output: socket }, end.end);
}

/** Give a node another type as one step, and say what did not fit. */
export function replaceBy(node: string, type: NodeType): void {
  const { graph: next, lostInputs, cut } = replaceType(graph(), typed(), node, type);
  edit(`Replace ${node} with ${type.name}`, () => next);
  selectNodes([node]);
  remember(type.id);
  const lost = [...lostInputs, ...cut.map((end) => `the wire to ${end.node}.${end.input}`)];
  say(
    `${node} is now ${type.name}. ${lost.length === 0 ? "Everything fits." : `Left out: ${lost.join(", ")}.`}`,
  );
}

function done(type: string, id: string): void {
  selectNodes([id]);
  remember(type);
  say(`Added ${id}.`);
}
