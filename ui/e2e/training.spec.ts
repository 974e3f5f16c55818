/** A training as a person follows it. */
import { expect, test } from "./fixtures.ts";

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
  await expect(page.locator(".curve.smooth")).toHaveAttribute("d", /L/, { timeout: 90_000 });
  await expect(page.locator(".matrix thead th")).not.toHaveCount(0);
  await expect
    .poll(() => page.locator(".matrix thead th").count(), { timeout: 90_000 })
    .toBeGreaterThanOrEqual(2);
  await page.getByRole("button", { name: "Stop after this step" }).click();
  const isActive = (run: { state: string }) => run.state === "queued" || run.state === "running";
  await expect.poll(async () => (await canvas.runs()).some(isActive), { timeout: 90_000 }).toBe(false);
  const use = page.locator(".checkpoint").getByRole("button", { name: "Use in graph" }).first();
  await use.click();
  await expect(canvas.node("apply-lora")).toBeVisible();
  expect((await canvas.run()).state).toBe("done");
});
