/**
 * The open document: the graph, the subgraph that is shown, and the steps that can be undone.
 *
 * Only what is saved is in here. Selection, zoom, unfolded nodes and results are elsewhere, so undo never touches them.
 */

import { createStore, type StoreApi } from "zustand/vanilla";
import { EMPTY_GRAPH, type Graph, type Point } from "./graph";
import { commit, type History, redo, type Step, settle, startHistory, undo } from "./history";
import { withKey } from "./maps";

/** What one step changes: the whole document, and the subgraph that was shown. */
export interface Version {
  readonly root: Graph;
  /** The names of the subgraphs that lead to the shown graph; empty for the document itself. */
  readonly path: readonly string[];
}

export interface DocumentState {
  readonly history: History<Version>;
  /** The whole document, as it is saved. */
  readonly root: Graph;
  readonly path: readonly string[];
  /** The graph that is shown: the document or one of its subgraphs, with a position for every node in `places`. */
  readonly graph: Graph;
  /** Computed positions of nodes that the document gives none, by the path of their graph. */
  readonly places: ReadonlyMap<string, ReadonlyMap<string, Point>>;

  /** Replace the document and forget all steps. */
  open(graph: Graph): void;
  /**
   * Change the shown graph as one step.
   *
   * @param label what a person did, such as "Move 3 nodes".
   * @param merge steps that follow each other with the same key become one, until `settle`: typing in one field.
   */
  edit(label: string, change: (graph: Graph) => Graph, merge?: string): void;
  /** Change the whole document as one step, such as a subgraph and all nodes that stand for it. */
  editRoot(label: string, change: (root: Graph) => Graph): void;
  /** End a row of merged steps, such as when a field loses the focus. */
  settle(): void;
  /** Undo a step and return it; undefined if there is none. */
  undo(): Step<Version> | undefined;
  redo(): Step<Version> | undefined;
  /** Show a subgraph, by the names that lead to it. */
  show(path: readonly string[]): void;
  /**
   * Give nodes of the shown graph positions that the document lacks. They are drawn there, and become part of the
   * document with its next change, so opening a graph without a layout changes nothing.
   */
  place(places: ReadonlyMap<string, Point>): void;
}

export type DocumentStore = StoreApi<DocumentState>;

/** A store that holds one document. */
export function createDocumentStore(graph: Graph = EMPTY_GRAPH): DocumentStore {
  return createStore<DocumentState>()((set, get) => {
    function put(history: History<Version>, places = get().places): void {
      const { root, path } = history.present;
      if (history === get().history && places === get().places) return;
      set({
        history,
        root,
        path,
        places,
        graph: placed(graphAt(root, path) ?? root, places.get(path.join("/"))),
      });
    }
    return {
      history: startHistory<Version>({ root: graph, path: [] }),
      root: graph,
      path: [],
      graph,
      places: new Map(),
      open(next) {
        put(startHistory<Version>({ root: next, path: [] }), new Map());
      },
      edit(label, change, merge) {
        const { history, root, path, graph: shown } = get();
        const changed = change(shown);
        if (changed !== shown)
          put(commit(history, { root: replaceAt(root, path, changed), path }, label, merge));
      },
      editRoot(label, change) {
        const { history, root, path } = get();
        const changed = change(root);
        if (changed !== root) put(commit(history, { root: changed, path }, label));
      },
      settle() {
        put(settle(get().history));
      },
      undo() {
        const { history } = get();
        put(undo(history));
        return history.past.at(-1);
      },
      redo() {
        const { history } = get();
        put(redo(history));
        return history.future.at(-1);
      },
      show(path) {
        const { history, root } = get();
        if (graphAt(root, path) === undefined) return;
        put({ ...settle(history), present: { root, path } });
      },
      place(places) {
        const { history, path } = get();
        put(history, withKey(get().places, path.join("/"), places));
      },
    };
  });
}

/** The subgraph at a path; undefined if there is none. */
export function graphAt(root: Graph, path: readonly string[]): Graph | undefined {
  return path.reduce<Graph | undefined>((graph, name) => graph?.graphs.get(name), root);
}

/** The document with another subgraph at a path. */
function replaceAt(root: Graph, path: readonly string[], graph: Graph): Graph {
  const [name, ...rest] = path;
  if (name === undefined) return graph;
  const inner = root.graphs.get(name);
  return inner ? { ...root, graphs: withKey(root.graphs, name, replaceAt(inner, rest, graph)) } : root;
}

/** A graph with computed positions for the nodes that have none. */
function placed(graph: Graph, places: ReadonlyMap<string, Point> | undefined): Graph {
  const missing = [...(places ?? [])].filter(([id]) => graph.nodes.has(id) && !graph.layout.has(id));
  return missing.length ? { ...graph, layout: new Map([...graph.layout, ...missing]) } : graph;
}
