import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { wired } from "../../testing/arbitraries";
import { readGraph } from "../file/read";
import { writeGraph } from "../file/write";
import { type Graph, wires } from "../graph";
import { copyText, duplicate, pasteText } from "./clipboard";
import { addFrame, dissolveFrame, frameAround, frameBox, membersOf, moveItems, putInFrame } from "./frames";
import { addOutput, deleteInput, expose, renameInput, unexpose } from "./graphInputs";
import { addNode, deleteItems, renameNode, renameProblem } from "./nodes";
import { heldValue, resetValue, setValue } from "./values";
import {
  connect,
  deleteAndHeal,
  disconnect,
  insertOnWire,
  setBinding,
  withWaypoints,
  wouldCycle,
} from "./wires";

const DOCUMENT = `{
  "safelight": 1,
  "inputs": {
    "prompt": {"type": "text", "default": "a star"}
  },
  "outputs": {
    "image": {"from": "decode.out"}
  },
  "nodes": {
    "model": {"type": "LoadModel@1"},
    "positive": {"type": "EncodePrompt@2", "inputs": {
      "encoder": {"from": "model.encoder"},
      "prompt": {"param": "prompt"}
    }},
    "denoise": {"type": "Denoise@2", "inputs": {
      "model": {"from": "model.model"},
      "positive": {"from": "positive.out"},
      "steps": 20
    }},
    "decode": {"type": "Decode@1", "inputs": {
      "vae": {"from": "model.vae"},
      "latent": {"from": "denoise.latent"}
    }}
  },
  "layout": {
    "model": [0, 0],
    "positive": [320, 0],
    "denoise": [640, 0],
    "decode": [960, 0]
  },
  "view": {
    "frames": {
      "text": {"title": "Text", "nodes": ["positive"]}
    },
    "notes": {
      "hint": {"text": "Try it", "at": [0, 400]}
    },
    "collapsed": [
      "positive"
    ],
    "waypoints": {
      "decode.latent": [[900, 50]]
    }
  }
}
`;

const graph = readGraph(DOCUMENT);
const links = (item: Graph) =>
  [...wires(item)].map((wire) => `${wire.from.node}.${wire.from.output} > ${wire.to.node}.${wire.to.input}`);

describe("nodes", () => {
  test("are added with a free id", () => {
    const once = addNode(graph, "Decode@1", [10.4, -0.2]);
    const twice = addNode(once.graph, "Decode@1", [0, 0]);
    expect([once.id, twice.id]).toEqual(["decode-2", "decode-3"]);
    expect(once.graph.layout.get(once.id)).toEqual([10, 0]);
    expect(addNode(graph, "ApplyLoRA@1", [0, 0]).id).toBe("apply-lora");
    expect(addNode(graph, "./my graph.json", [0, 0]).id).toBe("my-graph");
  });

  test("are deleted with their wires, outputs, positions and places in frames", () => {
    const gone = deleteItems(graph, { nodes: ["decode", "positive"], notes: ["hint"] });
    expect(writeGraph(gone)).toBe(`{
  "safelight": 1,
  "inputs": {
    "prompt": {"type": "text", "default": "a star"}
  },
  "nodes": {
    "model": {"type": "LoadModel@1"},
    "denoise": {"type": "Denoise@2", "inputs": {
      "model": {"from": "model.model"},
      "steps": 20
    }}
  },
  "layout": {
    "model": [0, 0],
    "denoise": [640, 0]
  },
  "view": {
    "frames": {
      "text": {"title": "Text"}
    }
  }
}
`);
  });

  test("are renamed wherever they are named", () => {
    const renamed = renameNode(renameNode(graph, "positive", "words"), "decode", "paint");
    expect(writeGraph(renamed)).toBe(
      DOCUMENT.replace(/\bpositive\b(?!": \{"from)/g, "words").replace(/\bdecode\b/g, "paint"),
    );
    expect(writeGraph(renameNode(renameNode(renamed, "words", "positive"), "paint", "decode"))).toBe(
      DOCUMENT,
    );
    expect(renameProblem(graph, "positive", "decode")).toBeDefined();
    expect(renameProblem(graph, "positive", "a b")).toBeDefined();
    expect(renameNode(graph, "positive", "decode")).toBe(graph);
  });
});

