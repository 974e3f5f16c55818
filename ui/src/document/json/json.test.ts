import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { json } from "../../testing/arbitraries";
import { DocumentError } from "../problems";
import { asFloat, Float, fromPlain, type Json, numberOf, sameJson, toPlain, writeJson } from "./json";
import { MAX_DEPTH, parseJson } from "./parseJson";

function problem(text: string): string {
  try {
    parseJson(text);
  } catch (error) {
    if (error instanceof DocumentError)
      return error.problems.map((item) => `${item.line} ${item.code}`).join(", ");
    throw error;
  }
  return "";
}

describe("JSON", () => {
  test("of any content writes and reads back the same", () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = writeJson(value);
        expect(parseJson(text)).toEqual(value);
        expect(writeJson(parseJson(text))).toBe(text);
      }),
    );
  });

  test("has numbers as the engine writes them", () => {
    const pairs = JSON.parse(readFileSync(new URL("./numbers.json", import.meta.url), "utf8")) as [
      string,
      string,
    ][];
    expect(pairs.length).toBeGreaterThan(100);
    expect(pairs.map(([written]) => [written, writeJson(parseJson(written))])).toEqual(pairs);
  });

  test.each([
    ["9007199254740993", "9007199254740993"],
    ["1.0", "1.0"],
    ["1", "1"],
    ["-0", "0"],
    ["-0.0", "-0.0"],
    ["1e2", "100.0"],
    ['{"10": 1, "9": 2, "__proto__": 3}', '{"10": 1, "9": 2, "__proto__": 3}'],
    [' [ "\\u00e9\\n\\u001f" ] ', '["é\\n\\u001f"]'],
    ["\ufeff1", "1"],
  ])("%s is written as %s", (text, written) => {
    expect(writeJson(parseJson(text))).toBe(written);
  });

  test.each([
    ["", "1 bad_json"],
    ["{", "1 bad_json"],
    ["[1,\n2,]", "2 bad_json"],
    ['{"a": 1\n"b": 2}', "2 bad_json"],
    ["[1] 2", "1 bad_json"],
    ["01", "1 bad_json"],
    [".5", "1 bad_json"],
    ["'a'", "1 bad_json"],
    ['"a\nb"', "1 bad_json"],
    ['"\\x"', "1 bad_json"],
    ["nul", "1 bad_json"],
    ['{"a": 1,\n"a": 2}', "2 duplicate_key"],
    ["[NaN,\n-Infinity,\n1e400]", "1 not_finite, 2 not_finite, 3 not_finite"],
    ['["\\ud800"]', "1 bad_text"],
    ["9".repeat(5000), "1 bad_json"],
    [`${"[".repeat(MAX_DEPTH + 1)}${"]".repeat(MAX_DEPTH + 1)}`, "1 too_deep"],
  ])("%s is refused", (text, found) => {
    expect(problem(text)).toBe(found);
  });

  test("is nested up to a limit", () => {
    expect(problem(`${"[".repeat(MAX_DEPTH)}${"]".repeat(MAX_DEPTH)}`)).toBe("");
  });

  test("compares as the engine does", () => {
    const equal: [Json, Json][] = [
      [1, new Float(1)],
      [new Map([["a", 1]]), new Map([["a", new Float(1)]])],
      [
        [1, "a"],
        [1, "a"],
      ],
      [2n ** 60n, 2n ** 60n],
    ];
    for (const [a, b] of equal) expect(sameJson(a, b)).toBe(true);
    const different: [Json, Json][] = [
      [1, "1"],
      [1, true],
      [[1], [1, 2]],
      [new Map([["a", 1]]), new Map([["b", 1]])],
      [2n ** 60n, 2n ** 60n + 1n],
      [null, false],
    ];
    for (const [a, b] of different) expect(sameJson(a, b)).toBe(false);
  });

  test("turns into plain JavaScript and back", () => {
    expect(toPlain(parseJson('{"a": [1, 2.0, "x", null]}'))).toEqual({ a: [1, 2, "x", null] });
    expect(fromPlain({ a: [1, { b: null }] })).toEqual(parseJson('{"a": [1, {"b": null}]}'));
    expect(asFloat(4)).toEqual(new Float(4));
    expect(asFloat(4.5)).toBe(4.5);
    expect(numberOf(2n ** 60n)).toBe(2 ** 60);
  });
});
