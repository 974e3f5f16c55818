/**
 * A graph with the types of its nodes and wires: type variables filled in, subgraphs looked up, and the lists that nodes
 * go through added.
 */

import { heldValue } from "../document/edit/values";
import { INPUT_TYPES } from "../document/file/format";
import { type From, type Graph, type InputEnd, isGraphType, wires } from "../document/graph";
import { isList } from "../document/json/json";
import { graphInputType, missingType, NO_TYPE, wireOf } from "./graphType";
import { type InputType, type NodeType, type NodeTypes, named } from "./nodeTypes";
import { ANY, type WireType, wireType } from "./wireType";

/** A graph, then the graphs around it, outwards: `#name` is looked up in each in turn. */
export type Scope = readonly [Graph, ...Graph[]];

/** A type, and the names of the lists that its outermost levels go through, outermost first. */
interface Lifted {
  readonly wire: WireType;
  readonly axes: readonly string[];
}

const NO_OUTPUTS: ReadonlySet<string> = new Set();
const UNKNOWN: Lifted = { wire: wireType(ANY), axes: [] };
/** The subgraphs whose types are being found, which ends the search in a graph that contains itself. */
const entered = new Set<Graph>();

/**
 * Answers what type each node, input and output of a graph has. Answers are kept, so asking again is cheap. It knows
 * nothing of positions and frames, so it stays the same while nodes move.
 */
export class TypedGraph {
  readonly types: NodeTypes;
  readonly nodes: Graph["nodes"];
  readonly scope: Scope;
  private readonly known = new Map<string, NodeType>();
  private readonly lifted = new Map<string, Lifted>();
  private wired: Map<string, Set<string>> | undefined;

  constructor(types: NodeTypes, scope: Scope) {
    this.types = types;
    this.scope = scope;
    this.nodes = scope[0].nodes;
  }

  /** The type of a node. An unknown type has the inputs and outputs that the graph uses, and is `missing`. */
  type(node: string): NodeType {
    const kept = this.known.get(node);
    if (kept) return kept;
    const item = this.nodes.get(node);
    if (!item) return NO_TYPE;
    const found = isGraphType(item.type) ? this.subgraphType(item.type) : this.types.get(item.type);
    const type = found ?? missingType(this.scope[0], node, item);
    this.known.set(node, type);
    return type;
  }

  /** An input of a node; undefined if its type has none of this name. */
  input(end: InputEnd): InputType | undefined {
    return named(this.type(end.node).inputs, end.input);
  }

  /** The type of the values that an output gives; `any` where it cannot be known. */
  output(source: From): WireType {
    return this.liftedOutput(source).wire;
  }

  /** The outputs of a node that a wire or an output of the graph takes. */
  wiredOutputs(node: string): ReadonlySet<string> {
    if (!this.wired) {
      this.wired = new Map();
      const links = [...wires(this.scope[0])].map((wire) => wire.from);
      for (const link of [...links, ...this.scope[0].outputs.values()]) {
        const names = this.wired.get(link.node);
        if (names) names.add(link.output);
        else this.wired.set(link.node, new Set([link.output]));
      }
    }
    return this.wired.get(node) ?? NO_OUTPUTS;
  }

  /** The graph that a type `#name` means, with the graphs around it. */
  subgraph(type: string): Scope | undefined {
    for (const [n, around] of this.scope.entries()) {
      const inner = around.graphs.get(type.slice(1));
      if (inner) return [inner, ...this.scope.slice(n)];
    }
    return undefined;
  }

  /** The node that makes the picture of a node: `group/decode` in the subgraph that `group` stands for, else itself. */
  maker(node: string): string {
    const type = this.nodes.get(node)?.type ?? "";
    const scope = type.startsWith("#") && !this.type(node).missing ? this.subgraph(type) : undefined;
    const inner = scope && typedGraph(this.types, scope);
    const link = [...(scope?.[0].outputs.values() ?? [])].find(
      (end) => inner && this.types.family(inner.output(end)) === "pixels",
    );
    return inner && link ? `${node}/${inner.maker(link.node)}` : node;
  }

