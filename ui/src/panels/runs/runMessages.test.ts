import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { configure } from "../../server/requests/client";
import { takeEvents, useRuns } from "../../server/runs/runStore";
import { RUN_EVENTS, SNAPSHOTS } from "../../server/runs/testing/recorded";
import { say, useStatus } from "../../state/status";
import { followRunMessages, forget } from "./runMessages";

const text = () => useStatus.getState().text;
const [first, second] = Object.keys(SNAPSHOTS);
const eventsOf = (run: string | undefined) => RUN_EVENTS.filter((event) => event.run === run);
const start = (run: string | undefined) =>
  eventsOf(run).slice(0, eventsOf(run).findIndex((event) => event.type === "run.started") + 1);

beforeEach(() => {
  vi.stubGlobal("fetch", async (request: Request) =>
    Response.json(SNAPSHOTS[new URL(request.url).pathname.split("/").at(-1) ?? ""]),
  );
  configure("http://server");
  useRuns.setState({ draft: eventsOf(first)[0]?.document?.split("#")[1] ?? "" });
});
afterEach(() => vi.unstubAllGlobals());

test("how a run ended is told until another run starts, also one of another document", () => {
  const end = followRunMessages();
  takeEvents(eventsOf(first));
  expect(text()).toMatch(/^Done in/);
  const others = start(second).map((event) => ({ ...event, document: "other#tab2" }));
  takeEvents(others.slice(0, -1));
  expect(text()).toMatch(/^Done in/);
  takeEvents(others.slice(-1));
  expect(text()).toBe("");
  end();
});

test("a message goes with its event, unless another one is shown", () => {
  const [event] = eventsOf(first);
  const isIt = (other: unknown) => other === event;
  say("Samples are drawn.");
  forget("Samples are drawn.", isIt);
  takeEvents(start(second));
  expect(text()).toBe("Samples are drawn.");
  takeEvents([event!]);
  expect(text()).toBe("");
  forget("Samples are drawn.", isIt);
  say("Connected.");
  takeEvents([event!]);
  expect(text()).toBe("Connected.");
});
