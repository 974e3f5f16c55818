import { expect, test } from "./fixtures.ts";

test("the first key press makes a picture @fast", async ({ canvas, page }) => {
  await canvas.open();
  const run = await canvas.run();
  expect(run.state).toBe("done");
  await expect(page.getByLabel("Viewer").locator("img").first()).toBeVisible();
  const states = await canvas.states();
  expect(Object.values(states).every((state) => state === "done" || state === "cached")).toBe(true);
  await expect(canvas.node("decode").locator(".node-foot")).toContainText(" s");

  // Again: all of it is cached, and nothing is computed.
  const again = await canvas.run();
  expect(again.state).toBe("done");
  expect(Object.values(await canvas.states())).toEqual(Object.values(states).map(() => "cached"));
});
