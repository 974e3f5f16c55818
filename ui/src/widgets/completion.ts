/** The word after `<`, `<lora:` or `embedding:` in a prompt, which names an embedding or a LoRA. */

/** A word that is being typed: the text between its beginning and the caret. */
export interface OpenWord {
  /** The place of the `<` or of `embedding:`. */
  readonly start: number;
  readonly end: number;
  /** The letters of the name. */
  readonly query: string;
  /** The kind of models that it can name; undefined for all with a word. */
  readonly kind?: string | undefined;
}

/** A name may have these letters; anything else ends it, so `a < b` and `<lora:ink:0.5>` are left alone. */
const OPEN =
  /(?:<|<(lora|hypernet|embedding):|(?<![\p{L}\p{N}_<])(embedding):)([\p{L}\p{N}_.\-/\\]{0,64})$/iu;

/** The word before the caret that can be completed; undefined if there is none. */
export function openWord(text: string, caret: number): OpenWord | undefined {
  const found = OPEN.exec(text.slice(Math.max(0, caret - 80), caret));
  if (!found) return undefined;
  const [whole, tag, bare, query = ""] = found;
  const kind = (tag ?? bare)?.toLowerCase().replace("hypernet", "hypernetwork");
  return { start: caret - whole.length, end: caret, query, kind };
}

/** The text with a word replaced by a completion, and the caret after it. A `>` that follows is taken over. */
export function withCompletion(
  text: string,
  word: OpenWord,
  insert: string,
): { text: string; caret: number } {
  const rest = text.slice(word.end);
  const closed = insert.endsWith(">") && rest.startsWith(">") ? rest.slice(1) : rest;
  return { text: text.slice(0, word.start) + insert + closed, caret: word.start + insert.length };
}
