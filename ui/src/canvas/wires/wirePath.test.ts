import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crosses, wireCurves, wirePath } from "./wirePath";

const coordinate = fc.integer({ min: -3000, max: 3000 });
const at = fc.record({ x: coordinate, y: coordinate });
const box = fc.tuple(
  coordinate,
  coordinate,
  fc.integer({ min: 300, max: 2000 }),
  fc.integer({ min: 300, max: 2000 }),
);

/** A point of a cubic curve by Bernstein's formula. */
function pointOf(curve: ReturnType<typeof wireCurves>[number], t: number): { x: number; y: number } {
  const weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3];
  const sum = (axis: "x" | "y") => curve.reduce((total, end, n) => total + end[axis] * (weights[n] ?? 0), 0);
  return { x: sum("x"), y: sum("y") };
}

describe("crosses", () => {
  test("agrees with the points of the curve", () => {
    fc.assert(
      fc.property(at, at, box, (from, to, [left, top, width, height]) => {
        const [curve] = wireCurves(from, to);
        if (!curve) throw new Error("a wire has a curve");
        const points = Array.from({ length: 1001 }, (_, n) => pointOf(curve, n / 1000));
        const isIn = (margin: number) =>
          points.some(
            ({ x, y }) =>
              x >= left - margin &&
              x <= left + width + margin &&
              y >= top - margin &&
              y <= top + height + margin,
          );
        const answer = crosses(curve, [left, top, width, height]);
        if (isIn(0)) expect(answer).toBe(true);
        if (!isIn(100)) expect(answer).toBe(false);
      }),
    );
  });
});

test("a wire leaves to the right, arrives from the left, and goes through the points between", () => {
  expect(wirePath({ x: 0, y: 0 }, { x: 400, y: 10 })).toBe("M0 0C120 0 280 10 400 10");
  expect(wirePath({ x: 0, y: 0 }, { x: 100, y: 0 }, [{ x: 40, y: 50 }])).toBe(
    "M0 0C28 0 12 50 40 50C70 50 70 0 100 0",
  );
});
