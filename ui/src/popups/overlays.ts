/** Which dialog is open, if any. */
import { create } from "zustand";

export type Overlay = "palette" | "keys" | "find" | "connect" | "saveAs" | "conflict";

export const useOverlay = create<{ overlay: Overlay | null }>(() => ({ overlay: null }));

export function openOverlay(overlay: Overlay): void {
  useOverlay.setState({ overlay });
}

export function closeOverlay(): void {
  useOverlay.setState({ overlay: null });
}
