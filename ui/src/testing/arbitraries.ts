/** Random documents for property tests. */

import fc from "fast-check";
import { ID, LIFTS } from "../document/file/format";
import {
  type Binding,
  EMPTY_GRAPH,
  type Entry,
  type Frame,
  from,
  type Graph,
  type GraphInput,
  literal,
  type Note,
  type Point,
  param,
} from "../document/graph";
import { asFloat, Float, type Json } from "../document/json/json";

export const id = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,5}$/).filter((text) => ID.test(text)),
  fc.nat(20).map(String), // keys that JavaScript would sort
);

/** A text of any characters, without halves of surrogate pairs. */
export const text = fc
  .string({ unit: "binary", maxLength: 8 })
  .filter((value) => !/\p{Surrogate}/u.test(value));

const number: fc.Arbitrary<Json> = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 80n }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(asFloat),
  fc.integer().map((value) => new Float(value)),
);

export const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    text,
    number,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.array(fc.tuple(fc.oneof(text, id), tie("json")), { maxLength: 3 }).map((items) => new Map(items)),
  ),
}));

const point: fc.Arbitrary<Point> = fc.tuple(fc.integer(), fc.integer());
const colour = fc.constantFrom("", "models", "#12abef");

function record<T>(value: fc.Arbitrary<T>, maxLength = 4): fc.Arbitrary<Map<string, T>> {
  return fc.array(fc.tuple(id, value), { maxLength }).map((items) => new Map(items));
}

const graphInput: fc.Arbitrary<GraphInput> = fc.oneof(
  fc.record({
    type: fc.constantFrom("text", "seed", "int", "float", "bool", "file", "json", "Image", "list of Image"),
    default: fc.option(json, { nil: undefined }),
    doc: text,
    choices: fc.constant([]),
    sweep: fc.constant(0),
  }),
  fc.record({
    type: fc.constant("choice"),
    default: fc.array(json, { maxLength: 2 }),
    doc: text,
    choices: fc.array(json, { minLength: 1, maxLength: 3 }),
    sweep: fc.nat(3),
  }),
);

const words = fc.stringMatching(/^[^.]{0,6}$/).filter((value) => !/\p{Surrogate}/u.test(value));

const binding: fc.Arbitrary<Binding> = fc.oneof(
  json.map(literal),
  fc.tuple(id, words).map(([node, output]) => from(node, output)),
  fc.oneof(id, text).map(param),
);

const entry: fc.Arbitrary<Entry> = fc.record({
  type: fc.constantFrom("Denoise@1", "acme/Upscale@30", "Plain", "#inner", "./other.json", "../a b/c.json"),
  title: text,
  off: fc.boolean(),
  lift: fc.constantFrom(...LIFTS),
  inputs: fc.array(fc.tuple(fc.oneof(id, text), binding), { maxLength: 4 }).map((items) => new Map(items)),
});

const frame: fc.Arbitrary<Frame> = fc.record({
  title: text,
  colour,
  nodes: fc.array(id, { maxLength: 3 }),
  notes: fc.array(id, { maxLength: 2 }),
  frames: fc.array(id, { maxLength: 2 }),
  box: fc.option(fc.tuple(fc.integer(), fc.integer(), fc.nat(), fc.nat()), { nil: undefined }),
});

const note: fc.Arbitrary<Note> = fc.record({
  text,
  at: point,
  size: fc.option(point, { nil: undefined }),
  colour,
});

function graphOfDepth(depth: number): fc.Arbitrary<Graph> {
  return fc.record({
    madeWith: fc.constant(EMPTY_GRAPH.madeWith),
    title: text,
    doc: text,
    inputs: record(graphInput),
    outputs: record(fc.tuple(id, words).map(([node, output]) => from(node, output))),
    passes: record(text, 2),
    nodes: record(entry, 6),
    graphs: depth > 0 ? record(graphOfDepth(depth - 1), 2) : fc.constant(new Map()),
    layout: record(point, 6),
    view: fc.record({
      frames: record(frame, 2),
      notes: record(note, 2),
      collapsed: fc.array(id, { maxLength: 2 }),
      waypoints: fc
        .array(fc.tuple(id, words, fc.array(point, { maxLength: 2 })), { maxLength: 2 })
        .map((items) => new Map(items.map(([node, input, points]) => [`${node}.${input}`, points]))),
    }),
  });
}

/** A graph of any content; its wires may lead nowhere. */
export const graph: fc.Arbitrary<Graph> = fc
  .tuple(graphOfDepth(1), record(text, 2))
  .map(([inner, madeWith]) => ({ ...inner, madeWith }));

/** A graph whose wires lead from one of its nodes to a later one. */
export const wired: fc.Arbitrary<Graph> = fc
  .tuple(
    fc.uniqueArray(id, { minLength: 1, maxLength: 8 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(), fc.constantFrom("a", "b", "c")), { maxLength: 14 }),
    fc.array(point, { minLength: 8, maxLength: 8 }),
  )
  .map(([ids, links, points]) => {
    const nodes = new Map<string, Entry>();
    for (const [n, name] of ids.entries()) {
      const inputs = new Map<string, Binding>([["value", literal(n)]]);
      for (const [to, source, input] of links) {
        const earlier = n > 0 ? ids[source % n] : undefined;
        if (to % ids.length === n && earlier !== undefined) inputs.set(input, from(earlier, "out"));
      }
      nodes.set(name, { type: "Node@1", title: "", off: false, lift: "zip", inputs });
    }
    const layout = new Map(ids.map((name, n): [string, Point] => [name, points[n] ?? [0, 0]]));
    return { ...EMPTY_GRAPH, nodes, layout };
  });
