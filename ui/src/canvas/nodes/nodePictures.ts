/** What a node can show in its frame: the picture of its result, else the uploaded one that it loads. */
import { heldValue } from "../../document/edit/values";
import type { Graph } from "../../document/graph";
import { useCheck } from "../../server/documents/check";
import { blobUrl } from "../../server/documents/files";
import { nodesOf } from "../../server/runs/runState";
import { lacksPicture, type useRuns } from "../../server/runs/runStore";
import { graph, wholeId } from "../../state/editor";
import { typed } from "../../state/types";

/** The content key of the result whose picture a node shows, as the latest check has it; null if it is not known. */
export function pictureKey(id: string): string | null {
  const path = wholeId(typed().maker(id));
  const step = useCheck.getState().plan[path];
  // The entry of a subgraph is that of one of its nodes.
  return step && nodesOf(step.node).at(-1) === path ? step.key : null;
}

/** The address of the uploaded picture that a node loads; undefined if it loads none. */
export function uploadOf(graph: Graph, id: string): string | undefined {
  for (const input of graph.nodes.get(id)?.inputs.keys() ?? []) {
    const url = blobUrl(String(heldValue(graph, { node: id, input })));
    if (url !== null) return url;
  }
  return undefined;
}

/** True if a node has a result, but there is no picture to show for it. */
export function isBare(state: ReturnType<typeof useRuns.getState>, id: string): boolean {
  return lacksPicture(state, wholeId(id), () => pictureKey(id)) && uploadOf(graph(), id) === undefined;
}
