import { Dialog } from "@base-ui/react/dialog";
import { type FormEvent, useRef, useState } from "react";
import { saySaved } from "../commands/saved";
import { idFor, saveAs, useDocument } from "../server/documents/documents";
import { reasonOf } from "../server/requests/problems";
import { documents } from "../state/editor";

/** Asks for the name of a graph that is saved for the first time, or once more under another name. */
export function SaveAsDialog({ onClose }: { onClose: () => void }) {
  const { id, isExample } = useDocument.getState();
  const title = documents.getState().root.title;
  const [name, setName] = useState(
    id !== null && !isExample ? `${id}-copy` : idFor(title || id || "untitled"),
  );
  const [problem, setProblem] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await saveAs(name.trim());
      saySaved(name.trim());
      onClose();
    } catch (error) {
      setProblem(reasonOf(error));
    }
  };
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop dim" />
        <Dialog.Popup className="pop dialog" initialFocus={field}>
          <form onSubmit={(event) => void submit(event)}>
            <Dialog.Title className="panel-title">Save as</Dialog.Title>
            <label className="dialog-field">
              Name of the graph
              <input
                ref={field}
                value={name}
                spellCheck={false}
                aria-invalid={problem !== ""}
                onChange={(event) => setName(event.currentTarget.value)}
              />
            </label>
            {problem !== "" && <p role="alert">{problem}</p>}
            <div className="dialog-buttons">
              <Dialog.Close className="button quiet">Cancel</Dialog.Close>
              <button type="submit" className="button solid" disabled={name.trim() === ""}>
                Save
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
