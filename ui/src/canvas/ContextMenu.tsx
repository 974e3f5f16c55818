import { Menu } from "@base-ui/react/menu";
import { useMemo } from "react";
import { create } from "zustand";
import { CommandMenu } from "../app/CommandMenu";
import { selectNodes, useSelection } from "../app/editor";
import { type FlowNode, thing } from "./flow";

const ON_NODE = [
  "runHere",
  "pin",
  "rename",
  "off",
  "collapse",
  "copy",
  "duplicate",
  "frame",
  "tidy",
  "makeSubgraph",
  "delete",
  "deleteAndHeal",
];
const ON_CANVAS = ["add", "paste", "selectAll", "note", "fit", "tidy", "find", "palette"];

interface MenuState {
  readonly at: { readonly x: number; readonly y: number } | null;
  readonly ids: readonly string[];
}

const useMenu = create<MenuState>(() => ({ at: null, ids: [] }));

/** The point where the menu was opened, for what it adds. */
export function menuPoint(): { x: number; y: number } | null {
  return useMenu.getState().at;
}

/** Open the menu of a node, or of the canvas. */
export function openMenu(event: MouseEvent | React.MouseEvent, node?: FlowNode): void {
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
  event.preventDefault();
  const at = { x: event.clientX, y: event.clientY };
  if (!node) return useMenu.setState({ at, ids: ON_CANVAS });
  const { kind, id } = thing(node.id);
  if (kind === "node" && !useSelection.getState().nodes.has(id)) selectNodes([id]);
  if (kind === "frame") useSelection.setState({ frames: new Set([id]), nodes: new Set(), notes: new Set() });
  if (kind === "note") useSelection.setState({ notes: new Set([id]), nodes: new Set(), frames: new Set() });
  useMenu.setState({ at, ids: kind === "node" ? ON_NODE : ["duplicate", "unframe", "delete"] });
}

/** The commands for what was clicked with the right button. */
export function ContextMenu() {
  const { at, ids } = useMenu();
  const anchor = useMemo(
    () => (at === null ? null : { getBoundingClientRect: () => new DOMRect(at.x, at.y, 0, 0) }),
    [at],
  );
  return (
    <Menu.Root
      open={at !== null}
      onOpenChange={(isOpen) => !isOpen && useMenu.setState({ at: null })}
      modal={false}
    >
      <CommandMenu ids={ids} anchor={anchor} align="start" />
    </Menu.Root>
  );
}
