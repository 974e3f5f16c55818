/** The menus of a right-click on the canvas. */
import { selectNodes, useSelection } from "../app/editor";
import { openMenuAt } from "../app/menu";
import { type FlowNode, thing } from "./flow";

const ON_NODE = [
  "runHere",
  "pin",
  "rename",
  "off",
  "collapse",
  "replace",
  "copy",
  "duplicate",
  "frame",
  "tidy",
  "makeSubgraph",
  "openSubgraph",
  "unpackSubgraph",
  "delete",
  "deleteAndHeal",
];
const ON_CANVAS = ["add", "paste", "selectAll", "note", "fit", "tidy", "find", "palette"];
const ON_OTHERS = ["duplicate", "unframe", "delete"];

/** Open the menu of a node, frame or note, or of the canvas. Fields keep the menu of the browser. */
export function openMenu(event: MouseEvent | React.MouseEvent, node?: FlowNode): void {
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
  event.preventDefault();
  const at = new DOMRect(event.clientX, event.clientY, 0, 0);
  if (!node) return openMenuAt(at, ON_CANVAS);
  const { kind, id } = thing(node.id);
  if (kind === "node" && !useSelection.getState().nodes.has(id)) selectNodes([id]);
  if (kind === "frame") useSelection.setState({ frames: new Set([id]), nodes: new Set(), notes: new Set() });
  if (kind === "note") useSelection.setState({ notes: new Set([id]), nodes: new Set(), frames: new Set() });
  openMenuAt(at, kind === "node" ? ON_NODE : ON_OTHERS);
}
