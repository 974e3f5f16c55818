import { expect, test } from "vitest";
import { readGraph } from "../../document/file/read";
import type { RunSummary } from "../../server/runs/runState";
import { inForm, templateOf, trainingsOf } from "./newTraining";

const GRAPH = readGraph(`{"safelight": 1,
  "inputs": {"name": {"type": "text", "default": "../evil"}},
  "nodes": {"train": {"type": "TrainLoRA@1", "inputs": {"name": {"param": "name"}, "rank": 8}}}
}`);

const problem = (node: string | null, input: string | null) =>
  ({ code: "bad_name", severity: "error", node, input, message: "no name", hint: null }) as const;

test("a problem of a failed training stands at the field that sets the input", () => {
  expect(inForm(GRAPH, problem("train", "name"))).toMatchObject({ node: null, input: "name" });
  expect(inForm(GRAPH, problem("train", "rank"))).toMatchObject({ node: "train", input: "rank" });
  expect(inForm(GRAPH, problem("gone", "name"))).toMatchObject({ node: "gone", input: "name" });
  expect(inForm(GRAPH, problem(null, null))).toMatchObject({ node: null, input: null });
});

test("a failed run of an example that trains is a training, also without numbers", () => {
  const run = (id: string, document: string | null) => ({ id, document }) as RunSummary;
  const drawn = run("a", "own#1");
  const failed = [run("b", "train_lora#2"), run("c", "text_to_image#3"), drawn, run("d", null)];
  expect(trainingsOf([drawn], failed).map(({ id }) => id)).toEqual(["a", "b"]);
  expect(templateOf("train_embedding#4")).toBe("train_embedding");
  expect(templateOf("train_lora_2#4")).toBeUndefined();
});
