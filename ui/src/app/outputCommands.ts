/** Makes an output of a node one of the graph, which runs write to files, and takes it back. */
import { create } from "zustand";
import { addOutput, deleteOutput, outputNames } from "../document/edit/graphInputs";
import { from } from "../document/graph";
import { define } from "./commands";
import { edit, graph } from "./editor";
import { say } from "./status";

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

define(
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
