import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { graph as anyGraph } from "../../testing/arbitraries";
import { DocumentError, type DocumentProblem } from "../problems";
import { MAX_NESTED } from "./format";
import { readGraph } from "./read";
import { writeGraph } from "./write";

const EXAMPLES = new URL("../../../../graphs/", import.meta.url);
const names = readdirSync(EXAMPLES).filter((name) => name.endsWith(".json") && name !== "graph.schema.json");

function problemsOf(text: string): readonly DocumentProblem[] {
  try {
    readGraph(text);
  } catch (error) {
    if (error instanceof DocumentError) return error.problems;
    throw error;
  }
  return [];
}

function places(text: string): string[] {
  return problemsOf(text).map((item) =>
    `${item.line} ${item.code} ${item.node ?? ""} ${item.input ?? ""}`.trim(),
  );
}

describe("a graph document", () => {
  test.each(names)("%s reads and writes back byte for byte", (name) => {
    const text = readFileSync(new URL(name, EXAMPLES), "utf8");
    expect(writeGraph(readGraph(text))).toBe(text);
  });

  test("of any content is written as the engine writes it", () => {
    const texts = JSON.parse(readFileSync(new URL("./written.json", import.meta.url), "utf8")) as string[];
    expect(texts.length).toBeGreaterThanOrEqual(5);
    for (const text of texts) expect(writeGraph(readGraph(text))).toBe(text);
  });

  test("of any content writes and reads back as the same graph", () => {
    fc.assert(
      fc.property(anyGraph, (graph) => {
        const text = writeGraph(graph);
        const read = readGraph(text);
        expect(writeGraph(read)).toBe(text);
        expect(read).toEqual(graph);
      }),
    );
  });

  test("names the line, node and input of each problem", () => {
    const text = [
      '{"safelight": 1,',
      '  "inputs": {"a": {"type": "text"},',
      '    "b": {"type": "choice"}},',
      '  "outputs": {"image": {"from": "decode"}},',
      '  "nodes": {',
      '    "x y": {"type": "A@1"},',
      '    "ok": {"type": "A@1", "inputs": {',
      '      "one": 1,',
      '      "two": {"form": "a.b"}}},',
      '    "bad": {"type": "A@0",',
      '      "off": null}',
      "  },",
      '  "layout": {"ok": [0.5, 1]},',
      '  "view": {"notes": {"n": {"text": "a", "at": [0]}},',
      '    "frames": {"f": {"color": "red"}}},',
      '  "extra": 1}',
    ].join("\n");
    expect(places(text)).toEqual([
      "16 unknown_key",
      "6 bad_id",
      "9 bad_binding ok two",
      "10 bad_type bad",
      "11 bad_node bad",
      "3 bad_input_type",
      "4 bad_output",
      "13 bad_layout",
      "15 unknown_key",
      "14 bad_view",
    ]);
  });

  test.each([
    ["not_a_graph", "{}"],
    ["not_a_graph", '{"safelight": 1.0}'],
    ["not_a_graph", '{"safelight": true}'],
    ["newer_format", '{"safelight": 2}'],
    ["bad_document", "[]"],
    ["bad_document", '{"safelight": 1, "nodes": []}'],
    ["bad_id", '{"safelight": 1, "nodes": {"__proto__": {"type": "A"}}}'],
    ["bad_sweep", '{"safelight": 1, "inputs": {"a": {"type": "int", "default": 1, "sweep": 1}}}'],
    ["bad_passes", '{"safelight": 1, "passes": {"out": 1}}'],
    ["bad_view", '{"safelight": 1, "view": {"waypoints": {"a": []}}}'],
  ])("that is wrong is refused: %s", (code, text) => {
    expect(problemsOf(text).map((item) => item.code)).toEqual([code]);
  });

  test("defines graphs within graphs up to a limit", () => {
    const nested = (depth: number): string => (depth ? `{"graphs": {"g": ${nested(depth - 1)}}}` : "{}");
    const text = (depth: number) => `{"safelight": 1, "graphs": {"g": ${nested(depth - 1)}}}`;
    expect(problemsOf(text(MAX_NESTED))).toEqual([]);
    expect(problemsOf(text(MAX_NESTED + 1)).map((item) => item.code)).toEqual(["too_deep"]);
  });
});
