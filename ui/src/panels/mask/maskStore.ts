/** The mask that is being painted. What is painted stays until it is used, also while the brush is closed. */
import { create } from "zustand";
import type { InputEnd } from "../../document/graph";
import type { MaskPlace } from "../../schema/masks";
import type { Change } from "./strokes";

interface MaskState {
  readonly open: { readonly end: InputEnd; readonly place: MaskPlace } | null;
  /** The changes that no run has yet, by picture and mask. */
  readonly changes: Readonly<Record<string, readonly Change[]>>;
}

export const useMask = create<MaskState>(() => ({ open: null, changes: {} }));

export function maskKey({ picture, mask }: MaskPlace): string {
  return `${picture} ${mask ?? ""}`;
}

export function setChanges(place: MaskPlace, changes: readonly Change[]): void {
  useMask.setState((state) => ({ changes: { ...state.changes, [maskKey(place)]: changes } }));
}

export function closeMask(): void {
  useMask.setState({ open: null });
}
