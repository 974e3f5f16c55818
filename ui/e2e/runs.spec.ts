/** Runs as a person sees them: what runs again, seeds, previews, cancelling, reloading. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Canvas, expect, ROOT, test } from "./fixtures.ts";

interface Run {
  summary: { id: string; state: string };
  inputs: Record<string, unknown>;
  graph: { inputs: Record<string, { default?: unknown }> };
  nodes: Record<string, { state: string }>;
  outputs: { url: string }[];
}

const details = (canvas: Canvas, id: string) => canvas.server.get<Run>(`/runs/${id}`);

/** The nodes that a run has computed. */
async function computed(canvas: Canvas, id: string): Promise<string[]> {
  const { nodes } = await details(canvas, id);
  return Object.keys(nodes)
    .filter((path) => nodes[path]?.state === "done")
    .sort();
}

/** The pixels of the picture of a run as text; the file also has the graph in it. */
async function pixels(canvas: Canvas, id: string): Promise<string> {
  const { outputs } = await details(canvas, id);
  return canvas.page.evaluate(async (url) => {
    const bitmap = await createImageBitmap(await (await fetch(url)).blob());
    const surface = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    surface?.drawImage(bitmap, 0, 0);
    return surface?.getImageData(0, 0, bitmap.width, bitmap.height).data.join() ?? "";
  }, outputs[0]?.url ?? "");
}

async function setPrompt(canvas: Canvas, text: string): Promise<void> {
  await canvas.page.getByRole("textbox", { name: "prompt", exact: true }).fill(text);
}

async function setSteps(canvas: Canvas, steps: number): Promise<void> {
  await canvas.page.getByRole("textbox", { name: "steps", exact: true }).fill(String(steps));
}

test("after a changed word, only the nodes that depend on it are marked and run", async ({ canvas }) => {
  await canvas.open("text_to_image");
  await setPrompt(canvas, "a green circle");
  await canvas.run();
  await setPrompt(canvas, "a green square");
  const dependants = ["decode", "denoise", "positive"];
  await expect
    .poll(async () => {
      const states = await canvas.states();
      return Object.keys(states).filter((id) => states[id] === "stale");
    })
    .toHaveLength(3);
  const states = await canvas.states();
  expect(
    Object.keys(states)
      .filter((id) => states[id] === "stale")
      .sort(),
  ).toEqual(dependants);
  const run = await canvas.run();
  expect(await computed(canvas, run.id)).toEqual(dependants);
});

test("a random seed is recorded for each run, and can be kept", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  await setSteps(canvas, 4);
  await page.getByRole("button", { name: "seed: a new one each run", exact: true }).click();
  const [first, second] = [await canvas.run(), await canvas.run()];
  const seeds = [await details(canvas, first.id), await details(canvas, second.id)].map(
    (run) => run.inputs.seed,
  );
  expect(seeds.every((seed) => typeof seed === "number")).toBe(true);
  expect(seeds[0]).not.toBe(seeds[1]);
  await page.getByRole("button", { name: `Keep ${seeds[1]}` }).click();
  const kept = await canvas.run();
  expect((await details(canvas, kept.id)).graph.inputs.seed?.default).toBe(seeds[1]);
  expect(await computed(canvas, kept.id)).toEqual([]);
});

test("a changed LoRA weight runs only its dependants, and Off equals the weight 0", async ({
  canvas,
  page,
}) => {
  await canvas.open("lora_stack");
  await setSteps(canvas, 4);
  await canvas.run();
  await page.getByRole("textbox", { name: "shape", exact: true }).fill("0");
  const without = await canvas.run();
  const ran = await computed(canvas, without.id);
  expect(ran).toContain("denoise");
  for (const id of ["canvas", "colour", "model"]) expect(ran).not.toContain(id);
  await page.getByRole("textbox", { name: "shape", exact: true }).fill("0.8");
  await canvas.node("shape").locator(".node-head").click();
  await canvas.press("b");
  await expect(canvas.node("shape")).toHaveAttribute("data-state", "off");
  const off = await canvas.run();
  expect(await pixels(canvas, off.id)).toBe(await pixels(canvas, without.id));
});

