import { useState } from "react";
import { changeNode, renameNode, renameProblem } from "../../document/edit/nodes";
import { edit, graph, selectNodes, useGraph } from "../../state/editor";
import { sayError } from "../../state/status";

/** The title of a node: its own, else its id. Double-click or F2 renames the node. */
export function NodeTitle({ id }: { id: string }) {
  const title = useGraph((state) => state.nodes.get(id)?.title ?? "");
  const [isEditing, setEditing] = useState(false);
  if (!isEditing) {
    return (
      // biome-ignore lint/a11y/noStaticElementInteractions: F2 renames by keyboard
      <span
        className="node-title cut"
        title={title ? `${title} (${id})` : id}
        onDoubleClick={() => setEditing(true)}
      >
        {title || id}
      </span>
    );
  }
  const finish = (wanted: string) => {
    setEditing(false);
    rename(id, wanted.trim());
  };
  return (
    <input
      className="node-rename nodrag nopan"
      aria-label={`New name of ${id}`}
      defaultValue={title || id}
      // biome-ignore lint/a11y/noAutofocus: the person has just asked to type here
      autoFocus
      spellCheck={false}
      onFocus={(event) => event.currentTarget.select()}
      onBlur={(event) => finish(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter") event.currentTarget.blur();
        if (event.key === "Escape") setEditing(false);
        event.stopPropagation();
      }}
    />
  );
}

/** Rename a node. A name that cannot be an id, such as one with spaces, becomes its title. */
export function rename(id: string, wanted: string): void {
  const entry = graph().nodes.get(id);
  if (!entry || wanted === id || wanted === entry.title || wanted === "") return;
  const problem = renameProblem(graph(), id, wanted);
  if (problem === undefined) {
    edit(`Rename ${id}`, (state) =>
      renameNode(
        changeNode(state, id, (item) => ({ ...item, title: "" })),
        id,
        wanted,
      ),
    );
    selectNodes([wanted]);
  } else if (graph().nodes.has(wanted)) {
    sayError(problem);
  } else {
    edit(`Rename ${id}`, (state) => changeNode(state, id, (item) => ({ ...item, title: wanted })));
  }
}
