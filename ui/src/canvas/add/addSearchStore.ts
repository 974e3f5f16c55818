/** Where the search for a node type is open, and for which wire. */
import { create } from "zustand";
import type { WireEnd } from "../wires/wireDrag";

export interface Screen {
  readonly x: number;
  readonly y: number;
}

interface AddSearchState {
  readonly at: Screen | null;
  /** The wire that waits for its other end. */
  readonly from: WireEnd | null;
  /** The node that gets another type; null to add one. */
  readonly replaces: string | null;
  open(at: Screen, from?: WireEnd): void;
  openReplace(at: Screen, node: string): void;
  close(): void;
}

export const useAddSearch = create<AddSearchState>((set) => ({
  at: null,
  from: null,
  replaces: null,
  open: (at, from) => set({ at, from: from ?? null, replaces: null }),
  openReplace: (at, node) => set({ at, from: null, replaces: node }),
  close: () => set({ at: null, from: null, replaces: null }),
}));

/** The canvas, which gets the focus back when the search is closed: there the keys of commands work. */
export function focusCanvas(): HTMLElement | null {
  return document.querySelector<HTMLElement>("[data-canvas]");
}
