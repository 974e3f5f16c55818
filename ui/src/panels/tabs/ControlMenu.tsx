/** What can be done with a control of the graph: sweep, rename, move, remove. */
import { Menu } from "@base-ui/react/menu";
import { useState } from "react";
import { renameShownPort } from "../../commands/subgraphs";
import { deleteInput, moveInput, nameProblem, renameInput } from "../../document/edit/graphInputs";
import type { GraphInput } from "../../document/graph";
import { documents, edit, useGraph } from "../../state/editor";
import { words } from "../format";
import { addToSweep, removeFromSweep } from "../runs/sweep";

export function ControlMenu({ name, item, id }: { name: string; item: GraphInput; id: string }) {
  const [isRenaming, setRenaming] = useState(false);
  const inputs = useGraph((graph) => graph.inputs);
  const place = [...inputs.keys()].indexOf(name);
  const canSweep = ["text", "seed", "int", "float", "bool", "choice", "file", "json"].includes(item.type);
  const move = (by: number) => edit(`Move ${words(name)}`, (graph) => moveInput(graph, name, place + by));
  const rename = (wanted: string) => {
    if (documents.getState().path.length > 0) return renameShownPort("inputs", name, wanted);
    removeFromSweep(name);
    edit(`Rename ${words(name)}`, (graph) => renameInput(graph, name, wanted));
  };
  if (isRenaming)
    return <Rename name={name} taken={inputs} onRename={rename} onDone={() => setRenaming(false)} />;
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger id={id} className="control-name cut" title={item.doc || words(name)}>
        {words(name)}
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner className="pop-layer" sideOffset={4} align="start">
          <Menu.Popup className="pop menu">
            <Menu.Item
              className="pop-row"
              disabled={!canSweep}
              onClick={() => addToSweep(name, item.default)}
            >
              Sweep over values
            </Menu.Item>
            <Menu.Item className="pop-row" onClick={() => setRenaming(true)}>
              Rename
            </Menu.Item>
            <Menu.Item className="pop-row" disabled={place <= 0} onClick={() => move(-1)}>
              Move up
            </Menu.Item>
            <Menu.Item className="pop-row" disabled={place >= inputs.size - 1} onClick={() => move(1)}>
              Move down
            </Menu.Item>
            <Menu.Item
              className="pop-row"
              onClick={() => {
                removeFromSweep(name);
                edit(`Remove the control ${words(name)}`, (graph) => deleteInput(graph, name));
              }}
            >
              Remove from the controls
            </Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}

interface RenameProps {
  name: string;
  taken: { has(name: string): boolean };
  onRename: (wanted: string) => void;
  onDone: () => void;
}

/** The field for another name of an input or output of the graph. */
export function Rename({ name, taken, onRename, onDone }: RenameProps) {
  const [text, setText] = useState(name);
  const problem = nameProblem(taken, name, text);
  const finish = () => {
    if (problem === undefined && text !== name) onRename(text);
    onDone();
  };
  return (
    <input
      className="field rename"
      aria-label={`New name of ${words(name)}`}
      aria-invalid={problem !== undefined}
      title={problem ?? ""}
      value={text}
      spellCheck={false}
      // biome-ignore lint/a11y/noAutofocus: the person has just asked to type here
      autoFocus
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={finish}
      onKeyDown={(event) => {
        if (event.key === "Enter") finish();
        else if (event.key === "Escape") onDone();
        else return;
        event.stopPropagation();
      }}
    />
  );
}
