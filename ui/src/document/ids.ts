/** New ids for nodes, frames, notes, graph inputs and outputs. */

import { ID } from "./file/format";
import { isGraphType, typeName } from "./graph";

const LONGEST = 60;

/** A free id: the wanted one, or the same with the next free number: `decode`, `decode-2`, `decode-3`. */
export function freeId(wanted: string, taken: { has(id: string): boolean }): string {
  const id = asId(wanted);
  if (!taken.has(id)) return id;
  const stem = id.replace(/-[0-9]{1,4}$/, "");
  for (let n = 2; ; n += 1) {
    if (!taken.has(`${stem}-${n}`)) return `${stem}-${n}`;
  }
}

/** The id for a new node of a type: `encode-prompt` for `EncodePrompt@2`, `upscale` for `./upscale.json`. */
export function idForType(type: string): string {
  const name = isGraphType(type) ? type.replace(/^[#.]/, "").replace(/\.json$/, "") : typeName(type);
  return asId(
    words(name.split("/").at(-1) ?? name)
      .join("-")
      .toLowerCase(),
  );
}

/** The words of a name in camel case: `Encode`, `Prompt`. */
export function words(name: string): string[] {
  const whole = name.replaceAll("LoRA", "Lora").replaceAll("ControlNet", "Controlnet");
  return whole.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+/g) ?? [name];
}

/** A text as an id: other characters become hyphens. */
export function asId(text: string): string {
  const id = text
    .normalize("NFKD")
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, LONGEST);
  return ID.test(id) ? id : "node";
}
