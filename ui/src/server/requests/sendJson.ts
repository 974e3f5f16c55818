/** Requests whose body is text of our own, with an answer in plain JSON. */
import { address, extraHeaders } from "./client";
import { notConnected, problemsInText, Refused } from "./problems";

/**
 * Send a request and read the text of its answer.
 *
 * @throws {Refused} The server refused the request, or cannot be reached.
 */
export async function sendText(
  path: string,
  options: RequestInit = {},
): Promise<{ text: string; response: Response }> {
  let response: Response;
  let text: string;
  try {
    const headers = { ...extraHeaders(), ...(options.headers as Record<string, string> | undefined) };
    response = await fetch(address(path), { ...options, headers });
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, [notConnected()]);
  }
  if (!response.ok)
    throw new Refused(response.status, problemsInText(text, response.status), response.headers);
  return { text, response };
}

/** As `sendText`, with the answer as a JSON value. */
export async function sendJson<Data>(path: string, options: RequestInit = {}): Promise<Data> {
  return JSON.parse((await sendText(path, options)).text) as Data;
}
