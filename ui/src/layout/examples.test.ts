/** The example graphs on the canvas: their layouts, and the geometry of their nodes. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { readGraph } from "../document/file/read";
import { writeGraph } from "../document/file/write";
import { type Graph, wires } from "../document/graph";
import { geometry } from "../schema/geometry";
import type { NodeTypes } from "../schema/nodeTypes";
import { type Scope, typedGraph } from "../schema/typedGraph";
import { listNodeTypes } from "../testing/nodeTypes";
import { COLUMN_GAP, type Size, SNAP, tidy } from "./tidy";

const EXAMPLES = new URL("../../../graphs/", import.meta.url);
const names = readdirSync(EXAMPLES).filter((name) => name.endsWith(".json") && name !== "graph.schema.json");
const UPDATE = process.env.UPDATE_LAYOUTS === "1";

let types: NodeTypes;

beforeAll(() => {
  types = listNodeTypes();
}, 60_000);

function sizes(scope: Scope): (id: string) => Size {
  const typed = typedGraph(types, scope);
  return (id) => {
    const entry = scope[0].nodes.get(id);
    const collapsed = scope[0].view.collapsed.includes(id);
    const drawn = { collapsed, wired: typed.wiredOutputs(id) };
    return entry ? geometry(typed.type(id), entry, drawn) : { width: 0, height: 0 };
  };
}

/** Every graph of a document with the graphs around it. */
function* scopes(scope: Scope): Generator<Scope> {
  yield scope;
  for (const inner of scope[0].graphs.values()) yield* scopes([inner, ...scope]);
}

async function laidOut(scope: Scope): Promise<Graph> {
  const [graph] = scope;
  const graphs = new Map<string, Graph>();
  for (const [name, inner] of graph.graphs) graphs.set(name, await laidOut([inner, ...scope]));
  return { ...graph, graphs, layout: await tidy({ ...graph, layout: new Map() }, sizes(scope)) };
}

/** The pairs of nodes that overlap, and the wires that do not go from left to right. */
function faults(scope: Scope): string[] {
  const [graph] = scope;
  const sizeOf = sizes(scope);
  const found: string[] = [];
  const boxes = [...graph.nodes.keys()].map((id) => {
    const [x, y] = graph.layout.get(id) ?? [Number.NaN, Number.NaN];
    const { width, height } = sizeOf(id);
    return { id, left: x, top: y, right: x + width, bottom: y + height };
  });
  for (const [n, a] of boxes.entries()) {
    if (Number.isNaN(a.left)) found.push(`${a.id} has no position`);
    for (const b of boxes.slice(n + 1)) {
      if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
        found.push(`${a.id} on ${b.id}`);
    }
  }
  for (const { from, to } of wires(graph)) {
    const [x = 0] = graph.layout.get(from.node) ?? [];
    const [end = 0] = graph.layout.get(to.node) ?? [];
    if (x + sizeOf(from.node).width + COLUMN_GAP - SNAP > end)
      found.push(`${from.node} is not left of ${to.node}`);
  }
  return found;
}

describe.each(names)("the example %s", (name) => {
  test("has a layout that reads from left to right without overlaps", async () => {
    const url = new URL(name, EXAMPLES);
    if (UPDATE) writeFileSync(url, writeGraph(await laidOut([readGraph(readFileSync(url, "utf8"))])));
    for (const scope of scopes([readGraph(readFileSync(url, "utf8"))])) {
      expect(scope[0].nodes.size).toBeGreaterThan(0);
      expect(faults(scope)).toEqual([]);
    }
  });

  test("has only known node types and inputs", () => {
    for (const scope of scopes([readGraph(readFileSync(new URL(name, EXAMPLES), "utf8"))])) {
      const typed = typedGraph(types, scope);
      for (const [id, item] of scope[0].nodes) {
        expect(typed.type(id).missing).toBe(false);
        for (const input of item.inputs.keys()) expect(typed.input({ node: id, input })).toBeDefined();
      }
    }
  });
});