describe("wires", () => {
  test("are connected, replaced and cut, and lose their waypoints", () => {
    const to = { node: "decode", input: "latent" };
    const replaced = connect(graph, { kind: "from", node: "other", output: "x" }, to);
    expect(links(replaced)).toContain("other.x > decode.latent");
    expect(replaced.view.waypoints.size).toBe(0);
    const cut = disconnect(graph, to);
    expect(links(cut)).toEqual(links(graph).filter((link) => !link.endsWith("decode.latent")));
    expect(cut.view.waypoints.size).toBe(0);
    expect(disconnect(graph, { node: "denoise", input: "steps" })).toBe(graph);
    expect(connect(graph, { kind: "from", node: "denoise", output: "latent" }, to)).toBe(graph);
  });

  test("bend through points", () => {
    const to = { node: "decode", input: "vae" };
    const bent = withWaypoints(graph, to, [[1.2, 3.8]]);
    expect(bent.view.waypoints.get("decode.vae")).toEqual([[1, 4]]);
    expect(writeGraph(withWaypoints(bent, to, []))).toBe(DOCUMENT);
  });

  test("take a node between their ends", () => {
    const added = addNode(graph, "Filter@1", [0, 0]);
    const inserted = insertOnWire(added.graph, { node: "decode", input: "latent" }, added.id, "image", "out");
    expect(links(inserted)).toContain("denoise.latent > filter.image");
    expect(links(inserted)).toContain("filter.out > decode.latent");
    const healed = deleteAndHeal(inserted, [added.id], () => "image");
    expect(links(healed)).toEqual(links(graph));
  });

  test("heal through several deleted nodes, and outputs of the graph heal too", () => {
    const passes = (_: string, output: string) => (output === "out" ? "latent" : "positive");
    const healed = deleteAndHeal(graph, ["denoise", "decode"], passes);
    expect(healed.outputs.get("image")).toEqual({ kind: "from", node: "positive", output: "out" });
    expect(deleteAndHeal(graph, ["decode"], () => undefined).outputs.size).toBe(0);
  });

  test("that would close a cycle are recognised", () => {
    fc.assert(
      fc.property(wired, fc.nat(), fc.nat(), (item, a, b) => {
        const ids = [...item.nodes.keys()];
        const [source, target] = [ids[a % ids.length] ?? "", ids[b % ids.length] ?? ""];
        const next = connect(
          item,
          { kind: "from", node: source, output: "out" },
          { node: target, input: "new" },
        );
        expect(wouldCycle(item, source, target)).toBe(hasCycle(next));
      }),
    );
  });
});

/** True if nodes remain after all without unmet wires are removed, again and again. */
function hasCycle(item: Graph): boolean {
  const left = new Set(item.nodes.keys());
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const id of left) {
      const needs = [...wires(item)].filter((wire) => wire.to.node === id).map((wire) => wire.from.node);
      if (!needs.some((node) => left.has(node))) left.delete(id);
    }
  }
  return left.size > 0;
}

