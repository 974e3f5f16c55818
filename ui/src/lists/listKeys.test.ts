import { expect, test } from "vitest";
import { activeRow, stepped } from "./listKeys";

/** The rows that keys go through, from the first active one. */
function walk(keys: readonly string[], count: number, from = activeRow(null, 0, count)): number[] {
  const places: number[] = [];
  for (const key of keys)
    places.push(activeRow(stepped(key, places.at(-1) ?? from, count) ?? null, 0, count));
  return places;
}

test("the arrow keys step through the rows and around both ends", () => {
  expect(walk(["ArrowDown", "ArrowDown", "ArrowDown"], 3)).toEqual([1, 2, 0]);
  expect(walk(["ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp"], 3)).toEqual([2, 1, 0, 2]);
  expect(walk(["ArrowDown", "ArrowUp"], 1)).toEqual([0, 0]);
});

test("from no row, down goes to the first and up to the last", () => {
  expect(stepped("ArrowDown", -1, 3)).toBe(0);
  expect(stepped("ArrowUp", -1, 3)).toBe(2);
});

test("other keys move nothing: in the field they type, or move the caret", () => {
  for (const key of ["Enter", "Escape", "Home", "End", "PageDown", "ArrowLeft", "ArrowRight", "Tab", "a"])
    expect(stepped(key, 1, 3)).toBeUndefined();
});

test("an empty list has no active row, before and after keys", () => {
  expect(activeRow(null, 0, 0)).toBe(-1);
  expect(walk(["ArrowDown", "ArrowUp", "ArrowUp"], 0)).toEqual([-1, -1, -1]);
  // When rows come, the first is active.
  expect(activeRow(stepped("ArrowUp", -1, 0) ?? null, 0, 4)).toBe(0);
});

test("a list begins at the row of its value, also if that comes later", () => {
  expect(activeRow(null, -1, 0)).toBe(-1);
  expect(activeRow(null, 2, 4)).toBe(2);
  expect(activeRow(null, -1, 4)).toBe(0);
  expect(activeRow(1, 2, 4)).toBe(1);
});

test("when rows go while the list is open, the last one that is left is active", () => {
  expect(activeRow(4, 0, 5)).toBe(4);
  expect(activeRow(4, 0, 2)).toBe(1);
  expect(walk(["ArrowDown"], 2, activeRow(4, 0, 2))).toEqual([0]);
  expect(activeRow(4, 0, 0)).toBe(-1);
  expect(activeRow(4, 0, 5)).toBe(4);
});
