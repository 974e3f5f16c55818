/** Documents are never lost: drafts, two tabs, files that are dropped. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { Canvas, expect, ROOT, Server, test } from "./fixtures.ts";

const prompt = (page: Page) => page.getByRole("textbox", { name: "prompt", exact: true });

/** A picture without a graph in it. */
const PLAIN = join(ROOT, "graphs", "unsorted", "IMG_0001.png");

/** Drop a file on the canvas, or on the Train view that covers it, or on another element. */
async function drop(
  page: Page,
  name: string,
  type: string,
  bytes: Buffer | number,
  target = "[data-canvas], .train",
): Promise<void> {
  const content = typeof bytes === "number" ? bytes : bytes.toString("base64");
  await page.evaluate(
    ({ name, type, content, target }) => {
      const parts: BlobPart[] =
        typeof content === "number"
          ? Array.from({ length: content }, () => new Uint8Array(1 << 20))
          : [Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))];
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(parts, name, { type }));
      const options = { bubbles: true, cancelable: true, dataTransfer, clientX: 500, clientY: 300 };
      document.querySelector(target)?.dispatchEvent(new DragEvent("drop", options));
    },
    { name, type, content, target },
  );
}

async function draftKept(page: Page): Promise<void> {
  await expect(page.getByTestId("document-state")).toContainText(/^Draft/);
}

test("a dropped picture opens its graph as a new document, which gives the same picture", async ({
  canvas,
  page,
  server,
}) => {
  await canvas.open("text_to_image");
  await prompt(page).fill("a cyan diamond");
  await page.getByRole("textbox", { name: "steps", exact: true }).fill("4");
  const first = await canvas.run();
  const { outputs } = await server.get<{ outputs: { id: number; digest: string; url: string }[] }>(
    `/outputs?run=${first.id}`,
  );
  const answer = await fetch(new URL(outputs[0]!.url, server.url), {
    headers: { Authorization: `Bearer ${server.token}` },
  });
  const png = Buffer.from(await answer.arrayBuffer());

  await canvas.open("image_to_image");
  await drop(page, "picture.png", "image/png", png);
  await expect(prompt(page)).toHaveValue("a cyan diamond");
  await expect(page.getByTestId("document-state")).not.toContainText("Example");
  const second = await canvas.run();
  expect(second.id).not.toBe(first.id);
  const again = await server.get<{ outputs: { digest: string }[] }>(`/outputs?run=${second.id}`);
  expect(again.outputs[0]!.digest).toBe(outputs[0]!.digest);
});

test("a dropped picture without a graph becomes a node that shows it, before and after a run", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  await drop(page, "IMG_0001.png", "image/png", readFileSync(PLAIN));
  const picture = canvas.node("load-image").locator(".node-picture img");
  await expect(picture).toBeVisible();
  const width = () => picture.evaluate((image: HTMLImageElement) => image.naturalWidth);
  await expect.poll(width).toBeGreaterThan(0);
  const box = await picture.boundingBox();
  const frame = await canvas.node("load-image").locator(".node-picture").boundingBox();
  expect(box?.height).toBeLessThanOrEqual((frame?.height ?? 0) + 1);
  await canvas.press("Control+Shift+Enter");
  await expect(canvas.node("load-image")).toHaveAttribute("data-state", "done");
  await canvas.ended();
  await expect(picture).toBeVisible();
});

