import { useState } from "react";
import { attempt } from "../panels/attempt";
import { useDataset } from "../panels/dataset/datasetStore";
import { ago } from "../panels/format";
import { usePictures } from "../panels/pictures/pictures";
import { openOverlay } from "../popups/overlays";
import { discardDraft, openDraft, reload, useDocument } from "../server/documents/documents";
import { reconnect, useRuns } from "../server/runs/runStore";
import { useDocumentState } from "../state/editor";
import { useView } from "../state/view";

/** A line over the canvas for what concerns all of the page: the server is away, the graph was saved elsewhere. */
export function Banner() {
  const connection = useRuns((state) => state.connection);
  const conflict = useDocument((state) => state.conflict);
  if (connection.state === "lost") {
    const isRefused = connection.reason === "refused";
    return (
      <div className="banner" role="alert">
        {isRefused
          ? "The server was started anew. Open the page that it printed; your changes are kept as a draft."
          : "Not connected. Edits are kept; the page connects again by itself."}
        {!isRefused && (
          <button type="button" className="button mini" onClick={reconnect}>
            Try now
          </button>
        )}
      </div>
    );
  }
  if (conflict === null) return <DraftOffer />;
  return (
    <div className="banner" role="alert">
      Another tab or program has saved this graph.
      <button type="button" className="button mini" onClick={() => openOverlay("conflict")}>
        Choose
      </button>
    </div>
  );
}

/**
 * Says that a reload has brought the unsaved changes back, or offers those of a tab that was closed, until the user
 * does anything else; Graphs lists them too.
 */
function DraftOffer() {
  const [draft] = useDocument((state) => state.closed);
  const isResumed = useDocument((state) => state.isResumed);
  const id = useDocument((state) => state.id);
  const [isPutOff, setPutOff] = useState(false);
  const isWorking = useDocumentState((state) => state.history.past.length > 0);
  const isLarge = usePictures((state) => state.large !== "none");
  const isTraining = useView((view) => view.isTraining);
  const hasDataset = useDataset((state) => state.open !== null);
  if (isPutOff || isWorking || isLarge || isTraining || hasDataset) return null;
  if (isResumed) {
    return (
      <div className="banner low" role="status">
        Your unsaved changes are back.
        {id !== null && (
          <button type="button" className="button mini" onClick={() => void attempt(reload())}>
            Open the saved version
          </button>
        )}
        <button type="button" className="button mini quiet" onClick={() => setPutOff(true)}>
          Close
        </button>
      </div>
    );
  }
  if (draft === undefined) return null;
  return (
    <div className="banner low" role="status">
      Unsaved changes of {draft.title}, {ago(draft.saved)}.
      <button type="button" className="button mini" onClick={() => void attempt(openDraft(draft.tab))}>
        Open
      </button>
      <button
        type="button"
        className="button mini quiet"
        onClick={() => void attempt(discardDraft(draft.tab))}
      >
        Discard
      </button>
      <button type="button" className="button mini quiet" onClick={() => setPutOff(true)}>
        Later
      </button>
    </div>
  );
}
