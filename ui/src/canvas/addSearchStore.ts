/** Where the search for a node type is open, and for which wire. */
import { create } from "zustand";
import type { WireEnd } from "./wireDrag";

export interface Screen {
  readonly x: number;
  readonly y: number;
}

interface AddSearchState {
  readonly at: Screen | null;
  /** The wire that waits for its other end. */
  readonly from: WireEnd | null;
  open(at: Screen, from?: WireEnd): void;
  close(): void;
}

export const useAddSearch = create<AddSearchState>((set) => ({
  at: null,
  from: null,
  open: (at, from) => set({ at, from: from ?? null }),
  close: () => set({ at: null, from: null }),
}));

/** The canvas, which gets the focus back when the search is closed: there the keys of commands work. */
export function focusCanvas(): HTMLElement | null {
  return document.querySelector<HTMLElement>("[data-canvas]");
}
