/** The open document and the server: open, save with a check of the revision, versions, drafts. */
import { create } from "zustand";
import { answer, api, type Schemas } from "../requests/client";
import { graphBody, graphIn, send, textIn, textsIn } from "../requests/graphBody";
import { type Problem, problemsOf, Refused } from "../requests/problems";
import { followDocument, onEvent } from "../runs/runStore";
import {
  claimDraft,
  closedDrafts,
  type Draft,
  type DraftRow,
  deleteDraft,
  draftOfTab,
  hasDraft,
  keepLocally,
  newId,
  putDraft,
  readDraft,
  setHasDraft,
} from "./drafts";
import { openGraph } from "./openGraph";

const DRAFT_MS = 400;
const LAST_OPENED = "safelight.graph";
const FIRST_GRAPH = "text_to_image";

/** Another tab or program has saved the graph since it was opened here. */
export interface Conflict {
  /** The revision that it has now. */
  revision: string | null;
  /** True after a refused save; false after the notice that it was saved elsewhere. */
  isRefused: boolean;
}

/** The files that were copied beside a saved graph, and why others were not. */
export interface FilesBeside {
  copied: readonly string[];
  left: readonly string[];
}

const NO_FILES: FilesBeside = { copied: [], left: [] };

interface DocumentStore {
  /** The id of the saved graph; null if it was never saved. */
  id: string | null;
  /** The revision that was opened or saved last. */
  revision: string | null;
  /** The saved graph that an unsaved one comes from; the files that it names are beside that one. */
  origin: string | null;
  /** True for an example of a pack; saving it makes a graph of the user's own. */
  isExample: boolean;
  /** The id of the draft of this tab. */
  draft: string;
  isSaving: boolean;
  /** Whether the server has the latest change as a draft. */
  isDraftKept: boolean;
  /** True after a reload that brought back unsaved changes, until another graph is opened. */
  isResumed: boolean;
  conflict: Conflict | null;
  /** The drafts of closed tabs. */
  closed: readonly DraftRow[];
  /** What the last save did with the files that the graph names beside itself. */
  files: FilesBeside;
  /** The reason why the last action failed. */
  problems: readonly Problem[];
}

/** A document that was just opened. */
const FRESH = {
  id: null,
  revision: null,
  origin: null,
  isExample: false,
  isDraftKept: true,
  isResumed: false,
  conflict: null,
  files: NO_FILES,
  problems: [],
};

export const useDocument = create<DocumentStore>(() => ({
  ...FRESH,
  draft: newId(),
  isSaving: false,
  closed: [],
}));

/**
 * The name that runs of this tab have as their document, so that two tabs with one graph do not show each other's runs.
 */
export function runName(): string {
  const { id, origin, draft } = useDocument.getState();
  return `${id ?? origin ?? ""}#${draft}`;
}

/**
 * Open the graph that the address asks for; else what the tab had before a reload, else the graph that the server was
 * started with, else the last one.
 */
export async function startDocument(opened: string | null): Promise<void> {
  openGraph().subscribe(changed);
  window.addEventListener("pagehide", () => void flushDraft());
  onEvent((event) => {
    if (event.type === "graph.changed") savedElsewhere(event.data);
  });
  const asked = new URLSearchParams(location.search).get("graph");
  const before = draftOfTab();
  if (asked === null && before !== null && hasDraft() && (await claimDraft(before))) {
    const draft = await readDraft(before).catch(() => null);
    if (draft) {
      resume(draft);
      await listDrafts();
      return;
    }
  }
  setHasDraft(false);
  const ofTab = sessionStorage.getItem(LAST_OPENED);
  const names = [asked, ofTab, opened, localStorage.getItem(LAST_OPENED), FIRST_GRAPH];
  for (const name of names) {
    if (name === null) continue;
    try {
      await openSaved(name);
      break;
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 0) throw error;
    }
  }
  if (asked !== null) history.replaceState(null, "", location.pathname);
  await listDrafts();
}

/** List the drafts of closed tabs. */
export async function listDrafts(): Promise<void> {
  useDocument.setState({ closed: await closedDrafts() });
}

let isOpening = false;

