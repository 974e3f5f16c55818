/** Subgraphs: the engine gives a node the same key inside one as outside, so runs after each change compute nothing. */
import { type Canvas, expect, test } from "./fixtures.ts";

async function computed(canvas: Canvas): Promise<string[]> {
  const { id, state } = await canvas.run();
  expect(state).toBe("done");
  const { nodes } = await canvas.server.get<{ nodes: Record<string, { state: string }> }>(`/runs/${id}`);
  return Object.keys(nodes).filter((path) => nodes[path]?.state === "done");
}

test("nodes become a subgraph, whose ports can be renamed, and which is unpacked again", async ({
  canvas,
  page,
}) => {
  test.slow();
  await canvas.open("text_to_image");
  await page.getByRole("textbox", { name: "steps", exact: true }).fill("3");
  expect(await computed(canvas)).not.toEqual([]);
  await canvas.node("positive").locator(".node-head").click();
  for (const id of ["negative", "denoise"]) {
    await canvas
      .node(id)
      .locator(".node-head")
      .click({ modifiers: ["Control"] });
  }
  await canvas.press("Control+Shift+G");
  await expect(canvas.nodes).toHaveCount(4);
  await expect(canvas.node("group")).toBeVisible();
  expect(await computed(canvas)).toEqual([]);

  await canvas.press("Alt+ArrowDown");
  await expect(page.getByRole("navigation", { name: "Subgraph" })).toContainText("group");
  await expect(canvas.nodes).toHaveCount(3);
  expect(await canvas.states()).toEqual({ positive: "cached", negative: "cached", denoise: "cached" });
  // All was reused, so there is no preview, nor an empty frame for one.
  await expect(canvas.node("denoise").locator(".node-picture")).toHaveCount(0);
  await page.getByRole("tab", { name: "Controls" }).click();
  const outputs = page.getByLabel("Outputs of the subgraph");
  await outputs.getByRole("button", { name: "Rename" }).click();
  await outputs.getByRole("textbox").fill("noiseless");
  await page.keyboard.press("Enter");
  await page.getByRole("navigation", { name: "Subgraph" }).getByRole("button").first().click();
  await expect(canvas.socket("group", "noiseless", "source")).toBeVisible();
  await expect(page.locator('.react-flow__edge[data-id="decode.latent"]')).toHaveCount(1);
  expect(await computed(canvas)).toEqual([]);

  await canvas.node("group").locator(".node-head").click({ button: "right" });
  await page.getByRole("menuitem", { name: "Unpack the subgraph" }).click();
  await expect(canvas.nodes).toHaveCount(6);
  expect(await computed(canvas)).toEqual([]);
  await canvas.press("Control+z");
  await expect(canvas.nodes).toHaveCount(4);
});

test("a graph keeps its pan and zoom while a subgraph or the Train view is shown", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const view = () => page.locator(".react-flow__viewport").evaluate((element) => element.style.transform);
  /** The view after it has changed and come to rest. */
  const changed = async (before: string) => {
    let last = before;
    await expect
      .poll(async () => {
        const [now, then] = [await view(), last];
        last = now;
        return now === then && now !== before;
      })
      .toBe(true);
    return last;
  };
  await canvas.node("positive").locator(".node-head").click();
  await canvas.press("Control+Shift+G");
  await expect(canvas.node("group")).toBeVisible();
  await page.locator(".react-flow__pane").hover({ position: { x: 20, y: 20 } });
  const whole = await view();
  await page.mouse.wheel(0, 200);
  const parent = await changed(whole);

  await canvas.press("Alt+ArrowDown");
  await expect(canvas.nodes).toHaveCount(1);
  const fitted = await changed(parent);
  await page.mouse.wheel(0, 100);
  const inner = await changed(fitted);
  await canvas.press("Alt+ArrowUp");
  await expect(canvas.node("group")).toBeVisible();
  await expect.poll(view).toBe(parent);
  await canvas.node("group").getByTitle("Open the subgraph").click();
  await expect.poll(view).toBe(inner);
  await canvas.press("Alt+ArrowUp");
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await page.getByRole("button", { name: /^Back to/ }).click();
  await expect.poll(view).toBe(parent);
});
