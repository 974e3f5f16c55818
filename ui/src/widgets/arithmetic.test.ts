import fc from "fast-check";
import { expect, test } from "vitest";
import { arithmetic } from "./arithmetic";

test.each([
  ["12", 12],
  [" 0.5", 0.5],
  [".5", 0.5],
  ["1e3", 1000],
  ["-3", -3],
  ["512*1.5", 768],
  ["2 + 3 * 4", 14],
  ["(2 + 3) * 4", 20],
  ["7 - 2 - 1", 4],
  ["8 / 4 / 2", 1],
  ["0,75", 0.75],
])("reads %s", (text, value) => {
  expect(arithmetic(text)).toBe(value);
});

test.each(["", "a", "1 2", "1 +", "(1", "1/0", "alert(1)", "1;2"])("refuses %s", (text) => {
  expect(arithmetic(text)).toBeUndefined();
});

test("reads every number as JavaScript does", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      expect(arithmetic(String(value))).toBeCloseTo(value, 10);
    }),
  );
});
