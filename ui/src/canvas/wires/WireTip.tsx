import { useReactFlow, useViewport } from "@xyflow/react";
import { createPortal } from "react-dom";
import { disconnect } from "../../document/edit/wires";
import { wireName } from "../../schema/wireType";
import { edit, useSelection } from "../../state/editor";
import { useTyped } from "../../state/types";
import { Icon } from "../../style/Icon";
import { inputEnd } from "./wireDrag";
import { wireEnds } from "./wireEnds";
import { middle } from "./wirePath";

/** What the selected wire carries, where it comes from, and the button that cuts it. */
export function WireTip() {
  const wire = useSelection((selection) => selection.wire);
  const typed = useTyped();
  useViewport(); // the tip follows the canvas
  const { flowToScreenPosition } = useReactFlow();
  const end = wire === null ? undefined : inputEnd(wire);
  const source = end && typed.nodes.get(end.node)?.inputs.get(end.input);
  const ends = wire === null ? undefined : wireEnds(wire);
  if (!end || !ends || source?.kind !== "from") return null;
  const screen = flowToScreenPosition(middle(...ends));
  return createPortal(
    <div className="pop wire-tip" style={{ left: screen.x, top: screen.y }}>
      <b>{wireName(typed.output(source))}</b>
      <span className="meta">
        {source.node}.{source.output} → {end.node}.{end.input}
      </span>
      <button
        type="button"
        aria-label="Cut the wire"
        title="Cut the wire (Del)"
        onClick={() => edit(`Disconnect ${end.node}.${end.input}`, (graph) => disconnect(graph, end))}
      >
        <Icon name="close" size={12} />
      </button>
    </div>,
    document.body,
  );
}