describe("values", () => {
  test("are set and reset without a trace", () => {
    const end = { node: "denoise", input: "seed" };
    expect(heldValue(graph, end)).toBeUndefined();
    const set = setValue(graph, end, 7);
    expect(heldValue(set, end)).toBe(7);
    expect(writeGraph(resetValue(set, end))).toBe(DOCUMENT);
  });

  test("of a graph input are set in the graph input", () => {
    const end = { node: "positive", input: "prompt" };
    const set = setValue(graph, end, "a moon");
    expect(heldValue(set, end)).toBe("a moon");
    expect(writeGraph(set)).toBe(DOCUMENT.replace("a star", "a moon"));
  });

  test("are exposed as graph inputs and taken back", () => {
    const end = { node: "denoise", input: "steps" };
    const item = { type: "int", default: 20, doc: "", choices: [], sweep: 0 };
    const exposed = expose(graph, end, "steps", item);
    expect(exposed.name).toBe("steps");
    expect(exposed.graph.inputs.get("steps")).toEqual(item);
    expect(writeGraph(unexpose(exposed.graph, end))).toBe(DOCUMENT);
    const renamed = renameInput(exposed.graph, "steps", "count");
    expect(renamed.nodes.get("denoise")?.inputs.get("steps")).toEqual({ kind: "param", name: "count" });
    expect(writeGraph(deleteInput(renamed, "count"))).toBe(DOCUMENT);
    expect(renameInput(exposed.graph, "steps", "prompt")).toBe(exposed.graph);
  });

  test("of a graph input that several inputs take stay until none takes it", () => {
    const [first, second] = [
      { node: "positive", input: "prompt" },
      { node: "denoise", input: "note" },
    ];
    const both = setBinding(graph, second, { kind: "param", name: "prompt" });
    expect(unexpose(both, first).inputs.has("prompt")).toBe(true);
    expect(unexpose(unexpose(both, first), second).inputs.has("prompt")).toBe(false);
  });

  test("are outputs of the graph under a free name", () => {
    const added = addOutput(graph, { kind: "from", node: "denoise", output: "latent" }, "image");
    expect(added.name).toBe("image-2");
  });
});

describe("copied text", () => {
  test("pastes as new nodes, wired among themselves", () => {
    const text = copyText(graph, { nodes: ["denoise", "decode"], notes: ["hint"] });
    const pasted = pasteText(graph, text, [0, 1000]);
    expect(pasted.nodes).toEqual(["denoise-2", "decode-2"]);
    expect(pasted.notes).toEqual(["hint-2"]);
    const added = links(pasted.graph).filter((link) => !links(graph).includes(link));
    expect(added).toEqual(["denoise-2.latent > decode-2.latent"]);
    expect(pasted.graph.layout.get("denoise-2")).toEqual([640, 1000]);
    expect(pasted.graph.view.waypoints.get("decode-2.latent")).toEqual([[900, 1050]]);
  });

  test("pastes with the wires that come in", () => {
    const text = copyText(graph, { nodes: ["denoise", "decode"] });
    const { graph: next } = pasteText(graph, text, [0, 1000], true);
    const added = links(next).filter((link) => !links(graph).includes(link));
    expect(added.sort()).toEqual([
      "denoise-2.latent > decode-2.latent",
      "model.model > denoise-2.model",
      "model.vae > decode-2.vae",
      "positive.out > denoise-2.positive",
    ]);
  });

  test("carries frames with their members, and values of graph inputs that the target lacks", () => {
    const text = copyText(graph, { frames: ["text"] });
    const empty = readGraph('{"safelight": 1}');
    const pasted = pasteText(empty, text, [0, 0]);
    expect(pasted.frames).toEqual(["text"]);
    expect(pasted.graph.view.frames.get("text")?.nodes).toEqual(["positive"]);
    expect(pasted.graph.view.collapsed).toEqual(["positive"]);
    expect(heldValue(pasted.graph, { node: "positive", input: "prompt" })).toBe("a star");
    expect(pasted.graph.inputs.size).toBe(0);
    const again = pasteText(graph, text, [0, 0]);
    expect(again.graph.nodes.get("positive-2")?.inputs.get("prompt")).toEqual({
      kind: "param",
      name: "prompt",
    });
  });

  test("brings the subgraphs that it uses, under a free name if another graph has it", () => {
    const inner = (title: string) => `{"safelight": 1, "nodes": {"use": {"type": "#one"}},
      "graphs": {"one": {"title": "${title}", "nodes": {"deep": {"type": "#two"}}}, "two": {}, "three": {}}}`;
    const text = copyText(readGraph(inner("a")), { nodes: ["use"] });
    const target = readGraph(inner("a"));
    expect([...pasteText(target, text, [0, 0]).graph.graphs.keys()]).toEqual(["one", "two", "three"]);
    const other = pasteText(readGraph(inner("b")), text, [0, 0]).graph;
    expect([...other.graphs.keys()]).toEqual(["one", "two", "three", "one-2"]);
    expect(other.nodes.get("use-2")?.type).toBe("#one-2");
  });

  test("of a choice of nodes duplicates them beside themselves", () => {
    const twice = duplicate(graph, { nodes: ["decode"] });
    expect(twice.graph.layout.get("decode-2")).toEqual([992, 32]);
    expect(links(twice.graph)).toContain("denoise.latent > decode-2.latent");
  });

  test("is a graph document, whatever is copied", () => {
    fc.assert(
      fc.property(wired, fc.array(fc.nat()), (item, chosen) => {
        const ids = [...item.nodes.keys()];
        const nodes = chosen.map((n) => ids[n % ids.length] ?? "");
        const pasted = pasteText(item, copyText(item, { nodes }), [0, 0], true);
        expect(pasted.nodes).toHaveLength(new Set(nodes).size);
        expect(deleteItems(pasted.graph, { nodes: pasted.nodes })).toEqual(item);
      }),
    );
  });
});

