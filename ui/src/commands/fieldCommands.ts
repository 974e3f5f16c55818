/** What can be done with one field of a node: make it a control of the graph, sweep it, reset it. */
import { unexpose } from "../document/edit/graphInputs";
import { heldValue, paramOf, resetValue } from "../document/edit/values";
import type { InputEnd } from "../document/graph";
import { useMask } from "../panels/mask/maskStore";
import { addToSweep, canSweep, removeFromSweep } from "../panels/runs/sweep";
import { exposeInput } from "../schema/changes";
import { type MaskPlace, maskPlace } from "../schema/masks";
import { blobUrl } from "../server/documents/files";
import { documents, edit, graph } from "../state/editor";
import { useField } from "../state/field";
import { say } from "../state/status";
import { typed } from "../state/types";
import { showTab } from "../state/view";
import { define } from "./commands";

/** The field, if it still exists and holds its own value. */
function field(): InputEnd | undefined {
  const { end } = useField.getState();
  const input = end && typed().input(end);
  if (!end || !input || input.widget.kind === "none") return undefined;
  return graph().nodes.get(end.node)?.inputs.get(end.input)?.kind === "from" ? undefined : end;
}

/** The control that the field belongs to. */
function control(): string | undefined {
  const end = field();
  return end && paramOf(graph(), end)?.name;
}

/** Make the field a control; returns its name, or that which it has already. */
function expose(end: InputEnd): string | undefined {
  const known = paramOf(graph(), end)?.name;
  const exposed = known === undefined ? exposeInput(graph(), typed(), end) : undefined;
  if (exposed) edit(`Make a control of ${end.node}.${end.input}`, () => exposed.graph);
  const name = known ?? exposed?.name;
  if (name !== undefined) showTab("controls");
  return name;
}

function sweep(end: InputEnd): void {
  const name = expose(end);
  if (name === undefined) return;
  addToSweep(name, heldValue(graph(), end));
  say(`Type the values of ${name}, then run the sweep.`);
}

/** The picture of the field and its mask; undefined unless the picture is on the server. */
function paintable(): MaskPlace | undefined {
  const end = field();
  const place = end && maskPlace(graph(), typed(), end);
  return place && blobUrl(place.picture) ? place : undefined;
}

function withField(change: (end: InputEnd) => void): () => void {
  return () => {
    const end = field();
    if (end) change(end);
  };
}

define(
  {
    id: "exposeField",
    label: "Make the field a control of the graph",
    group: "Nodes",
    scope: "canvas",
    isShown: () => control() === undefined,
    isPossible: () => field() !== undefined && control() === undefined,
    run: withField((end) => {
      const name = expose(end);
      if (name !== undefined) say(`${name} is one of the controls.`);
    }),
  },
  {
    id: "unexposeField",
    label: "Take the field from the controls",
    group: "Nodes",
    scope: "canvas",
    isShown: () => control() !== undefined,
    isPossible: () => control() !== undefined,
    run: withField((end) => {
      const name = control() ?? "";
      edit(`Take ${end.node}.${end.input} from the controls`, (state) => unexpose(state, end));
      if (!graph().inputs.has(name)) removeFromSweep(name);
      say(`${end.node} has its own ${end.input} again.`);
    }),
  },
  {
    id: "sweepField",
    label: "Sweep the field over values …",
    group: "Nodes",
    scope: "canvas",
    isPossible: () => {
      const end = field();
      const input = end && typed().input(end);
      return input !== undefined && documents.getState().path.length === 0 && canSweep(input.widget.kind);
    },
    run: withField(sweep),
  },
  {
    id: "paintMask",
    label: "Paint a mask on the picture …",
    group: "Nodes",
    scope: "canvas",
    isShown: () => paintable() !== undefined,
    isPossible: () => paintable() !== undefined,
    run: withField((end) => {
      const place = paintable();
      if (place) useMask.setState({ open: { end, place } });
    }),
  },
  {
    id: "resetField",
    label: "Reset the field to its default",
    group: "Nodes",
    scope: "canvas",
    isPossible: () => {
      const end = field();
      return end !== undefined && graph().nodes.get(end.node)?.inputs.has(end.input) === true;
    },
    run: withField((end) => edit(`Reset ${end.input}`, (state) => resetValue(state, end))),
  },
);
