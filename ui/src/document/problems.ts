/** Problems of a document that cannot be read. */

/** A place in a document: the keys and positions that lead to it. */
export type Path = readonly (string | number)[];

/** One problem, in the form of the server's problems, with its line in the text. */
export interface DocumentProblem {
  readonly code: string;
  readonly severity: "error" | "warning";
  readonly node: string | null;
  readonly input: string | null;
  readonly message: string;
  readonly hint: string | null;
  readonly path: Path;
  /** The line in the text, from 1; null if there is no text. */
  readonly line: number | null;
}

/** The most problems that are collected from one text. */
export const MAX_PROBLEMS = 100;

/** A text that is not a graph document, with every problem found. */
export class DocumentError extends Error {
  readonly problems: readonly DocumentProblem[];

  constructor(problems: readonly DocumentProblem[]) {
    super(problems.map(asSentence).join("\n"));
    this.name = "DocumentError";
    this.problems = problems;
  }
}

/** A problem without its optional parts. */
export function problem(
  code: string,
  message: string,
  more: Partial<Omit<DocumentProblem, "code" | "message">> = {},
): DocumentProblem {
  return {
    code,
    severity: "error",
    node: null,
    input: null,
    hint: null,
    path: [],
    line: null,
    ...more,
    message,
  };
}

/** A problem as one sentence with its line and the remedy. */
export function asSentence(item: DocumentProblem): string {
  const place = [item.node, item.input].filter((part) => part !== null).join(".");
  const lead = [item.line === null ? "" : `line ${item.line}`, place].filter(Boolean).join(", ");
  return `${lead ? `${lead}: ` : ""}${item.message}${item.hint ? `; ${item.hint}` : ""}`;
}

/** A path as text, such as `nodes.denoise.inputs.steps`. */
export function pathText(path: Path): string {
  return path.map((key, n) => (typeof key === "number" ? `[${key}]` : `${n ? "." : ""}${key}`)).join("");
}

/** A value as it may stand in a message: short, and on one line. */
export function short(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
