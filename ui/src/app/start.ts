/** Starts the page: theme, keys, connection, document. */
import { followKeys } from "../commands/pageKeys";
import { followRunMessages } from "../panels/runs/runMessages";
import { reasonOf } from "../server/requests/problems";
import { startSession } from "../server/session";
import { setReady } from "../state/ready";
import { say, sayError } from "../state/status";
import { followView } from "../state/view";
import { placeMissing } from "./placeMissing";
import "../commands/canvasCommands";
import "../commands/editCommands";
import "../commands/graphCommands";
import "../commands/runCommands";
import "../commands/subgraphs";

export async function start(): Promise<void> {
  followView();
  followKeys();
  placeMissing();
  followRunMessages();
  try {
    await startSession();
    say("Ready. Ctrl+Enter runs the graph.");
    performance.mark("ready");
    setReady();
  } catch (error) {
    sayError(reasonOf(error));
  }
}