describe("frames", () => {
  const items = { nodes: ["denoise", "decode"] };

  test("have their members by name, and each is in one frame", () => {
    const framed = addFrame(graph, { nodes: ["positive", "denoise"] }, "Draw");
    expect(framed.id).toBe("Draw");
    expect(frameAround(framed.graph, "nodes", "positive")).toBe("Draw");
    expect(framed.graph.view.frames.get("text")?.nodes).toEqual([]);
    const moved = putInFrame(framed.graph, { nodes: ["positive"] }, "text");
    expect(framed.graph.view.frames.get("Draw")?.nodes).toEqual(["positive", "denoise"]);
    expect(moved.view.frames.get("Draw")?.nodes).toEqual(["denoise"]);
    expect(putInFrame(moved, { nodes: ["positive"] }, undefined).view.frames.get("text")?.nodes).toEqual([]);
  });

  test("lie in each other, and give their members to the frame around them when they go", () => {
    const outer = addFrame(graph, items);
    const inner = addFrame(outer.graph, { nodes: ["decode"] });
    expect(inner.graph.view.frames.get(outer.id)).toMatchObject({ nodes: ["denoise"], frames: [inner.id] });
    expect([...membersOf(inner.graph, [outer.id]).nodes].sort()).toEqual(["decode", "denoise"]);
    const dissolved = dissolveFrame(inner.graph, inner.id);
    expect(dissolved.view.frames.get(outer.id)).toMatchObject({ nodes: ["denoise", "decode"], frames: [] });
    expect(
      putInFrame(inner.graph, { frames: [outer.id] }, inner.id).view.frames.get(inner.id)?.frames,
    ).toEqual([]);
  });

  test("move with everything inside, and bent wires between their members follow", () => {
    const outer = addFrame(graph, { ...items, notes: ["hint"] });
    const moved = moveItems(outer.graph, { frames: [outer.id], nodes: ["denoise"] }, [10, 20]);
    expect(moved.layout.get("denoise")).toEqual([650, 20]);
    expect(moved.layout.get("decode")).toEqual([970, 20]);
    expect(moved.layout.get("model")).toEqual([0, 0]);
    expect(moved.view.notes.get("hint")?.at).toEqual([10, 420]);
    expect(moved.view.waypoints.get("decode.latent")).toEqual([[910, 70]]);
  });

  test("fit their members", () => {
    const outer = addFrame(graph, items);
    const box = frameBox(
      outer.graph,
      outer.id,
      (id) => [...(graph.layout.get(id) ?? [0, 0]), 240, 100] as const,
    );
    const [left, top, width, height] = box ?? [0, 0, 0, 0];
    expect(left).toBeLessThan(640);
    expect(top).toBeLessThan(0);
    expect(left + width).toBeGreaterThan(960 + 240);
    expect(top + height).toBeGreaterThan(100);
    const empty = addFrame(graph, {});
    expect(frameBox(empty.graph, empty.id, () => undefined)).toBeUndefined();
  });
});
