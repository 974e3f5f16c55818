/** Files that are dropped on the canvas, or on a view that covers it: a graph, a picture with a graph, or a picture to load. */
import type { DragEvent } from "react";
import { addNode } from "../../document/edit/nodes";
import { setValue } from "../../document/edit/values";
import { type InputEnd, literal } from "../../document/graph";
import { attempt } from "../../panels/attempt";
import type { InputType, Widget } from "../../schema/nodeTypes";
import { openText } from "../../server/documents/documents";
import { importFile, uploadInput } from "../../server/documents/files";
import { Refused, reasonOf } from "../../server/requests/problems";
import { edit, graph, selectNodes } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { typed, types } from "../../state/types";
import { placeAt } from "../viewport";
import { addByName, snapped } from "./addNode";

/** Node types are also dragged from the list of the drawer. */
export const TYPE_MIME = "application/x-safelight-type";

/** Handle a drop. */
export async function dropFiles(event: DragEvent): Promise<void> {
  const type = event.dataTransfer.getData(TYPE_MIME);
  const at = { x: event.clientX, y: event.clientY };
  if (type !== "") {
    event.preventDefault();
    addByName(type, at);
    return;
  }
  const file = event.dataTransfer.files[0];
  if (!file) return;
  event.preventDefault();
  const node = (event.target as Element).closest<HTMLElement>("[data-node]")?.dataset.node ?? "";
  const [input, ...others] = typed().type(node).inputs.filter(takesFile);
  if (input && others.length === 0) await loadInto({ node, input: input.name }, file, input.widget);
  else await openFile(file, at);
}

/** True for an input with one file of the user, and no model out of a list. */
function takesFile({ widget }: InputType): boolean {
  return widget.kind === "file" && widget.files === "inputs" && !widget.folder;
}

async function loadInto(end: InputEnd, file: File, widget: Widget): Promise<void> {
  const value = await attempt(uploadInput(file, widget));
  if (value === undefined) return;
  edit(`Load ${file.name}`, (state) => setValue(state, end, value));
  say(`${end.node} loads ${file.name}.`);
}

/** Open the graph in a file; a picture without one becomes a node that loads it. */
export async function openFile(file: File, at?: { x: number; y: number }): Promise<void> {
  try {
    const found = await importFile(file);
    await openText(found.text);
    const notes = found.problems.length === 0 ? "" : ` ${found.problems.length} parts need attention.`;
    say(`Opened the graph of ${file.name}${found.origin ? `, from ${found.origin}` : ""}.${notes}`);
  } catch (error) {
    const isPicture = file.type.startsWith("image/") && error instanceof Refused && error.status === 422;
    if (isPicture) return loadPicture(file, at);
    sayError(reasonOf(error));
  }
}

/** Add a node that loads a picture of the gallery. */
export function loadOutput(row: { digest: string }): void {
  const id = addLoader(`sha256:${row.digest}`);
  if (id !== undefined) say(`${id} loads the picture.`);
}

/** Add a node that loads an uploaded picture, and select it; undefined if no node type does this. */
function addLoader(value: string, at?: { x: number; y: number }): string | undefined {
  const type = types().get("LoadImage");
  if (!type) return undefined;
  const added = addNode(graph(), type.id, snapped(placeAt(at)), new Map([["image", literal(value)]]));
  edit("Load a picture", () => added.graph);
  selectNodes([added.id]);
  return added.id;
}

async function loadPicture(file: File, at?: { x: number; y: number }): Promise<void> {
  const value = await attempt(uploadInput(file));
  if (value === undefined) return;
  const id = addLoader(value, at);
  if (id) say(`${file.name} has no graph in it; ${id} loads it as a picture.`);
  else sayError("No node type loads a picture.");
}
