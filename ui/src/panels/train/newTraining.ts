/** A new training out of a form: an example graph with the chosen values. */

import { readGraph } from "../../document/file/read";
import { writeGraph } from "../../document/file/write";
import type { Graph, InputEnd } from "../../document/graph";
import { typeName } from "../../document/graph";
import type { InputType, NodeTypes } from "../../schema/nodeTypes";
import { newId } from "../../server/documents/drafts";
import type { Schemas } from "../../server/requests/client";
import { graphBody, graphIn, send } from "../../server/requests/graphBody";
import type { Problem } from "../../server/requests/problems";
import { sendJson } from "../../server/requests/sendJson";
import type { RunSummary } from "../../server/runs/runState";

/** The example graphs that train, as beginnings of a new training. */
export const TEMPLATES = [
  {
    id: "train_lora",
    title: "LoRA",
    text: "A style or a thing, as a file that any model of the same kind can use.",
  },
  { id: "train_embedding", title: "Embedding", text: "A new word for the prompt; the model stays as it is." },
] as const;

/** True for the type of a node that trains. */
export function isTrainer(type: string): boolean {
  return /^Train[A-Z]/.test(type);
}

/** The first node of a graph whose type has a name that passes. */
function nodeOf(graph: Graph, passes: (type: string) => boolean): string | undefined {
  return [...graph.nodes].find(([, node]) => passes(typeName(node.type)))?.[0];
}

/** The input that names the model to train; undefined if a wire or a graph input sets it. */
export function modelInput(graph: Graph): InputEnd | undefined {
  const node = nodeOf(graph, (type) => type.startsWith("LoadModel"));
  const binding = node === undefined ? undefined : graph.nodes.get(node)?.inputs.get("model");
  return node !== undefined && binding?.kind === "value" ? { node, input: "model" } : undefined;
}

/** The settings of the training that the graph's own inputs do not set, with the node that they belong to. */
export function trainerInputs(
  graph: Graph,
  types: NodeTypes,
): { node: string; inputs: InputType[] } | undefined {
  const node = nodeOf(graph, isTrainer);
  const entry = node === undefined ? undefined : graph.nodes.get(node);
  const type = entry && types.get(entry.type);
  if (node === undefined || !entry || !type) return undefined;
  const isOwn = (input: InputType) => {
    const kind = entry.inputs.get(input.name)?.kind ?? "value";
    return kind === "value" && input.widget.kind !== "none";
  };
  return { node, inputs: type.inputs.filter(isOwn) };
}

/** The settings of a training: its example with the chosen values, and what is wrong with them. */
export interface TrainDraft {
  template: string;
  graph: Graph;
  problems: readonly Problem[];
}

/** The example that a run of this document began with; undefined if it is none that trains. */
export function templateOf(document: string | null): string | undefined {
  return TEMPLATES.find(({ id }) => document?.startsWith(`${id}#`))?.id;
}

/** The trainings among runs: those with numbers, and the failed ones that began with an example that trains. */
export function trainingsOf(withNumbers: readonly RunSummary[], failed: readonly RunSummary[]): RunSummary[] {
  const known = new Set(withNumbers.map((run) => run.id));
  const others = failed.filter((run) => templateOf(run.document) !== undefined && !known.has(run.id));
  return [...withNumbers, ...others];
}

/** The settings of a run, to correct them. */
export async function draftOf(run: string, template: string): Promise<TrainDraft> {
  const found = await send(`/api/v1/runs/${run}`);
  return { template, graph: readGraph(graphIn(found)), problems: JSON.parse(found.text).problems };
}

/** A problem at the place where the form shows it: the graph input that sets the node's input. */
export function inForm(graph: Graph, problem: Problem): Problem {
  const held = graph.nodes.get(problem.node ?? "")?.inputs.get(problem.input ?? "");
  return held?.kind === "param" ? { ...problem, node: null, input: held.name } : problem;
}

/**
 * Start a training. It finds the files that the example names.
 *
 * @returns The id of its run.
 * @throws {Refused} The graph has problems.
 */
export async function startTraining(template: string, graph: Graph): Promise<string> {
  const rest = { document: `${template}#${newId()}`, idempotency_key: newId() };
  const body = graphBody("POST", writeGraph(graph), rest);
  return (await sendJson<Schemas["SubmittedRuns"]>("/api/v1/runs", body)).run;
}