test("a graph that opens leaves every other view, is fitted, and ends the messages of runs before", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const status = page.locator("footer [role=status]");
  const zoom = page.getByTitle("Zoom to 100 %");
  const open = async (title: string) => {
    await page.getByRole("button", { name: "Graphs", exact: true }).click();
    const examples = page.getByRole("region", { name: "Examples" });
    await examples.getByRole("button").filter({ hasText: title }).first().click();
  };
  /** All of the graph is in view, and drawn as its zoom asks for. */
  const fitted = async () => {
    await expect(page.getByRole("button", { name: /^Back to/ })).toHaveCount(0);
    const pane = (await page.locator("[data-canvas]").boundingBox())!;
    await expect
      .poll(async () => {
        const boxes = await Promise.all(
          (await page.locator(".react-flow__node").all()).map((node) => node.boundingBox()),
        );
        return (
          boxes.length > 1 &&
          boxes.every((box) => box && box.x >= pane.x && box.x + box.width <= pane.x + pane.width)
        );
      })
      .toBe(true);
    expect(Number.parseInt((await zoom.textContent()) ?? "", 10)).toBeGreaterThan(35);
    await expect(page.locator(".far-node")).toHaveCount(0);
  };
  await page.getByRole("textbox", { name: "steps", exact: true }).fill("2");
  await canvas.run();
  await expect(status).toContainText(/^Done/);
  await expect(async () => {
    await canvas.press("-");
    await expect(page.locator(".far-node").first()).toBeVisible({ timeout: 500 });
  }).toPass();
  await page.getByRole("button", { name: "Train", exact: true }).click();
  await expect(status).toContainText(/^Done/);
  await page.getByRole("button", { name: /^Back to/ }).click();
  await expect(page.locator(".far-node").first()).toBeVisible();

  await page.getByRole("button", { name: "Train", exact: true }).click();
  await open("Image to image");
  await fitted();
  await expect(status).toHaveText("");
  await expect(page.getByLabel("Title of the graph")).toHaveValue("Image to image");

  await page.getByRole("button", { name: "Train", exact: true }).click();
  await expect(page.locator(".train")).toBeVisible();
  await drop(
    page,
    "dropped.json",
    "application/json",
    readFileSync(join(ROOT, "graphs", "text_to_image.json")),
  );
  await fitted();
  await expect(page.getByLabel("Title of the graph")).toHaveValue("Text to image");
  await expect(status).toContainText("dropped.json");
});

test("broken, wrong and huge files leave the document as it is, and say why", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  await prompt(page).fill("a blue moon");
  await draftKept(page);
  const status = page.locator("footer [role=status]");
  const uploads: string[] = [];
  page.on("request", (request) => {
    if (request.method() === "POST" && /\/(import|blobs)/.test(request.url())) uploads.push(request.url());
  });
  const cases: [string, Buffer | number, RegExp][] = [
    ["broken.json", Buffer.from('{"safelight": 1,\n "nodes": {'), /line|end|JSON/i],
    ["wrong.json", Buffer.from('{"safelight": 1, "nodes": {"a": {"type": 5}}}'), /type/i],
    ["other.json", Buffer.from("[1, 2, 3]"), /graph|object/i],
    ["huge.json", 200, /limit/i],
  ];
  for (const [name, content, words] of cases) {
    const before = await status.textContent();
    await drop(page, name, "application/json", content);
    await expect(status).not.toHaveText(before ?? "");
    await expect(status).toHaveText(words);
    await expect(prompt(page)).toHaveValue("a blue moon");
  }
  expect(uploads).toHaveLength(3);
});

test("a reload brings the unsaved changes back, and says so until the next change", async ({
  canvas,
  page,
}) => {
  await canvas.open("text_to_image");
  const saved = await prompt(page).inputValue();
  await prompt(page).fill("a green square");
  await page.reload();
  const note = page.getByRole("status").filter({ hasText: "Your unsaved changes are back" });
  await expect(note).toBeVisible();
  await expect(prompt(page)).toHaveValue("a green square");

  await note.getByRole("button", { name: "Open the saved version" }).click();
  await expect(prompt(page)).toHaveValue(saved);
  await expect(note).toHaveCount(0);
  const offer = page.getByRole("status").filter({ hasText: "Unsaved changes of" });
  await offer.getByRole("button", { name: "Open" }).click();
  await expect(prompt(page)).toHaveValue("a green square");
  await draftKept(page);

  await page.reload();
  await expect(note).toBeVisible();
  await prompt(page).fill("a blue square");
  await expect(note).toHaveCount(0);
});

