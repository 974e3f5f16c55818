/** What the viewer shows: the pinned node, the picture in the large view, and the one that it is compared with. */
import { create } from "zustand";
import { type OutputRow, outputsOf } from "../../server/outputs";
import { nodeIn, type Preview, type RunView, type WrittenOutput } from "../../server/runs/runState";
import { pictureIn, type useRuns } from "../../server/runs/runStore";

export type CompareMode = "slider" | "side" | "difference";

interface PictureStore {
  /** The node whose pictures the docked viewer shows; null for the latest picture of the document. */
  pinned: string | null;
  /** The picture that was chosen in the strip of the docked viewer. */
  chosen: number | null;
  /** What covers the canvas. */
  large: "none" | "picture" | "sweep";
  /** The picture in the large view, and the one that it is compared with. */
  b: OutputRow | null;
  a: OutputRow | null;
  /** The pictures in the strip of the large view. */
  rows: readonly OutputRow[];
  /** The run of the sweep grid. */
  run: string | null;
  mode: CompareMode;
}

export const usePictures = create<PictureStore>(() => ({
  pinned: null,
  chosen: null,
  large: "none",
  b: null,
  a: null,
  rows: [],
  run: null,
  mode: "slider",
}));

export function pin(node: string | null): void {
  usePictures.setState((state) => ({ pinned: state.pinned === node ? null : node, chosen: null }));
}

/** Show a picture large. */
export function openPicture(row: OutputRow, rows: readonly OutputRow[]): void {
  usePictures.setState((state) => ({
    large: "picture",
    b: row,
    a: state.a?.id === row.id ? null : state.a,
    rows: rows.filter(isPicture),
  }));
}

/** Show a picture of a run large, with all pictures of the run in the strip. */
export async function openOutput(output: { id: number }, run: string): Promise<void> {
  const rows = (await outputsOf(run)).reverse();
  const row = rows.find((item) => item.id === output.id);
  if (row) openPicture(row, rows);
}

/** Compare the picture in the large view with another one; the same one again ends the comparison. */
export function compareWith(row: OutputRow | null): void {
  usePictures.setState((state) => ({
    a: row === null || row.id === state.a?.id || row.id === state.b?.id ? null : row,
    ...(state.b === null && row !== null ? { b: row, a: null, large: "picture" as const } : {}),
  }));
}

/** Show the pictures of a run with sweeps as a grid. */
export function openSweep(run: string): void {
  usePictures.setState({ large: "sweep", run });
}

export function closeLarge(): void {
  usePictures.setState({ large: "none", a: null });
}

/** A new version of a row, such as after its star has changed. */
export function replaceRow(row: OutputRow): void {
  usePictures.setState((state) => ({
    a: state.a?.id === row.id ? row : state.a,
    b: state.b?.id === row.id ? row : state.b,
    rows: state.rows.map((known) => (known.id === row.id ? row : known)),
  }));
}

export function isPicture(row: { media: string }): boolean {
  return row.media.startsWith("image/");
}

/** What the docked viewer shows. */
export interface Shown {
  node: string | null;
  run: RunView;
  picture: WrittenOutput | Preview;
  /** True for the preview of an unfinished result. */
  isLive: boolean;
}

type Runs = Pick<ReturnType<typeof useRuns.getState>, "queue" | "own" | "shown">;

/** The picture of the docked viewer: the chosen one, that of the pinned node, else the latest of the document. */
export function shownPicture(state: Runs, pinned: string | null, chosen: number | null): Shown | null {
  const runs = ordered(state);
  const shown = runs[0];
  if (chosen !== null) {
    for (const run of runs) {
      const output = run.outputs.find((item) => item.id === chosen);
      if (output) return { node: output.node, run, picture: output, isLive: false };
    }
  }
  if (shown?.phase === "running") {
    const nodes = pinned === null ? Object.values(shown.nodes) : [nodeIn(shown, pinned)];
    const live = nodes.find((node) => node?.status === "running" && node.preview !== null);
    if (live?.preview) return { node: live.path, run: shown, picture: live.preview, isLive: true };
  }
  for (const run of runs) {
    const output = run.outputs.findLast(isPicture);
    const picture = pinned === null ? output : pictureIn(run, pinned);
    if (picture) return { node: pinned ?? output?.node ?? null, run, picture, isLive: false };
    if (pinned === null && run === shown && run.phase === "running") {
      const latest = Object.values(run.nodes).findLast((node) => node.preview !== null);
      if (latest?.preview) return { node: latest.path, run, picture: latest.preview, isLive: false };
    }
  }
  return null;
}

/** The runs of the document, the shown one first, then the newest first. */
function ordered(state: Runs): RunView[] {
  const ids =
    state.shown === null ? state.own : [state.shown, ...state.own.filter((id) => id !== state.shown)];
  return ids.map((id) => state.queue.runs[id]).filter((run) => run !== undefined);
}

/** The latest pictures of the document, the newest first. */
export function latestPictures(state: Runs, most: number): { output: WrittenOutput; run: RunView }[] {
  const found: { output: WrittenOutput; run: RunView }[] = [];
  for (const id of state.own) {
    const run = state.queue.runs[id];
    if (run === undefined) continue;
    for (const output of [...run.outputs].reverse()) {
      if (!isPicture(output)) continue;
      found.push({ output, run });
      if (found.length === most) return found;
    }
  }
  return found;
}
