import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Box, EMPTY_GRAPH, entry, type Graph, wires } from "../document/graph";
import { wired } from "../testing/arbitraries";
import { align, distribute } from "./align";
import { COLUMN_GAP, missingPlaces, ROW_GAP, type Size, SNAP, tidy } from "./tidy";

const size = fc.record({ width: fc.constant(240), height: fc.integer({ min: 28, max: 600 }) });
const sizes = fc.array(size, { minLength: 8, maxLength: 8 });

function sizeOfIn(graph: Graph, all: readonly Size[]): (id: string) => Size {
  const ids = [...graph.nodes.keys()];
  return (id) => all[ids.indexOf(id)] ?? { width: 240, height: 100 };
}

describe("tidy", () => {
  test("puts every node right of what it takes, and none on another, on the grid", async () => {
    await fc.assert(
      fc.asyncProperty(wired, sizes, async (graph, all) => {
        const sizeOf = sizeOfIn(graph, all);
        const places = await tidy(graph, sizeOf);
        expect([...places.keys()]).toEqual([...graph.nodes.keys()]);
        const boxes = [...places].map(([id, [x, y]]) => ({ x, y, ...sizeOf(id) }));
        for (const [n, a] of boxes.entries()) {
          expect([a.x % SNAP, a.y % SNAP].map(Math.abs)).toEqual([0, 0]);
          for (const b of boxes.slice(n + 1)) {
            const apart = a.x + 240 <= b.x || b.x + 240 <= a.x;
            const above = a.y + a.height + ROW_GAP - SNAP <= b.y || b.y + b.height + ROW_GAP - SNAP <= a.y;
            expect(apart || above).toBe(true);
          }
        }
        for (const { from, to } of wires(graph)) {
          const [left = 0, right = 0] = [places.get(from.node)?.[0], places.get(to.node)?.[0]];
          expect(right - left).toBeGreaterThanOrEqual(240 + COLUMN_GAP - SNAP);
        }
        const corner = [Math.min(...boxes.map((box) => box.x)), Math.min(...boxes.map((box) => box.y))];
        const before = [...graph.layout.values()];
        expect(Math.abs((corner[0] ?? 0) - Math.min(...before.map(([x]) => x)))).toBeLessThanOrEqual(
          SNAP / 2,
        );
        expect(Math.abs((corner[1] ?? 0) - Math.min(...before.map(([, y]) => y)))).toBeLessThanOrEqual(
          SNAP / 2,
        );
      }),
      { numRuns: 60 },
    );
  });

  test("orders a column as the sockets that it is wired to", async () => {
    const inputs = (links: readonly [string, string][]) =>
      new Map(links.map(([input, node]) => [input, { kind: "from", node, output: "out" }] as const));
    const nodes = new Map([
      ["c", entry("A@1")],
      ["a", entry("A@1")],
      ["b", entry("A@1")],
      [
        "end",
        entry(
          "A@1",
          inputs([
            ["one", "a"],
            ["two", "b"],
            ["three", "c"],
          ]),
        ),
      ],
    ]);
    const sockets = new Map([
      ["one", 40],
      ["two", 62],
      ["three", 84],
    ]);
    const places = await tidy({ ...EMPTY_GRAPH, nodes }, (id) => ({
      width: 240,
      height: 100,
      ...(id === "end" ? { inputs: sockets } : {}),
    }));
    const top = (id: string) => places.get(id)?.[1] ?? 0;
    expect(top("a")).toBeLessThan(top("b"));
    expect(top("b")).toBeLessThan(top("c"));
  });

  test("places only nodes without a position, below the others", async () => {
    await fc.assert(
      fc.asyncProperty(wired, fc.nat(), async (graph, n) => {
        const layout = new Map([...graph.layout].slice(0, n % (graph.layout.size + 1)));
        const places = await missingPlaces({ ...graph, layout }, () => ({ width: 240, height: 100 }));
        expect([...places.keys()]).toEqual([...graph.nodes.keys()].filter((id) => !layout.has(id)));
        const bottom = Math.max(...[...layout.values()].map(([, y]) => y + 100));
        for (const [, y] of places.values()) if (layout.size) expect(y).toBeGreaterThan(bottom);
      }),
      { numRuns: 30 },
    );
  });
});

const boxes = new Map<string, Box>([
  ["a", [0, 0, 240, 100]],
  ["b", [300, 50, 240, 300]],
  ["c", [900, -20, 240, 60]],
]);

describe("align and distribute", () => {
  test.each([
    [
      "left",
      [
        [0, 0],
        [0, 50],
        [0, -20],
      ],
    ],
    [
      "right",
      [
        [900, 0],
        [900, 50],
        [900, -20],
      ],
    ],
    [
      "centre",
      [
        [450, 0],
        [450, 50],
        [450, -20],
      ],
    ],
    [
      "top",
      [
        [0, -20],
        [300, -20],
        [900, -20],
      ],
    ],
    [
      "middle",
      [
        [0, 115],
        [300, 15],
        [900, 135],
      ],
    ],
    [
      "bottom",
      [
        [0, 250],
        [300, 50],
        [900, 290],
      ],
    ],
  ] as const)("to the %s", (side, places) => {
    expect([...align(boxes, side).values()]).toEqual(places);
  });

  test("leaves equal gaps", () => {
    expect([...distribute(boxes, "across").values()]).toEqual([
      [0, 0],
      [450, 50],
      [900, -20],
    ]);
    expect([...distribute(new Map([...boxes].slice(0, 2)), "across")]).toEqual([]);
    expect([...distribute(boxes, "down").values()].map(([, y]) => y)).toEqual([-5, 50, -20]);
  });
});
