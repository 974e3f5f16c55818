/** The field of a node that commands are for. */
import { create } from "zustand";
import type { InputEnd } from "../document/graph";

/** The field with the focus, or under the open menu. */
export const useField = create<{ end: InputEnd | null }>(() => ({ end: null }));
