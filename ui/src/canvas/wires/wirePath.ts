/** The curve of a wire: leaves to the right, arrives from the left, and bends at the points between. */
import type { Box } from "../../document/graph";

export interface At {
  readonly x: number;
  readonly y: number;
}

/** A cubic curve: its start, two points that it bends to, its end. */
type Curve = readonly [At, At, At, At];

const [LEAST_BEND, MOST_BEND] = [28, 120];

/** The curves of a wire, one after the other. */
export function wireCurves(from: At, to: At, between: readonly At[] = []): Curve[] {
  const stops = [from, ...between, to];
  return stops.slice(1).map((next, n) => {
    const last = stops[n] ?? from;
    const bend = Math.min(MOST_BEND, Math.max(LEAST_BEND, Math.abs(next.x - last.x) / 2));
    return [last, { x: last.x + bend, y: last.y }, { x: next.x - bend, y: next.y }, next];
  });
}

export function wirePath(from: At, to: At, between: readonly At[] = []): string {
  const curves = wireCurves(from, to, between);
  return `M${from.x} ${from.y}${curves.map(([, a, b, c]) => `C${a.x} ${a.y} ${b.x} ${b.y} ${c.x} ${c.y}`).join("")}`;
}

/** How often a curve is halved before a piece whose frame touches a box counts as crossing it. */
const HALVINGS = 7;

/** Whether a curve crosses a box. A curve is inside the frame of its four points; so are the halves in theirs. */
export function crosses(curve: Curve, box: Box, halvings = HALVINGS): boolean {
  const [left, top, width, height] = box;
  const [a, b, c, d] = curve;
  if (Math.max(a.x, b.x, c.x, d.x) < left || Math.min(a.x, b.x, c.x, d.x) > left + width) return false;
  if (Math.max(a.y, b.y, c.y, d.y) < top || Math.min(a.y, b.y, c.y, d.y) > top + height) return false;
  if (halvings === 0) return true;
  const [ab, bc, cd] = [middle(a, b), middle(b, c), middle(c, d)];
  const [abc, bcd] = [middle(ab, bc), middle(bc, cd)];
  const half = middle(abc, bcd);
  return crosses([a, ab, abc, half], box, halvings - 1) || crosses([half, bcd, cd, d], box, halvings - 1);
}

/** The point between two others; the middle of a wire without points between its ends. */
export function middle(from: At, to: At): At {
  return { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
}
