/** Starts everything that a page does with the server. */

import { followCatalogue } from "./catalogue";
import { startChecking } from "./documents/check";
import { startDocument } from "./documents/documents";
import { followOutputs } from "./outputs";
import { answer, api } from "./requests/client";
import { Refused } from "./requests/problems";
import { connect, onEvent, resynchronise, useRuns } from "./runs/runStore";
import { readRepeats, useSubmission } from "./runs/runs";
import { followTrainings } from "./runs/training";

const RETRY_MS = 1500;

/**
 * Connect, and open the document. The page has bound its graph before (`bindGraph`).
 *
 * @returns Once the document is open; while the server is away, it is tried again.
 */
export async function startSession(): Promise<void> {
  connect();
  followOutputs();
  followTrainings();
  onEvent((event) => {
    const hasRepeats = useSubmission.getState().repeats.length > 0;
    if (event.type === "run.finished" && hasRepeats) void readRepeats().catch(() => undefined);
  });
  await untilAnswered(async () => {
    const info = await answer(api.GET("/api/v1/info"));
    useRuns.setState({ info });
    await Promise.all([followCatalogue(), startDocument(info.opened)]);
  });
  startChecking();
  await resynchronise().catch(() => undefined);
}

async function untilAnswered(action: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 0 && error.status !== 401)) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
