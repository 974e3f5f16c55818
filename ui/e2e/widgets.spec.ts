/** The controls of inputs: what they say of errors, of prompts and of files. */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Canvas, expect, ROOT, test } from "./fixtures.ts";

/** Choose a value in the list of a picker; one that is not listed is taken as typed. */
async function pick(canvas: Canvas, node: string, field: RegExp, value: string): Promise<void> {
  await canvas.node(node).getByRole("button", { name: field }).click();
  const search = canvas.page.getByRole("combobox");
  await search.fill(value);
  await search.press("Enter");
}

test("a button fixes what is surely meant, below the input and in the list, as one step", async ({
  canvas,
  page,
}) => {
  const name = `damaged-${Date.now()}`;
  const graph = JSON.parse(readFileSync(join(ROOT, "graphs", "text_to_image.json"), "utf8"));
  graph.nodes.model.inputs.model = "safelight-tinny";
  graph.nodes.canvas.inputs.widht = 64;
  delete graph.nodes.decode.inputs.vae;
  canvas.server.addGraph(name, JSON.stringify(graph));
  await canvas.open(name);
  const list = page.getByRole("tabpanel");
  await page.getByRole("tab", { name: "Problems" }).click();
  await list.getByRole("button", { name: "Fix: remove widht" }).click();
  await expect(list).not.toContainText("widht");
  // A node shows its missing wires only after the server has refused a run.
  const connect = canvas.node("decode").getByRole("button", { name: "Fix: connect model.vae" });
  await expect(list).toContainText("connect model.vae");
  await expect(connect).toHaveCount(0);
  await canvas.press("Control+Enter");
  await connect.click();
  await expect(page.locator('.react-flow__edge[data-id="decode.vae"]')).toHaveCount(1);
  const field = canvas.node("model").getByRole("button", { name: /^model model:/ });
  const fix = canvas.node("model").getByRole("button", { name: "Fix: use safelight-tiny" });
  const fits = (box: HTMLElement) => box.scrollHeight <= box.clientHeight + 1;
  await expect(fix).toBeVisible();
  expect(await page.locator("#problem-model-model").evaluate(fits)).toBe(true);
  await fix.click();
  await expect(field).toContainText("safelight-tiny");
  await expect(list).toContainText("No problems");
  await canvas.press("Control+z");
  await expect(fix).toBeVisible();
  await canvas.press("Control+Shift+z");
  await expect(list).toContainText("No problems");
});

test("an error stands below its input with the remedy, until the input is changed", async ({
  canvas,
  page,
}) => {
  await canvas.open();
  const height = (await canvas.node("model").boundingBox())?.height ?? 0;
  await pick(canvas, "model", /^model model:/, "nowhere");
  const field = canvas.node("model").getByRole("button", { name: /^model model:/ });
  const problem = page.locator("#problem-model-model");
  await expect(problem).toContainText("nowhere");
  await expect(field).toHaveAttribute("aria-describedby", "problem-model-model");
  const [problems, box] = [problem.locator("p"), await canvas.node("model").boundingBox()];
  await expect(problems).toHaveCount(2); // the sentence and the remedy
  expect(box?.height).toBeGreaterThan(height + 20);
  const inside = await problem.evaluate((element) => element.scrollHeight <= element.clientHeight + 1);
  expect(inside).toBe(true);
  await pick(canvas, "model", /^model model:/, "safelight-tiny");
  await expect(problem).toHaveCount(0);
  await expect(field).not.toHaveAttribute("aria-describedby");
  const name = field.locator(".cut"); // the whole name of the model fits
  expect(await name.evaluate((element) => element.scrollWidth <= element.clientWidth)).toBe(true);
});

test("the tokens of a prompt are counted while it is typed, and what is wrong with it stands beside", async ({
  canvas,
  page,
}) => {
  await canvas.open();
  const field = canvas.node("positive").getByRole("textbox", { name: "positive prompt" });
  const notes = page.locator("#notes-positive-prompt");
  await expect(notes).toHaveText("7 / 75 tokens");
  await field.fill("a red circle");
  await expect(notes).toHaveText("3 / 75 tokens");
  await field.fill("a red circle ".repeat(30));
  await expect(notes).toHaveText("90 / 150 tokens");
  await field.fill("a red circle <lora:ink:0.8>");
  await expect(notes).toContainText("<lora:ink:0.8> has no effect here");
  await expect(field).toHaveAccessibleDescription(/has no effect here.* 3 \/ 75 tokens/);
  await expect(page.locator(".control-title", { hasText: "prompt" }).first()).toContainText("3 / 75");
});

