import {
  applyNodeChanges,
  Background,
  BackgroundVariant,
  type Connection,
  type EdgeMouseHandler,
  MiniMap,
  type NodeChange,
  type OnConnectStart,
  ReactFlow,
  SelectionMode,
  useStoreApi,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { refusal } from "../schema/connections";
import { graph, useDocumentState, useGraph, useSelection } from "../state/editor";
import { typed, useTyped, useTypes } from "../state/types";
import { useView } from "../state/view";
import { useAddSearch } from "./add/addSearchStore";
import { CanvasBar } from "./CanvasBar";
import { pressOnCanvas } from "./canvasKeys";
import { openMenu } from "./contextMenu";
import { FrameBox } from "./FrameBox";
import { useFar } from "./far";
import { type FlowNode, flowEdges, flowNodes, thing } from "./flow";
import { endMove, startMove, withMembers } from "./moves";
import { NoteBox } from "./NoteBox";
import { GraphNode } from "./nodes/GraphNode";
import { useShapeKey } from "./nodes/inputProblems";
import { followMove, keepFit, leaveFit, useViewport } from "./viewport";
import { ConnectionHint } from "./wires/ConnectionHint";
import { FarWires } from "./wires/FarWires";
import { WireDraft } from "./wires/WireDraft";
import { WireEdge, type WireFlowEdge } from "./wires/WireEdge";
import { WireTip } from "./wires/WireTip";
import { wireAt } from "./wires/wireAt";
import { useWireDrag, wireEnd } from "./wires/wireDrag";
import { endWire } from "./wires/wireDrop";

const NODE_TYPES = { card: GraphNode, frame: FrameBox, note: NoteBox };
const EDGE_TYPES = { wire: WireEdge };
const SNAP: [number, number] = [8, 8];
const NO_KEYS: string[] = [];
const NO_EDGES: WireFlowEdge[] = [];

/** The canvas: the graph as nodes and wires. */
export function Canvas() {
  const graphTypes = useTyped();
  const layout = useGraph((state) => state.layout);
  const view = useGraph((state) => state.view);
  const path = useDocumentState((state) => state.path);
  const selection = useSelection();
  const scale = useView((state) => state.textScale);
  const pointer = useView((state) => state.pointer);
  const shapes = useShapeKey();
  const hasMinimap = useView((state) => state.hasMinimap);
  const isFar = useFar((state) => state.isFar);
  useSchemaGeometry();
  const [nodes, setNodes] = useState<FlowNode[]>([]);
  // Before the types are known, every node would look as if its type were missing.
  const hasTypes = useTypes((state) => state.types.types.length > 0);
  const edgesBefore = useRef<WireFlowEdge[]>([]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: layout, view, selection and shapes are read elsewhere
  useEffect(() => {
    setNodes((before) => (hasTypes ? flowNodes(graph(), typed(), before) : []));
  }, [graphTypes, layout, view, selection, scale, shapes, hasTypes]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  const edges = useMemo(() => {
    edgesBefore.current = flowEdges(graph(), typed(), edgesBefore.current);
    return edgesBefore.current;
  }, [graphTypes, view, selection.wire]);

  const changeNodes = useCallback((changes: NodeChange<FlowNode>[]) => {
    const selects = changes.filter((change) => change.type === "select");
    if (selects.length > 0) takeSelection(selects);
    const moves = changes.filter((change) => change.type === "position");
    if (moves.length > 0) setNodes((before) => applyNodeChanges(withMembers(moves, before), before));
  }, []);

  const endDrag = useCallback((event: { altKey: boolean }, dragged: FlowNode, all: FlowNode[]) => {
    const target = useWireDrag.getState().target;
    useWireDrag.setState({ target: null });
    endMove(dragged, all, event.altKey, target);
  }, []);

  const onDrag = useCallback((_: unknown, dragged: FlowNode, all: FlowNode[]) => {
    if (all.length !== 1 || dragged.type !== "card") return;
    const target = wireAt(dragged);
    if (target !== useWireDrag.getState().target) useWireDrag.setState({ target });
  }, []);

  const startWire: OnConnectStart = useCallback((_, { nodeId, handleId, handleType }) => {
    if (nodeId && handleId && handleType)
      useWireDrag.setState({ from: wireEnd(handleType, nodeId, handleId) });
  }, []);

  const isValid = useCallback((connection: Connection | WireFlowEdge) => {
    const { source, target, sourceHandle, targetHandle } = connection;
    if (!sourceHandle || !targetHandle) return false;
    const from = { kind: "from", node: source, output: sourceHandle } as const;
    return refusal(typed(), from, { node: target, input: targetHandle }) === undefined;
  }, []);

  const openOn: EdgeMouseHandler<WireFlowEdge> = useCallback((event, edge) => {
    useSelection.setState({ wire: edge.id, nodes: new Set(), notes: new Set(), frames: new Set() });
    event.stopPropagation();
  }, []);

  return (
    <div
      ref={fitOnResize}
      className="canvas"
      data-canvas
      role="application"
      aria-label="Canvas"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the canvas has keys of its own, as an application has
      tabIndex={0}
      onKeyDown={pressOnCanvas}
      onPointerMoveCapture={moveByMap}
      onWheelCapture={moveByMap}
    >
      <ReactFlow<FlowNode, WireFlowEdge>
        key={path.join("/")}
        nodes={nodes}
        edges={isFar ? NO_EDGES : edges}
        nodeTypes={NODE_TYPES}
        edgeTypes={EDGE_TYPES}
        onInit={(flow) => useViewport.getState().take(flow)}
        onNodesChange={changeNodes}
        onNodeDragStart={(_, __, all) => startMove(all)}
        onSelectionDragStart={(_, all) => startMove(all)}
        onNodeDrag={onDrag}
        onNodeDragStop={endDrag}
        onSelectionDragStop={(event, all) => all[0] && endDrag(event, all[0], all)}
        onConnectStart={startWire}
        onConnectEnd={endWire}
        isValidConnection={isValid}
        onEdgeClick={openOn}
        onPaneClick={() => useSelection.setState({ wire: null })}
        onPaneContextMenu={openMenu}
        onNodeContextMenu={openMenu}
        onDoubleClick={(event) => {
          if ((event.target as Element).classList.contains("react-flow__pane")) {
            useAddSearch.getState().open({ x: event.clientX, y: event.clientY });
          }
        }}
        onMoveStart={(event) => event && leaveFit()}
        onMove={(_, viewport) => followMove(viewport)}
        connectionLineComponent={WireDraft}
        connectionRadius={24}
        minZoom={0.05}
        maxZoom={3}
        snapToGrid
        snapGrid={SNAP}
        onlyRenderVisibleElements
        elevateNodesOnSelect={false}
        nodesFocusable={false}
        edgesFocusable={false}
        disableKeyboardA11y
        zoomOnDoubleClick={false}
        panOnScroll={pointer === "trackpad"}
        zoomOnScroll={pointer === "mouse"}
        panOnDrag={PAN_BUTTONS}
        selectionKeyCode="Shift"
        multiSelectionKeyCode={MULTI_KEYS}
        selectionMode={SelectionMode.Partial}
        panActivationKeyCode={null}
        deleteKeyCode={NO_KEYS}
        proOptions={NO_ATTRIBUTION}
      >
        <Background variant={BackgroundVariant.Dots} gap={32} size={1} />
        {hasMinimap && <MiniMap pannable zoomable ariaLabel="Map of the graph" />}
        {isFar && <FarWires edges={edges} />}
        <ConnectionHint />
        <WireTip />
      </ReactFlow>
      {!hasTypes && <p className="canvas-words">Reading the node types …</p>}
      <CanvasBar />
    </div>
  );
}

/** Take a pan or zoom by the map as one of the user, as those on the canvas are. */
function moveByMap(event: { target: EventTarget; type: string; buttons: number }): void {
  const isMove = event.type === "wheel" || event.buttons > 0;
  if (isMove && (event.target as Element).closest(".react-flow__minimap")) leaveFit();
}

/** Keep the whole graph in view while a drawer or the panel opens. */
function fitOnResize(element: HTMLDivElement): () => void {
  const observer = new ResizeObserver(() => requestAnimationFrame(keepFit));
  observer.observe(element);
  return () => observer.disconnect();
}

const PAN_BUTTONS = [0, 1];
const MULTI_KEYS = ["Control", "Meta", "Shift"];
const NO_ATTRIBUTION = { hideAttribution: true };

/**
 * Keep the library from measuring nodes on the page: their sizes and sockets come from the schema. It would find no
 * sockets in the boxes of a far zoom, and then draw no wires.
 */
function useSchemaGeometry(): void {
  const store = useStoreApi();
  useState(() => store.setState({ updateNodeInternals: () => undefined }));
}

/** Keep what the library selects in the selection of the page. */
function takeSelection(changes: readonly { id: string; selected: boolean }[]): void {
  const { nodes, notes, frames } = useSelection.getState();
  const next = { node: new Set(nodes), note: new Set(notes), frame: new Set(frames) };
  for (const { id, selected } of changes) {
    const { kind, id: name } = thing(id);
    if (selected) next[kind].add(name);
    else next[kind].delete(name);
  }
  useSelection.setState({ nodes: next.node, notes: next.note, frames: next.frame, wire: null });
}
