/** The curve of a wire: leaves to the right, arrives from the left, and bends at the points between. */

export interface At {
  readonly x: number;
  readonly y: number;
}

const [LEAST_BEND, MOST_BEND] = [28, 120];

export function wirePath(from: At, to: At, between: readonly At[] = []): string {
  let path = `M${from.x} ${from.y}`;
  let last = from;
  for (const next of [...between, to]) {
    const bend = Math.min(MOST_BEND, Math.max(LEAST_BEND, Math.abs(next.x - last.x) / 2));
    path += `C${last.x + bend} ${last.y} ${next.x - bend} ${next.y} ${next.x} ${next.y}`;
    last = next;
  }
  return path;
}

/** The middle of a wire without points between its ends. */
export function middle(from: At, to: At): At {
  return { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
}
