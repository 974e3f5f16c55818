import { command, perform } from "../commands/commands";
import { shownKeys } from "../commands/keys";
import { openMenuAt } from "../popups/menu";
import { useDocument } from "../server/documents/documents";
import { isStopping } from "../server/runs/runState";
import { useRuns, useShownRun } from "../server/runs/runStore";
import { useSubmission } from "../server/runs/runs";
import { edit, showGraph, useChanges, useDocumentState } from "../state/editor";
import { leaveTraining, toggleDrawer, useView } from "../state/view";
import { Icon, IconButton } from "../style/Icon";

/** The bar at the top: document, undo, queue, device, connection, Run. */
export function TopBar() {
  const isTraining = useView((view) => view.isTraining);
  return (
    <header>
      <Lamp />
      {isTraining ? (
        <TrainName />
      ) : (
        <>
          <DocumentName />
          <span className="separator" />
          <StepButton id="undo" />
          <StepButton id="redo" />
        </>
      )}
      <span className="grow" />
      <QueueChip />
      <DeviceChip />
      <ConnectionChip />
      {!isTraining && <RunButton />}
    </header>
  );
}

/** The name of the view of trainings, with the way back to the graph. */
function TrainName() {
  const title = useDocumentState((state) => state.root.title);
  return (
    <div className="document">
      <b className="document-name">Train</b>
      <button type="button" className="button quiet mini" onClick={leaveTraining}>
        Back to {title || "the graph"}
      </button>
    </div>
  );
}

function Lamp() {
  const isLit = useRuns((state) => state.queue.running > 0);
  return (
    <span className={`brand${isLit ? " lit" : ""}`} title={isLit ? "Something runs" : "Nothing runs"}>
      <Icon name="lamp" size={20} />
    </span>
  );
}

function DocumentName() {
  const title = useDocumentState((state) => state.root.title);
  const path = useDocumentState((state) => state.path);
  const { id, isSaving, isDraftKept, isExample } = useDocument();
  const changes = useChanges((state) => state.count);
  const name = title || id || "Untitled";
  const words = changes === 1 ? "1 change" : `${changes} changes`;
  const state = isSaving
    ? "Saving"
    : changes > 0
      ? `${isDraftKept ? "Draft" : "Keeping"}, ${words}`
      : id === null
        ? "Not saved"
        : isExample
          ? "Example"
          : "Saved";
  const rename = (next: string) => {
    if (next.trim() !== name) edit("Rename the graph", (graph) => ({ ...graph, title: next.trim() }));
  };
  return (
    <div className="document">
      {path.length === 0 ? (
        <input
          className="document-name"
          aria-label="Title of the graph"
          size={Math.max(8, name.length)}
          key={name}
          defaultValue={name}
          spellCheck={false}
          onBlur={(event) => rename(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
        />
      ) : (
        <nav aria-label="Subgraph">
          <button type="button" className="crumb" onClick={() => showGraph([])}>
            {name}
          </button>
          {path.map((part, index) => (
            <button
              type="button"
              className="crumb"
              key={path.slice(0, index + 1).join("/")}
              onClick={() => showGraph(path.slice(0, index + 1))}
            >
              <Icon name="right" size={12} /> {part}
            </button>
          ))}
        </nav>
      )}
      <span className="meta" data-testid="document-state">
        {state}
      </span>
    </div>
  );
}

function StepButton({ id }: { id: "undo" | "redo" }) {
  const step = useDocumentState(({ history }) => (id === "undo" ? history.past : history.future).at(-1));
  const keys = command(id)?.keys?.[0] ?? "";
  const word = id === "undo" ? "Undo" : "Redo";
  return (
    <IconButton
      icon={id}
      label={word}
      title={step ? `${word}: ${step.label} (${shownKeys(keys)})` : `Nothing to ${id}`}
      disabled={step === undefined}
      onClick={() => perform(id)}
    />
  );
}

function QueueChip() {
  const count = useRuns((state) => state.queue.running + state.queue.pending);
  const paused = useRuns((state) => state.queue.paused);
  if (count === 0 && paused === null) return null;
  return (
    <button
      type="button"
      className="chip"
      aria-label={`Queue: ${count} runs`}
      onClick={() => toggleDrawer("queue")}
    >
      <Icon name={paused === null ? "ring" : "pause"} size={14} />
      {paused === null ? count : `${count} · paused`}
    </button>
  );
}

function DeviceChip() {
  const devices = useRuns((state) => state.info?.devices);
  if (!devices || devices.length === 0) return null;
  return (
    <span className="chip">
      <Icon name="chip" size={14} />
      {devices.map((device) => device.device).join(", ")}
    </span>
  );
}

function ConnectionChip() {
  const connection = useRuns((state) => state.connection);
  const isOpen = connection.state === "open";
  const words =
    connection.state === "open"
      ? "Connected"
      : connection.state === "connecting"
        ? "Connecting"
        : connection.reason === "refused"
          ? "Open the page anew"
          : "Not connected";
  return (
    <span className="chip" data-testid="connection">
      <span className={`connection-dot${isOpen ? "" : " away"}`} />
      {words}
    </span>
  );
}

const WAYS_TO_RUN = ["run", "runHere", "runMany", "runUntilStopped", "cancel", "copyCommand"];

function RunButton() {
  const run = useShownRun();
  const isSubmitting = useSubmission((state) => state.isSubmitting);
  const isActive = run !== null && (run.phase === "queued" || run.phase === "running");
  const id = isActive ? "cancel" : "run";
  const isEnding = isStopping(run);
  return (
    <div className={`run${isActive ? " stop" : ""}`}>
      <button type="button" disabled={isSubmitting} onClick={() => perform(id)}>
        <Icon name={isEnding ? "ring" : isActive ? "stop" : "run"} size={14} />
        {isEnding ? "Stopping …" : isActive ? "Stop" : "Run"}
        <span className="keys">{shownKeys(command(id)?.keys?.[0] ?? "")}</span>
      </button>
      <button
        type="button"
        aria-label="More ways to run"
        aria-haspopup="menu"
        onClick={(event) => openMenuAt(event.currentTarget.getBoundingClientRect(), WAYS_TO_RUN, "end")}
      >
        <Icon name="down" size={14} />
      </button>
    </div>
  );
}
