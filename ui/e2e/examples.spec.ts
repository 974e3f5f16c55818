/** Every example graph on the page: its layout as it is drawn, and what saving writes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, type GraphJson, ROOT, test } from "./fixtures.ts";

const EXAMPLES = join(ROOT, "graphs");
const names = readdirSync(EXAMPLES).filter((name) => name.endsWith(".json") && name !== "graph.schema.json");

/** The nodes that inputs are wired to. */
function sources(inputs: object = {}): string[] {
  return Object.values(inputs).flatMap((input) =>
    typeof input?.from === "string" ? [input.from.split(".")[0]] : [],
  );
}

/** What is wrong with the drawn nodes: one on another, one whose rows do not fit, a wire that goes to the left. */
async function layoutFaults(page: Page, wires: readonly [string, string][]): Promise<string[]> {
  return page.evaluate((wires) => {
    const boxes = [...document.querySelectorAll<HTMLElement>(".react-flow__node-card")].map((card) => {
      const { left, top, right, bottom } = card.getBoundingClientRect();
      return { id: card.dataset.id ?? "", left, top, right, bottom, card };
    });
    const found: string[] = [];
    for (const [n, a] of boxes.entries()) {
      const node = a.card.querySelector<HTMLElement>("[data-node]");
      if (!node || node.scrollHeight > a.card.offsetHeight + 1)
        found.push(`${a.id} is higher than its place`);
      for (const b of boxes.slice(n + 1)) {
        if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
          found.push(`${a.id} on ${b.id}`);
      }
    }
    for (const [from, to] of wires) {
      const [source, target] = [from, to].map((id) => boxes.find((box) => box.id === id));
      if (!source || !target) found.push(`${from} or ${to} is not drawn`);
      else if (source.right > target.left) found.push(`${from} is not left of ${to}`);
    }
    return found;
  }, wires);
}

for (const name of names) {
  const id = name.replace(/\.json$/, "");
  test(`the example ${id} opens with a readable layout and is saved byte for byte`, async ({
    canvas,
    page,
  }) => {
    const text = readFileSync(join(EXAMPLES, name), "utf8");
    const nodes = Object.entries((JSON.parse(text) as GraphJson).nodes);
    const wires = nodes.flatMap(([node, { inputs }]) =>
      sources(inputs).map((from): [string, string] => [from, node]),
    );
    await canvas.open(id);
    await expect(canvas.nodes).toHaveCount(nodes.length);
    expect(await layoutFaults(page, wires)).toEqual([]);

    const own = canvas.server.addGraph(`own-${id}`, text);
    await canvas.open(`own-${id}`);
    await expect(canvas.nodes).toHaveCount(nodes.length);
    await canvas.press("Control+a");
    await canvas.press("ArrowDown");
    await canvas.press("Control+s");
    await expect(page.getByTestId("document-state")).toHaveText("Saved");
    expect(readFileSync(own, "utf8")).not.toBe(text);
    await canvas.press("Control+z");
    await canvas.press("Control+s");
    await expect.poll(() => readFileSync(own, "utf8")).toBe(text);
  });
}
