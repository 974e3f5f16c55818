/** Gives nodes without a position a place when a graph is opened; a graph without any layout is laid out whole. */
import { nodeBox } from "../canvas/flow";
import { show } from "../canvas/viewport";
import { moveNodes } from "../document/edit/nodes";
import { missingPlaces } from "../layout/tidy";
import { documents, edit, graph } from "./editor";
import { typed } from "./types";

/** Follow the document: show a newly opened graph whole, after nodes without a place have one. */
export function placeMissing(): void {
  let shown: unknown = null;
  documents.subscribe((state) => {
    const isNew =
      state.history.past.length === 0 && state.history.future.length === 0 && state.root !== shown;
    if (!isNew) return;
    shown = state.root;
    void place();
  });
}

async function place(): Promise<void> {
  const state = graph();
  const sizeOf = (id: string) => {
    const [, , width, height] = nodeBox(state, typed(), id);
    return { width, height };
  };
  const places = await missingPlaces(state, sizeOf);
  if (places.size > 0 && graph() === state)
    edit(`Place ${places.size} nodes`, (current) => moveNodes(current, places));
  requestAnimationFrame(() => show([], true));
}