/** Put a graph on the canvas without taking it for a change. */
function show(text: string, isSaved: boolean): void {
  isOpening = true;
  try {
    openGraph().open(text, isSaved);
  } finally {
    isOpening = false;
  }
}

/** Begin with another document. The draft of the previous one stays, unless it had no changes. */
async function enter(next: Partial<DocumentStore>, text: string, isSaved: boolean): Promise<void> {
  await flushDraft();
  const { draft: previous } = useDocument.getState();
  const hadChanges = openGraph().changes() > 0;
  show(text, isSaved);
  const draft = next.draft ?? newId();
  await claimDraft(draft);
  useDocument.setState({ ...FRESH, ...next, draft });
  const { id } = useDocument.getState();
  remember(id);
  void followDocument(draft, id).catch(() => undefined);
  if (hasDraft() && !hadChanges) void deleteDraft(previous).catch(() => undefined);
  else if (hasDraft()) void listDrafts().catch(() => undefined);
  setHasDraft(next.draft !== undefined);
}

/** Open a saved graph or an example. */
export async function openSaved(id: string): Promise<void> {
  const found = await send(`/api/v1/graphs/${encodeURIComponent(id)}`);
  await enter(
    { id, revision: textIn(found, "revision"), isExample: found.json.get("example") === true },
    graphIn(found),
    true,
  );
}

/**
 * Open a graph that is not saved yet, such as one out of a picture.
 *
 * @param origin the saved graph that it comes from, beside which are the files that it names; null if none is known.
 */
export async function openText(text: string, origin: string | null = null): Promise<void> {
  await enter({ origin }, text, false);
  changed();
}

/** Go on with a draft. */
export async function openDraft(id: string): Promise<void> {
  const draft = await readDraft(id);
  if (draft === null) return listDrafts();
  await enter({ draft: id, ...originOf(draft) }, draft.text, false);
  changed();
  await listDrafts();
}

function resume(draft: Draft): void {
  show(draft.text, false);
  setHasDraft(true);
  const { id, ...rest } = originOf(draft);
  useDocument.setState({ draft: draft.id, id, ...rest, isResumed: true });
  void followDocument(draft.id, id).catch(() => undefined);
}

/** The saved graph that a draft changes; one without a base was never saved, and only comes from it. */
function originOf({ document, base }: Draft): Pick<DocumentStore, "id" | "revision" | "origin"> {
  if (base === null) return { id: null, revision: null, origin: document };
  return { id: document, revision: base, origin: null };
}

/** Give up a draft of a closed tab. */
export async function discardDraft(id: string): Promise<void> {
  await deleteDraft(id);
  await listDrafts();
}

function remember(id: string | null): void {
  if (id === null) {
    sessionStorage.removeItem(LAST_OPENED);
  } else {
    sessionStorage.setItem(LAST_OPENED, id);
    localStorage.setItem(LAST_OPENED, id);
  }
}

let timer: ReturnType<typeof setTimeout> | undefined;
let writing: Promise<void> = Promise.resolve();

function changed(): void {
  if (isOpening) return;
  useDocument.setState({ isDraftKept: false });
  clearTimeout(timer);
  timer = setTimeout(() => void flushDraft(), DRAFT_MS);
}

/** Save the draft now. While the server is away, this browser keeps it. */
export function flushDraft(): Promise<void> {
  clearTimeout(timer);
  const { isDraftKept, draft: id, id: document, origin, revision } = useDocument.getState();
  if (isDraftKept) return writing;
  const draft: Draft = {
    id,
    document: document ?? origin,
    base: revision,
    text: openGraph().text(),
    saved: Date.now() / 1000,
  };
  keepLocally(draft);
  setHasDraft(true);
  writing = writing
    .then(() => putDraft(draft))
    .then(
      () => {
        if (useDocument.getState().draft === id && openGraph().text() === draft.text) {
          useDocument.setState({ isDraftKept: true });
        }
      },
      (error: unknown) => {
        if (!(error instanceof Refused) || error.status !== 0) {
          useDocument.setState({ problems: problemsOf(error) });
        }
      },
    );
  return writing;
}

/** A name for a new graph out of its title. */
export function idFor(title: string): string {
  const plain = title
    .trim()
    .replace(/[^A-Za-z0-9_. -]+/g, "-")
    .replace(/^[-. ]+|[-. ]+$/g, "");
  return plain.slice(0, 100) || "untitled";
}

