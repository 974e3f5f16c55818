/** Editing the graph: adding, wiring, inserting, healing, pasting, undoing. */
import { copyFileSync, cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "@playwright/test";
import { type Canvas, expect, Server, test } from "./fixtures.ts";

const EXAMPLES = join(import.meta.dirname, "..", "..", "graphs");

async function centre(element: Locator): Promise<{ x: number; y: number }> {
  const box = await element.boundingBox();
  if (!box) throw new Error(`${element} is not visible`);
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** Drag from one point to another, and stay there. */
async function drag(page: Page, from: { x: number; y: number }, to: { x: number; y: number }): Promise<void> {
  await page.mouse.move(from.x, from.y);
  await page.mouse.down();
  await page.mouse.move(from.x + (to.x - from.x) / 3, from.y + (to.y - from.y) / 3);
  await page.mouse.move(to.x, to.y, { steps: 4 });
}

async function wire(canvas: Canvas, from: [string, string], to: [string, string]): Promise<void> {
  const [source, target] = [canvas.socket(...from, "source"), canvas.socket(...to, "target")];
  await drag(canvas.page, await centre(source), await centre(target));
  await canvas.page.mouse.up();
}

/** A point of the canvas where nothing is. */
async function emptyPoint(canvas: Canvas): Promise<{ x: number; y: number }> {
  const box = await canvas.page.locator("[data-canvas]").boundingBox();
  if (!box) throw new Error("there is no canvas");
  for (let y = box.y + 60; y < box.y + box.height - 100; y += 30) {
    for (let x = box.x + box.width - 300; x > box.x + 40; x -= 60) {
      const isEmpty = await canvas.page.evaluate(
        ([left, top]) =>
          document.elementFromPoint(left, top)?.classList.contains("react-flow__pane") ?? false,
        [x, y] as const,
      );
      if (isEmpty) return { x, y };
    }
  }
  throw new Error("the canvas is full");
}

const wireInto = (canvas: Canvas, end: string) => canvas.page.locator(`.react-flow__edge[data-id="${end}"]`);

test("a node is added by search where the pointer is, and one undo removes it", async ({ canvas, page }) => {
  await canvas.open();
  const count = await canvas.nodes.count();
  const point = await emptyPoint(canvas);
  await canvas.focus();
  await page.mouse.move(point.x, point.y);
  await page.keyboard.press("Space");
  await canvas.choose("samp");
  const added = canvas.node("denoise-2");
  await expect(added).toBeVisible();
  const box = await added.boundingBox();
  expect(Math.abs((box?.x ?? 0) - point.x)).toBeLessThan(10);
  expect(Math.abs((box?.y ?? 0) - point.y)).toBeLessThan(10);
  await expect(page.locator(".react-flow__node.selected")).toHaveCount(1);
  await canvas.press("Control+z");
  await expect(canvas.nodes).toHaveCount(count);
});

test("a wire dropped on nothing lists what takes it, and Enter adds one wired", async ({ canvas, page }) => {
  await canvas.open();
  await drag(page, await centre(canvas.socket("canvas", "out", "source")), await emptyPoint(canvas));
  await page.mouse.up();
  const list = page.getByRole("listbox", { name: "Node types" });
  await expect(list.getByRole("option").first()).toBeVisible();
  const names = await list.getByRole("option").locator("span:first-child").allTextContents();
  expect(names).toContain("Decode");
  expect(names).not.toContain("EncodePrompt");
  expect(names).not.toContain("LoadModel");
  await page.keyboard.type("decode");
  await page.keyboard.press("Enter");
  await expect(canvas.node("decode-2")).toContainText("canvas");
  await expect(wireInto(canvas, "decode-2.latent")).toHaveCount(1);
  await canvas.press("Control+z");
  await expect(canvas.node("decode-2")).toHaveCount(0);
  await expect(wireInto(canvas, "decode-2.latent")).toHaveCount(0);
});

test("a wire that does not fit is refused with a reason", async ({ canvas, page }) => {
  await canvas.open();
  await drag(
    page,
    await centre(canvas.socket("decode", "out", "source")),
    await centre(canvas.socket("positive", "encoder", "target")),
  );
  await expect(page.locator(".connection-hint")).toContainText("positive.encoder takes a TextEncoder");
  await page.mouse.up();
  await expect(canvas.node("positive")).toContainText("model.encoder");
});

test("a wire is pulled off, and another one takes the place of a wire", async ({ canvas, page }) => {
  await canvas.open();
  const encoder = canvas.socket("negative", "encoder", "target");
  await drag(page, await centre(encoder), await emptyPoint(canvas));
  await page.mouse.up();
  await expect(wireInto(canvas, "negative.encoder")).toHaveCount(0);
  await expect(page.getByRole("listbox", { name: "Node types" })).toHaveCount(0);
  await wire(canvas, ["positive", "out"], ["denoise", "negative"]);
  await expect(canvas.node("denoise").locator(".node-row", { hasText: /^negative/ })).toContainText(
    "positive",
  );
  await expect(wireInto(canvas, "denoise.negative")).toHaveCount(1);
  await canvas.press("Control+z");
  await canvas.press("Control+z");
  await expect(wireInto(canvas, "negative.encoder")).toHaveCount(1);
  await expect(canvas.node("denoise").locator(".node-row", { hasText: /^negative/ })).toContainText(
    "negative",
  );
});

test("a node dropped on a wire is inserted, and Ctrl+Delete joins the wire again", async ({
  canvas,
  page,
}) => {
  await canvas.open();
  const point = await emptyPoint(canvas);
  await canvas.focus();
  await page.mouse.move(point.x, point.y);
  await page.keyboard.press("Space");
  await canvas.choose("flip latent");
  const added = canvas.page.locator(".react-flow__node.selected [data-node]");
  const id = (await added.getAttribute("data-node")) ?? "";
  const path = wireInto(canvas, "decode.latent").locator("path").first();
  const middle = await path.evaluate((element) => {
    const line = element as SVGPathElement;
    const at = line.getPointAtLength(line.getTotalLength() / 2);
    const screen = at.matrixTransform(line.getScreenCTM() ?? undefined);
    return { x: screen.x, y: screen.y };
  });
  const header = canvas.node(id).locator(".node-head");
  await drag(page, await centre(header), middle);
  await page.mouse.up();
  await expect(wireInto(canvas, `${id}.latent`)).toHaveCount(1);
  await expect(canvas.node("decode").locator(".node-row", { hasText: /^latent/ })).toContainText(id);
  await canvas.press("Control+Delete");
  await expect(canvas.node(id)).toHaveCount(0);
  await expect(canvas.node("decode").locator(".node-row", { hasText: /^latent/ })).toContainText("denoise");
});

test("what is pasted and undone leaves the saved file byte for byte", async ({ page, browserName: _ }) => {
  const server = new Server();
  const file = join(server.home, "own.json");
  copyFileSync(join(EXAMPLES, "compare_models.json"), file);
  const before = readFileSync(file, "utf8");
  const count = Object.keys((JSON.parse(before) as { nodes: object }).nodes).length;
  expect(count).toBeGreaterThanOrEqual(12);
  try {
    await server.start({ graph: file });
    const { Canvas } = await import("./fixtures.ts");
    const canvas = new Canvas(page, server);
    await canvas.open();
    await canvas.press("Control+a");
    await canvas.press("Control+c");
    await expect(page.locator("footer")).toContainText("Copied");
    await canvas.press("Control+v");
    await expect(page.locator("footer")).toContainText(`Pasted ${count} nodes`);
    await canvas.press("Control+s");
    await expect.poll(() => readFileSync(file, "utf8").length).toBeGreaterThan(before.length);
    await canvas.press("Control+z");
    await canvas.press("Control+s");
    await expect.poll(() => readFileSync(file, "utf8")).toBe(before);
  } finally {
    await server.stop();
  }
});

test("`<` in a prompt lists embeddings and LoRAs: Enter inserts, Esc leaves the text", async ({
  canvas,
  page,
}) => {
  const own = join(canvas.server.home, "models", "embeddings");
  cpSync(join(EXAMPLES, "embeddings"), own, { recursive: true });
  await canvas.open();
  const prompt = canvas.node("positive").getByRole("textbox");
  await prompt.fill("");
  await prompt.pressSequentially("a < b");
  await expect(prompt).toHaveValue("a < b");
  const list = page.getByRole("listbox", { name: "Embeddings and LoRAs" });
  await expect(list).toHaveCount(0);
  await prompt.pressSequentially(" <ru");
  const first = list.getByRole("option").first();
  await expect(first).toContainText("<ruby>");
  await page.keyboard.press("Escape");
  await expect(list).toHaveCount(0);
  await expect(prompt).toHaveValue("a < b <ru");
  await expect(prompt).toBeFocused();
  await prompt.press("Backspace");
  await prompt.pressSequentially("u");
  await expect(first).toBeVisible();
  await page.keyboard.press("Enter");
  await expect(prompt).toHaveValue("a < b <ruby>");
  await prompt.pressSequentially(" star");
  await expect(prompt).toHaveValue("a < b <ruby> star");
});

test("a subgraph opens from its node, and what is changed inside is one step of the document", async ({
  canvas,
  page,
}) => {
  await canvas.open("changed_twice");
  await canvas.node("once").getByTitle("Open the subgraph").click();
  await expect(canvas.node("encode")).toBeVisible();
  await expect(canvas.node("once")).toHaveCount(0);
  await canvas.node("decode").locator(".node-head").hover();
  await canvas.node("decode").getByRole("button", { name: "Switch decode off" }).click();
  await expect(canvas.node("decode")).toHaveAttribute("data-state", "off");
  await canvas.press("Alt+ArrowUp");
  await expect(canvas.node("once")).toBeVisible();
  await canvas.press("Control+z");
  await expect(canvas.node("decode")).not.toHaveAttribute("data-state", "off");
  await page.getByRole("navigation", { name: "Subgraph" }).getByRole("button").first().click();
  await expect(canvas.node("twice")).toBeVisible();
});
