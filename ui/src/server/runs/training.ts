/** Trainings: the curves, samples and checkpoints of a run, from the server and live. */
import { create } from "zustand";
import { answer, api, type Schemas } from "../requests/client";
import type { ServerEvent } from "./runState";
import { onEvent } from "./runStore";

/** The numbers of one step. */
export type MetricRow = Readonly<Record<string, number | null>>;

export interface Sample {
  step: number;
  caption: string;
  url: string;
  width: number;
  height: number;
}

export interface Checkpoint {
  step: number;
  /** The name of the file. */
  name: string;
}

/** What one training has reported; the node that trains is `path`. */
export interface Training {
  path: string;
  /** In the order of their steps. */
  rows: readonly MetricRow[];
  samples: readonly Sample[];
  checkpoints: readonly Checkpoint[];
}

interface TrainingStore {
  /** By run. */
  trainings: Readonly<Record<string, Training>>;
}

export const useTrainings = create<TrainingStore>(() => ({ trainings: {} }));

/** The most points of a curve that are kept; beyond it, every second one goes. */
const MOST_ROWS = 4000;
const READ_POINTS = 1000;

const NEW: Omit<Training, "path"> = { rows: [], samples: [], checkpoints: [] };

/** The training after one event. Repeated events change nothing. */
export function afterEvent(training: Training | undefined, event: ServerEvent): Training | undefined {
  switch (event.type) {
    case "train.metrics": {
      const before = training ?? { ...NEW, path: event.data.path };
      return { ...before, rows: thinned(merged(before.rows, event.data.rows)) };
    }
    case "train.sample": {
      const { path, step, caption, digest, width, height } = event.data;
      const before = training ?? { ...NEW, path };
      if (before.samples.some((known) => known.step === step && known.caption === caption)) return before;
      const sample = { step, caption, url: `/api/v1/blobs/${digest}`, width, height };
      return { ...before, samples: [...before.samples, sample] };
    }
    case "train.checkpoint": {
      const { path, step, name } = event.data;
      const before = training ?? { ...NEW, path };
      if (before.checkpoints.some((known) => known.step === step && known.name === name)) return before;
      return { ...before, checkpoints: [...before.checkpoints, { step, name }] };
    }
    default:
      return training;
  }
}

/**
 * Two lists of rows by step; later numbers of the same step replace earlier ones. A row with `resumed` discards the
 * steps after its own, which are computed again.
 */
function merged(before: readonly MetricRow[], more: readonly MetricRow[]): MetricRow[] {
  const byStep = new Map<number, MetricRow>();
  for (const row of [...before, ...more]) {
    const { step } = row;
    if (typeof step !== "number") continue;
    if ("resumed" in row) for (const known of byStep.keys()) if (known > step) byStep.delete(known);
    byStep.set(step, { ...byStep.get(step), ...row });
  }
  return [...byStep.values()].sort((a, b) => (a.step ?? 0) - (b.step ?? 0));
}

/** Every second row, and all with rare numbers: the places of resumes, and the losses of pictures held out. */
function thinned(rows: MetricRow[]): MetricRow[] {
  if (rows.length <= MOST_ROWS) return rows;
  return rows.filter(
    (row, i) => i % 2 === 0 || i === rows.length - 1 || "resumed" in row || "validation_loss" in row,
  );
}

/** Follow the trainings of all runs; returns a function that ends this. */
export function followTrainings(): () => void {
  return onEvent((event) => {
    if (event.run === null || !event.type.startsWith("train.")) return;
    const run = event.run;
    useTrainings.setState((state) => {
      const before = state.trainings[run];
      const after = afterEvent(before, event);
      if (after === undefined || after === before) return state;
      return { trainings: { ...state.trainings, [run]: after } };
    });
  });
}

/** Read what a training has reported so far. */
export async function readTraining(run: string): Promise<void> {
  const path = { params: { path: { id: run } } };
  const [metrics, samples, full] = await Promise.all([
    answer(
      api.GET("/api/v1/runs/{id}/metrics", {
        params: { path: { id: run }, query: { max_points: READ_POINTS } },
      }),
    ),
    answer(api.GET("/api/v1/runs/{id}/samples", path)),
    answer(api.GET("/api/v1/runs/{id}", path)),
  ]);
  const node = Object.keys(metrics.rows)[0] ?? samples.samples[0]?.path;
  if (node === undefined) return;
  const read: Training = {
    path: node,
    rows: metrics.rows[node] ?? [],
    samples: samples.samples,
    checkpoints: publishedCheckpoints(full.nodes[node]),
  };
  useTrainings.setState((state) => {
    const live = state.trainings[run];
    const all = live === undefined ? read : united(read, live);
    return { trainings: { ...state.trainings, [run]: all } };
  });
}

function united(read: Training, live: Training): Training {
  const key = (sample: Sample) => `${sample.step} ${sample.caption}`;
  const samples = new Map([...read.samples, ...live.samples].map((sample) => [key(sample), sample]));
  const checkpoints = new Map([...read.checkpoints, ...live.checkpoints].map((item) => [item.name, item]));
  return {
    path: read.path,
    rows: thinned(merged(read.rows, live.rows)),
    samples: [...samples.values()].sort((a, b) => a.step - b.step),
    checkpoints: [...checkpoints.values()].sort((a, b) => a.step - b.step),
  };
}

function publishedCheckpoints(node: Schemas["NodeSnapshot"] | undefined): Checkpoint[] {
  return (node?.published ?? []).map((file) => {
    const name = String(file.name);
    return { name, step: Number(/(\d+)(?=\.[^.]*$)/.exec(name)?.[1] ?? 0) };
  });
}
