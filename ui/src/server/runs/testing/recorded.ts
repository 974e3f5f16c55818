/** A stream of a real server: a first run, a changed one, one that is cancelled, one after it, and a sweep. */
import type { RunAnswer, ServerEvent } from "../runState";
import recorded from "./recorded.json";

export const EVENTS = recorded.events as unknown as ServerEvent[];
/** The runs as the server described them after their ends. */
export const SNAPSHOTS = recorded.snapshots as unknown as Record<string, RunAnswer>;
export const RUN_EVENTS = EVENTS.filter((event) => event.type !== "hello");
