/** Drafts: the unsaved graph of a tab, on the server, and in this browser while the server is away. */
import { answer, api, type Schemas } from "../requests/client";
import { graphBody, graphIn, send, textIn } from "../requests/graphBody";
import { Refused } from "../requests/problems";

/** An unsaved graph. */
export interface Draft {
  /** The id of the draft; a tab has a new one for each graph that it opens. */
  id: string;
  /** The saved graph that it changes; null if it was never saved. */
  document: string | null;
  /** The revision that the changes are based on. */
  base: string | null;
  text: string;
  /** Seconds since the epoch. */
  saved: number;
}

const LOCAL = "safelight.draft.";
const CURRENT = "safelight.draft";
const KEPT = "safelight.draft.kept";
const LOCK = "safelight-draft-";
const CLAIM_MS = 500;

/** A new id: of a draft, or of a request. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The draft that this tab had before a reload; null in a new tab. */
export function draftOfTab(): string | null {
  return sessionStorage.getItem(CURRENT);
}

/** Whether the server or this browser may have the draft of this tab, also after a reload. */
export function hasDraft(): boolean {
  return sessionStorage.getItem(KEPT) !== null;
}

export function setHasDraft(isKept: boolean): void {
  if (isKept) sessionStorage.setItem(KEPT, "1");
  else sessionStorage.removeItem(KEPT);
}

let release: (() => void) | null = null;

/**
 * Make a draft the one of this tab, so that no other tab offers it.
 *
 * @returns False if another tab has it: a browser that duplicates a tab copies the tab's storage too.
 */
export async function claimDraft(id: string): Promise<boolean> {
  release?.();
  release = null;
  const isFree = await new Promise<boolean>((resolve) => {
    if (!("locks" in navigator)) return resolve(true);
    // The page before a reload may hold the lock for a moment longer.
    const hold = () => {
      resolve(true);
      return new Promise<void>((end) => {
        release = end;
      });
    };
    navigator.locks
      .request(LOCK + id, { signal: AbortSignal.timeout(CLAIM_MS) }, hold)
      .catch(() => resolve(false));
  });
  if (isFree) sessionStorage.setItem(CURRENT, id);
  return isFree;
}

/** The ids of the drafts that open tabs of this browser have. */
async function claimed(): Promise<Set<string>> {
  const own = draftOfTab();
  const names = new Set(own === null ? [] : [own]);
  if (!("locks" in navigator)) return names;
  const { held = [] } = await navigator.locks.query();
  for (const lock of held) {
    if (lock.name?.startsWith(LOCK)) names.add(lock.name.slice(LOCK.length));
  }
  return names;
}

/** Keep a draft in this browser at once; the server receives it next. */
export function keepLocally(draft: Draft): void {
  try {
    localStorage.setItem(LOCAL + draft.id, JSON.stringify(draft));
  } catch {
    // The storage is full or forbidden; the server has the draft.
  }
}

export function forgetLocally(id: string): void {
  localStorage.removeItem(LOCAL + id);
}

function localDrafts(): Draft[] {
  const drafts: Draft[] = [];
  for (let i = 0; i < localStorage.length; i += 1) {
    const key = localStorage.key(i);
    if (key === null || !key.startsWith(LOCAL)) continue;
    try {
      drafts.push(JSON.parse(localStorage.getItem(key) ?? "") as Draft);
    } catch {
      // Not a draft of this version.
    }
  }
  return drafts;
}

/** Save a draft on the server. */
export async function putDraft(draft: Draft): Promise<void> {
  const rest = { document: draft.document, base: draft.base };
  const path = `/api/v1/drafts/${encodeURIComponent(draft.id)}`;
  await send(path, { ...graphBody("PUT", draft.text, rest), keepalive: draft.text.length < 60_000 });
  forgetLocally(draft.id);
}

/** Delete a draft after its graph was saved or given up. */
export async function deleteDraft(id: string): Promise<void> {
  forgetLocally(id);
  try {
    await answer(api.DELETE("/api/v1/drafts/{tab}", { params: { path: { tab: id } } }));
  } catch (error) {
    if (!(error instanceof Refused && error.status === 404)) throw error;
  }
}

/** Read a draft; null if there is none. */
export async function readDraft(id: string): Promise<Draft | null> {
  const local = localDrafts().find((draft) => draft.id === id);
  if (local) return local;
  try {
    const found = await send(`/api/v1/drafts/${encodeURIComponent(id)}`);
    return {
      id,
      document: textIn(found, "document"),
      base: textIn(found, "base"),
      text: graphIn(found),
      saved: Number(found.json.get("saved")),
    };
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

/** A draft in a list. */
export type DraftRow = Pick<Schemas["DraftAnswer"], "tab" | "document" | "saved"> & { title: string };

/** The drafts that no open tab has, the newest first. Those that only this browser has are sent to the server. */
export async function closedDrafts(): Promise<DraftRow[]> {
  const open = await claimed();
  for (const draft of localDrafts()) {
    if (!open.has(draft.id)) await putDraft(draft).catch(() => undefined);
  }
  const { drafts } = await answer(api.GET("/api/v1/drafts"));
  return drafts
    .filter((draft) => !open.has(draft.tab))
    .map(({ tab, document, saved, graph }) => ({
      tab,
      document,
      saved,
      title: graph.title || document || "Untitled",
    }));
}
