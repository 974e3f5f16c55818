/** A training as a person follows it. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { expect, type GraphJson, ROOT, test } from "./fixtures.ts";

test("curves and samples appear live, a stop keeps a checkpoint, and the LoRA can be used", async ({
  canvas,
  page,
}) => {
  test.slow();
  await canvas.open("train_lora");
  await page.getByRole("textbox", { name: "steps", exact: true }).fill("400");
  await canvas.node("train").locator(".node-head").click();
  await page.getByRole("tab", { name: "Node" }).click();
  const panel = page.getByRole("tabpanel");
  await panel.getByRole("textbox", { name: "train sample every", exact: true }).fill("2");
  await panel.getByRole("textbox", { name: "train copy every", exact: true }).fill("2");
  await canvas.press("Control+Enter");
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await expect(page.locator(".curve.smooth")).toHaveAttribute("d", /L/);
  await expect(page.locator(".matrix thead th")).not.toHaveCount(0);
  await expect.poll(() => page.locator(".matrix thead th").count()).toBeGreaterThanOrEqual(2);
  // The pictures of the training can be seen while it runs, and not changed.
  await page.getByRole("button", { name: /^View the dataset/ }).click();
  const pictures = page.getByRole("region", { name: "Dataset" }).getByRole("gridcell");
  await expect(pictures.first()).toContainText("a pink circle on a brown background");
  await pictures.first().click();
  await expect(pictures.first().getByRole("textbox")).toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(pictures).toHaveCount(0);
  await page.getByRole("button", { name: "Stop after this step" }).click();
  const isActive = (run: { state: string }) => run.state === "queued" || run.state === "running";
  await expect.poll(async () => (await canvas.runs()).some(isActive)).toBe(false);
  await expect(page.locator(".mark-line.resume")).toHaveCount(0);
  // Run again, it goes on from the checkpoint: the curve shows the steps before, and the place.
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await canvas.press("Control+Enter");
  await page.getByRole("button", { name: "Train", exact: true }).click();
  const resume = page.locator(".mark-line.resume");
  await expect(resume).toHaveCount(1);
  await expect(resume).toContainText(/Continued at step \d+/);
  const starts = (curve: string | null) => Number(/^M([\d.]+)/.exec(curve ?? "")?.[1]);
  const from = Number(await resume.getAttribute("x1"));
  expect(starts(await page.locator(".curve.smooth").getAttribute("d"))).toBeLessThan(from);
  await page.getByRole("button", { name: "Stop after this step" }).click();
  await expect.poll(async () => (await canvas.runs()).some(isActive)).toBe(false);
  const use = page.locator(".checkpoint").getByRole("button", { name: "Use in graph" }).first();
  await use.click();
  await expect(canvas.node("apply-lora").locator(".stack-name")).toHaveText(/^framed/);
  expect((await canvas.run()).state).toBe("done");
});

test("a form starts a training with the values that were set, and says what is wrong with them", async ({
  canvas,
  page,
}) => {
  test.slow();
  const hearts = join(ROOT, "graphs", "hearts");
  cpSync(hearts, join(canvas.server.home, "inputs", "glims"), { recursive: true });
  await canvas.open("text_to_image");
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await page.getByRole("button", { name: "New training" }).click();
  const form = page.getByRole("form", { name: "New training" });
  const before = (await canvas.runs()).length;
  await form.getByRole("radio", { name: /^Embedding/ }).check();
  const pick = async (folder: string) => {
    await form.getByRole("button", { name: /^folder/ }).click();
    await page.getByRole("combobox").fill(folder);
    await page.keyboard.press("Enter");
  };
  await pick("no-such-folder");
  await form.getByRole("textbox", { name: "steps" }).fill("3");
  await form.getByRole("button", { name: "Start the training" }).click();
  await expect(form.getByRole("alert")).toContainText("no-such-folder");
  await expect(form.getByRole("alert")).toContainText(join(canvas.server.home, "inputs"));
  expect(await canvas.runs()).toHaveLength(before);
  await pick("glims");
  // A training that fails says why, and its settings can be corrected.
  await form.getByRole("textbox", { name: "name" }).fill("../evil");
  await form.getByRole("button", { name: "Start the training" }).click();
  const failed = page.getByRole("region", { name: "Train an embedding" });
  await expect(failed.getByRole("alert")).toContainText(
    "'../evil' cannot be the name of a file. Use letters",
  );
  await expect(page.getByRole("region", { name: "Trainings" })).toContainText("Train an embedding");
  await failed.getByRole("button", { name: "Correct the settings" }).click();
  await expect(form.getByRole("button", { name: /^folder/ })).toContainText("glims");
  await expect(form.getByRole("textbox", { name: "name" })).toHaveValue("../evil");
  await expect(form.getByRole("alert")).toContainText("'../evil'");
  await form.getByRole("textbox", { name: "name" }).fill("glim");
  await form.getByRole("button", { name: "Start the training" }).click();
  await expect.poll(async () => (await canvas.runs()).length).toBe(before + 2);
  const [run] = await canvas.runs();
  const { graph } = await canvas.server.get<{ graph: GraphJson }>(`/runs/${run?.id}`);
  expect(graph.inputs).toMatchObject({
    folder: { default: "glims" },
    name: { default: "glim" },
    steps: { default: 3 },
  });
  await expect(page.getByRole("region", { name: "Train an embedding" })).toBeVisible();
  // The result is there to download, and its word works in a prompt.
  const side = page.getByRole("complementary", { name: "Details of the training" });
  await expect(side).toContainText("outputs/embeddings/glim.safetensors", { timeout: 120_000 });
  await expect(side).toContainText("write <glim>");
  const download = page.waitForEvent("download");
  await side.getByRole("link", { name: "Download" }).click();
  expect((await download).suggestedFilename()).toBe("glim.safetensors");
  await side.getByRole("button", { name: "Use in graph" }).click();
  await expect(canvas.node("load-embeddings")).toBeVisible();
  await page.getByRole("textbox", { name: "prompt", exact: true }).fill("a <glim> on a table");
  const used = await canvas.run();
  expect(used).toMatchObject({ state: "done" });
  const { warnings } = await canvas.server.get<{ warnings: unknown[] }>(`/runs/${used.id}`);
  expect(warnings).toEqual([]);
});