  private subgraphType(type: string): NodeType | undefined {
    const scope = type.startsWith("#") ? this.subgraph(type) : undefined;
    if (!scope || entered.has(scope[0])) return undefined;
    const [graph] = scope;
    entered.add(graph);
    const inner = typedGraph(this.types, scope);
    const outputs = [...graph.outputs].map(([name, link]) => ({
      name,
      wire: inner.output(link),
      advanced: false,
    }));
    entered.delete(graph);
    return {
      ...NO_TYPE,
      id: type,
      name: type,
      category: "graph",
      doc: graph.doc || graph.title,
      inputs: [...graph.inputs].map(([name, item]) => graphInputType(name, item)),
      outputs,
      passes: graph.passes,
      preview: outputs.some((output) => this.types.family(output.wire) === "pixels"),
      missing: false,
    };
  }

  private liftedOutput(source: From): Lifted {
    const key = `${source.node}.${source.output}`;
    const kept = this.lifted.get(key);
    if (kept) return kept;
    this.lifted.set(key, UNKNOWN); // ends a cycle
    const found = this.lift(source);
    this.lifted.set(key, found);
    return found;
  }

  private lift(source: From): Lifted {
    const item = this.nodes.get(source.node);
    const type = this.type(source.node);
    const output = named(type.outputs, source.output);
    if (!item || !output) return UNKNOWN;
    const passed = item.off ? type.passes.get(source.output) : undefined;
    if (passed !== undefined) return this.offered({ node: source.node, input: passed }) ?? UNKNOWN;
    const levels: (readonly string[])[] = [];
    let variable: WireType | undefined;
    for (const input of type.inputs) {
      const offered = this.offered({ node: source.node, input: input.name });
      if (!offered) continue;
      const extra = offered.wire.lists - input.wire.lists;
      if (input.wire.variable) variable ??= { ...offered.wire, lists: Math.max(extra, 0) };
      else if (input.wire.name !== ANY && extra > 0) {
        levels.push(axes(offered, `${source.node}.${input.name}`, extra));
      }
    }
    const all = item.lift === "cross" ? [...new Set(levels.flat())] : longest(levels);
    const element = output.wire.variable ? (variable ?? wireType(ANY)) : output.wire;
    const lists = element.lists + (output.wire.variable ? output.wire.lists : 0) + all.length;
    return { wire: { ...element, lists }, axes: all };
  }

  /** What an input takes, from a wire or as a list; undefined for a single value. */
  private offered(end: InputEnd): Lifted | undefined {
    const binding = this.nodes.get(end.node)?.inputs.get(end.input);
    if (binding?.kind === "from") return this.liftedOutput(binding);
    const type = binding?.kind === "param" ? this.scope[0].inputs.get(binding.name)?.type : undefined;
    if (type !== undefined && !INPUT_TYPES.some((plain) => plain === type))
      return { wire: wireType(type), axes: [] };
    const value = heldValue(this.scope[0], end);
    return isList(value) ? { wire: wireOf(value), axes: [] } : undefined;
  }
}

/** The names of the outermost lists of a type that a node goes through. */
function axes(offered: Lifted, name: string, count: number): readonly string[] {
  const own = Array.from({ length: Math.max(count - offered.axes.length, 0) }, (_, n) => `${name}#${n}`);
  return [...offered.axes.slice(0, count), ...own];
}

function longest(levels: readonly (readonly string[])[]): readonly string[] {
  return levels.reduce<readonly string[]>((best, names) => (names.length > best.length ? names : best), []);
}

const cache = new WeakMap<Graph["nodes"], TypedGraph>();

/** The typed form of a graph. Moving nodes keeps it; changing a node or a type makes a new one. */
export function typedGraph(types: NodeTypes, scope: Scope): TypedGraph {
  const [graph] = scope;
  const kept = cache.get(graph.nodes);
  if (kept && kept.types === types && sameTypes(kept.scope, scope)) return kept;
  const typed = new TypedGraph(types, scope);
  cache.set(graph.nodes, typed);
  return typed;
}

function sameTypes(a: Scope, b: Scope): boolean {
  const same = a.length === b.length && a.every((graph, n) => graph.graphs === b[n]?.graphs);
  return same && a[0].inputs === b[0].inputs && a[0].outputs === b[0].outputs;
}
