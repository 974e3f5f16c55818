/** Node types, model files and completions. */
import { create } from "zustand";
import { address, answer, api, extraHeaders, type Schemas } from "./requests/client";
import { type Problem, problemsOf, Refused } from "./requests/problems";
import { onEvent } from "./runs/runStore";

export type NodeTypeItem = Schemas["NodeTypeItem"];
export type ModelRow = Schemas["ModelRow"];
export type Completion = Schemas["Completion"];

interface Catalogue {
  /** The node types of all packs by name and version, such as `Denoise@1`. */
  types: ReadonlyMap<string, NodeTypeItem>;
  /** The problems of packs that cannot be loaded. */
  packProblems: readonly Problem[];
  models: readonly ModelRow[];
  isLoaded: boolean;
}

export const useCatalogue = create<Catalogue>(() => ({
  types: new Map(),
  packProblems: [],
  models: [],
  isLoaded: false,
}));

let etag = "";

/** Read the node types, if they have changed since the last time. */
export async function readTypes(): Promise<void> {
  const headers = { ...extraHeaders(), ...(etag === "" ? {} : { "If-None-Match": etag }) };
  const response = await fetch(address("/api/v1/node-types"), { headers });
  if (response.status === 304) return;
  if (!response.ok)
    throw new Refused(response.status, problemsOf(new Error("the node types cannot be read")));
  const { types, problems } = (await response.json()) as Schemas["NodeTypeList"];
  etag = response.headers.get("ETag") ?? "";
  const byName = new Map(types.map((type) => [type.type, type]));
  useCatalogue.setState({ types: byName, packProblems: problems, isLoaded: true });
}

/** Read the model files. */
export async function readModels(): Promise<void> {
  const { models } = await answer(api.GET("/api/v1/models"));
  useCatalogue.setState({ models });
}

/** The weight of a LoRA whose row has none. */
export const USUAL_WEIGHT = 0.75;

/** The weight of a LoRA that is added: the one in the note beside its file, else the usual one. */
export function weightFor(lora: string): number {
  const { models } = useCatalogue.getState();
  return models.find(({ kind, file }) => kind === "lora" && file === lora)?.default_weight ?? USUAL_WEIGHT;
}

/** Read both, and again whenever the server announces a change; returns a function that ends this. */
export async function followCatalogue(): Promise<() => void> {
  const end = onEvent((event) => {
    if (event.type === "types.changed") void readTypes().catch(() => undefined);
    if (event.type === "models.changed") void readModels().catch(() => undefined);
  });
  await Promise.all([readTypes(), readModels()]);
  return end;
}

/** The ways to complete a word of a prompt, the best first. An empty list if the server is away. */
export async function complete(
  word: string,
  options: { kind?: string; base?: string } = {},
  signal?: AbortSignal,
): Promise<Completion[]> {
  const query = { q: word, ...options };
  try {
    const request = api.GET("/api/v1/complete", { params: { query }, signal: signal ?? null });
    return (await answer(request)).completions;
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) return [];
    throw error;
  }
}
