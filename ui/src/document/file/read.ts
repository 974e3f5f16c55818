/** Reads a graph document strictly. Accepts what `engine/document/reader.py` accepts, and names line and field. */

import {
  type Binding,
  EMPTY_GRAPH,
  type Entry,
  type From,
  from,
  type Graph,
  type GraphInput,
  type Lift,
  literal,
  type Point,
  param,
} from "../graph";
import { isList, isObject, type Json, type JsonObject } from "../json/json";
import { lineAt, type Places, parseJson } from "../json/parseJson";
import { DocumentError, type DocumentProblem, type Path, short } from "../problems";
import { Fields, shown } from "./fields";
import { FORMAT, INPUT_TYPES, LIFTS, LINK, MAX_NESTED, MAX_NODES, TYPE, WIRE } from "./format";
import { readView } from "./readView";

/**
 * Read a graph from the text of a file.
 *
 * @throws DocumentError with every problem found, each with its line.
 */
export function readGraph(text: string): Graph {
  const tree = parseJson(text);
  try {
    return graphOf(tree);
  } catch (error) {
    if (error instanceof DocumentError) throw new DocumentError(located(error.problems, text));
    throw error;
  }
}

/**
 * The graph that parsed JSON describes.
 *
 * @throws DocumentError with every problem found; they have paths, but no lines.
 */
export function graphOf(tree: Json): Graph {
  const reader = new Reader();
  const graph = reader.whole(tree);
  if (reader.fields.problems.length) throw new DocumentError(reader.fields.problems);
  return graph;
}

/** Problems with the line of each path; the text is read a second time, because only broken documents need it. */
function located(problems: readonly DocumentProblem[], text: string): DocumentProblem[] {
  const places: Places = new Map();
  const root = parseJson(text, places);
  return problems.map((item) => {
    let value: Json | undefined = root;
    let offset = 0;
    for (const key of item.path) {
      const next: number | undefined =
        typeof value === "object" && value ? places.get(value)?.get(key) : undefined;
      if (next === undefined) break;
      offset = next;
      value = isObject(value) ? value.get(String(key)) : isList(value) ? value[Number(key)] : undefined;
    }
    return { ...item, line: lineAt(text, offset) };
  });
}

const KEYS = ["title", "doc", "inputs", "outputs", "passes", "nodes", "graphs", "layout", "view"];

class Reader {
  readonly fields = new Fields();

  whole(tree: Json): Graph {
    const object = this.fields.object(tree, "the graph", []);
    if (object === undefined) return EMPTY_GRAPH;
    const version = object.get("safelight");
    if (typeof version !== "number" || !Number.isInteger(version) || version < 1) {
      this.fields.bad("not_a_graph", 'this is not a Safelight graph: it has no "safelight": 1', []);
      return EMPTY_GRAPH;
    }
    if (version > FORMAT) {
      const message = `a newer Safelight saved this graph (format ${version})`;
      this.fields.bad("newer_format", message, ["safelight"], { hint: "update Safelight" });
      return EMPTY_GRAPH;
    }
    const madeWith = new Map<string, string>();
    const versions = this.fields.part(object, "made_with", "made_with", []);
    for (const name of versions.keys()) {
      madeWith.set(name, this.fields.text(versions, name, `made_with ${short(name)}`, ["made_with"]));
    }
    return { ...this.document(object, "the graph", [], 0, ["safelight", "made_with"]), madeWith };
  }

  private document(
    tree: JsonObject,
    place: string,
    path: Path,
    depth: number,
    head: readonly string[],
  ): Graph {
    const { fields } = this;
    fields.rejectUnknownKeys(tree, [...KEYS, ...head], place, path);
    const listed = fields.part(tree, "nodes", "the list of nodes", path);
    const nodes = new Map<string, Entry>();
    if (listed.size > MAX_NODES) {
      const message = `the graph has ${listed.size.toLocaleString("en")} nodes; the limit is ${MAX_NODES.toLocaleString("en")}`;
      fields.bad("too_many", message, [...path, "nodes"]);
    } else {
      for (const [name, item] of listed) {
        const at = [...path, "nodes", name];
        if (fields.isId(name, "the node id", at)) nodes.set(name, this.entry(name, item, at));
      }
    }
    return {
      madeWith: EMPTY_GRAPH.madeWith,
      title: fields.text(tree, "title", "the title", path),
      doc: fields.text(tree, "doc", "the doc", path),
      inputs: this.inputs(tree, path),
      outputs: this.outputs(tree, path),
      passes: this.passes(tree, path),
      nodes,
      graphs: this.graphs(tree, path, depth),
      layout: this.layout(tree, path),
      view: readView(fields, tree, path),
    };
  }

