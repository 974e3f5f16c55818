/** How far the canvas is zoomed out: below some zoom each node is drawn as a box, and below another one without words. */
import { create } from "zustand";

const FAR_ZOOM = 0.35;
const TINY_ZOOM = 0.16;

export const useFar = create<{ isFar: boolean; isTiny: boolean }>(() => ({ isFar: false, isTiny: false }));

export function setZoom(zoom: number): void {
  const [isFar, isTiny] = [zoom < FAR_ZOOM, zoom < TINY_ZOOM];
  const before = useFar.getState();
  if (isFar !== before.isFar || isTiny !== before.isTiny) useFar.setState({ isFar, isTiny });
}
