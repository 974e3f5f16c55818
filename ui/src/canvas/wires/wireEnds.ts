import { socketTop } from "../../schema/geometry";
import { graph } from "../../state/editor";
import { typed } from "../../state/types";
import { nodeBox, shapeOf } from "../flow";
import { inputEnd } from "./wireDrag";
import type { At } from "./wirePath";

/** Where a wire, named by its input, leaves an output and where it enters the input; undefined if there is none. */
export function wireEnds(wire: string): [At, At] | undefined {
  const end = inputEnd(wire);
  const source = end && graph().nodes.get(end.node)?.inputs.get(end.input);
  if (!end || source?.kind !== "from") return undefined;
  const [left, top, width] = nodeBox(graph(), typed(), source.node);
  const [x, y] = nodeBox(graph(), typed(), end.node);
  const output = socketTop(shapeOf(graph(), typed(), source.node), "outputs", source.output);
  const input = socketTop(shapeOf(graph(), typed(), end.node), "inputs", end.input);
  return [
    { x: left + width, y: top + output },
    { x, y: y + input },
  ];
}
