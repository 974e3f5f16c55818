/** Actions of the panels: a failure goes to the status line. */
import { reasonOf } from "../server/requests/problems";
import { sayError } from "../state/status";

/** Wait for an action; returns its result, or undefined after a failure, which the status line says. */
export async function attempt<Result>(action: Promise<Result>): Promise<Result | undefined> {
  try {
    return await action;
  } catch (error) {
    sayError(reasonOf(error));
    return undefined;
  }
}