test("previews come before the end, and progress never goes back", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  await setPrompt(canvas, "a yellow heart");
  await page.evaluate(() => {
    const seen: { progress: number[]; previews: number } = { progress: [], previews: 0 };
    Object.assign(window, { seen });
    new MutationObserver(() => {
      const text = document.querySelector('[data-node="denoise"] .node-foot')?.textContent ?? "";
      const step = /(\d+) \/ 20/.exec(text);
      if (step) seen.progress.push(Number(step[1]));
      if (document.querySelector('[aria-label="Viewer"] img[src*="/previews/"]')) seen.previews += 1;
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await canvas.run();
  const { progress, previews } = await page.evaluate(
    () => (window as unknown as { seen: { progress: number[]; previews: number } }).seen,
  );
  expect(previews).toBeGreaterThan(0);
  expect(new Set(progress).size).toBeGreaterThan(2);
  expect(progress).toEqual([...progress].sort((a, b) => a - b));
  await expect(page.getByLabel("Viewer").locator('img[src*="/outputs/"]').first()).toBeVisible();
});

test("a running and a waiting run are cancelled, and the next one starts", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  await setSteps(canvas, 400);
  await canvas.press("Control+Enter");
  await expect(canvas.node("denoise")).toHaveAttribute("data-state", "running");
  await setSteps(canvas, 399);
  await canvas.press("Control+Enter");
  await expect.poll(async () => (await canvas.runs()).filter((run) => run.state === "queued").length).toBe(1);
  await canvas.press("Control+.");
  await canvas.ended();
  expect((await canvas.runs()).slice(0, 2).map((run) => run.state)).toEqual(["cancelled", "cancelled"]);
  await expect(canvas.node("denoise")).toHaveAttribute("data-state", /cancelled|stale|idle/);
  await setSteps(canvas, 4);
  expect((await canvas.run()).state).toBe("done");
  await expect(page.getByLabel("Viewer").locator('img[src*="/outputs/"]').first()).toBeVisible();
});

test("a graph without outputs gets its last picture as one when it runs, and undo takes it back", async ({
  canvas,
  page,
}) => {
  const graph = JSON.parse(readFileSync(join(ROOT, "graphs", "text_to_image.json"), "utf8"));
  graph.nodes.blur = { type: "BlurImage@1", inputs: { image: { from: "decode.out" } } };
  graph.nodes.denoise.inputs.steps = 2;
  canvas.server.addGraph("no-outputs", JSON.stringify({ ...graph, outputs: {} }));
  await canvas.open("no-outputs");
  const run = await canvas.run();
  expect((await details(canvas, run.id)).outputs).toHaveLength(1);
  await expect(canvas.node("blur").locator(".node-picture img")).toHaveAttribute("src", /outputs/);
  await expect(page.getByLabel("Viewer").locator('img[src*="/outputs/"]').first()).toBeVisible();
  const image = canvas
    .node("blur")
    .locator('[data-output="out"]')
    .getByRole("img", { name: /^blur, / });
  await expect(image).toBeVisible();
  await canvas.press("Control+z");
  await expect(image).toHaveCount(0);
});

const NAP = `import time
from pathlib import Path

from engine.context import Context
from engine.node import Node


class Nap(Node, category="test"):
    """Sleep until a file exists, without looking whether the run is cancelled."""

    file: str
    after: str = ""

    def run(self, ctx: Context) -> str:
        while not Path(self.file).exists():
            time.sleep(0.02)
        return "rested"
`;

test("while a cancelled run waits for a long step, the page says so", async ({ canvas, page }) => {
  const { home } = canvas.server;
  const file = join(home, "wake");
  mkdirSync(join(home, "nodes"), { recursive: true });
  writeFileSync(join(home, "nodes", "nap.py"), NAP);
  const nap = (inputs: object) => ({ type: "Nap@1", inputs: { file, ...inputs } });
  const nodes = { first: nap({}), second: nap({ after: { from: "first.out" } }) };
  const outputs = { text: { from: "second.out" } };
  const layout = { first: [0, 0], second: [400, 0] };
  canvas.server.addGraph("naps", JSON.stringify({ safelight: 1, nodes, outputs, layout }));
  await canvas.open("naps");
  await canvas.press("Control+Enter");
  await expect(canvas.node("first")).toHaveAttribute("data-state", "running");
  await page.getByRole("button", { name: /^Stop / }).click();
  const button = page.getByRole("button", { name: /^Stopping … / });
  await expect(button).toBeVisible();
  await expect(canvas.node("first").locator(".node-foot")).toContainText("stopping");
  await expect(canvas.node("second")).toHaveAttribute("data-state", "cancelled");
  await expect(page.locator("footer [role=status]")).toContainText("Stopping");
  await canvas.press("q");
  await expect(page.getByRole("list", { name: "Running and waiting" })).toContainText("stopping");
  // Once more changes nothing: the server has one way to cancel, which ends by force what does not stop.
  await button.click();
  await expect(button).toBeVisible();
  writeFileSync(file, "");
  expect((await canvas.ended()).state).toBe("cancelled");
  await expect(canvas.node("second")).toHaveAttribute("data-state", "cancelled");
  await expect(page.locator("footer [role=status]")).toContainText("Cancelled");
});

test("run to the selection starts nothing outside its ancestors", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  await setPrompt(canvas, "a purple moon");
  await canvas.node("positive").locator(".node-head").click();
  const before = (await canvas.runs()).length;
  await page.keyboard.press("Control+Shift+Enter");
  await expect.poll(async () => (await canvas.runs()).length).toBe(before + 1);
  const run = await canvas.ended();
  const { nodes } = await details(canvas, run.id);
  const touched = Object.keys(nodes).filter((path) => nodes[path]?.state !== "unneeded");
  expect(touched.sort()).toEqual(["model", "positive"]);
});

test("a reload in the middle of a run loses nothing", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  await setPrompt(canvas, "an orange ring");
  await setSteps(canvas, 120);
  await canvas.press("Control+Enter");
  await expect(canvas.node("denoise")).toHaveAttribute("data-state", "running");
  await page.reload();
  await expect(canvas.node("denoise")).toHaveAttribute("data-state", "running");
  await expect(page.getByRole("textbox", { name: "prompt", exact: true })).toHaveValue("an orange ring");
  await expect(page.getByLabel("Viewer").locator('img[src*="/previews/"]')).toBeVisible();
  await expect(canvas.node("denoise").locator(".node-foot")).toContainText("/ 120");
  const run = await canvas.ended();
  expect(run.state).toBe("done");
  await expect(canvas.node("decode")).toHaveAttribute("data-state", "done");
  await expect(page.getByLabel("Viewer").locator('img[src*="/outputs/"]').first()).toBeVisible();
});

test("a sweep fills a grid with a picture for each combination", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  for (const [name, values] of [
    ["steps", "2, 3"],
    ["guidance", "1 to 5 by 2"],
  ] as const) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.getByText("Sweep over values").click();
    await page.getByLabel(`Values of ${name}`).fill(values);
  }
  await page.getByRole("button", { name: "Run 6 combinations" }).click();
  await expect(page.locator(".grid .cell")).toHaveCount(6);
  const run = await canvas.ended();
  expect((await details(canvas, run.id)).outputs).toHaveLength(6);
  await page.locator(".grid .cell").first().click();
  await page.keyboard.press("Escape");
  await expect(page.locator(".grid")).toHaveCount(0);
});
