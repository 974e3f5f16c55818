import { describe, expect, test } from "vitest";
import { deleteInput } from "../document/edit/graphInputs";
import { readGraph } from "../document/file/read";
import { writeGraph } from "../document/file/write";
import { type Graph, wires } from "../document/graph";
import { types } from "../testing/smallTypes";
import { exposeInput, heal, insertion, insertNode, replacements, replaceType } from "./changes";
import type { NodeType } from "./nodeTypes";
import { typedGraph } from "./typedGraph";

const read = (nodes: object, more: object = {}) =>
  readGraph(JSON.stringify({ safelight: 1, nodes, ...more }));
const typed = (graph: Graph) => typedGraph(types, [graph]);
const links = (graph: Graph) =>
  [...wires(graph)].map((wire) => `${wire.from.node}.${wire.from.output} > ${wire.to.node}.${wire.to.input}`);

function type(name: string): NodeType {
  const found = types.get(name);
  if (!found) throw new Error(`no type ${name}`);
  return found;
}

const CHAIN = read(
  {
    load: { type: "Decode@1", inputs: {} },
    blur: { type: "Blur@1", inputs: { image: { from: "load.out" }, size: 2.5 } },
    sharpen: { type: "Sharpen@1", inputs: { picture: { from: "blur.out" } } },
    free: { type: "Blur@1", inputs: {} },
    noise: { type: "EmptyLatent@1", inputs: {} },
  },
  { outputs: { image: { from: "sharpen.out" } } },
);

describe("heal", () => {
  test("wires along the declared pass, or an input of the same type", () => {
    expect(links(heal(CHAIN, typed(CHAIN), ["blur"]))).toEqual(["load.out > sharpen.picture"]);
    const both = heal(CHAIN, typed(CHAIN), ["blur", "sharpen"]);
    expect(both.outputs.get("image")).toMatchObject({ node: "load", output: "out" });
  });

  test("cuts where nothing of the type comes in", () => {
    expect(links(heal(CHAIN, typed(CHAIN), ["load"]))).toEqual(["blur.out > sharpen.picture"]);
  });
});

describe("a node on a wire", () => {
  const to = { node: "sharpen", input: "picture" };

  test("is inserted where its input and output fit", () => {
    expect(insertion(typed(CHAIN), to, type("Blur"))).toEqual({ input: "image", output: "out" });
    expect(insertion(typed(CHAIN), to, type("Denoise"))).toBeUndefined();
    const inserted = insertNode(CHAIN, typed(CHAIN), to, "free");
    expect(inserted && links(inserted)).toEqual([
      "load.out > blur.image",
      "free.out > sharpen.picture",
      "blur.out > free.image",
    ]);
    expect(insertNode(CHAIN, typed(CHAIN), to, "noise")).toBeUndefined();
    expect(insertNode(CHAIN, typed(CHAIN), to, "load")).toBeUndefined();
  });
});

describe("another type", () => {
  test("takes values and wires by name, then by type", () => {
    const { graph, lostInputs, cut } = replaceType(CHAIN, typed(CHAIN), "blur", type("Sharpen"));
    expect(links(graph)).toEqual(["load.out > blur.picture", "blur.out > sharpen.picture"]);
    expect(graph.nodes.get("blur")?.inputs.get("size")).toMatchObject({ value: 2.5 });
    expect([lostInputs, cut]).toEqual([[], []]);
  });

  test("says what it has no place for", () => {
    const { graph, lostInputs, cut } = replaceType(CHAIN, typed(CHAIN), "blur", type("EmptyLatent"));
    expect(lostInputs).toEqual(["image", "size"]);
    expect(cut).toEqual([{ node: "sharpen", input: "picture" }]);
    expect(links(graph)).toEqual([]);
  });

  test("of a missing node takes its wires", () => {
    const graph = read({
      load: { type: "Decode@1" },
      old: { type: "Soften@1", inputs: { image: { from: "load.out" }, size: 3 } },
      next: { type: "Blur@1", inputs: { image: { from: "old.out" } } },
    });
    const { graph: changed } = replaceType(graph, typed(graph), "old", type("Blur"));
    expect(links(changed)).toEqual(links(graph));
    expect(changed.nodes.get("old")).toMatchObject({ type: "Blur@1" });
    expect(changed.nodes.get("old")?.inputs.get("size")).toMatchObject({ value: 3 });
  });
});

test("replacements are ranked by what finds a place, and leave out types that take no wire", () => {
  const graph = read({
    load: { type: "Decode@1" },
    old: { type: "SoftBlur@1", inputs: { image: { from: "load.out" }, size: 3 } },
    next: { type: "Blur@1", inputs: { image: { from: "old.out" } } },
  });
  const found = replacements(graph, typed(graph), "old");
  const names = found.map((item) => item.type.name);
  expect(names[0]).toBe("Blur");
  expect(found[0]?.lost).toBe(0);
  expect(names.indexOf("Blur")).toBeLessThan(names.indexOf("Encode"));
  expect(names).not.toContain("LoadModel");
  expect(names).not.toContain("OldBlur");
  for (const { type: next, lost } of found) {
    const { graph: changed, lostInputs, cut } = replaceType(graph, typed(graph), "old", next);
    expect(lostInputs.length + cut.length).toBe(lost);
    expect(links(changed).length).toBeGreaterThan(0);
  }
});

test("an exposed input is a graph input of its type, with its value", () => {
  const graph = read({ d: { type: "Denoise@3", inputs: { steps: 8 } } });
  const steps = exposeInput(graph, typed(graph), { node: "d", input: "steps" });
  expect(steps?.graph.inputs.get("steps")).toMatchObject({ type: "int", default: 8 });
  expect(steps && writeGraph(deleteInput(steps.graph, "steps"))).toBe(writeGraph(graph));
  const kinds = ["seed", "guidance", "sampler", "model"].map((input) => {
    const exposed = exposeInput(graph, typed(graph), { node: "d", input });
    return exposed?.graph.inputs.get(input);
  });
  expect(kinds.map((item) => item?.type)).toEqual(["seed", "float", "choice", "Model"]);
  expect(kinds.map((item) => item?.default)).toEqual([0, 7, "euler", undefined]);
  expect(kinds[2]?.choices).toEqual(["euler", "ddim"]);
  for (const item of kinds) {
    const inputs = item ? new Map([["a", item]]) : new Map();
    expect(() => readGraph(writeGraph({ ...graph, inputs }))).not.toThrow();
  }
});
