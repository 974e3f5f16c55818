import { describe, expect, test } from "vitest";
import { readGraph } from "../document/file/read";
import type { Graph } from "../document/graph";
import { from } from "../document/graph";
import { types } from "../testing/smallTypes";
import { candidates } from "./candidates";
import { bestInput, conversions, refusal, wireFit } from "./connections";
import { named } from "./nodeTypes";
import { typedGraph } from "./typedGraph";
import { wireName, wireType } from "./wireType";

function graphOf(nodes: { [id: string]: unknown }, more: object = {}): Graph {
  return readGraph(JSON.stringify({ safelight: 1, nodes, ...more }));
}

const typed = (graph: Graph) => typedGraph(types, [graph]);
const node = (type: string, inputs: { [name: string]: unknown } = {}, more: object = {}) => ({
  type,
  inputs,
  ...more,
});

const DRAW = graphOf({
  model: node("LoadModel"),
  seeds: node("ListSeeds"),
  positive: node("EncodePrompt", { model: { from: "model.model" } }),
  canvas: node("EmptyLatent"),
  denoise: node("Denoise", {
    model: { from: "model.model" },
    positive: { from: "positive.out" },
    latent: { from: "canvas.out" },
    seed: { from: "seeds.out" },
  }),
  decode: node("Decode", { vae: { from: "model.vae" }, latent: { from: "denoise.latent" } }),
  grid: node("Grid", { images: { from: "decode.out" } }),
  empty: node("Decode"),
  show: node("Show"),
  keep: node("Keep"),
  choose: node("Switch"),
  unknown: node("Nothing@1", { what: 1 }),
});

describe("the type of an output", () => {
  const output = (graph: Graph, id: string, name = "out") => wireName(typed(graph).output(from(id, name)));

  test("has the lists that the node goes through", () => {
    expect(output(DRAW, "seeds")).toBe("list of int");
    expect(output(DRAW, "denoise", "latent")).toBe("list of Latent");
    expect(output(DRAW, "decode")).toBe("list of Image");
    expect(output(DRAW, "grid")).toBe("Image");
  });

  test("has as many lists as a node crosses", () => {
    const lists = { steps: [4, 8], guidance: [1, 2, 3] };
    const graph = (lift: string) =>
      graphOf({ d: node("Denoise", lists, { lift }), e: node("Decode", { latent: { from: "d.latent" } }) });
    expect(output(graph("zip"), "e")).toBe("list of Image");
    expect(output(graph("cross"), "e")).toBe("list of list of Image");
  });

  test("goes along with the same list only once", () => {
    const graph = graphOf({
      seeds: node("ListSeeds"),
      one: node("Denoise", { seed: { from: "seeds.out" } }),
      two: node("Composite", { base: { from: "a.out" }, top: { from: "b.out" } }, { lift: "cross" }),
      a: node("Decode", { latent: { from: "one.latent" } }),
      b: node("Decode", { latent: { from: "one.latent" } }),
    });
    expect(output(graph, "two")).toBe("list of Image");
  });

  test("is that of the first wire for a type variable", () => {
    const graph = graphOf({
      blur: node("Blur"),
      one: node("Switch", { b: { from: "blur.out" } }),
      two: node("Switch", { a: { from: "one.out" } }),
      loop: node("Switch", { a: { from: "loop.out" } }),
    });
    expect([output(graph, "two"), output(graph, "loop"), output(DRAW, "choose")]).toEqual([
      "Image",
      "any",
      "any",
    ]);
  });

  test("is that of what passes through a node that is off", () => {
    const graph = graphOf({
      seeds: node("ListSeeds"),
      a: node("Denoise", { seed: { from: "seeds.out" } }),
      b: node("Decode", { latent: { from: "a.latent" } }),
      blur: node("Blur", { image: { from: "b.out" } }, { off: true }),
    });
    expect(output(graph, "blur")).toBe("list of Image");
  });

  test("of a subgraph is that inside it, and a graph in itself ends", () => {
    const inner = {
      inputs: { latent: { type: "Latent" } },
      outputs: { image: { from: "d.out" } },
      nodes: { d: node("Decode", { latent: { param: "latent" } }) },
    };
    const graph = graphOf(
      { use: node("#draw"), self: node("#self") },
      {
        graphs: {
          draw: inner,
          self: { outputs: { out: { from: "again.out" } }, nodes: { again: node("#self") } },
        },
      },
    );
    expect(output(graph, "use", "image")).toBe("Image");
    expect(typed(graph).input({ node: "use", input: "latent" })?.wire).toEqual(wireType("Latent"));
    expect(output(graph, "self")).toBe("any");
  });

  test("is kept while nodes move, and found again when they change", () => {
    const moved = { ...DRAW, layout: new Map([["model", [8, 8] as const]]) };
    expect(typed(moved)).toBe(typed(DRAW));
    const changed = { ...DRAW, nodes: new Map(DRAW.nodes) };
    expect(typed(changed)).not.toBe(typed(DRAW));
  });
});

