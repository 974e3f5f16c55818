/** A graph of a thousand nodes: few elements, and little work for each event. */
import { readFileSync } from "node:fs";
import { expect, test } from "./fixtures.ts";
import { largeGraph, MIDDLE } from "./largeGraph.ts";
import { recordRenders, takeRenders } from "./renders.ts";

test("a thousand nodes open, move and are saved with few elements on the page", async ({ canvas, page }) => {
  const graph = largeGraph(20);
  const name = `large-${Date.now()}`;
  const path = canvas.server.addGraph(name, JSON.stringify(graph));
  await canvas.open(name);
  await expect(page.locator(".far-node")).toHaveCount(1000);

  await canvas.find(MIDDLE);
  await page.getByTitle("Zoom to 100 %").click();
  await expect(page.getByTitle("Zoom to 100 %")).toHaveText("100 %");
  await expect(canvas.node(MIDDLE)).toBeVisible();
  expect(await page.locator("*").count()).toBeLessThanOrEqual(2000);

  const [x, y] = graph.layout[MIDDLE] ?? [0, 0];
  await canvas.node(MIDDLE).focus();
  await page.keyboard.press("Shift+ArrowRight");
  await canvas.press("Control+s");
  await expect(page.getByTestId("document-state")).toHaveText("Saved");
  const saved = JSON.parse(readFileSync(path, "utf8"));
  expect(Object.keys(saved.nodes)).toHaveLength(1000);
  expect(saved.layout[MIDDLE]).toEqual([x + 64, y]);
});

test("a progress event renders one of a thousand nodes", async ({ canvas, page }) => {
  await recordRenders(page);
  const name = `rendered-${Date.now()}`;
  canvas.server.addGraph(name, JSON.stringify(largeGraph(400)));
  await canvas.open(name);
  await expect(page.locator(".far-node")).toHaveCount(1000);
  const opened = new Set((await takeRenders(page)).flat());
  expect(opened.size).toBe(1000);

  await canvas.press("Control+Enter");
  const preview = page.getByLabel("Viewer").locator('img[src*="/previews/"]');
  await expect(preview).toBeVisible({ timeout: 90_000 });
  await takeRenders(page);
  const commits: string[][] = [];
  await expect.poll(async () => commits.push(...(await takeRenders(page)))).toBeGreaterThanOrEqual(5);
  await expect(canvas.node("denoise")).toHaveAttribute("data-state", "running");
  for (const nodes of commits) expect(nodes).toEqual(["denoise"]);
  await canvas.press("Control+.");
  expect((await canvas.ended()).state).toBe("cancelled");
});
