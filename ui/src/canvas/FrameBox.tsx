import { type NodeProps, NodeResizer } from "@xyflow/react";
import { memo } from "react";
import { changeFrame } from "../document/edit/frames";
import type { Box } from "../document/graph";
import { edit, useGraph } from "../state/editor";
import { type FlowNode, thing } from "./flow";

/** A titled box around nodes. Moving it moves its members; resizing gives it a size of its own. */
export const FrameBox = memo(function FrameBox({ id: key, selected }: NodeProps<FlowNode>) {
  const { id } = thing(key);
  const frame = useGraph((graph) => graph.view.frames.get(id));
  if (!frame) return null;
  return (
    <section
      className={`frame-box${selected ? " selected" : ""}${colourClass(frame.colour)}`}
      aria-label={`Frame ${frame.title || id}`}
    >
      <NodeResizer
        isVisible={selected}
        minWidth={160}
        minHeight={80}
        onResizeEnd={(_, { x, y, width, height }) => {
          const box: Box = [Math.round(x), Math.round(y), Math.round(width), Math.round(height)];
          edit(`Resize ${frame.title || id}`, (graph) => changeFrame(graph, id, { box }));
        }}
      />
      <input
        className="frame-title nodrag"
        aria-label="Title of the frame"
        placeholder="Frame"
        value={frame.title}
        spellCheck={false}
        onChange={(event) => {
          const title = event.currentTarget.value;
          edit("Rename a frame", (graph) => changeFrame(graph, id, { title }), `frame ${id}`);
        }}
      />
    </section>
  );
});

/** The class for the colour of a frame or note that is the name of a family. */
export function colourClass(colour: string): string {
  return /^[a-z]+$/.test(colour) ? ` family-${colour}` : "";
}
