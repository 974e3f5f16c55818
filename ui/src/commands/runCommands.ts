import { addOutput } from "../document/edit/graphInputs";
import { from, wires } from "../document/graph";
import { attempt } from "../panels/attempt";
import { sentences } from "../server/requests/problems";
import { useRuns } from "../server/runs/runStore";
import { cancelOwn, submit, useSubmission } from "../server/runs/runs";
import { edit, graph, isInside, useSelection } from "../state/editor";
import { say, sayError } from "../state/status";
import { typed } from "../state/types";
import { showTab } from "../state/view";
import { commandLine } from "./commandLine";
import { define } from "./commands";

function isActive(): boolean {
  const { own, queue } = useRuns.getState();
  return own.some((id) => queue.runs[id]?.phase === "queued" || queue.runs[id]?.phase === "running");
}

/** Make the last pictures outputs of a graph that has none, so that a run shows and keeps them. */
function declarePictures(): void {
  if (isInside() || graph().outputs.size > 0) return;
  const types = typed();
  const pictures = [...graph().nodes.keys()]
    .flatMap((node) => types.type(node).outputs.map(({ name }) => from(node, name)))
    .filter((link) => types.output(link).name === "Image");
  const makers = new Set(pictures.map(({ node }) => node));
  const inner = [...wires(graph())].filter(({ to }) => makers.has(to.node));
  const last = pictures.filter(({ node }) => !inner.some((wire) => wire.from.node === node));
  const label = `Make ${last.map(({ node }) => node).join(", ")} an output of the graph`;
  edit(label, (state) => last.reduce((next, link) => addOutput(next, link, link.node).graph, state));
}

async function run(options: Parameters<typeof submit>[0] = {}): Promise<void> {
  if (options.targets === undefined) declarePictures();
  const accepted = await submit(options);
  if (accepted) {
    const phase = useRuns.getState().queue.runs[accepted.runs[0] ?? ""]?.phase ?? "queued";
    if (phase !== "queued") return; // its first events came before this answer, and said more
    const count = accepted.runs.length > 1 ? `${accepted.runs.length} runs are queued.` : "";
    say(count || (accepted.position ? `Queued, ${accepted.position} before it.` : "Running."));
    return;
  }
  const [problem] = useSubmission.getState().problems;
  if (!problem) return;
  const place = problem.node === null ? "" : `${problem.node}: `;
  sayError(place + sentences(problem));
  showTab("problems");
}

const RUNS = 10;

define(
  {
    id: "run",
    label: "Run",
    group: "Run",
    keys: ["Ctrl+Enter"],
    icon: "run",
    scope: "page",
    run: () => void run(),
  },
  {
    id: "runHere",
    label: "Run to the selection",
    group: "Run",
    keys: ["Ctrl+Shift+Enter"],
    scope: "page",
    isPossible: () => useSelection.getState().nodes.size > 0,
    run: () => void run({ targets: [...useSelection.getState().nodes] }),
  },
  {
    id: "runMany",
    label: `Run ${RUNS} times, with new seeds`,
    group: "Run",
    scope: "page",
    run: () => void run({ times: RUNS }),
  },
  {
    id: "runUntilStopped",
    label: "Run until stopped",
    group: "Run",
    scope: "page",
    run: () => void run({ untilStopped: true }),
  },
  {
    id: "cancel",
    label: "Cancel this run",
    group: "Run",
    keys: ["Ctrl+."],
    icon: "stop",
    scope: "page",
    isPossible: isActive,
    run: () => {
      say("Stopping. If the running step does not stop by itself within seconds, the server ends it.");
      void attempt(cancelOwn());
    },
  },
  {
    id: "copyCommand",
    label: "Copy as command line",
    group: "Run",
    scope: "page",
    run: () => {
      void navigator.clipboard.writeText(commandLine());
      say("The command is on the clipboard.");
    },
  },
);
