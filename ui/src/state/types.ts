/** The index of the node types that the server has; a new one whenever they change. */
import { create } from "zustand";
import type { Graph } from "../document/graph";
import { NodeTypes } from "../schema/nodeTypes";
import { type Scope, type TypedGraph, typedGraph } from "../schema/typedGraph";
import { useCatalogue } from "../server/catalogue";
import { documents, useDocumentState } from "./editor";

export const useTypes = create<{ types: NodeTypes }>(() => ({ types: new NodeTypes([]) }));

useCatalogue.subscribe((state, before) => {
  if (state.types !== before.types) useTypes.setState({ types: new NodeTypes([...state.types.values()]) });
});

/** The shown graph with the types of its nodes and wires. */
export function typed(): TypedGraph {
  const { root, path } = documents.getState();
  return typedGraph(useTypes.getState().types, scope(root, path));
}

/** The same for components; a new object whenever nodes, values or types change, but not when nodes move. */
export function useTyped(): TypedGraph {
  const types = useTypes((state) => state.types);
  return useDocumentState(({ root, path }) => typedGraph(types, scope(root, path)));
}

/** The shown graph and those around it, outwards. */
function scope(root: Graph, path: readonly string[]): Scope {
  let found: Scope = [root];
  for (const name of path) {
    const inner = found[0].graphs.get(name);
    if (!inner) break;
    found = [inner, ...found];
  }
  return found;
}

export function types(): NodeTypes {
  return useTypes.getState().types;
}
