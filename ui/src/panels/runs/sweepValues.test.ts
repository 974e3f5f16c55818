import { expect, test } from "vitest";
import { parseList } from "./sweepValues";

const INT = { kind: "number", whole: true } as const;
const FLOAT = { kind: "number", whole: false } as const;
const TEXT = { kind: "text", multiline: true } as const;

test("numbers are listed, or given as a range", () => {
  expect(parseList("4, 8, 12,20", INT).values).toEqual([4, 8, 12, 20]);
  expect(parseList("1 to 9 by 2", INT).values).toEqual([1, 3, 5, 7, 9]);
  expect(parseList("0.1 to 0.5 by 0.1", FLOAT).values).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
  expect(parseList("1, 3 to 5, 4", INT).values).toEqual([1, 3, 4, 5]);
  expect(parseList("2:10:4", INT).values).toEqual([2, 6, 10]);
  expect(parseList("2:5", INT).values).toEqual([2, 3, 4, 5]);
  expect(parseList("9:2:-3", INT).values).toEqual([9, 6, 3]);
  expect(parseList("1:2:.25", FLOAT).values).toEqual([1, 1.25, 1.5, 1.75, 2]);
});

test("texts stand one in a line, with their commas", () => {
  expect(parseList("a cat, sleeping\n\n a dog ", TEXT).values).toEqual(["a cat, sleeping", "a dog"]);
});

test("choices and switches take only what they have", () => {
  const choice = { kind: "choice", choices: ["euler", "dpmpp_2m"] } as const;
  expect(parseList("euler, dpmpp_2m", choice).values).toEqual(["euler", "dpmpp_2m"]);
  expect(parseList("eulr", choice).problem).not.toBe("");
  expect(parseList("on, off", { kind: "switch" }).values).toEqual([true, false]);
});

test("what does not fit is shown as it was typed, with what to write", () => {
  expect(parseList("4, eIght", INT).problem).toMatch(/^"eIght" .*1:9:2$/);
  expect(parseList("eulr", { kind: "choice", choices: ["euler", "heun"] }).problem).toContain("euler, heun");
});

test.each([
  "",
  "x",
  "1.5",
  "5 to 1",
  "1 to 5 by 0",
  "0 to 1e9",
  "1 to",
  "5:1",
  "1:5:0",
  "1:5:",
  "1:2:3:4",
  "1:2:0.5",
])("%j is no list of whole numbers", (text) => {
  const { values, problem } = parseList(text, INT);
  expect(values).toEqual([]);
  expect(problem).not.toBe("");
});
