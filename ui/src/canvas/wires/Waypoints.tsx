import { useReactFlow } from "@xyflow/react";
import { type KeyboardEvent, type PointerEvent, useRef } from "react";
import { withWaypoints } from "../../document/edit/wires";
import type { Point } from "../../document/graph";
import { edit, graph } from "../../state/editor";
import { say } from "../../state/status";
import { inputEnd } from "./wireDrag";
import { wireEnds } from "./wireEnds";
import { type At, middle } from "./wirePath";

const GRID = 8;

function snapped({ x, y }: At): Point {
  return [Math.round(x / GRID) * GRID, Math.round(y / GRID) * GRID];
}

function bend(wire: string, label: string, points: readonly Point[], merge?: string): void {
  const end = inputEnd(wire);
  if (end) edit(`${label} ${wire}`, (state) => withWaypoints(state, end, points), merge);
}

/** The name of a bend for screen readers. */
function nameOf(index: number, wire: string): string {
  return `Bend ${index + 1} of the wire into ${wire}`;
}

/** Bend a wire at a point of the canvas; without one, in the middle of its longest part, and focus the bend. */
export function addWaypoint(wire: string, at?: At): void {
  const ends = wireEnds(wire);
  if (!ends) return;
  const points = graph().view.waypoints.get(wire) ?? [];
  const stops: At[] = [ends[0], ...points.map(([x, y]) => ({ x, y })), ends[1]];
  const parts = stops.slice(1).map((to, i) => [stops[i] ?? to, to] as const);
  const costs = parts.map(([from, to]) =>
    at ? distance(at, from, to) : -Math.hypot(to.x - from.x, to.y - from.y),
  );
  const place = costs.indexOf(Math.min(...costs));
  const point = snapped(at ?? middle(...(parts[place] ?? ends)));
  bend(wire, "Bend", [...points.slice(0, place), point, ...points.slice(place)]);
  if (at) return;
  say(`${nameOf(place, wire)}: the arrow keys move it, Delete removes it.`);
  const focus = () => document.querySelector<SVGElement>(`[aria-label="${nameOf(place, wire)}"]`)?.focus();
  setTimeout(focus, 50); // once it is drawn
}

/** The distance of a point from a straight line between two others. */
function distance(at: At, from: At, to: At): number {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const part = length === 0 ? 0 : ((at.x - from.x) * dx + (at.y - from.y) * dy) / length;
  const along = Math.min(1, Math.max(0, part));
  return Math.hypot(at.x - from.x - along * dx, at.y - from.y - along * dy);
}

interface WaypointsProps {
  readonly wire: string;
  readonly points: readonly Point[];
  /** Called with the points while one is dragged, and with null when the drag has ended. */
  readonly onDrag: (points: readonly Point[] | null) => void;
}

/** The points that a wire passes through. Dragging or the arrow keys move one; Delete or a double-click removes it. */
export function Waypoints({ wire, points, onDrag }: WaypointsProps) {
  const { screenToFlowPosition } = useReactFlow();
  const moved = useRef<readonly Point[] | null>(null);
  const without = (index: number) => points.filter((_, i) => i !== index);
  const withPoint = (index: number, point: Point) => points.map((old, i) => (i === index ? point : old));

  const drag = (event: PointerEvent<SVGCircleElement>, index: number) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
    moved.current = withPoint(index, snapped(screenToFlowPosition({ x: event.clientX, y: event.clientY })));
    onDrag(moved.current);
  };
  const drop = () => {
    if (moved.current) bend(wire, "Move a bend of", moved.current);
    moved.current = null;
    onDrag(null);
  };
  const press = (event: KeyboardEvent, index: number) => {
    const [x, y] = points[index] ?? [0, 0];
    const moves: Record<string, Point> = {
      ArrowLeft: [x - GRID, y],
      ArrowRight: [x + GRID, y],
      ArrowUp: [x, y - GRID],
      ArrowDown: [x, y + GRID],
    };
    const next = moves[event.key];
    if (event.key === "Delete" || event.key === "Backspace") {
      bend(wire, "Straighten", without(index));
      say(`${nameOf(index, wire)} is removed.`);
      document.querySelector<HTMLElement>("[data-canvas]")?.focus();
    } else if (next) {
      bend(wire, "Move a bend of", withPoint(index, next), `bend ${wire} ${index}`);
      say(`${nameOf(index, wire)}: ${next.join(", ")}.`);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return points.map(([x, y], index) => (
    // biome-ignore lint/a11y/useSemanticElements: a part of the drawing cannot be a button element
    <circle
      // biome-ignore lint/suspicious/noArrayIndexKey: a point has no identity but its place along the wire
      key={index}
      className="waypoint nopan"
      cx={x}
      cy={y}
      r={5}
      tabIndex={0}
      role="button"
      aria-label={nameOf(index, wire)}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.stopPropagation();
        event.currentTarget.setPointerCapture(event.pointerId);
        event.currentTarget.focus();
      }}
      onPointerMove={(event) => drag(event, index)}
      onPointerUp={drop}
      onPointerCancel={drop}
      onDoubleClick={(event) => {
        event.stopPropagation();
        bend(wire, "Straighten", without(index));
      }}
      onKeyDown={(event) => press(event, index)}
    />
  ));
}
