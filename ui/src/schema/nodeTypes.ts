/** The index of `GET /api/v1/node-types`: every node type with its inputs, outputs and controls. */

import { fromPlain, type Json } from "../document/json/json";
import { ANY, type Family, type WireLook, type WireType, wireName, wireType } from "./wireType";

/** A node type as the server describes it. */
export interface NodeTypeJson {
  readonly type: string;
  readonly category: string;
  readonly doc: string;
  readonly inputs: { readonly [name: string]: InputJson };
  readonly outputs: { readonly [name: string]: string };
  readonly wires: { readonly [type: string]: WireLook };
  readonly aliases?: readonly string[] | undefined;
  readonly passes?: { readonly [output: string]: string } | undefined;
  readonly deprecated?: string | undefined;
  readonly replaced_by?: string | undefined;
  readonly [more: string]: unknown;
}

/** An input as the server describes it: a JSON Schema of its literal, with its wire and its control. */
export interface InputJson {
  readonly wire: string;
  readonly required: boolean;
  readonly default?: unknown;
  readonly description?: string | undefined;
  readonly [more: string]: unknown;
}

/** The control of an input; a `none` takes wires only. */
export type Widget =
  | { readonly kind: "none" }
  | { readonly kind: "switch" }
  | { readonly kind: "choice"; readonly choices: readonly Json[] }
  | {
      readonly kind: "number";
      readonly whole: boolean;
      readonly min?: number;
      readonly max?: number;
      readonly step?: number;
    }
  | { readonly kind: "seed"; readonly random: string; readonly max: number }
  | { readonly kind: "text"; readonly multiline: boolean }
  // A file of one picture has `picture`.
  | { readonly kind: "file"; readonly files: string; readonly folder?: boolean; readonly picture?: boolean }
  | { readonly kind: "stack"; readonly files: string; readonly row: readonly string[] }
  | { readonly kind: "json" };

/** An input of a node type. */
export interface InputType {
  readonly name: string;
  readonly wire: WireType;
  readonly required: boolean;
  /** The value of an input that is not set; undefined if it is required. */
  readonly default: Json | undefined;
  readonly doc: string;
  readonly widget: Widget;
  /** True if a canvas hides the input until it is asked for more. */
  readonly advanced: boolean;
  readonly lazy: boolean;
  /** True if it takes any JSON value, but no picture, model and the like. */
  readonly plain: boolean;
}

/** An output of a node type. */
export interface OutputType {
  readonly name: string;
  readonly wire: WireType;
  readonly advanced: boolean;
}

/** A node type. */
export interface NodeType {
  /** As written in a graph: `Denoise@3`, `#change`. */
  readonly id: string;
  /** Without the version. */
  readonly name: string;
  readonly category: string;
  readonly doc: string;
  readonly inputs: readonly InputType[];
  readonly outputs: readonly OutputType[];
  readonly aliases: readonly string[];
  /** For each output, the input that replaces it when the node is off. */
  readonly passes: ReadonlyMap<string, string>;
  /** The input that a conversion node converts. */
  readonly converts: string | undefined;
  /** What to use instead; empty if the type is not deprecated. */
  readonly deprecated: string;
  readonly replacedBy: string;
  /** True if the node has a picture to show. */
  readonly preview: boolean;
  /** True if no such type is known; inputs and outputs are those that the graph uses. */
  readonly missing: boolean;
}

/** Every known node type, by name. */
export class NodeTypes {
  readonly types: readonly NodeType[];
  /** How each wire type is drawn, by its name as written. */
  readonly looks: ReadonlyMap<string, WireLook>;
  private readonly byName: ReadonlyMap<string, NodeType>;

  constructor(listed: readonly NodeTypeJson[]) {
    const looks = new Map<string, WireLook>();
    for (const item of listed) for (const [name, look] of Object.entries(item.wires)) looks.set(name, look);
    this.looks = looks;
    this.types = listed.map(nodeType);
    this.byName = new Map(this.types.map((type) => [type.name, type]));
  }

  /** The type of this name, with or without a version; undefined if it is not known. */
  get(type: string): NodeType | undefined {
    return this.byName.get(nameOf(type));
  }

  /** How a wire type is drawn. */
  look(type: WireType): WireLook {
    const own = this.looks.get(wireName(type));
    if (own) return own;
    const inner = this.looks.get(type.name);
    return { family: "values", shape: "circle", fits: [], ...inner, lists: type.lists };
  }

  /** The family of a wire type, which decides its colour. */
  family(type: WireType): Family {
    return this.look(type).family as Family;
  }

  /** True if values of the type exist only on wires: pictures, models, but not numbers and text. */
  isValue(type: WireType): boolean {
    return !type.variable && !PLAIN.has(type.name);
  }

