/** The menu of commands that is open, such as that of a node. There is one in the page. */
import { create } from "zustand";

interface MenuState {
  /** The box that it opens beside: a button, or a point of the canvas. */
  readonly box: DOMRect | null;
  readonly align: "start" | "end";
  /** The commands, by id. */
  readonly ids: readonly string[];
}

export const useMenu = create<MenuState>(() => ({ box: null, align: "start", ids: [] }));

export function openMenuAt(box: DOMRect, ids: readonly string[], align: "start" | "end" = "start"): void {
  useMenu.setState({ box, ids, align });
}

/** The point where the menu was opened, for what its commands add. */
export function menuPoint(): { x: number; y: number } | null {
  const { box } = useMenu.getState();
  return box && { x: box.left, y: box.top };
}
