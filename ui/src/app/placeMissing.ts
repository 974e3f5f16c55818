/**
 * Gives nodes without a position a place when a graph is opened; a graph without any layout is laid out whole. The
 * document itself changes with its next change only.
 */
import { shapeOf } from "../canvas/flow";
import { forgetViews, restoreView } from "../canvas/viewport";
import { missingPlaces } from "../layout/tidy";
import { openDataset } from "../panels/dataset/datasetStore";
import { closeMask } from "../panels/mask/maskStore";
import { closeLarge } from "../panels/pictures/pictures";
import { documents, graph } from "../state/editor";
import { useReady } from "../state/ready";
import { say } from "../state/status";
import { typed, types, useTypes } from "../state/types";
import { leaveTraining } from "../state/view";

/**
 * Follow the document: show a newly opened graph whole and a subgraph as it was left, after nodes without a place have
 * one.
 */
export function placeMissing(): void {
  let shown: unknown = null;
  useTypes.subscribe((state, before) => {
    if (before.types.types.length === 0 && state.types.types.length > 0) void place();
  });
  documents.subscribe((state, before) => {
    const isNew =
      state.history.past.length === 0 && state.history.future.length === 0 && state.root !== shown;
    if (!isNew && state.path.join("/") === before.path.join("/")) return;
    shown = state.root;
    if (isNew) forgetViews();
    // The first graph leaves the view that the address asks for.
    if (isNew && useReady.getState().isReady) uncover();
    void place();
  });
}

/** Close what covers the canvas, and the message about the graph before. */
function uncover(): void {
  leaveTraining();
  closeLarge();
  closeMask();
  openDataset(null);
  say("");
}

async function place(): Promise<void> {
  if (types().types.length === 0) return;
  const state = graph();
  const places = await missingPlaces(state, (id) => shapeOf(state, typed(), id));
  if (places.size > 0 && graph() === state) documents.getState().place(places);
  requestAnimationFrame(restoreView);
}
