import { Dialog } from "@base-ui/react/dialog";
import { attempt } from "../panels/attempt";
import { overwrite, reload, useDocument } from "../server/documents/documents";
import { say } from "../state/status";
import { openOverlay } from "./overlays";

/** Asks what to do with a graph that another tab or program has saved meanwhile. Nothing is lost either way. */
export function ConflictDialog({ onClose }: { onClose: () => void }) {
  const id = useDocument((state) => state.id);
  const choose = (action: () => Promise<unknown>, words: string) => {
    onClose();
    void attempt(action().then(() => say(words)));
  };
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop dim" />
        <Dialog.Popup className="pop dialog">
          <Dialog.Title className="panel-title">{id} was saved elsewhere</Dialog.Title>
          <Dialog.Description className="dialog-text">
            Another tab or program has saved this graph since you opened it. Your changes are kept as a draft,
            and both versions stay in the list of versions.
          </Dialog.Description>
          <div className="dialog-buttons">
            <button
              type="button"
              className="button quiet"
              onClick={() => choose(reload, "Loaded the other version. Yours is among the drafts.")}
            >
              Load the other version
            </button>
            <button type="button" className="button" onClick={() => openOverlay("saveAs")}>
              Save as a copy
            </button>
            <button
              type="button"
              className="button solid"
              onClick={() => choose(overwrite, "Saved as the newest version.")}
            >
              Save mine as newest
            </button>
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
