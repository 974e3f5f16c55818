/** Opens the graphs that nodes of the types `#name` stand for, and goes back out of them. */
import { define } from "./commands";
import { clearSelection, documents, useSelection } from "./editor";

/** The names that lead to the graph of a type, as the shown graph finds it; undefined if there is none. */
export function subgraphPath(type: string): readonly string[] | undefined {
  if (!type.startsWith("#")) return undefined;
  const name = type.slice(1);
  const { root, path } = documents.getState();
  const scope = [root];
  for (const part of path) {
    const inner = scope.at(-1)?.graphs.get(part);
    if (inner) scope.push(inner);
  }
  const owner = scope.findLastIndex((graph) => graph.graphs.has(name));
  return owner < 0 ? undefined : [...path.slice(0, owner), name];
}

/** Show another graph of the document. */
export function showGraph(path: readonly string[]): void {
  documents.getState().show(path);
  clearSelection();
}

/** The path of the graph that the one selected node stands for. */
function chosenPath(): readonly string[] | undefined {
  const [id, ...others] = useSelection.getState().nodes;
  const entry = id === undefined || others.length > 0 ? undefined : documents.getState().graph.nodes.get(id);
  return entry && subgraphPath(entry.type);
}

define(
  {
    id: "openSubgraph",
    label: "Open the subgraph",
    group: "Nodes",
    keys: ["Alt+ArrowDown"],
    scope: "canvas",
    isPossible: () => chosenPath() !== undefined,
    run: () => {
      const path = chosenPath();
      if (path) showGraph(path);
    },
  },
  {
    id: "leaveSubgraph",
    label: "Leave the subgraph",
    group: "Nodes",
    keys: ["Alt+ArrowUp"],
    scope: "canvas",
    isPossible: () => documents.getState().path.length > 0,
    run: () => showGraph(documents.getState().path.slice(0, -1)),
  },
);
