import { expect, test } from "vitest";
import { readGraph } from "../../document/file/read";
import { writeGraph } from "../../document/file/write";
import { from } from "../../document/graph";
import { NodeTypes } from "../../schema/nodeTypes";
import { typedGraph } from "../../schema/typedGraph";
import {
  captionNode,
  captionsIn,
  datasetOf,
  datasetOutputs,
  kindsOf,
  type Row,
  shown,
  triggerBehind,
  withCaption,
} from "./captions";

const type = (id: string, inputs: object, outputs: Record<string, string>) => ({
  type: id,
  category: "",
  doc: "",
  inputs: Object.fromEntries(
    Object.entries(inputs).map(([name, wire]) => [name, { wire: String(wire), required: false }]),
  ),
  outputs,
  wires: {},
});

const TYPES = new NodeTypes([
  type("LoadDataset@2", { folder: "text" }, { out: "Dataset" }),
  type("CheckDataset@1", { dataset: "Dataset" }, { dataset: "Dataset", excluded: "Dataset", report: "json" }),
  type(
    "SetCaptions@1",
    { dataset: "Dataset", captions: "list of text", by_name: "json", existing: "text" },
    { out: "Dataset" },
  ),
  type(
    "TrainLoRA@1",
    { dataset: "Dataset", validation: "Dataset", trigger: "text" },
    { lora: "TrainedLoRA" },
  ),
  type("TrainTI@1", { dataset: "Dataset", name: "text" }, { out: "Embedding" }),
]);

const SOURCE = from("load", "out");
const NEW = { setCaptions: "SetCaptions@1", at: [0, 200] } as const;
const GRAPH = readGraph(`{"safelight": 1,
  "inputs": {"word": {"type": "text", "default": "zzz cat"}},
  "outputs": {"all": {"from": "load.out"}, "kept": {"from": "check.dataset"}},
  "nodes": {
    "load": {"type": "LoadDataset@2", "inputs": {"folder": "cats"}},
    "check": {"type": "CheckDataset@1", "inputs": {"dataset": {"from": "load.out"}}},
    "train": {"type": "TrainLoRA@1", "inputs": {
      "dataset": {"from": "check.dataset"}, "validation": {"from": "load.out"}, "trigger": {"param": "word"}}}
  }}`);
const saved = (graph: typeof GRAPH) => JSON.parse(writeGraph(graph));

test("the first caption inserts a node between the dataset and all that took it", () => {
  const { graph, id, isNew } = withCaption(GRAPH, NEW, SOURCE, "b.png", 'a "cat"\n<b>🦊</b>');
  expect(isNew).toBe(true);
  const { nodes, outputs, layout } = saved(graph);
  expect(nodes[id]).toEqual({
    type: "SetCaptions@1",
    inputs: { dataset: { from: "load.out" }, by_name: { value: { "b.png": 'a "cat"\n<b>🦊</b>' } } },
  });
  expect(nodes.check.inputs.dataset).toEqual({ from: `${id}.out` });
  expect(nodes.train.inputs).toMatchObject({
    dataset: { from: "check.dataset" },
    validation: { from: `${id}.out` },
  });
  expect(outputs).toEqual({ all: { from: `${id}.out` }, kept: { from: "check.dataset" } });
  expect(layout[id]).toEqual([0, 200]);
});

test("later captions change the node; the original caption is no entry", () => {
  const first = withCaption(GRAPH, NEW, SOURCE, "b.png", "x").graph;
  const second = withCaption(first, NEW, SOURCE, "a.png", "");
  expect(second.isNew).toBe(false);
  expect([...captionsIn(second.graph, second.id)]).toEqual([
    ["a.png", ""],
    ["b.png", "x"],
  ]);
  const third = withCaption(second.graph, NEW, SOURCE, "b.png", undefined);
  expect(third.graph.nodes.size).toBe(GRAPH.nodes.size + 1);
  expect([...captionsIn(third.graph, third.id)]).toEqual([["a.png", ""]]);
});

test("a node that does more than to replace captions by name is left alone", () => {
  for (const [input, value] of [
    ["existing", '"append"'],
    ["captions", '["a"]'],
    ["by_name", '{"param": "word"}'],
  ]) {
    const text = writeGraph(withCaption(GRAPH, NEW, SOURCE, "b.png", "x").graph);
    const other = readGraph(text.replace(/"by_name": \{[^}]*\}\}/, `"${input}": ${value}`));
    expect(other.nodes.get("set-captions")?.inputs.has(input ?? "")).toBe(true);
    expect(captionNode(other, SOURCE), input).toBeUndefined();
    expect(datasetOf(typedGraph(TYPES, [other]), "set-captions")).toEqual(from("set-captions", "out"));
  }
});

test("a node shows its own dataset, that of its source if it only holds captions, or the one that it takes", () => {
  const { graph, id } = withCaption(GRAPH, NEW, SOURCE, "b.png", "x");
  const typed = typedGraph(TYPES, [graph]);
  expect(datasetOf(typed, "load")).toEqual(SOURCE);
  expect(datasetOf(typed, id)).toEqual(SOURCE);
  expect(datasetOf(typed, "train")).toEqual(from("check", "dataset"));
  expect(datasetOutputs(typed, "check")).toEqual(["dataset", "excluded"]);
  expect(datasetOf(typed, "check", "excluded")).toEqual(from("check", "excluded"));
});

test("the word of a training behind the dataset is found, also through a graph input", () => {
  expect(triggerBehind(GRAPH, SOURCE)).toBe("zzz cat");
  expect(triggerBehind(GRAPH, from("check", "excluded"))).toBeUndefined();
  const embedding = readGraph(`{"safelight": 1, "nodes": {"load": {"type": "LoadDataset@2"},
    "train": {"type": "TrainTI@1", "inputs": {"dataset": {"from": "load.out"}, "name": "<lumo>"}}}}`);
  expect(triggerBehind(embedding, SOURCE)).toBe("<lumo>");
});

const row = (name: string, caption: string, width: number | null = 64): Row => ({
  name,
  caption,
  caption_source: "txt",
  digest: "",
  file_width: width,
  file_height: width,
  width,
  height: width,
  edits: [],
  flags: [],
  problem: width === null ? "it is cut" : null,
});

test("pictures are found by what their caption is now, by size and by words", () => {
  const rows = [
    row("a.png", "Lumo on a table"),
    row("b.png", " "),
    row("b.png", "", 32),
    row("c.png", "a cup", null),
  ];
  const listed = { rows, captions: new Map([["c.png", "a <lumo>"]]), word: "<lumo>" };
  const numbers = Object.fromEntries(
    [...kindsOf(listed)].map(([kind, isOfKind]) => [kind, rows.filter(isOfKind).length]),
  );
  expect(numbers).toEqual({
    All: 4,
    "Without caption": 2,
    "Changed here": 1,
    "Lack “<lumo>”": 2,
    "64 × 64": 2,
    "32 × 32": 1,
  });
  expect(shown(listed, "Without caption", "")).toEqual([1, 2]);
  expect(shown(listed, "All", "LUMO png")).toEqual([0, 3]);
  expect(shown(listed, "All", "cup")).toEqual([]);
  expect(kindsOf({ ...listed, word: undefined, rows: [row("a", "")] }).size).toBe(3);
});
