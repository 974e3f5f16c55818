/** The keys that walk through the canvas: Tab, arrows, Enter, Esc. Letters are commands, in `commands/`. */
import type { KeyboardEvent } from "react";
import { goTo, step } from "../commands/canvasCommands";
import { isTyping } from "../commands/keys";
import { moveItems } from "../document/edit/frames";
import { clearSelection, edit, useSelection } from "../state/editor";

const STEP = 8;
const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Handle a key that was pressed on the canvas or in a node. */
export function pressOnCanvas(event: KeyboardEvent<HTMLElement>): void {
  const target = event.target as HTMLElement;
  const node = target.closest<HTMLElement>("[data-node]");
  if (event.key === "Escape") return leave(event, node, target);
  if (isTyping(target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const isOnNode = target === node || target.hasAttribute("data-canvas");
  if (!isOnNode) return;
  const arrow = ARROWS[event.key];
  if (event.key === "Tab") {
    if (step(event.shiftKey ? -1 : 1)) event.preventDefault();
    else clearSelection();
  } else if (arrow) {
    move(arrow, event.shiftKey ? 8 * STEP : STEP);
    event.preventDefault();
  } else if (event.key === "Enter" && node) {
    const field = node.querySelector<HTMLElement>("textarea, input, .field, button.switch, .fold");
    field?.focus();
    event.preventDefault();
  }
}

/** Esc leaves a field for its node, then the node for the canvas. */
function leave(event: KeyboardEvent, node: HTMLElement | null, target: HTMLElement): void {
  if (node && target !== node) {
    goTo(node.dataset.node ?? "");
  } else {
    clearSelection();
    document.querySelector<HTMLElement>("[data-canvas]")?.focus();
  }
  event.preventDefault();
}

function move([dx, dy]: readonly [number, number], by: number): void {
  const { nodes, notes, frames } = useSelection.getState();
  if (nodes.size + notes.size + frames.size === 0) return;
  const key = `nudge ${[...nodes, ...notes, ...frames].join(" ")}`;
  edit(
    `Move ${nodes.size === 1 ? [...nodes][0] : "the selection"}`,
    (state) => moveItems(state, { nodes, notes, frames }, [dx * by, dy * by]),
    key,
  );
}
