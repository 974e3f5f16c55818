/** The document that this page edits, and what is selected in it. */
import { create, useStore } from "zustand";
import { readGraph } from "../document/file/read";
import { writeGraph } from "../document/file/write";
import type { Graph } from "../document/graph";
import { createDocumentStore, type DocumentState } from "../document/store";
import { bindGraph } from "../server/documents/openGraph";
import { say } from "./status";

export const documents = createDocumentStore();

export function useDocumentState<Part>(select: (state: DocumentState) => Part): Part {
  return useStore(documents, select);
}

/** The graph that the canvas shows: the document, or one of its subgraphs. */
export function useGraph<Part>(select: (graph: Graph) => Part): Part {
  return useStore(documents, (state) => select(state.graph));
}

/** True while a subgraph is shown. */
export function isInside(): boolean {
  return documents.getState().path.length > 0;
}

/** For each subgraph by its path, the nodes it was opened from: `outer/inner/`. */
const openedFrom = new Map<string, string>();

/** The id of a shown node in the whole graph, as runs, plans and problems name it: `group/denoise` in a subgraph. */
export function wholeId(id: string): string {
  return (openedFrom.get(documents.getState().path.join("/")) ?? "") + id;
}

/** `wholeId` that follows the shown graph. */
export function useWholeId(id: string): string {
  return useDocumentState(() => wholeId(id));
}

/**
 * Show another graph of the document.
 *
 * @param node the shown node that stands for it; undefined to go back to one that was shown before.
 */
export function showGraph(path: readonly string[], node?: string): void {
  if (node !== undefined) openedFrom.set(path.join("/"), `${wholeId(node)}/`);
  documents.getState().show(path);
  clearSelection();
}

export function graph(): Graph {
  return documents.getState().graph;
}

/** Change the graph as one step that can be undone. */
export function edit(label: string, change: (graph: Graph) => Graph, merge?: string): void {
  documents.getState().edit(label, change, merge);
}

export function undo(): void {
  const step = documents.getState().undo();
  if (step) say(`Undid: ${step.label}.`);
}

export function redo(): void {
  const step = documents.getState().redo();
  if (step) say(`Redid: ${step.label}.`);
}

/** What is selected and unfolded on the canvas. Undo never changes it. */
interface Selection {
  readonly nodes: ReadonlySet<string>;
  readonly notes: ReadonlySet<string>;
  readonly frames: ReadonlySet<string>;
  /** The input whose wire is selected, as `node.input`. */
  readonly wire: string | null;
  /** The nodes that show their advanced inputs. */
  readonly unfolded: ReadonlySet<string>;
}

const NONE: ReadonlySet<string> = new Set();

export const useSelection = create<Selection>(() => ({
  nodes: NONE,
  notes: NONE,
  frames: NONE,
  wire: null,
  unfolded: NONE,
}));

export function selectNodes(ids: Iterable<string>): void {
  useSelection.setState({ nodes: new Set(ids), notes: NONE, frames: NONE, wire: null });
}

export function clearSelection(): void {
  useSelection.setState({ nodes: NONE, notes: NONE, frames: NONE, wire: null });
}

/** The one selected node; null if there are none or several. */
export function useSelectedNode(): string | null {
  return useSelection((state) => (state.nodes.size === 1 ? ([...state.nodes][0] ?? null) : null));
}

export function toggleFold(id: string): void {
  useSelection.setState(({ unfolded }) => {
    const next = new Set(unfolded);
    if (!next.delete(id)) next.add(id);
    return { unfolded: next };
  });
}

let saved: Graph | null = null;

/** Count of changes since the graph was opened or saved: 0 means that it is as it was. */
function changes(): number {
  const { history, root } = documents.getState();
  if (root === saved) return 0;
  const at = history.past.findLastIndex((step) => step.after.root === saved);
  const steps = at >= 0 ? history.past.length - 1 - at : history.past.length;
  return Math.max(1, steps);
}

let textOf: { root: Graph; text: string } | null = null;

bindGraph({
  text() {
    const { root } = documents.getState();
    if (textOf?.root !== root) textOf = { root, text: writeGraph(root) };
    return textOf.text;
  },
  title: () => documents.getState().root.title,
  open(text, isSaved) {
    const root = readGraph(text);
    saved = isSaved ? root : null;
    documents.getState().open(root);
    clearSelection();
    useSelection.setState({ unfolded: NONE });
    notify();
  },
  changes,
  markSaved() {
    saved = documents.getState().root;
    notify();
  },
  subscribe(listener) {
    return documents.subscribe((state, before) => {
      if (state.root !== before.root) listener();
    });
  },
});

/** The number of unsaved changes, for the top bar. */
export const useChanges = create<{ count: number }>(() => ({ count: 0 }));

function notify(): void {
  const count = changes();
  if (count !== useChanges.getState().count) useChanges.setState({ count });
}

documents.subscribe(notify);
