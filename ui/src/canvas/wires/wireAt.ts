/** Finds the wire that lies under a dragged node. */
import { wires } from "../../document/graph";
import { insertion } from "../../schema/changes";
import { graph } from "../../state/editor";
import { typed } from "../../state/types";
import type { FlowNode } from "../flow";
import { useViewport } from "../viewport";

/**
 * The wire that the node would be inserted into if it were dropped now, as `node.input`; null if there is none. Only a
 * node without wires of its own is inserted.
 */
export function wireAt(node: FlowNode): string | null {
  const { flow } = useViewport.getState();
  if (!flow || hasWires(node.id)) return null;
  const middle = { x: node.position.x + (node.width ?? 0) / 2, y: node.position.y + 14 };
  const point = flow.flowToScreenPosition(middle);
  const reach = [0, -14, 14, -28, 28];
  for (const dy of reach) {
    for (const element of document.elementsFromPoint(point.x, point.y + dy)) {
      const id = element.closest(".react-flow__edge")?.getAttribute("data-id");
      if (!id) continue;
      const [target = "", input = ""] = id.split(".");
      if (insertion(typed(), { node: target, input }, typed().type(node.id))) return id;
    }
  }
  return null;
}

function hasWires(id: string): boolean {
  for (const wire of wires(graph())) if (wire.from.node === id || wire.to.node === id) return true;
  return false;
}
