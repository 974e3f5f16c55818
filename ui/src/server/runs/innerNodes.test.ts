import { expect, test } from "vitest";
import { afterEvents, EMPTY } from "./queueState";
import { nodeIn, nodesOf, type RunView, type ServerEvent } from "./runState";
import { lacksPicture, latestPicture, useRuns } from "./runStore";

let seq = 0;
function event(type: string, node: string | null, data: object): ServerEvent {
  seq += 1;
  return { type, seq, ts: seq, run: "r", document: "d#t", node, data } as ServerEvent;
}

function started(...paths: string[]): ServerEvent[] {
  const nodes = Object.fromEntries(paths.map((path) => [path, { action: "run", tier: null, reason: "" }]));
  return [
    event("run.queued", null, { position: 0 }),
    event("run.started", null, { device: "cpu", attempt: 1 }),
    event("run.plan", null, { nodes, to_run: paths.length, to_reuse: 0 }),
  ];
}

const done = (path: string, cache = "none") => event("node.done", path, { path, cache, ms: 5 });
const run = (events: ServerEvent[]): RunView => afterEvents(EMPTY, events).runs.r!;

test("the steps of a subgraph give the states of its nodes", () => {
  const events = [...started("group/a", "group/ab", "group/list", "group/in/a"), done("group/a")];
  const first = run(events);
  const states = (view: RunView) =>
    ["group", "group/a", "group/ab", "group/in", "group/in/a", "group/no", "no/a"].map(
      (path) => nodeIn(view, path)?.status ?? null,
    );
  expect(states(first)).toEqual(["running", "done", "planned", "planned", "planned", null, null]);
  const later = run([...events, done("group/in/a", "disk"), done("group/list[1]"), done("group/list[0]")]);
  expect(states(later)).toEqual(["running", "done", "planned", "cached", "cached", null, null]);
  expect(nodeIn(later, "group/list")).toMatchObject({
    status: "done",
    path: "group/list",
    count: 2,
    ended: 2,
  });
});

test("a node of a subgraph keeps its object until one of its own steps changes", () => {
  const queue = afterEvents(EMPTY, started("group/a", "group/b"));
  const before = nodeIn(queue.runs.r, "group/a");
  const others = afterEvents(queue, [done("group/b")]);
  expect(nodeIn(others.runs.r, "group/a")).toBe(before);
  expect(nodeIn(afterEvents(others, [done("group/a")]).runs.r, "group/a")).not.toBe(before);
});

test("a path names its nodes from the outermost to the innermost", () => {
  expect(nodesOf("a")).toEqual(["a"]);
  expect(nodesOf("group/in[2]/a[0][1]")).toEqual(["group", "group/in", "group/in/a"]);
});

test("a reused result lacks a picture once no run and the server have one", () => {
  const preview = () => event("node.preview", "a", { path: "a", id: "p", width: 8, height: 8 });
  const shown = { shown: "r", own: ["r"], lost: [] };
  const state = (events: ServerEvent[], more = {}) => ({
    ...useRuns.getState(),
    ...shown,
    queue: afterEvents(EMPTY, events),
    ...more,
  });
  const none = () => null;
  expect(lacksPicture(state(started("a")), "a", none)).toBe(false);
  expect(lacksPicture(state([...started("a"), done("a", "disk")]), "a", none)).toBe(true);
  const seen = state([...started("a"), preview(), done("a", "disk")]);
  expect(lacksPicture(seen, "a", none)).toBe(false);
  const lost = { ...seen, lost: [latestPicture(seen, "a", null)!.url] };
  expect(lacksPicture(lost, "a", none)).toBe(true);
});

test("a node shows the picture of the same result, wherever the node was when that was made", () => {
  const written = (path: string) => {
    const data = { id: 7, path, output: "image", index: [], values: {}, media: "image/png", digest: "" };
    return event("run.output", path.split("/")[0]!, data);
  };
  const shown = (path: string, keys: Record<string, string>) => {
    const view = run([
      ...started(path, "other"),
      event("node.preview", "other", { path: "other", id: "p", width: 8, height: 8 }),
      done("other"),
      done(path),
      written(path),
      event("run.finished", null, { state: "done", ran: 2, reused: 0, code: null, message: null, ms: 1 }),
    ]);
    const nodes = Object.values(view.nodes).map((node) => {
      const steps = Object.values(node.steps).map((step) => [step.path, { ...step, key: keys[step.path]! }]);
      return [node.path, { ...node, steps: Object.fromEntries(steps) }];
    });
    const runs = { r: { ...view, nodes: Object.fromEntries(nodes) } };
    return { ...useRuns.getState(), shown: "r", own: ["r"], lost: [], queue: { ...EMPTY, runs } };
  };
  const before = shown("decode", { decode: "k1", other: "k2" });
  const url = (node: string, key: string | null, state = before) => latestPicture(state, node, key)?.url;
  expect(url("group/decode", "k1")).toBe("/api/v1/outputs/7/file");
  expect(url("group/other", "k2")).toBe("/api/v1/previews/p");
  expect([url("group/decode", "k3"), url("group/decode", null)]).toEqual([undefined, undefined]);
  const inside = shown("group/decode", { "group/decode": "k1", other: "k2" });
  for (const node of ["group", "group/decode"]) {
    expect(url(node, null, inside)).toBe("/api/v1/outputs/7/file");
  }
  expect(url("decode", "k1", inside)).toBe("/api/v1/outputs/7/file");
});
