import fc from "fast-check";
import { expect, test } from "vitest";
import { nearest, type Point, pointsOf, rangeOf, scaleFor, smoothed, ticks } from "./curves";

const points = fc
  .array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1, maxLength: 60 })
  .map((values): Point[] => values.map((value, i) => [i * 3, value]));

test("a smoothed curve stays within the values, and later values do not change it", () => {
  fc.assert(
    fc.property(points, fc.double({ min: 0, max: 0.99, noNaN: true }), fc.nat(60), (raw, weight, count) => {
      const values = raw.map(([, value]) => value);
      const smooth = smoothed(raw, weight);
      expect(smooth.map(([step]) => step)).toEqual(raw.map(([step]) => step));
      for (const [, value] of smooth) {
        expect(value).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
        expect(value).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
      }
      expect(smoothed(raw.slice(0, count), weight)).toEqual(smooth.slice(0, count));
    }),
  );
});

test("the average is that of TensorBoard", () => {
  const smooth = (values: number[]) => {
    let last = 0;
    return values.map((next, i) => {
      last = last * 0.9 + 0.1 * next;
      return last / (1 - 0.9 ** (i + 1));
    });
  };
  const values = [0.3, 0.1, 0.05, 0.075, 0.125];
  const found = smoothed(
    values.map((value, i) => [i, value]),
    0.9,
  );
  smooth(values).forEach((value, i) => {
    expect(found[i]![1]).toBeCloseTo(value, 12);
  });
});

test("a weight of 0 changes nothing", () => {
  const raw: Point[] = [
    [0, 3],
    [1, 1],
    [2, 2],
  ];
  expect(smoothed(raw, 0)).toEqual(raw);
});

test("marks are round numbers inside the range", () => {
  expect(ticks(0.052, 0.171, 4)).toEqual([0.06, 0.09, 0.12, 0.15]);
  expect(ticks(0, 700, 7)).toEqual([0, 100, 200, 300, 400, 500, 600, 700]);
  fc.assert(
    fc.property(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
      (low, size) => {
        const found = ticks(low, low + size, 5);
        expect(found.length).toBeLessThanOrEqual(12);
        for (const mark of found) expect(mark).toBeGreaterThanOrEqual(low - size * 1e-6);
      },
    ),
  );
});

test("the nearest point is the nearest", () => {
  fc.assert(
    fc.property(points, fc.integer({ min: -5, max: 200 }), (raw, step) => {
      const found = nearest(raw, step)!;
      const least = Math.min(...raw.map(([at]) => Math.abs(at - step)));
      expect(Math.abs(found[0] - step)).toBe(least);
    }),
  );
  expect(nearest([], 3)).toBeUndefined();
});

test("steps without a number, such as NaN, leave no point", () => {
  const rows = [
    { step: 1, loss: 0.5 },
    { step: 2, loss: null },
    { step: 3, rate: 1 },
  ];
  expect(pointsOf(rows as never, "loss")).toEqual([[1, 0.5]]);
});

test("one extreme value does not flatten the curve, and is drawn at the edge", () => {
  const raw = Array.from({ length: 400 }, (_, i): Point => [i, i === 7 ? 1e9 : 0.1 + i / 4000]);
  const [low, high] = rangeOf(raw);
  expect(high).toBeLessThan(1);
  const scale = scaleFor([0, 400], [low, high], { left: 0, top: 10, width: 100, height: 50 });
  expect(scale.y(1e9)).toBe(10);
  expect(scale.x(400)).toBe(100);
});
