/** The runs that run and wait, with their order, and those that ended last. */
import { useEffect, useMemo, useState } from "react";
import { sentence } from "../../server/requests/problems";
import { hasEnded, isStopping, type RunPhase, type RunView } from "../../server/runs/runState";
import { useRuns } from "../../server/runs/runStore";
import { cancel, move, pause, readRepeats, retry, stopRepeat, useSubmission } from "../../server/runs/runs";
import { useView } from "../../state/view";
import { Icon, IconButton, type IconName } from "../../style/Icon";
import { Switch } from "../../widgets/Switch";
import { attempt } from "../attempt";
import { clock, moment, span } from "../format";
import { switchNotifications } from "./runMessages";

const ENDED = 8;

export const ICONS: Record<RunPhase, IconName> = {
  queued: "clock",
  running: "ring",
  done: "tick",
  failed: "fail",
  refused: "fail",
  cancelled: "halt",
  interrupted: "lost",
};

/** The part of a run that is done, from 0 to 1, by its nodes. */
export function fractionOf(run: RunView): number {
  let [ended, all] = [0, 0];
  for (const node of Object.values(run.nodes)) {
    if (node.status === "unneeded") continue;
    all += 1;
    if (node.status === "running") ended += node.max ? Math.min(1, (node.value ?? 0) / node.max) : 0;
    else if (node.status !== "planned") ended += 1;
  }
  return all === 0 ? 0 : ended / all;
}

/** The milliseconds until the running step ends; null if nobody knows. */
export function etaOf(run: RunView): number | null {
  const etas = Object.values(run.nodes).map((node) => node.etaMs);
  const known = etas.filter((eta) => eta !== null);
  return known.length === 0 ? null : Math.max(...known);
}

export function QueuePopup() {
  const runs = useRuns((state) => state.queue.runs);
  const paused = useRuns((state) => state.queue.paused);
  const repeats = useSubmission((state) => state.repeats);
  useEffect(() => void attempt(readRepeats()), []);
  const { running, waiting, ended } = useMemo(() => sorted(Object.values(runs)), [runs]);
  return (
    <div className="queue">
      <div className="queue-row">
        <span className="grow">
          {paused === null ? "Waiting runs start by themselves" : sentence(paused)}
        </span>
        <button type="button" className="button mini" onClick={() => void attempt(pause(paused === null))}>
          {paused === null ? "Pause" : "Resume"}
        </button>
      </div>
      {repeats.map((repeat) => (
        <div key={repeat.id} className="queue-row">
          <Icon name="reset" size={14} />
          <span className="grow">
            Repeats until stopped <span className="meta">{repeat.count} so far</span>
          </span>
          <button type="button" className="button mini" onClick={() => void attempt(stopRepeat(repeat.id))}>
            Stop repeating
          </button>
        </div>
      ))}
      <NotifySwitch />
      <ul aria-label="Running and waiting">
        {running.map((run) => (
          <Running key={run.id} run={run} />
        ))}
        {waiting.map((run, place) => (
          <Waiting key={run.id} run={run} place={place} waiting={waiting} />
        ))}
      </ul>
      {running.length + waiting.length === 0 && <p className="empty-note">Nothing runs.</p>}
      {ended.length > 0 && (
        <>
          <h3 className="list-head">Ended</h3>
          <ul aria-label="Ended">
            {ended.map((run) => (
              <Ended key={run.id} run={run} />
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function NotifySwitch() {
  const isOn = useView((view) => view.isNotifying);
  return (
    <div className="queue-row">
      <span className="grow">Notify me when a long run ends</span>
      <Switch
        widget={{ kind: "switch" }}
        value={isOn}
        label="Notify me when a long run ends"
        invalid={false}
        onChange={(next) => void attempt(switchNotifications(next === true))}
      />
    </div>
  );
}

function sorted(runs: readonly RunView[]) {
  const running = runs.filter((run) => run.phase === "running");
  const waiting = runs
    .filter((run) => run.phase === "queued")
    .sort((a, b) => (a.position ?? 0) - (b.position ?? 0) || (a.submitted ?? 0) - (b.submitted ?? 0));
  const ended = runs
    .filter((run) => hasEnded(run.phase))
    .sort((a, b) => (b.finished ?? 0) - (a.finished ?? 0))
    .slice(0, ENDED);
  return { running, waiting, ended };
}

function name(run: RunView): string {
  return run.title || run.document?.split("#", 1)[0] || "Untitled";
}

function Running({ run }: { run: RunView }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const eta = etaOf(run);
  const passed = run.started === null ? 0 : now - run.started * 1000;
  return (
    <li className="queue-row">
      <Icon name="ring" size={14} />
      <span className="grow">
        <span className="row-title cut">{name(run)}</span>
        <span className="meta">
          {clock(passed)}
          {isStopping(run) ? " · stopping" : eta === null ? "" : ` · ${span(eta)} left`}
          {run.device === null ? "" : ` · ${run.device}`}
        </span>
        <progress className="line" value={fractionOf(run)} aria-label={`Progress of ${name(run)}`} />
      </span>
      <CancelButton run={run} />
    </li>
  );
}

function Waiting({ run, place, waiting }: { run: RunView; place: number; waiting: readonly RunView[] }) {
  const before = waiting[place - 1];
  return (
    <li className="queue-row">
      <Icon name="clock" size={14} />
      <span className="grow">
        <span className="row-title cut">{name(run)}</span>
        <span className="meta">{place === 0 ? "next" : `${place} before it`}</span>
      </span>
      {before !== undefined && (
        <button
          type="button"
          className="button mini quiet"
          aria-label={`Run ${name(run)} earlier`}
          onClick={() => void attempt(move(run.id, before.id))}
        >
          Earlier
        </button>
      )}
      <CancelButton run={run} />
    </li>
  );
}

function CancelButton({ run }: { run: RunView }) {
  return (
    <IconButton
      icon="close"
      className="icon-button small"
      label={`Cancel ${name(run)}`}
      title="Cancel"
      onClick={() => void attempt(cancel(run.id))}
      size={14}
    />
  );
}

const PHASES: Partial<Record<RunPhase, string>> = {
  failed: "failed",
  refused: "refused",
  cancelled: "cancelled",
  interrupted: "the server stopped during this run",
};

function Ended({ run }: { run: RunView }) {
  const took = run.started !== null && run.finished !== null ? span((run.finished - run.started) * 1000) : "";
  return (
    <li className={`queue-row ${run.phase}`}>
      <Icon name={ICONS[run.phase]} size={14} />
      <span className="grow">
        <span className="row-title cut">{name(run)}</span>
        <span className="meta cut" title={run.problem?.message ?? ""}>
          {PHASES[run.phase] ?? took} {run.finished === null ? "" : `· ${moment(run.finished)}`}
        </span>
      </span>
      {run.phase !== "done" && (
        <button
          type="button"
          className="button mini quiet"
          aria-label={`Run ${name(run)} again`}
          onClick={() => void attempt(retry(run.id))}
        >
          Run again
        </button>
      )}
    </li>
  );
}
