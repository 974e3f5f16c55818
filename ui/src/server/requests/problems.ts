/** Problems as the server reports them: a stable code, the place, one sentence and the remedy. */
import type { components } from "../api";

export type Problem = components["schemas"]["ProblemItem"];

/** The server refused a request. */
export class Refused extends Error {
  /** The HTTP status; 0 if the server cannot be reached. */
  readonly status: number;
  readonly problems: Problem[];
  readonly headers: Headers;

  constructor(status: number, problems: Problem[], headers: Headers = new Headers()) {
    super(problems[0]?.message ?? `the server answered ${status}`);
    this.name = "Refused";
    this.status = status;
    this.problems = problems;
    this.headers = headers;
  }

  get code(): string {
    return this.problems[0]?.code ?? "bad_answer";
  }
}

/** A problem of no node. */
export function problem(code: string, message: string, hint: string | null = null): Problem {
  return { code, severity: "error", node: null, input: null, message, hint };
}

/** The problem that the server does not answer. */
export function notConnected(): Problem {
  return problem(
    "not_connected",
    "the server does not answer",
    "start safelight serve again; edits are kept",
  );
}

/** The problems in the text of a refusal. */
export function problemsInText(text: string, status: number): Problem[] {
  try {
    const body = JSON.parse(text) as { problems?: Problem[] };
    if (Array.isArray(body.problems)) return body.problems;
  } catch {
    // Something else has answered in place of the server.
  }
  return [problem("bad_answer", `the server answered ${status}`)];
}

/** The problems of any thrown value. */
export function problemsOf(error: unknown): Problem[] {
  if (error instanceof Refused) return error.problems;
  if (error instanceof Error && "problems" in error && Array.isArray(error.problems)) {
    return error.problems as Problem[];
  }
  return [problem("page_error", error instanceof Error ? error.message : String(error))];
}

/** A problem and its remedy in sentences. */
export function sentences({ message, hint }: Pick<Problem, "message" | "hint">): string {
  return [message, hint ?? ""].map(sentence).filter(Boolean).join(" ");
}

/** Why an action failed, in sentences. */
export function reasonOf(error: unknown): string {
  return problemsOf(error).slice(0, 1).map(sentences).join("");
}

/** A message as a sentence: with a capital letter and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "") return "";
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?:]$/.test(first) ? first : `${first}.`;
}
