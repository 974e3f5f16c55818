/** Changes of nodes: add, delete, rename, move, switch off, collapse. */

import { ID } from "../file/format";
import { type Binding, type Entry, entry, type Graph, inputKey, type Point } from "../graph";
import { freeId, idForType } from "../ids";
import { filtered, mapped, renamed, withKey, without, withoutKeys } from "../maps";
import type { Items } from "./items";

/** Add a node; returns its id with the graph. */
export function addNode(
  graph: Graph,
  type: string,
  at: Point,
  inputs: ReadonlyMap<string, Binding> = new Map(),
): { graph: Graph; id: string } {
  const id = freeId(idForType(type), graph.nodes);
  const nodes = withKey(graph.nodes, id, entry(type, inputs));
  return { graph: { ...graph, nodes, layout: withKey(graph.layout, id, whole(at)) }, id };
}

/** Delete nodes, notes and frames. Wires and graph outputs from deleted nodes go, members of a frame stay. */
export function deleteItems(graph: Graph, items: Items): Graph {
  const [gone, notes, frames] = [new Set(items.nodes), new Set(items.notes), new Set(items.frames)];
  if (!gone.size && !notes.size && !frames.size) return graph;
  const nodes = mapped(withoutKeys(graph.nodes, gone), (item) => {
    const inputs = filtered(item.inputs, (binding) => binding.kind !== "from" || !gone.has(binding.node));
    return inputs === item.inputs ? item : { ...item, inputs };
  });
  const view = {
    frames: mapped(withoutKeys(graph.view.frames, frames), (frame) => {
      const kept = {
        nodes: without(frame.nodes, gone),
        notes: without(frame.notes, notes),
        frames: without(frame.frames, frames),
      };
      const same = kept.nodes === frame.nodes && kept.notes === frame.notes && kept.frames === frame.frames;
      return same ? frame : { ...frame, ...kept };
    }),
    notes: withoutKeys(graph.view.notes, notes),
    collapsed: without(graph.view.collapsed, gone),
    waypoints: graph.view.waypoints,
  };
  const changed = {
    ...graph,
    nodes,
    outputs: filtered(graph.outputs, (link) => !gone.has(link.node)),
    layout: withoutKeys(graph.layout, gone),
    view,
  };
  return dropLooseWaypoints(changed);
}

/** Change one node; the same graph if it does not exist. */
export function changeNode(graph: Graph, id: string, change: (item: Entry) => Entry): Graph {
  const item = graph.nodes.get(id);
  if (item === undefined) return graph;
  const changed = change(item);
  return changed === item ? graph : { ...graph, nodes: withKey(graph.nodes, id, changed) };
}

/** Why a node cannot have this id; undefined if it can. */
export function renameProblem(graph: Graph, id: string, wanted: string): string | undefined {
  if (wanted === id) return undefined;
  if (!ID.test(wanted)) return "Use letters, digits, - and _, at most 64.";
  if (graph.nodes.has(wanted)) return `There is already a node ${wanted}.`;
  return undefined;
}

/** Rename a node: every wire, output, position and frame that names it follows. */
export function renameNode(graph: Graph, id: string, wanted: string): Graph {
  if (wanted === id || !graph.nodes.has(id) || renameProblem(graph, id, wanted) !== undefined) return graph;
  const name = (old: string) => (old === id ? wanted : old);
  const nodes = mapped(renamed(graph.nodes, name), (item) => {
    const inputs = mapped(item.inputs, (binding) =>
      binding.kind === "from" && binding.node === id ? { ...binding, node: wanted } : binding,
    );
    return inputs === item.inputs ? item : { ...item, inputs };
  });
  const { view } = graph;
  return {
    ...graph,
    nodes,
    outputs: mapped(graph.outputs, (link) => (link.node === id ? { ...link, node: wanted } : link)),
    layout: renamed(graph.layout, name),
    view: {
      ...view,
      frames: mapped(view.frames, (frame) =>
        frame.nodes.includes(id) ? { ...frame, nodes: frame.nodes.map(name) } : frame,
      ),
      collapsed: view.collapsed.includes(id) ? view.collapsed.map(name) : view.collapsed,
      waypoints: renamed(view.waypoints, (end) =>
        end.startsWith(`${id}.`) ? wanted + end.slice(id.length) : end,
      ),
    },
  };
}

/** Switch nodes off or on. */
export function setOff(graph: Graph, ids: Iterable<string>, off: boolean): Graph {
  const chosen = new Set(ids);
  const nodes = mapped(graph.nodes, (item, id) =>
    chosen.has(id) && item.off !== off ? { ...item, off } : item,
  );
  return nodes === graph.nodes ? graph : { ...graph, nodes };
}

/** Draw only the header of nodes, or all of them again. */
export function setCollapsed(graph: Graph, ids: Iterable<string>, collapse: boolean): Graph {
  const chosen = new Set(ids);
  const { collapsed } = graph.view;
  const added = [...chosen].filter((id) => graph.nodes.has(id) && !collapsed.includes(id));
  const next = collapse ? [...collapsed, ...added] : without(collapsed, chosen);
  if (next.length === collapsed.length) return graph;
  return { ...graph, view: { ...graph.view, collapsed: next } };
}

/** Place nodes; positions are whole numbers. */
export function moveNodes(graph: Graph, places: ReadonlyMap<string, Point>): Graph {
  const layout = new Map(graph.layout);
  let changed = false;
  for (const [id, place] of places) {
    const [x, y] = whole(place);
    const old = layout.get(id);
    if (!graph.nodes.has(id) || (old && old[0] === x && old[1] === y)) continue;
    layout.set(id, [x, y]);
    changed = true;
  }
  return changed ? { ...graph, layout } : graph;
}

/** A position in whole numbers, and never -0. */
export function whole([x, y]: Point): Point {
  return [Math.round(x) + 0, Math.round(y) + 0];
}

/** Without the waypoints of wires that do not exist. */
export function dropLooseWaypoints(graph: Graph): Graph {
  if (graph.view.waypoints.size === 0) return graph;
  const bent = new Set<string>();
  for (const [node, item] of graph.nodes) {
    for (const [input, binding] of item.inputs)
      if (binding.kind === "from") bent.add(inputKey({ node, input }));
  }
  const waypoints = filtered(graph.view.waypoints, (_, end) => bent.has(end));
  return waypoints === graph.view.waypoints ? graph : { ...graph, view: { ...graph.view, waypoints } };
}