test("the draft of a killed tab is offered, and is the last edit", async ({
  canvas,
  page,
  context,
  server,
}) => {
  await canvas.open("text_to_image");
  await prompt(page).fill("a red heart on white, unsaved");
  await draftKept(page);
  await page.close({ runBeforeUnload: false });
  const reopened = new Canvas(await context.newPage(), server);
  await reopened.open("text_to_image");
  await expect(prompt(reopened.page)).not.toHaveValue("a red heart on white, unsaved");
  const offer = reopened.page.getByRole("status").filter({ hasText: "Unsaved changes" });
  await offer.getByRole("button", { name: "Open" }).click();
  await expect(prompt(reopened.page)).toHaveValue("a red heart on white, unsaved");
  await draftKept(reopened.page);
});

test("two tabs on one graph: the second save is refused, and neither loses work", async ({
  canvas,
  page,
  context,
  server,
}) => {
  const graph = (await server.get<{ graph: object }>("/graphs/text_to_image")).graph;
  await fetch(new URL("/api/v1/graphs/shared", server.url), {
    method: "PUT",
    headers: { Authorization: `Bearer ${server.token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ graph }),
  });
  const other = new Canvas(await context.newPage(), server);
  await canvas.open("shared");
  await other.open("shared");
  await prompt(page).fill("from the first tab");
  await prompt(other.page).fill("from the second tab");
  await draftKept(page);
  await draftKept(other.page);
  await canvas.press("Control+s");
  await expect(page.getByTestId("document-state")).toHaveText("Saved");

  await other.press("Control+s");
  const dialog = other.page.getByRole("dialog");
  await expect(dialog).toBeVisible();
  const saved = () => server.get<{ graph: { inputs: { prompt: { default: string } } } }>("/graphs/shared");
  expect((await saved()).graph.inputs.prompt.default).toBe("from the first tab");
  await dialog.getByRole("button", { name: /copy/ }).click();
  const name = other.page.getByRole("dialog").getByRole("textbox");
  await name.fill("shared copy");
  await name.press("Enter");
  await expect(other.page.getByTestId("document-state")).toHaveText("Saved");
  expect((await saved()).graph.inputs.prompt.default).toBe("from the first tab");
  const copy = await server.get<{ graph: { inputs: { prompt: { default: string } } } }>(
    "/graphs/shared%20copy",
  );
  expect(copy.graph.inputs.prompt.default).toBe("from the second tab");

  // The runs of one tab are not shown in the other.
  const before = await other.states();
  await canvas.run();
  expect(await other.states()).toEqual(before);
});

test("after a crash of the server, edits are kept, the run is marked, and finished nodes are reused", async ({
  page,
}) => {
  const server = new Server();
  try {
    const tokenFile = join(server.home, "token");
    writeFileSync(tokenFile, "the-token-of-this-test-and-of-no-other-one", { mode: 0o600 });
    await server.start({ tokenFile });
    const { port } = server;
    const canvas = new Canvas(page, server);
    await canvas.open("text_to_image");
    await page.getByRole("textbox", { name: "steps", exact: true }).fill("400");
    await canvas.press("Control+Enter");
    await expect(canvas.node("denoise")).toHaveAttribute("data-state", "running");
    await expect(canvas.node("positive")).toHaveAttribute("data-state", /done|cached/);
    server.kill();
    await expect(page.getByRole("alert")).toContainText("Not connected");
    await prompt(page).fill("edited while the server was away");

    await server.start({ port, tokenFile });
    await expect(page.getByTestId("connection")).toHaveText("Connected");
    await expect(page.getByRole("alert")).toHaveCount(0);
    await expect(canvas.node("denoise")).toHaveAttribute("data-state", /lost|stale/);
    const [run] = await canvas.runs();
    expect(run?.state).toBe("interrupted");
    await expect(prompt(page)).toHaveValue("edited while the server was away");
    await page.getByRole("textbox", { name: "steps", exact: true }).fill("4");
    const next = await canvas.run();
    const { nodes } = await server.get<{ nodes: Record<string, { state: string }> }>(`/runs/${next.id}`);
    for (const id of ["model", "negative", "canvas"]) expect(nodes[id]?.state).toBe("cached");
    expect(nodes.decode?.state).toBe("done");
  } finally {
    await server.stop();
  }
});

test("a saved copy of an example brings the files that it names, and so does the graph of an output", async ({
  canvas,
  page,
}) => {
  const home = canvas.server.home;
  await canvas.open("image_to_image");
  await canvas.press("Control+Shift+S");
  const name = `copied-${Date.now()}`;
  await page.getByRole("textbox", { name: "Name of the graph" }).fill(name);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await expect(page.getByTestId("document-state")).toHaveText("Saved");
  const graph = JSON.parse(readFileSync(join(home, "graphs", `${name}.json`), "utf8"));
  const file = Object.values(graph.inputs as Record<string, { type: string; default: string }>).find(
    (input) => input.type === "file",
  )?.default;
  const copy = readFileSync(join(home, "graphs", file ?? ""));
  expect(copy.equals(readFileSync(join(ROOT, "graphs", file ?? "")))).toBe(true);
  await page.getByRole("textbox", { name: "steps", exact: true }).fill("3");
  expect((await canvas.run()).state).toBe("done");
  // The graph of the picture is a new document, which finds the file too.
  await page.getByRole("button", { name: "Outputs", exact: true }).click();
  await page
    .getByLabel("Outputs")
    .getByRole("button", { name: /^Picture|^Image|image/i })
    .first()
    .click();
  await page.getByRole("button", { name: "Open this graph" }).click();
  await expect(page.getByTestId("document-state")).toContainText(/Draft|Keeping/);
  expect((await canvas.run()).state).toBe("done");
});

test("a picture that is dropped on a node is loaded by it, and what is no picture is refused", async ({
  canvas,
  page,
}) => {
  await canvas.open("image_to_image");
  const loader = page.locator("[data-node]", { has: page.getByRole("button", { name: /: choose a file$/ }) });
  const id = await loader.first().getAttribute("data-node");
  const head = `[data-node="${id}"] .node-head`;
  const field = canvas.node(id!).getByRole("textbox", { name: /image$/ });
  const nodes = await canvas.nodes.count();
  await drop(page, "cat.png", "image/png", readFileSync(PLAIN), head);
  await expect(field).toHaveValue("cat.png");
  await drop(page, "notes.txt", "text/plain", Buffer.from("no picture"), head);
  await expect(page.locator("footer")).toContainText("The file notes.txt is not a picture");
  await expect(field).toHaveValue("cat.png");
  // Also one that has a graph: the document stays.
  const { state } = await canvas.run();
  expect(state).toBe("done");
  const [row] = (await canvas.server.get<{ outputs: { url: string }[] }>("/outputs")).outputs;
  const made = await page.request.get(new URL(row!.url, canvas.server.url).href, {
    headers: { Authorization: `Bearer ${canvas.server.token}` },
  });
  await drop(page, "made.png", "image/png", await made.body(), head);
  await expect(field).toHaveValue("made.png");
  await expect(canvas.nodes).toHaveCount(nodes);
  await expect(page.getByTestId("document-state")).toContainText(/^Draft/);
});

test("Shift and a click select one more node, and again take it away", async ({ canvas, page }) => {
  await canvas.open("text_to_image");
  const selected = page.locator(".react-flow__node.selected");
  const click = (id: string) =>
    canvas
      .node(id)
      .locator(".node-head")
      .click({ modifiers: ["Shift"] });
  await canvas.node("positive").locator(".node-head").click();
  await click("negative");
  await click("denoise");
  await expect(selected).toHaveCount(3);
  await click("negative");
  await expect(selected).toHaveCount(2);
  // Shift and a drag select what a frame touches.
  const [a, b] = await Promise.all(["positive", "negative"].map((one) => canvas.node(one).boundingBox()));
  await page.keyboard.down("Shift");
  await page.mouse.move(Math.min(a!.x, b!.x) - 12, Math.min(a!.y, b!.y) - 12);
  await page.mouse.down();
  await page.mouse.move(Math.max(a!.x, b!.x) + 20, Math.max(a!.y, b!.y) + 20, { steps: 5 });
  await page.mouse.up();
  await page.keyboard.up("Shift");
  await expect(canvas.node("positive").locator("..")).toHaveClass(/selected/);
  await expect(canvas.node("negative").locator("..")).toHaveClass(/selected/);
});