describe("a wire", () => {
  const fits = (source: string, to: string) => {
    const [[a = "", b = ""], [c = "", d = ""]] = [source.split("."), to.split(".")] as [string[], string[]];
    return wireFit(typed(DRAW), from(a, b), { node: c, input: d });
  };

  test.each([
    ["canvas.out", "empty.latent", "same"],
    ["positive.used", "denoise.guidance", "converted"],
    ["positive.used", "denoise.steps", "same"],
    ["seeds.out", "denoise.steps", "lists"],
    ["seeds.out", "denoise.guidance", "lists"],
    ["decode.out", "grid.images", "same"],
    ["denoise.latent", "show.value", "same"],
    ["seeds.out", "keep.data", "same"],
    ["denoise.latent", "keep.data", undefined],
    ["denoise.latent", "grid.images", undefined],
    ["choose.out", "grid.images", "same"],
    ["model.model", "choose.b", "same"],
  ])("from %s into %s: %s", (source, to, expected) => {
    expect(fits(source, to)).toBe(expected);
  });

  test("is refused with a reason, the remedy, and the names at both ends", () => {
    const why = (source: string, output: string, id: string, input: string) =>
      refusal(typed(DRAW), from(source, output), { node: id, input });
    expect(why("grid", "out", "empty", "latent")).toBe(
      "empty.latent takes a Latent, and grid.out is an Image. Put Encode between them.",
    );
    expect(why("model", "model", "empty", "vae")).toBe("empty.vae takes a Vae, and model.model is a Model.");
    expect(why("decode", "out", "denoise", "latent")).toBe(
      "denoise.latent takes a Latent, and decode.out is a list of Image.",
    );
    const pair = graphOf({ a: node("Blur"), b: node("Blur", { image: { from: "a.out" } }) });
    expect(refusal(typed(pair), from("b", "out"), { node: "a", input: "image" })).toBe(
      "b already depends on a; a graph has no cycles.",
    );
    expect(why("decode", "out", "decode", "latent")).toContain("its own output");
    expect(why("model", "model", "keep", "data")).toContain("JSON");
    expect(why("model", "model", "empty", "other")).toContain("no input other");
    expect(why("model", "model", "unknown", "what")).toBeUndefined();
    expect(why("canvas", "out", "empty", "latent")).toBeUndefined();
  });

  test("dropped on a node enters the free input that fits best", () => {
    const best = (source: string, output: string, id: string) =>
      bestInput(typed(DRAW), from(source, output), id)?.name;
    expect(best("canvas", "out", "empty")).toBe("latent");
    expect(best("model", "vae", "empty")).toBe("vae");
    expect(best("positive", "used", "denoise")).toBe("steps");
    expect(best("grid", "out", "empty")).toBeUndefined();
    const pair = graphOf({ a: node("Blur"), b: node("Composite", { base: { from: "a.out" } }) });
    expect(bestInput(typed(pair), from("a", "out"), "b")?.name).toBe("top");
  });

  test("is converted by the shortest chain", () => {
    const chain = (a: string, b: string) =>
      conversions(types, wireType(a), wireType(b)).map((type) => type.name);
    expect(chain("Image", "Latent")).toEqual(["Encode"]);
    expect(chain("Latent", "Mask")).toEqual(["Decode", "ImageToMask"]);
    expect(chain("list of Image", "Latent")).toEqual(["Encode"]);
    expect(chain("Model", "Image")).toEqual([]);
  });
});

describe("a loose wire", () => {
  test("from an output lists what takes it, closest first, then what takes it after a conversion", () => {
    const found = candidates(types, { kind: "output", wire: wireType("Latent") });
    const direct = found
      .filter((item) => !item.through.length)
      .map((item) => `${item.type.name}.${item.socket}`);
    expect(direct.slice(0, 2).sort()).toEqual(["Decode.latent", "Denoise.latent"]);
    expect(direct.slice(2).sort()).toEqual(["Show.value", "Switch.a"]);
    const after = found.filter((item) => item.through.length);
    expect(after.map((item) => item.type.name)).toContain("Blur");
    expect(after.every((item) => item.through[0]?.name === "Decode")).toBe(true);
    expect(found.some((item) => item.type.deprecated)).toBe(false);
  });

  test("from an input lists what gives it", () => {
    const input = named(types.get("Denoise")?.inputs ?? [], "latent");
    if (!input) throw new Error("Denoise has no latent");
    const found = candidates(types, { kind: "input", input });
    const direct = found
      .filter((item) => !item.through.length)
      .map((item) => `${item.type.name}.${item.socket}`);
    expect(direct.slice(0, 3).sort()).toEqual(["Denoise.latent", "EmptyLatent.out", "Encode.out"]);
    expect(direct.slice(3)).toEqual(["Switch.out"]);
  });
});
