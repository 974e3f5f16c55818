/**
 * Search for a node type. Terms are separated by spaces and all must match; `:mask` chooses a category, and `@image` a
 * wire type that the node takes or gives.
 */

import { words } from "../document/ids";
import { type NodeType, type NodeTypes, summary } from "./nodeTypes";
import { wireName } from "./wireType";

/** A found node type. */
export interface Found {
  readonly type: NodeType;
  /** The letters of the name that the query matches, as [start, end]; empty if it matches elsewhere. */
  readonly marks: readonly (readonly [start: number, end: number])[];
  /** The other name that matches; undefined if the name itself does, or nothing is typed. */
  readonly alias: string | undefined;
}

/** How well a term matches, from the best to the worst. */
const EXACT = 0;
const PREFIX = 1;
const WORD = 2;
const INSIDE = 3;
const FUZZY = 4;
const IN_DOC = 5;
/** An alias is a little worse than the name. */
const ALIAS = 0.4;

/**
 * The types that match a query: exact names, then prefixes, words, letters in order, then words of the description.
 * Equal matches have the recently used first, then the order of the list.
 *
 * @param recent names of types, the last used first.
 */
export function search(
  types: readonly NodeType[],
  query: string,
  recent: readonly string[] = [],
): readonly Found[] {
  const terms = query.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const filters = terms.filter((term) => /^[:@]./.test(term));
  const plain = terms.filter((term) => !/^[:@]/.test(term));
  const found: { item: Found; score: number; recency: number; place: number }[] = [];
  for (const [place, type] of types.entries()) {
    if (type.deprecated && !plain.includes(type.name.toLowerCase())) continue;
    if (!filters.every((term) => matchesFilter(type, term))) continue;
    const match = matched(type, plain);
    if (!match) continue;
    const at = recent.indexOf(type.name);
    found.push({ item: { type, ...match }, score: match.score, recency: at < 0 ? recent.length : at, place });
  }
  found.sort((a, b) => a.score - b.score || a.recency - b.recency || a.place - b.place);
  return found.map(({ item: { type, marks, alias } }) => ({ type, marks, alias }));
}

/** The categories of all types, each with its types, in alphabetical order. */
export function byCategory(types: NodeTypes): ReadonlyMap<string, readonly NodeType[]> {
  const groups = new Map<string, NodeType[]>();
  for (const type of types.types) {
    if (type.deprecated) continue;
    const group = groups.get(type.category);
    if (group) group.push(type);
    else groups.set(type.category, [type]);
  }
  return new Map([...groups].sort(([a], [b]) => a.localeCompare(b)));
}

function matchesFilter(type: NodeType, term: string): boolean {
  const wanted = term.slice(1);
  if (term.startsWith(":")) return type.category.toLowerCase().startsWith(wanted);
  return [...type.inputs, ...type.outputs].some((socket) => {
    const name = wireName(socket.wire).toLowerCase();
    return name.startsWith(wanted) || socket.wire.name.toLowerCase().startsWith(wanted);
  });
}

type Match = { readonly score: number; readonly marks: Found["marks"]; readonly alias: string | undefined };

function matched(type: NodeType, terms: readonly string[]): Match | undefined {
  if (!terms.length) return { score: 0, marks: [], alias: undefined };
  const joined = terms.join("");
  const whole = matchTerm(type, joined);
  if (whole && whole.score <= PREFIX + ALIAS) return whole;
  let score = 0;
  let alias: string | undefined;
  const marks: (readonly [number, number])[] = [];
  for (const term of terms) {
    const best = matchTerm(type, term);
    if (!best) return undefined;
    score = Math.max(score, best.score);
    marks.push(...best.marks);
    alias ??= best.alias;
  }
  return { score, marks: marks.sort((a, b) => a[0] - b[0]), alias };
}

function matchTerm(type: NodeType, term: string): Match | undefined {
  const own = matchName(type.name, term);
  let best: Match | undefined = own && { ...own, alias: undefined };
  for (const alias of type.aliases) {
    const other = matchName(alias, term);
    const score = other && other.score + ALIAS;
    if (score !== undefined && score < (best?.score ?? FUZZY)) best = { score, marks: [], alias };
  }
  if (best) return best;
  const text = summary(type).toLowerCase();
  return term.length >= 3 && text.includes(term) ? { score: IN_DOC, marks: [], alias: undefined } : undefined;
}

function matchName(name: string, term: string): { score: number; marks: Found["marks"] } | undefined {
  const lower = name.toLowerCase();
  if (lower === term) return { score: EXACT, marks: [[0, name.length]] };
  if (lower.startsWith(term)) return { score: PREFIX, marks: [[0, term.length]] };
  let start = 0;
  for (const word of words(name)) {
    const at = lower.indexOf(word.toLowerCase(), start);
    if (at >= 0 && lower.startsWith(term, at)) return { score: WORD, marks: [[at, at + term.length]] };
    if (at >= 0) start = at + word.length;
  }
  const inside = lower.indexOf(term);
  if (inside >= 0) return { score: INSIDE, marks: [[inside, inside + term.length]] };
  const marks = lettersInOrder(lower, term);
  return marks && { score: FUZZY, marks };
}

/** The places of the letters of a term in a name, in order; undefined if one is missing. */
function lettersInOrder(name: string, term: string): Found["marks"] | undefined {
  const marks: [number, number][] = [];
  let at = 0;
  for (const letter of term) {
    const found = name.indexOf(letter, at);
    if (found < 0) return undefined;
    const last = marks.at(-1);
    if (last && last[1] === found) last[1] = found + 1;
    else marks.push([found, found + 1]);
    at = found + 1;
  }
  return marks;
}
