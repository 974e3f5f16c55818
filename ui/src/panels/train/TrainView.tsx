/** Trainings: their curves and samples while they run, and what to do with the result. A lens over ordinary runs. */
import { useEffect, useMemo, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { answer, api } from "../../server/requests/client";
import { sentences } from "../../server/requests/problems";
import {
  hasEnded,
  isStopping,
  type RunAnswer,
  type RunPhase,
  type RunSummary,
} from "../../server/runs/runState";
import { onEvent, useRuns } from "../../server/runs/runStore";
import { cancel, control } from "../../server/runs/runs";
import { readTraining, useTrainings } from "../../server/runs/training";
import { say } from "../../state/status";
import { Icon, IconButton } from "../../style/Icon";
import { attempt } from "../attempt";
import { clock, figure, moment } from "../format";
import { etaOf, ICONS } from "../runs/QueuePopup";
import { forget } from "../runs/runMessages";
import { pointsOf, smoothed } from "./curves";
import { type Curve, LossChart, Spark } from "./LossChart";
import { draftOf, type TrainDraft, templateOf, trainingsOf } from "./newTraining";
import { SampleMatrix } from "./SampleMatrix";
import { TrainForm } from "./TrainForm";
import { Checkpoints, Result, Settings, TrainingDataset } from "./TrainSide";
import "./train.css";

interface TrainViewProps {
  /** Called after a template or a checkpoint was put into the document. */
  onLeave: () => void;
}

export function TrainView({ onLeave }: TrainViewProps) {
  const rows = useTrainingRuns();
  const [chosen, setChosen] = useState<string | null>(null);
  const [overlaid, setOverlaid] = useState<readonly string[]>([]);
  const [isNew, setNew] = useState(false);
  const [draft, setDraft] = useState<TrainDraft | null>(null);
  const [weight, setWeight] = useState(0.9);
  const id = isNew ? null : (chosen ?? rows[0]?.id ?? null);
  const choose = (run: string) => {
    setChosen(run);
    setNew(false);
  };
  const begin = (settings: TrainDraft | null) => {
    setDraft(settings);
    setNew(true);
  };
  return (
    <div className="train">
      <section className="train-runs" aria-label="Trainings">
        <header className="panel-head">
          <h2 className="grow">Trainings</h2>
          <IconButton
            icon="add"
            label="New training"
            aria-pressed={id === null}
            onClick={() => begin(null)}
          />
        </header>
        <ul>
          {rows.map((row) => (
            <RunRow
              key={row.id}
              row={row}
              weight={weight}
              isChosen={row.id === id}
              isOverlaid={row.id === id || overlaid.includes(row.id)}
              onChoose={() => choose(row.id)}
              onOverlay={(isOn) =>
                setOverlaid((known) => (isOn ? [...known, row.id] : known.filter((item) => item !== row.id)))
              }
            />
          ))}
        </ul>
        {rows.length > 1 && <p className="empty-note">Tick runs to lay their curves over one another.</p>}
      </section>
      {id === null ? (
        <TrainForm draft={draft} onStart={choose} onLeave={onLeave} />
      ) : (
        <OneTraining
          key={id}
          id={id}
          rows={rows}
          overlaid={overlaid.filter((other) => other !== id)}
          weight={weight}
          setWeight={setWeight}
          onCorrect={begin}
          onLeave={onLeave}
        />
      )}
    </div>
  );
}

/** A training in the list. */
type TrainingRow = Pick<RunSummary, "id" | "title" | "submitted" | "finished"> & { phase: RunPhase };

/** The trainings, the newest first: those of the server, and those that have just begun. */
function useTrainingRuns(): readonly TrainingRow[] {
  const [listed, setListed] = useState<readonly RunSummary[]>([]);
  const live = useTrainings(useShallow((state) => Object.keys(state.trainings)));
  const runs = useRuns((state) => state.queue.runs);
  useEffect(() => {
    const list = (query: { has_metrics?: true; state?: ["failed"] }) =>
      answer(api.GET("/api/v1/runs", { params: { query: { ...query, limit: 50 } } }));
    const read = async () => {
      const found = await attempt(Promise.all([list({ has_metrics: true }), list({ state: ["failed"] })]));
      if (found) setListed(trainingsOf(found[0].runs, found[1].runs));
    };
    void read();
    return onEvent((event) => {
      if (event.type === "run.finished") void read();
    });
  }, []);
  return useMemo(() => {
    const rows = new Map<string, TrainingRow>(
      listed.map((run) => [run.id, { ...run, phase: runs[run.id]?.phase ?? run.state }]),
    );
    for (const id of live) {
      const run = runs[id];
      if (run === undefined || rows.has(id)) continue;
      const submitted = run.submitted ?? run.started ?? 0;
      rows.set(id, { ...run, title: run.title || "Training", submitted });
    }
    return [...rows.values()].sort((a, b) => b.submitted - a.submitted);
  }, [listed, live, runs]);
}

interface RunRowProps {
  row: TrainingRow;
  weight: number;
  isChosen: boolean;
  isOverlaid: boolean;
  onChoose: () => void;
  onOverlay: (isOn: boolean) => void;
}

function RunRow({ row, weight, isChosen, isOverlaid, onChoose, onOverlay }: RunRowProps) {
  const training = useTrainings((state) => state.trainings[row.id]);
  const { phase } = row;
  const points = useMemo(() => smoothed(pointsOf(training?.rows ?? [], "loss"), weight), [training, weight]);
  const newest = points.at(-1);
  useEffect(() => {
    if (isOverlaid && training === undefined) void attempt(readTraining(row.id));
  }, [isOverlaid, training, row.id]);
  return (
    <li className={isChosen ? "train-run on" : "train-run"}>
      <input
        type="checkbox"
        aria-label={`Show the curve of ${row.title}`}
        checked={isOverlaid}
        disabled={isChosen}
        onChange={(event) => onOverlay(event.currentTarget.checked)}
      />
      <button type="button" className="grow open" aria-current={isChosen} onClick={onChoose}>
        <span className="row-title cut">{row.title}</span>
        <span className="meta">
          {phase === "running" ? `step ${newest?.[0] ?? 0}` : moment(row.finished ?? row.submitted)}
        </span>
      </button>
      <span className="train-run-end">
        <Icon name={ICONS[phase]} size={14} label={phase} />
        <span className="meta" title="The smoothed loss at the last step">
          {newest === undefined ? "" : `loss ${figure(newest[1])}`}
        </span>
      </span>
    </li>
  );
}

interface OneTrainingProps {
  id: string;
  rows: readonly TrainingRow[];
  overlaid: readonly string[];
  /** Of the smoothing. */
  weight: number;
  setWeight: (weight: number) => void;
  /** Called with the settings of a failed training. */
  onCorrect: (settings: TrainDraft) => void;
  onLeave: () => void;
}

function OneTraining({ id, rows, overlaid, weight, setWeight, onCorrect, onLeave }: OneTrainingProps) {
  const trainings = useTrainings((state) => state.trainings);
  const run = useRuns((state) => state.queue.runs[id]);
  const [full, setFull] = useState<RunAnswer | null>(null);
  const [step, setStep] = useState<number | null>(null);
  const phase = run?.phase ?? full?.summary.state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: read again after the end
  useEffect(() => {
    void attempt(readTraining(id));
    void attempt(answer(api.GET("/api/v1/runs/{id}", { params: { path: { id } } }))).then(
      (found) => found && setFull(found),
    );
  }, [id, phase]);
  const training = trainings[id];
  const title = (run?.title || full?.summary.title || rows.find((row) => row.id === id)?.title) ?? "Training";
  const curves = useMemo(
    () =>
      [id, ...overlaid].map((other): Curve => {
        const row = rows.find((known) => known.id === other);
        const name = other === id ? "this run" : `${row?.title ?? ""} ${row ? moment(row.submitted) : ""}`;
        return { id: other, name, points: pointsOf(trainings[other]?.rows ?? [], "loss") };
      }),
    [id, overlaid, rows, trainings],
  );
  const node = training === undefined ? undefined : run?.nodes[training.path.split(/[[/]/, 1)[0] ?? ""];
  const progress = node?.status === "running" && node.unit !== "pictures" ? node : undefined;
  const reached = curves[0]?.points.at(-1)?.[0] ?? 0;
  // A training that goes on from a checkpoint counts the steps that are left.
  const start = Math.max(0, (curves[0]?.points[0]?.[0] ?? 1) - 1);
  const total = Math.max(reached, (progress?.max ?? 0) + start);
  const errors = full?.problems.filter((item) => item.severity === "error") ?? [];
  const template = templateOf(full?.summary.document ?? null);
  const isActive = phase !== undefined && !hasEnded(phase);
  const loss = useMemo(() => smoothed(curves[0]?.points ?? [], weight).at(-1)?.[1], [curves, weight]);
  const eta = run ? etaOf(run) : null;
  const ask = (request: "stop" | "sample" | "checkpoint") =>
    training &&
    void attempt(
      control(id, training.path, request).then(() => {
        const [, , text, end] = ASKED[request];
        say(text);
        forget(text, ({ run, type }) => run === id && (type === end || type === "run.finished"));
      }),
    );

  return (
    <>
      <section className="train-main" aria-label={title}>
        <header className="train-head">
          <h2 className="grow">
            <span className="cut">{title}</span>
            <span className="meta cut">
              {isStopping(run) ? "stopping · " : ""}
              {progress?.max ? `${reached} of ${total} steps` : (phase ?? "")}
              {progress?.rate ? ` · ${progress.rate.toFixed(1)} steps/s` : ""}
              {eta === null ? "" : ` · ${clock(eta)} left`}
            </span>
          </h2>
          {isActive && (
            <>
              {(["sample", "checkpoint", "stop"] as const).map((request) => (
                <button key={request} type="button" className="button" onClick={() => ask(request)}>
                  <Icon name={ASKED[request][0]} size={14} /> {ASKED[request][1]}
                </button>
              ))}
              <button type="button" className="button quiet" onClick={() => void attempt(cancel(id))}>
                Cancel
              </button>
            </>
          )}
          {errors.length > 0 && template && (
            <button
              type="button"
              className="button solid"
              onClick={() => void attempt(draftOf(id, template).then(onCorrect))}
            >
              Correct the settings
            </button>
          )}
        </header>
        {errors.map((item) => (
          <p key={item.message} className="field-problem pad" role="alert">
            {sentences(item)}
          </p>
        ))}
        <progress
          className="line"
          aria-label="Progress of the training"
          value={progress?.max ? (progress.value ?? 0) / progress.max : phase === "done" ? 1 : 0}
        />
        {(errors.length === 0 || training) && (
          <>
            <div className="chart-head">
              <span>loss</span>
              <b className="big-number">{loss === undefined ? "–" : figure(loss)}</b>
              <span className="chart-key">
                <i className="key-smooth" /> smoothed
              </span>
              <span className="chart-key">
                <i className="key-raw" /> raw
              </span>
              <span className="grow" />
              <span className="chart-key">
                <Icon name="flag" size={12} /> checkpoint
              </span>
              <span className="chart-key">
                <span className="key-sample" /> sample
              </span>
              <label className="chart-key">
                smoothing
                <input
                  type="range"
                  className="slider"
                  min={0}
                  max={0.99}
                  step={0.01}
                  value={weight}
                  style={{ "--part": `${(weight / 0.99) * 100}%` } as React.CSSProperties}
                  onChange={(event) => setWeight(Number(event.currentTarget.value))}
                />
                {weight.toFixed(2)}
              </label>
            </div>
            <LossChart
              curves={curves}
              weight={weight}
              samples={training?.samples ?? []}
              checkpoints={training?.checkpoints ?? []}
              resumes={pointsOf(training?.rows ?? [], "resumed").map(([at]) => at)}
              lastStep={total}
              step={step}
              onStep={setStep}
            />
            <div className="sparks">
              {NUMBERS.map(({ key, name }) => {
                const points = pointsOf(training?.rows ?? [], key);
                if (points.length === 0) return null;
                return <Spark key={key} name={name} points={points} lastStep={total} step={step} />;
              })}
            </div>
            <SampleMatrix samples={training?.samples ?? []} />
          </>
        )}
      </section>
      <aside className="train-side" aria-label="Details of the training">
        <Result full={full} onUsed={onLeave} />
        <Checkpoints training={training} full={full} onUsed={onLeave} />
        <TrainingDataset full={full} />
        <Settings full={full} />
      </aside>
    </>
  );
}

/** What a request does, and the event that tells that it is done. */
const ASKED = {
  stop: ["stop", "Stop after this step", "The training stops and keeps its work.", "run.finished"],
  sample: ["sample", "Sample now", "Samples are drawn after this step.", "train.sample"],
  checkpoint: ["flag", "Checkpoint now", "A checkpoint is saved after this step.", "train.checkpoint"],
} as const;

const NUMBERS = [
  { key: "rate", name: "learning rate" },
  { key: "gradient", name: "gradient norm" },
  { key: "validation_loss", name: "validation loss" },
];
