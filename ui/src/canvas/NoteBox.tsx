import { type NodeProps, NodeResizer } from "@xyflow/react";
import { memo } from "react";
import { changeNote } from "../document/edit/frames";
import { documents, edit, useGraph } from "../state/editor";
import { colourClass } from "./FrameBox";
import { type FlowNode, thing } from "./flow";

/** A text on the canvas. Markup in it stays text. */
export const NoteBox = memo(function NoteBox({ id: key, selected }: NodeProps<FlowNode>) {
  const { id } = thing(key);
  const note = useGraph((graph) => graph.view.notes.get(id));
  if (!note) return null;
  return (
    <section
      className={`note-box${selected ? " selected" : ""}${colourClass(note.colour)}`}
      aria-label={`Note ${id}`}
    >
      <NodeResizer
        isVisible={selected}
        minWidth={120}
        minHeight={56}
        onResizeEnd={(_, { x, y, width, height }) =>
          edit("Resize a note", (graph) =>
            changeNote(graph, id, {
              at: [Math.round(x), Math.round(y)],
              size: [Math.round(width), Math.round(height)],
            }),
          )
        }
      />
      <textarea
        className="nodrag nopan nowheel"
        aria-label="Text of the note"
        placeholder="A note"
        value={note.text}
        onChange={(event) => {
          const text = event.currentTarget.value;
          edit("Change a note", (graph) => changeNote(graph, id, { text }), `note ${id}`);
        }}
        onBlur={() => documents.getState().settle()}
      />
    </section>
  );
});
