/** Sends keys to commands. Browser keys and typing in fields stay what they are. */
import { useAddSearch } from "../canvas/add/addSearchStore";
import { useOverlay } from "../popups/overlays";
import { useView } from "../state/view";
import { allCommands } from "./commands";
import { isKey, isTyping } from "./keys";

/** True if the canvas or nothing has the focus, so that letters are commands. */
function isOnCanvas(target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return true;
  if (isTyping(target)) return false;
  return target === document.body || target.closest("[data-canvas]") !== null;
}

/** Whether a list or dialog is open, or is opening: keys are meant for it, also before it has the focus. */
function hasPopup(): boolean {
  return useOverlay.getState().overlay !== null || useAddSearch.getState().at !== null;
}

/** What changes or moves over the graph, which the view of trainings covers. */
const OF_CANVAS: readonly string[] = ["Edit", "Nodes", "Canvas"];

/** Handle keys of the page until the returned function is called. */
export function followKeys(): () => void {
  const press = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (event.target instanceof Element && event.target.closest("[role=dialog], [role=menu]")) return;
    if (hasPopup()) return;
    const onCanvas = isOnCanvas(event.target);
    const { isTraining } = useView.getState();
    const isOnButton = event.target instanceof Element && event.target.closest("button, [role=tab]") !== null;
    for (const item of allCommands()) {
      if (isTraining && OF_CANVAS.includes(item.group)) continue;
      if (item.scope === "canvas" ? !onCanvas : item.scope !== "page" && isTyping(event.target)) continue;
      const keys = item.keys?.find((key) => isKey(event, key));
      if (keys === undefined) continue;
      if (isOnButton && (keys === "Space" || keys === "Enter")) continue;
      if (item.isPossible?.() === false) continue;
      event.preventDefault();
      item.run();
      return;
    }
  };
  window.addEventListener("keydown", press);
  return () => window.removeEventListener("keydown", press);
}
