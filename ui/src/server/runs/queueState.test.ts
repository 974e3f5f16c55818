import fc from "fast-check";
import { expect, test } from "vitest";
import {
  afterEvents,
  afterList,
  afterSnapshot,
  awaitingSnapshot,
  EMPTY,
  pruned,
  type QueueState,
  renumbered,
  withoutSnapshot,
} from "./queueState";
import { fromSnapshot, isStopping, type RunView, type ServerEvent } from "./runState";
import { coalesced } from "./stream";
import { RUN_EVENTS, SNAPSHOTS } from "./testing/recorded";

const WHOLE = afterEvents(EMPTY, RUN_EVENTS);
const cut = fc.nat(RUN_EVENTS.length);

test("any cut and replay of a stream gives the same state", () => {
  fc.assert(
    fc.property(fc.array(cut, { maxLength: 5 }), fc.nat(20), (cuts, again) => {
      let state: QueueState = EMPTY;
      for (const end of [...cuts].sort((a, b) => a - b).concat(RUN_EVENTS.length)) {
        // After a reconnection, the server may send events again that came before the loss.
        state = afterEvents(state, RUN_EVENTS.slice(0, end));
        state = afterEvents(state, RUN_EVENTS.slice(Math.max(0, end - again), end));
      }
      expect(state).toEqual(WHOLE);
    }),
  );
});

test("events in batches of any size, with replaced ones left out, give the same end", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      let [state, place] = [EMPTY, 0];
      for (const size of [...sizes, RUN_EVENTS.length]) {
        state = afterEvents(state, coalesced(RUN_EVENTS.slice(place, place + size)));
        place += size;
      }
      expect(state).toEqual(WHOLE);
    }),
  );
});

test("a stream that begins late ends the same once the snapshots are read", () => {
  const ids = Object.keys(SNAPSHOTS);
  fc.assert(
    fc.property(cut, (start) => {
      let state: QueueState = EMPTY;
      for (const id of ids) state = awaitingSnapshot(state, id);
      state = afterEvents(state, RUN_EVENTS.slice(start));
      expect(Object.keys(state.runs)).toEqual([]);
      for (const id of ids) state = afterSnapshot(state, SNAPSHOTS[id]!);
      expect(state.held).toEqual({});
      for (const id of ids) expect(core(state.runs[id]!)).toEqual(core(WHOLE.runs[id]!));
    }),
  );
});

test("the state after the events agrees with the snapshots of the server", () => {
  for (const [id, snapshot] of Object.entries(SNAPSHOTS)) {
    expect(core(WHOLE.runs[id]!)).toEqual(core(fromSnapshot(snapshot)));
  }
});

/** An event of a step of the node that the path begins with. */
const event = (seq: number, path: string, type: string, more: object) =>
  ({
    seq,
    ts: seq,
    type,
    run: "r",
    document: null,
    node: path.split("[", 1)[0],
    data: { path, ...more },
  }) as unknown as ServerEvent;

/** What events and snapshots both tell. */
function core(run: RunView) {
  const { id, document, phase, device, position } = run;
  const nodes = Object.fromEntries(
    Object.entries(run.nodes)
      .filter(([, node]) => node.status !== "unneeded")
      .map(([name, node]) => [
        name,
        { status: node.status, steps: Object.keys(node.steps).sort(), count: node.count },
      ]),
  );
  const outputs = run.outputs.map(({ id, output, index, values, node, digest, url }) => {
    return { id, output, index, values, node, digest, url };
  });
  return { id, document, phase, device, position, nodes, outputs: outputs.sort((a, b) => a.id - b.id) };
}

test("progress never goes back within a step", () => {
  let state = EMPTY;
  const seen = new Map<string, number>();
  for (const event of RUN_EVENTS) {
    state = afterEvents(state, [event]);
    if (event.type === "node.started") seen.delete(`${event.run} ${event.data.path}`);
    if (event.type !== "node.progress") continue;
    const key = `${event.run} ${event.data.path}`;
    const value = state.runs[event.run!]!.nodes[event.node!]!.steps[event.data.path]!.value!;
    expect(value).toBeGreaterThanOrEqual(seen.get(key) ?? 0);
    seen.set(key, value);
  }
  expect(seen.size).toBeGreaterThan(0);
});

test("each stage of a step counts from its own beginning", () => {
  const report = (seq: number, value: number, unit: string, stage: string) =>
    event(seq, "train", "node.progress", { value, max: 20, rate: 1, eta_ms: 1, unit, stage });
  const first = afterEvents(EMPTY, [report(1, 12, "pictures", "encoding pictures")]);
  const second = afterEvents(first, [report(2, 1, "steps", "training"), report(3, 0, "steps", "training")]);
  const node = second.runs.r!.nodes.train!;
  expect([node.value, node.unit, node.stage]).toEqual([1, "steps", "training"]);
});

