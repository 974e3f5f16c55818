/** Graphs that no person would write: unknown types, markup, a thousand nodes. */
import { readFileSync } from "node:fs";
import { expect, test } from "./fixtures.ts";

const MARKUP = "<img src=x onerror=alert(1)><b>bold</b>";

test("unknown types show as placeholders, markup stays text, and saving keeps both", async ({
  canvas,
  page,
}) => {
  const name = `strange-${Date.now()}`;
  const text = `${JSON.stringify(
    {
      safelight: 1,
      title: MARKUP,
      outputs: { image: { from: "sharp.out" } },
      nodes: {
        picture: { type: "SolidImage@1" },
        sharp: {
          type: "Sharpen@4",
          title: MARKUP,
          inputs: { image: { from: "picture.out" }, radius: 2.5, kernel: { value: { a: 1 } } },
        },
      },
      layout: { picture: [0, 0], sharp: [320, 0] },
      view: { notes: { note: { text: MARKUP, at: [0, 300] } } },
    },
    null,
    1,
  )}\n`;
  const path = canvas.server.addGraph(name, text);
  page.on("dialog", () => expect("a script of the graph").toBe("not run"));
  await canvas.open(name);

  await expect(canvas.node("sharp")).toHaveAttribute("data-state", "missing");
  await expect(canvas.node("sharp").locator(".node-title")).toHaveText(MARKUP);
  await expect(page.getByLabel("Text of the note")).toHaveValue(MARKUP);
  await expect(page.locator("main img[src='x'], main b:text('bold')")).toHaveCount(0);
  await expect(page.locator('.react-flow__edge[data-id="sharp.image"]')).toHaveCount(1);

  // A run lists the type as a problem, and saving an edit keeps what is not understood.
  await canvas.press("Control+Enter");
  await expect(page.getByRole("tabpanel")).toContainText("Sharpen");
  expect((await canvas.runs()).filter((run) => run.document?.startsWith(name))).toEqual([]);
  await canvas.node("picture").locator(".node-head").click();
  await canvas.press("ArrowRight");
  await canvas.press("Control+s");
  await expect(page.getByTestId("document-state")).toHaveText("Saved");
  const saved = JSON.parse(readFileSync(path, "utf8"));
  expect(saved).toEqual({ ...JSON.parse(text), layout: { picture: [8, 0], sharp: [320, 0] } });
});

test("a thousand nodes open, move and are saved with few elements on the page", async ({ canvas, page }) => {
  test.slow();
  const name = `large-${Date.now()}`;
  const nodes: Record<string, object> = { model: { type: "LoadModel@1" } };
  const layout: Record<string, number[]> = { model: [-320, 0] };
  for (let i = 0; i < 999; i += 1) {
    nodes[`prompt-${i}`] = {
      type: "EncodePrompt@2",
      inputs: { encoder: { from: "model.encoder" }, prompt: `number ${i}` },
    };
    layout[`prompt-${i}`] = [(i % 40) * 300, Math.floor(i / 40) * 260];
  }
  const path = canvas.server.addGraph(name, `${JSON.stringify({ safelight: 1, nodes, layout })}\n`);
  await canvas.open(name);
  await expect(page.locator(".far-node").first()).toBeVisible();

  await canvas.press("Control+f");
  await page.keyboard.type("prompt-500");
  await page.keyboard.press("Enter");
  await expect(canvas.node("prompt-500")).toBeFocused();
  await page.getByTitle("Zoom to 100 %").click();
  await expect(page.getByTitle("Zoom to 100 %")).toHaveText("100 %");
  await expect(canvas.node("prompt-500")).toBeVisible();
  expect(await page.locator("*").count()).toBeLessThanOrEqual(2000);

  const [x] = layout["prompt-500"] ?? [0];
  await canvas.node("prompt-500").focus();
  await page.keyboard.press("Shift+ArrowRight");
  await canvas.press("Control+s");
  await expect(page.getByTestId("document-state")).toHaveText("Saved");
  const saved = JSON.parse(readFileSync(path, "utf8"));
  expect(Object.keys(saved.nodes)).toHaveLength(1000);
  expect(saved.layout["prompt-500"][0]).toBe((x ?? 0) + 64);
});
