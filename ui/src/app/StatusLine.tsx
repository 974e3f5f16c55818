import { perform } from "../commands/commands";
import { span } from "../panels/format";
import { isStopping } from "../server/runs/runState";
import { useRuns, useShownRun } from "../server/runs/runStore";
import { useStatus } from "../state/status";
import { Icon } from "../style/Icon";

/** The line at the foot: the last message, the progress, and where to find the keys. */
export function StatusLine() {
  const { text, isError } = useStatus();
  return (
    <footer>
      <span className="grow cut" role="status">
        {isError && <Icon name="fail" size={12} label="Error" />}
        {text}
      </span>
      <Progress />
      <button type="button" className="status-keys" onClick={() => perform("keys")}>
        <kbd>?</kbd> all keys
      </button>
    </footer>
  );
}

/** The step of the running node. */
function Progress() {
  const run = useShownRun();
  const isLost = useRuns((state) => state.connection.state === "lost");
  if (isLost || run?.phase !== "running" || isStopping(run)) return null;
  const node = Object.values(run.nodes).find((item) => item.status === "running");
  if (!node || node.value === null || node.max === null) return null;
  return (
    <span className="progress-words">
      <span>
        {node.value} of {node.max}
      </span>
      {node.rate !== null && <span>{`${node.rate.toFixed(1)} ${node.unit ?? "it"}/s`}</span>}
      {node.etaMs !== null && <span>{span(node.etaMs)} left</span>}
    </span>
  );
}
