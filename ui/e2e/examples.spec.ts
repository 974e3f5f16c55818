/** Every example graph on the page: its layout as it is drawn, and what saving writes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, ROOT, test } from "./fixtures.ts";

const EXAMPLES = join(ROOT, "graphs");
const names = readdirSync(EXAMPLES).filter((name) => name.endsWith(".json") && name !== "graph.schema.json");

/** What is wrong with the drawn nodes: one on another, one whose rows do not fit, a wire that goes to the left. */
async function layoutFaults(page: Page): Promise<string[]> {
  return page.evaluate(() => {
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
    for (const edge of document.querySelectorAll(".react-flow__edge")) {
      const [, from, to] = /Edge from (.+) to (.+)/.exec(edge.getAttribute("aria-label") ?? "") ?? [];
      const [source, target] = [from, to].map((id) => boxes.find((box) => box.id === id));
      if (!source || !target) found.push(`${edge.getAttribute("data-id")} has no ends`);
      else if (source.right > target.left) found.push(`${from} is not left of ${to}`);
    }
    return found;
  });
}

for (const name of names) {
  const id = name.replace(/\.json$/, "");
  test(`the example ${id} opens with a readable layout and is saved byte for byte`, async ({
    canvas,
    page,
  }) => {
    const text = readFileSync(join(EXAMPLES, name), "utf8");
    const count = Object.keys((JSON.parse(text) as { nodes: object }).nodes).length;
    const own = canvas.server.addGraph(`own-${id}`, text);
    await canvas.open(`own-${id}`);
    await expect(canvas.nodes).toHaveCount(count);
    await expect(page.locator(".react-flow__edge")).not.toHaveCount(0);
    expect(await layoutFaults(page)).toEqual([]);

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
