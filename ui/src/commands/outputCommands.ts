/** What can be done with outputs: make one of them an output of the graph, take it back, view a dataset. */
import { create } from "zustand";
import { addOutput, deleteOutput, outputNames } from "../document/edit/graphInputs";
import { from } from "../document/graph";
import { hasDataset, openDataset } from "../panels/dataset/datasetStore";
import { edit, graph, useSelection } from "../state/editor";
import { say } from "../state/status";
import { define } from "./commands";

/** The output under the open menu. */
export const useOutput = create<{ node: string; output: string }>(() => ({ node: "", output: "" }));

function source() {
  const { node, output } = useOutput.getState();
  return from(node, output);
}

/** The commands of the menu of an output. */
export function outputMenu(): string[] {
  return [outputNames(graph(), source()).length === 0 ? "makeOutput" : "removeOutput"];
}

/** The one selected node, if it gives or takes a dataset. */
function datasetNode(): string | undefined {
  const [node, ...others] = useSelection.getState().nodes;
  return node !== undefined && others.length === 0 && hasDataset(node) ? node : undefined;
}

define(
  {
    id: "viewDataset",
    label: "View the dataset…",
    group: "Nodes",
    keys: ["D"],
    scope: "canvas",
    isShown: () => datasetNode() !== undefined,
    isPossible: () => datasetNode() !== undefined,
    run: () => {
      const node = datasetNode();
      if (node !== undefined) openDataset({ node });
    },
  },
  {
    id: "makeOutput",
    label: "Make the output one of the graph",
    group: "Nodes",
    scope: "canvas",
    onNode: false,
    isPossible: () => graph().nodes.has(useOutput.getState().node),
    run: () => {
      const link = source();
      const made = addOutput(graph(), link, link.output === "out" ? link.node : link.output);
      edit(`Make ${made.name} an output of the graph`, () => made.graph);
      say(`Runs write ${made.name} to a file.`);
    },
  },
  {
    id: "removeOutput",
    label: "Take the output from those of the graph",
    group: "Nodes",
    scope: "canvas",
    onNode: false,
    isPossible: () => outputNames(graph(), source()).length > 0,
    run: () => {
      const names = outputNames(graph(), source());
      edit(`Remove the output ${names.join(", ")}`, (state) => names.reduce(deleteOutput, state));
    },
  },
);
