/** A few node types in the form in which the server describes them. */

import { type NodeTypeJson, NodeTypes } from "../schema/nodeTypes";
import type { WireLook } from "../schema/wireType";

const look = (family: string, shape: WireLook["shape"], fits: readonly string[], lists = 0): WireLook => ({
  family,
  shape,
  lists,
  fits,
});

const WIRES: { [name: string]: WireLook } = {
  Image: look("pixels", "circle", ["Image", "any"]),
  "list of Image": look("pixels", "circle", ["list of Image", "any"], 1),
  Mask: look("pixels", "circle", ["Mask", "any"]),
  Latent: look("latents", "circle", ["Latent", "any"]),
  Model: look("models", "square", ["Model", "Part", "any"]),
  Vae: look("models", "square", ["Vae", "Part", "any"]),
  Part: look("models", "square", ["Part", "any"]),
  Conditioning: look("conditioning", "circle", ["Conditioning", "any"]),
  int: look("values", "triangle", ["int", "float", "any"]),
  "list of int": look("values", "triangle", ["list of int", "list of float", "any"], 1),
  float: look("values", "triangle", ["float", "any"]),
  text: look("text", "circle", ["text", "any"]),
  bool: look("values", "circle", ["bool", "any"]),
  json: look("values", "circle", ["json", "any"]),
  "list of json": look("values", "circle", ["list of json", "any"], 1),
  any: look("values", "circle", ["any"]),
  T: { family: "values", shape: "circle", lists: 0, fits: [], variable: true },
};

type Inputs = NodeTypeJson["inputs"];

const wire = (name: string): Inputs[string] => ({ wire: name, required: true });
const optional = (name: string, value: unknown, more: object = {}): Inputs[string] => ({
  wire: name,
  required: false,
  default: value,
  ...more,
});
const advanced = { "x-advanced": true };

function kind(
  type: string,
  category: string,
  inputs: Inputs,
  outputs: NodeTypeJson["outputs"],
  more: Partial<NodeTypeJson> = {},
): NodeTypeJson {
  const used = [...Object.values(inputs).map((input) => input.wire), ...Object.values(outputs)];
  const wires = Object.fromEntries(
    used.map((name) => [name, WIRES[name] ?? look("values", "circle", [name])]),
  );
  return { type, category, doc: `${type} does its work.`, inputs, outputs, wires, ...more };
}

export const SMALL: readonly NodeTypeJson[] = [
  kind(
    "LoadModel@1",
    "load",
    { model: optional("text", "tiny", { "x-widget": { kind: "file", choices_from: "checkpoints" } }) },
    { model: "Model", vae: "Vae" },
    { aliases: ["CheckpointLoaderSimple", "LoadCheckpoint"] },
  ),
  kind(
    "EncodePrompt@2",
    "prompt",
    {
      model: wire("Model"),
      prompt: optional("text", "", { "x-widget": { kind: "text", multiline: true } }),
      skip: optional("int", 1, advanced),
      negative: optional("bool", false, advanced),
    },
    { out: "Conditioning", used: "int" },
    { advanced_outputs: ["used"] },
  ),
  kind(
    "Denoise@3",
    "sampling",
    {
      model: wire("Model"),
      positive: wire("Conditioning"),
      latent: wire("Latent"),
      seed: optional("int", 0, { "x-widget": { kind: "seed", random: "random" }, maximum: 99 }),
      steps: optional("int", 20, { "x-widget": { kind: "number", min: 1, max: 100, step: null } }),
      guidance: optional("float", 7.0),
      sampler: optional("text", "euler", { enum: ["euler", "ddim"] }),
    },
    { latent: "Latent" },
    { aliases: ["KSampler"], previews: true },
  ),
  kind("EmptyLatent@1", "latent", { width: optional("int", 512) }, { out: "Latent" }),
  kind(
    "ListSeeds@1",
    "lists",
    { count: optional("int", 4) },
    { out: "list of int" },
    { doc: "List several seeds." },
  ),
  kind(
    "Decode@1",
    "latent",
    { vae: wire("Vae"), latent: wire("Latent") },
    { out: "Image" },
    { converts: "latent", doc: "Turn a latent into a picture." },
  ),
  kind(
    "Encode@1",
    "latent",
    { vae: wire("Vae"), image: wire("Image") },
    { out: "Latent" },
    { converts: "image" },
  ),
  kind("ImageToMask@1", "mask", { image: wire("Image") }, { out: "Mask" }, { converts: "image" }),
  kind(
    "Blur@1",
    "image",
    { image: wire("Image"), size: optional("float", 1.0) },
    { out: "Image" },
    { passes: { out: "image" } },
  ),
  kind(
    "Composite@1",
    "image",
    { base: wire("Image"), top: wire("Image"), mask: optional("Mask", null) },
    { out: "Image" },
  ),
  kind("Grid@1", "image", { images: wire("list of Image") }, { out: "Image" }),
  kind("Show@1", "other", { value: wire("any") }, {}),
  kind("Keep@1", "other", { data: { wire: "any", required: true, "x-json": true } }, {}),
  kind(
    "Switch@1",
    "choose",
    { select: optional("int", 1), a: wire("T"), b: optional("T", null) },
    { out: "T" },
  ),
  kind(
    "ApplyLoRA@1",
    "model",
    {
      model: wire("Model"),
      lora: optional("text", "", { "x-widget": { kind: "file", choices_from: "loras" } }),
      weight: optional("float", 0.75),
      blocks: optional("text", "", advanced),
      on: optional("bool", true),
      more: optional("list of json", [], {
        "x-widget": {
          kind: "stack",
          choices_from: "loras",
          row: { lora: {}, weight: {}, blocks: {}, on: {} },
        },
      }),
    },
    { model: "Model" },
    { passes: { model: "model" } },
  ),
  kind(
    "OldBlur@1",
    "image",
    { image: wire("Image") },
    { out: "Image" },
    { deprecated: "use Blur instead", replaced_by: "Blur" },
  ),
  kind("Sharpen@1", "image", { picture: wire("Image"), size: optional("float", 1.0) }, { out: "Image" }),
];

export const types = new NodeTypes(SMALL);
