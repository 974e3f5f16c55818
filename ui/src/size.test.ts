/** The size of the canvas, which is to stay small. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const MOST_LINES = 20_000;
const SOURCE = import.meta.dirname;

/** Whether a file is code of the page: no test, no help of tests, not generated. */
function isOwn(path: string): boolean {
  return /\.(tsx?|css)$/.test(path) && !/\.test\.tsx?$|(^|\/)testing\/|(^|\/)api\.d\.ts$/.test(path);
}

/** The lines of a text that are neither empty nor comments. */
function linesOfCode(text: string): number {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  return code.split("\n").filter((line) => line.trim() !== "").length;
}

test(`the page has at most ${MOST_LINES} lines of code`, () => {
  const paths = readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter(isOwn);
  expect(paths).toContain("canvas/Canvas.tsx");
  const lines = paths.map((path) => linesOfCode(readFileSync(join(SOURCE, path), "utf8")));
  expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(MOST_LINES);
});
