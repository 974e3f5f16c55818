/** Uploads, and graphs out of files. */
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
