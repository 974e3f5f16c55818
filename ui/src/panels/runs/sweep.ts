/** The sweep that a person prepares: for some controls, a list of values each. */
import { create } from "zustand";
import { type Json, toPlain } from "../../document/json/json";
import { useDocument } from "../../server/documents/documents";

/** The texts of the lists by control, in the order of the axes: the first one makes the rows. */
interface Sweep {
  readonly texts: Readonly<Record<string, string>>;
  /** The control that was added last; its field takes the focus. */
  readonly newest: string | null;
}

const NONE: Sweep = { texts: {}, newest: null };

export const useSweep = create<Sweep>(() => NONE);

// A sweep belongs to the open document.
useDocument.subscribe((now, before) => {
  if (now.draft !== before.draft) useSweep.setState(NONE);
});

/** Make a control an axis of the sweep; its list begins with its value. */
export function addToSweep(name: string, value: Json | undefined): void {
  const plain = value === undefined ? "" : toPlain(value);
  const text = typeof plain === "string" ? plain : JSON.stringify(plain);
  useSweep.setState(({ texts }) => ({ texts: { ...texts, [name]: text }, newest: name }));
}

export function removeFromSweep(name: string): void {
  useSweep.setState(({ texts }) => {
    const { [name]: _, ...rest } = texts;
    return { texts: rest };
  });
}

/** True for the controls and graph inputs that a sweep can give a list of values. */
export function canSweep(kind: string): boolean {
  return !["none", "stack"].includes(kind);
}
