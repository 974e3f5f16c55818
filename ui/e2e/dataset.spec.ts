/** The view of a dataset: captions are edited in the graph, never in the folder of the pictures. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Canvas, expect, ROOT, test } from "./fixtures.ts";

const HOSTILE = `"a" <b>mug</b> 🦊 \\n {"x": 1}`;

/** A folder of small pictures in the home, without captions of their own; returns its path. */
function makeFolder(canvas: Canvas, name: string, files: readonly string[]): string {
  const folder = join(canvas.server.home, "inputs", name);
  const examples = join(ROOT, "graphs", "framed");
  const pictures = readdirSync(examples).filter((file) => file.endsWith(".png"));
  for (const [at, file] of files.entries()) {
    mkdirSync(join(folder, file, ".."), { recursive: true });
    copyFileSync(join(examples, pictures[at % pictures.length] ?? ""), join(folder, file));
  }
  return folder;
}

const graphOf = (folder: string, more: object = {}) =>
  JSON.stringify({
    safelight: 1,
    nodes: { load: { type: "LoadDataset@2", inputs: { folder } }, ...more },
    layout: { load: [0, 0] },
  });

test("a caption is edited by keyboard, held by a node behind, undone, saved, and reaches the run", async ({
  canvas,
  page,
}) => {
  const folder = makeFolder(canvas, "mugs", ["1-a mug.png", "blue/cup.png", "red/cup.png"]);
  writeFileSync(join(folder, "broken.png"), "no picture");
  writeFileSync(join(folder, "1-a mug.txt"), "  ");
  const before = readdirSync(folder, { recursive: true }).sort();
  const clean = {
    type: "EditCaptions@1",
    inputs: { dataset: { from: "load.out" }, find: "mug", replace: "cup" },
  };
  const save = { type: "SaveDataset@1", inputs: { dataset: { from: "clean.out" }, folder: "result" } };
  canvas.server.addGraph("mugs", graphOf("mugs", { clean, save }));
  await canvas.open("mugs");
  await canvas.find("load");
  await page.keyboard.press("d");
  const view = page.getByRole("region", { name: "Dataset" });
  const cells = view.getByRole("gridcell");
  await expect(cells).toHaveCount(3);
  await expect(view.getByText("1 note")).toBeVisible();
  await view.getByRole("button", { name: /^Without caption/ }).click();
  await expect(cells).toHaveCount(1);
  await view.getByRole("button", { name: /^All/ }).click();

  await cells.first().focus();
  await page.keyboard.press("ArrowRight");
  await expect(cells.nth(1)).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("textbox", { name: "Caption of blue/cup.png" })).toBeFocused();
  await page.keyboard.press("Control+a");
  await page.keyboard.type(HOSTILE);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("textbox", { name: "Caption of red/cup.png" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(cells.nth(1)).toContainText(HOSTILE);
  await expect(cells.nth(2)).toBeFocused();

  const held = async () => {
    const graph = await canvas.draft();
    return {
      captions: (graph?.nodes["set-captions"]?.inputs?.by_name as { value?: unknown } | undefined)?.value,
      taken: graph?.nodes.clean?.inputs?.dataset,
    };
  };
  const edited = { captions: { "blue/cup.png": HOSTILE }, taken: { from: "set-captions.out" } };
  await expect.poll(held).toEqual(edited);
  await page.keyboard.press("Control+z");
  await expect(cells.nth(1)).not.toContainText(HOSTILE);
  await expect.poll(async () => (await held()).taken).not.toEqual(edited.taken);
  await page.keyboard.press("Control+Shift+z");
  await expect(cells.nth(1)).toContainText(HOSTILE);
  await cells.first().click();
  await page.keyboard.type("one mug");
  await page.keyboard.press("Enter");
  await expect
    .poll(async () => (await held()).captions)
    .toEqual({ "1-a mug.png": "one mug", "blue/cup.png": HOSTILE });
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Escape");
  await expect(view).toBeHidden();
  await expect(canvas.node("set-captions")).toBeVisible();
  await canvas.press("Control+s");
  await expect
    .poll(
      () =>
        JSON.parse(readFileSync(join(canvas.server.home, "graphs", "mugs.json"), "utf8")).nodes[
          "set-captions"
        ],
    )
    .toMatchObject({ inputs: { by_name: { value: { "blue/cup.png": HOSTILE } } } });
  expect((await canvas.run()).state).toBe("done");
  const result = join(canvas.server.home, "outputs", "result");
  const texts = readdirSync(result, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".txt"),
  );
  expect(texts.map((file) => readFileSync(join(result, file), "utf8").trim())).toContain(
    HOSTILE.replace("mug", "cup"),
  );
  expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);

  // The node that holds the captions shows the same pictures; the original caption is no entry any more.
  await canvas.find("set-captions");
  await page.keyboard.press("d");
  await expect(cells.nth(1)).toContainText(HOSTILE);
  await cells.nth(1).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("cup");
  await page.keyboard.press("Enter");
  await expect.poll(async () => (await held()).captions).toEqual({});
});

test("thousands of pictures keep the page quick; a missing folder is named", async ({ canvas, page }) => {
  const names = Array.from({ length: 2000 }, (_, number) => `${String(number).padStart(4, "0")}-cup.png`);
  makeFolder(canvas, "many", names);
  const train = { type: "TrainTI@1", inputs: { dataset: { from: "load.out" }, name: "cup" } };
  canvas.server.addGraph("many", graphOf("many", { train }));
  await canvas.open("many");
  await canvas.find("train");
  await page.keyboard.press("d");
  const view = page.getByRole("region", { name: "Dataset" });
  await expect(view.getByRole("button", { name: /^All 2000/ })).toBeVisible();
  await expect(view.getByRole("button", { name: /^Lack/ })).toBeHidden();
  const cells = view.getByRole("gridcell");
  expect(await cells.count()).toBeLessThan(60);
  await cells.first().focus();
  await page.keyboard.press("End");
  await expect(view.getByText("1999-cup.png")).toBeVisible();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("a bowl");
  await page.keyboard.press("Enter");
  await expect(view.getByRole("button", { name: /^Lack “cup” 1$/ })).toBeVisible();
  await view.getByRole("searchbox").fill("0042");
  await expect(cells).toHaveCount(1);
  await page.keyboard.press("Escape");
  await view.getByRole("button", { name: "Close" }).click();
  await canvas.node("load").locator(".node-head").click();
  await page.getByRole("tab", { name: "Node" }).click();
  const folders = page.getByRole("tabpanel").getByRole("button", { name: /^load folder/ });
  await folders.click();
  await page.getByRole("combobox").fill("nowhere");
  await page.keyboard.press("Enter");
  await page
    .getByRole("tabpanel")
    .getByRole("button", { name: /View the dataset/ })
    .click();
  await expect(view.getByRole("status")).toContainText("nowhere");
});
