import { expect, test } from "vitest";
import { readGraph } from "../../document/file/read";
import { typedGraph } from "../../schema/typedGraph";
import { types } from "../../testing/smallTypes";
import { hasWord, promptAfter, withWord } from "./triggerWords";

test.each([
  ["", "star", "star"],
  ["a cat", "star", "a cat, star"],
  ["a cat, ", "ink wash", "a cat, ink wash"],
  ["a Star on a hill", "star", "a Star on a hill"],
  ["a starfish", "star", "a starfish, star"],
  ["a (b) c", "(b)", "a (b) c"],
])("the prompt %j with %j is %j", (text, word, expected) => {
  expect(withWord(text, word)).toBe(expected);
  expect(hasWord(expected, word)).toBe(true);
});

const encode = (inputs: object) => ({
  type: "EncodePrompt",
  inputs: { model: { from: "lora.model" }, ...inputs },
});

test.each([
  [{ no: encode({ negative: true }), yes: encode({ prompt: "a" }) }, "yes"],
  [{ no: encode({ negative: true }) }, "no"],
  [{ a: encode({ prompt: { from: "other.text" } }), b: encode({}) }, "b"],
  [{ a: { type: "EncodePrompt", inputs: {} } }, undefined],
])("the prompt after a LoRA in %j is %s", (nodes, expected) => {
  const lora = { type: "ApplyLoRA", inputs: {} };
  const graph = readGraph(JSON.stringify({ safelight: 1, nodes: { lora, ...nodes } }));
  expect(promptAfter(graph, typedGraph(types, [graph]), "lora")?.node).toBe(expected);
});
