import { useCheck } from "../../server/documents/check";
import { nodesOf } from "../../server/runs/runState";
import { wholeId } from "../../state/editor";
import { typed } from "../../state/types";

/** The content key of the result whose picture a node shows, as the latest check has it; null if it is not known. */
export function pictureKey(id: string): string | null {
  const path = wholeId(typed().maker(id));
  const step = useCheck.getState().plan[path];
  // The entry of a subgraph is that of one of its nodes.
  return step && nodesOf(step.node).at(-1) === path ? step.key : null;
}
