/** Whether the canvas is zoomed out so far that each node is drawn as a plain box. */
import { create } from "zustand";

const FAR_ZOOM = 0.35;

export const useFar = create<{ isFar: boolean }>(() => ({ isFar: false }));

export function setZoom(zoom: number): void {
  const isFar = zoom < FAR_ZOOM;
  if (isFar !== useFar.getState().isFar) useFar.setState({ isFar });
}
