/** Sends keys to commands. Browser keys and typing in fields stay what they are. */
import { useAddSearch } from "../canvas/add/addSearchStore";
import { useOverlay } from "../popups/overlays";
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

/** Handle keys of the page until the returned function is called. */
export function followKeys(): () => void {
  const press = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (event.target instanceof Element && event.target.closest("[role=dialog], [role=menu]")) return;
    if (hasPopup()) return;
    const onCanvas = isOnCanvas(event.target);
    const isOnButton = event.target instanceof Element && event.target.closest("button, [role=tab]") !== null;
    for (const item of allCommands()) {
      if (item.scope === "canvas" && !onCanvas) continue;
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
