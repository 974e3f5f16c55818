import { CommandPalette } from "../lists/CommandPalette";
import { ConnectList } from "../lists/ConnectList";
import { FindNode } from "../lists/FindNode";
import { ConflictDialog } from "./ConflictDialog";
import { KeySheet } from "./KeySheet";
import { closeOverlay, useOverlay } from "./overlays";
import { SaveAsDialog } from "./SaveAsDialog";

/** The open dialog, if any. */
export function Overlays() {
  const kind = useOverlay((state) => state.overlay);
  switch (kind) {
    case "palette":
      return <CommandPalette onClose={closeOverlay} />;
    case "keys":
      return <KeySheet onClose={closeOverlay} />;
    case "find":
      return <FindNode onClose={closeOverlay} />;
    case "connect":
      return <ConnectList onClose={closeOverlay} />;
    case "saveAs":
      return <SaveAsDialog onClose={closeOverlay} />;
    case "conflict":
      return <ConflictDialog onClose={closeOverlay} />;
    default:
      return null;
  }
}
