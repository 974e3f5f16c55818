/** Measures the canvas in a browser: opening, dragging a node of a thousand, and the first picture. */
import { readFileSync } from "node:fs";
import type { Page } from "@playwright/test";
import { percentile, report } from "./figures.ts";
import { Canvas, expect, Server, test } from "./fixtures.ts";
import { largeGraph, MIDDLE } from "./largeGraph.ts";
import { recordRenders, takeRenders } from "./renders.ts";

const ROUNDS = 3;
const MOVES = 60;
const IDLE_MS = 3000;

/** The milliseconds from the start of the navigation until the page was ready. */
async function readyMs(page: Page): Promise<number> {
  return page.evaluate(() => performance.getEntriesByName("ready")[0]?.startTime ?? Number.NaN);
}

test("opening", async ({ canvas, page }) => {
  await canvas.open("text_to_image"); // the server reads its files
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await canvas.open("text_to_image");
    times.push(await readyMs(page));
  }
  report("open", percentile(times, 0.5) / 1000);
});

test("a thousand nodes", async ({ canvas, page }) => {
  canvas.server.addGraph("large", JSON.stringify(largeGraph(20)));
  await canvas.open("large");
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await canvas.open("large");
    await expect(canvas.nodes).toHaveCount(1000);
    times.push(await readyMs(page));
  }
  report("open 1,000 nodes", percentile(times, 0.5) / 1000);
  await canvas.find(MIDDLE);
  await page.getByTitle("Zoom to 100 %").click();
  await expect(page.getByTitle("Zoom to 100 %")).toHaveText("100 %");
  report("elements", await page.locator("*").count());
  const frames: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) frames.push(...(await dragFrames(canvas, MIDDLE)));
  report("drag p95", percentile(frames, 0.95));
});

/** Drag a node in many small moves, one for each frame; returns the milliseconds between the frames. */
async function dragFrames(canvas: Canvas, id: string): Promise<number[]> {
  const { page } = canvas;
  const box = await canvas.node(id).locator(".node-head").boundingBox();
  if (!box) throw new Error(`${id} is not in view`);
  const [x, y] = [box.x + 60, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.evaluate(() => {
    const stamps: number[] = [];
    const next = (at: number) => {
      stamps.push(at);
      if (stamps.length < 10_000) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
    Object.assign(window, { stamps });
  });
  for (let move = 1; move <= MOVES; move += 1) await page.mouse.move(x + 4 * move, y + 2 * move);
  const stamps = await page.evaluate(() => (window as unknown as { stamps: number[] }).stamps.splice(0));
  await page.mouse.up();
  await canvas.press("Control+z");
  return stamps.slice(1).map((at, n) => at - (stamps[n] ?? at));
}

test("renders of an event", async ({ canvas, page }) => {
  await recordRenders(page);
  canvas.server.addGraph("rendered", JSON.stringify(largeGraph(400)));
  await canvas.open("rendered");
  await canvas.press("Control+Enter");
  await expect(page.getByLabel("Viewer").locator('img[src*="/previews/"]')).toBeVisible({ timeout: 90_000 });
  await takeRenders(page);
  const commits: string[][] = [];
  await expect.poll(async () => commits.push(...(await takeRenders(page)))).toBeGreaterThanOrEqual(5);
  report("renders", Math.max(...commits.map((nodes) => nodes.length)));
  await canvas.press("Control+.");
  await canvas.ended();
});

test("the first picture", async ({ browser }) => {
  for (const isWarm of [false, true]) {
    const server = new Server();
    const page = await browser.newPage();
    try {
      await server.start();
      const canvas = new Canvas(page, server);
      await canvas.open("text_to_image");
      if (isWarm) await untilIdle(server);
      const before = await workerCpu(server);
      const { preview, picture } = await pictureSeconds(canvas);
      const state = isWarm ? "warm" : "cold";
      report(`preview, ${state}`, preview);
      report(`picture, ${state}`, picture);
      report(`computing, ${state}`, (await workerCpu(server)) - before);
    } finally {
      await page.close();
      await server.stop();
    }
  }
});

/** The CPU seconds that the worker has used; Linux counts them in hundredths. */
async function workerCpu(server: Server): Promise<number> {
  const { devices } = await server.get<{ devices: { pid: number }[] }>("/info");
  const used = devices.flatMap(({ pid }) =>
    readFileSync(`/proc/${pid}/stat`, "utf8").split(" ").slice(13, 15),
  );
  return used.reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
}

/** Wait until the worker has done what it does before the first run: it uses no CPU for a while. */
async function untilIdle(server: Server): Promise<void> {
  let [before, since] = [await workerCpu(server), performance.now()];
  while (performance.now() - since < IDLE_MS) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const now = await workerCpu(server);
    if (now !== before) [before, since] = [now, performance.now()];
  }
}

/** Press Ctrl+Enter; returns the seconds from the key until the first preview and the picture were drawn. */
async function pictureSeconds(canvas: Canvas): Promise<{ preview: number; picture: number }> {
  const { page } = canvas;
  await page.evaluate(() => {
    const times = { pressed: Number.NaN, preview: Number.NaN, picture: Number.NaN };
    Object.assign(window, { times });
    const now = () => (performance.now() - times.pressed) / 1000;
    window.addEventListener(
      "keydown",
      () => {
        times.pressed = performance.now();
      },
      { capture: true, once: true },
    );
    const look = (event: Event) => {
      const { src = "" } = event.target as HTMLImageElement;
      if (src.includes("/previews/") && Number.isNaN(times.preview)) times.preview = now();
      if (src.includes("/outputs/") && Number.isNaN(times.picture)) times.picture = now();
    };
    document.addEventListener("load", look, { capture: true });
  });
  await canvas.press("Control+Enter");
  const times = () =>
    page.evaluate(() => (window as unknown as { times: { preview: number; picture: number } }).times);
  await expect.poll(async () => (await times()).picture).toBeGreaterThan(0);
  return times();
}
