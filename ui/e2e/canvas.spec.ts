/** What the canvas draws: wires from socket to socket, near and far. */
import { type Canvas, expect, test } from "./fixtures.ts";

/** For each wire in view, how far its ends are from the middles of its sockets, in px of the screen. */
function gaps(canvas: Canvas): Promise<number[]> {
  return canvas.page.evaluate(() =>
    [...document.querySelectorAll<SVGElement>(".react-flow__edge")].flatMap((wire) => {
      const path = wire.querySelector<SVGPathElement>(".wire-line");
      const [node = "", input = ""] = wire.dataset.id?.split(".") ?? [];
      const matrix = path?.getScreenCTM();
      if (!path || !matrix) return [Number.POSITIVE_INFINITY];
      const point = (length: number) => path.getPointAtLength(length).matrixTransform(matrix);
      const distance = (at: DOMPoint, sockets: string) => {
        const found = [...document.querySelectorAll(sockets)].map((socket) => {
          const box = socket.getBoundingClientRect();
          return Math.hypot(box.x + box.width / 2 - at.x, box.y + box.height / 2 - at.y);
        });
        return Math.min(...found);
      };
      return [
        distance(point(0), ".socket.source"),
        distance(point(path.getTotalLength()), `[data-nodeid="${node}"][data-handleid="${input}"].target`),
      ];
    }),
  );
}

test("wires end in the middle of their sockets, also with larger text and at collapsed nodes", async ({
  canvas,
  page,
}) => {
  await canvas.open("lora_stack");
  await canvas.node("positive").locator(".node-head").click();
  await canvas.press("h");
  await expect(canvas.node("positive")).toHaveClass(/collapsed/);
  expect(await canvas.page.locator(".react-flow__edge").count()).toBe(12);
  expect(Math.max(...(await gaps(canvas)))).toBeLessThan(1.5);
  await page.evaluate(() => {
    localStorage.setItem("safelight.view", JSON.stringify({ state: { textScale: 1.5 }, version: 1 }));
  });
  await canvas.open("lora_stack");
  expect(Math.max(...(await gaps(canvas)))).toBeLessThan(1.5);
});

test("a graph that opens in a far zoom has its wires and titles, and they stay when it comes near", async ({
  canvas,
  page,
}) => {
  await canvas.open("compare_models");
  await expect(page.locator(".far-node")).toHaveCount(16);
  await expect(page.locator(".far-node").filter({ hasText: "positive" })).toBeVisible();
  const wires = (await page.locator(".far-wires path").getAttribute("d"))?.match(/M/g)?.length;
  const { graph } = await canvas.server.get<{ graph: { nodes: object } }>("/graphs/compare_models");
  expect(wires).toBe(JSON.stringify(graph.nodes).match(/"from":/g)?.length);
  await canvas.node("positive").click();
  await canvas.find("positive");
  await expect(canvas.node("positive").locator(".node-head")).toBeVisible();
  await expect(page.locator('.react-flow__edge[data-id="positive.encoder"]')).toHaveCount(1);
});

test("a wire bends where it is double-clicked; the bend moves and goes, and undo takes back each step", async ({
  canvas,
  page,
}) => {
  const bends = async () => (await canvas.draft())?.view?.waypoints ?? {};
  await canvas.open("text_to_image");
  const wire = page.locator('.react-flow__edge[data-id="denoise.latent"]');
  const middle = await wire.locator(".wire-line").evaluate((line) => {
    const path = line as unknown as SVGPathElement;
    const at = path
      .getPointAtLength(path.getTotalLength() / 2)
      .matrixTransform(path.getScreenCTM() ?? undefined);
    return { x: at.x, y: at.y };
  });
  await page.mouse.dblclick(middle.x, middle.y);
  const point = page.getByRole("button", { name: "Bend 1 of the wire into denoise.latent" });
  await expect(point).toBeVisible();
  await expect.poll(bends).toMatchObject({ "denoise.latent": [[expect.any(Number), expect.any(Number)]] });
  const before = (await bends())["denoise.latent"]?.[0] ?? [0, 0];
  await page.mouse.move(middle.x, middle.y);
  await page.mouse.down();
  await page.mouse.move(middle.x + 40, middle.y - 80, { steps: 4 });
  await page.mouse.up();
  await expect.poll(async () => (await bends())["denoise.latent"]?.[0]?.[1]).toBeLessThan(before[1] ?? 0);
  await page.keyboard.press("Delete");
  await expect(point).toHaveCount(0);
  await expect(wire).toHaveCount(1);
  await canvas.press("Control+z");
  await canvas.press("Control+z");
  await expect.poll(async () => (await bends())["denoise.latent"]?.[0]).toEqual(before);
});

test("a wire is bent by keyboard alone, and each step is announced", async ({ canvas, page }) => {
  const bends = async () => (await canvas.draft())?.view?.waypoints?.["denoise.latent"];
  const status = page.locator("footer [role=status]");
  await canvas.open("text_to_image");
  await canvas.find("denoise");
  await expect(async () => {
    await page.keyboard.press("w");
    await expect(status).toContainText("denoise.latent", { timeout: 200 });
  }).toPass();
  await page.keyboard.press("Shift+W");
  const first = page.getByRole("button", { name: "Bend 1 of the wire into denoise.latent" });
  await expect(first).toBeFocused();
  await expect(status).toContainText("Bend 1");
  await expect.poll(bends).toHaveLength(1);
  const [x = 0, y = 0] = (await bends())?.[0] ?? [];
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowUp");
  await expect(status).toContainText(`${x + 8}, ${y - 8}`);
  await expect.poll(bends).toEqual([[x + 8, y - 8]]);
  await page.keyboard.press("Shift+W");
  await expect.poll(bends).toHaveLength(2);
  await expect(page.getByRole("button", { name: /^Bend \d of the wire/ })).toHaveCount(2);
  await page.keyboard.press("Delete");
  await expect.poll(bends).toHaveLength(1);
  await expect(page.locator("[data-canvas]")).toBeFocused();
  await expect(page.locator('.react-flow__edge[data-id="denoise.latent"]')).toHaveCount(1);
});

test("a right-click makes an output of a node one of the graph, which a run writes", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  await page.getByRole("textbox", { name: "steps", exact: true }).fill("2");
  const row = canvas.node("denoise").locator('[data-output="latent"]');
  await row.click({ button: "right" });
  await page.getByRole("menuitem", { name: "Make the output one of the graph" }).click();
  await expect(row.getByRole("img", { name: /^latent, / })).toBeVisible();
  const { id } = await canvas.run();
  const { graph } = await canvas.server.get<{ graph: { outputs: object } }>(`/runs/${id}`);
  expect(graph.outputs).toMatchObject({ latent: { from: "denoise.latent" } });
  await row.click({ button: "right" });
  await page.getByRole("menuitem", { name: "Take the output from those of the graph" }).click();
  await expect(row.getByRole("img")).toHaveCount(0);
});
