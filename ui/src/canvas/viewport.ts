/** The view of the canvas: zoom, fit, jump to a node. */
import type { Viewport as Placing, ReactFlowInstance, XYPosition } from "@xyflow/react";
import { create } from "zustand";
import { documents, graph } from "../state/editor";
import { typed } from "../state/types";
import { setZoom, useFar } from "./far";
import { type FlowNode, nodeBox } from "./flow";
import type { WireFlowEdge } from "./wires/WireEdge";

type Flow = ReactFlowInstance<FlowNode, WireFlowEdge>;

interface Viewport {
  readonly flow: Flow | null;
  take(flow: Flow): void;
}

export const useViewport = create<Viewport>((set) => ({
  flow: null,
  take: (flow) => {
    set({ flow });
    setZoom(flow.getZoom());
    restoreView();
  },
}));

/** Pan and zoom of the document and its subgraphs, by path. A graph without an entry is fitted to the canvas. */
const views = new Map<string, Placing>();

function shown(): string {
  return documents.getState().path.join("/");
}

/** The user has moved the view. */
export function leaveFit(): void {
  const { flow } = useViewport.getState();
  if (flow) views.set(shown(), flow.getViewport());
}

/** Follow each change of the view. */
export function followMove(view: Placing): void {
  setZoom(view.zoom);
  if (views.has(shown())) views.set(shown(), view);
}

/** Another document is opened, which is to be fitted. */
export function forgetViews(): void {
  views.clear();
}

/** Show the graph with the pan and zoom that it had; fit it if it was fitted. */
export function restoreView(): void {
  const view = views.get(shown());
  if (view) void useViewport.getState().flow?.setViewport(view);
  else show([], true);
}

/** Fit the graph again after the canvas has changed its size, if it was fitted. */
export function keepFit(): void {
  if (!views.has(shown())) show([], true);
}

function duration(): number {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 220;
}

/** Show nodes whole; all of the graph if none is named. */
export function show(ids: Iterable<string> = [], isInstant = false): void {
  const { flow } = useViewport.getState();
  const chosen = [...ids];
  const names = chosen.length > 0 ? chosen : [...graph().nodes.keys()];
  if (!flow || names.length === 0) return;
  if (chosen.length === 0) views.delete(shown());
  else leaveFit();
  const boxes = names.map((id) => nodeBox(graph(), typed(), id));
  const left = Math.min(...boxes.map((box) => box[0]));
  const top = Math.min(...boxes.map((box) => box[1]));
  const width = Math.max(...boxes.map((box) => box[0] + box[2])) - left;
  const height = Math.max(...boxes.map((box) => box[1] + box[3])) - top;
  void flow.fitBounds(
    { x: left, y: top, width, height },
    { padding: 0.08, duration: isInstant ? 0 : duration() },
  );
  const most = chosen.length > 0 ? 1.25 : 1;
  if (flow.getViewport().zoom > most && isInstant) void flow.zoomTo(most);
}

const LEGIBLE_ZOOM = 0.6;

/** Bring a node into view if it is outside, or too small to be read. */
export function reveal(id: string): void {
  const { flow } = useViewport.getState();
  const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
  if (!flow || !pane || !graph().nodes.has(id)) return;
  const [x, y, width, height] = nodeBox(graph(), typed(), id);
  const start = flow.flowToScreenPosition({ x, y });
  const end = flow.flowToScreenPosition({ x: x + width, y: y + height });
  const isInside = start.x >= pane.left && start.y >= pane.top && end.x <= pane.right && end.y <= pane.bottom;
  if (isInside && !useFar.getState().isFar) return;
  leaveFit();
  const zoom = Math.max(LEGIBLE_ZOOM, flow.getViewport().zoom);
  void flow.setCenter(x + width / 2, y + height / 2, { zoom, duration: duration() });
}

export function zoomBy(factor: number): void {
  const { flow } = useViewport.getState();
  leaveFit();
  if (flow) void flow.zoomTo(flow.getViewport().zoom * factor, { duration: duration() });
}

/** The place of the graph at a point of the screen; without one, the middle of the canvas. */
export function placeAt(point?: XYPosition): XYPosition {
  const { flow } = useViewport.getState();
  const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
  const middle = pane ? { x: pane.left + pane.width / 2, y: pane.top + pane.height / 2 } : { x: 0, y: 0 };
  return flow?.screenToFlowPosition(point ?? middle) ?? { x: 0, y: 0 };
}
