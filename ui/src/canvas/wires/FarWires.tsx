import { useStore, ViewportPortal } from "@xyflow/react";
import { type FlowNode, SOCKET_HIT } from "../flow";
import type { WireFlowEdge } from "./WireEdge";
import { wirePath } from "./wirePath";

/** The width of a wire on the screen, in px. */
const WIDTH = 1.25;

/** All wires of a far zoom as one path: a thousand wires are one element. */
export function FarWires({ edges }: { edges: readonly WireFlowEdge[] }) {
  const zoom = useStore((state) => state.transform[2]);
  const nodes = useStore((state) => state.nodes) as FlowNode[];
  const known = new Map(nodes.map((node) => [node.id, node]));
  const place = (id: string, name: string | null | undefined, type: "source" | "target") => {
    const node = known.get(id);
    const handle = node?.handles?.find((item) => item.type === type && item.id === name);
    if (!node || !handle) return undefined;
    const half = SOCKET_HIT / 2;
    return { x: node.position.x + handle.x + half, y: node.position.y + handle.y + half };
  };
  let path = "";
  for (const edge of edges) {
    const from = place(edge.source, edge.sourceHandle, "source");
    const to = place(edge.target, edge.targetHandle, "target");
    const between = edge.data?.waypoints.map(([x, y]) => ({ x, y }));
    if (from && to) path += wirePath(from, to, between);
  }
  return (
    <ViewportPortal>
      <svg className="far-wires" aria-hidden="true">
        <path d={path} strokeWidth={WIDTH / zoom} />
      </svg>
    </ViewportPortal>
  );
}
