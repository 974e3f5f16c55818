/** Wire types: how a canvas draws them, and which output fits which input. The rules are those of the engine's check. */

/** The type of an input or output: a name, and the number of lists around it. */
export interface WireType {
  readonly name: string;
  readonly lists: number;
  /** True for a type variable, which stands for the type of the first wire. */
  readonly variable: boolean;
}

/** The seven families, each with a colour. */
export type Family = "pixels" | "latents" | "conditioning" | "models" | "text" | "training" | "values";
export type Shape = "circle" | "square" | "triangle";

/** How a canvas draws a wire type, and which inputs take it, as the server describes it. */
export interface WireLook {
  readonly family: string;
  readonly shape: Shape;
  readonly lists: number;
  readonly fits: readonly string[];
  readonly variable?: boolean | undefined;
}

export const ANY = "any";
const LIST = "list of ";

/** Read the name of a wire type: `Image`, `list of Image`. */
export function wireType(text: string, variable = false): WireType {
  let name = text;
  let lists = 0;
  for (; name.startsWith(LIST); lists += 1) name = name.slice(LIST.length);
  return { name, lists, variable };
}

/** The name of a wire type as it is written. */
export function wireName(type: WireType): string {
  return LIST.repeat(type.lists) + type.name;
}

/** A wire type with its article, for sentences: `an Image`, `a list of Image`. */
export function withArticle(type: WireType): string {
  const text = type.variable || (type.name === ANY && !type.lists) ? "value of any type" : wireName(type);
  return `${/^[aeio]|^int/i.test(text) ? "an" : "a"} ${text}`;
}
