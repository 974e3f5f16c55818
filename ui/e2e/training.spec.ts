/** A training as a person follows it. */
import { expect, test } from "./fixtures.ts";

test("curves and samples appear live, a stop keeps a checkpoint, and the LoRA can be used", async ({
  canvas,
  page,
  server,
}) => {
  test.slow();
  const { graph } = await server.get<{
    graph: {
      nodes: Record<string, { inputs: Record<string, unknown> }>;
      inputs: Record<string, { default: unknown }>;
    };
  }>("/graphs/train_lora");
  Object.assign(graph.nodes.train!.inputs, { sample_every: 2, copy_every: 2, samples: "a ring" });
  graph.inputs.steps!.default = 400;
  await fetch(new URL("/api/v1/graphs/training", server.url), {
    method: "PUT",
    headers: { Authorization: `Bearer ${server.token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ graph }),
  });
  await canvas.open("training");
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
  await expect(page.locator(".checkpoint").first()).toBeVisible();
});
