import { useStore, useViewport, type XYPosition } from "@xyflow/react";
import { useSelection } from "../../state/editor";

/** The middle of the selected wire on the canvas; undefined if none is selected. */
export function useSelectedWireMiddle(): XYPosition | undefined {
  const wire = useSelection((selection) => selection.wire);
  useViewport(); // the tip follows the canvas
  const place = useStore((state) => {
    const edge = wire === null ? undefined : state.edgeLookup.get(wire);
    const source = edge && state.nodeLookup.get(edge.source);
    const target = edge && state.nodeLookup.get(edge.target);
    const from = source?.internals.handleBounds?.source?.find((handle) => handle.id === edge?.sourceHandle);
    const to = target?.internals.handleBounds?.target?.find((handle) => handle.id === edge?.targetHandle);
    if (!source || !target || !from || !to) return undefined;
    const [a, b] = [source.internals.positionAbsolute, target.internals.positionAbsolute];
    return `${(a.x + from.x + b.x + to.x + 24) / 2} ${(a.y + from.y + b.y + to.y + 24) / 2}`;
  });
  if (place === undefined) return undefined;
  const [x = 0, y = 0] = place.split(" ").map(Number);
  return { x, y };
}
