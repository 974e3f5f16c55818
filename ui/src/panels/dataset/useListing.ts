/** Reads the pictures of a dataset, and runs the graph up to it if that is needed. */
import { useEffect, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import type { From, Graph } from "../../document/graph";
import { runName } from "../../server/documents/documents";
import { openGraph } from "../../server/documents/openGraph";
import type { Schemas } from "../../server/requests/client";
import { graphBody } from "../../server/requests/graphBody";
import { type Problem, problemsOf } from "../../server/requests/problems";
import { sendJson } from "../../server/requests/sendJson";
import { hasEnded, type RunAnswer } from "../../server/runs/runState";
import { useRuns } from "../../server/runs/runStore";
import { submit, useSubmission } from "../../server/runs/runs";
import { useGraph } from "../../state/editor";

type Found = Schemas["DatasetListing"];
/** The pictures, or the reasons why there are none; both are empty while they are read for the first time. */
interface Read {
  readonly found: Found | null;
  readonly problems: readonly Problem[];
}

const WAIT_MS = 200;

/** What a dataset depends on: its node, the nodes before it, and the graph's inputs that they take. */
function upstream({ nodes, inputs }: Graph, source: From): unknown[] {
  const seen = new Set<unknown>([source.output]);
  const open = [source.node];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const item = nodes.get(id);
    if (item === undefined || seen.has(item)) continue;
    seen.add(item);
    for (const binding of item.inputs.values()) {
      if (binding.kind === "from") open.push(binding.node);
      else if (binding.kind === "param") seen.add(inputs.get(binding.name));
    }
  }
  return [...seen];
}

function request({ node, output }: From, run: RunAnswer | undefined): RequestInit {
  if (run === undefined) return graphBody("POST", openGraph().text(), { node, output, document: runName() });
  const rest = { node, output, inputs: run.inputs, document: run.summary.document };
  return graphBody("POST", JSON.stringify(run.graph), rest);
}

export function useListing(source: From | undefined, run: RunAnswer | undefined) {
  const depends = useGraph(useShallow((state) => (source && !run ? upstream(state, source) : [])));
  const [{ found, problems }, setRead] = useState<Read>({ found: null, problems: [] });
  const [readings, setReadings] = useState(0);
  const [started, setStarted] = useState("");
  const computing = useRuns((state) => state.queue.runs[started]);
  const read = () => setReadings((count) => count + 1);

  // biome-ignore lint/correctness/useExhaustiveDependencies: read again after each change of what it depends on
  useEffect(() => {
    if (source === undefined) return;
    let isCurrent = true;
    const take = (result: Read) => isCurrent && setRead(result);
    const load = () =>
      sendJson<Found>("/api/v1/datasets", request(source, run)).then(
        (answer) => take({ found: answer, problems: [] }),
        (error) => take({ found: null, problems: problemsOf(error) }),
      );
    const timer = setTimeout(load, found === null && problems.length === 0 ? 0 : WAIT_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [run, depends, readings]);

  const phase = computing?.phase;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once at the end of the run
  useEffect(() => {
    if (phase === undefined || !hasEnded(phase)) return;
    setStarted("");
    const failed = Object.values(computing?.nodes ?? {}).find((node) => node.problem !== null);
    if (!failed?.problem) return read();
    setRead({ found: null, problems: [{ ...failed.problem, node: failed.path, severity: "error" }] });
  }, [phase]);

  /** Run the graph up to the node, then read. */
  const compute = async () => {
    const accepted = await submit({ targets: [source?.node ?? ""] });
    if (accepted) setStarted(accepted.run);
    else setRead({ found: null, problems: useSubmission.getState().problems });
  };
  return { found, problems, computing, read, compute };
}
