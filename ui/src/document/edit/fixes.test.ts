import { describe, expect, test } from "vitest";
import { readGraph } from "../file/read";
import { writeGraph } from "../file/write";
import { createDocumentStore } from "../store";
import { type Fix, fixed, fixLabel } from "./fixes";

const GRAPH = readGraph(`{
  "safelight": 1,
  "inputs": {"seed": {"type": "seed", "default": 3}},
  "nodes": {
    "model": {"type": "Load@1", "inputs": {"name": "tiny"}},
    "take": {"type": "Take@1", "inputs": {
      "a": {"from": "modle.vae"}, "b": {"from": "model.vae"}, "mode": "fats", "p": {"param": "sead"}, "n": 5
    }}
  },
  "layout": {"take": [600, 40]}
}`);
const END = { node: "take", type: "Take@1" };

const FITTING: [Fix, string, string][] = [
  [{ kind: "set_input", ...END, input: "mode", was: "fats", to: "fast" }, "use fast", '"mode": "fast"'],
  [
    { kind: "set_input", ...END, input: "a", was: { from: "modle.vae" }, to: { from: "model.vae" } },
    "connect model.vae",
    '"a": {"from": "model.vae"}',
  ],
  [
    { kind: "set_input", ...END, input: "p", was: { param: "sead" }, to: { param: "seed" } },
    "connect seed",
    '"p": {"param": "seed"}',
  ],
  [
    { kind: "connect", ...END, input: "c", source: "model.vae" },
    "connect model.vae",
    '"c": {"from": "model.vae"}',
  ],
  [
    { kind: "rename_input", ...END, input: "mode", to: "mood" },
    "rename mode to mood",
    '"mood": "fats",\n      "p"',
  ],
  [{ kind: "remove_input", ...END, input: "n" }, "remove n", '"p": {"param": "sead"}\n    }'],
  [{ kind: "set_type", node: "take", was: "Take@1", to: "Taken@1" }, "use Taken", '"type": "Taken@1"'],
  [
    {
      kind: "insert_node",
      ...END,
      input: "b",
      source: "model.vae",
      type: "Encode@1",
      enters: "image",
      leaves: "latent",
    },
    "insert Encode",
    '"b": {"from": "encode.latent"}',
  ],
];

describe("a fix", () => {
  test.each(FITTING)("%o is one step that undo takes back", (fix, label, text) => {
    expect(fixLabel(fix)).toBe(label);
    const store = createDocumentStore(GRAPH);
    store.getState().editRoot("Fix", (root) => fixed(root, fix));
    const after = store.getState().root;
    expect(writeGraph(after)).toContain(text);
    expect(fixed(after, fix)).toBe(after);
    store.getState().undo();
    expect(writeGraph(store.getState().root)).toBe(writeGraph(GRAPH));
  });

  test("inserts a node that takes the wire, left of the node", () => {
    const [fix] = FITTING.at(-1) as [Fix, string, string];
    const after = fixed(GRAPH, fix);
    expect(writeGraph(after)).toContain('"image": {"from": "model.vae"}');
    expect(after.layout.get("encode")).toEqual([320, 40]);
  });

  const STALE: Record<string, Fix> = {
    "of a node that is gone": { kind: "remove_input", node: "gone", type: "Take@1", input: "n" },
    "of another text": { kind: "set_input", ...END, input: "mode", was: "fast", to: "fine" },
    "of a number": { kind: "set_input", ...END, input: "n", was: "5", to: "6" },
    "of another wire": {
      kind: "set_input",
      ...END,
      input: "b",
      was: { from: "x.y" },
      to: { from: "model.y" },
    },
    "of a text that is a wire now": { kind: "set_input", ...END, input: "b", was: "model.vae", to: "x" },
    "to a node that is gone": {
      kind: "set_input",
      ...END,
      input: "b",
      was: { from: "model.vae" },
      to: { from: "gone.out" },
    },
    "to a graph input that is gone": {
      kind: "set_input",
      ...END,
      input: "p",
      was: { param: "sead" },
      to: { param: "gone" },
    },
    "of an input that is connected": { kind: "connect", ...END, input: "b", source: "model.vae" },
    "to a name that is taken": { kind: "rename_input", ...END, input: "mode", to: "b" },
    "of another type": { kind: "rename_input", node: "take", type: "Take@2", input: "mode", to: "mood" },
    "of an input that the new type has": { kind: "remove_input", node: "take", type: "Take@2", input: "n" },
    "of a type that was changed": { kind: "set_type", node: "take", was: "Tkae@1", to: "Taken@1" },
    "of a wire that was cut": {
      kind: "insert_node",
      ...END,
      input: "mode",
      source: "model.vae",
      type: "Encode@1",
      enters: "image",
      leaves: "latent",
    },
  };
  test.each(Object.keys(STALE))("%s changes nothing", (name) => {
    expect(fixed(GRAPH, STALE[name] as Fix)).toBe(GRAPH);
  });
});