  /** True if an output of this type may enter an input of the other type without a change. */
  fits(offered: WireType, wanted: WireType): boolean {
    if (wanted.variable || wanted.name === ANY) return true;
    if (offered.lists !== wanted.lists) return false;
    if (offered.name === wanted.name) return true;
    return this.look(offered).fits.includes(wireName(wanted));
  }
}

const PLAIN = new Set([ANY, "bool", "int", "float", "text", "json"]);

/** The name of a node type as a graph writes it, without its version. */
export function nameOf(type: string): string {
  return type.replace(/@[0-9]+$/, "");
}

/** The input or output of this name. */
export function named<T extends { readonly name: string }>(items: readonly T[], name: string): T | undefined {
  return items.find((item) => item.name === name);
}

/** The first sentence of a type's documentation. */
export function summary(type: NodeType): string {
  return type.doc.split("\n", 1)[0] ?? "";
}

function nodeType(item: NodeTypeJson): NodeType {
  const variable = (wire: string) => item.wires[wire]?.variable === true;
  const advanced = new Set(Array.isArray(item.advanced_outputs) ? (item.advanced_outputs as string[]) : []);
  const outputs = Object.entries(item.outputs).map(([name, wire]) => ({
    name,
    wire: wireType(wire, variable(wire)),
    advanced: advanced.has(name),
  }));
  return {
    id: item.type,
    name: nameOf(item.type),
    category: item.category,
    doc: item.doc,
    inputs: Object.entries(item.inputs).map(([name, input]) => inputType(name, input, item)),
    outputs,
    aliases: item.aliases ?? [],
    passes: new Map(Object.entries(item.passes ?? {})),
    converts: typeof item.converts === "string" ? item.converts : undefined,
    deprecated: item.deprecated ?? "",
    replacedBy: item.replaced_by ?? "",
    preview:
      item.previews === true ||
      outputs.some((output) => item.wires[wireName(output.wire)]?.family === "pixels"),
    missing: false,
  };
}

function inputType(name: string, item: InputJson, type: NodeTypeJson): InputType {
  const wire = wireType(item.wire, type.wires[item.wire]?.variable === true);
  const picture = Object.values(type.outputs).some((output) => ["Image", "Mask"].includes(output));
  return {
    name,
    wire,
    required: item.required,
    default: item.required ? undefined : fromPlain(item.default ?? null),
    doc: item.description ?? "",
    widget: widgetOf(item, wire, picture),
    advanced: item["x-advanced"] === true,
    lazy: item["x-lazy"] === true,
    plain: item["x-json"] === true,
  };
}

function widgetOf(item: InputJson, wire: WireType, picture: boolean): Widget {
  const declared = (item["x-widget"] ?? {}) as { readonly [key: string]: unknown };
  const files = String(declared.choices_from ?? "");
  switch (declared.kind) {
    case "seed":
      return {
        kind: "seed",
        random: String(declared.random ?? "random"),
        max: number(item.maximum) ?? Number.MAX_SAFE_INTEGER,
      };
    case "text":
      return { kind: "text", multiline: declared.multiline === true };
    case "file":
      return { kind: "file", files, folder: declared.folder === true, picture };
    case "stack":
      return { kind: "stack", files, row: Object.keys((declared.row ?? {}) as object) };
  }
  if (wire.variable || wire.name === ANY || !PLAIN.has(wire.name)) return { kind: "none" };
  if (wire.lists || wire.name === "json") return { kind: "json" };
  const schema = schemaOf(item);
  if (Array.isArray(schema.enum)) return { kind: "choice", choices: schema.enum.map(fromPlain) };
  if (wire.name === "bool") return { kind: "switch" };
  if (wire.name === "text") return { kind: "text", multiline: false };
  return { kind: "number", whole: wire.name === "int", ...limits(declared, schema) };
}

/** The schema of a value that is not null. */
function schemaOf(item: InputJson): { readonly [key: string]: unknown } {
  if (!Array.isArray(item.anyOf)) return item;
  const arms = item.anyOf as readonly { readonly [key: string]: unknown }[];
  return arms.find((arm) => arm.type !== "null") ?? item;
}

function limits(
  declared: { readonly [key: string]: unknown },
  schema: { readonly [key: string]: unknown },
): { min?: number; max?: number; step?: number } {
  const min = number(declared.min) ?? number(schema.minimum) ?? number(schema.exclusiveMinimum);
  const max = number(declared.max) ?? number(schema.maximum) ?? number(schema.exclusiveMaximum);
  const step = number(declared.step) ?? number(schema.multipleOf);
  return {
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(step === undefined ? {} : { step }),
  };
}

function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
