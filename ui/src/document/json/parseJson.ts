/** Reads untrusted JSON strictly, with limits on size and depth, and reports the line of each problem. */

import {
  DocumentError,
  type DocumentProblem,
  MAX_PROBLEMS,
  type Path,
  pathText,
  problem,
  short,
} from "../problems";
import { Float, type Json } from "./json";

export const MAX_BYTES = 32 * 1024 * 1024;
export const MAX_DEPTH = 64;
/** The most values in a text, so that a small file cannot become a huge tree. */
export const MAX_ITEMS = 2_000_000;
const MAX_DIGITS = 4300;

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const NOT_FINITE = /NaN|-?Infinity/y;
const SPACE = /[ \t\n\r]*/y;
const SURROGATE = /\p{Surrogate}/u;

/** For each object and list, the offset in the text of each of its values. */
export type Places = Map<object, Map<string | number, number>>;

/**
 * Read JSON that must be finite, unambiguous and of bounded size and depth.
 *
 * @param places receives the place of every value, if given.
 * @throws DocumentError with every problem found; each names its line.
 */
export function parseJson(text: string, places?: Places): Json {
  if (text.length > MAX_BYTES) {
    const message = `the text has ${text.length.toLocaleString("en")} characters; the limit is ${MAX_BYTES.toLocaleString("en")}`;
    throw new DocumentError([problem("too_large", message)]);
  }
  return new Parser(text, places).whole();
}

/** The line of an offset in a text, from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}

class Parser {
  private at: number;
  private items = 0;
  private readonly text: string;
  private readonly places: Places | undefined;
  private readonly path: (string | number)[] = [];
  private readonly problems: DocumentProblem[] = [];

  constructor(text: string, places: Places | undefined) {
    this.text = text;
    this.places = places;
    this.at = text.charCodeAt(0) === 0xfeff ? 1 : 0; // a byte order mark
  }

  whole(): Json {
    this.space();
    const value = this.value();
    this.space();
    if (this.at < this.text.length) this.fail("something follows the end of the JSON");
    if (this.problems.length) throw new DocumentError(this.problems);
    return value;
  }

  private value(): Json {
    this.items += 1;
    if (this.items > MAX_ITEMS) {
      this.stop("too_large", `the JSON contains more than ${MAX_ITEMS.toLocaleString("en")} values`);
    }
    switch (this.text[this.at]) {
      case "{":
        return this.object();
      case "[":
        return this.list();
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private object(): Json {
    this.open();
    const object = new Map<string, Json>();
    const offsets = this.placesOf(object);
    this.at += 1;
    this.space();
    if (this.text[this.at] === "}") {
      this.at += 1;
      return object;
    }
    for (;;) {
      if (this.text[this.at] !== '"') this.fail("a key in double quotes is missing");
      const start = this.at;
      const key = this.string();
      this.path.push(key);
      if (object.has(key)) {
        this.report(
          "duplicate_key",
          `the key ${short(pathText(this.path))} is written twice`,
          start,
          "remove one of the two",
        );
      }
      this.space();
      if (this.text[this.at] !== ":") this.fail('":" is missing after a key');
      this.at += 1;
      this.space();
      offsets?.set(key, this.at);
      object.set(key, this.value());
      this.path.pop();
      if (this.ends("}")) return object;
    }
  }

  private list(): Json {
    this.open();
    const list: Json[] = [];
    const offsets = this.placesOf(list);
    this.at += 1;
    this.space();
    if (this.text[this.at] === "]") {
      this.at += 1;
      return list;
    }
    for (;;) {
      this.path.push(list.length);
      offsets?.set(list.length, this.at);
      list.push(this.value());
      this.path.pop();
      if (this.ends("]")) return list;
    }
  }

  private open(): void {
    if (this.path.length >= MAX_DEPTH) {
      this.stop("too_deep", `the JSON is nested deeper than ${MAX_DEPTH} levels`);
    }
  }

  private placesOf(container: object): Map<string | number, number> | undefined {
    if (this.places === undefined) return undefined;
    const offsets = new Map<string | number, number>();
    this.places.set(container, offsets);
    return offsets;
  }

  /** After a value: true at the closing bracket, false at a comma before another value. */
  private ends(bracket: string): boolean {
    this.space();
    const letter = this.text[this.at];
    if (letter !== bracket && letter !== ",") this.fail(`"," or "${bracket}" is missing`);
    this.at += 1;
    if (letter === bracket) return true;
    this.space();
    return false;
  }

  private string(): string {
    const start = this.at;
    let escaped = false;
    for (let at = start + 1; ; at += 1) {
      const code = this.text.charCodeAt(at);
      if (code === 0x22) {
        this.at = at + 1;
        break;
      }
      if (code === 0x5c) {
        escaped = true;
        at += 1;
      } else if (code < 0x20 || Number.isNaN(code)) {
        this.at = at;
        this.fail(code < 0x20 ? "a text contains a control character" : "a text does not end");
      }
    }
    const raw = this.text.slice(start, this.at);
    if (!escaped) return raw.slice(1, -1);
    let text: string;
    try {
      text = JSON.parse(raw) as string;
    } catch {
      this.at = start;
      this.fail("a text contains an invalid escape");
    }
    if (SURROGATE.test(text)) {
      this.report(
        "bad_text",
        `${pathText(this.path) || "the text"} contains invalid Unicode (an unpaired surrogate)`,
        start,
      );
    }
    return text;
  }

  private number(): Json {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    const start = this.at;
    if (match === null) {
      NOT_FINITE.lastIndex = this.at;
      const word = NOT_FINITE.exec(this.text);
      if (word === null)
        this.fail(this.at >= this.text.length ? "the JSON ends too early" : "a value is missing");
      this.at += word[0].length;
      this.notFinite(word[0], start);
      return 0;
    }
    this.at += match[0].length;
    const value = Number(match[0]);
    if (match[1] === undefined && match[2] === undefined) {
      if (match[0].length > MAX_DIGITS) {
        this.at = start;
        this.stop("bad_json", "the JSON contains a whole number with thousands of digits");
      }
      return Number.isSafeInteger(value) ? value + 0 : BigInt(match[0]);
    }
    if (!Number.isFinite(value)) {
      this.notFinite(match[0], start);
      return 0;
    }
    return Number.isInteger(value) ? new Float(value) : value;
  }

  private notFinite(written: string, start: number): void {
    const message = `${pathText(this.path) || "the value"} is ${short(written)}, not a finite number`;
    this.report("not_finite", message, start, "write a finite number");
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail("a value is missing");
    this.at += word.length;
    return value;
  }

  private space(): void {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.text);
    this.at = SPACE.lastIndex;
  }

  private report(code: string, message: string, offset: number, hint: string | null = null): void {
    if (this.problems.length >= MAX_PROBLEMS) return;
    const path: Path = [...this.path];
    this.problems.push(problem(code, message, { hint, path, line: lineAt(this.text, offset) }));
  }

  private fail(message: string): never {
    const line = lineAt(this.text, this.at);
    const column = this.at - this.text.lastIndexOf("\n", this.at - 1);
    return this.stop("bad_json", `the text is not JSON: ${message} at line ${line}, column ${column}`);
  }

  private stop(code: string, message: string): never {
    throw new DocumentError([
      problem(code, message, { path: [...this.path], line: lineAt(this.text, this.at) }),
    ]);
  }
}
