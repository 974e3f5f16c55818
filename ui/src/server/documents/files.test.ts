import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fileName, nameFile } from "./files";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;

beforeEach(() => {
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
});
afterEach(() => vi.unstubAllGlobals());

test("an uploaded file is shown by the name that it was dropped with", () => {
  nameFile(digest("a"), "cat.png");
  nameFile(digest("b"), "dog.png");
  nameFile(digest("a"), "tom.png");
  expect([digest("a"), digest("b"), digest("c"), "cat.png", ""].map(fileName)).toEqual([
    "tom.png",
    "dog.png",
    digest("c"),
    "cat.png",
    "",
  ]);
});

test("the names of the latest files are kept", () => {
  for (let i = 0; i < 600; i += 1) nameFile(`sha256:${i}`, `${i}.png`);
  expect(fileName("sha256:0")).toBe("sha256:0");
  expect(fileName("sha256:599")).toBe("599.png");
});
