import { snapped } from "../canvas/add/addNode";
import { placeAt } from "../canvas/viewport";
import { addWaypoint } from "../canvas/wires/Waypoints";
import { inputEnd } from "../canvas/wires/wireDrag";
import { copyText, duplicate, pasteText } from "../document/edit/clipboard";
import { addFrame, addNote, dissolveFrame } from "../document/edit/frames";
import { deleteItems, setCollapsed, setOff } from "../document/edit/nodes";
import { disconnect } from "../document/edit/wires";
import { inputKey } from "../document/graph";
import { menuPoint } from "../popups/menu";
import { heal } from "../schema/changes";
import { documents, edit, graph, redo, selectNodes, undo, useSelection } from "../state/editor";
import { say, sayError } from "../state/status";
import { typed } from "../state/types";
import { define } from "./commands";

function chosen() {
  const { nodes, notes, frames } = useSelection.getState();
  return { nodes, notes, frames };
}

function hasItems(): boolean {
  const { nodes, notes, frames } = chosen();
  return nodes.size + notes.size + frames.size > 0;
}

function hasNodes(): boolean {
  return chosen().nodes.size > 0;
}

/** The selected nodes in words. */
function words(): string {
  const { nodes, notes, frames } = chosen();
  const count = nodes.size + notes.size + frames.size;
  return count === 1 ? ([...nodes, ...notes, ...frames][0] ?? "") : `${count} things`;
}

/** Select the next wire into the selected node, or into the node of the selected wire. */
function nextWire(): void {
  const { wire, nodes } = useSelection.getState();
  const node = (wire === null ? [...nodes][0] : inputEnd(wire)?.node) ?? "";
  const wired = [...(graph().nodes.get(node)?.inputs ?? [])].filter(([, held]) => held.kind === "from");
  const names = wired.map(([input]) => inputKey({ node, input }));
  const next = names[(names.indexOf(wire ?? "") + 1) % names.length];
  if (next === undefined) return say(`No wire goes into ${node}.`);
  selectNodes([]);
  useSelection.setState({ wire: next });
  say(`The wire into ${next}. Shift+W bends it, Delete cuts it.`);
}

function remove(): void {
  const { wire } = useSelection.getState();
  const end = wire === null ? undefined : inputEnd(wire);
  if (end) {
    edit(`Disconnect ${end.node}.${end.input}`, (state) => disconnect(state, end));
    useSelection.setState({ wire: null });
    return;
  }
  const items = chosen();
  edit(`Delete ${words()}`, (state) => deleteItems(state, items));
  say(`Deleted ${words()}.`);
  selectNodes([]);
}

