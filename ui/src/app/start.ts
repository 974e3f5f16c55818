/** Starts the page: theme, keys, connection, document. */
import { followRunMessages } from "../panels/runMessages";
import { problemsOf, sentence } from "../server/problems";
import { startSession } from "../server/session";
import { followKeys } from "./pageKeys";
import { placeMissing } from "./placeMissing";
import { setReady } from "./ready";
import { say, sayError } from "./status";
import { followView } from "./view";
import "./canvasCommands";
import "./editCommands";
import "./graphCommands";
import "./runCommands";
import "./subgraphs";

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
    sayError(sentence(problemsOf(error)[0]?.message ?? "the page cannot start"));
  }
}
