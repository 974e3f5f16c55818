/** Submits and controls runs. */
import { create } from "zustand";
import { runName } from "../documents/documents";
import { newId } from "../documents/drafts";
import { openGraph } from "../documents/openGraph";
import { answer, api, type Schemas } from "../requests/client";
import { graphBody } from "../requests/graphBody";
import { type Problem, problemsOf, Refused } from "../requests/problems";
import { sendJson } from "../requests/sendJson";
import { hasEnded } from "./runState";
import { changeRun, useRuns } from "./runStore";

export interface RunOptions {
  /** The nodes to compute; none means the declared outputs. */
  targets?: readonly string[];
  /** Lists of values for inputs of the graph; it runs for every combination, as one run. */
  sweep?: Readonly<Record<string, readonly unknown[]>>;
  /** Values for inputs of the graph that replace their defaults. */
  inputs?: Readonly<Record<string, unknown>>;
  /** The number of runs, each with new random seeds. */
  times?: number;
  /** True to run again after each end, with new random seeds. */
  untilStopped?: boolean;
  /** True to run before the others that wait. */
  front?: boolean;
}

interface SubmissionStore {
  isSubmitting: boolean;
  /** The reasons why the last submission was refused. */
  problems: readonly Problem[];
  /** The runs that are submitted again after each end. */
  repeats: readonly Schemas["RepeatRow"][];
}

export const useSubmission = create<SubmissionStore>(() => ({
  isSubmitting: false,
  problems: [],
  repeats: [],
}));

/**
 * Add the open graph to the queue.
 *
 * @returns The accepted runs; null if the server refused them, and `useSubmission` has the problems.
 */
export async function submit(options: RunOptions = {}): Promise<Schemas["SubmittedRuns"] | null> {
  const { targets = [], sweep = {}, inputs = {}, times = 1, untilStopped = false, front = false } = options;
  const isOne = times === 1 && !untilStopped;
  const body = graphBody("POST", openGraph().text(), {
    targets,
    sweep,
    inputs,
    times,
    until_stopped: untilStopped,
    front,
    document: runName(),
    // A repeated request after a lost answer does not run the graph twice.
    ...(isOne ? { idempotency_key: newId() } : {}),
  });
  useSubmission.setState({ isSubmitting: true, problems: [] });
  try {
    const send = () => sendJson<Schemas["SubmittedRuns"]>("/api/v1/runs", body);
    const accepted = await send().catch((error: unknown) => {
      if (isOne && error instanceof Refused && error.status === 0) return send();
      throw error;
    });
    if (accepted.repeat !== null) await readRepeats();
    return accepted;
  } catch (error) {
    useSubmission.setState({ problems: problemsOf(error) });
    return null;
  } finally {
    useSubmission.setState({ isSubmitting: false });
  }
}

/** Cancel a run in any state. A step that does not stop within the server's time of grace is ended by force. */
export async function cancel(id: string): Promise<void> {
  changeRun(id, { isCancelAsked: true });
  try {
    const request = api.POST("/api/v1/runs/{id}/cancel", { params: { path: { id } }, body: {} });
    const { state } = await answer(request);
    if (hasEnded(state)) changeRun(id, { phase: state, position: null });
  } catch (error) {
    changeRun(id, { isCancelAsked: false });
    throw error;
  }
}

/** Cancel the runs of the canvas that run or wait, the running one last so that no waiting one starts. */
export async function cancelOwn(): Promise<void> {
  const { own, queue } = useRuns.getState();
  const runs = own.map((id) => queue.runs[id]).filter((run) => run !== undefined);
  for (const { id } of runs.filter((run) => run.phase === "queued")) await cancel(id);
  for (const { id } of runs.filter((run) => run.phase === "running")) await cancel(id);
}

/** Move a waiting run before another one; null for the front. */
export async function move(id: string, before: string | null): Promise<void> {
  await answer(api.POST("/api/v1/runs/{id}/move", { params: { path: { id } }, body: { before } }));
}

/** Run a graph again with the same values; finished steps are reused. */
export async function retry(id: string): Promise<void> {
  await answer(api.POST("/api/v1/runs/{id}/retry", { params: { path: { id } }, body: { front: false } }));
}

/** Ask a running training to stop and keep its work, to draw a sample, or to save a checkpoint. */
export async function control(
  id: string,
  node: string,
  request: Schemas["ControlRun"]["request"],
): Promise<void> {
  await answer(api.POST("/api/v1/runs/{id}/control", { params: { path: { id } }, body: { node, request } }));
}

/** Pause or resume the queue; current runs go on. */
export async function pause(paused: boolean): Promise<void> {
  await answer(api.PUT("/api/v1/queue", { body: { paused } }));
}

/** List the runs that are submitted again after each end. */
export async function readRepeats(): Promise<void> {
  const { repeats } = await answer(api.GET("/api/v1/repeats"));
  useSubmission.setState({ repeats });
}

/** Submit a run no more; the current one goes on. */
export async function stopRepeat(id: string): Promise<void> {
  await answer(api.POST("/api/v1/repeats/{id}/stop", { params: { path: { id } }, body: {} }));
  await readRepeats();
}
