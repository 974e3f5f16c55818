/** The words on a node, from the names of the file. */
import type { Binding } from "../../document/graph";
import type { OutputType } from "../../schema/nodeTypes";
import { type WireType, wireName } from "../../schema/wireType";

/** A name of the file as a label: `clip_skip` reads `clip skip`. */
export function label(name: string): string {
  return name.replaceAll("_", " ");
}

/** The label of an output; one that is called `out` is known by its type. */
export function outputLabel(output: OutputType, wire: WireType): string {
  if (output.name !== "out") return label(output.name);
  return wire.variable || wire.name === "any" ? "out" : typeWords(wire);
}

/** A wire type in words: `Image` reads `image`, `list of Image` reads `images, a list`. */
export function typeWords(wire: WireType): string {
  const name = wire.name.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase());
  return wire.lists > 0 ? wireName({ ...wire, name }) : name;
}

/** Where the value of an input comes from: `model.encoder`; `positive` for an output that is called `out`. */
export function sourceWords(binding: Binding | undefined): string {
  if (binding?.kind !== "from") return "";
  return binding.output === "out" ? binding.node : `${binding.node}.${binding.output}`;
}
