import { useAddSearch } from "../canvas/add/addSearchStore";
import { nodeBox, shapeOf } from "../canvas/flow";
import { placeAt, reveal, show, useViewport, zoomBy } from "../canvas/viewport";
import { moveNodes } from "../document/edit/nodes";
import { type Graph, wires } from "../document/graph";
import { align, distribute, type Side } from "../layout/align";
import { tidy } from "../layout/tidy";
import { pin } from "../panels/pictures/pictures";
import { menuPoint } from "../popups/menu";
import { openOverlay } from "../popups/overlays";
import { useCheck } from "../server/documents/check";
import { useRuns } from "../server/runs/runStore";
import { edit, graph, selectNodes, useSelection, wholeId } from "../state/editor";
import { say } from "../state/status";
import { typed } from "../state/types";
import { showTab, toggleDrawer, useView } from "../state/view";
import { define } from "./commands";

let pointer: { x: number; y: number } | null = null;
window.addEventListener("pointermove", (event) => {
  const isOnCanvas = event.target instanceof Element && event.target.closest(".react-flow") !== null;
  pointer = isOnCanvas ? { x: event.clientX, y: event.clientY } : null;
});

/** Where the pointer is, if it is on the canvas; else the middle of the canvas. */
function pointerOrMiddle(): { x: number; y: number } {
  if (pointer) return pointer;
  const middle = placeAt();
  return useViewport.getState().flow?.flowToScreenPosition(middle) ?? { x: 400, y: 300 };
}

function selected(): ReadonlySet<string> {
  return useSelection.getState().nodes;
}

/** The nodes in reading order: columns from left to right, each from the top. */
function inOrder(state: Graph): string[] {
  const place = (id: string) => state.layout.get(id) ?? [0, 0];
  return [...state.nodes.keys()].sort((a, b) => place(a)[0] - place(b)[0] || place(a)[1] - place(b)[1]);
}

/** Select a node, bring it into view, and give it the keyboard focus. */
export function goTo(id: string): void {
  selectNodes([id]);
  reveal(id);
  focusNode(id, performance.now() + FOCUS_MS);
}

/** A node outside the view, or of a far zoom, can take the focus only after the view has moved there. */
const FOCUS_MS = 2000;

function focusNode(id: string, end: number): void {
  const node = document.querySelector<HTMLElement>(`[data-node="${CSS.escape(id)}"]`);
  node?.focus({ preventScroll: true });
  if (node && document.activeElement === node) return;
  if (performance.now() < end) requestAnimationFrame(() => focusNode(id, end));
}

/** Select the next node in reading order; false at the end, where the focus leaves the canvas. */
export function step(direction: 1 | -1): boolean {
  const order = inOrder(graph());
  const current = [...selected()].at(-1);
  const at = current === undefined ? (direction === 1 ? -1 : order.length) : order.indexOf(current);
  const next = order[at + direction];
  if (next === undefined) return false;
  goTo(next);
  return true;
}

function walk(direction: "up" | "down"): void {
  const id = [...selected()][0];
  if (id === undefined) return;
  for (const wire of wires(graph())) {
    if (direction === "up" && wire.to.node === id) return goTo(wire.from.node);
    if (direction === "down" && wire.from.node === id) return goTo(wire.to.node);
  }
  say(direction === "up" ? `${id} takes nothing from another node.` : `Nothing takes from ${id}.`);
}

function nextProblem(direction: 1 | -1): void {
  const failed = Object.values(shownNodes()).filter((node) => node.status === "failed");
  const nodes = [
    ...new Set([...Object.keys(useCheck.getState().ofNode), ...failed.map((node) => node.path)]),
  ];
  if (nodes.length === 0) return say("No problems.");
  const order = inOrder(graph()).filter((id) => nodes.includes(wholeId(id)));
  const current = [...selected()][0];
  const at = current === undefined ? -1 : order.indexOf(current);
  const next = order[(at + direction + order.length) % order.length];
  showTab("problems");
  if (next !== undefined) goTo(next);
}

function shownNodes() {
  const { shown, queue } = useRuns.getState();
  return (shown === null ? undefined : queue.runs[shown])?.nodes ?? {};
}

/** Lay out the selected nodes, or all of them, as one step. */
async function layOut(): Promise<void> {
  const chosen = selected();
  const ids = chosen.size > 1 ? chosen : graph().nodes.keys();
  const places = await tidy(graph(), (id) => shapeOf(graph(), typed(), id), ids);
  edit(`Tidy ${places.size} nodes`, (state) => moveNodes(state, places));
  show(chosen.size > 1 ? chosen : []);
}

