/** What the page knows about runs: the store that the canvas and the panels read, fed by the event stream. */
import { create } from "zustand";
import { address, answer, api, type Schemas } from "../requests/client";
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
  withTitles,
} from "./queueState";
import {
  hasEnded,
  isIn,
  type NodeRun,
  nodeIn,
  type Preview,
  type RunAnswer,
  type RunView,
  type ServerEvent,
  type WrittenOutput,
} from "./runState";
import { browserHost, type Connection, EventStream } from "./stream";

const KEPT_RUNS = 200;
const KEPT_DETAILS = 20;
/** The number of runs in a list that is read. */
const LISTED = 100;
const LIST_MS = 150;

interface RunStore {
  connection: Connection;
  /** The version, devices and limits of the server; null before the first answer. */
  info: Schemas["Info"] | null;
  queue: QueueState;
  /** The draft of this tab: runs whose document ends with it belong to the canvas. */
  draft: string;
  /** A run of an earlier tab that is shown until this tab has one. */
  adopted: string | null;
  /** The runs of the canvas, the newest first. */
  own: readonly string[];
  /** The run whose states the nodes show. */
  shown: string | null;
  /** Ended runs in full: with reasons, values and the graph as it ran. */
  details: Readonly<Record<string, RunAnswer>>;
  /** The addresses of previews that the server has no more. */
  lost: readonly string[];
}

export const useRuns = create<RunStore>(() => ({
  connection: { state: "connecting" },
  info: null,
  queue: EMPTY,
  draft: "",
  adopted: null,
  own: [],
  shown: null,
  details: {},
  lost: [],
}));

type Listener = (event: ServerEvent) => void;
const listeners = new Set<Listener>();

