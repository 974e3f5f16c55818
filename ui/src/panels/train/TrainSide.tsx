/** What is left of a training: its checkpoints and settings. */
import { useEffect, useState } from "react";
import { openSaved } from "../../server/documents/documents";
import { nameFile } from "../../server/documents/files";
import { keepAsInput } from "../../server/outputs";
import { answer, api, type Schemas } from "../../server/requests/client";
import type { RunAnswer } from "../../server/runs/runState";
import type { Training } from "../../server/runs/training";
import { edit, graph, selectNodes } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { useTypes } from "../../state/types";
import { Icon } from "../../style/Icon";
import { attempt } from "../attempt";
import { openDataset } from "../dataset/datasetStore";
import { bytes, figure, valueText, words } from "../format";
import { valuesOf } from "../pictures/PictureDetails";
import { isPicture } from "../pictures/pictures";
import { Values } from "../Values";
import { pointsOf } from "./curves";
import { isTrainer } from "./newTraining";
import { kindOf, type TrainedKind, withTrained } from "./useInGraph";

/** The files that the graph of the training has saved at its end, and how to use them. */
export function Result({ full, onUsed }: { full: RunAnswer | null; onUsed: () => void }) {
  const files = full?.outputs.filter((row) => row.type === "json" && !isPicture(row)) ?? [];
  if (full === null || files.length === 0) return null;
  const trainer = trainerOf(full);
  const value = (input: string) => {
    const held = trainer?.inputs?.[input];
    const param = typeof held === "object" && held !== null && "param" in held ? String(held.param) : null;
    return param === null ? held : valuesOf(full, { values: {} })[param];
  };
  return (
    <div className="pad">
      <h3>Result</h3>
      {files.map((row) => {
        const path = String(full.values[row.output]);
        const name = path.split(/[/\\]/).at(-1)!;
        const source = full.graph.outputs?.[row.output]?.from.split(".", 1)[0] ?? "";
        const kind = kindOf(full.graph.nodes?.[source]?.type ?? "", name);
        const word = kind === "embedding" ? `<${value("name")}>` : value("trigger");
        const use = async () => putInGraph(name, kind!, await keepAsInput(row), onUsed);
        return (
          <div key={row.id} className="result">
            <b>{name}</b> <span className="meta">{bytes(row.size)}</span>
            <p className="meta">{path}</p>
            <div className="buttons">
              {kind && (
                <button type="button" className="button mini solid" onClick={() => void attempt(use())}>
                  Use in graph
                </button>
              )}
              <a className="button mini" href={row.url} download>
                Download
              </a>
            </div>
            {kind && (
              <p className="meta">
                {word ? `In a prompt, write ${word}. ` : ""}
                To list it with your models, move it to models/{kind}s.
              </p>
            )}
          </div>
        );
      })}
    </div>
  );
}

async function putInGraph(name: string, kind: TrainedKind, file: string, onUsed: () => void) {
  if ([...graph().nodes.values()].some((node) => isTrainer(node.type))) await openSaved(DRAWS);
  const changed = withTrained(graph(), useTypes.getState().types, kind, file);
  if (changed === undefined) return sayError("This graph loads no model that the file could be added to.");
  nameFile(file, name);
  edit(`Use ${name}`, () => changed.graph);
  selectNodes([changed.id]);
  onUsed();
  say(`${changed.id} applies ${name}.`);
}

/** The saved states of the training, and the files that graphs can use. */
export function Checkpoints({ training, full, onUsed }: CheckpointsProps) {
  const points = pointsOf(training?.rows ?? [], "loss");
  const saved = Math.max(0, ...(training?.checkpoints ?? []).map(({ step }) => step));
  const [files, setFiles] = useState<readonly Schemas["PublishedRow"][]>([]);
  const id = full?.summary.id;
  const state = full?.summary.state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: read again after each checkpoint, and after the end
  useEffect(() => {
    if (id === undefined) return;
    const request = api.GET("/api/v1/runs/{id}/published", { params: { path: { id } } });
    void attempt(answer(request)).then((found) => found && setFiles(found.files));
  }, [id, state, training?.checkpoints.length, training?.samples.length]);
  const trainer = trainerOf(full);
  const usable = files
    .map((file) => ({ file, kind: kindOf(trainer?.type ?? "", file.name), step: stepOf(file.name) }))
    .filter((item) => item.kind !== null)
    .sort((a, b) => b.step - a.step);
  const use = async (file: Schemas["PublishedRow"], kind: TrainedKind) => {
    const path = { path: { id: id ?? "" } };
    const body = { step: file.step, name: file.name };
    const kept = await answer(api.POST("/api/v1/runs/{id}/published/keep", { params: path, body }));
    await putInGraph(file.name, kind, kept.file, onUsed);
  };
  return (
    <div className="pad">
      <h3>Checkpoints</h3>
      {usable.length === 0 && saved === 0 && <p className="meta">None yet.</p>}
      {usable.map(({ file, kind, step }, place) => {
        const loss = points.findLast(([at]) => at <= step)?.[1];
        return (
          <div key={`${file.step} ${file.name}`} className="checkpoint">
            <Icon name="flag" size={14} />
            <b>{step}</b>
            <span className="meta grow cut">
              {loss === undefined ? "" : `loss ${figure(loss)}`}
              {place === 0 ? " · newest" : ""}
            </span>
            <button
              type="button"
              className={place === 0 ? "button mini solid" : "button mini"}
              onClick={() => kind && void attempt(use(file, kind))}
            >
              Use in graph
            </button>
          </div>
        );
      })}
      {saved > 0 && (
        <p className="meta">Saved at step {saved}: running the same graph again goes on from there.</p>
      )}
    </div>
  );
}

interface CheckpointsProps {
  training: Training | undefined;
  full: RunAnswer | null;
  onUsed: () => void;
}

/** The example that a trained file is tried in, if the open graph is a training itself. */
const DRAWS = "text_to_image";

function trainerOf(full: RunAnswer | null) {
  return Object.values(full?.graph.nodes ?? {}).find((node) => isTrainer(node.type));
}

/** The number of steps in the name of a file, such as 40 in `framed-000040.safetensors`. */
function stepOf(name: string): number {
  return Number(/(\d+)(?=\.[^.]*$)/.exec(name)?.[1] ?? 0);
}

/** The pictures that the training reads. */
export function TrainingDataset({ full }: { full: RunAnswer | null }) {
  const source = trainerOf(full)?.inputs?.dataset;
  const link = isLink(source) ? source.from : undefined;
  if (full === null || link === undefined) return null;
  const at = link.lastIndexOf(".");
  return (
    <div className="pad">
      <h3>Dataset</h3>
      <button
        type="button"
        className="button"
        onClick={() => openDataset({ node: link.slice(0, at), output: link.slice(at + 1), run: full })}
      >
        View the dataset …
      </button>
    </div>
  );
}

function isLink(value: unknown): value is { from: string } {
  return typeof value === "object" && value !== null && "from" in value && typeof value.from === "string";
}

/** The values that the training was started with. */
export function Settings({ full }: { full: RunAnswer | null }) {
  if (full === null) return null;
  const node = trainerOf(full);
  const values: [string, unknown][] = Object.entries(valuesOf(full, { values: {} }));
  for (const [name, value] of Object.entries(node?.inputs ?? {})) {
    if (typeof value !== "object") values.push([name, value]);
  }
  return (
    <div className="pad">
      <h3>Settings</h3>
      <Values rows={values.map(([name, value]) => [words(name), valueText(value)])} />
    </div>
  );
}
