import fc from "fast-check";
import { expect, test } from "vitest";
import type { ServerEvent } from "./runState";
import { afterEvent, type Training } from "./training";

function metrics(first: number, last: number, loss = 0.1): ServerEvent {
  const rows = Array.from({ length: last - first + 1 }, (_, i) => ({ step: first + i, loss }));
  return event("train.metrics", { path: "train", rows });
}

function event(type: string, data: object): ServerEvent {
  return { seq: 1, ts: 0, run: "r", document: null, node: "train", type, data } as unknown as ServerEvent;
}

const after = (events: ServerEvent[]) =>
  events.reduce<Training | undefined>((training, next) => afterEvent(training, next), undefined)!;

test("rows stay in the order of their steps, each step once, however they overlap", () => {
  const batch = fc
    .tuple(fc.integer({ min: 1, max: 60 }), fc.nat(20))
    .map(([first, length]) => metrics(first, first + length));
  fc.assert(
    fc.property(fc.array(batch, { minLength: 1, maxLength: 8 }), (batches) => {
      const { rows } = after(batches);
      const steps = rows.map((row) => row.step!);
      expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
      const all = new Set<number>();
      for (const one of batches) {
        if (one.type === "train.metrics") for (const row of one.data.rows) all.add(row.step!);
      }
      expect(new Set(steps)).toEqual(all);
    }),
  );
});

test("the numbers of a resumed training replace those of the same steps", () => {
  const { rows } = after([metrics(1, 10, 0.5), metrics(6, 12, 0.2)]);
  expect(rows.map((row) => row.loss)).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, ...Array(7).fill(0.2)]);
});

const RESUMED = event("train.metrics", { path: "train", rows: [{ step: 6, resumed: 1 }] });

test("a resumed training shows its whole history, its place, and not the steps that are computed again", () => {
  const again = after([metrics(1, 10, 0.5), metrics(1, 6, 0.5), RESUMED]);
  expect(again.rows.map((row) => row.step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(again.rows.filter((row) => row.resumed)).toEqual([{ step: 6, loss: 0.5, resumed: 1 }]);
  const { rows } = after([metrics(1, 6, 0.5), RESUMED, metrics(7, 12, 0.2)]); // another run
  expect(rows.map((row) => row.loss)).toEqual([...Array(6).fill(0.5), ...Array(6).fill(0.2)]);
  const long = [
    metrics(1, 6),
    RESUMED,
    ...Array.from({ length: 60 }, (_, i) => metrics(i * 100 + 7, i * 100 + 106)),
  ];
  expect(after(long).rows.filter((row) => row.resumed)).toHaveLength(1);
});

test("a long curve is thinned, and keeps its last step", () => {
  const { rows } = after(Array.from({ length: 100 }, (_, i) => metrics(i * 100 + 1, i * 100 + 100)));
  expect(rows.length).toBeLessThanOrEqual(4000);
  expect(rows.at(-1)!.step).toBe(10_000);
});

test("repeated samples and checkpoints count once", () => {
  const sample = event("train.sample", {
    path: "train",
    step: 5,
    caption: "a",
    digest: "d",
    width: 1,
    height: 1,
  });
  const checkpoint = event("train.checkpoint", { path: "train", step: 5, name: "step 5" });
  const training = after([sample, checkpoint, sample, checkpoint]);
  expect(training.samples).toHaveLength(1);
  expect(training.checkpoints).toEqual([{ step: 5, name: "step 5" }]);
});
