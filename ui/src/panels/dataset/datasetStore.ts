/** The dataset that is shown over the canvas. */
import { create } from "zustand";
import type { RunAnswer } from "../../server/runs/runState";
import { isInside } from "../../state/editor";
import { typed } from "../../state/types";

export interface DatasetPlace {
  /** A node that gives or takes a dataset. */
  readonly node: string;
  /** Its output; undefined for the first that is a dataset. */
  readonly output?: string | undefined;
  /** The run whose graph has the node, in place of the open graph. Its captions cannot be changed. */
  readonly run?: RunAnswer;
}

export const useDataset = create<{ open: DatasetPlace | null }>(() => ({ open: null }));

/** True if a node gives or takes a dataset. The nodes of a subgraph are no nodes of the graph that runs. */
export function hasDataset(node: string): boolean {
  const { inputs, outputs } = typed().type(node);
  return !isInside() && [...outputs, ...inputs].some(({ wire }) => wire.name === "Dataset");
}

export function openDataset(open: DatasetPlace | null): void {
  useDataset.setState({ open });
}