  private inputs(tree: JsonObject, path: Path): Map<string, GraphInput> {
    const inputs = new Map<string, GraphInput>();
    for (const [name, item] of this.fields.part(tree, "inputs", "the list of inputs", path)) {
      const at = [...path, "inputs", name];
      if (this.fields.isId(name, "the graph input", at)) inputs.set(name, this.input(name, item, at));
    }
    return inputs;
  }

  private input(name: string, item: Json, path: Path): GraphInput {
    const { fields } = this;
    const place = `the graph input ${short(name)}`;
    const tree = fields.object(item, place, path);
    if (tree === undefined) return { type: "json", default: undefined, doc: "", choices: [], sweep: 0 };
    fields.rejectUnknownKeys(tree, ["type", "default", "doc", "choices", "sweep"], place, path);
    const kind = tree.get("type");
    const isWire = typeof kind === "string" && WIRE.test(kind);
    if (!isWire) {
      const hint = `use one of ${INPUT_TYPES.join(", ")}, or a wire type such as Image`;
      fields.bad("bad_input_type", `the type of ${place} is ${shown(kind)}`, [...path, "type"], { hint });
    }
    const type = isWire ? kind : "json";
    const choices = tree.get("choices") ?? [];
    if ((type === "choice") !== tree.has("choices") || !isList(choices)) {
      const hint = 'write a list of choices if the type is "choice", and none otherwise';
      fields.bad("bad_input_type", `${place} has choices that do not match its type`, path, { hint });
    } else if (type === "choice" && choices.length === 0) {
      fields.bad("bad_input_type", `${place} has no choices`, [...path, "choices"], {
        hint: "list at least one",
      });
    }
    const sweep = tree.get("sweep");
    const isSweep =
      typeof sweep === "number" && Number.isInteger(sweep) && sweep >= 1 && isList(tree.get("default"));
    if (tree.has("sweep") && !isSweep) {
      const hint = "write a list of values as the default, and as sweep its number among the sweeps: 1, 2, …";
      fields.bad("bad_sweep", `the sweep of ${place} is ${shown(sweep)}`, [...path, "sweep"], { hint });
    }
    return {
      type,
      default: tree.get("default"),
      doc: fields.text(tree, "doc", `the doc of ${place}`, path),
      choices: isList(choices) ? choices : [],
      sweep: isSweep ? sweep : 0,
    };
  }

  private outputs(tree: JsonObject, path: Path): Map<string, From> {
    const outputs = new Map<string, From>();
    for (const [name, item] of this.fields.part(tree, "outputs", "the list of outputs", path)) {
      const at = [...path, "outputs", name];
      if (!this.fields.isId(name, "the graph output", at)) continue;
      const link = bindingOf(item);
      if (link?.kind === "from") outputs.set(name, link);
      else {
        const message = `the graph output ${short(name)} is ${shown(item)}`;
        this.fields.bad("bad_output", message, at, { hint: 'write {"from": "node.output"}' });
      }
    }
    return outputs;
  }

  private passes(tree: JsonObject, path: Path): Map<string, string> {
    const passes = new Map<string, string>();
    for (const [output, input] of this.fields.part(tree, "passes", "passes", path)) {
      if (typeof input === "string") passes.set(output, input);
      else {
        const message = `passes names ${shown(input)} for the output ${short(output)}`;
        const hint = "write the name of an input of the graph";
        this.fields.bad("bad_passes", message, [...path, "passes", output], { hint });
      }
    }
    return passes;
  }

