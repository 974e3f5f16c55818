/** Uploads, and graphs out of files. */
import type { Widget } from "../../schema/nodeTypes";
import type { Schemas } from "../requests/client";
import { graphIn, send } from "../requests/graphBody";
import { type Problem, problem, Refused } from "../requests/problems";
import { sendJson } from "../requests/sendJson";
import { useRuns } from "../runs/runStore";

export type Upload = Schemas["Upload"];

/** An uploaded file as the value of a file input. */
export function blobValue(upload: Upload): string {
  return `sha256:${upload.hash}`;
}

/** The address of the file that a value such as `sha256:…` names; null for any other value. */
export function blobUrl(value: string): string | null {
  const digest = /^sha256:([0-9a-f]{64})$/.exec(value)?.[1];
  return digest === undefined ? null : `/api/v1/blobs/${digest}`;
}

/** Whether a file can be uploaded; nothing is sent if it is too large. */
function check(file: Blob): void {
  const limit = useRuns.getState().info?.limits.blob_bytes ?? 64 << 20;
  if (file.size <= limit) return;
  const message = `the file has ${megabytes(file.size)}; the limit is ${megabytes(limit)}`;
  throw new Refused(413, [problem("too_large", message)]);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / (1 << 20))} MB`;
}

const OCTETS = { "Content-Type": "application/octet-stream" };

/**
 * Upload a file.
 *
 * @throws {Refused} It is too large (`too_large`) or empty (`empty_file`), or the server is away.
 */
export async function upload(file: Blob): Promise<Upload> {
  check(file);
  return sendJson<Upload>("/api/v1/blobs", { method: "POST", body: file, headers: OCTETS });
}

/**
 * Upload a file as the value of a file input.
 *
 * @throws {Refused} It cannot be uploaded, or is no picture where one is wanted (`not_a_picture`).
 */
export async function uploadInput(file: File, widget?: Widget): Promise<string> {
  const kept = await upload(file);
  if (widget?.kind === "file" && widget.picture && kept.w === null) {
    const hint = "PNG, JPEG, WEBP, BMP, TIFF and GIF can be loaded";
    throw new Refused(422, [problem("not_a_picture", `the file ${file.name} is not a picture`, hint)]);
  }
  nameFile(blobValue(kept), file.name);
  return blobValue(kept);
}

const NAMES = "safelight.files";
const MOST_NAMES = 500;

function fileNames(): Record<string, string> {
  return JSON.parse(globalThis.localStorage?.getItem(NAMES) ?? "{}");
}

/** Remember the name that an uploaded file has on this computer. */
export function nameFile(value: string, name: string): void {
  const { [value]: _, ...others } = fileNames();
  const kept = [...Object.entries(others), [value, name]].slice(-MOST_NAMES);
  globalThis.localStorage?.setItem(NAMES, JSON.stringify(Object.fromEntries(kept)));
}

/** The name of the file of a value such as `sha256:…`, as far as this browser knows it; else the value. */
export function fileName(value: string): string {
  return (value.startsWith("sha256:") && fileNames()[value]) || value;
}

/** The graph in a file. */
export interface Imported {
  text: string;
  /** Where it comes from, such as `A1111's parameters`. */
  origin: string;
  /** Parts that were left out, and missing files. */
  problems: Problem[];
}

/**
 * Read the graph in a picture, a graph file, or a file of another program.
 *
 * @throws {Refused} It has none, is broken, or is too large.
 */
export async function importFile(file: File): Promise<Imported> {
  check(file);
  const name = encodeURIComponent(file.name.slice(0, 200));
  const found = await send(`/api/v1/import?name=${name}`, { method: "POST", body: file, headers: OCTETS });
  const problems = JSON.parse(found.text).problems as Problem[];
  return { text: graphIn(found), origin: String(found.json.get("origin") ?? ""), problems };
}
