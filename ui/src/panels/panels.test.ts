import { expect, test } from "vitest";
import type { ModelRow } from "../server/catalogue";
import { afterEvents, EMPTY } from "../server/runs/queueState";
import { RUN_EVENTS, SNAPSHOTS } from "../server/runs/testing/recorded";
import { grouped } from "./ModelsDrawer";
import { latestPictures, shownPicture } from "./pictures/pictures";
import { scaleIn, scaleText } from "./pictures/Stage";
import { fractionOf } from "./runs/QueuePopup";
import { axesOf } from "./runs/SweepGrid";
import { problemsOfRun, united } from "./tabs/problemList";

const WHOLE = afterEvents(EMPTY, RUN_EVENTS);

test("a picture is shown at the largest whole multiple that fits, or reduced", () => {
  expect(scaleIn(128, 128, 640, 700)).toBe(5);
  expect(scaleIn(128, 128, 288, 288)).toBe(2);
  expect(scaleIn(1024, 512, 512, 512)).toBe(0.5);
  expect(scaleText(5)).toBe("5 : 1");
  expect(scaleText(0.41)).toBe("41 %");
});

test("a sweep over two inputs is a grid, over one a row", () => {
  const outputs = [4, 8].flatMap((steps) => [1, 2.5, 4].map((guidance) => ({ values: { steps, guidance } })));
  expect(axesOf(outputs)).toEqual({ columns: ["guidance", [1, 2.5, 4]], rows: ["steps", [4, 8]] });
  expect(axesOf([{ values: { seed: 1 } }, { values: { seed: 2 } }])).toEqual({
    columns: ["seed", [1, 2]],
    rows: null,
  });
  expect(axesOf([{ values: {} }])).toBeNull();
});

test("the viewer shows the live preview, then the written picture, and the previous one while a run begins", () => {
  let queue = EMPTY;
  const kinds = new Set<string>();
  for (const event of RUN_EVENTS) {
    queue = afterEvents(queue, [event]);
    const own = Object.keys(queue.runs).reverse();
    const state = { queue, own, shown: event.run ?? own[0] ?? null };
    const shown = shownPicture(state, null, null);
    if (event.type === "node.preview") {
      expect(shown).toMatchObject({
        node: "denoise",
        isLive: true,
        picture: { url: `/api/v1/previews/${event.data.id}` },
      });
      kinds.add("preview");
    }
    if (event.type === "run.output") {
      expect(shown?.run.outputs.map((output) => output.id)).toContain(event.data.id);
      expect(shown?.isLive).toBe(false);
      kinds.add("output");
    }
    if (event.type === "run.started" && own.length > 1) {
      expect(shown).not.toBeNull();
      kinds.add("previous");
    }
  }
  expect([...kinds].sort()).toEqual(["output", "preview", "previous"]);
  const own = Object.keys(queue.runs).reverse();
  const state = { queue, own, shown: own[0] ?? null };
  const strip = latestPictures(state, 3).map(({ output }) => output.id);
  expect(strip).toEqual([...strip].sort((a, b) => b - a));
  expect(strip).toHaveLength(3);
});

test("a pinned node of a subgraph shows what was made inside", () => {
  const run = Object.values(WHOLE.runs).find((one) => one.outputs.length > 0)!;
  const outputs = [{ ...run.outputs[0]!, node: "group", path: "group/decode" }];
  const queue = { ...WHOLE, runs: { r: { ...run, outputs } } };
  const shown = (pinned: string) => shownPicture({ queue, own: ["r"], shown: "r" }, pinned, null)?.picture;
  expect([shown("group"), shown("group/decode")]).toEqual([outputs[0], outputs[0]]);
  expect(shown("group/other")).toBeUndefined();
});

test("a run that has ended is whole", () => {
  for (const [id, snapshot] of Object.entries(SNAPSHOTS)) {
    if (snapshot.summary.state === "done") expect(fractionOf(WHOLE.runs[id]!)).toBe(1);
  }
});

test("problems are listed once, errors first, with the trace of the failed step", () => {
  const place = { code: "bad", node: "a", input: "b", message: "m", hint: null } as const;
  const warning = { ...place, severity: "warning", code: "w" } as const;
  const error = { ...place, severity: "error" } as const;
  const listed = united([warning, error], [{ ...error, trace: "line 1", ms: 4 }]);
  expect(listed.map(({ code, trace }) => [code, trace])).toEqual([
    ["bad", "line 1"],
    ["w", null],
  ]);
  expect(problemsOfRun(null)).toEqual([]);
});

test("models are grouped by base, those without one last, and found by trigger", () => {
  const model = (file: string, base: string | null, triggers: string[] = []) =>
    ({ file, base, kind: "lora", triggers, tag: null, bytes: 1, problem: null }) as ModelRow;
  const models = [model("z", null), model("b", "sd1"), model("a", "sd1", ["star"]), model("c", "sdxl")];
  expect(grouped(models, "").map(([base, rows]) => [base, rows.map((row) => row.file)])).toEqual([
    ["sd1", ["a", "b"]],
    ["sdxl", ["c"]],
    ["Other", ["z"]],
  ]);
  expect(grouped(models, "STAR lora").map(([, rows]) => rows.map((row) => row.file))).toEqual([["a"]]);
});