  private graphs(tree: JsonObject, path: Path, depth: number): Map<string, Graph> {
    const graphs = new Map<string, Graph>();
    for (const [name, item] of this.fields.part(tree, "graphs", "the list of graphs", path)) {
      const at = [...path, "graphs", name];
      if (depth >= MAX_NESTED) {
        this.fields.bad("too_deep", `graphs are defined within graphs more than ${MAX_NESTED} deep`, at);
        break;
      }
      const inner = this.fields.object(item, `the graph ${short(name)}`, at);
      if (this.fields.isId(name, "the graph name", at) && inner) {
        graphs.set(name, this.document(inner, `the graph ${short(name)}`, at, depth + 1, []));
      }
    }
    return graphs;
  }

  private layout(tree: JsonObject, path: Path): Map<string, Point> {
    const layout = new Map<string, Point>();
    for (const [name, item] of this.fields.part(tree, "layout", "the layout", path)) {
      const point = this.fields.wholeNumbers(item, 2);
      if (point) layout.set(name, point as unknown as Point);
      else {
        const message = `the layout of ${short(name)} is ${shown(item)}`;
        const hint = "write two whole numbers: [x, y]";
        this.fields.bad("bad_layout", message, [...path, "layout", name], { hint });
      }
    }
    return layout;
  }

  private entry(node: string, item: Json, path: Path): Entry {
    const { fields } = this;
    const none: Entry = { type: "", title: "", off: false, lift: "zip", inputs: new Map() };
    if (!isObject(item)) {
      fields.bad("bad_node", `the node is ${shown(item)}, not an object`, path, { node });
      return none;
    }
    const type = item.get("type");
    if (typeof type !== "string" || !TYPE.test(type)) {
      const hint = 'write a node type such as "Denoise@1"';
      fields.bad("bad_type", `the node's type is ${shown(type)}`, [...path, "type"], { node, hint });
    }
    for (const key of item.keys()) {
      if (["type", "title", "off", "lift", "inputs"].includes(key)) continue;
      const hint = "the keys of a node are type, title, off, lift and inputs";
      fields.bad("unknown_key", `the node has the unknown key ${short(key)}`, [...path, key], { node, hint });
    }
    const off = item.get("off") ?? false;
    if (typeof off !== "boolean" || item.get("off") === null) {
      const hint = "write true or false";
      fields.bad("bad_node", `"off" is ${shown(item.get("off"))}`, [...path, "off"], { node, hint });
    }
    const lift = item.has("lift") ? item.get("lift") : LIFTS[0];
    if (!LIFTS.includes(lift as Lift)) {
      const hint = "write zip or cross";
      fields.bad("bad_node", `"lift" is ${shown(lift)}`, [...path, "lift"], { node, hint });
    }
    const title = fields.text(item, "title", `the title of ${short(node)}`, path);
    const bindings = item.has("inputs") ? item.get("inputs") : new Map<string, Json>();
    if (!isObject(bindings)) {
      fields.bad("bad_node", `"inputs" is ${shown(bindings)}, not an object`, [...path, "inputs"], { node });
      return none;
    }
    const inputs = new Map<string, Binding>();
    for (const [input, value] of bindings) {
      const binding = bindingOf(value);
      if (binding) inputs.set(input, binding);
      else {
        const hint =
          'write a value, {"from": "node.output"} or {"param": "name"}; an object as {"value": {…}}';
        fields.bad("bad_binding", `the input is ${shown(value)}`, [...path, "inputs", input], {
          node,
          input,
          hint,
        });
      }
    }
    return { type: String(type), title, off: off === true, lift: lift as Lift, inputs };
  }
}

/** An input of a node; undefined for an object that has none of the three forms. */
function bindingOf(value: Json): Binding | undefined {
  if (!isObject(value)) return literal(value);
  if (value.size !== 1) return undefined;
  const [link, name, inner] = [value.get("from"), value.get("param"), value.get("value")];
  if (typeof link === "string" && LINK.test(link)) {
    const dot = link.indexOf(".");
    return from(link.slice(0, dot), link.slice(dot + 1));
  }
  if (typeof name === "string") return param(name);
  return inner === undefined ? undefined : literal(inner);
}