async function copy(): Promise<void> {
  const text = copyText(graph(), chosen());
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${words()}.`);
  } catch {
    sayError("The browser does not allow this page to use the clipboard.");
  }
}

async function paste(keepIncoming: boolean): Promise<void> {
  let text: string;
  try {
    text = await navigator.clipboard.readText();
  } catch {
    return sayError("The browser does not allow this page to use the clipboard.");
  }
  try {
    const pasted = pasteText(graph(), text, snapped(placeAt(menuPoint() ?? undefined)), keepIncoming);
    edit(`Paste ${pasted.nodes.length} nodes`, () => pasted.graph);
    selectNodes(pasted.nodes);
    say(`Pasted ${pasted.nodes.length} nodes.`);
  } catch {
    sayError("The clipboard has no nodes of a graph.");
  }
}

define(
  {
    id: "undo",
    label: "Undo",
    group: "Edit",
    keys: ["Ctrl+Z"],
    scope: "not typing",
    isPossible: () => documents.getState().history.past.length > 0,
    run: undo,
  },
  {
    id: "redo",
    label: "Redo",
    group: "Edit",
    keys: ["Ctrl+Shift+Z", "Ctrl+Y"],
    scope: "not typing",
    isPossible: () => documents.getState().history.future.length > 0,
    run: redo,
  },
  {
    id: "copy",
    label: "Copy",
    group: "Edit",
    keys: ["Ctrl+C"],
    scope: "canvas",
    isPossible: hasItems,
    run: () => void copy(),
  },
  {
    id: "cut",
    label: "Cut",
    group: "Edit",
    keys: ["Ctrl+X"],
    scope: "canvas",
    isPossible: hasItems,
    run: () => void copy().then(remove),
  },
  {
    id: "paste",
    label: "Paste",
    group: "Edit",
    keys: ["Ctrl+V"],
    scope: "canvas",
    run: () => void paste(false),
  },
  {
    id: "pasteWired",
    label: "Paste with the incoming wires",
    group: "Edit",
    keys: ["Ctrl+Shift+V"],
    scope: "canvas",
    run: () => void paste(true),
  },
  {
    id: "duplicate",
    label: "Duplicate",
    group: "Edit",
    keys: ["Shift+D"],
    scope: "canvas",
    isPossible: hasItems,
    run: () => {
      const copied = duplicate(graph(), chosen());
      edit(`Duplicate ${words()}`, () => copied.graph);
      selectNodes(copied.nodes);
    },
  },
  {
    id: "delete",
    label: "Delete",
    group: "Edit",
    keys: ["Delete", "Backspace"],
    scope: "canvas",
    isPossible: () => hasItems() || useSelection.getState().wire !== null,
    run: remove,
  },
  {
    id: "nextWire",
    label: "Select the next wire into the node",
    group: "Edit",
    keys: ["W"],
    scope: "canvas",
    isPossible: () => hasNodes() || useSelection.getState().wire !== null,
    run: nextWire,
  },
  {
    id: "bendWire",
    label: "Bend the wire",
    group: "Edit",
    keys: ["Shift+W"],
    scope: "canvas",
    isPossible: () => useSelection.getState().wire !== null,
    run: () => addWaypoint(useSelection.getState().wire ?? ""),
  },
  {
    id: "deleteAndHeal",
    label: "Delete and join the wires",
    group: "Edit",
    keys: ["Ctrl+Delete", "Ctrl+Backspace"],
    scope: "canvas",
    isPossible: hasNodes,
    run: () => {
      const next = heal(graph(), typed(), chosen().nodes);
      edit(`Delete ${words()} and join the wires`, () => next);
      selectNodes([]);
    },
  },
  {
    id: "selectAll",
    label: "Select all",
    group: "Edit",
    keys: ["Ctrl+A"],
    scope: "canvas",
    run: () => selectNodes(graph().nodes.keys()),
  },
  {
    id: "off",
    label: "Switch off, or on",
    group: "Nodes",
    keys: ["B", "M"],
    scope: "canvas",
    isPossible: hasNodes,
    run: () => {
      const { nodes } = chosen();
      const isOff = [...nodes].every((id) => graph().nodes.get(id)?.off);
      edit(`Switch ${words()} ${isOff ? "on" : "off"}`, (state) => setOff(state, nodes, !isOff));
    },
  },
  {
    id: "collapse",
    label: "Collapse, or open",
    group: "Nodes",
    keys: ["H"],
    scope: "canvas",
    isPossible: hasNodes,
    run: () => {
      const { nodes } = chosen();
      const isCollapsed = [...nodes].every((id) => graph().view.collapsed.includes(id));
      edit(`${isCollapsed ? "Open" : "Collapse"} ${words()}`, (state) =>
        setCollapsed(state, nodes, !isCollapsed),
      );
    },
  },
  {
    id: "frame",
    label: "Put into a frame",
    group: "Nodes",
    keys: ["Ctrl+G"],
    scope: "canvas",
    isPossible: hasItems,
    run: () => {
      const added = addFrame(graph(), chosen());
      edit("Add a frame", () => added.graph);
      useSelection.setState({ frames: new Set([added.id]), nodes: new Set(), notes: new Set() });
    },
  },
  {
    id: "unframe",
    label: "Remove the frame, keep what is in it",
    group: "Nodes",
    scope: "canvas",
    isPossible: () => chosen().frames.size > 0,
    run: () => {
      const { frames } = chosen();
      edit("Remove a frame", (state) => [...frames].reduce(dissolveFrame, state));
    },
  },
  {
    id: "note",
    label: "Add a note",
    group: "Nodes",
    keys: ["N"],
    scope: "canvas",
    run: () => {
      const added = addNote(graph(), "", snapped(placeAt(menuPoint() ?? undefined)));
      edit("Add a note", () => added.graph);
      useSelection.setState({ notes: new Set([added.id]), nodes: new Set(), frames: new Set() });
    },
  },
);
