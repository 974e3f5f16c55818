/** Makes, opens and unpacks the graphs that nodes of the types `#name` stand for. */
import { renamePort, unpack } from "../document/edit/subgraphs";
import { between, makeSubgraph } from "../schema/subgraph";
import { documents, edit, graph, selectNodes, showGraph, useSelection } from "../state/editor";
import { say, sayError } from "../state/status";
import { typed } from "../state/types";
import { define } from "./commands";

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

/** The path of the graph that the one selected node stands for. */
function chosenPath(): readonly string[] | undefined {
  const [id, ...others] = useSelection.getState().nodes;
  const entry = id === undefined || others.length > 0 ? undefined : documents.getState().graph.nodes.get(id);
  return entry && subgraphPath(entry.type);
}

function make(): void {
  const { nodes, notes, frames } = useSelection.getState();
  const blocking = between(graph(), nodes);
  if (blocking !== undefined) {
    return sayError(`${blocking} lies between these nodes, so they cannot become one. Select it too.`);
  }
  const made = makeSubgraph(graph(), typed(), { nodes, notes, frames }, "group");
  edit(`Make ${nodes.size} nodes a subgraph`, () => made.graph);
  selectNodes([made.id]);
  say(`${made.id} stands for the nodes. Alt+Down opens it.`);
}

function unpackChosen(): void {
  const [id = ""] = useSelection.getState().nodes;
  const entry = graph().nodes.get(id);
  const inner = entry && typed().subgraph(entry.type)?.[0];
  if (!inner) return;
  if (entry.off) return sayError(`${id} is off. Switch it on to unpack it.`);
  const unpacked = unpack(graph(), id, inner);
  edit(`Unpack ${id}`, () => unpacked.graph);
  selectNodes(unpacked.nodes);
}

/** Rename an input or output of the shown subgraph; every node that stands for it follows. */
export function renameShownPort(side: "inputs" | "outputs", name: string, wanted: string): void {
  const { path } = documents.getState();
  documents.getState().editRoot(`Rename ${name}`, (root) => renamePort(root, path, side, name, wanted));
}

define(
  {
    id: "makeSubgraph",
    label: "Make a subgraph",
    group: "Nodes",
    keys: ["Ctrl+Shift+G"],
    scope: "canvas",
    isPossible: () => useSelection.getState().nodes.size > 0,
    run: make,
  },
  {
    id: "unpackSubgraph",
    label: "Unpack the subgraph",
    group: "Nodes",
    scope: "canvas",
    isPossible: () => chosenPath() !== undefined,
    run: unpackChosen,
  },
  {
    id: "openSubgraph",
    label: "Open the subgraph",
    group: "Nodes",
    keys: ["Alt+ArrowDown"],
    scope: "canvas",
    isPossible: () => chosenPath() !== undefined,
    run: () => {
      const path = chosenPath();
      if (path) showGraph(path, [...useSelection.getState().nodes][0]);
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
