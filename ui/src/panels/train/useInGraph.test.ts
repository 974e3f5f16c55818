import { expect, test } from "vitest";
import { readGraph } from "../../document/file/read";
import { writeGraph } from "../../document/file/write";
import { NodeTypes } from "../../schema/nodeTypes";
import { kindOf, withTrained } from "./useInGraph";

const type = (id: string, inputs: string[], outputs: string[]) => ({
  type: id,
  category: "",
  doc: "",
  inputs: Object.fromEntries(inputs.map((name) => [name, { wire: "Model", required: false }])),
  outputs: Object.fromEntries(outputs.map((name) => [name, "Model"])),
  wires: { Model: { family: "models", shape: "square" as const, lists: 0, fits: [] } },
});

const TYPES = new NodeTypes([
  type("LoadModel@1", [], ["model", "encoder", "vae"]),
  type("ApplyLoRA@2", ["model", "encoder", "lora", "weight"], ["model", "encoder"]),
  type("LoadEmbeddings@1", ["encoder", "files"], ["out"]),
]);

const GRAPH = readGraph(`{"safelight": 1, "nodes": {
  "load": {"type": "LoadModel@1"},
  "prompt": {"type": "EncodePrompt@2", "inputs": {"encoder": {"from": "load.encoder"}}},
  "draw": {"type": "Denoise@3", "inputs": {"model": {"from": "load.model"}, "positive": {"from": "prompt.out"}}},
  "decode": {"type": "Decode@1", "inputs": {"vae": {"from": "load.vae"}}}
}}`);

test("a LoRA stands between the loader and all that took model and encoder", () => {
  const { graph, id } = withTrained(GRAPH, TYPES, "lora", "sha256:00")!;
  const saved = JSON.parse(writeGraph(graph));
  expect(saved.nodes[id]).toMatchObject({
    type: "ApplyLoRA@2",
    inputs: {
      model: { from: "load.model" },
      encoder: { from: "load.encoder" },
      lora: "sha256:00",
      weight: 1,
    },
  });
  expect(saved.nodes.prompt.inputs.encoder).toEqual({ from: `${id}.encoder` });
  expect(saved.nodes.draw.inputs.model).toEqual({ from: `${id}.model` });
  expect(saved.nodes.decode.inputs.vae).toEqual({ from: "load.vae" });
});

test("an embedding stands before the prompts alone", () => {
  const { graph, id } = withTrained(GRAPH, TYPES, "embedding", "sha256:00")!;
  const saved = JSON.parse(writeGraph(graph));
  expect(saved.nodes[id].inputs).toEqual({ encoder: { from: "load.encoder" }, files: "sha256:00" });
  expect(saved.nodes.prompt.inputs.encoder).toEqual({ from: `${id}.out` });
  expect(saved.nodes.draw.inputs.model).toEqual({ from: "load.model" });
});

test("a graph without a loader stays as it is", () => {
  expect(withTrained(readGraph('{"safelight": 1, "nodes": {}}'), TYPES, "lora", "x")).toBeUndefined();
});

test("states and samples are no weights", () => {
  expect(kindOf("TrainLoRA@1", "loras/framed-000040.safetensors")).toBe("lora");
  expect(kindOf("TrainTI@1", "embeddings/lumo-000010.pt")).toBe("embedding");
  expect(kindOf("SaveEmbedding@1", "lumo_0002.safetensors")).toBe("embedding");
  expect(kindOf("SaveModel@1", "merged.safetensors")).toBeNull();
  expect(kindOf("TrainLoRA@1", "state-000040.pt")).toBeNull();
  expect(kindOf("TrainTI@1", "samples/000010.png")).toBeNull();
  expect(kindOf("TrainTI@1", "losses.csv")).toBeNull();
});