/** Call a function with every event, such as `models.changed`; returns a function that ends this. */
export function onEvent(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function isOwn(
  state: Pick<RunStore, "draft" | "adopted">,
  run: { id: string; document: string | null },
): boolean {
  return (
    run.id === state.adopted || (state.draft !== "" && (run.document?.endsWith(`#${state.draft}`) ?? false))
  );
}

/** The runs of the canvas, and the one of them to show: the running, else the next, else the last. */
function ofDocument(state: RunStore, queue: QueueState): Pick<RunStore, "own" | "shown"> {
  const runs = Object.values(queue.runs).filter((run) => isOwn(state, run));
  runs.sort((a, b) => (b.submitted ?? 0) - (a.submitted ?? 0) || (a.id < b.id ? 1 : -1));
  const own = runs.map((run) => run.id);
  const shown =
    runs.find((run) => run.phase === "running") ??
    runs.findLast((run) => run.phase === "queued") ??
    runs.reduce<RunView | undefined>(
      (last, run) => ((run.finished ?? 0) > (last?.finished ?? 0) ? run : last),
      undefined,
    );
  const isSame = own.length === state.own.length && own.every((id, i) => id === state.own[i]);
  return { own: isSame ? state.own : own, shown: shown?.id ?? null };
}

function update(change: (queue: QueueState) => QueueState): void {
  useRuns.setState((state) => {
    const queue = pruned(change(state.queue), KEPT_RUNS, new Set(state.own));
    return queue === state.queue ? state : { queue, ...ofDocument(state, queue) };
  });
}

/**
 * Show the runs of another document on the canvas.
 *
 * @param draft the draft of this tab.
 * @param graph the id of the saved graph: the latest run of an earlier tab is shown until this tab has one.
 */
export async function followDocument(draft: string, graph: string | null): Promise<void> {
  useRuns.setState((state) => {
    const next = { ...state, draft, adopted: state.draft === draft ? state.adopted : null };
    return { draft, adopted: next.adopted, ...ofDocument(next, state.queue) };
  });
  const { runs, queue } = await answer(api.GET("/api/v1/runs", { params: { query: { limit: LISTED } } }));
  if (useRuns.getState().draft !== draft) return;
  const own = runs.find((run) => run.document?.endsWith(`#${draft}`));
  const earlier = graph === null ? undefined : runs.find((run) => run.document?.startsWith(`${graph}#`));
  const latest = own ?? earlier;
  useRuns.setState({ adopted: own ? null : (earlier?.id ?? null) });
  update((state) => afterList(state, runs, queue));
  if (latest) await readDetails(latest.id);
}

/** Take events of the stream. */
export function takeEvents(events: readonly ServerEvent[]): void {
  update((queue) => afterEvents(queue, events));
  for (const event of events) {
    for (const listener of listeners) listener(event);
    if (event.type === "run.queued" && useRuns.getState().queue.runs[event.run ?? ""]?.title === "")
      listSoon();
    if (event.type === "run.finished" && event.run !== null && useRuns.getState().own.includes(event.run)) {
      void readDetails(event.run);
    }
  }
}

let listTimer: ReturnType<typeof setTimeout> | undefined;

/** Read the list of active runs soon: events do not tell the titles of new ones. */
function listSoon(): void {
  clearTimeout(listTimer);
  listTimer = setTimeout(() => {
    const query = { state: ["queued", "running"] as const, limit: 500 };
    const request = api.GET("/api/v1/runs", { params: { query: { ...query, state: [...query.state] } } });
    void answer(request).then(
      ({ runs }) => update((queue) => withTitles(queue, runs)),
      () => undefined,
    );
  }, LIST_MS);
}

/** Change what is known of a run beside its events. */
export function changeRun(id: string, change: Partial<RunView>): void {
  update((queue) => {
    const known = queue.runs[id];
    return known ? { ...queue, runs: { ...queue.runs, [id]: { ...known, ...change } } } : queue;
  });
}

/** Read a run in full, and keep the answer. */
export async function readDetails(run: string): Promise<RunAnswer> {
  const full = await readSnapshot(run);
  useRuns.setState((state) => {
    const kept = Object.entries(state.details).slice(-KEPT_DETAILS);
    return { details: { ...Object.fromEntries(kept), [run]: full } };
  });
  return full;
}

async function readSnapshot(run: string): Promise<RunAnswer> {
  update((queue) => awaitingSnapshot(queue, run));
  try {
    const full = await answer(api.GET("/api/v1/runs/{id}", { params: { path: { id: run } } }));
    update((queue) => afterSnapshot(queue, full));
    return full;
  } catch (error) {
    update((queue) => withoutSnapshot(queue, run));
    throw error;
  }
}

/** Read what the events do not tell: the waiting and running runs, the latest ones, and those on the canvas. */
export async function resynchronise(): Promise<void> {
  const [info, active, latest] = await Promise.all([
    answer(api.GET("/api/v1/info")),
    answer(api.GET("/api/v1/runs", { params: { query: { state: ["queued", "running"], limit: 500 } } })),
    answer(api.GET("/api/v1/runs", { params: { query: { limit: LISTED } } })),
  ]);
  useRuns.setState({ info });
  update((queue) => afterList(queue, [...latest.runs, ...active.runs], active.queue));
  const listed = new Set([...latest.runs, ...active.runs].map((row) => row.id));
  const wanted = new Set(active.runs.filter((row) => row.state === "running").map((row) => row.id));
  const newest = latest.runs.find((row) => isOwn(useRuns.getState(), row));
  if (newest) wanted.add(newest.id);
  for (const run of Object.values(useRuns.getState().queue.runs)) {
    if (!listed.has(run.id) && !hasEnded(run.phase)) wanted.add(run.id);
    if (run.id === useRuns.getState().shown) wanted.add(run.id);
  }
  await Promise.all([...wanted].map((id) => readDetails(id).catch(() => undefined)));
}

let stream: EventStream | null = null;

/** Connect to the server and follow its events until the returned function is called. */
export function connect(): () => void {
  stream = new EventStream(browserHost(address), {
    onEvents: takeEvents,
    onMissed: () => {
      update(renumbered);
      void resynchronise().catch(() => undefined);
    },
    onConnection: (connection) => useRuns.setState({ connection }),
  });
  stream.start();
  const retry = () => stream?.retry();
  window.addEventListener("online", retry);
  document.addEventListener("visibilitychange", retry);
  return () => {
    window.removeEventListener("online", retry);
    document.removeEventListener("visibilitychange", retry);
    stream?.stop();
    stream = null;
  };
}

/** Try to connect at once. */
export function reconnect(): void {
  stream?.retry();
}

/** The run that the canvas shows. */
export function useShownRun(): RunView | null {
  return useRuns((state) => (state.shown === null ? null : (state.queue.runs[state.shown] ?? null)));
}

/** The state of one node in the shown run; the object is the same until an event of this node. */
export function useNodeRun(node: string): NodeRun | null {
  return useRuns((state) => nodeIn(state.queue.runs[state.shown ?? ""], node));
}

type Picture = WrittenOutput | Preview;

/** The picture of a node in a run. */
export function pictureIn(run: RunView | undefined, node: string): Picture | null | undefined {
  const isOwn = (file: WrittenOutput) => file.node === node || isIn(file.path, node);
  return run?.outputs.findLast((file) => isOwn(file) && isImage(file)) ?? nodeIn(run, node)?.preview;
}

const isImage = (file: WrittenOutput) => file.media.startsWith("image/");
const keyed = new WeakMap<RunView, ReadonlyMap<string | null, Picture>>();

/** The pictures of the results of a run that has ended, by their content keys. */
function picturesByKey(run: RunView): ReadonlyMap<string | null, Picture> {
  const known = keyed.get(run);
  if (known) return known;
  const steps = Object.assign({}, ...Object.values(run.nodes).map((node) => node.steps)) as NodeRun["steps"];
  const found = new Map<string | null, Picture>();
  for (const { key, preview, status } of Object.values(steps)) {
    if (preview && status === "done") found.set(key, preview);
  }
  for (const file of run.outputs.filter(isImage)) found.set(steps[file.path]?.key ?? null, file);
  found.delete(null);
  keyed.set(run, found);
  return found;
}

function* candidates({ queue, shown, own }: RunStore, node: string, key: string | null) {
  const runs = [shown ?? "", ...own].flatMap((id) => queue.runs[id] ?? []);
  yield pictureIn(runs[0], node);
  for (const run of runs) if (hasEnded(run.phase)) yield picturesByKey(run).get(key);
  for (const run of runs) yield pictureIn(run, node);
}

/**
 * The latest picture of a node in the runs of the open document: that of the shown run; else one of the same result,
 * wherever the node was then, such as outside of a subgraph; else that of an earlier run.
 *
 * @param key the content key of the result; null if nobody knows it.
 */
export function latestPicture(state: RunStore, node: string, key: string | null): Picture | null {
  for (const picture of candidates(state, node, key)) {
    if (picture && !state.lost.includes(picture.url)) return picture;
  }
  return null;
}

/** True if a node has a result in the shown run, but no picture of it is known. */
export function lacksPicture(state: RunStore, node: string, key: () => string | null): boolean {
  const status = nodeIn(state.queue.runs[state.shown ?? ""], node)?.status;
  return (status === "cached" || status === "done") && latestPicture(state, node, key()) === null;
}
