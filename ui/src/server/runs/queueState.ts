/** The state of all runs that the page knows, as a pure function of events and snapshots. */
import type { Schemas } from "../requests/client";
import {
  applyEvent,
  fromRow,
  fromSnapshot,
  newRun,
  type RunAnswer,
  type RunSummary,
  type RunView,
  type ServerEvent,
} from "./runState";

export interface QueueState {
  readonly running: number;
  readonly pending: number;
  /** The reason why no run starts; null if runs start. */
  readonly paused: string | null;
  readonly runs: Readonly<Record<string, RunView>>;
  /** Events of runs whose snapshot is on its way. */
  readonly held: Readonly<Record<string, readonly ServerEvent[]>>;
}

export const EMPTY: QueueState = { running: 0, pending: 0, paused: null, runs: {}, held: {} };

/** The state after a batch of events. Runs that no event touches keep their identity. */
export function afterEvents(state: QueueState, events: readonly ServerEvent[]): QueueState {
  let { running, pending, paused } = state;
  let runs: Record<string, RunView> | null = null;
  let held: Record<string, readonly ServerEvent[]> | null = null;
  for (const event of events) {
    if (event.type === "queue.changed") {
      ({ running, pending, paused } = event.data);
    } else if (event.run !== null) {
      const waiting: readonly ServerEvent[] | undefined = (held ?? state.held)[event.run];
      if (waiting !== undefined) {
        held = { ...(held ?? state.held), [event.run]: [...waiting, event] };
        continue;
      }
      const before = (runs ?? state.runs)[event.run];
      const after = applyEvent(before ?? newRun(event.run, event.document), event);
      if (after === before) continue;
      runs ??= { ...state.runs };
      runs[event.run] = after;
    }
  }
  if (running !== state.running || pending !== state.pending || paused !== state.paused || runs || held) {
    return { running, pending, paused, runs: runs ?? state.runs, held: held ?? state.held };
  }
  return state;
}

/** Hold the events of a run back until its snapshot comes. */
export function awaitingSnapshot(state: QueueState, run: string): QueueState {
  return state.held[run] ? state : { ...state, held: { ...state.held, [run]: [] } };
}

/** The state with a snapshot of a run, and the events after it that were held back. */
export function afterSnapshot(state: QueueState, answer: RunAnswer): QueueState {
  const id = answer.summary.id;
  const { [id]: waiting = [], ...held } = state.held;
  const known = state.runs[id];
  let run = known && known.seq > answer.last_seq ? known : fromSnapshot(answer, known ?? null);
  for (const event of waiting) run = applyEvent(run, event);
  return { ...state, held, runs: { ...state.runs, [id]: run } };
}

/** The state without a snapshot that could not be read; the events that were held back apply. */
export function withoutSnapshot(state: QueueState, id: string): QueueState {
  const { [id]: waiting = [], ...held } = state.held;
  return afterEvents({ ...state, held }, waiting);
}

/** The state with the runs of a list. Their details are left as they are. */
export function afterList(
  state: QueueState,
  rows: readonly RunSummary[],
  queue: Schemas["QueueStatus"],
): QueueState {
  const runs = { ...state.runs };
  for (const row of rows) {
    const known = runs[row.id] ?? newRun(row.id, row.document);
    runs[row.id] = { ...known, ...fromRow(row) };
  }
  return { ...state, runs, running: queue.running, pending: queue.pending, paused: queue.paused };
}

/** The state with the titles and places of listed runs; what events have told is left as it is. */
export function withTitles(state: QueueState, rows: readonly RunSummary[]): QueueState {
  const runs = { ...state.runs };
  for (const { id, title, position } of rows) {
    const known = runs[id];
    if (known) runs[id] = { ...known, title, position: known.phase === "queued" ? position : null };
  }
  return { ...state, runs };
}

/** The state after a new start of the server, whose events are numbered anew. */
export function renumbered(state: QueueState): QueueState {
  const runs: Record<string, RunView> = {};
  for (const [id, run] of Object.entries(state.runs)) runs[id] = { ...run, seq: 0 };
  return { ...state, runs, held: {} };
}

/** The state with only the latest ended runs, and all others; pages may stay open for weeks. */
export function pruned(state: QueueState, keep: number, always: ReadonlySet<string>): QueueState {
  const ended = Object.values(state.runs)
    .filter((run) => run.finished !== null && !always.has(run.id))
    .sort((a, b) => (b.finished ?? 0) - (a.finished ?? 0));
  if (ended.length <= keep) return state;
  const runs = { ...state.runs };
  for (const run of ended.slice(keep)) delete runs[run.id];
  return { ...state, runs };
}