test("a click on the trigger word of a LoRA inserts it into the prompt, once", async ({ canvas }) => {
  const loras = join(canvas.server.home, "models", "loras");
  cpSync(join(ROOT, "graphs", "loras"), loras, { recursive: true });
  await canvas.open("lora_stack");
  await pick(canvas, "shape", /circle-to-star/, "circle-to-star");
  const chip = canvas.node("shape").getByRole("button", { name: "Insert circle into the prompt" });
  const prompt = canvas.node("positive").getByRole("textbox", { name: "positive prompt" });
  await prompt.fill("a red shape");
  await expect(chip).toHaveAttribute("aria-pressed", "false");
  await chip.click();
  await expect(prompt).toHaveValue("a red shape, circle");
  await expect(chip).toHaveAttribute("aria-pressed", "true");
  await chip.click();
  await expect(prompt).toHaveValue("a red shape, circle");
  await canvas.press("Control+z");
  await expect(prompt).toHaveValue("a red shape");
});

test("a menu that is opened low on the page stays on it", async ({ canvas, page }) => {
  await page.setViewportSize({ width: 1024, height: 560 });
  await canvas.open("text_to_image");
  const node = await canvas.node("canvas").boundingBox();
  if (!node) throw new Error("the canvas is not drawn");
  await page.mouse.click(node.x + 40, node.y + 12, { button: "right" });
  const menu = await page.getByRole("menu").boundingBox();
  expect(menu).not.toBeNull();
  expect((menu?.y ?? 0) + (menu?.height ?? 0)).toBeLessThanOrEqual(560);
  expect(menu?.y).toBeGreaterThanOrEqual(0);
  await page.getByRole("menuitem", { name: "Make a subgraph" }).press("End");
  const last = page.getByRole("menuitem").last();
  await expect(last).toBeFocused();
  await expect(last).toBeInViewport({ ratio: 1 });
});

test("a right-click on a field makes it a control, sweeps it, and takes it back", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const field = canvas.node("denoise").getByRole("textbox", { name: "denoise strength" });
  const control = page.getByRole("button", { name: "strength", exact: true });
  const choose = async (item: RegExp) => {
    await field.click({ button: "right" });
    await page.getByRole("menuitem", { name: item }).click();
  };
  await choose(/^Make the field a control/);
  await expect(control).toBeVisible();
  await expect(canvas.node("denoise").getByLabel("strength, one of the controls")).toBeVisible();
  await canvas.press("Control+z");
  await expect(control).toHaveCount(0);
  await choose(/^Sweep the field/);
  await expect(control).toBeVisible();
  const values = page.getByLabel("Values of strength");
  await expect(values).toBeFocused();
  await values.fill("0.5, 1");
  await page.getByRole("button", { name: "Run 2 combinations" }).click();
  await expect(page.locator(".grid .cell")).toHaveCount(2);
  await canvas.ended();
  await page.keyboard.press("Escape");
  await choose(/^Take the field from the controls/);
  await expect(control).toHaveCount(0);
  await expect(values).toHaveCount(0);
});

test("a mask is painted on a picture, undone, erased, and used by the graph", async ({ canvas, page }) => {
  await canvas.open("masked_image_to_image");
  const node = canvas.node("picture");
  await expect(node.getByRole("button", { name: /paint a mask/ })).toHaveCount(0);
  const file = join(ROOT, "graphs", "pictures", "green-star.png");
  await node.locator("input[type=file]").setInputFiles(file);
  await expect(node.getByRole("textbox", { name: "picture image" })).toHaveValue("green-star.png");
  await node.getByRole("button", { name: /paint a mask/ }).click();
  const brush = page.getByRole("region", { name: "Mask brush" });
  const area = brush.locator(".mask-layers");
  const box = await area.boundingBox();
  if (!box) throw new Error("there is no picture");
  const stroke = async (y: number) => {
    await page.mouse.move(box.x + box.width * 0.2, box.y + box.height * y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * y, { steps: 3 });
    await page.mouse.up();
  };
  await stroke(0.25);
  await stroke(0.75);
  const size = brush.getByRole("slider", { name: "Size of the brush" });
  const before = Number(await size.inputValue());
  await page.keyboard.press("]");
  await expect(size).toHaveValue(String(before + 1));
  await page.keyboard.press("[");
  await page.keyboard.press("Control+z"); // takes the lower stroke back
  await page.keyboard.press("Escape"); // what is painted stays
  await expect(brush).toHaveCount(0);
  await node.getByRole("button", { name: /paint a mask/ }).click();
  await brush.getByRole("button", { name: "Use the mask" }).click();
  const mask = canvas.node("mask").getByRole("textbox", { name: "mask image" });
  await expect(mask).toHaveValue(/^sha256:/);
  const digest = (await mask.inputValue()).replace("sha256:", "");
  const levels = await page.evaluate(async (url) => {
    const picture = await createImageBitmap(await (await fetch(url)).blob());
    const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    context?.drawImage(picture, 0, 0);
    const level = (x: number, y: number) =>
      context?.getImageData(picture.width * x, picture.height * y, 1, 1).data[0];
    return [level(0.5, 0.25), level(0.5, 0.75), level(0.02, 0.25)];
  }, `/api/v1/blobs/${digest}`);
  expect(levels).toEqual([255, 0, 0]);
  await canvas.press("Control+z");
  await expect(mask).toHaveValue("pictures/right-half.png");
});
