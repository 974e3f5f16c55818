/**
 * Requests and answers that contain a graph.
 *
 * The graph travels as text, so that the order of its keys and the difference between 1 and 1.0 survive.
 */
import { isList, isObject, type Json, writeJson } from "../../document/json/json";
import { parseJson } from "../../document/json/parseJson";

import { sendText } from "./sendJson";

/** The answer to a request: its JSON with nothing lost, and the response. */
export interface TextAnswer {
  json: ReadonlyMap<string, Json>;
  text: string;
  response: Response;
}

/**
 * Send a request and read the answer.
 *
 * @throws {Refused} The server refused the request, or cannot be reached.
 */
export async function send(path: string, options: RequestInit = {}): Promise<TextAnswer> {
  const { text, response } = await sendText(path, options);
  const json = text === "" ? null : parseJson(text);
  return {
    json: isObject(json ?? undefined) ? (json as ReadonlyMap<string, Json>) : new Map(),
    text,
    response,
  };
}

/** The options of a request whose JSON body has a graph. */
export function graphBody(
  method: "POST" | "PUT",
  graphText: string,
  rest: object = {},
  headers: Record<string, string> = {},
): RequestInit {
  const others = JSON.stringify(rest).slice(1, -1);
  const body = `{"graph":${graphText}${others === "" ? "" : `,${others}`}}`;
  return { method, body, headers: { "Content-Type": "application/json", ...headers } };
}

/** The text of the graph in an answer. */
export function graphIn(answer: TextAnswer): string {
  return writeJson(answer.json.get("graph") ?? null);
}

/** A text of an answer; null if it has none of that name. */
export function textIn(answer: TextAnswer, name: string): string | null {
  const value = answer.json.get(name);
  return typeof value === "string" ? value : null;
}

/** The texts of a list in an answer; none if it has no such list. */
export function textsIn(answer: TextAnswer, name: string): string[] {
  const list = answer.json.get(name);
  return isList(list) ? list.filter((item) => typeof item === "string") : [];
}