test("an event changes only its own run and node", () => {
  let state = EMPTY;
  for (const event of RUN_EVENTS) {
    const after = afterEvents(state, [event]);
    for (const [id, run] of Object.entries(state.runs)) {
      if (id !== event.run) {
        expect(after.runs[id]).toBe(run);
      } else if (
        event.type === "node.progress" ||
        event.type === "node.preview" ||
        event.type === "node.done"
      ) {
        for (const [name, node] of Object.entries(run.nodes)) {
          if (name !== event.node) expect(after.runs[id]!.nodes[name]).toBe(node);
        }
      }
    }
    state = after;
  }
});

test("a new start of the server numbers its events anew", () => {
  const [id] = Object.keys(WHOLE.runs);
  const run = WHOLE.runs[id!]!;
  const event = {
    seq: 1,
    ts: run.finished! + 9,
    type: "run.started",
    run: id!,
    document: run.document,
    node: null,
    data: { device: "cpu", attempt: 2 },
  } as const;
  expect(afterEvents(WHOLE, [event]).runs[id!]).toBe(run);
  expect(afterEvents(renumbered(WHOLE), [event]).runs[id!]!.attempt).toBe(2);
});

test("events that were held back apply if the snapshot cannot be read", () => {
  const ids = Object.keys(WHOLE.runs);
  let state = ids.reduce(awaitingSnapshot, EMPTY);
  state = afterEvents(state, RUN_EVENTS);
  expect(ids.reduce(withoutSnapshot, state)).toEqual(WHOLE);
});

test("an interrupted run is shown as lost", () => {
  const cancelled = Object.values(SNAPSHOTS).find((snapshot) => snapshot.summary.state === "cancelled")!;
  const snapshot = structuredClone(cancelled);
  snapshot.summary.state = "interrupted";
  const run = fromSnapshot(snapshot);
  expect(run.phase).toBe("interrupted");
  expect(run.nodes.denoise!.status).toBe("lost");
});

test("a node that goes through lists of lists counts its elements", () => {
  const paths = ["a[0][0]", "a[0][1]", "a[1][0]", "a[1][1]"];
  const events = paths.flatMap((path, i) => [
    event(2 * i + 1, path, "node.started", { device: "cpu" }),
    event(2 * i + 2, path, "node.done", { ms: 5, cache: "none" }),
  ]);
  events.push(
    event(20, "a[0]", "node.done", { ms: 0, cache: "none" }),
    event(21, "a", "node.done", { ms: 0, cache: "none" }),
  );
  const node = afterEvents(EMPTY, events).runs.r!.nodes.a!;
  expect(node).toMatchObject({ status: "done", count: 4, ended: 4, ms: 20 });
});

test("a list does not overwrite what events have told about nodes", () => {
  const rows = Object.values(SNAPSHOTS).map((snapshot) => snapshot.summary);
  const queue = { running: 0, pending: 0, paused: null, devices: [] };
  const state = afterList(WHOLE, rows, queue);
  for (const row of rows) {
    expect(state.runs[row.id]!.nodes).toBe(WHOLE.runs[row.id]!.nodes);
    expect(state.runs[row.id]!.title).toBe(row.title);
  }
});

test("a run is being stopped from the request to cancel it until its end, also over a snapshot", () => {
  const [id, snapshot] = Object.entries(SNAPSHOTS).find(([, one]) => one.summary.state === "cancelled")!;
  const end = RUN_EVENTS.findIndex((event) => event.run === id && event.type === "run.finished");
  const before = afterEvents(EMPTY, RUN_EVENTS.slice(0, end));
  expect(isStopping(before.runs[id])).toBe(false);
  const asked = { ...before, runs: { ...before.runs, [id]: { ...before.runs[id]!, isCancelAsked: true } } };
  expect(isStopping(asked.runs[id])).toBe(true);
  const running = structuredClone(snapshot);
  Object.assign(running.summary, { state: "running" });
  expect(isStopping(fromSnapshot(running, asked.runs[id]))).toBe(true);
  expect(isStopping(afterEvents(asked, RUN_EVENTS.slice(end)).runs[id])).toBe(false);
});

test("only the latest ended runs are kept, and those on the canvas", () => {
  const ids = Object.keys(WHOLE.runs);
  const state = pruned(WHOLE, 1, new Set([ids[0]!]));
  expect(Object.keys(state.runs).sort()).toEqual([ids[0]!, ids.at(-1)!].sort());
});
