/** Checks the fields of parsed JSON and collects problems, each with its path. */

import { isList, isObject, type Json, type JsonObject, writeJson } from "../json/json";
import { type DocumentProblem, MAX_PROBLEMS, type Path, problem, short } from "../problems";
import { ID } from "./format";

const NOTHING: JsonObject = new Map();

/** A field of the wrong type becomes a problem and a neutral value. */
export class Fields {
  readonly problems: DocumentProblem[] = [];

  bad(code: string, message: string, path: Path, more: Partial<DocumentProblem> = {}): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(problem(code, message, { path, ...more }));
  }

  /** A JSON object; undefined for anything else. */
  object(value: Json | undefined, place: string, path: Path): JsonObject | undefined {
    if (isObject(value)) return value;
    this.bad("bad_document", `${place} is ${shown(value)}, not an object`, path);
    return undefined;
  }

  /** The object in a field that may be left out. */
  part(tree: JsonObject, key: string, place: string, path: Path): JsonObject {
    if (!tree.has(key)) return NOTHING;
    return this.object(tree.get(key), place, [...path, key]) ?? NOTHING;
  }

  /** The text in a field that may be left out. */
  text(tree: JsonObject, key: string, place: string, path: Path): string {
    const value = tree.has(key) ? tree.get(key) : "";
    if (typeof value === "string") return value;
    this.bad("bad_document", `${place} is ${shown(value)}, not text`, [...path, key]);
    return "";
  }

  /** The list of ids in a field that may be left out. */
  names(tree: JsonObject, key: string, place: string, path: Path): readonly string[] {
    const value = tree.has(key) ? tree.get(key) : [];
    if (isList(value) && value.every((name) => typeof name === "string")) return value as readonly string[];
    this.bad("bad_view", `${place} is ${shown(value)}`, [...path, key], { hint: "write a list of ids" });
    return [];
  }

  /** Whole numbers such as a position; undefined if the value is something else. */
  wholeNumbers(value: Json | undefined, count: number): number[] | undefined {
    const valid =
      isList(value) &&
      value.length === count &&
      value.every((item) => typeof item === "number" && Number.isInteger(item));
    return valid ? (value as number[]) : undefined;
  }

  isId(name: string, place: string, path: Path): boolean {
    if (ID.test(name)) return true;
    const hint =
      name === "__proto__"
        ? "use another name: this one has a special meaning in web browsers"
        : "use letters, digits, - and _, at most 64";
    this.bad("bad_id", `${place} ${short(name)} is not a valid id`, path, { hint });
    return false;
  }

  rejectUnknownKeys(tree: JsonObject, known: readonly string[], place: string, path: Path): void {
    for (const key of tree.keys()) {
      if (known.includes(key)) continue;
      const hint = `the keys are ${[...known].sort().join(", ")}`;
      this.bad("unknown_key", `${place} has the unknown key ${short(key)}`, [...path, key], { hint });
    }
  }
}

/** A value as it stands in a message. */
export function shown(value: Json | undefined): string {
  if (value === undefined) return "missing";
  if (isObject(value)) return "an object";
  if (isList(value)) return "a list";
  return typeof value === "string" ? short(value) : short(writeJson(value)).replace(/^"|"$/g, "");
}
