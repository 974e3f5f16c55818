/** The graph on the canvas, as the modules that talk to the server need it. The page binds it once. */

export interface OpenGraph {
  /** The graph as saved in a file. */
  text(): string;
  title(): string;
  /**
   * Replace the graph; its history begins anew.
   *
   * @param isSaved False if the text differs from the saved graph, so that `changes` is at least 1.
   * @throws {DocumentError} The text is no graph.
   */
  open(text: string, isSaved: boolean): void;
  /** The number of changes since the graph was opened or saved; 0 if there are none. */
  changes(): number;
  /** The graph as it is now was saved. */
  markSaved(): void;
  /** Call a function after each change; returns a function that ends this. */
  subscribe(listener: () => void): () => void;
}

let bound: OpenGraph | null = null;

export function bindGraph(graph: OpenGraph): void {
  bound = graph;
}

export function openGraph(): OpenGraph {
  if (bound === null) throw new Error("no graph is bound");
  return bound;
}
