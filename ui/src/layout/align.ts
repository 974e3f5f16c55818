/** Aligns and distributes nodes. */

import type { Box, Point } from "../document/graph";

export type Side = "left" | "centre" | "right" | "top" | "middle" | "bottom";

/** Places that put one side of all boxes, or their middles, on one line. */
export function align(boxes: ReadonlyMap<string, Box>, side: Side): ReadonlyMap<string, Point> {
  const all = [...boxes.values()];
  if (!all.length) return new Map();
  const left = Math.min(...all.map((box) => box[0]));
  const top = Math.min(...all.map((box) => box[1]));
  const right = Math.max(...all.map((box) => box[0] + box[2]));
  const bottom = Math.max(...all.map((box) => box[1] + box[3]));
  function place([x, y, width, height]: Box): Point {
    switch (side) {
      case "left":
        return [left, y];
      case "centre":
        return [(left + right - width) / 2, y];
      case "right":
        return [right - width, y];
      case "top":
        return [x, top];
      case "middle":
        return [x, (top + bottom - height) / 2];
      case "bottom":
        return [x, bottom - height];
    }
  }
  return rounded(boxes, place);
}

/** Places that leave equal gaps between boxes; the outermost two stay. Needs three boxes. */
export function distribute(
  boxes: ReadonlyMap<string, Box>,
  direction: "across" | "down",
): ReadonlyMap<string, Point> {
  const [start, size] = direction === "across" ? ([0, 2] as const) : ([1, 3] as const);
  const sorted = [...boxes].sort(
    ([, a], [, b]) => a[start] - b[start] || a[start] + a[size] - (b[start] + b[size]),
  );
  const first = sorted[0];
  const last = sorted.at(-1);
  if (!first || !last || sorted.length < 3) return new Map();
  const room = last[1][start] + last[1][size] - first[1][start];
  const gap = (room - sorted.reduce((sum, [, box]) => sum + box[size], 0)) / (sorted.length - 1);
  const places = new Map<string, number>();
  let at = first[1][start];
  for (const [id, box] of sorted) {
    places.set(id, at);
    at += box[size] + gap;
  }
  return rounded(boxes, ([x, y], id) => {
    const value = places.get(id) ?? 0;
    return direction === "across" ? [value, y] : [x, value];
  });
}

function rounded(
  boxes: ReadonlyMap<string, Box>,
  place: (box: Box, id: string) => Point,
): Map<string, Point> {
  return new Map(
    [...boxes].map(([id, box]) => {
      const [x, y] = place(box, id);
      return [id, [Math.round(x) + 0, Math.round(y) + 0]];
    }),
  );
}
