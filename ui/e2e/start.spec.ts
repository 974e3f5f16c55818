/** How the page starts: nothing fails, and little is loaded. */
import { gzipSync } from "node:zlib";
import type { Page } from "@playwright/test";
import { expect, test } from "./fixtures.ts";

/** The most that the page may load before its graph is there, in bytes after gzip. */
const FIRST_LOAD = 220_000;

/** What goes wrong on a page from now on: messages of the console, exceptions, answers that are errors, requests without one. */
function faults(page: Page): string[] {
  const found: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) found.push(message.text());
  });
  page.on("pageerror", (error) => found.push(String(error)));
  page.on("response", (response) => {
    if (response.status() >= 400) found.push(`${response.status()} ${response.url()}`);
  });
  page.on("requestfailed", (request) => {
    const reason = request.failure()?.errorText;
    if (reason !== "net::ERR_ABORTED") found.push(`${reason} ${request.url()}`);
  });
  return found;
}

test("the page starts, and starts again after a reload, without an error @fast", async ({ canvas, page }) => {
  const found = faults(page);
  await canvas.open("text_to_image");
  const icon = await page.locator("link[rel=icon]").evaluate(async (link) => {
    const answer = await fetch((link as HTMLLinkElement).href);
    return { status: answer.status, type: answer.headers.get("Content-Type") };
  });
  expect(icon).toEqual({ status: 200, type: "image/svg+xml" });
  await page.reload();
  await expect(page.locator("footer")).toContainText("Ready");
  expect(found).toEqual([]);
});

test("a narrow window shows the whole graph beside the panel, and drawers above both", async ({
  canvas,
  page,
}) => {
  await page.setViewportSize({ width: 600, height: 700 });
  await canvas.open("text_to_image");
  const panel = (await page.getByLabel("Panel", { exact: true }).first().boundingBox())!;
  await expect
    .poll(async () => {
      const boxes = await Promise.all((await canvas.nodes.all()).map((node) => node.boundingBox()));
      return boxes.length === 6 && boxes.every((box) => box && box.x > 50 && box.x + box.width <= panel.x);
    })
    .toBe(true);
  await page.getByRole("button", { name: "Outputs", exact: true }).click();
  // A click fails where something else lies above.
  await page.locator(".drawer").getByRole("button", { name: "Close" }).click();
  await expect(page.locator(".drawer")).toHaveCount(0);
  await expect(page.locator(".run button").first()).toBeInViewport({ ratio: 1 });
});

test("the page loads at most 220 kB before it is ready @fast", async ({ canvas, page }) => {
  const answers: Promise<[string, number]>[] = [];
  page.on("response", (response) => {
    const address = new URL(response.url()).pathname;
    const isOfPage = address === "/" || address.startsWith("/assets/");
    if (isOfPage && response.status() === 200)
      answers.push(response.body().then((body) => [address, gzipSync(body).length]));
  });
  await canvas.open("text_to_image");
  const early = await page.evaluate(() => {
    const ready = performance.getEntriesByName("ready")[0]?.startTime ?? Number.POSITIVE_INFINITY;
    return performance
      .getEntriesByType("resource")
      .filter((entry) => entry.startTime <= ready)
      .map((entry) => new URL(entry.name).pathname);
  });
  const loaded = (await Promise.all(answers)).filter(
    ([address]) => address === "/" || early.includes(address),
  );
  expect(loaded.length).toBeGreaterThan(2);
  const bytes = loaded.reduce((sum, [, size]) => sum + size, 0);
  expect(bytes, JSON.stringify(Object.fromEntries(loaded), null, 1)).toBeLessThanOrEqual(FIRST_LOAD);
});
