/** The typed client of `/api/v1`. Its types are generated out of `engine/server/openapi.json`. */
import createClient from "openapi-fetch";
import type { components, paths } from "../api";
import { notConnected, type Problem, problemsInText, Refused } from "./problems";

export type Schemas = components["schemas"];
/** A graph as saved in a file. */
export type GraphDocument = Schemas["GraphDocument"];

/** An answer of openapi-fetch. */
interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The client. Tests and programs outside of a browser call `configure` first. */
export let api = createClient<paths>({ baseUrl: "" });
let base = "";
let extra: Record<string, string> = {};

/** Set the address of the server and further headers; a page needs neither, since its cookie has the token. */
export function configure(baseUrl: string, headers: Record<string, string> = {}): void {
  base = baseUrl;
  extra = headers;
  api = createClient<paths>({ baseUrl, headers });
}

/** The full address of a path of the API. */
export function address(path: string): string {
  return base + path;
}

/** The headers that every request needs outside of a page. */
export function extraHeaders(): Record<string, string> {
  return extra;
}

/** The address of a thumbnail that fits in a square of `width` pixels. */
export function thumbnail(url: string, width: 64 | 128 | 256 | 512 | 1024): string {
  return address(`${url}?w=${width}`);
}

/**
 * Wait for an answer and return its data.
 *
 * @throws {Refused} The server refused the request, or cannot be reached (`not_connected`).
 */
export async function answer<Data>(request: Promise<Answer<Data>>): Promise<Data> {
  return (await fullAnswer(request)).data;
}

/** As `answer`, with the response, for its headers. */
export async function fullAnswer<Data>(
  request: Promise<Answer<Data>>,
): Promise<{ data: Data; response: Response }> {
  let result: Answer<Data>;
  try {
    result = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, [notConnected()]);
  }
  if (!result.response.ok)
    throw new Refused(result.response.status, problemsIn(result), result.response.headers);
  return { data: result.data as Data, response: result.response };
}

function problemsIn(result: Answer<unknown>): Problem[] {
  const text = typeof result.error === "string" ? result.error : JSON.stringify(result.error ?? null);
  return problemsInText(text, result.response.status);
}