function boxes() {
  return new Map([...selected()].map((id) => [id, nodeBox(graph(), typed(), id)]));
}

function alignTo(side: Side): void {
  const places = align(boxes(), side);
  edit(`Align ${places.size} nodes`, (state) => moveNodes(state, places));
}

function spread(direction: "across" | "down"): void {
  const places = distribute(boxes(), direction);
  edit(`Distribute ${places.size} nodes`, (state) => moveNodes(state, places));
}

const several = () => selected().size > 1;
const one = () => selected().size === 1;
const SIDES: readonly Side[] = ["left", "centre", "right", "top", "middle", "bottom"];

define(
  {
    id: "add",
    label: "Add a node",
    group: "Nodes",
    keys: ["Space", "Shift+A"],
    scope: "canvas",
    run: () => useAddSearch.getState().open(pointerOrMiddle()),
  },
  {
    id: "replace",
    label: "Replace with…",
    group: "Nodes",
    scope: "canvas",
    isPossible: one,
    run: () =>
      useAddSearch.getState().openReplace(menuPoint() ?? pointerOrMiddle(), [...selected()][0] ?? ""),
  },
  {
    id: "rename",
    label: "Rename",
    group: "Nodes",
    keys: ["F2"],
    scope: "canvas",
    isPossible: one,
    run: () => {
      const id = [...selected()][0] ?? "";
      const title = document.querySelector(`[data-node="${CSS.escape(id)}"] .node-title`);
      title?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
    },
  },
  {
    id: "connect",
    label: "Connect from a list",
    group: "Nodes",
    keys: ["K"],
    scope: "canvas",
    isPossible: one,
    run: () => openOverlay("connect"),
  },
  {
    id: "pin",
    label: "Pin to the viewer",
    group: "Nodes",
    keys: ["V"],
    scope: "canvas",
    isPossible: one,
    run: () => pin(wholeId([...selected()][0] ?? "")),
  },
  { id: "tidy", label: "Tidy", group: "Canvas", keys: ["L"], scope: "canvas", run: () => void layOut() },
  ...SIDES.map((side) => ({
    id: `align ${side}`,
    label: `Align: ${side}`,
    group: "Canvas" as const,
    scope: "canvas" as const,
    isPossible: several,
    run: () => alignTo(side),
  })),
  {
    id: "distribute across",
    label: "Distribute across",
    group: "Canvas",
    scope: "canvas",
    isPossible: several,
    run: () => spread("across"),
  },
  {
    id: "distribute down",
    label: "Distribute down",
    group: "Canvas",
    scope: "canvas",
    isPossible: several,
    run: () => spread("down"),
  },
  {
    id: "fit",
    label: "Show the selection, or all",
    group: "Canvas",
    keys: ["F", "."],
    scope: "canvas",
    run: () => show(selected()),
  },
  {
    id: "zoomIn",
    label: "Zoom in",
    group: "Canvas",
    keys: ["+", "="],
    scope: "canvas",
    run: () => zoomBy(1.25),
  },
  { id: "zoomOut", label: "Zoom out", group: "Canvas", keys: ["-"], scope: "canvas", run: () => zoomBy(0.8) },
  {
    id: "find",
    label: "Find a node of the graph",
    group: "Canvas",
    keys: ["Ctrl+F"],
    scope: "page",
    run: () => openOverlay("find"),
  },
  {
    id: "upstream",
    label: "Go upstream",
    group: "Canvas",
    keys: ["["],
    scope: "canvas",
    isPossible: one,
    run: () => walk("up"),
  },
  {
    id: "downstream",
    label: "Go downstream",
    group: "Canvas",
    keys: ["]"],
    scope: "canvas",
    isPossible: one,
    run: () => walk("down"),
  },
  {
    id: "nextProblem",
    label: "Next problem",
    group: "Canvas",
    keys: ["E"],
    scope: "canvas",
    run: () => nextProblem(1),
  },
  {
    id: "lastProblem",
    label: "Previous problem",
    group: "Canvas",
    keys: ["Shift+E"],
    scope: "canvas",
    run: () => nextProblem(-1),
  },
  {
    id: "panel",
    label: "Show or hide the panel",
    group: "Page",
    keys: ["I"],
    scope: "canvas",
    run: () => useView.setState(({ isPanelOpen }) => ({ isPanelOpen: !isPanelOpen })),
  },
  {
    id: "outputs",
    label: "Outputs",
    group: "Page",
    keys: ["G"],
    scope: "canvas",
    run: () => toggleDrawer("outputs"),
  },
  {
    id: "queue",
    label: "Queue",
    group: "Page",
    keys: ["Q"],
    scope: "canvas",
    run: () => toggleDrawer("queue"),
  },
);
