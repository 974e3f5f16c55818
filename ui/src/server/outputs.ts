/** The written outputs of all runs: the gallery, which is the history. */
import { create } from "zustand";
import { answer, api, type Schemas } from "./requests/client";
import { graphIn, send } from "./requests/graphBody";
import { onEvent } from "./runs/runStore";

export type OutputRow = Schemas["OutputRow"];

const PAGE = 60;

export interface OutputQuery {
  /** Words that all must occur in the texts of the graph, its title or the tags. */
  words: string;
  starred: boolean;
  /** Only outputs of the open document. */
  ofDocument: boolean;
}

interface OutputStore {
  query: OutputQuery;
  /** The newest first. */
  rows: readonly OutputRow[];
  /** True if older ones can be read. */
  hasMore: boolean;
  isLoading: boolean;
  isLoaded: boolean;
}

export const useOutputs = create<OutputStore>(() => ({
  query: { words: "", starred: false, ofDocument: false },
  rows: [],
  hasMore: false,
  isLoading: false,
  isLoaded: false,
}));

let latest = 0;

/** Read the outputs of a search, the newest first. */
export async function search(change: Partial<OutputQuery> = {}): Promise<void> {
  const query = { ...useOutputs.getState().query, ...change };
  latest += 1;
  const own = latest;
  useOutputs.setState({ query, isLoading: true });
  try {
    const rows = await page(query, null);
    if (own !== latest) return;
    useOutputs.setState({ rows, hasMore: rows.length === PAGE, isLoaded: true });
  } finally {
    if (own === latest) useOutputs.setState({ isLoading: false });
  }
}

/** Read older outputs of the search. */
export async function readMore(): Promise<void> {
  const { query, rows, hasMore, isLoading } = useOutputs.getState();
  const last = rows.at(-1);
  if (!hasMore || isLoading || last === undefined) return;
  const own = latest;
  useOutputs.setState({ isLoading: true });
  try {
    const older = await page(query, last.id);
    if (own === latest) useOutputs.setState({ rows: [...rows, ...older], hasMore: older.length === PAGE });
  } finally {
    if (own === latest) useOutputs.setState({ isLoading: false });
  }
}

async function page(query: OutputQuery, before: number | null): Promise<OutputRow[]> {
  const asked = {
    limit: PAGE,
    ...(query.words.trim() === "" ? {} : { q: query.words }),
    ...(query.starred ? { star: true } : {}),
    ...(before === null ? {} : { before }),
  };
  return (await answer(api.GET("/api/v1/outputs", { params: { query: asked } }))).outputs;
}

/** The outputs of one run. */
export async function outputsOf(run: string): Promise<OutputRow[]> {
  return (await answer(api.GET("/api/v1/outputs", { params: { query: { run, limit: 500 } } }))).outputs;
}

/** Set the star or the tags of an output. */
export async function mark(id: number, change: { star?: boolean; tags?: string[] }): Promise<OutputRow> {
  const body = { star: null, tags: null, ...change };
  const row = await answer(api.PATCH("/api/v1/outputs/{id}", { params: { path: { id } }, body }));
  useOutputs.setState((state) => ({ rows: state.rows.map((known) => (known.id === id ? row : known)) }));
  return row;
}

/** Keep the file of an output like an upload; returns its name for graphs. */
export async function keepAsInput({ id }: OutputRow): Promise<string> {
  const request = { params: { path: { id } }, body: {} };
  return (await answer(api.POST("/api/v1/outputs/{id}/keep", request))).file;
}

/** The text of the graph that made an output, with the values of its run. */
export async function graphOfOutput(id: number): Promise<string> {
  return graphIn(await send(`/api/v1/outputs/${id}/graph`));
}

/** The outputs as groups of one run each. */
export function byRun(rows: readonly OutputRow[]): { run: string; title: string; rows: OutputRow[] }[] {
  const groups = new Map<string, { run: string; title: string; rows: OutputRow[] }>();
  for (const row of rows) {
    const group = groups.get(row.run) ?? { run: row.run, title: row.title, rows: [] };
    group.rows.push(row);
    groups.set(row.run, group);
  }
  for (const group of groups.values()) group.rows.sort((a, b) => a.id - b.id);
  return [...groups.values()];
}

/** Read the search again after each run that has ended; returns a function that ends this. */
export function followOutputs(): () => void {
  return onEvent((event) => {
    if (event.type === "run.finished" && useOutputs.getState().isLoaded) void search().catch(() => undefined);
  });
}
