/** The page without a mouse, for screen readers, and while typing. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, test } from "./fixtures.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The serious findings of axe on the page as it is now. */
async function findings(page: import("@playwright/test").Page): Promise<string[]> {
  return page.evaluate(async (source) => {
    if (!("axe" in window)) new Function(source)();
    const { axe } = window as unknown as {
      axe: {
        run(): Promise<{
          violations: { id: string; impact: string; nodes: { html: string; failureSummary?: string }[] }[];
        }>;
      };
    };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary ?? ""}`),
      );
  }, AXE);
}

test("with the keyboard alone a person adds, wires, edits, runs and saves @fast", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  await canvas.press("Shift+A");
  await canvas.choose("saveimage");
  await expect(canvas.node("save-image")).toHaveClass(/selected/);

  // Tab walks through the nodes in reading order; K wires from a list.
  await canvas.find("decode");
  await page.keyboard.press("k");
  await canvas.choose("save-image");
  await expect(page.locator('.react-flow__edge[data-id="save-image.image"]')).toHaveCount(1);

  // Enter goes into the fields of a node, Esc out of them.
  await canvas.find("positive");
  await page.keyboard.press("Enter");
  const prompt = canvas.node("positive").locator("textarea");
  await expect(prompt).toBeFocused();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("a blue heart on a white background");
  const before = (await canvas.runs()).length;
  await page.keyboard.press("Control+Enter");
  await page.keyboard.press("Escape");
  await expect(canvas.node("positive")).toBeFocused();
  await expect.poll(async () => (await canvas.runs()).length).toBe(before + 1);
  expect((await canvas.ended()).state).toBe("done");

  await page.keyboard.press("Control+s");
  const name = `keys-${Date.now()}`;
  await expect(page.getByRole("dialog").getByRole("textbox")).toBeFocused();
  await page.keyboard.press("Control+a");
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("document-state")).toHaveText("Saved");
  const { graph } = await canvas.server.get<{ graph: { inputs: { prompt: { default: string } } } }>(
    `/graphs/${name}`,
  );
  expect(graph.inputs.prompt.default).toBe("a blue heart on a white background");
});

test("axe finds no serious fault, in dark and light, with each drawer and dialog @fast", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  for (const scheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    expect(await findings(page)).toEqual([]);
  }
  for (const drawer of ["Add", "Graphs", "Outputs", "Models"]) {
    await page.getByRole("navigation", { name: "Drawers" }).getByRole("button", { name: drawer }).click();
    await expect(page.locator(".drawer")).toBeVisible();
    expect(await findings(page)).toEqual([]);
  }
  await page.keyboard.press("Escape");
  for (const tab of ["Node", "Problems"]) {
    await page.getByRole("tab", { name: tab }).click();
    expect(await findings(page)).toEqual([]);
  }
  for (const keys of ["Control+k", "?", "Space"]) {
    await canvas.press(keys);
    await expect(page.locator(".pop").first()).toBeVisible();
    expect(await findings(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await expect(page.locator(".pop")).toHaveCount(0);
  }
});

test("axe finds no serious fault in the view of a dataset, in dark and light, also while typing", async ({
  canvas,
  page,
}) => {
  await canvas.open("train_lora");
  await canvas.find("pictures");
  await page.keyboard.press("d");
  const cells = page.getByRole("region", { name: "Dataset" }).getByRole("gridcell");
  await expect(cells.first()).toBeVisible();
  for (const scheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    expect(await findings(page)).toEqual([]);
  }
  await cells.first().click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.press("Tab");
  expect(await findings(page)).toEqual([]);
});

test("the arrow keys go round the ends of every list, and an empty list does nothing", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const openers = [
    () => canvas.press("Control+k"),
    () => canvas.press("Space"),
    () =>
      canvas
        .node("denoise")
        .getByRole("button", { name: /^denoise sampler:/ })
        .click(),
  ];
  const field = page.getByRole("combobox");
  const options = page.getByRole("option");
  const active = page.locator("[role=option][aria-selected=true]");
  for (const open of openers) {
    await open();
    await expect(field).toBeFocused();
    await expect(active).toHaveCount(1);
    const count = await options.count();
    const isActive = async (place: number) => {
      await expect(options.nth(place)).toHaveAttribute("aria-selected", "true");
      await expect(active).toBeInViewport();
      await expect(field).toHaveAttribute(
        "aria-activedescendant",
        (await active.getAttribute("id")) ?? "none",
      );
    };
    const start = await options.evaluateAll((all) => all.findIndex((row) => row.ariaSelected === "true"));
    for (let back = start; back > 0; back--) await page.keyboard.press("ArrowUp");
    await isActive(0);
    await page.keyboard.press("ArrowUp");
    await isActive(count - 1);
    await page.keyboard.press("ArrowDown");
    await isActive(0);
    await page.keyboard.press("ArrowDown");
    await isActive(1);
    await page.keyboard.type("zzz");
    await expect(options).toHaveCount(0);
    await expect(field).not.toHaveAttribute("aria-activedescendant");
    for (const key of ["ArrowDown", "ArrowUp", "Enter"]) await page.keyboard.press(key);
    await expect(field).toBeFocused();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Backspace");
    await isActive(0);
    await page.keyboard.press("Escape");
    await expect(field).toHaveCount(0);
  }
});

test("undo works outside of fields, and the keys of the canvas rest while the view of trainings covers it", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const guidance = page.getByRole("slider", { name: "guidance, slider" });
  const before = await guidance.inputValue();
  await guidance.press("ArrowRight");
  await expect(guidance).not.toHaveValue(before);
  await page.keyboard.press("Control+z");
  await expect(guidance).toHaveValue(before);
  const count = await canvas.nodes.count();
  await canvas.press("Control+a");
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await expect(page.locator(".train")).toBeVisible();
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("Delete");
  await page.getByRole("button", { name: /^Back to/ }).click();
  await expect(canvas.nodes).toHaveCount(count);
});

test("every letter can be typed in every field without doing anything else @fast", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const count = await canvas.nodes.count();
  const letters = "abcdefghijklmnopqrstuvwxyz .?[]<";
  const fields = [
    canvas.node("positive").locator("textarea"),
    page.getByRole("textbox", { name: "prompt", exact: true }),
    page.getByLabel("Title of the graph"),
  ];
  for (const field of fields) {
    await field.fill("");
    await field.pressSequentially(letters);
    await expect(field).toHaveValue(letters);
    await field.press("Backspace");
    await field.press("Delete");
  }
  await expect(canvas.nodes).toHaveCount(count);
  await expect(page.locator("[role=dialog]")).toHaveCount(0);
});
