import { beforeEach, expect, test } from "vitest";
import type { ServerEvent } from "./runState";
import { type Connection, EventStream, type Source, type StreamHost } from "./stream";
import { EVENTS, RUN_EVENTS } from "./testing/recorded";

const HELLO = EVENTS[0]!;

/** A browser whose time and frames pass only when a test says so. */
class FakeHost implements StreamHost {
  opened: { url: string; source: Source; isClosed: boolean }[] = [];
  frames: (() => void)[] = [];
  timers: { at: number; callback: () => void }[] = [];
  time = 0;
  refused = false;

  open(url: string): Source {
    const source: Source = { onmessage: null, onerror: null, onopen: null, close: () => {} };
    const entry = { url, source, isClosed: false };
    source.close = () => {
      entry.isClosed = true;
    };
    this.opened.push(entry);
    return source;
  }
  frame(callback: () => void): void {
    this.frames.push(callback);
  }
  after(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.time + milliseconds, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((known) => known !== timer);
    };
  }
  now(): number {
    return this.time;
  }
  isRefused(): Promise<boolean> {
    return Promise.resolve(this.refused);
  }
  pass(milliseconds: number): void {
    this.time += milliseconds;
    const due = this.timers.filter((timer) => timer.at <= this.time);
    this.timers = this.timers.filter((timer) => timer.at > this.time);
    for (const timer of due) timer.callback();
  }
  draw(): void {
    for (const frame of this.frames.splice(0)) frame();
  }
  send(...events: ServerEvent[]): void {
    const { source } = this.opened.at(-1)!;
    for (const event of events) source.onmessage?.({ data: JSON.stringify(event) });
  }
  fail(): void {
    this.opened.at(-1)!.source.onerror?.();
  }
}

let host: FakeHost;
let batches: ServerEvent[][];
let missed: string[];
let connections: Connection[];
let stream: EventStream;

beforeEach(() => {
  host = new FakeHost();
  [batches, missed, connections] = [[], [], []];
  stream = new EventStream(host, {
    onEvents: (events) => batches.push(events),
    onMissed: (serverId) => missed.push(serverId),
    onConnection: (connection) => connections.push(connection),
  });
  stream.start();
});

test("events of one frame come together, without progress that newer one replaces", () => {
  host.send(HELLO, ...RUN_EVENTS);
  expect(batches).toEqual([]);
  host.draw();
  expect(batches).toHaveLength(1);
  const progress = batches[0]!.filter((event) => event.type === "node.progress");
  const keys = progress.map((event) => `${event.run} ${event.type === "node.progress" && event.data.path}`);
  expect(new Set(keys).size).toBe(keys.length);
  const lasting = (events: ServerEvent[]) =>
    events.filter((event) => event.type !== "node.progress" && event.type !== "node.preview");
  expect(lasting(batches[0]!)).toEqual(lasting(RUN_EVENTS));
});

test("after a loss, the stream goes on after the last event", () => {
  host.send(HELLO, ...RUN_EVENTS.slice(0, 10));
  host.fail();
  expect(host.opened[0]!.isClosed).toBe(true);
  expect(connections.at(-1)).toEqual({ state: "lost", since: 0, reason: "unreachable" });
  host.pass(250);
  expect(host.opened).toHaveLength(2);
  const server = HELLO.type === "hello" ? HELLO.data.server_id : "";
  expect(host.opened[1]!.url).toBe(`/api/v1/events?since=${server}-${RUN_EVENTS[9]!.seq}`);
  host.send({ ...HELLO, seq: RUN_EVENTS[9]!.seq } as ServerEvent, ...RUN_EVENTS.slice(5, 20));
  host.draw();
  expect(connections.at(-1)).toEqual({ state: "open" });
  expect(batches.flat().map((event) => event.seq)).toEqual(
    expect.arrayContaining(
      RUN_EVENTS.slice(10, 20)
        .map((event) => event.seq)
        .slice(-1),
    ),
  );
  const seqs = batches.flat().map((event) => event.seq);
  expect(new Set(seqs).size).toBe(seqs.length);
  expect(missed).toHaveLength(1);
});

test("snapshots are asked for at the first start, after a new start of the server, and after missed events", () => {
  host.send(HELLO);
  expect(missed).toHaveLength(1);
  const hello = (data: object) => ({ ...HELLO, data: { ...HELLO.data, ...data } }) as ServerEvent;
  host.fail();
  host.pass(250);
  host.send(hello({ server_id: "another" }));
  expect(missed).toEqual([expect.anything(), "another"]);
  host.send(hello({ server_id: "another", missed: true }));
  expect(missed).toHaveLength(3);
  host.send(hello({ server_id: "another" }));
  expect(missed).toHaveLength(3);
});

test("attempts become rarer, up to one in 3 s, and the loss keeps its beginning", () => {
  host.send(HELLO);
  const delays: number[] = [];
  for (let i = 0; i < 7; i += 1) {
    host.fail();
    delays.push(host.timers[0]!.at - host.time);
    host.pass(3000);
  }
  expect(delays).toEqual([250, 500, 1000, 2000, 3000, 3000, 3000]);
  const lost = connections.filter((connection) => connection.state === "lost");
  expect(new Set(lost.map((connection) => connection.since))).toEqual(new Set([0]));
  host.send(HELLO);
  host.fail();
  expect(host.timers[0]!.at - host.time).toBe(250);
});

test("a click connects at once", () => {
  host.fail();
  stream.retry();
  expect(host.opened).toHaveLength(2);
  expect(host.timers).toEqual([]);
  stream.retry();
  expect(host.opened).toHaveLength(2);
});

test("a page whose token is of an earlier start is told so", async () => {
  host.refused = true;
  host.fail();
  await Promise.resolve();
  expect(connections.at(-1)).toEqual({ state: "lost", since: 0, reason: "refused" });
});

test("the notice that the server stops is handed over at once", () => {
  const closing = { ...HELLO, seq: 1, type: "server.closing", data: { reason: "stopped" } } as ServerEvent;
  host.send(HELLO, closing);
  expect(batches).toEqual([[closing]]);
  expect(connections.at(-1)).toEqual({ state: "lost", since: 0, reason: "closing" });
});

test("what comes from a closed stream is not used", () => {
  host.send(HELLO);
  const old = host.opened[0]!.source;
  host.fail();
  old.onmessage?.({ data: JSON.stringify(RUN_EVENTS[0]) });
  host.draw();
  expect(batches).toEqual([]);
  stream.stop();
  expect(host.timers).toEqual([]);
});
