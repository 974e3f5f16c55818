/** The status line: the last message, which screen readers announce too. */
import { create } from "zustand";

interface Status {
  readonly text: string;
  readonly isError: boolean;
}

export const useStatus = create<Status>(() => ({ text: "", isError: false }));

export function say(text: string): void {
  useStatus.setState({ text, isError: false });
}

export function sayError(text: string): void {
  useStatus.setState({ text, isError: true });
}
