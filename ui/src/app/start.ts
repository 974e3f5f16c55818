/** Starts the page: theme, keys, connection, node types, document, checks. */
import { followCatalogue } from "../server/catalogue";
import { startChecking } from "../server/check";
import { answer, api } from "../server/client";
import { startDocument } from "../server/documents";
import { followOutputs } from "../server/outputs";
import { problemsOf, sentence } from "../server/problems";
import { connect } from "../server/runStore";
import { followKeys } from "./pageKeys";
import { placeMissing } from "./placeMissing";
import { say, sayError } from "./status";
import { followView } from "./view";
import "./canvasCommands";
import "./editCommands";
import "./graphCommands";
import "./runCommands";

export async function start(): Promise<void> {
  followView();
  followKeys();
  connect();
  placeMissing();
  try {
    const info = await answer(api.GET("/api/v1/info"));
    await followCatalogue();
    await startDocument(info.opened);
    startChecking();
    followOutputs();
    say("Ready. Ctrl+Enter runs the graph.");
  } catch (error) {
    sayError(sentence(problemsOf(error)[0]?.message ?? "the page cannot start"));
  }
}
