/** Graphs that no person would write: unknown types, markup. */
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

  // A type that exists can take its place: what fits goes there, what does not is named, and undo is one step.
  await canvas.node("sharp").getByRole("button", { name: "Replace with…" }).click();
  await page.getByRole("combobox", { name: "Replace sharp with" }).fill("blurimage");
  await page.keyboard.press("Enter");
  await expect(canvas.node("sharp")).not.toHaveAttribute("data-state", "missing");
  await expect(page.getByRole("status").filter({ hasText: "Left out" })).toContainText("kernel");
  await expect(page.locator('.react-flow__edge[data-id="sharp.image"]')).toHaveCount(1);
  await canvas.press("Control+z");
  await expect(canvas.node("sharp")).toHaveAttribute("data-state", "missing");
});
