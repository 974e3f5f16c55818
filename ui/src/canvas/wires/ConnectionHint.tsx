import { useConnection, useReactFlow } from "@xyflow/react";
import { createPortal } from "react-dom";
import { fitOf, refusal } from "../../schema/connections";
import { wireName } from "../../schema/wireType";
import { typed } from "../../state/types";
import { bothEnds, wireEnd } from "./wireDrag";

/** The sentence beside the pointer while a wire is over a socket: why it is refused, or what is converted. */
export function ConnectionHint() {
  const connection = useConnection();
  const { flowToScreenPosition } = useReactFlow();
  if (!connection.inProgress || !connection.toHandle?.id || !connection.fromHandle.id) return null;
  const ends = bothEnds(
    wireEnd(connection.fromHandle.type, connection.fromHandle.nodeId, connection.fromHandle.id),
    wireEnd(connection.toHandle.type, connection.toHandle.nodeId, connection.toHandle.id),
  );
  const words = ends ? hintWords(ends) : "Connect an output to an input.";
  if (words === null) return null;
  const at = flowToScreenPosition(connection.to);
  return createPortal(
    <div className="pop connection-hint" role="status" style={{ left: at.x + 18, top: at.y + 6 }}>
      {words}
    </div>,
    document.body,
  );
}

function hintWords({ source, to }: NonNullable<ReturnType<typeof bothEnds>>): string | null {
  const graphTypes = typed();
  const reason = refusal(graphTypes, source, to);
  if (reason !== undefined) return reason;
  const input = graphTypes.input(to);
  const offered = graphTypes.output(source);
  const how = input && fitOf(graphTypes.types, offered, input);
  if (how === "converted" && input) return `${wireName(offered)} becomes ${wireName(input.wire)}`;
  if (how === "lists" && input) {
    return offered.lists > input.wire.lists
      ? `${to.node} runs once for each element`
      : "becomes a list of one";
  }
  return null;
}
