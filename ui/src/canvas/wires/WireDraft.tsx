import type { ConnectionLineComponentProps } from "@xyflow/react";
import { typed } from "../../state/types";
import { type FlowNode, SOCKET_HIT } from "../flow";
import { wireEnd } from "./wireDrag";
import { wirePath } from "./wirePath";

/** The wire that is being dragged; dashed and red with a cross where it is refused. */
export function WireDraft(props: ConnectionLineComponentProps<FlowNode>) {
  const { fromX, fromY, toX, toY, fromHandle, connectionStatus } = props;
  const end = wireEnd(fromHandle.type, fromHandle.nodeId, fromHandle.id ?? "");
  const graphTypes = typed();
  const wire = end.kind === "output" ? graphTypes.output(end.end) : graphTypes.input(end.end)?.wire;
  const family = wire ? graphTypes.types.family(wire) : "values";
  const shift = (SOCKET_HIT / 2) * (end.kind === "output" ? -1 : 1);
  const from = { x: fromX + shift, y: fromY };
  const to = { x: toX - (props.toHandle ? shift : 0), y: toY };
  const path = end.kind === "output" ? wirePath(from, to) : wirePath(to, from);
  if (connectionStatus === "invalid") {
    return (
      <g className="wire refused">
        <path className="wire-line" d={path} />
        <circle cx={toX} cy={toY} r={6} />
        <path className="wire-cross" d={`M${toX - 2.5} ${toY - 2.5}l5 5m0-5l-5 5`} />
      </g>
    );
  }
  return (
    <g className={`wire draft family-${family}`}>
      <path className="wire-case" d={path} />
      <path className="wire-line" d={path} />
    </g>
  );
}
