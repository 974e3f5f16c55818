import { expect, test } from "vitest";
import { readGraph } from "../document/file/read";
import { maskPlace, withMask } from "./masks";
import { type NodeTypeJson, NodeTypes } from "./nodeTypes";
import { typedGraph } from "./typedGraph";

const file = { wire: "text", required: true, "x-widget": { kind: "file", choices_from: "inputs" } };
const wire = (name: string) => ({ wire: name, required: true });
const kind = (type: string, inputs: NodeTypeJson["inputs"], outputs: NodeTypeJson["outputs"]) => ({
  type,
  category: "",
  doc: "",
  inputs,
  outputs,
  wires: {},
});
const types = new NodeTypes([
  kind("LoadImage@3", { image: file }, { out: "Image", alpha: "Mask" }),
  kind("LoadMask@1", { image: file }, { out: "Mask" }),
  kind("GrowMask@1", { mask: wire("Mask") }, { out: "Mask" }),
  kind("EncodeForInpainting@1", { image: wire("Image"), mask: wire("Mask") }, { out: "Latent" }),
]);

function graphOf(nodes: object, inputs: object = {}) {
  const graph = readGraph(JSON.stringify({ safelight: 1, inputs, nodes }));
  return { graph, typed: typedGraph(types, [graph]) };
}

const picture = { type: "LoadImage", inputs: { image: "sha256:a" } };
const end = { node: "picture", input: "image" };

test("a mask goes to a new loader, which the nodes that lack a mask take", () => {
  const { graph, typed } = graphOf({
    picture,
    encode: { type: "EncodeForInpainting", inputs: { image: { from: "picture.out" } } },
  });
  expect(maskPlace(graph, typed, end)).toEqual({ picture: "sha256:a", mask: undefined });
  const done = withMask(graph, typed, end, "sha256:m");
  expect(done.isTaken).toBe(true);
  expect(done.graph.nodes.get(done.node)?.inputs.get("image")).toEqual({ kind: "value", value: "sha256:m" });
  expect(done.graph.nodes.get("encode")?.inputs.get("mask")).toEqual({
    kind: "from",
    node: done.node,
    output: "out",
  });
});

test("a mask that exists is changed, also behind other nodes and as a control of the graph", () => {
  const { graph, typed } = graphOf(
    {
      picture,
      loaded: { type: "LoadMask", inputs: { image: { param: "mask" } } },
      grown: { type: "GrowMask", inputs: { mask: { from: "loaded.out" } } },
      encode: {
        type: "EncodeForInpainting",
        inputs: { image: { from: "picture.out" }, mask: { from: "grown.out" } },
      },
    },
    { mask: { type: "file", default: "old.png" } },
  );
  expect(maskPlace(graph, typed, end)).toEqual({ picture: "sha256:a", mask: "old.png" });
  const done = withMask(graph, typed, end, "sha256:m");
  expect([done.node, done.graph.nodes.size]).toEqual(["loaded", graph.nodes.size]);
  expect(done.graph.inputs.get("mask")?.default).toBe("sha256:m");
});

test("the picture of a mask loader is the one that is used with its mask", () => {
  const own = { node: "loaded", input: "image" };
  const loaded = { type: "LoadMask", inputs: { image: "sha256:m" } };
  const together = {
    type: "EncodeForInpainting",
    inputs: { image: { from: "picture.out" }, mask: { from: "loaded.out" } },
  };
  const { graph, typed } = graphOf({ picture, loaded, together });
  expect(maskPlace(graph, typed, own)).toEqual({ picture: "sha256:a", mask: "sha256:m" });
  const alone = graphOf({ loaded });
  expect(maskPlace(alone.graph, alone.typed, own)).toEqual({ picture: "sha256:m", mask: "sha256:m" });
  expect(withMask(graph, typed, own, "sha256:n").node).toBe("loaded");
});

test("a mask that the graph computes is left alone", () => {
  const { graph, typed } = graphOf({
    picture,
    computed: { type: "Unknown", inputs: {} },
    encode: {
      type: "EncodeForInpainting",
      inputs: { image: { from: "picture.out" }, mask: { from: "computed.out" } },
    },
  });
  const done = withMask(graph, typed, end, "sha256:m");
  expect(done.isTaken).toBe(false);
  expect(done.graph.nodes.get("encode")).toBe(graph.nodes.get("encode"));
});
