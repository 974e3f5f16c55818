/** What a dropped wire does: connect, go to the best input of a node, search for a node, or come off its input. */
import type { OnConnectEnd } from "@xyflow/react";
import { connect, disconnect } from "../../document/edit/wires";
import type { From, InputEnd } from "../../document/graph";
import { bestInput, refusal } from "../../schema/connections";
import { edit } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { typed } from "../../state/types";
import { useAddSearch } from "../add/addSearchStore";
import { bothEnds, inputEnd, useWireDrag, type WireEnd, wireEnd } from "./wireDrag";

const EMPTY_CANVAS = ".react-flow__pane, .react-flow__background, .react-flow__edges";

/** Handle the end of the drag of a wire. */
export const endWire: OnConnectEnd = (event, state) => {
  const { from, pulled } = useWireDrag.getState();
  useWireDrag.setState({ from: null, pulled: null });
  if (!from || !("fromHandle" in state) || !state.fromHandle) return;
  const old = pulled === null ? undefined : inputEnd(pulled);
  const handle = state.toHandle;
  if (handle?.id) {
    const ends = bothEnds(from, wireEnd(handle.type, handle.nodeId, handle.id));
    if (ends) join(ends.source, ends.to, old);
    return;
  }
  const point = "clientX" in event ? event : event.changedTouches[0];
  if (!point) return;
  const under = document.elementFromPoint(point.clientX, point.clientY);
  const node = under?.closest<HTMLElement>("[data-node]")?.dataset.node;
  if (node !== undefined) {
    if (node !== from.end.node) dropOnNode(node, from, old);
  } else if (old) {
    edit(`Disconnect ${old.node}.${old.input}`, (graph) => disconnect(graph, old));
    say(`Disconnected ${old.node}.${old.input}.`);
  } else if (under?.closest(EMPTY_CANVAS)) {
    useAddSearch.getState().open({ x: point.clientX, y: point.clientY }, from);
  }
};

/** Connect an output to an input, and take the wire off the input that it was pulled from. */
export function join(source: From, to: InputEnd, old?: InputEnd): void {
  if (old && old.node === to.node && old.input === to.input) return;
  const reason = refusal(typed(), source, to);
  if (reason !== undefined) return sayError(reason);
  edit(`Connect ${source.node} to ${to.node}.${to.input}`, (graph) =>
    connect(old ? disconnect(graph, old) : graph, source, to),
  );
  say(`Connected ${source.node}.${source.output} to ${to.node}.${to.input}.`);
}

function dropOnNode(node: string, from: WireEnd, old: InputEnd | undefined): void {
  if (from.kind === "output") {
    const input = bestInput(typed(), from.end, node);
    if (input) return join(from.end, { node, input: input.name }, old);
    return sayError(`${node} has no input that takes ${from.end.node}.${from.end.output}.`);
  }
  const source = typed()
    .type(node)
    .outputs.map((output): From => ({ kind: "from", node, output: output.name }))
    .find((output) => refusal(typed(), output, from.end) === undefined);
  if (source) join(source, from.end);
  else sayError(`${node} has no output for ${from.end.node}.${from.end.input}.`);
}
