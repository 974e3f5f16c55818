import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { wired } from "../testing/arbitraries";
import { duplicate } from "./edit/clipboard";
import { addFrame, dissolveFrame, moveItems } from "./edit/frames";
import { deleteItems, moveNodes, renameNode, setCollapsed, setOff } from "./edit/nodes";
import { setValue } from "./edit/values";
import { connect, disconnect } from "./edit/wires";
import { writeGraph } from "./file/write";
import { EMPTY_GRAPH, entry, from, type Graph } from "./graph";
import { MAX_STEPS } from "./history";
import { createDocumentStore } from "./store";

/** Some change of a graph, chosen by numbers. */
function change(graph: Graph, kind: number, a: number, b: number): Graph {
  const ids = [...graph.nodes.keys()];
  const one = ids[a % Math.max(ids.length, 1)] ?? "none";
  const two = ids[b % Math.max(ids.length, 1)] ?? "none";
  const changes: (() => Graph)[] = [
    () => deleteItems(graph, { nodes: [one] }),
    () => moveNodes(graph, new Map([[one, [a, b]]])),
    () => renameNode(graph, one, `n${b}`),
    () => setOff(graph, [one], b % 2 === 0),
    () => setCollapsed(graph, [one, two], b % 2 === 0),
    () => duplicate(graph, { nodes: [one, two] }).graph,
    () => setValue(graph, { node: one, input: "value" }, b),
    () => connect(graph, from(one, "out"), { node: two, input: "a" }),
    () => disconnect(graph, { node: one, input: "a" }),
    () => addFrame(graph, { nodes: [one, two] }).graph,
    () => dissolveFrame(graph, [...graph.view.frames.keys()][0] ?? "none"),
    () => moveItems(graph, { frames: graph.view.frames.keys(), nodes: [one] }, [a, b]),
  ];
  return (changes[kind % changes.length] ?? (() => graph))();
}

const steps = fc.array(fc.tuple(fc.nat(11), fc.nat(20), fc.nat(20)), { maxLength: 12 });

describe("undo", () => {
  test("of every step gives the documents back, and redo leads to the last one again", () => {
    fc.assert(
      fc.property(wired, steps, (graph, chosen) => {
        const store = createDocumentStore(graph);
        const seen = [store.getState().root];
        for (const [kind, a, b] of chosen) {
          store.getState().edit("Change", (shown) => change(shown, kind, a, b));
          if (store.getState().root !== seen.at(-1)) seen.push(store.getState().root);
        }
        expect(store.getState().history.past).toHaveLength(seen.length - 1);
        for (const root of [...seen].reverse().slice(1)) {
          store.getState().undo();
          expect(store.getState().root).toBe(root);
        }
        expect(writeGraph(store.getState().root)).toBe(writeGraph(graph));
        expect(store.getState().undo()).toBeUndefined();
        for (const root of seen.slice(1)) {
          store.getState().redo();
          expect(store.getState().root).toBe(root);
        }
        expect(store.getState().redo()).toBeUndefined();
      }),
    );
  });

  test("goes back a limited number of steps", () => {
    const store = createDocumentStore();
    for (let n = 0; n <= MAX_STEPS; n += 1)
      store.getState().edit("Title", (graph) => ({ ...graph, title: `${n}` }));
    while (store.getState().undo());
    expect(store.getState().root.title).toBe("0");
  });

  test("takes back what is typed into one field at once, and each field by itself", () => {
    const store = createDocumentStore();
    const { edit, settle, undo } = store.getState();
    const type = (title: string, field: string) => edit("Type", (graph) => ({ ...graph, title }), field);
    for (const title of ["a", "ab", "abc"]) type(title, "one");
    for (const title of ["abcd", "abcde"]) type(title, "two");
    settle();
    type("abcdef", "two");
    const titles = [];
    while (undo()) titles.push(store.getState().root.title);
    expect(titles).toEqual(["abcde", "abc", ""]);
  });

  test("does not merge what is typed after an undo", () => {
    const store = createDocumentStore();
    const { edit, undo } = store.getState();
    const type = (title: string) => edit("Type", (graph) => ({ ...graph, title }), "one");
    type("a");
    edit("Doc", (graph) => ({ ...graph, doc: "b" }));
    undo();
    type("c");
    undo();
    expect(store.getState().root.title).toBe("a");
  });

  test("has no step for a change that changes nothing", () => {
    const store = createDocumentStore();
    store.getState().edit("Nothing", (graph) => deleteItems(graph, {}));
    store.getState().edit("Nothing", (graph) => moveNodes(graph, new Map([["none", [1, 2]]])));
    expect(store.getState().history.past).toEqual([]);
  });
});

const INNER: Graph = { ...EMPTY_GRAPH, nodes: new Map([["a", entry("A@1")]]) };
const OUTER: Graph = {
  ...EMPTY_GRAPH,
  nodes: new Map([["use", entry("#inner")]]),
  graphs: new Map([["inner", INNER]]),
};

describe("a subgraph", () => {
  test("is changed inside its document, and undo shows it", () => {
    const store = createDocumentStore(OUTER);
    store.getState().show(["inner"]);
    expect(store.getState().graph).toBe(INNER);
    store.getState().edit("Off", (graph) => setOff(graph, ["a"], true));
    expect(store.getState().root.graphs.get("inner")?.nodes.get("a")?.off).toBe(true);
    store.getState().show([]);
    expect(store.getState().graph.nodes.has("use")).toBe(true);
    store.getState().undo();
    expect(store.getState().root).toBe(OUTER);
    expect(store.getState().path).toEqual(["inner"]);
  });

  test("that does not exist is not shown", () => {
    const store = createDocumentStore(OUTER);
    store.getState().show(["none"]);
    expect(store.getState().path).toEqual([]);
  });
});

describe("computed positions", () => {
  test("become part of the document with its next change only", () => {
    const store = createDocumentStore(OUTER);
    store.getState().place(new Map([["use", [8, 16]]]));
    expect(store.getState().root).toBe(OUTER);
    expect(store.getState().graph.layout.get("use")).toEqual([8, 16]);
    store.getState().edit("Off", (graph) => setOff(graph, ["use"], true));
    expect(store.getState().root.layout.get("use")).toEqual([8, 16]);
    store.getState().undo();
    expect(store.getState().root).toBe(OUTER);
    expect(store.getState().graph.layout.get("use")).toEqual([8, 16]);
  });
});
