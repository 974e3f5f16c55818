/** The word after `<` in a prompt, which names an embedding or a LoRA. */

/** A word that is being typed: the text between its `<` and the caret. */
export interface OpenWord {
  /** The place of the `<`. */
  readonly start: number;
  readonly end: number;
  /** The letters after the `<`. */
  readonly query: string;
}

/** A word may have these letters; anything else ends it, so `a < b` and `<lora:ink:0.5>` are left alone. */
const OPEN = /<([\p{L}\p{N}_.\-/\\]{0,64})$/u;

/** The word before the caret that can be completed; undefined if there is none. */
export function openWord(text: string, caret: number): OpenWord | undefined {
  const found = OPEN.exec(text.slice(Math.max(0, caret - 70), caret));
  if (!found) return undefined;
  const query = found[1] ?? "";
  return { start: caret - query.length - 1, end: caret, query };
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
