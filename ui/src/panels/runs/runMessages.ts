/** Says in the status line what the runs of the canvas do, and notifies of the end of a long one. */
import { useCheck } from "../../server/documents/check";
import { sentence } from "../../server/requests/problems";
import { isStopping, type RunView, type ServerEvent } from "../../server/runs/runState";
import { onEvent, useRuns } from "../../server/runs/runStore";
import { say, sayError, useStatus } from "../../state/status";
import { useView } from "../../state/view";
import { count, span, words } from "../format";

/** A run of at least so many milliseconds is worth a notification. */
const LONG_MS = 15_000;

/** What a run that has ended was like, as one sentence. */
export function endMessage(run: RunView): string {
  const took = run.started !== null && run.finished !== null ? span((run.finished - run.started) * 1000) : "";
  const nodes = Object.values(run.nodes);
  const number = (status: string) => nodes.filter((node) => node.status === status).length;
  switch (run.phase) {
    case "done":
      if (run.ran === 0) return "Done: nothing has changed, so all results are from the store.";
      return `Done in ${took}: ${count(run.ran ?? number("done"), "node")} ran, ${run.reused ?? number("cached")} reused.`;
    case "failed": {
      const [failed, waiting] = [number("failed"), number("waiting")];
      const kept = number("done") + number("cached");
      return `Failed after ${took}: ${count(failed, "node")} failed, ${waiting} wait, ${kept} are kept.`;
    }
    case "refused":
      return sentence(run.problem?.message ?? "the graph cannot run");
    case "cancelled":
      return "Cancelled. What is finished is kept.";
    case "interrupted":
      return "The server stopped during this run. Run again: finished nodes are reused.";
    default:
      return "";
  }
}

/** Follow the runs of the canvas; returns a function that ends this. */
export function followRunMessages(): () => void {
  return onEvent((event) => {
    const { own, queue } = useRuns.getState();
    if (event.run === null || !own.includes(event.run)) return;
    const run = queue.runs[event.run];
    if (run === undefined) return;
    if (event.type === "run.finished") {
      const text = endMessage(run);
      if (run.phase === "failed" || run.phase === "refused") sayError(text);
      else say(text);
      forget(text, (later) => later.type === "run.started");
      notifyOfEnd(run.title || "Safelight", text, event.data.ms);
    } else if (event.type === "node.started" && event.node !== null && !isStopping(run)) {
      const plan = useCheck.getState().plan[event.node];
      const reason = plan?.action === "run" ? plan.reason : "";
      const reused = Object.values(run.nodes).filter((node) => node.status === "cached").length;
      const part =
        reused === 0 ? "" : ` ${reused} of ${count(Object.keys(run.nodes).length, "node")} reused.`;
      say(`Running ${words(event.node)}${reason ? `, because ${reason}` : ""}.${part}`);
    } else if (event.type === "run.queued" && event.data.position > 0) {
      say(`Queued: ${count(event.data.position, "run")} before it.`);
    }
  });
}

/** Take a message away with the first event that passes, if the status line still shows it. */
export function forget(text: string, isOver: (event: ServerEvent) => boolean): void {
  const end = onEvent((event) => {
    if (!isOver(event)) return;
    end();
    if (useStatus.getState().text === text) say("");
  });
}

/** Switch the notifications of long runs; to switch them on, the browser asks the person once. */
export async function switchNotifications(isOn: boolean): Promise<void> {
  const isKnown = isOn && "Notification" in globalThis;
  const answer = isKnown ? await Notification.requestPermission() : "denied";
  useView.setState({ isNotifying: answer === "granted" });
  if (!isOn) return;
  if (answer === "granted")
    say("Runs of 15 seconds and more notify you when they end, if this page is hidden.");
  else
    sayError("The browser does not allow this page to notify you. Its settings for this page change that.");
}

/** Tell the end of a run that took `ms` milliseconds, if it was long and nobody sees the page. */
export function notifyOfEnd(title: string, body: string, ms: number): void {
  if (ms < LONG_MS || !useView.getState().isNotifying || document.visibilityState !== "hidden") return;
  if (!("Notification" in globalThis) || Notification.permission !== "granted") return;
  const shown = new Notification(title, { body, tag: "safelight-run" });
  shown.onclick = () => {
    window.focus();
    shown.close();
  };
}
