/**
 * JSON exactly as the engine reads and writes it.
 *
 * `JSON.parse` loses what a saved graph must keep: the order of keys such as "10" and "9", the difference between 1 and
 * 1.0, and whole numbers beyond 2^53. This module keeps all of them.
 */

import { pythonFloat } from "./pythonFloat";

/** A number with a fraction of zero that is written with it, such as 4.0. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A JSON object; its keys keep their order. */
export type JsonObject = ReadonlyMap<string, Json>;

/**
 * A JSON value. A whole number is a `number`, or a `bigint` beyond 2^53; a number with a fraction is a `number`, or a
 * `Float` if the fraction is zero.
 */
export type Json = null | boolean | string | number | bigint | Float | readonly Json[] | JsonObject;

/** A value for the type float: 4 becomes 4.0. */
export function asFloat(value: number): Json {
  return Number.isInteger(value) ? new Float(value) : value;
}

/** The number that a JSON value is; undefined for any other value. */
export function numberOf(value: Json | undefined): number | undefined {
  if (typeof value === "number") return value;
  if (value instanceof Float) return value.value;
  if (typeof value === "bigint") return Number(value);
  return undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return value instanceof Map;
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** True if two values are equal for the engine, for which 1 is 1.0 and the order of keys does not count. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) {
    return typeof a === "bigint" && typeof b === "bigint" ? a === b : x === y;
  }
  if (isList(a) && isList(b)) {
    return a.length === b.length && a.every((item, n) => sameJson(item, b[n]));
  }
  if (isObject(a) && isObject(b)) {
    if (a.size !== b.size) return false;
    for (const [key, item] of a) if (!b.has(key) || !sameJson(item, b.get(key))) return false;
    return true;
  }
  return false;
}

/** The value of plain JavaScript, such as a parsed answer of the server. */
export function fromPlain(value: unknown): Json {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint" || value instanceof Float) return value;
  if (Array.isArray(value)) return value.map(fromPlain);
  if (value instanceof Map) return value as JsonObject;
  if (typeof value === "object") {
    return new Map(
      Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => [key, fromPlain(item)]),
    );
  }
  throw new TypeError(`${typeof value} is not JSON`);
}

/** The value as plain JavaScript, for code that needs neither the order of keys nor exact numbers. */
export function toPlain(value: Json): unknown {
  if (isList(value)) return value.map(toPlain);
  if (isObject(value)) return Object.fromEntries([...value].map(([key, item]) => [key, toPlain(item)]));
  return numberOf(value) ?? value;
}

/** The text of a value on one line, as the engine writes it. */
export function writeJson(value: Json): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Float) return pythonFloat(value.value);
  if (typeof value === "number") {
    return Number.isSafeInteger(value) ? (value + 0).toString() : pythonFloat(value);
  }
  if (isList(value)) return `[${value.map(writeJson).join(", ")}]`;
  const items = [...(value as JsonObject)].map(([key, item]) => `${JSON.stringify(key)}: ${writeJson(item)}`);
  return `{${items.join(", ")}}`;
}
