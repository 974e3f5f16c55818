/** The list of choices that one field at a time shows below itself. */
import { create } from "zustand";

export interface Choice {
  readonly value: string;
  readonly label: string;
  readonly group?: string | undefined;
  /** Shown after the label in grey. */
  readonly detail?: string | undefined;
  /** Why it cannot be chosen. */
  readonly refused?: string | undefined;
}

interface OpenList {
  readonly anchor: HTMLElement;
  readonly label: string;
  readonly value: string;
  readonly load: () => Promise<readonly Choice[]> | readonly Choice[];
  /** What to say if there is nothing to choose. */
  readonly empty: string;
  /** True if a value may be typed that is not in the list. */
  readonly isFree: boolean;
  readonly pick: (value: string) => void;
}

interface ChoiceList {
  readonly open: OpenList | null;
  show(list: OpenList): void;
  close(): void;
}

export const useChoiceList = create<ChoiceList>((set) => ({
  open: null,
  show: (open) => set({ open }),
  close: () => set({ open: null }),
}));
