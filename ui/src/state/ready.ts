/** Whether the page has shown its graph, so that what is needed later may be loaded. */
import { create } from "zustand";

export const useReady = create<{ isReady: boolean }>(() => ({ isReady: false }));

export function setReady(): void {
  const ready = () => useReady.setState({ isReady: true });
  if ("requestIdleCallback" in window) requestIdleCallback(ready, { timeout: 1000 });
  else setTimeout(ready, 300);
}
