import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renamePort, unpack } from "../document/edit/subgraphs";
import { readGraph } from "../document/file/read";
import { writeGraph } from "../document/file/write";
import { type Graph, wires } from "../document/graph";
import { types } from "../testing/smallTypes";
import { between, makeSubgraph } from "./subgraph";
import { typedGraph } from "./typedGraph";

const FOLDER = fileURLToPath(new URL("../../../graphs/", import.meta.url));
const EXAMPLES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".json") && !name.includes("schema"))
  .map((name) => readGraph(readFileSync(join(FOLDER, name), "utf8")));
const typed = (graph: Graph) => typedGraph(types, [graph]);

/** The graph with its nodes, positions and view in the order of their names, as text. */
function sorted(graph: Graph): string {
  const byName = <T>(map: ReadonlyMap<string, T>) => new Map([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  const view = { ...graph.view, collapsed: [...graph.view.collapsed].sort() };
  return writeGraph({ ...graph, nodes: byName(graph.nodes), layout: byName(graph.layout), view });
}

const chosenNodes = fc
  .constantFrom(...EXAMPLES)
  .chain((graph) =>
    fc.record({ graph: fc.constant(graph), nodes: fc.subarray([...graph.nodes.keys()], { minLength: 1 }) }),
  );

describe("a subgraph", () => {
  test("of any nodes of an example, unpacked again, gives the graph as it was", () => {
    fc.assert(
      fc.property(chosenNodes, ({ graph, nodes }) => {
        fc.pre(between(graph, new Set(nodes)) === undefined);
        const made = makeSubgraph(graph, typed(graph), { nodes }, "group");
        expect(made.graph.nodes.size).toBe(graph.nodes.size - nodes.length + 1);
        const inner = made.graph.graphs.get(made.graph.nodes.get(made.id)?.type.slice(1) ?? "");
        if (!inner) throw new Error("the subgraph is not defined");
        // Every wire into it enters an input that it declares, and every wire out of it leaves a declared output.
        for (const name of made.graph.nodes.get(made.id)?.inputs.keys() ?? [])
          expect(inner.inputs.has(name)).toBe(true);
        for (const { from } of wires(made.graph)) {
          if (from.node === made.id) expect(inner.outputs.has(from.output)).toBe(true);
        }
        expect(readGraph(writeGraph(made.graph))).toEqual(made.graph);
        expect(sorted(unpack(made.graph, made.id, inner).graph)).toBe(sorted(graph));
      }),
      { numRuns: 150 },
    );
  });

  test("cannot be made around a node that stays outside", () => {
    const chain = readGraph(
      JSON.stringify({
        safelight: 1,
        nodes: {
          a: { type: "EmptyLatent@1" },
          b: { type: "Decode@1", inputs: { latent: { from: "a.out" } } },
          c: { type: "Blur@1", inputs: { image: { from: "b.out" } } },
          d: { type: "Blur@1", inputs: { image: { from: "c.out" } } },
        },
      }),
    );
    expect(between(chain, new Set(["a", "d"]))).toBe("c");
    expect(between(chain, new Set(["b", "c"]))).toBeUndefined();
  });

  test("has the types of what it takes, keeps the controls, and shows what nothing takes", () => {
    const graph = readGraph(
      JSON.stringify({
        safelight: 1,
        inputs: { steps: { type: "int", default: 20 } },
        nodes: {
          model: { type: "LoadModel@1" },
          one: { type: "Denoise@3", inputs: { model: { from: "model.model" }, steps: { param: "steps" } } },
          two: {
            type: "Denoise@3",
            inputs: { model: { from: "model.model" }, latent: { from: "one.latent" } },
          },
        },
      }),
    );
    const made = makeSubgraph(graph, typed(graph), { nodes: ["one", "two"] }, "group");
    const inner = made.graph.graphs.get("group");
    expect([...(inner?.inputs ?? [])].map(([name, item]) => [name, item.type])).toEqual([
      ["steps", "int"],
      ["model", "Model"],
    ]);
    expect([...(inner?.outputs.values() ?? [])]).toEqual([{ kind: "from", node: "two", output: "latent" }]);
    expect(made.graph.nodes.get("group")?.inputs.get("steps")).toEqual({ kind: "param", name: "steps" });
  });

  test("renames an input and an output at every node that stands for it, and at no other", () => {
    const twice = EXAMPLES.find((graph) => graph.title === "Changed twice");
    if (!twice) throw new Error("there is no such example");
    const one = renamePort(twice, ["change"], "inputs", "image", "picture");
    const both = renamePort(one, ["change"], "outputs", "image", "changed");
    expect(both.nodes.get("once")?.inputs.has("picture")).toBe(true);
    expect(both.nodes.get("twice")?.inputs.get("picture")).toEqual({
      kind: "from",
      node: "once",
      output: "changed",
    });
    expect(both.nodes.get("resize")?.inputs.has("image")).toBe(true);
    expect(both.outputs.get("second")?.output).toBe("changed");
    const back = renamePort(both, ["change"], "inputs", "picture", "image");
    expect(writeGraph(renamePort(back, ["change"], "outputs", "changed", "image"))).toBe(writeGraph(twice));
  });
});