/**
 * Save the graph.
 *
 * @returns False if another tab or program has saved it meanwhile; `conflict` says so, and nothing was overwritten.
 * @throws {Refused} It cannot be saved.
 */
export async function save(): Promise<boolean> {
  const { id, revision } = useDocument.getState();
  if (id === null) return saveAs(idFor(openGraph().title() || "untitled"));
  return put(id, revision === null ? {} : { "If-Match": `"${revision}"` });
}

/**
 * Save the graph under another name.
 *
 * @throws {Refused} There is a graph of this name (`graph_exists`), or the name is not valid (`bad_id`).
 */
export async function saveAs(id: string): Promise<boolean> {
  return put(id, { "If-None-Match": "*" });
}

/** Save over the version of the other tab, which stays in the list of versions. */
export async function overwrite(): Promise<boolean> {
  const { id, conflict } = useDocument.getState();
  if (id === null || conflict?.revision == null) return save();
  return put(id, { "If-Match": `"${conflict.revision}"` });
}

async function put(id: string, headers: Record<string, string>): Promise<boolean> {
  const graph = openGraph();
  const text = graph.text();
  const { draft, id: before, origin } = useDocument.getState();
  const source = before ?? origin ?? "";
  useDocument.setState({ isSaving: true, problems: [], files: NO_FILES });
  try {
    await flushDraft();
    const path = `/api/v1/graphs/${encodeURIComponent(id)}`;
    const saved = await send(path, graphBody("PUT", text, { by: draft, files_of: source }, headers));
    useDocument.setState({
      id,
      revision: textIn(saved, "revision"),
      origin: null,
      isExample: false,
      conflict: null,
      files: { copied: textsIn(saved, "copied_files"), left: textsIn(saved, "left_files") },
    });
    remember(id);
    if (graph.text() === text) {
      graph.markSaved();
      useDocument.setState({ isDraftKept: true });
      if (hasDraft()) await deleteDraft(draft).catch(() => undefined);
      setHasDraft(false);
    }
    return true;
  } catch (error) {
    if (error instanceof Refused && error.code === "other_revision") {
      const revision = error.headers.get("ETag")?.replaceAll('"', "") ?? null;
      useDocument.setState({ conflict: { revision, isRefused: true } });
      return false;
    }
    useDocument.setState({ problems: problemsOf(error) });
    throw error;
  } finally {
    useDocument.setState({ isSaving: false });
  }
}

function savedElsewhere(event: { id: string; revision: string; by: string }): void {
  const { id, revision, draft } = useDocument.getState();
  if (event.id !== id || event.by === draft || event.revision === revision) return;
  useDocument.setState({ conflict: { revision: event.revision, isRefused: false } });
}

/** Open the graph as it is saved; the unsaved changes of this tab stay as a draft. */
export async function reload(): Promise<void> {
  const { id } = useDocument.getState();
  if (id !== null) await openSaved(id);
}

/** The text of the graph as the server has it. */
export async function savedText(id: string): Promise<string> {
  return graphIn(await send(`/api/v1/graphs/${encodeURIComponent(id)}`));
}

/** The saved versions of a graph, the newest first. */
export async function versions(id: string): Promise<Schemas["GraphVersion"][]> {
  const found = await answer(api.GET("/api/v1/graphs/{id}/versions", { params: { path: { id } } }));
  return found.versions;
}

/** Open an earlier version as an unsaved change of the graph; saving makes it the newest one. */
export async function openVersion(id: string, version: number): Promise<void> {
  const found = await send(`/api/v1/graphs/${encodeURIComponent(id)}/versions/${version}`);
  const { revision } = useDocument.getState();
  await enter({ id, revision }, graphIn(found), false);
  changed();
}

/** Every graph that can be opened. */
export async function listGraphs(): Promise<Schemas["GraphRow"][]> {
  return (await answer(api.GET("/api/v1/graphs"))).graphs;
}

/** Delete a graph; its versions stay. */
export async function deleteGraph(id: string): Promise<void> {
  await answer(api.DELETE("/api/v1/graphs/{id}", { params: { path: { id } } }));
}
