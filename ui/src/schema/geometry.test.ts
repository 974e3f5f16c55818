import { describe, expect, test } from "vitest";
import { readGraph } from "../document/file/read";
import { types } from "../testing/smallTypes";
import {
  type Drawn,
  geometry,
  HEADER,
  lineCount,
  type NodeGeometry,
  socketTop,
  withoutPicture,
} from "./geometry";
import { typedGraph } from "./typedGraph";

function shape(type: string, inputs: object = {}, drawn: Drawn = {}): NodeGeometry {
  const graph = readGraph(JSON.stringify({ safelight: 1, nodes: { n: { type, inputs } } }));
  const entry = graph.nodes.get("n");
  if (!entry) throw new Error("no node");
  return geometry(typedGraph(types, [graph]).type("n"), entry, drawn);
}

/** The formula of the design: header, body, rows, text areas, LoRAs, picture, footer. */
const height = (rows: number, areas = 0, loras = 0, previews = 0) =>
  28 + 8 + 22 * rows + 66 * areas + 44 * loras + 180 * previews + 22;

const centre = (row: number) => 28 + 4 + 22 * row + 11;

describe("the geometry of a node", () => {
  test.each([
    ["LoadModel", {}, {}, height(3)],
    ["Denoise", {}, {}, height(8, 0, 0, 1)],
    ["Blur", {}, {}, height(3, 0, 0, 1)],
    ["EncodePrompt", {}, {}, height(4, 1)],
    ["EncodePrompt", { prompt: { from: "a.b" } }, {}, height(4)],
    ["EncodePrompt", { prompt: { param: "p" } }, {}, height(4, 1)],
    ["EncodePrompt", {}, { unfolded: true }, height(7, 1)],
    ["EncodePrompt", { skip: { from: "a.b" } }, {}, height(5, 1)],
    ["EncodePrompt", { skip: { param: "a" } }, {}, height(5, 1)],
    ["EncodePrompt", {}, { wired: new Set(["used"]) }, height(5, 1)],
    ["ApplyLoRA", {}, {}, height(4, 0, 1)],
    ["ApplyLoRA", { more: [{}, {}] }, {}, height(4, 0, 3)],
    ["Show", {}, {}, height(1)],
    ["Unknown", { a: 1, b: { from: "x.y" } }, {}, height(2)],
    ["Denoise", {}, { collapsed: true }, HEADER],
    ["Blur", {}, { scale: 1.5 }, height(3, 0, 0, 1) * 1.5],
  ] as const)("%s %j %j", (type, inputs, drawn, expected) => {
    expect(shape(type, inputs, drawn).height).toBe(expected);
  });

  test("has the centre of each socket on its row, below text areas and LoRAs", () => {
    const denoise = shape("Denoise");
    expect(denoise.outputs.get("latent")).toBe(centre(0));
    expect([...denoise.inputs].slice(0, 3)).toEqual([
      ["model", centre(1)],
      ["positive", centre(2)],
      ["latent", centre(3)],
    ]);
    const prompt = shape("EncodePrompt", {}, { unfolded: true });
    expect(prompt.inputs.get("prompt")).toBe(centre(3));
    expect(prompt.inputs.get("skip")).toBe(centre(4) + 66);
    const stack = shape("ApplyLoRA", { more: [{}] });
    expect(stack.inputs.get("more")).toBe(centre(2) + 88);
    expect(shape("Blur", {}, { scale: 2 }).inputs.get("image")).toBe(centre(1) * 2);
  });

  test("has every socket in the header when it is collapsed, and folded ones there", () => {
    const collapsed = shape("Denoise", {}, { collapsed: true });
    expect(new Set([...collapsed.inputs.values(), ...collapsed.outputs.values()])).toEqual(new Set([14]));
    expect(socketTop(shape("EncodePrompt"), "inputs", "skip")).toBe(14);
  });

  test("counts what is folded away, and how much of it differs from its default", () => {
    const fold = (inputs: object) => shape("EncodePrompt", inputs).rows.find((row) => row.kind === "fold");
    expect(fold({})).toMatchObject({ hidden: 3, changed: 0 });
    expect(fold({ negative: true, skip: 1 })).toMatchObject({ hidden: 3, changed: 1 });
    expect(shape("Blur").rows.some((row) => row.kind === "fold")).toBe(false);
  });

  test("has an error below its input, as high as its sentences, also at an input that is folded away", () => {
    const problems = new Map([["skip", { message: "Skip is 20; this encoder has 12 layers.", hint: "" }]]);
    const failed = shape("EncodePrompt", {}, { problems });
    expect(failed.rows.map((row) => row.kind)).toEqual([
      "output",
      "input",
      "input",
      "input",
      "problem",
      "fold",
    ]);
    expect(failed.height).toBe(height(5, 1) + 14 + 2 * 15);
    expect(failed.rows.at(-1)).toMatchObject({ hidden: 2 });
    const stack = shape("ApplyLoRA", {}, { problems: new Map([["lora", { message: "No.", hint: "Do." }]]) });
    expect(stack.height).toBe(height(4, 0, 1) + 14 + 2 * 15);
    expect(shape("EncodePrompt", {}, { problems, collapsed: true }).height).toBe(HEADER);
  });

  test.each([
    ["", 0],
    ["Short.", 1],
    ["Two lines need more letters than one line has.", 2],
    ["a/path/without/any/space/that/is/longer/than/one/line.safetensors", 2],
    ["word ".repeat(200), 4],
  ])("counts the lines of %j", (text, lines) => {
    expect(lineCount(text)).toBe(lines);
  });

  test("has the picture above the footer", () => {
    const blur = shape("Blur");
    expect(blur.preview).toBe(blur.height - 22 - 180);
    expect(shape("LoadModel").preview).toBeUndefined();
    const folded = withoutPicture(blur);
    expect([folded.height, folded.preview]).toEqual([blur.height - 180, undefined]);
    expect(withoutPicture(blur)).toBe(folded);
  });
});
