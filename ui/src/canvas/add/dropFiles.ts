/** Files that are dropped on the canvas, or on a view that covers it: a graph, a picture with a graph, or a picture to load. */
import type { DragEvent } from "react";
import { addNode } from "../../document/edit/nodes";
import { literal } from "../../document/graph";
import { openText } from "../../server/documents/documents";
import { blobValue, importFile, upload } from "../../server/documents/files";
import { Refused, reasonOf } from "../../server/requests/problems";
import { edit, graph, selectNodes } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { types } from "../../state/types";
import { placeAt } from "../viewport";
import { addByName } from "./addNode";

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
  await openFile(file, at);
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
  const { x, y } = placeAt(at);
  const place = [Math.round(x / 8) * 8, Math.round(y / 8) * 8] as const;
  const added = addNode(graph(), type.id, place, new Map([["image", literal(value)]]));
  edit("Load a picture", () => added.graph);
  selectNodes([added.id]);
  return added.id;
}

async function loadPicture(file: File, at?: { x: number; y: number }): Promise<void> {
  try {
    const id = addLoader(blobValue(await upload(file)), at);
    if (id === undefined) sayError("No node type loads a picture.");
    else say(`${file.name} has no graph in it; ${id} loads it as a picture.`);
  } catch (error) {
    sayError(reasonOf(error));
  }
}
