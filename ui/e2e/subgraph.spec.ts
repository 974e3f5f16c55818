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
  // All was reused, so the preview is the one of the run before.
  await expect(canvas.node("denoise").locator(".node-picture img")).toBeVisible();
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

test("a picture stays with its result when its node goes into a subgraph, and out again", async ({
  canvas,
}) => {
  await canvas.open("text_to_image");
  expect((await canvas.run()).state).toBe("done");
  const picture = (node: string) => canvas.node(node).locator(".node-picture img");
  const url = (await picture("decode").getAttribute("src")) ?? "";
  expect(url).toContain("/outputs/");
  await canvas.node("decode").locator(".node-head").click();
  await canvas.press("Control+Shift+G");
  await expect(picture("group")).toHaveAttribute("src", url);
  await canvas.press("Alt+ArrowDown");
  await expect(picture("decode")).toHaveAttribute("src", url);
  await canvas.press("Alt+ArrowUp");
  await canvas.node("group").locator(".node-head").click({ button: "right" });
  await canvas.page.getByRole("menuitem", { name: "Unpack the subgraph" }).click();
  await expect(picture("decode")).toHaveAttribute("src", url);
});

test("a pan by the map stays when the canvas changes its size, as one on the canvas does", async ({
  canvas,
  page,
}) => {
  const view = () => page.locator(".react-flow__viewport").evaluate((element) => element.style.transform);
  await canvas.open("text_to_image");
  const fitted = await view();
  await canvas.press("i");
  await expect.poll(view).not.toBe(fitted);
  await canvas.press("i");
  await expect.poll(view).toBe(fitted);
  await page.getByRole("button", { name: "Map of the graph" }).click();
  const map = await page.locator(".react-flow__minimap").boundingBox();
  if (!map) throw new Error("there is no map");
  await page.mouse.move(map.x + map.width / 2, map.y + map.height / 2);
  await page.mouse.down();
  await page.mouse.move(map.x + map.width / 2 + 20, map.y + map.height / 2 + 10, { steps: 4 });
  await page.mouse.up();
  const moved = await view();
  expect(moved).not.toBe(fitted);
  await canvas.press("i");
  await expect(page.locator(".frame > aside")).toHaveCount(0);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  expect(await view()).toBe(moved);
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
