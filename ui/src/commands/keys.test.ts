import { expect, test } from "vitest";
import { isKey, shownKeys } from "./keys";

function press(key: string, modifiers: Partial<KeyboardEvent> = {}): KeyboardEvent {
  return {
    key,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    shiftKey: false,
    ...modifiers,
  } as KeyboardEvent;
}

test("a key needs exactly its modifiers", () => {
  expect(isKey(press("Enter", { ctrlKey: true }), "Ctrl+Enter")).toBe(true);
  expect(isKey(press("Enter", { ctrlKey: true, shiftKey: true }), "Ctrl+Enter")).toBe(false);
  expect(isKey(press("Enter"), "Ctrl+Enter")).toBe(false);
  expect(isKey(press("Enter", { ctrlKey: true, altKey: true }), "Ctrl+Enter")).toBe(false);
});

test("a letter is the same with Caps Lock, and another key with Shift", () => {
  expect(isKey(press("b"), "B")).toBe(true);
  expect(isKey(press("B"), "B")).toBe(true);
  expect(isKey(press("E", { shiftKey: true }), "E")).toBe(false);
  expect(isKey(press("E", { shiftKey: true }), "Shift+E")).toBe(true);
});

test("a character that some keyboards type with Shift needs none", () => {
  expect(isKey(press("?", { shiftKey: true }), "?")).toBe(true);
  expect(isKey(press("?"), "?")).toBe(true);
  expect(isKey(press("["), "[")).toBe(true);
});

test("Space is named", () => {
  expect(isKey(press(" "), "Space")).toBe(true);
  expect(shownKeys("Ctrl+Shift+z")).toBe("Ctrl Shift Z");
});
