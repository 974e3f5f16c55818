/** The controls of inputs: what they say of errors, of prompts and of files. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { type Canvas, expect, ROOT, test } from "./fixtures.ts";

/** Choose a value in the list of a picker; one that is not listed is taken as typed. */
async function pick(canvas: Canvas, node: string, field: RegExp, value: string): Promise<void> {
  await canvas.node(node).getByRole("button", { name: field }).click();
  const search = canvas.page.getByRole("combobox");
  await search.fill(value);
  await search.press("Enter");
}

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
  await expect(page.locator(".grid .cell")).toHaveCount(2, { timeout: 90_000 });
  await canvas.ended();
  await page.keyboard.press("Escape");
  await choose(/^Take the field from the controls/);
  await expect(control).toHaveCount(0);
  await expect(values).toHaveCount(0);
});
