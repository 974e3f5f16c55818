/** Undo and redo as a list of labelled steps over immutable states. */

/** The most steps that can be undone. */
export const MAX_STEPS = 200;

/** One step: what a person did, and the states before and after. */
export interface Step<T> {
  readonly label: string;
  readonly before: T;
  readonly after: T;
  /** Steps that follow each other with the same key are one; undefined for a step of its own. */
  readonly merge: string | undefined;
}

/** A state with the steps that led to it, and those that were undone, the next one to redo last. */
export interface History<T> {
  readonly present: T;
  readonly past: readonly Step<T>[];
  readonly future: readonly Step<T>[];
}

export function startHistory<T>(present: T): History<T> {
  return { present, past: [], future: [] };
}

/** With one more step. An unchanged state adds none; what was undone before can no longer be redone. */
export function commit<T>(history: History<T>, after: T, label: string, merge?: string): History<T> {
  if (after === history.present) return history;
  const last = history.past.at(-1);
  const joins = merge !== undefined && last?.merge === merge && history.future.length === 0;
  const kept = joins ? history.past.slice(0, -1) : history.past.slice(-(MAX_STEPS - 1));
  const step = { label, before: joins ? last.before : history.present, after, merge };
  return { present: after, past: [...kept, step], future: [] };
}

/** With the last step finished: the next one with the same key is a step of its own. */
export function settle<T>(history: History<T>): History<T> {
  const last = history.past.at(-1);
  if (last?.merge === undefined) return history;
  return { ...history, past: [...history.past.slice(0, -1), { ...last, merge: undefined }] };
}

/** One step back; the same history if there is none. */
export function undo<T>(history: History<T>): History<T> {
  const step = history.past.at(-1);
  if (step === undefined) return history;
  const future = [...history.future, { ...step, merge: undefined }];
  return settle({ present: step.before, past: history.past.slice(0, -1), future });
}

/** One step forward again; the same history if there is none. */
export function redo<T>(history: History<T>): History<T> {
  const step = history.future.at(-1);
  if (step === undefined) return history;
  return { present: step.after, past: [...history.past, step], future: history.future.slice(0, -1) };
}
