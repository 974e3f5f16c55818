/** The menus of a right-click on the canvas. */
import { outputMenu, useOutput } from "../commands/outputCommands";
import { openMenuAt } from "../popups/menu";
import { selectNodes, useSelection } from "../state/editor";
import { useField } from "../state/field";
import { type FlowNode, thing } from "./flow";

const ON_FIELD = ["exposeField", "unexposeField", "sweepField", "paintMask", "resetField"];
const ON_NODE = [
  "runHere",
  "viewDataset",
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

/**
 * Open the menu of a field, a node, a frame or a note, or of the canvas. Where text is written, and with Shift, the
 * menu of the browser opens.
 */
export function openMenu(event: MouseEvent | React.MouseEvent, node?: FlowNode): void {
  const target = event.target as Element;
  if (event.shiftKey || target.matches("textarea, input:not(.number)")) return;
  event.preventDefault();
  const at = new DOMRect(event.clientX, event.clientY, 0, 0);
  if (!node) return openMenuAt(at, ON_CANVAS);
  const { kind, id } = thing(node.id);
  if (kind === "node" && !useSelection.getState().nodes.has(id)) selectNodes([id]);
  if (kind === "frame") useSelection.setState({ frames: new Set([id]), nodes: new Set(), notes: new Set() });
  if (kind === "note") useSelection.setState({ notes: new Set([id]), nodes: new Set(), frames: new Set() });
  const input = target.closest("[data-input]")?.getAttribute("data-input");
  if (kind === "node" && input) {
    useField.setState({ end: { node: id, input } });
    return openMenuAt(at, [...ON_FIELD, ...ON_NODE]);
  }
  const output = target.closest("[data-output]")?.getAttribute("data-output");
  if (kind === "node" && output) {
    useOutput.setState({ node: id, output });
    return openMenuAt(at, [...outputMenu(), ...ON_NODE]);
  }
  openMenuAt(at, kind === "node" ? ON_NODE : ON_OTHERS);
}
