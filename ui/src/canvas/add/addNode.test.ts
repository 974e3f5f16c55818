import { expect, test } from "vitest";
import { readGraph } from "../../document/file/read";
import { documents, graph } from "../../state/editor";
import { typed } from "../../state/types";
import { nodeBox } from "../flow";
import { beside, placeNear } from "./addNode";

const open = (layout: Record<string, number[]>) => {
  const nodes = Object.fromEntries(Object.keys(layout).map((id) => [id, { type: "LoadDataset@2" }]));
  documents.getState().open(readGraph(JSON.stringify({ safelight: 1, nodes, layout })));
};

test("the place for a new node is the nearest free one below or above a node", () => {
  const near: [layout: Record<string, number[]>, isBelow: boolean][] = [
    [{ pictures: [0, 400], model: [0, 1200], train: [296, 0] }, true],
    [{ pictures: [0, 400], model: [120, 480], lower: [-120, 700] }, false],
    [{ pictures: [0, 400], model: [120, 480], lower: [-120, 700], upper: [0, 160] }, true],
  ];
  for (const [layout, isBelow] of near) {
    open(layout);
    const [x, y] = placeNear("pictures");
    const boxes = [...graph().nodes.keys()].map((id) => nodeBox(graph(), typed(), id));
    for (const [left, top, width, height] of boxes) {
      const isApart = left >= x + 240 || left + width <= x || top >= y + 168 || top + height <= y;
      expect(isApart).toBe(true);
    }
    expect(x).toBe(0);
    expect(y > 400).toBe(isBelow);
    expect(Math.abs(y - 400)).toBeLessThan(600);
  }
});

test("nodes that are added at one point do not hide each other", () => {
  const layout: Record<string, number[]> = { pictures: [0, 0] };
  for (const id of ["a", "b", "c"]) {
    open(layout);
    const [x, y] = beside([400, 300]);
    for (const [left = 0, top = 0] of Object.values(layout)) {
      expect(Math.min(Math.abs(x - left), Math.abs(y - top))).toBeGreaterThanOrEqual(24);
    }
    layout[id] = [x, y];
  }
  expect(layout.a).toEqual([400, 300]);
});
