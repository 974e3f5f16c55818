/** What the page shows beside the document: drawers, tabs, theme. This browser remembers it. */
import { create } from "zustand";
import { persist } from "zustand/middleware";

export type Drawer = "add" | "graphs" | "outputs" | "models" | "queue";
export type PanelTab = "controls" | "node" | "problems";
export type Theme = "system" | "dark" | "light";
export type Pointer = "mouse" | "trackpad";

interface View {
  readonly drawer: Drawer | null;
  /** True while the view of trainings covers the canvas; its address is `/train`. */
  readonly isTraining: boolean;
  readonly isPanelOpen: boolean;
  readonly tab: PanelTab;
  readonly theme: Theme;
  /** 1 to 2. */
  readonly textScale: number;
  readonly pointer: Pointer;
  readonly hasMinimap: boolean;
  /** True to tell the end of long runs while the page is hidden. */
  readonly isNotifying: boolean;
}

export const useView = create<View>()(
  persist(
    (): View => ({
      drawer: null,
      isTraining: globalThis.location?.pathname === "/train",
      isPanelOpen: true,
      tab: "controls",
      theme: "system",
      textScale: 1,
      pointer: "mouse",
      hasMinimap: false,
      isNotifying: false,
    }),
    {
      name: "safelight.view",
      version: 1,
      partialize: ({ drawer: _drawer, isTraining: _isTraining, ...kept }) => kept,
    },
  ),
);

export function toggleTraining(): void {
  const isTraining = !useView.getState().isTraining;
  history.replaceState(null, "", isTraining ? "/train" : "/");
  useView.setState({ isTraining, drawer: null });
}

export function leaveTraining(): void {
  if (useView.getState().isTraining) toggleTraining();
}

export function toggleDrawer(drawer: Drawer): void {
  useView.setState((view) => ({ drawer: view.drawer === drawer ? null : drawer }));
}

export function showTab(tab: PanelTab): void {
  useView.setState({ tab, isPanelOpen: true });
}

/** Apply theme and text size to the page now and after each change, also of the system's theme. */
export function followView(): () => void {
  const system = matchMedia("(prefers-color-scheme: light)");
  const apply = () => {
    const { theme, textScale } = useView.getState();
    const root = document.documentElement;
    root.dataset.theme = theme === "system" ? (system.matches ? "light" : "dark") : theme;
    root.style.setProperty("--text-scale", String(textScale));
  };
  apply();
  system.addEventListener("change", apply);
  const end = useView.subscribe(apply);
  return () => {
    system.removeEventListener("change", apply);
    end();
  };
}
